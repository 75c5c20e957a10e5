//! A living worker, as the scheduler sees it: each phase owns its data.

use super::ties::Effort;
use crate::leasing::lease::{Lease, LeaseId};
use crate::model::device::Device;
use crate::model::failure::{Failure, Stage};
use crate::model::identity::TaskKey;
use crate::model::quantity::Size;
use crate::model::time::Time;

/// One attempt at a task, from the start of its process until every process of it is gone.
#[derive(Debug, Clone)]
pub(super) struct Worker {
    /// The task.
    pub(super) task: TaskKey,
    /// Which attempt.
    pub(super) attempt: u32,
    /// When the attempt began.
    pub(super) started: Time,
    /// Where it is.
    pub(super) phase: Phase,
    /// How long it took from its start until it was up.
    pub(super) lead_seconds: f64,
    /// How long `load` took, once it has ended.
    pub(super) load_seconds: Option<f64>,
    /// The device that it trained on and for how long, once it did.
    pub(super) trained: Option<(Device, f64)>,
    /// Host memory that is reserved for it.
    pub(super) reserved: Size,
    /// Whether the host has room for what it will load; until then it is only up.
    pub(super) admitted: bool,
    /// Whether it was up before there was.
    pub(super) was_spare: bool,
    /// Whether it still counts among those that are ahead of the devices.
    pub(super) ahead: bool,
    /// Whether it counts as one of those, being admitted: not one that is only up.
    pub(super) booked: bool,
    /// How many tasks its process has served before.
    pub(super) served: u32,
    /// A lease that is given back when the process is gone: its turn has ended, or it is being ended in `train`.
    pub(super) resident: Option<LeaseId>,
    /// Since when it has held a device that is given back only when it is gone, as it is being ended in `train`.
    pub(super) holds_since: Option<Time>,
    /// Where it must train, as it has trained there before: what a process keeps on a card cannot be moved.
    pub(super) stays_on: Option<Device>,
    /// Whether it is to be started anew, if another card is free then.
    pub(super) moving: Moving,
    /// What it takes to have its task in a new process.
    pub(super) effort: Effort,
    /// Whether what it needs was loaded for an earlier task.
    pub(super) took_over: bool,
    /// The device that was lost while it trained there.
    pub(super) device_lost: Option<Device>,
}

impl Worker {
    /// What its process still holds of a card from an earlier task, while it has not trained for this one.
    pub(super) fn idle_lease(&self) -> Option<LeaseId> {
        self.resident.filter(|_| self.ahead && self.trained.is_none())
    }
}

/// Whether a worker that waits for the card to which it is tied is started anew.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) enum Moving {
    /// There is no reason.
    #[default]
    No,
    /// Another card is free: a timer runs.
    Soon,
    /// If another card is free now.
    Due,
}

/// Where a worker is.
#[derive(Debug, Clone)]
pub(super) enum Phase {
    /// Its process is being started.
    Starting,
    /// It is up, and may load when the processors are free enough.
    Available,
    /// It loads.
    Loading {
        /// Since when.
        since: Time,
    },
    /// It has loaded and waits for a device.
    Waiting,
    /// It trains.
    Training {
        /// On what.
        lease: Lease,
        /// Since when.
        since: Time,
    },
    /// Its task has its result; it was told to exit.
    Exiting {
        /// How hard.
        severity: Severity,
    },
    /// It is being ended; what becomes of the task is decided when it is gone.
    Ending {
        /// Why; none if the run is being stopped: then the task has no outcome and is run again by a resume.
        failure: Option<Failure>,
        /// How hard.
        severity: Severity,
    },
}

/// How hard a worker is being ended. The order is the severity: it only goes up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Severity {
    /// It was told to exit by a message.
    Asked,
    /// Its processes got SIGTERM.
    Terminated,
    /// Its processes got SIGKILL.
    Killed,
}

impl Phase {
    /// The stage that a failure in this phase is told with; none if it has its outcome or is being ended.
    pub(super) fn stage(&self) -> Option<Stage> {
        match self {
            Self::Starting | Self::Available => Some(Stage::Start),
            Self::Loading { .. } => Some(Stage::Load),
            Self::Waiting => Some(Stage::Wait),
            Self::Training { .. } => Some(Stage::Train),
            Self::Exiting { .. } | Self::Ending { .. } => None,
        }
    }
}
