//! What is added to a group: a task's identity, program, parameters, needs and limits.

use std::ops::Deref;
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::model::device::Pin;
use crate::model::limits::Limits;
use crate::model::name::{IntoName, Name, NameError};
use crate::model::oom::ExtraOomSigns;
use crate::model::quantity::Size;
use crate::model::value::{Dict, Value, ValueError, to_value};
use crate::work::command_line::CommandLine;
use crate::work::task::Task;

/// The worker that is the running program itself: a library user's binary is supervisor and worker in one.
pub const SELF_WORKER: &str = "self";

/// What runs a task.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Program {
    /// A task kind of a worker program.
    Worker {
        /// The worker's name in the run.
        worker: String,
        /// The task kind, as the worker lists it.
        kind: String,
    },
    /// Any program, one process per phase.
    Command {
        /// Run in the load phase, without a device.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        load: Option<CommandLine>,
        /// Run in the train phase, with the lease in its environment.
        train: CommandLine,
    },
}

/// What a task needs of the machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Needs {
    /// How many cards; given all at once or none.
    pub devices: u32,
    /// Whether it takes its cards whole.
    pub exclusive: bool,
    /// Host memory, if somebody estimated it.
    pub memory: Option<Size>,
    /// Memory on each card, if somebody estimated it.
    pub cuda_memory: Option<Size>,
}

impl Default for Needs {
    fn default() -> Self {
        Self { devices: 1, exclusive: false, memory: None, cuda_memory: None }
    }
}

/// One task, as it is added to a group.
///
/// What the tasks of a group mostly have in common, its [`TaskTerms`], is read and set as if it were in here
/// (`spec.needs.devices = 2`), but shared by clones of one spec until one of them is changed: a spec is small, and
/// a group may have a million.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TaskSpec {
    /// Its identifier, unique in its group.
    pub task_id: Name,
    /// What runs it. Shared, as the tasks of a group mostly run the same.
    pub program: Arc<Program>,
    /// Parameters that reach it before `load`. A command finds them in its environment.
    pub params: Dict,
    /// Parameters that reach it with `start_train`.
    pub train_params: Dict,
    /// With a key, its process stays when it has its result, with what it has loaded, for the next task of the
    /// same worker with the same key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub keep: Option<Box<str>>,
    #[serde(flatten)]
    terms: Arc<TaskTerms>,
}

/// The terms on which a task runs, which many tasks have in common.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct TaskTerms {
    /// What it needs of the machine.
    pub needs: Needs,
    /// The device that it is tied to; set at construction and never afterwards.
    pub device: Option<Pin>,
    /// Time limits and retries.
    pub limits: Limits,
    /// How long `load` and `train` are expected to take, for `longest-first` and for simulations.
    pub expected: Option<ExpectedTimes>,
    /// By what else than the run's signs it is known that it was out of memory.
    #[serde(default)]
    pub oom_signs: ExtraOomSigns,
    /// Whether its process may serve other tasks of the same worker, one after the other.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reuse: Option<Reuse>,
}

/// A process serves several tasks of the same worker, one after the other, instead of one. They are not isolated
/// from each other then; a crash costs only the task in hand.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Reuse {
    /// After how many tasks the process ends; none: it serves as many as there are.
    pub limit: Option<u32>,
}

/// How long the phases of a task are expected to take.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExpectedTimes {
    /// The load phase.
    pub load: Duration,
    /// The train phase.
    pub train: Duration,
}

/// Why a task cannot be described.
#[derive(Debug, thiserror::Error)]
pub enum SpecError {
    /// The identifier is not usable.
    #[error(transparent)]
    Name(#[from] NameError),
    /// The parameters cannot be turned into values.
    #[error("the parameters of task kind {kind:?} cannot be stored: {source}")]
    Params {
        /// The task kind.
        kind: &'static str,
        /// The cause.
        source: ValueError,
    },
    /// The parameters are not a dictionary (the task type is no struct).
    #[error(
        "the parameters of task kind {0:?} are not a dictionary; make the task a struct with named fields"
    )]
    NotADictionary(&'static str),
}

impl TaskSpec {
    /// Describes a task of the running program: its fields are its parameters.
    ///
    /// # Errors
    /// The identifier breaks a rule, or the fields cannot be stored as values.
    pub fn new<T: Task>(task_id: impl IntoName, task: &T) -> Result<Self, SpecError> {
        let value = to_value(task).map_err(|source| SpecError::Params { kind: T::KIND, source })?;
        let params = match value {
            Value::Dict(params) => params,
            Value::Null => Dict::new(),
            _ => return Err(SpecError::NotADictionary(T::KIND)),
        };
        let program = Program::Worker { worker: SELF_WORKER.into(), kind: T::KIND.into() };
        Ok(Self::of(task_id.into_name()?, Arc::new(program), params))
    }

    /// Describes a task by the program that runs it.
    #[must_use]
    pub fn of(task_id: Name, program: Arc<Program>, params: Dict) -> Self {
        static USUAL: LazyLock<Arc<TaskTerms>> = LazyLock::new(Arc::default);
        let terms = Arc::clone(&USUAL);
        Self { task_id, program, params, train_params: Dict::new(), keep: None, terms }
    }

    /// Describes a task that is a command, given as program and arguments.
    ///
    /// # Errors
    /// The identifier breaks a rule.
    pub fn command<I, S>(task_id: impl IntoName, command: I) -> Result<Self, SpecError>
    where
        I: IntoIterator<Item = S>,
        S: AsRef<str>,
    {
        let train = command.into_iter().collect();
        Ok(Self::of(task_id.into_name()?, Arc::new(Program::Command { load: None, train }), Dict::new()))
    }

    /// The terms on which it runs, to be changed. From here on this task has terms of its own, which take memory.
    pub fn terms_mut(&mut self) -> &mut TaskTerms {
        Arc::make_mut(&mut self.terms)
    }

    /// Has another worker program run it.
    #[must_use]
    pub fn on_worker(mut self, name: impl Into<String>) -> Self {
        if let Program::Worker { kind, .. } = self.program.as_ref() {
            self.program = Arc::new(Program::Worker { worker: name.into(), kind: kind.clone() });
        }
        self
    }

    /// Ties it to a device.
    #[must_use]
    pub fn with_device(mut self, pin: Pin) -> Self {
        self.terms_mut().device = Some(pin);
        self
    }

    /// Sets what it needs of the machine.
    #[must_use]
    pub fn with_needs(mut self, needs: Needs) -> Self {
        self.terms_mut().needs = needs;
        self
    }

    /// Sets its time limits and retries.
    #[must_use]
    pub fn with_limits(mut self, limits: Limits) -> Self {
        self.terms_mut().limits = limits;
        self
    }

    /// Lets its process serve other tasks of the same worker.
    #[must_use]
    pub fn with_reuse(mut self, reuse: Reuse) -> Self {
        self.terms_mut().reuse = Some(reuse);
        self
    }

    /// Has its process stay, with what it has loaded, for the next task of the same worker with the same key.
    #[must_use]
    pub fn with_keep(mut self, key: impl Into<Box<str>>) -> Self {
        self.keep = Some(key.into());
        self
    }

    /// Sets the parameters that reach it with `start_train`.
    #[must_use]
    pub fn with_train_params(mut self, params: Dict) -> Self {
        self.train_params = params;
        self
    }

    /// Sets the terms on which it runs, all at once.
    #[must_use]
    pub fn with_terms(mut self, terms: Arc<TaskTerms>) -> Self {
        self.terms = terms;
        self
    }

    /// Keeps its program and its terms in the memory of another task where they are equal.
    pub(crate) fn share_with(&mut self, other: &Self) {
        if self.program == other.program {
            self.program = Arc::clone(&other.program);
        }
        if self.terms == other.terms {
            self.terms = Arc::clone(&other.terms);
        }
    }
}

impl Deref for TaskSpec {
    type Target = TaskTerms;

    fn deref(&self) -> &TaskTerms {
        &self.terms
    }
}
