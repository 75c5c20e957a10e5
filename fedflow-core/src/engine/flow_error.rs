//! Why a group was not executed to its end.

use crate::leasing::lease::Unleasable;
use crate::model::name::Name;
use crate::work::group::GroupError;

/// Why a group was not executed to its end.
#[derive(Debug, thiserror::Error)]
pub enum FlowError {
    /// A task asks for what no device can give. Nothing was started.
    #[error("task {task}: {source}")]
    Unleasable {
        /// The task.
        task: Name,
        /// Why no device can give it.
        source: Unleasable,
    },
    /// The run was stopped.
    #[error("the run was stopped")]
    Stopped,
    /// A task of an earlier group failed, and `task.on-failure` is `stop`.
    #[error("a task of an earlier group failed")]
    EarlierFailure,
    /// Whether a group is to be executed cannot be told.
    #[error("{0}")]
    Undecided(String),
    /// The run's records cannot be written any more.
    #[error("the run's records cannot be written: {0}")]
    Recording(String),
    /// The run has recorded a group of this name that was made of other tasks.
    #[error("the run has recorded a group {0} that was made of other tasks or parameters")]
    Changed(Name),
    /// Another group was given to be executed next.
    #[error("group {0} has loaded ahead and must be executed next")]
    OutOfOrder(Name),
    /// A worker or a record does not fit the life cycle of its task.
    #[error(transparent)]
    Group(#[from] GroupError),
}
