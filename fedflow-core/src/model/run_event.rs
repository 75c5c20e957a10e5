//! `RunEvent`: all that is ever told of a run. The journal keeps it, reports fold it, views show it.

use serde::{Deserialize, Serialize};

use crate::model::device::{Device, DeviceInfo};
use crate::model::failure::Failure;
use crate::model::memory_use::MemoryUse;
use crate::model::name::Name;
use crate::model::quantity::Size;
use crate::model::value::{Dict, Value};

/// Something that happened in a run.
///
/// In serde's formats it is a dictionary whose `event` names the variant in kebab case; the time stands beside
/// it, not in it. Seconds are wall time by the monotonic clock.
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
    },
    /// A group begins.
    GroupStarted {
        /// Its name.
        group: Name,
        /// Its place in the order of execution, from 1.
        index: u32,
        /// Its directory, an absolute path.
        workdir: String,
        /// A checksum of what the group was made of; a recorded group stands for another one only if it matches.
        fingerprint: u64,
        /// Its tasks, in the order in which they were added.
        tasks: Vec<Name>,
    },
    /// An attempt at a task begins: its process is being started.
    TaskStarted {
        /// The task's group.
        group: Name,
        /// The task.
        task: Name,
        /// Which attempt, from 1.
        attempt: u32,
        /// Its directory, an absolute path.
        workdir: String,
        /// Whether it is given to a process that has served other tasks.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        reused: bool,
    },
    /// Its process is up and was told to load.
    TaskLoading {
        /// The task's group.
        group: Name,
        /// The task.
        task: Name,
        /// Which attempt.
        attempt: u32,
        /// How long it took until its process was up, if that was before it could be told.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        start_seconds: Option<f64>,
    },
    /// `load` returned; the task waits for a device.
    TaskLoaded {
        /// The task's group.
        group: Name,
        /// The task.
        task: Name,
        /// Which attempt.
        attempt: u32,
        /// How long `load` took.
        load_seconds: f64,
    },
    /// The task trains.
    TaskTraining {
        /// The task's group.
        group: Name,
        /// The task.
        task: Name,
        /// Which attempt.
        attempt: u32,
        /// The (first) leased device.
        device: Device,
        /// Which of several equal slots it is, from 0: the lane in charts.
        slot: u32,
        /// All leased cards, if there are several.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        devices: Vec<Device>,
        /// The memory leased on each card.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        memory: Option<Size>,
    },
    /// How far the training is.
    TaskProgress {
        /// The task's group.
        group: Name,
        /// The task.
        task: Name,
        /// Which attempt.
        attempt: u32,
        /// Steps done.
        done: u64,
        /// Steps in all.
        total: u64,
    },
    /// A named value that the task told while training.
    TaskItem {
        /// The task's group.
        group: Name,
        /// The task.
        task: Name,
        /// Which attempt.
        attempt: u32,
        /// The value's name.
        key: String,
        /// The value.
        value: Value,
    },
    /// `train` ended and the device is given back; the result or the failure follows.
    TaskReleased {
        /// The task's group.
        group: Name,
        /// The task.
        task: Name,
        /// Which attempt.
        attempt: u32,
        /// How long the device was held.
        train_seconds: f64,
    },
    /// The task has its result. Announced only when this record is durable.
    TaskFinished {
        /// The task's group.
        group: Name,
        /// The task.
        task: Name,
        /// Which attempt brought it.
        attempt: u32,
        /// The device that it trained on.
        device: Device,
        /// How long `load` took.
        load_seconds: f64,
        /// How long `train` took.
        train_seconds: f64,
        /// What `train` returned.
        result: Dict,
    },
    /// The task has failed for good. Announced only when this record is durable.
    TaskFailed {
        /// The task's group.
        group: Name,
        /// The task.
        task: Name,
        /// Which attempt was the last.
        attempt: u32,
        /// The device that it trained on, if it got so far.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        device: Option<Device>,
        /// How long `load` took, if it ended.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        load_seconds: Option<f64>,
        /// How long it trained, if it got so far.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        train_seconds: Option<f64>,
        /// Why.
        error: Failure,
    },
    /// An attempt failed and another one follows.
    TaskRetried {
        /// The task's group.
        group: Name,
        /// The task.
        task: Name,
        /// Which attempt failed.
        attempt: u32,
        /// The device that it trained on, if it got so far.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        device: Option<Device>,
        /// Why it failed.
        error: Failure,
        /// Whether the process and the loaded data are kept.
        data_kept: bool,
        /// How long until the next attempt may start.
        delay_seconds: f64,
    },
    /// What an attempt used of the memory that it was given. Told before its process is gone, if anything of it
    /// was measured.
    TaskMemory {
        /// The task's group.
        group: Name,
        /// The task.
        task: Name,
        /// Which attempt.
        attempt: u32,
        /// With which tasks it is compared, for people.
        family: String,
        /// Host memory.
        memory: MemoryUse,
        /// Memory on each card, if it trained on one.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        cuda_memory: Option<MemoryUse>,
    },
    /// The task's process is gone.
    TaskExited {
        /// The task's group.
        group: Name,
        /// The task.
        task: Name,
        /// Which attempt.
        attempt: u32,
    },
    /// Every task of the group has its outcome, and every outcome is durable.
    GroupFinished {
        /// The group.
        group: Name,
        /// How many tasks have a result.
        finished: u64,
        /// How many failed, cancelled ones not counted.
        failed: u64,
        /// How many were cancelled.
        cancelled: u64,
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
            Self::TaskRetried { .. } => "task-retried",
            Self::TaskMemory { .. } => "task-memory",
            Self::TaskExited { .. } => "task-exited",
            Self::GroupFinished { .. } => "group-finished",
            Self::RunFinished { .. } => "run-finished",
        }
    }

    /// Whether it must be on disk before anybody is told.
    #[must_use]
    pub fn needs_durability(&self) -> bool {
        matches!(
            self,
            Self::TaskFinished { .. }
                | Self::TaskFailed { .. }
                | Self::GroupFinished { .. }
                | Self::RunFinished { .. }
        )
    }

    /// The group and the task that it speaks of, and the attempt, if it speaks of one.
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
            | Self::TaskExited { group, task, attempt } => Some((group, task, *attempt)),
            Self::RunStarted { .. }
            | Self::GroupStarted { .. }
            | Self::GroupFinished { .. }
            | Self::RunFinished { .. } => None,
        }
    }
}
