//! Key-value views that can be rebuilt, the durable journal, crash rules.
