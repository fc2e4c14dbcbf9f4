//! Attempts, calls, agents and their matching: speaks of legs, knows no SIP and no RTP.
