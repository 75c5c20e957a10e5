//! What a run is beside its groups, and how it is stopped.

use std::path::PathBuf;
use std::time::Duration;

use crate::model::config::OnFailure;

/// What a run is, beside its groups: handed to the engine once.
#[derive(Debug, Clone, PartialEq)]
pub struct RunSettings {
    /// The flow's name.
    pub flow: String,
    /// The run directory, an absolute path.
    pub workdir: PathBuf,
    /// The seed of every random choice.
    pub seed: u64,
    /// Which session of the run this is, from 1.
    pub session: u32,
    /// What a failed task means for the groups after its own.
    pub on_failure: OnFailure,
    /// How long what runs may go on after [`StopLevel::Graceful`].
    pub grace: Duration,
}

/// How urgently a run shall stop. The order is the severity: it only goes up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum StopLevel {
    /// Nothing new starts; what runs is asked to end and gets its grace.
    Graceful,
    /// What runs is ended at once.
    AtOnce,
}
