//! What a run is beside its groups, and how it is stopped.

use std::path::PathBuf;
use std::time::Duration;

use crate::model::config::OnFailure;
use crate::model::session_setup::SessionSetup;

/// What a run is beside its groups. The engine is given it once.
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
    /// What the session is started with, to be recorded; `None` where nothing is recorded.
    pub setup: Option<SessionSetup>,
    /// What a failed task means for the groups after its own.
    pub on_failure: OnFailure,
    /// How long workers may go on after [`StopLevel::Graceful`].
    pub grace: Duration,
}

/// How urgently a run stops. It only becomes more urgent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum StopLevel {
    /// Nothing new starts, and workers are terminated; they have the grace time to end.
    Graceful,
    /// Workers are killed.
    AtOnce,
}
