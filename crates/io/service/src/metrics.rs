//! The process's metrics: libraries use the `metrics` facade, the process owns one
//! `prometheus::Registry`, and `/metrics` prints it as text.

use crate::build;
use metrics_prometheus::{Recorder, failure::strategy::PanicInDebugNoOpInRelease};
use prometheus::{
    HistogramOpts, HistogramVec, IntGaugeVec, Opts, Registry, TextEncoder,
    process_collector::ProcessCollector,
};

/// `Content-Type` of the text exposition format.
pub const CONTENT_TYPE: &str = prometheus::TEXT_FORMAT;

/// Metrics could not be set up.
#[derive(Debug, thiserror::Error)]
pub enum MetricsError {
    /// Another recorder is installed already.
    #[error("metrics were already started in this process")]
    AlreadyStarted,
    /// A metric's name, labels or buckets are refused, or the name is taken.
    #[error("metric {name}: {source}")]
    Refused {
        /// The metric.
        name: String,
        /// Why.
        #[source]
        source: prometheus::Error,
    },
}

/// The process's metrics. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Metrics {
    registry: Registry,
    recorder: Option<Recorder<PanicInDebugNoOpInRelease>>,
}

impl Metrics {
    /// Makes the registry, adds the process's own figures and the build information, and installs
    /// it behind the `metrics` facade. Call once, before the first metric is recorded.
    ///
    /// # Errors
    /// Metrics were already started.
    pub fn start() -> Result<Self, MetricsError> {
        let mut this = Self::detached()?;
        let recorder = Recorder::builder()
            .with_registry(&this.registry)
            .with_failure_strategy(PanicInDebugNoOpInRelease)
            .try_build_and_install()
            .map_err(|_| MetricsError::AlreadyStarted)?;
        this.recorder = Some(recorder);
        Ok(this)
    }

    /// As [`Metrics::start`], but not behind the facade: for tests of routers.
    ///
    /// # Errors
    /// The process's figures cannot be registered.
    pub fn detached() -> Result<Self, MetricsError> {
        let registry = Registry::new();
        let refused = |name: &str| {
            let name = name.to_owned();
            move |source| MetricsError::Refused { name, source }
        };
        registry
            .register(Box::new(ProcessCollector::for_self()))
            .map_err(refused("process"))?;
        let name = "dialmesh_build_info";
        let build = IntGaugeVec::new(
            Opts::new(name, "What this process was built from; always 1."),
            &["version", "commit"],
        )
        .map_err(refused(name))?;
        let info = build::info();
        build.with_label_values(&[info.version, info.commit]).set(1);
        registry.register(Box::new(build)).map_err(refused(name))?;
        Ok(Self {
            registry,
            recorder: None,
        })
    }

    /// The registry, for metrics that hot loops hold by handle.
    pub const fn registry(&self) -> &Registry {
        &self.registry
    }

    /// Declares a histogram with its own buckets (in the metric's unit), before its first record
    /// through the facade; without this the facade's default buckets (5 ms to 10 s) are used.
    ///
    /// # Errors
    /// The name or a label is not one of Prometheus, or the name is taken.
    pub fn histogram(
        &self,
        name: &str,
        help: &str,
        labels: &[&str],
        buckets: &[f64],
    ) -> Result<(), MetricsError> {
        let refused = |source| MetricsError::Refused {
            name: name.to_owned(),
            source,
        };
        let options = HistogramOpts::new(name, help).buckets(buckets.to_vec());
        let histogram = HistogramVec::new(options, labels).map_err(refused)?;
        match &self.recorder {
            Some(recorder) => recorder.try_register_metric(histogram).map_err(refused),
            None => self.registry.register(Box::new(histogram)).map_err(refused),
        }
    }

    /// Everything, in the text exposition format.
    ///
    /// # Errors
    /// A collector gave something that cannot be written.
    pub fn render(&self) -> Result<String, MetricsError> {
        TextEncoder::new()
            .encode_to_string(&self.registry.gather())
            .map_err(|source| MetricsError::Refused {
                name: "/metrics".to_owned(),
                source,
            })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn facade_records_land_in_the_registry_with_help_and_own_buckets() {
        let metrics = Metrics::start().unwrap();
        metrics
            .histogram(
                "dialmesh_test_delay_seconds",
                "How long it took.",
                &["region"],
                &[0.25, 4.0],
            )
            .unwrap();
        ::metrics::describe_counter!("dialmesh_test_calls_total", "Calls made.");
        ::metrics::counter!("dialmesh_test_calls_total", "region" => "south").increment(3);
        ::metrics::histogram!("dialmesh_test_delay_seconds", "region" => "south").record(1.0);
        let text = metrics.render().unwrap();
        for line in [
            "# HELP dialmesh_test_calls_total Calls made.",
            r#"dialmesh_test_calls_total{region="south"} 3"#,
            r#"dialmesh_test_delay_seconds_bucket{region="south",le="0.25"} 0"#,
            r#"dialmesh_test_delay_seconds_bucket{region="south",le="4"} 1"#,
            "# TYPE process_resident_memory_bytes gauge",
        ] {
            assert!(text.contains(line), "{line} is not in\n{text}");
        }
        assert!(text.contains(&format!("version=\"{}\"", build::VERSION)));
        assert!(matches!(
            Metrics::start(),
            Err(MetricsError::AlreadyStarted)
        ));
    }
}
