//! `FlowGroup`: a group of a flow, whose tasks are known; their parameters are rendered when it starts.

pub(super) mod condition;

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;

use fedflow_core::{
    CommandLine, Dict, ExtraOomSigns, GroupError, Limits, Name, Pin, Program, Reuse, Size, TaskGroup,
    TaskSpec, Value,
};

use self::condition::Condition;
use super::context::{AskedTask, ContextAnswers, FlowContext, NotedAnswers};
use super::document::{CommandTable, ProgramTable};
use super::task::FlowTask;
use super::templates::{Answer, Answers, Call, Function, GroupScope, Scope};
use super::values::{KeepKey, Mistake};
use crate::diagnostic::{SourceFile, Span};

/// A group of a flow.
#[derive(Debug, Clone)]
pub struct FlowGroup {
    /// The place in the order of execution, from 1.
    pub index: u32,
    /// The name, unique in the flow.
    pub name: Name,
    /// The device to which the tasks are pinned; `None` for any.
    pub device: Option<Pin>,
    /// Host memory of tasks that do not estimate it themselves.
    pub estimate_memory: Option<Size>,
    /// Memory on a card of tasks that do not estimate it themselves.
    pub estimate_cuda_memory: Option<Size>,
    /// Limits for what the tasks leave open.
    pub limits: Limits,
    /// Signs of out of memory, beside those of the configuration.
    pub oom_signs: ExtraOomSigns,
    /// Whether the tasks start and load while the group before still runs.
    pub load_ahead: bool,
    /// Why the tasks are skipped, if that is known before the flow runs.
    pub skipped: Option<Arc<str>>,
    /// The tasks, in the order in which they are added.
    pub tasks: Vec<FlowTask>,
    /// The conditions on which it is executed, the outermost first.
    pub(super) conditions: Vec<Arc<Condition>>,
    pub(super) spans: KeySpans,
    pub(super) scope: Arc<GroupScope>,
    pub(super) origin: Arc<Origin>,
}

/// Where the keys stand that no device may satisfy.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct KeySpans {
    pub(super) device: Option<Span>,
    pub(super) estimate_cuda_memory: Option<Span>,
}

/// What is rendered of a task.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Parts {
    All,
    /// All but the parameters for `train`.
    BeforeTrain,
}

/// What all groups of a flow share.
#[derive(Debug)]
pub(super) struct Origin {
    pub(super) file: Arc<SourceFile>,
    pub(super) base_dir: PathBuf,
    pub(super) workers: BTreeMap<String, WorkerTerms>,
}

/// What a worker says of its tasks.
#[derive(Debug, Clone)]
pub(super) struct WorkerTerms {
    pub(super) limits: Limits,
    pub(super) reuse: Option<Reuse>,
    /// The current directory of its processes, an absolute path.
    pub(super) cwd: Option<PathBuf>,
}

impl FlowGroup {
    /// The group, ready to be executed: parameters and commands are rendered with what `context` knows of the
    /// groups before. A task whose template fails is in the group with its failure.
    ///
    /// # Errors
    /// Never for a group that came from a flow file, as its names are unique.
    pub fn build(&self, context: &Arc<impl FlowContext + 'static>) -> Result<TaskGroup, GroupError> {
        self.build_parts(&answers(context, None), Parts::All)
    }

    /// The group, ready to load while the group `running` still runs: what its tasks need of that group's results is
    /// left to [`set_train_params`](Self::set_train_params). A task that asks for it too early is in the group with
    /// its failure.
    ///
    /// # Errors
    /// Never for a group that came from a flow file, as its names are unique.
    pub fn build_ahead(
        &self,
        context: &Arc<impl FlowContext + 'static>,
        running: &Name,
    ) -> Result<TaskGroup, GroupError> {
        self.build_parts(&answers(context, Some(running)), Parts::BeforeTrain)
    }

    /// Renders the parameters for `train` of a group that was built ahead, now that the groups before it are over. A
    /// task whose template fails gets its failure.
    ///
    /// # Errors
    /// `group` was not built from this one.
    pub fn set_train_params(
        &self,
        group: &mut TaskGroup,
        context: &Arc<impl FlowContext + 'static>,
    ) -> Result<(), GroupError> {
        let answers = answers(context, None);
        for task in &self.tasks {
            let scope = self.scope_with_functions(task, &answers);
            match task.terms.table.train_params.render_dict(&scope) {
                Ok(params) => group.set_train_params(&task.task_id, params)?,
                Err(mistake) => group.break_task(&task.task_id, self.origin.describe(&mistake))?,
            }
        }
        self.skip_needy(group, &answers)
    }

    /// Whether it is known only when the flow runs if it is executed.
    #[must_use]
    pub fn is_conditional(&self) -> bool {
        self.skipped.is_none() && !self.conditions.is_empty()
    }

    /// The tasks that one of this group's tasks needs, or that its templates ask for a result or a directory. Rendering with
    /// what `context` knows shows it; what a failed template would have asked is not known.
    pub fn asked_by(
        &self,
        task: &FlowTask,
        context: &Arc<impl FlowContext + 'static>,
    ) -> BTreeSet<AskedTask> {
        let needed = self.needed_by(task);
        let mut asked: BTreeSet<AskedTask> =
            needed.into_iter().map(|(group, task)| AskedTask { group, task: Some(task) }).collect();
        if task.is_fixed() {
            return asked;
        }
        let noted = Arc::new(NotedAnswers::new(Arc::clone(context)));
        let answers: Arc<dyn Answers> = Arc::<NotedAnswers<_>>::clone(&noted);
        // A task whose templates fail asks, too.
        let _ = self.render(task, &answers, Parts::All);
        asked.extend(noted.take());
        asked
    }

    /// The group without parameters, and with commands as they are written: enough to simulate or to print it.
    ///
    /// # Errors
    /// Never for a group that came from a flow file, as its names are unique.
    pub fn outline(&self) -> Result<TaskGroup, GroupError> {
        let mut group = self.of_first(self.tasks.len(), |task| self.outline_of(task))?;
        if let Some(reason) = &self.skipped {
            group.skip_all(reason);
        }
        Ok(group)
    }

    /// A task as it will be, as far as that is known before the flow runs: what is known only later stands in its command as
    /// it is written, and is left out of its parameters.
    pub(super) fn preview(&self, task: &FlowTask, answers: &Arc<dyn Answers>) -> TaskSpec {
        let scope = self.scope_with_functions(task, answers);
        let table = &task.terms.table;
        let program = match (&task.terms.program, &table.program) {
            (None, ProgramTable::Command { load, train }) => {
                let Origin { base_dir, file, .. } = self.origin.as_ref();
                let preview = |command: &CommandTable| command.preview(base_dir, &scope, file);
                Arc::new(Program::Command { load: load.as_ref().map(preview), train: preview(train) })
            }
            _ => self.known_program(task),
        };
        let mut spec = self.spec(task, program);
        spec.params = table.params.render_dict(&scope).unwrap_or_default();
        spec
    }

    /// The group with the first of its tasks, each as `task` makes it.
    pub(super) fn of_first(
        &self,
        tasks: usize,
        task: impl Fn(&FlowTask) -> TaskSpec,
    ) -> Result<TaskGroup, GroupError> {
        let mut group = self.empty_group()?;
        for planned in self.tasks.iter().take(tasks) {
            group.add_task(task(planned))?;
        }
        Ok(group)
    }

    /// Renders one task.
    ///
    /// # Errors
    /// The first template that fails.
    pub(super) fn render(
        &self,
        task: &FlowTask,
        answers: &Arc<dyn Answers>,
        parts: Parts,
    ) -> Result<TaskSpec, Mistake> {
        if let Some(spec) = self.fixed_spec(task) {
            return Ok(spec);
        }
        let scope = self.scope_with_functions(task, answers);
        let table = &task.terms.table;
        let program = match (&task.terms.program, &table.program) {
            (None, ProgramTable::Command { load, train }) => {
                let base_dir = &self.origin.base_dir;
                let load = load.as_ref().map(|load| load.render(base_dir, &scope)).transpose()?;
                Arc::new(Program::Command { load, train: train.render(base_dir, &scope)? })
            }
            _ => self.known_program(task),
        };
        let mut spec = self.spec(task, program);
        spec.params = table.params.render_dict(&scope)?;
        if parts == Parts::All {
            spec.train_params = table.train_params.render_dict(&scope)?;
        }
        Ok(spec)
    }

    fn build_parts(&self, answers: &Arc<dyn Answers>, parts: Parts) -> Result<TaskGroup, GroupError> {
        let mut group = self.empty_group()?;
        for task in &self.tasks {
            match self.render(task, answers, parts) {
                Ok(spec) => group.add_task(spec)?,
                Err(mistake) => {
                    group.add_broken_task(self.outline_of(task), self.origin.describe(&mistake))?;
                }
            }
        }
        self.skip_needy(&mut group, answers)?;
        Ok(group)
    }

    /// Has those tasks be skipped that need one without a result. Whether a group that still runs will have them is not
    /// asked yet.
    fn skip_needy(&self, group: &mut TaskGroup, answers: &Arc<dyn Answers>) -> Result<(), GroupError> {
        for task in &self.tasks {
            let unmet = self.needed_by(task).into_iter().find(|(group, task)| {
                let (group, task) = (group.clone(), Some(task.clone()));
                let answer = answers.answer(&Call { function: Function::Result, group, task });
                matches!(answer, Answer::Value(value) if value.is_none())
            });
            if let Some((needed_group, needed)) = unmet {
                let reason = format!("it needs {needed_group}/{needed}, which has no result");
                group.skip_task(&task.task_id, &reason)?;
            }
        }
        Ok(())
    }

    /// The tasks that a task needs, each as group and task. They can be rendered: that was tried when the flow was read.
    fn needed_by(&self, task: &FlowTask) -> Vec<(String, String)> {
        let needs = &task.terms.table.needs;
        if needs.is_empty() {
            return Vec::new();
        }
        let scope = Scope::new(&self.scope, &task.terms.matrix, task.point as usize);
        let texts = needs.iter().filter_map(|needs| needs.get(&scope).ok()).flat_map(|needs| needs.0);
        texts
            .filter_map(|text| text.split_once('/').map(|(group, task)| (group.into(), task.into())))
            .collect()
    }

    /// A template's failure, as a message that is the same wherever the flow file lies.
    pub(super) fn describe(&self, mistake: &Mistake) -> String {
        self.origin.describe(mistake)
    }

    /// The task if it has no template that is rendered late.
    fn fixed_spec(&self, task: &FlowTask) -> Option<TaskSpec> {
        let program = task.terms.program.as_ref()?;
        let table = &task.terms.table;
        let (params, train_params) = (table.params.fixed()?, table.train_params.fixed()?);
        let mut spec = self.spec(task, Arc::clone(program));
        spec.params = dict(params);
        spec.train_params = dict(train_params);
        Some(spec)
    }

    fn outline_of(&self, task: &FlowTask) -> TaskSpec {
        self.spec(task, self.known_program(task))
    }

    /// The program; a command with templates as it is written.
    fn known_program(&self, task: &FlowTask) -> Arc<Program> {
        let file = &self.origin.file;
        match (&task.terms.program, &task.terms.table.program) {
            (Some(program), _) => Arc::clone(program),
            (None, ProgramTable::Command { load, train }) => Arc::new(Program::Command {
                load: load.as_ref().map(|load| load.unrendered(file)),
                train: train.unrendered(file),
            }),
            // A worker's program is always known.
            (None, ProgramTable::Worker { .. }) => {
                Arc::new(Program::Command { load: None, train: CommandLine::default() })
            }
        }
    }

    fn spec(&self, task: &FlowTask, program: Arc<Program>) -> TaskSpec {
        let terms = &task.terms;
        let worker = match program.as_ref() {
            Program::Worker { worker, .. } => self.origin.workers.get(worker),
            Program::Command { .. } => None,
        };
        let of_worker = matches!(program.as_ref(), Program::Worker { .. });
        let mut spec = TaskSpec::of(task.task_id.clone(), program, Dict::new());
        spec.point = self.scope.point(&terms.matrix, task.point as usize);
        // The worker's limits come after the group's, which the group itself would add only later.
        let worker_limits = worker.map(|worker| worker.limits).unwrap_or_default();
        let own = spec.terms_mut();
        own.needs = terms.needs;
        own.device.clone_from(&terms.device);
        own.limits = terms.limits.or(self.limits).or(worker_limits);
        own.cwd = terms.cwd.clone().or_else(|| worker.and_then(|worker| worker.cwd.clone()));
        own.expected = terms.expected;
        own.oom_signs = self.oom_signs.clone().and(&terms.table.keys.oom_signs);
        if of_worker {
            own.reuse = worker.and_then(|worker| worker.reuse);
            spec.keep = self.keep_key(task);
        }
        spec
    }

    /// The key under which the task's process is kept. It can be rendered: that was tried when the flow was read.
    fn keep_key(&self, task: &FlowTask) -> Option<Box<str>> {
        let keep = task.terms.table.keep.as_ref()?;
        let scope = || Scope::new(&self.scope, &task.terms.matrix, task.point as usize);
        let KeepKey(key) = keep.fixed().cloned().or_else(|| keep.get(&scope()).ok())?;
        Some(key)
    }

    fn scope_with_functions(&self, task: &FlowTask, answers: &Arc<dyn Answers>) -> Scope {
        Scope::with_functions(&self.scope, &task.terms.matrix, task.point as usize, answers)
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

fn answers(context: &Arc<impl FlowContext + 'static>, running: Option<&Name>) -> Arc<dyn Answers> {
    Arc::new(ContextAnswers { context: Arc::clone(context), running: running.cloned() })
}

impl Origin {
    /// A template's failure, with the template's text. It names neither path nor line: a resumed run must find the
    /// same message, wherever the flow file lies by then.
    fn describe(&self, mistake: &Mistake) -> String {
        const SHOWN: usize = 100;
        let text = self.file.slice(mistake.span);
        let more = if text.chars().nth(SHOWN).is_some() { "…" } else { "" };
        format!("{}{more}: {}", text.chars().take(SHOWN).collect::<String>(), mistake.message)
    }
}

fn dict(value: &Value) -> Dict {
    value.as_dict().cloned().unwrap_or_default()
}
