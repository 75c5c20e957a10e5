//! The phases of a worker, and the one table of what counts in each of them.

use std::time::Duration;

use crate::leasing::lease::Lease;
use crate::model::device::Device;
use crate::model::limits::Limits;
use crate::model::outcome::failure::{Failure, Stage};
use crate::model::time::Time;

/// Where a worker is. Each phase owns what only it needs.
#[derive(Debug, Clone)]
pub(in crate::scheduler) enum Phase {
    /// Its process is being started.
    Starting,
    /// It is up and has its task.
    Available {
        /// Its place in the queue of those that may load next.
        place: u64,
    },
    /// It loads.
    Loading,
    /// It has loaded and waits for a device.
    Waiting {
        /// Its place in the queue for devices.
        place: u64,
        moving: Moving,
    },
    /// It trains.
    Training(Lease),
    /// Its task has its result, and its process is told to exit.
    Exiting,
    /// It is being ended. What becomes of its task is decided when every process of it is gone.
    Ending(Ending),
}

/// Why a worker is being ended, and what it still holds.
#[derive(Debug, Clone, Default)]
pub(in crate::scheduler) struct Ending {
    /// `None` if its attempt has not failed: the run is being stopped, or it makes room for another task.
    pub(in crate::scheduler) failure: Option<Failure>,
    /// Since when it has held a device that is free only when it is gone, as it was ended in `train`.
    pub(in crate::scheduler) holds_since: Option<Time>,
    /// The device that was lost while it trained there.
    pub(in crate::scheduler) lost: Option<Device>,
}

/// Whether a worker that waits for the card to which it is tied is started anew.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(in crate::scheduler) enum Moving {
    /// There is no reason.
    #[default]
    No,
    /// Another card is free: a timer runs.
    Soon,
    /// It is, if another card is free now.
    Due,
}

/// What a worker counts as, and which time limits run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::scheduler) struct Rules {
    /// The stage of a failure in this phase; `None` once the attempt is over.
    pub(in crate::scheduler) stage: Option<Stage>,
    /// Whether it is ahead of the devices. An admitted one counts against the load depth, another one as a spare.
    pub(in crate::scheduler) ahead: bool,
    /// Whether it is at work. While none is, busy processors keep none from loading.
    pub(in crate::scheduler) busy: bool,
    /// The time limit of the phase.
    pub(in crate::scheduler) limit: Option<TimeLimit>,
    /// Whether the limit of the whole attempt runs.
    pub(in crate::scheduler) timeout: bool,
}

/// A time limit of one phase.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::scheduler) enum TimeLimit {
    Start,
    Load,
    Train,
}

impl Phase {
    /// What counts in which phase. This is the only place where it is said:
    ///
    /// | phase     | failure's stage | ahead of devices | at work | time limit      | `timeout` |
    /// |-----------|-----------------|------------------|---------|-----------------|-----------|
    /// | starting  | start           | yes              |         | `start-timeout` | runs      |
    /// | available | start           | yes              |         |                 |           |
    /// | loading   | load            | yes              | yes     | `load-timeout`  | runs      |
    /// | waiting   | wait            | yes              |         |                 |           |
    /// | training  | train           |                  | yes     | `train-timeout` | runs      |
    /// | exiting   |                 |                  |         | see the ladder  |           |
    /// | ending    |                 |                  |         | see the ladder  |           |
    ///
    /// A limit runs only in a phase whose length the task controls, so that no task fails for what it waited.
    ///
    /// Besides, in every phase: a worker is one of `max-process` until its processes are gone, and what is reserved
    /// for it of the host's memory counts from its admission: what its flow says until it is exiting or ending, a guess
    /// until its use can be measured; either less what it was seen to use.
    pub(in crate::scheduler) fn rules(&self) -> Rules {
        use TimeLimit::{Load, Start, Train};
        let rules = |stage, ahead, busy, limit, timeout| Rules { stage, ahead, busy, limit, timeout };
        match self {
            Self::Starting => rules(Some(Stage::Start), true, false, Some(Start), true),
            Self::Available { .. } => rules(Some(Stage::Start), true, false, None, false),
            Self::Loading => rules(Some(Stage::Load), true, true, Some(Load), true),
            Self::Waiting { .. } => rules(Some(Stage::Wait), true, false, None, false),
            Self::Training(_) => rules(Some(Stage::Train), false, true, Some(Train), true),
            Self::Exiting | Self::Ending(_) => rules(None, false, false, None, false),
        }
    }

    /// The stage of a failure in this phase; `None` once the attempt is over.
    pub(in crate::scheduler) fn stage(&self) -> Option<Stage> {
        self.rules().stage
    }
}

impl TimeLimit {
    /// How it is called in the configuration.
    pub(in crate::scheduler) fn name(self) -> &'static str {
        match self {
            Self::Start => "start-timeout",
            Self::Load => "load-timeout",
            Self::Train => "train-timeout",
        }
    }

    pub(in crate::scheduler) fn of(self, limits: &Limits) -> Option<Duration> {
        match self {
            Self::Start => limits.start_timeout,
            Self::Load => limits.load_timeout,
            Self::Train => limits.train_timeout,
        }
    }
}
