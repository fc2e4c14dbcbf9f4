//! The HTTP surface: admin API, agent WebSocket, event stream, health, metrics.
