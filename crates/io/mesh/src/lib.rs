//! Members of the mesh: identities, QUIC links, RPC framing, joining by token.
