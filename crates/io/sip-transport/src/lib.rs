//! UDP and TCP sockets that drive core/sip.
