//! Tries a worker program against the protocol, step by step, and says in plain words what it does wrong.
//!
//! It uses the sessions of a run, so whatever passes here is understood there. Every group of steps has a process of its
//! own, so that a fault is reported where it belongs.

mod conversation;
mod step_fault;
mod steps;
mod trial;
mod worker_check;

pub use trial::{CheckedStep, Trial, Verdict};
pub use worker_check::WorkerCheck;
