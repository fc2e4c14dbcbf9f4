//! Audio without sockets: G.711, RTP, RTCP, tones, DTMF, WAV, the port pool.
