//! RTP relay loop, prompts, per-leg statistics.
