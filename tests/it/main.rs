//! Tests of haechi from outside, in one binary.
#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used, reason = "a test fails by a panic")]

mod corpus;
mod diagnostics;
mod laws;
mod metrics_names;
