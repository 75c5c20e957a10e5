//! What the scheduler keeps of each task: needs and limits with every default filled in.

use std::sync::Arc;
use std::time::Duration;

use crate::config::{Config, StartOrder};
use crate::device::Pin;
use crate::failure::{Failure, FailureKind, Stage};
use crate::group::TaskGroup;
use crate::lease::LeaseRequest;
use crate::name::Name;
use crate::ports::TaskKey;
use crate::quantity::Size;
use crate::spec::{Limits, Needs, Program, Reuse, TaskSpec};

/// A task as the scheduler sees it.
#[derive(Debug, Clone, PartialEq)]
pub struct TaskPlan {
    /// Its identifier.
    pub task_id: Name,
    /// What it needs; estimates may be open.
    pub needs: Needs,
    /// Whether a process loads before it trains; a command without a load command has none until then.
    pub loads: bool,
    /// The device that it is tied to.
    pub pin: Option<Pin>,
    /// Its limits, with those of its group and of the configuration filled in. Shared by equal tasks.
    pub limits: Arc<Limits>,
    /// How long it is expected to take in all.
    pub expected: Option<Duration>,
    /// The number of attempts that were started before, by earlier sessions of the run.
    pub attempts_before: u32,
    /// Whether it needs no run: its outcome is known.
    pub outcome: Option<PlannedOutcome>,
    /// For whom its process stays afterwards; none: it ends with the task. Shared by equal tasks.
    pub stay: Option<Arc<Stay>>,
}

/// A process that outlives its task: for which later tasks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stay {
    /// Those of this worker program.
    pub worker: Box<str>,
    /// Those with this key, which find what was loaded.
    pub keep: Option<Box<str>>,
    /// Any of the worker's tasks without a key, if this allows it.
    pub reuse: Option<Reuse>,
}

impl Stay {
    /// What becomes of a task's process; a command is never kept.
    fn of(spec: &TaskSpec) -> Option<Self> {
        let Program::Worker { worker, .. } = spec.program.as_ref() else { return None };
        (spec.keep.is_some() || spec.reuse.is_some()).then(|| Self {
            worker: worker.as_str().into(),
            keep: spec.keep.clone(),
            reuse: spec.reuse,
        })
    }
}

/// An outcome that is known before the task is run.
#[derive(Debug, Clone, PartialEq)]
pub enum PlannedOutcome {
    /// It was recorded by an earlier session.
    Recorded,
    /// It cannot be run, as it could not be described.
    Broken(Box<Failure>),
}

impl TaskPlan {
    /// The plans of a group's tasks, in the order of adding.
    #[must_use]
    pub fn of_group(group: &TaskGroup, config: &Config) -> Vec<Self> {
        let mut last_limits = Arc::new(group.limits.or(config.supervision.limits));
        let mut last_stay: Option<Arc<Stay>> = None;
        group
            .tasks()
            .map(|task| {
                let spec = task.spec();
                let limits = spec.limits.or(group.limits).or(config.supervision.limits);
                if limits != *last_limits {
                    last_limits = Arc::new(limits);
                }
                let outcome = if task.status().is_over() {
                    Some(PlannedOutcome::Recorded)
                } else {
                    task.broken().map(|message| {
                        PlannedOutcome::Broken(Box::new(Failure::new(
                            Stage::Start,
                            FailureKind::Error,
                            message,
                        )))
                    })
                };
                let stay = Stay::of(spec);
                if stay.as_ref() != last_stay.as_deref() {
                    last_stay = stay.map(Arc::new);
                }
                Self {
                    task_id: task.task_id().clone(),
                    needs: Needs {
                        memory: spec.needs.memory.or(group.estimate_memory),
                        cuda_memory: spec.needs.cuda_memory.or(group.estimate_cuda_memory),
                        ..spec.needs
                    },
                    loads: !matches!(spec.program.as_ref(), Program::Command { load: None, .. }),
                    pin: spec.device.clone().or_else(|| group.device().cloned()),
                    limits: last_limits.clone(),
                    expected: spec.expected.map(|times| times.load.saturating_add(times.train)),
                    attempts_before: task.attempt(),
                    outcome,
                    stay: last_stay.clone(),
                }
            })
            .collect()
    }

    /// What it asks of the devices.
    #[must_use]
    pub fn lease_request(&self, holder: TaskKey, config: &Config) -> LeaseRequest {
        LeaseRequest {
            holder,
            devices: self.needs.devices,
            memory: self.cuda_memory(config),
            estimated: self.needs.cuda_memory.is_some(),
            exclusive: self.needs.exclusive,
            pin: self.pin.clone(),
            hold: false,
            replaces: None,
        }
    }

    /// The memory that it needs on each card.
    #[must_use]
    pub fn cuda_memory(&self, config: &Config) -> Size {
        self.needs.cuda_memory.unwrap_or(config.scheduler.default_cuda_memory)
    }

    /// The host memory to reserve for it.
    #[must_use]
    pub fn memory(&self, config: &Config) -> Size {
        self.needs.memory.unwrap_or(config.scheduler.default_memory)
    }
}

/// The places of tasks in the order in which they shall start. With `longest-first`, a task of which nobody knows
/// how long it takes counts as long as the others do on average, and equal ones stay in the order of adding.
#[must_use]
pub fn start_order(plans: &[TaskPlan], order: StartOrder, seed: u64) -> Vec<u32> {
    let mut places: Vec<u32> = (0..u32::try_from(plans.len()).unwrap_or(u32::MAX)).collect();
    match order {
        StartOrder::Added => {}
        StartOrder::Random => fastrand::Rng::with_seed(seed).shuffle(&mut places),
        StartOrder::LongestFirst => {
            let mean = mean_expected(plans);
            places.sort_by_key(|&place| std::cmp::Reverse(plans[place as usize].expected.unwrap_or(mean)));
        }
    }
    places
}

/// How long the tasks are expected to take on average, as far as anybody knows.
fn mean_expected(plans: &[TaskPlan]) -> Duration {
    let known = plans.iter().filter_map(|plan| plan.expected);
    let (sum, count) = known.fold((Duration::ZERO, 0_u32), |(sum, count), expected| {
        (sum.saturating_add(expected), count.saturating_add(1))
    });
    sum.checked_div(count).unwrap_or_default()
}
