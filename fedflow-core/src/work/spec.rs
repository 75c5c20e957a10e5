//! `TaskSpec`: the description of a task, which is added to a group.

use std::ops::Deref;
use std::path::PathBuf;
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

/// The name of the worker that is the running program itself: the binary is supervisor and worker in one.
pub const SELF_WORKER: &str = "self";

/// What runs a task.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Program {
    /// A worker program, which has the task as a type: one process for both phases.
    Worker {
        /// The worker's name in the run.
        worker: String,
        /// The task's kind, one of those that the worker lists: see [`Task::KIND`].
        kind: String,
    },
    /// Any other program: one process for each phase.
    Command {
        /// The command of the load phase, which has no device. `None`: there is no load phase.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        load: Option<CommandLine>,
        /// The command of the train phase, with the lease in its environment.
        train: CommandLine,
    },
}

/// What a task needs of the machine. By default: one device, shared with others, and no estimate of memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Needs {
    /// How many devices. A task is given all of them at once, or none.
    pub devices: u32,
    /// Whether it has its cards alone.
    pub exclusive: bool,
    /// The host memory that it is estimated to use; `None`: the group's estimate, a learned one, or the default.
    pub memory: Option<Size>,
    /// The memory that it is estimated to use on each card; `None`: the group's estimate, a learned one, or the default.
    pub cuda_memory: Option<Size>,
}

impl Default for Needs {
    fn default() -> Self {
        Self { devices: 1, exclusive: false, memory: None, cuda_memory: None }
    }
}

/// The description of a task, as it is added to a group.
///
/// ```
/// use fedflow_core::{Needs, Size, TaskGroup, TaskSpec};
///
/// let needs = Needs { cuda_memory: Some(Size::from_gb(9)), ..Needs::default() };
/// let mut group = TaskGroup::new("train")?;
/// for seed in 0..3_u32 {
///     let command = ["python3".to_owned(), "train.py".to_owned(), format!("--seed={seed}")];
///     group.add_task(TaskSpec::command(seed, command)?.with_needs(needs))?;
/// }
/// assert_eq!(group.get_task("2").map(|task| task.spec().needs.devices), Some(1));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// A group may have a million tasks, most of which run on the same terms. [`TaskTerms`] are therefore shared, and
/// read as if they stood in here (`spec.needs.devices`). [`TaskSpec::terms_mut`] gives a task terms of its own.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TaskSpec {
    /// Its identifier, unique in its group.
    pub task_id: Name,
    /// The program that runs it. It is shared, as most tasks of a group run the same program.
    pub program: Arc<Program>,
    /// The parameters that it has from its start. A command finds them in its environment.
    pub params: Dict,
    /// The parameters that it is given when it begins to train.
    pub train_params: Dict,
    /// Where it stands in an experiment: the variables of its matrices and its round, the outer ones first. They are told
    /// with what becomes of it, and do not reach its process.
    #[serde(default, skip_serializing_if = "Dict::is_empty")]
    pub point: Dict,
    /// The key under which its process is kept when it has its result, with the data that it has loaded. The process
    /// is handed to the next task of the same worker with the same key. `None`: it is not kept for its data.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub keep: Option<Box<str>>,
    #[serde(flatten)]
    terms: Arc<TaskTerms>,
}

/// The terms on which a task runs. Many tasks have them in common.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct TaskTerms {
    /// What it needs of the machine.
    pub needs: Needs,
    /// The device that it is pinned to, set at construction and never afterwards; `None`: its group's.
    pub device: Option<Pin>,
    /// Time limits and retries.
    pub limits: Limits,
    /// How long `load` and `train` are expected to take, for `longest-first` and for simulations.
    pub expected: Option<ExpectedTimes>,
    /// Signs that it was out of memory, beside those of the configuration.
    #[serde(default)]
    pub oom_signs: ExtraOomSigns,
    /// Whether its process may serve other tasks of the same worker, one after the other; `None`: it may not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reuse: Option<Reuse>,
    /// The current directory of its process, an absolute path; `None`: the task's own directory.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cwd: Option<PathBuf>,
}

/// A process may serve several tasks of the same worker, one after the other. These are not isolated from each other,
/// but a crash costs only the current one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Reuse {
    /// After how many tasks the process ends; `None`: there is no limit.
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

/// Why a description cannot be made.
#[derive(Debug, thiserror::Error)]
pub enum SpecError {
    /// The identifier breaks a rule.
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
    /// The parameters are not a dictionary, as the task's type is not a struct.
    #[error(
        "the parameters of task kind {0:?} are not a dictionary; make the task a struct with named fields"
    )]
    NotADictionary(&'static str),
}

impl TaskSpec {
    /// Describes a task of this program, which is its own worker. The fields of `task` are its parameters.
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
        Self { task_id, program, params, train_params: Dict::new(), point: Dict::new(), keep: None, terms }
    }

    /// Describes a task that is a command, given as a program and its arguments.
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

    /// Lets another worker program run it.
    #[must_use]
    pub fn on_worker(mut self, name: impl Into<String>) -> Self {
        if let Program::Worker { kind, .. } = self.program.as_ref() {
            self.program = Arc::new(Program::Worker { worker: name.into(), kind: kind.clone() });
        }
        self
    }

    /// Pins it to a device.
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

    /// Lets its process serve other tasks of the same worker afterwards.
    #[must_use]
    pub fn with_reuse(mut self, reuse: Reuse) -> Self {
        self.terms_mut().reuse = Some(reuse);
        self
    }

    /// Has its process work in this directory, an absolute path, instead of the task's own.
    #[must_use]
    pub fn with_cwd(mut self, cwd: impl Into<PathBuf>) -> Self {
        self.terms_mut().cwd = Some(cwd.into());
        self
    }

    /// Keeps its process, with the data that it has loaded, for the next task of the same worker with the same key.
    #[must_use]
    pub fn with_keep(mut self, key: impl Into<Box<str>>) -> Self {
        self.keep = Some(key.into());
        self
    }

    /// Sets the parameters that it is given when it begins to train.
    #[must_use]
    pub fn with_train_params(mut self, params: Dict) -> Self {
        self.train_params = params;
        self
    }

    /// Sets where it stands in an experiment.
    #[must_use]
    pub fn with_point(mut self, point: Dict) -> Self {
        self.point = point;
        self
    }

    /// Sets the terms on which it runs, all at once.
    #[must_use]
    pub fn with_terms(mut self, terms: Arc<TaskTerms>) -> Self {
        self.terms = terms;
        self
    }

    /// Shares the program and the terms of another task where they are equal.
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
