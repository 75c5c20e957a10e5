//! Workers in other languages. `fedflow check-worker` passes those that follow the protocol and names what the others do
//! wrong; in a run, the others hurt only their own tasks.
#![expect(clippy::unwrap_used, reason = "a test may panic")]

#[path = "conformance/broken.rs"]
mod broken;
#[path = "conformance/checking.rs"]
mod checking;
#[path = "conformance/running.rs"]
mod running;
