//! What every process needs: layered configuration, logs, metrics, shutdown, build information.
