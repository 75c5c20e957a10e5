//! A flow's groups and tasks, multiplied and named; what needs earlier results is rendered when its group starts.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use fedflow_core::{
    CommandLine, Dict, ExpectedTimes, ExtraOomSigns, GroupError, Limits, Name, Needs, Pin, Program, Reuse,
    Size, TaskGroup, TaskSpec, Value,
};

use super::document::{ProgramTable, TaskTable};
use super::lookup::{Answer, Call, Function, Lookups, Rendered};
use super::property::{Argument, Fault, Key, Property};
use super::scope::{Matrix, Rounds, Scope};
use super::template_value::{TemplateError, to_template};
use crate::diagnostic::{SourceFile, Span};

/// What templates ask of the tasks that ran before.
pub trait FlowContext {
    /// The directory of a task, an absolute path; `None` if it was never started.
    fn workdir(&self, group: &str, task: &str) -> Option<PathBuf>;
    /// The result of a task; `None` if it did not finish.
    fn result(&self, group: &str, task: &str) -> Option<Dict>;
}

/// A group of a flow: its tasks are known, their parameters are rendered when it starts.
#[derive(Debug, Clone)]
pub struct GroupPlan {
    /// Its place in the order of execution, from 1.
    pub index: u32,
    /// Its name.
    pub name: Name,
    /// The device that its tasks are tied to.
    pub device: Option<Pin>,
    /// Host memory of its tasks that say nothing themselves.
    pub estimate_memory: Option<Size>,
    /// Memory on a card of its tasks that say nothing themselves.
    pub estimate_cuda_memory: Option<Size>,
    /// Limits for its tasks that say nothing themselves.
    pub limits: Limits,
    /// By what else it is known that a task was out of memory.
    pub oom_signs: ExtraOomSigns,
    /// Whether its tasks start and load while the group before still runs.
    pub load_ahead: bool,
    /// Its tasks, in the order in which they are added.
    pub tasks: Vec<TaskPlan>,
    pub(super) spans: KeySpans,
    pub(super) rounds: Arc<Rounds>,
    pub(super) shared: Arc<Shared>,
}

/// A task of a flow. What tasks of one table have in common is shared.
#[derive(Debug, Clone)]
pub struct TaskPlan {
    /// Its identifier.
    pub task_id: Name,
    pub(super) point: u32,
    pub(super) set: Arc<TaskSet>,
}

/// What tasks of one table share.
#[derive(Debug)]
pub(super) struct TaskSet {
    pub(super) head: TaskHead,
    pub(super) table: Arc<TaskTable>,
    pub(super) matrix: Arc<Matrix>,
}

// A flow may have a million of them.
const _: () =
    assert!(size_of::<TaskPlan>() <= 32, "what tasks of one table have in common goes to their set");

/// What is known of a task without its parameters.
#[derive(Debug)]
pub(super) struct TaskHead {
    pub(super) program: HeadProgram,
    pub(super) needs: Needs,
    pub(super) device: Option<Pin>,
    pub(super) limits: Limits,
    pub(super) expected: Option<ExpectedTimes>,
}

#[derive(Debug)]
pub(super) enum HeadProgram {
    /// The same for all that share the head.
    Known(Arc<Program>),
    /// A command with templates in it.
    Rendered,
}

/// Where the keys stand that a device may fail to meet.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct KeySpans {
    pub(super) device: Option<Span>,
    pub(super) estimate_cuda_memory: Option<Span>,
}

/// What of a task is rendered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Parts {
    All,
    /// All but the parameters for `train`.
    BeforeTrain,
}

/// Why a template that is rendered ahead fails.
pub(super) const TOO_EARLY: &str = "that group still runs when this one loads ahead";

/// What a template says that asks for what nobody can know.
const NOT_KNOWN: &str = "a result is not known yet";

/// What all groups of a flow share.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) file: Arc<SourceFile>,
    pub(super) base_dir: PathBuf,
    pub(super) worker_limits: BTreeMap<String, Limits>,
    pub(super) worker_reuse: BTreeMap<String, Reuse>,
}

impl GroupPlan {
    /// The group, ready to be executed: parameters and commands are rendered with what `context` knows of the
    /// groups before. A task whose template fails is in the group with its failure.
    ///
    /// # Errors
    /// Never for a plan that came from a flow file, as its names are unique.
    pub fn build(&self, context: &dyn FlowContext) -> Result<TaskGroup, GroupError> {
        self.build_parts(&|call| answer_from(context, call), Parts::All)
    }

    /// The group, ready to load while the group `running` still runs: what its tasks need of that one's results is
    /// left to [`set_train_params`](Self::set_train_params). A task that asks for it too early is in the group with
    /// its failure.
    ///
    /// # Errors
    /// Never for a plan that came from a flow file, as its names are unique.
    pub fn build_ahead(&self, context: &dyn FlowContext, running: &Name) -> Result<TaskGroup, GroupError> {
        let resolve = |call: &Call| {
            if call.group == running.as_str() { too_early(call) } else { answer_from(context, call) }
        };
        self.build_parts(&resolve, Parts::BeforeTrain)
    }

    /// Renders the parameters for `train` of a group that was built ahead, now that the groups before it are over. A
    /// task whose template fails has its failure.
    ///
    /// # Errors
    /// The group is not this one.
    pub fn set_train_params(
        &self,
        group: &mut TaskGroup,
        context: &dyn FlowContext,
    ) -> Result<(), GroupError> {
        let lookups = Lookups::default();
        let resolve = |call: &Call| answer_from(context, call);
        for task in &self.tasks {
            let scope = Scope::with_lookups(&self.rounds, &task.set.matrix, task.point as usize, &lookups);
            let attempt = || Ok(dict(task.set.table.train_params.render(&scope)?));
            let too_many = |error: TemplateError| Fault { span: task.set.table.span, message: error.0 };
            match lookups.render(&resolve, attempt, too_many) {
                Rendered::Done(params) => group.set_train_params(&task.task_id, params)?,
                Rendered::Failed(fault) => group.break_task(&task.task_id, self.shared.describe(&fault))?,
                Rendered::Later => group.break_task(&task.task_id, NOT_KNOWN.into())?,
            }
        }
        Ok(())
    }

    fn build_parts(&self, resolve: &dyn Fn(&Call) -> Answer, parts: Parts) -> Result<TaskGroup, GroupError> {
        let mut group = self.empty_group()?;
        let lookups = Lookups::default();
        for task in &self.tasks {
            match self.render(task, &lookups, resolve, parts) {
                Rendered::Done(spec) => group.add_task(spec)?,
                Rendered::Failed(fault) => {
                    group.add_broken_task(self.outline_of(task), self.shared.describe(&fault))?;
                }
                // The groups before this one are over: everything is known that will ever be.
                Rendered::Later => group.add_broken_task(self.outline_of(task), NOT_KNOWN.into())?,
            }
        }
        Ok(group)
    }

    /// The group without parameters, and with commands as they are written: enough to simulate it or to print it.
    ///
    /// # Errors
    /// Never for a plan that came from a flow file, as its names are unique.
    pub fn outline(&self) -> Result<TaskGroup, GroupError> {
        self.outline_of_first(self.tasks.len())
    }

    /// As [`outline`](Self::outline), with no more than the first so many tasks.
    ///
    /// # Errors
    /// As there.
    pub fn outline_of_first(&self, tasks: usize) -> Result<TaskGroup, GroupError> {
        let mut group = self.empty_group()?;
        for task in self.tasks.iter().take(tasks) {
            group.add_task(self.outline_of(task))?;
        }
        Ok(group)
    }

    /// Renders one task, whatever is asked answered by `resolve`.
    pub(super) fn render(
        &self,
        task: &TaskPlan,
        lookups: &Lookups,
        resolve: &dyn Fn(&Call) -> Answer,
        parts: Parts,
    ) -> Rendered<TaskSpec, Fault> {
        if let Some(spec) = self.fixed_spec(task) {
            return Rendered::Done(spec);
        }
        let scope = Scope::with_lookups(&self.rounds, &task.set.matrix, task.point as usize, lookups);
        let attempt = || {
            let program = match (&task.set.head.program, &task.set.table.program) {
                (HeadProgram::Rendered, ProgramTable::Command { load, train }) => {
                    let load = load.as_deref().map(|load| self.shared.command(load, &scope)).transpose()?;
                    Arc::new(Program::Command { load, train: self.shared.command(train, &scope)? })
                }
                _ => self.known_program(task),
            };
            let mut spec = self.spec(task, program);
            spec.params = dict(task.set.table.params.render(&scope)?);
            if parts == Parts::All {
                spec.train_params = dict(task.set.table.train_params.render(&scope)?);
            }
            Ok(spec)
        };
        lookups.render(resolve, attempt, |error| Fault { span: task.set.table.span, message: error.0 })
    }

    /// The task if it has no template that is rendered late.
    fn fixed_spec(&self, task: &TaskPlan) -> Option<TaskSpec> {
        let HeadProgram::Known(program) = &task.set.head.program else { return None };
        let (params, train_params) = (task.set.table.params.fixed()?, task.set.table.train_params.fixed()?);
        let mut spec = self.spec(task, Arc::clone(program));
        spec.params = dict(params.clone());
        spec.train_params = dict(train_params.clone());
        Some(spec)
    }

    fn outline_of(&self, task: &TaskPlan) -> TaskSpec {
        self.spec(task, self.known_program(task))
    }

    /// The task's program; of a command with templates its text as it is written.
    fn known_program(&self, task: &TaskPlan) -> Arc<Program> {
        match (&task.set.head.program, &task.set.table.program) {
            (HeadProgram::Known(program), _) => Arc::clone(program),
            (HeadProgram::Rendered, ProgramTable::Command { load, train }) => Arc::new(Program::Command {
                load: load.as_deref().map(|load| self.shared.written(load)),
                train: self.shared.written(train),
            }),
            (HeadProgram::Rendered, ProgramTable::Worker { .. }) => {
                Arc::new(Program::Command { load: None, train: CommandLine::default() })
            }
        }
    }

    fn spec(&self, task: &TaskPlan, program: Arc<Program>) -> TaskSpec {
        let worker_limits = match program.as_ref() {
            Program::Worker { worker, .. } => self.shared.worker_limits.get(worker).copied(),
            Program::Command { .. } => None,
        };
        let mut spec = TaskSpec::of(task.task_id.clone(), program, Dict::new());
        spec.needs = task.set.head.needs;
        spec.device.clone_from(&task.set.head.device);
        // The worker's limits come after the group's, which the group itself would add only later.
        spec.limits = task.set.head.limits.or(self.limits).or(worker_limits.unwrap_or_default());
        spec.expected = task.set.head.expected;
        spec.oom_signs = self.oom_signs.clone().and(&task.set.table.keys.oom_signs);
        if let Program::Worker { worker, .. } = spec.program.as_ref() {
            spec.reuse = self.shared.worker_reuse.get(worker).copied();
            spec.keep = self.keep(task);
        }
        spec
    }

    /// Under what its process is kept. That it can be rendered was seen when the flow was read.
    fn keep(&self, task: &TaskPlan) -> Option<Box<str>> {
        let keep = task.set.table.keep.as_ref()?;
        let scope = || Scope::new(&self.rounds, &task.set.matrix, task.point as usize);
        let Key(key) = keep.fixed().cloned().or_else(|| keep.get(&scope()).ok())?;
        Some(key)
    }

    fn empty_group(&self) -> Result<TaskGroup, GroupError> {
        let mut group = TaskGroup::new(self.name.clone())?;
        if let Some(pin) = &self.device {
            group = group.with_device(pin.clone());
        }
        group.estimate_memory = self.estimate_memory;
        group.estimate_cuda_memory = self.estimate_cuda_memory;
        group.limits = self.limits;
        group.load_ahead = self.load_ahead;
        Ok(group)
    }
}

impl TaskHead {
    /// Equal for tasks that share a program; `None` if the program is still to be rendered.
    pub(super) fn program_address(&self) -> Option<*const Program> {
        match &self.program {
            HeadProgram::Known(program) => Some(Arc::as_ptr(program)),
            HeadProgram::Rendered => None,
        }
    }
}

impl TaskPlan {
    /// Whether nothing of it is rendered late.
    pub(super) fn is_fixed(&self) -> bool {
        self.set.head.program_address().is_some()
            && self.set.table.params.fixed().is_some()
            && self.set.table.train_params.fixed().is_some()
    }

    /// What it needs of the machine, as far as it says so itself.
    #[must_use]
    pub fn needs(&self) -> Needs {
        self.set.head.needs
    }

    /// The device that it is tied to, if it says so itself.
    #[must_use]
    pub fn device(&self) -> Option<&Pin> {
        self.set.head.device.as_ref()
    }

    /// Its worker and task kind; `None` if it runs a command.
    #[must_use]
    pub fn worker(&self) -> Option<(&str, &str)> {
        match &self.set.head.program {
            HeadProgram::Known(program) => match program.as_ref() {
                Program::Worker { worker, kind } => Some((worker, kind)),
                Program::Command { .. } => None,
            },
            HeadProgram::Rendered => None,
        }
    }
}

impl Shared {
    pub(super) fn command(
        &self,
        command: &[Property<Argument>],
        scope: &Scope,
    ) -> Result<CommandLine, Fault> {
        let mut arguments = Vec::with_capacity(command.len());
        for argument in command {
            arguments.push(argument.get(scope)?.0);
        }
        if let Some(program) = arguments.first_mut() {
            *program = self.program(program);
        }
        Ok(arguments.into())
    }

    /// A program's path: with a separator it is relative to the flow file, without one it is looked for on PATH.
    fn program(&self, program: &str) -> String {
        // A directory that is not UTF-8 cannot be written into a command; the relative path is tried then.
        program_path(&self.base_dir, program)
            .and_then(|path| path.into_os_string().into_string().ok())
            .unwrap_or_else(|| program.into())
    }

    fn written(&self, command: &[Property<Argument>]) -> CommandLine {
        let text = |argument: &Property<Argument>| match argument.fixed() {
            Some(Argument(text)) => text.clone(),
            None => {
                let text = self.file.text().get(argument.span.start..argument.span.end).unwrap_or_default();
                text.trim_matches(['"', '\'']).to_owned()
            }
        };
        command.iter().map(text).collect()
    }

    /// A template's failure, with its text. Neither path nor line: a resumed run must find the same message, wherever
    /// the flow file lies by then.
    fn describe(&self, fault: &Fault) -> String {
        const SHOWN: usize = 100;
        let text = self.file.text().get(fault.span.start..fault.span.end).unwrap_or_default();
        let more = if text.chars().nth(SHOWN).is_some() { "…" } else { "" };
        format!("{}{more}: {}", text.chars().take(SHOWN).collect::<String>(), fault.message)
    }
}

/// What a template of a group that loads ahead is told that asks the group which still runs.
pub(super) fn too_early(call: &Call) -> Answer {
    Answer::Refused(format!(
        "{}({:?}, {:?}): {TOO_EARLY}; ask in a worker's train-params, which are rendered when this group starts, or leave \
         out load-ahead",
        call.function.name(),
        call.group,
        call.task
    ))
}

fn answer_from(context: &dyn FlowContext, call: &Call) -> Answer {
    let Call { function, group, task } = call;
    match function {
        Function::Workdir => match context.workdir(group, task) {
            Some(path) => Answer::path(&path),
            None => Answer::Refused(format!("workdir(): the task {group}/{task} was never started")),
        },
        Function::Result => {
            let result = context.result(group, task).map_or(Value::Null, Value::Dict);
            Answer::Value(to_template(&result))
        }
    }
}

fn dict(value: Value) -> Dict {
    match value {
        Value::Dict(dict) => dict,
        // The tables are read as tables, so there is nothing else.
        _ => Dict::new(),
    }
}

/// The path of a program, as [`GroupPlan::build`] writes it into a command.
pub(super) fn program_path(base_dir: &Path, program: &str) -> Option<PathBuf> {
    program.contains('/').then(|| base_dir.join(program))
}
