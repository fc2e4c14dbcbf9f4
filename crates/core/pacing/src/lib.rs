//! How many lines to launch now: one trait, one file a controller.
