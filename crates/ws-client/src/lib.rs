//! A WebSocket client with the same endpoints and sessions as the server.
