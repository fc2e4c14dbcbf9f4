//! A simulated phone network and agents with real SIP and RTP, link faults, and the checkers.
