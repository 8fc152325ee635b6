//! WebSocket handlers and servlets for hyper, tower and axum.
