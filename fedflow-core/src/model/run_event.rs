//! `RunEvent`: all that is recorded of a run. The journal keeps events, reports fold them, views show them.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::model::chosen_order::ChosenOrder;
use crate::model::device::{Device, DeviceInfo, Pin};
use crate::model::memory_use::MemoryUse;
use crate::model::name::Name;
use crate::model::outcome::failure::Failure;
use crate::model::outcome::left_running::LeftRunning;
use crate::model::quantity::Size;
use crate::model::session_setup::SessionSetup;
use crate::model::text::seconds;
use crate::model::value::{Dict, Value};

/// Something that happened in a run.
///
/// In serde's formats it is a dictionary whose `event` names the variant in kebab case. The time is no part of it.
/// Lengths of time are measured by the monotonic clock. The formats hold them as numbers of seconds.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "kebab-case", rename_all_fields = "snake_case")]
pub enum RunEvent {
    /// The run, or a session that resumes it, begins.
    RunStarted {
        /// The flow's name.
        flow: String,
        /// The run directory, an absolute path.
        workdir: String,
        /// Which session of the run this is, from 1.
        session: u32,
        /// The devices that it may lease.
        devices: Vec<DeviceInfo>,
        /// The seed of every random choice.
        seed: u64,
        /// The groups that are open again, as they may be rendered otherwise or have more tasks than they had; and of
        /// each the tasks whose recorded outcomes do not count from here on.
        #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
        reopened: BTreeMap<Name, Vec<Name>>,
        /// What the session is started with; `None` in journals of earlier versions.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        setup: Option<Box<SessionSetup>>,
    },
    /// A group begins.
    GroupStarted {
        /// Its name.
        group: Name,
        /// Its place in the order of execution, from 1.
        index: u32,
        /// Its directory, an absolute path.
        workdir: String,
        /// What the group is made of, as a number. A recorded group is the same as another one only if it is equal.
        fingerprint: u64,
        /// Its tasks, in the order in which they were added.
        tasks: Vec<Name>,
        /// What each task is made of, in the same order; empty in journals of format 1.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        fingerprints: Vec<u64>,
        /// The order in which they start, if one was chosen for this group.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        order: Option<ChosenOrder>,
        /// The parameters of each task that are told of it, in the same order; empty if no task has any, and in journals
        /// of earlier versions.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        params: Vec<Dict>,
    },
    /// An attempt at a task begins: its process is being started.
    TaskStarted {
        /// The task's group.
        group: Name,
        /// The task.
        task: Name,
        /// The attempt, from 1.
        attempt: u32,
        /// Its directory, an absolute path.
        workdir: String,
        /// Whether its process has served other tasks.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        reused: bool,
    },
    /// The process is ready and was told to load.
    TaskLoading {
        /// The task's group.
        group: Name,
        /// The task.
        task: Name,
        /// The attempt, from 1.
        attempt: u32,
        /// How long the start of the process took; `None`: as long as since `TaskStarted`.
        #[serde(
            rename = "start_seconds",
            default,
            skip_serializing_if = "Option::is_none",
            with = "seconds::option"
        )]
        startup_time: Option<Duration>,
    },
    /// `load` has returned, and the task waits for a device.
    TaskLoaded {
        /// The task's group.
        group: Name,
        /// The task.
        task: Name,
        /// The attempt, from 1.
        attempt: u32,
        /// How long `load` took.
        #[serde(rename = "load_seconds", with = "seconds")]
        load_time: Duration,
    },
    /// The task begins to train.
    TaskTraining {
        /// The task's group.
        group: Name,
        /// The task.
        task: Name,
        /// The attempt, from 1.
        attempt: u32,
        /// The leased device, or the first of several.
        device: Device,
        /// The number of the CPU slot, or of the share of a card, from 0: the row in charts.
        slot: u32,
        /// All leased devices if there are several, else empty.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        devices: Vec<Device>,
        /// The memory leased on each card; `None` on a CPU slot.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        memory: Option<Size>,
        /// The device that the task is pinned to; `None` if it is not pinned, and in journals of earlier versions.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        pin: Option<Box<Pin>>,
    },
    /// How many steps of the training are done.
    TaskProgress {
        /// The task's group.
        group: Name,
        /// The task.
        task: Name,
        /// The attempt, from 1.
        attempt: u32,
        /// Steps done.
        done: u64,
        /// Steps in all.
        total: u64,
    },
    /// A named value that the task reported while it trained.
    TaskItem {
        /// The task's group.
        group: Name,
        /// The task.
        task: Name,
        /// The attempt, from 1.
        attempt: u32,
        /// The value's name.
        key: String,
        /// The value.
        value: Value,
    },
    /// `train` has ended and the device is given back. The result or the failure follows.
    TaskReleased {
        /// The task's group.
        group: Name,
        /// The task.
        task: Name,
        /// The attempt, from 1.
        attempt: u32,
        /// How long the device was held.
        #[serde(rename = "train_seconds", with = "seconds")]
        train_time: Duration,
    },
    /// The task has its result. Announced only when this record is durable.
    TaskFinished {
        /// The task's group.
        group: Name,
        /// The task.
        task: Name,
        /// The attempt that brought it.
        attempt: u32,
        /// The device that it trained on.
        device: Device,
        /// How long `load` took.
        #[serde(rename = "load_seconds", with = "seconds")]
        load_time: Duration,
        /// How long `train` took.
        #[serde(rename = "train_seconds", with = "seconds")]
        train_time: Duration,
        /// What `train` returned.
        result: Dict,
    },
    /// The task has failed for good. Announced only when this record is durable.
    TaskFailed {
        /// The task's group.
        group: Name,
        /// The task.
        task: Name,
        /// The last attempt.
        attempt: u32,
        /// The device that it trained on; `None` if it never trained.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        device: Option<Device>,
        /// How long `load` took; `None` if it did not end.
        #[serde(
            rename = "load_seconds",
            default,
            skip_serializing_if = "Option::is_none",
            with = "seconds::option"
        )]
        load_time: Option<Duration>,
        /// How long it trained; `None` if it never trained.
        #[serde(
            rename = "train_seconds",
            default,
            skip_serializing_if = "Option::is_none",
            with = "seconds::option"
        )]
        train_time: Option<Duration>,
        /// Why the task failed.
        error: Failure,
    },
    /// The task is not run, as a condition in its flow did not hold. This is its outcome, and no failure.
    TaskSkipped {
        /// The task's group.
        group: Name,
        /// The task.
        task: Name,
        /// Why it is not run.
        reason: String,
    },
    /// An attempt has failed, and another one follows.
    TaskRetried {
        /// The task's group.
        group: Name,
        /// The task.
        task: Name,
        /// The attempt that failed.
        attempt: u32,
        /// The device that it trained on; `None` if it never trained.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        device: Option<Device>,
        /// Why the attempt failed.
        error: Failure,
        /// Whether the process and the loaded data are kept.
        data_kept: bool,
        /// How long until the next attempt may start.
        #[serde(rename = "delay_seconds", with = "seconds")]
        delay: Duration,
    },
    /// How much an attempt used of the memory that it was given. It comes before the end of the process, and only if
    /// something was measured.
    TaskMemory {
        /// The task's group.
        group: Name,
        /// The task.
        task: Name,
        /// The attempt, from 1.
        attempt: u32,
        /// The tasks with which it is compared, as a name for people.
        family: String,
        /// Host memory.
        memory: MemoryUse,
        /// Memory on each card; `None` if it did not train on a card.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        cuda_memory: Option<MemoryUse>,
    },
    /// The task's own process had ended, and others that it had started went on: they were ended.
    TaskLeftRunning {
        /// The task's group.
        group: Name,
        /// The task.
        task: Name,
        /// The attempt, from 1.
        attempt: u32,
        /// The processes, and what became of them.
        left: LeftRunning,
    },
    /// The task's process is gone, or was handed another task.
    TaskExited {
        /// The task's group.
        group: Name,
        /// The task.
        task: Name,
        /// The attempt, from 1.
        attempt: u32,
    },
    /// Every task of the group has its outcome, and every outcome is durable.
    GroupFinished {
        /// The group.
        group: Name,
        /// How many tasks have a result.
        finished: u64,
        /// How many failed. Cancelled tasks do not count.
        failed: u64,
        /// How many were cancelled.
        cancelled: u64,
        /// How many were skipped.
        #[serde(default, skip_serializing_if = "is_zero")]
        skipped: u64,
    },
    /// The run, or this session of it, ends.
    RunFinished {
        /// How it ended.
        outcome: RunOutcome,
    },
}

/// How a run, or a session of it, ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RunOutcome {
    /// Every group was executed.
    Complete,
    /// It was stopped and can be resumed.
    Stopped,
    /// It could not go on.
    Failed,
}

impl RunEvent {
    /// Its name in the progress stream and in the journal.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::RunStarted { .. } => "run-started",
            Self::GroupStarted { .. } => "group-started",
            Self::TaskStarted { .. } => "task-started",
            Self::TaskLoading { .. } => "task-loading",
            Self::TaskLoaded { .. } => "task-loaded",
            Self::TaskTraining { .. } => "task-training",
            Self::TaskProgress { .. } => "task-progress",
            Self::TaskItem { .. } => "task-item",
            Self::TaskReleased { .. } => "task-released",
            Self::TaskFinished { .. } => "task-finished",
            Self::TaskFailed { .. } => "task-failed",
            Self::TaskSkipped { .. } => "task-skipped",
            Self::TaskRetried { .. } => "task-retried",
            Self::TaskMemory { .. } => "task-memory",
            Self::TaskLeftRunning { .. } => "task-left-running",
            Self::TaskExited { .. } => "task-exited",
            Self::GroupFinished { .. } => "group-finished",
            Self::RunFinished { .. } => "run-finished",
        }
    }

    /// Whether it must be on disk before it is announced.
    #[must_use]
    pub fn needs_durability(&self) -> bool {
        matches!(
            self,
            Self::TaskFinished { .. }
                | Self::TaskFailed { .. }
                | Self::TaskSkipped { .. }
                | Self::GroupFinished { .. }
                | Self::RunFinished { .. }
        )
    }

    /// The group, the task and the attempt that it is about; `None` if it is about no task.
    #[must_use]
    pub fn task(&self) -> Option<(&Name, &Name, u32)> {
        match self {
            Self::TaskStarted { group, task, attempt, .. }
            | Self::TaskLoading { group, task, attempt, .. }
            | Self::TaskLoaded { group, task, attempt, .. }
            | Self::TaskTraining { group, task, attempt, .. }
            | Self::TaskProgress { group, task, attempt, .. }
            | Self::TaskItem { group, task, attempt, .. }
            | Self::TaskReleased { group, task, attempt, .. }
            | Self::TaskFinished { group, task, attempt, .. }
            | Self::TaskFailed { group, task, attempt, .. }
            | Self::TaskRetried { group, task, attempt, .. }
            | Self::TaskMemory { group, task, attempt, .. }
            | Self::TaskLeftRunning { group, task, attempt, .. }
            | Self::TaskExited { group, task, attempt } => Some((group, task, *attempt)),
            // It is the outcome of no attempt.
            Self::TaskSkipped { group, task, .. } => Some((group, task, 0)),
            Self::RunStarted { .. }
            | Self::GroupStarted { .. }
            | Self::GroupFinished { .. }
            | Self::RunFinished { .. } => None,
        }
    }
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks for a reference")]
fn is_zero(number: &u64) -> bool {
    *number == 0
}
