//! What the scheduler keeps of each task: needs and limits with every default filled in.

use std::ops::{Deref, DerefMut};
use std::sync::Arc;
use std::time::Duration;

use crate::learning::family::Family;
use crate::leasing::lease::LeaseRequest;
use crate::model::config::{Config, StartOrder};
use crate::model::device::Pin;
use crate::model::failure::{Failure, FailureKind, Stage};
use crate::model::identity::TaskKey;
use crate::model::limits::Limits;
use crate::model::name::Name;
use crate::model::quantity::Size;
use crate::work::group::TaskGroup;
use crate::work::spec::{ExpectedTimes, Needs, Program, Reuse, TaskSpec};

/// A task as the scheduler sees it.
///
/// Its [`PlanTerms`] are read and set as if they were in here, but shared by equal tasks until one is changed.
#[derive(Debug, Clone, PartialEq)]
pub struct TaskPlan {
    /// Its identifier.
    pub task_id: Name,
    /// The number of attempts that were started before, by earlier sessions of the run.
    pub attempts_before: u32,
    /// Whether it needs no run: its outcome is known.
    pub outcome: Option<PlannedOutcome>,
    /// With which tasks its memory is compared, if that is to be learned.
    pub family: Option<Box<Family>>,
    /// For whom its process stays afterwards; none: it ends with the task. Shared by equal tasks.
    pub stay: Option<Arc<Stay>>,
    terms: Arc<PlanTerms>,
}

/// What a task needs and what limits it: equal for many tasks of a group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlanTerms {
    /// What it needs; estimates may be open.
    pub needs: Needs,
    /// What the tasks are called, for people, with which its memory is compared.
    pub family_name: Arc<str>,
    /// Whether a process loads before it trains; a command without a load command has none until then.
    pub loads: bool,
    /// The device that it is tied to.
    pub pin: Option<Pin>,
    /// Its limits, with those of its group and of the configuration filled in.
    pub limits: Limits,
    /// How long it is expected to take.
    pub expected: Option<ExpectedTimes>,
}

/// A process that outlives its task: for which later tasks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stay {
    /// Those of this worker program.
    pub worker: Box<str>,
    /// The task's kind: what was loaded is found by tasks of the same kind.
    pub kind: Box<str>,
    /// Those with this key, which find what was loaded.
    pub keep: Option<Box<str>>,
    /// Any of the worker's tasks without a key, if this allows it.
    pub reuse: Option<Reuse>,
}

impl Stay {
    /// What becomes of a task's process; a command is never kept.
    fn of(spec: &TaskSpec) -> Option<Self> {
        let Program::Worker { worker, kind } = spec.program.as_ref() else { return None };
        (spec.keep.is_some() || spec.reuse.is_some()).then(|| Self {
            worker: worker.as_str().into(),
            kind: kind.as_str().into(),
            keep: spec.keep.clone(),
            reuse: spec.reuse,
        })
    }
}

// A group may have a million of them.
const _: () =
    assert!(size_of::<TaskPlan>() <= 64, "a plan grows: what tasks have in common goes to its terms");

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
        let group_name = group.group_name();
        let mut last: Option<Arc<PlanTerms>> = None;
        let mut last_stay: Option<Arc<Stay>> = None;
        group
            .tasks()
            .map(|task| {
                let spec = task.spec();
                let terms = PlanTerms {
                    needs: Needs {
                        memory: spec.needs.memory.or(group.estimate_memory),
                        cuda_memory: spec.needs.cuda_memory.or(group.estimate_cuda_memory),
                        ..spec.needs
                    },
                    family_name: match &last {
                        Some(last) => Family::name_like(&last.family_name, &group_name, &spec.program),
                        None => Family::name_of(&group_name, &spec.program).into(),
                    },
                    loads: !matches!(spec.program.as_ref(), Program::Command { load: None, .. }),
                    pin: spec.device.clone().or_else(|| group.device().cloned()),
                    limits: spec.limits.or(group.limits).or(config.supervision.limits),
                    expected: spec.expected,
                };
                let terms = match &last {
                    Some(last) if **last == terms => Arc::clone(last),
                    _ => Arc::clone(last.insert(Arc::new(terms))),
                };
                let broken = |message: &str| {
                    let failure = Failure::new(Stage::Start, FailureKind::Error, message);
                    PlannedOutcome::Broken(Box::new(failure))
                };
                let outcome = if task.status().is_over() {
                    Some(PlannedOutcome::Recorded)
                } else {
                    task.broken().map(broken)
                };
                let stay = Stay::of(spec);
                if stay.as_ref() != last_stay.as_deref() {
                    last_stay = stay.map(Arc::new);
                }
                let learns = config.scheduler.auto_adjust;
                Self {
                    task_id: task.task_id().clone(),
                    attempts_before: task.attempt(),
                    outcome,
                    family: learns.then(|| Box::new(Family::of(&group_name, spec))),
                    stay: last_stay.clone(),
                    terms,
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
            roomy: false,
        }
    }

    /// How long it is expected to take in all.
    fn expected_in_all(&self) -> Option<Duration> {
        self.expected.map(|times| times.load.saturating_add(times.train))
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

impl Deref for TaskPlan {
    type Target = PlanTerms;

    fn deref(&self) -> &PlanTerms {
        &self.terms
    }
}

impl DerefMut for TaskPlan {
    /// From here on it has terms of its own.
    fn deref_mut(&mut self) -> &mut PlanTerms {
        Arc::make_mut(&mut self.terms)
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
            places.sort_by_key(|&place| {
                std::cmp::Reverse(plans[place as usize].expected_in_all().unwrap_or(mean))
            });
        }
    }
    places
}

/// How long the tasks are expected to take on average, as far as anybody knows.
fn mean_expected(plans: &[TaskPlan]) -> Duration {
    let known = plans.iter().filter_map(TaskPlan::expected_in_all);
    let (sum, count) = known.fold((Duration::ZERO, 0_u32), |(sum, count), expected| {
        (sum.saturating_add(expected), count.saturating_add(1))
    });
    sum.checked_div(count).unwrap_or_default()
}
