//! The node's last word before an INVITE: lease validity, do-not-call freshness, caps.
