//! `ScheduledTask`: what the scheduler keeps of a task, with every default filled in.

use std::sync::Arc;
use std::time::Duration;

use super::account::Account;
use super::keep_policy::KeepPolicy;
use super::retry::Spent;
use crate::learning::family::Family;
use crate::leasing::lease::LeaseRequest;
use crate::model::config::Config;
use crate::model::device::Pin;
use crate::model::identity::{TaskKey, WorkerId};
use crate::model::limits::Limits;
use crate::model::name::Name;
use crate::model::quantity::Size;
use crate::work::group::TaskGroup;
use crate::work::spec::{ExpectedTimes, Needs, Program, TaskSpec};

/// A task as the scheduler knows it.
#[derive(Debug, Clone, PartialEq)]
pub struct ScheduledTask {
    pub(crate) task_id: Name,
    /// What it has in common with other tasks, in shared memory.
    terms: Arc<CommonTerms>,
    /// For which later tasks its process stays; `None`: it ends with the task. Shared by equal tasks.
    pub(crate) keep: Option<Arc<KeepPolicy>>,
    /// With which tasks its memory is compared; `None` if nothing is to be learned.
    pub(in crate::scheduler) family: Option<Box<Family>>,
    pub(in crate::scheduler) state: TaskState,
    /// The attempts that were started, by earlier sessions of the run too.
    pub(in crate::scheduler) attempts: u32,
    /// How often it was ready before.
    pub(in crate::scheduler) readied: u32,
    pub(in crate::scheduler) spent: Spent,
    /// What it needs beyond its terms, once it has run out of memory.
    grown: Option<Box<Grown>>,
    /// The memory of its attempt, until that is over and told.
    pub(in crate::scheduler) account: Option<Box<Account>>,
    /// What was learned of its memory fits no device that it may have.
    pub(in crate::scheduler) distrusted: bool,
    /// Its last process was ended because another card was free: no process that waits for a busy card takes it.
    pub(in crate::scheduler) moves: bool,
}

/// What tasks of a group mostly have in common.
#[derive(Debug, PartialEq, Eq)]
struct CommonTerms {
    needs: Needs,
    family_name: Arc<str>,
    loads: bool,
    pin: Option<Pin>,
    limits: Limits,
    expected: Option<ExpectedTimes>,
}

/// What a task is given after it has run out of memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
struct Grown {
    memory: Option<Size>,
    cuda_memory: Option<Size>,
    alone: bool,
}

/// Where a task is, as far as it decides what is started.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::scheduler) enum TaskState {
    /// In a ready queue.
    Ready,
    /// It waits for the process that a task of the active group still has.
    Postponed,
    /// A worker is at it.
    Running(WorkerId),
    /// It waits until its next attempt may start.
    Delayed,
    /// It is not run, for this reason. It has its outcome as soon as its group is added.
    NotRun(Box<NotRun>),
    /// It has its outcome.
    Over,
}

/// Why a task is not run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::scheduler) enum NotRun {
    /// It cannot be run, and fails.
    Broken(Box<str>),
    /// It is not to be run, which is no failure.
    Skipped(Box<str>),
}

// A group may have a million of them.
const _: () = assert!(size_of::<ScheduledTask>() <= 104, "what tasks have in common goes to their terms");

impl ScheduledTask {
    /// The tasks of a group, in the order of adding. A task whose outcome is known is not run.
    #[must_use]
    pub fn of_group(group: &TaskGroup, config: &Config) -> Vec<Self> {
        let group_name = group.group_name();
        let mut last_terms: Option<Arc<CommonTerms>> = None;
        let mut last_keep: Option<Arc<KeepPolicy>> = None;
        let tasks = group.tasks().map(|entry| {
            let spec = entry.spec();
            let terms = CommonTerms::of(group, &group_name, spec, config, last_terms.as_deref());
            let terms = match &last_terms {
                Some(last) if **last == terms => Arc::clone(last),
                _ => Arc::clone(last_terms.insert(Arc::new(terms))),
            };
            let keep = KeepPolicy::of(spec, terms.pin.as_ref());
            if keep.as_ref() != last_keep.as_deref() {
                last_keep = keep.map(Arc::new);
            }
            let state = match (entry.skipped(), entry.broken()) {
                _ if entry.status().is_over() => TaskState::Over,
                (Some(reason), _) => TaskState::NotRun(Box::new(NotRun::Skipped(reason.into()))),
                (None, Some(message)) => TaskState::NotRun(Box::new(NotRun::Broken(message.into()))),
                (None, None) => TaskState::Ready,
            };
            let learns = config.scheduler.auto_adjust;
            Self {
                task_id: entry.task_id().clone(),
                terms,
                keep: last_keep.clone(),
                family: learns.then(|| Box::new(Family::of(&group_name, spec))),
                state,
                attempts: entry.attempt(),
                readied: 0,
                spent: Spent::default(),
                grown: None,
                account: None,
                distrusted: false,
                moves: false,
            }
        });
        tasks.collect()
    }

    /// What it asks of the devices, as far as that is known without estimates that were learned.
    pub(crate) fn lease_request(&self, holder: TaskKey, config: &Config) -> LeaseRequest {
        let needs = self.needs();
        let memory = needs.cuda_memory.unwrap_or(config.scheduler.default_cuda_memory);
        LeaseRequest {
            devices: needs.devices,
            estimated: needs.cuda_memory.is_some(),
            exclusive: needs.exclusive,
            pin: self.terms.pin.clone(),
            ..LeaseRequest::new(holder, memory)
        }
    }

    /// What it needs; estimates may be open. After it has run out of memory it needs more than it was added with.
    pub(crate) fn needs(&self) -> Needs {
        let needs = self.terms.needs;
        let Some(grown) = self.grown.as_deref() else { return needs };
        Needs {
            memory: grown.memory.or(needs.memory),
            cuda_memory: grown.cuda_memory.or(needs.cuda_memory),
            exclusive: needs.exclusive || grown.alone,
            ..needs
        }
    }

    /// Whether nothing by which an order may be made tells it from another task.
    pub(crate) fn is_like(&self, other: &Self) -> bool {
        self.terms == other.terms
            && self.family == other.family
            && self.grown.is_none()
            && other.grown.is_none()
    }

    /// The device that it is pinned to.
    pub(crate) fn pin(&self) -> Option<&Pin> {
        self.terms.pin.as_ref()
    }

    /// Whether its outcome is known already.
    pub(crate) fn is_over(&self) -> bool {
        matches!(self.state, TaskState::Over | TaskState::NotRun(_))
    }

    /// Its limits, with those of its group and of the configuration filled in.
    pub(in crate::scheduler) fn limits(&self) -> &Limits {
        &self.terms.limits
    }

    /// How long it is expected to take, if that was declared.
    pub(in crate::scheduler) fn expected(&self) -> Option<ExpectedTimes> {
        self.terms.expected
    }

    /// Whether a process loads before it trains; a command without a load command has no process until then.
    pub(in crate::scheduler) fn loads(&self) -> bool {
        self.terms.loads
    }

    /// What the tasks are called, for people, with which its memory is compared.
    pub(in crate::scheduler) fn family_name(&self) -> &str {
        &self.terms.family_name
    }

    /// From now on it is given this much host memory.
    pub(in crate::scheduler) fn grow_memory(&mut self, memory: Size) {
        self.grown.get_or_insert_default().memory = Some(memory);
    }

    /// From now on it is leased this much memory on each card.
    pub(in crate::scheduler) fn grow_cuda_memory(&mut self, memory: Size) {
        self.grown.get_or_insert_default().cuda_memory = Some(memory);
    }

    /// From now on it takes its card whole.
    pub(in crate::scheduler) fn take_card_alone(&mut self) {
        self.grown.get_or_insert_default().alone = true;
    }

    /// The memory of its attempt.
    pub(in crate::scheduler) fn account(&self) -> Account {
        self.account.as_deref().copied().unwrap_or_default()
    }

    pub(in crate::scheduler) fn account_mut(&mut self) -> &mut Account {
        self.account.get_or_insert_default()
    }

    /// How long it is expected to take with its load, if that is known.
    pub(in crate::scheduler) fn expected_in_all(&self) -> Option<Duration> {
        self.terms.expected.map(|times| times.load.saturating_add(times.train))
    }
}

impl CommonTerms {
    fn of(
        group: &TaskGroup,
        group_name: &Name,
        spec: &TaskSpec,
        config: &Config,
        last: Option<&Self>,
    ) -> Self {
        Self {
            needs: Needs {
                memory: spec.needs.memory.or(group.estimate_memory),
                cuda_memory: spec.needs.cuda_memory.or(group.estimate_cuda_memory),
                ..spec.needs
            },
            family_name: match last {
                Some(last) => Family::name_like(&last.family_name, group_name, &spec.program),
                None => Family::name_of(group_name, &spec.program).into(),
            },
            loads: !matches!(spec.program.as_ref(), Program::Command { load: None, .. }),
            pin: spec.device.clone().or_else(|| group.device().cloned()),
            limits: spec.limits.or(group.limits).or(config.supervision.limits),
            expected: spec.expected,
        }
    }
}
