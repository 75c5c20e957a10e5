//! Tests of the report through its public functions.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod events;
mod fold;
mod formats;
mod hostile;
mod results;
mod writer;
