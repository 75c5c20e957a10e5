//! The life cycle of a task, in one transition function.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Where a task is in its life.
///
/// ```text
/// Init ─start─▶ Available ─start_load─▶ Loading ─▶ Waiting ─start_train─▶ Training ─▶ Finished ─exit─▶ Exited
///                   ▲                      │          ▲                      │
///                   └──── Interrupt ◀──────┘          └──── Interrupt ◀──────┘      any stage ─error─▶ Exception
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum TaskStatus {
    /// The flow has no such task.
    #[default]
    Unknown,
    /// The task was added to a group and has no process.
    Init,
    /// Its process is ready.
    Available,
    /// It reads its data, without a device.
    Loading,
    /// It has loaded and waits for a device.
    Waiting,
    /// It trains on its device.
    Training,
    /// `train` returned a result.
    Finished,
    /// It has finished, and its process is gone or is no longer waited for.
    Exited,
    /// It failed for good, or was cancelled.
    Exception,
    /// It was interrupted and will be tried again.
    Interrupt,
}

/// What moves a task from one status to the next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Transition {
    /// A process was started for it.
    Start,
    /// It was told to load.
    StartLoad,
    /// `load` returned.
    Loaded,
    /// It was told to train on a leased device.
    StartTrain,
    /// `train` returned its result.
    Trained,
    /// Its process ended after it had finished.
    Exit,
    /// It is interrupted, to be tried again.
    Interrupt,
    /// After an interrupt, it is tried again from the beginning, in a new process.
    Restart,
    /// After an interrupt in `load`, the same process loads again.
    Reload,
    /// After an interrupt in `train`, the loaded data are kept, and it waits for a device again.
    Rewait,
    /// It failed for good.
    Fail,
}

/// A step that the life cycle does not allow.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a task that is {from} cannot take the step {step:?}")]
pub struct IllegalTransition {
    /// Where the task was.
    pub from: TaskStatus,
    /// The step that was tried.
    pub step: Transition,
}

impl TaskStatus {
    /// The status after a step.
    ///
    /// # Errors
    /// The step is not legal from this status.
    pub fn after(self, step: Transition) -> Result<Self, IllegalTransition> {
        use Transition as T;
        Ok(match (self, step) {
            (Self::Init, T::Start) => Self::Available,
            (Self::Available, T::StartLoad) => Self::Loading,
            (Self::Loading, T::Loaded) => Self::Waiting,
            (Self::Waiting, T::StartTrain) => Self::Training,
            (Self::Training, T::Trained) => Self::Finished,
            (Self::Finished, T::Exit) => Self::Exited,
            (Self::Init | Self::Available | Self::Loading | Self::Waiting | Self::Training, T::Interrupt) => {
                Self::Interrupt
            }
            (Self::Interrupt, T::Restart) => Self::Init,
            (Self::Interrupt, T::Reload) => Self::Available,
            (Self::Interrupt, T::Rewait) => Self::Waiting,
            (
                Self::Init
                | Self::Available
                | Self::Loading
                | Self::Waiting
                | Self::Training
                | Self::Interrupt,
                T::Fail,
            ) => Self::Exception,
            (from, step) => return Err(IllegalTransition { from, step }),
        })
    }

    /// Whether the task has its outcome: a result or an exception.
    #[must_use]
    pub fn is_over(self) -> bool {
        matches!(self, Self::Finished | Self::Exited | Self::Exception)
    }
}

impl fmt::Display for TaskStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Unknown => "unknown",
            Self::Init => "init",
            Self::Available => "available",
            Self::Loading => "loading",
            Self::Waiting => "waiting",
            Self::Training => "training",
            Self::Finished => "finished",
            Self::Exited => "exited",
            Self::Exception => "exception",
            Self::Interrupt => "interrupt",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::TaskStatus as S;
    use super::Transition as T;

    const ALL: [T; 11] = [
        T::Start,
        T::StartLoad,
        T::Loaded,
        T::StartTrain,
        T::Trained,
        T::Exit,
        T::Interrupt,
        T::Restart,
        T::Reload,
        T::Rewait,
        T::Fail,
    ];

    #[test]
    fn the_straight_way_is_the_design() {
        let way = [T::Start, T::StartLoad, T::Loaded, T::StartTrain, T::Trained, T::Exit];
        let mut status = S::Init;
        for step in way {
            status = status.after(step).unwrap();
        }
        assert_eq!(status, S::Exited);
    }

    #[test]
    fn what_is_over_stays_over() {
        for over in [S::Exited, S::Exception, S::Unknown] {
            assert!(ALL.iter().all(|&step| over.after(step).is_err()), "{over}");
        }
        assert!(ALL.iter().filter(|&&step| S::Finished.after(step).is_ok()).eq([&T::Exit]));
    }

    #[test]
    fn an_interrupt_in_train_keeps_the_data() {
        let status = S::Training.after(T::Interrupt).and_then(|s| s.after(T::Rewait));
        assert_eq!(status, Ok(S::Waiting));
        assert!(S::Waiting.after(T::Rewait).is_err());
    }
}
