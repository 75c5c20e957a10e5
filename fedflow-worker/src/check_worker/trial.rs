//! What a worker program is tried with, and what comes of each step.

use fedflow_core::{Device, Dict, LastLines};

/// A task that a worker is given twice.
#[derive(Debug, Clone)]
pub struct Trial {
    /// Its task kind.
    pub kind: String,
    /// Its parameters.
    pub params: Dict,
    /// Its parameters for `train`.
    pub train_params: Dict,
    /// The device that it is told to train on.
    pub device: Device,
}

/// One thing that was checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CheckedStep {
    /// What a worker has to do: a phrase such as `leaves when it is told to exit`.
    pub name: &'static str,
    /// Whether the worker does that.
    pub verdict: Verdict,
}

/// The outcome of a step. Texts of the worker are clipped, but not escaped for a terminal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// The worker does it.
    Passed {
        /// A remark; may be empty.
        note: String,
    },
    /// The worker does not do it.
    Failed {
        /// What was expected and what came.
        problem: String,
        /// What to do about it; may be empty.
        hint: &'static str,
        /// The last lines that it printed.
        last_lines: LastLines,
    },
    /// The step was not tried.
    Skipped {
        /// The reason.
        reason: &'static str,
    },
}
