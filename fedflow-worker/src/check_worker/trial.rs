//! What a worker program is tried with, and what comes of each step.

use fedflow_core::{Device, Dict};

/// A task that a worker is to do, twice.
#[derive(Debug, Clone)]
pub struct Trial {
    /// Its kind.
    pub kind: String,
    /// Its parameters.
    pub params: Dict,
    /// Its parameters for `train`.
    pub train_params: Dict,
    /// The device that it is told.
    pub device: Device,
}

/// One thing that was checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CheckedStep {
    /// What a worker has to do: a phrase such as `leaves when it is told to exit`.
    pub name: &'static str,
    /// What came of it.
    pub verdict: Verdict,
}

/// What came of a step. Texts of the worker's are clipped, but not escaped for a terminal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// It does.
    Passed {
        /// What there is to tell; may be empty.
        note: String,
    },
    /// It does not.
    Failed {
        /// What was expected and what came.
        problem: String,
        /// What to do about it; may be empty.
        hint: &'static str,
        /// The last lines that it wrote to stderr.
        stderr_tail: String,
    },
    /// It was not tried.
    Skipped {
        /// Why not.
        reason: &'static str,
    },
}
