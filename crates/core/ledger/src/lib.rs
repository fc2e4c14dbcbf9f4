//! The replicated state machines: the directory, and one region's leads, leases and attempts.
