//! SIP without sockets: messages, transactions, dialogs, digest, registration, SDP.
