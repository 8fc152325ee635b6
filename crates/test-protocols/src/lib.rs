//! Test protocols.
