//! The control plane's process: configuration and wiring, nothing else.
