//! Real members in one process: QUIC on loopback, data directories, a toy machine.

mod cluster;
mod log_suite;
mod scenarios;
