//! How far a run has come, as its events tell: the fold that a report, `fedflow status` and a resume share.
//!
//! [`RunProgress`] takes one event after the other and keeps sessions, groups, tasks, attempts, phases and outcomes.
//! Each user adds what else it keeps of a task by a type of its own that is told the same events ([`TaskNotes`]).

pub(crate) mod failure_kinds;
pub(crate) mod group_progress;
pub(crate) mod run_progress;
pub(crate) mod task_progress;
