//! A city's process: configuration and wiring, nothing else.
