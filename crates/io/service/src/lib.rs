//! What every process needs: layered configuration, logs, metrics, health, shutdown, named tasks,
//! clocks, entropy and build information.
//!
//! A binary reads its whole configuration ([`config`]), starts its logs ([`logs`]) and metrics
//! ([`metrics`]), binds its ports ([`listen`]), serves ([`health`]), waits for a signal
//! ([`shutdown`]) and drains its tasks ([`spawn`]).

pub mod build;
pub mod clock;
pub mod config;
pub mod entropy;
pub mod health;
pub mod listen;
pub mod logs;
pub mod metrics;
pub mod sections;
pub mod shutdown;
pub mod spawn;

pub use health::{Readiness, monitoring_router};
pub use metrics::Metrics;
pub use shutdown::Shutdown;
pub use spawn::Tasks;
