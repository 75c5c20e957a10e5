//! Checks that need more than the flow file: programs, task kinds, devices, and what tasks ask of other tasks.

mod beside;
mod findings;
mod known_tasks;
mod parameters;
mod preview;
mod programs;
mod working_directories;

use std::collections::{BTreeMap, HashMap, HashSet};
use std::ffi::OsStr;
use std::path::Path;
use std::sync::Arc;

use fedflow_core::{
    Config, Device, LeaseRequest, Name, Pin, Program, SELF_WORKER, Size, TaskKey, TaskSpec, Unleasable,
};
use fedflow_worker::{Description, ParamsQuestion};

use super::decisions::conditions;
use super::document::{ProgramTable, WorkerEntry, WorkerProtocol};
use super::file::Flow;
use super::group::{FlowGroup, Parts};
use super::task::FlowTask;
use super::templates::{Answers, TemplateCause};
use super::values::Mistake;
use crate::diagnostic::{Span, did_you_mean};
use findings::Reports;
use known_tasks::{KnownTasks, StaticAnswers, View};
use parameters::Parameters;
use programs::{Missing, find_program};
use working_directories::WorkingDirectories;

pub use findings::Findings;
pub use preview::preview;

/// What a flow is checked against.
#[derive(Clone, Copy)]
pub struct Surroundings<'a> {
    /// The effective configuration.
    pub config: &'a Config,
    /// The directories in which programs without a path are looked for: the value of `PATH`.
    pub search_path: Option<&'a OsStr>,
    /// Where Python looks for modules beside its own: the value of `PYTHONPATH`.
    pub python_path: Option<&'a OsStr>,
    /// Asks a worker, given with its name, for the task kinds that it lists, and whether parameters fit them; the error
    /// says why it lists none. It is called once for each worker that the flow uses and that speaks ipc-channel without
    /// declaring its kinds, and for the worker `self`.
    pub describe: &'a Describe<'a>,
    /// Whether a request can ever be met.
    pub leasable: &'a dyn Fn(&LeaseRequest) -> Result<(), Unleasable>,
    /// Whether the flow has been run before, in part: what only has tasks fail is then no reason to run nothing of it.
    pub is_recorded: bool,
}

/// Asks a worker, given with its name, for the task kinds that it lists, and whether parameters fit them.
pub(super) type Describe<'a> =
    dyn Fn(&str, &WorkerEntry, &[ParamsQuestion]) -> Result<Description, String> + 'a;

/// Finds every mistake that can be found before the flow runs. It looks at the files of programs and runs what
/// `describe` runs, but starts no task.
#[must_use]
pub fn validate(flow: &Flow, surroundings: &Surroundings<'_>) -> Findings {
    let mut check = Check {
        flow,
        surroundings,
        reports: Reports::new(&flow.source, surroundings.is_recorded),
        parameters: Parameters::default(),
        directories: WorkingDirectories::new(&flow.base_dir, surroundings.python_path),
    };
    check.unique_ids();
    check.devices();
    check.conditions();
    check.late_templates();
    check.workers();
    check.reports.found
}

struct Check<'a> {
    flow: &'a Flow,
    surroundings: &'a Surroundings<'a>,
    reports: Reports<'a>,
    /// What workers are to be asked of parameters.
    parameters: Parameters,
    directories: WorkingDirectories<'a>,
}

impl Check<'_> {
    fn unique_ids(&mut self) {
        let task = self.surroundings.config.task;
        let reason = match (task.allow_duplicate_id, task.directory_grouping) {
            (true, true) => return,
            (false, _) => "task.allow-duplicate-id is false",
            (true, false) => "task.directory-grouping is false, so both would have one directory",
        };
        let mut seen: HashMap<&Name, &Name> = HashMap::new();
        for group in &self.flow.groups {
            for task in &group.tasks {
                if let Some(earlier) = seen.insert(&task.task_id, &group.name) {
                    let span = task.terms.table.id_span();
                    let message = format!(
                        "the groups {:?} and {:?} both have a task {:?}",
                        earlier.as_str(),
                        group.name.as_str(),
                        task.task_id.as_str()
                    );
                    self.reports.error(span, message, Some(reason.into()));
                }
            }
        }
    }

    /// Checks of each worker that is used whether it exists and has the kinds.
    fn workers(&mut self) {
        let mut kinds_of: BTreeMap<String, Option<Vec<String>>> = BTreeMap::new();
        let mut seen: HashSet<*const Program> = HashSet::new();
        let flow = self.flow;
        for task in flow.groups.iter().flat_map(|group| &group.tasks) {
            let ProgramTable::Worker { worker: worker_key, kind: kind_key } = &task.terms.table.program
            else {
                continue;
            };
            let Some((worker, kind)) = task.worker() else { continue };
            // Tasks of one table share their program, which is checked once.
            if task.program_address().is_some_and(|address| !seen.insert(address)) {
                continue;
            }
            if !kinds_of.contains_key(worker) {
                let kinds = self.kinds(worker, worker_key.span);
                kinds_of.insert(worker.into(), kinds);
            }
            let Some(Some(kinds)) = kinds_of.get(worker) else { continue };
            if !kinds.iter().any(|known| known == kind) {
                let hint = did_you_mean(kind, kinds.iter().map(String::as_str));
                self.reports.error(
                    kind_key.span,
                    format!("the worker {worker:?} has no task kind {kind:?}"),
                    hint,
                );
            }
        }
    }

    /// The task kinds of a worker; `None` if they are not known.
    fn kinds(&mut self, worker: &str, span: Span) -> Option<Vec<String>> {
        let flow = self.flow;
        let this_program = WorkerEntry::this_program();
        let (entry, span) = match flow.workers.get(worker) {
            Some(entry) => (entry, entry.command_span),
            None if worker == SELF_WORKER => (&this_program, span),
            None => {
                let hint = match flow.workers.is_empty() {
                    true => Some(format!("add [workers.{worker}] with its command")),
                    false => did_you_mean(worker, flow.workers.keys().map(String::as_str)),
                };
                self.reports.error(span, format!("there is no worker {worker:?}"), hint);
                return None;
            }
        };
        if let Some(program) = entry.command.first()
            && let Err(missing) = self.find_program(program)
        {
            let message = format!("the worker {worker:?} cannot be started: {}", missing.reason);
            self.reports.error(span, message, missing.hint);
            return None;
        }
        self.directories.check_worker(&mut self.reports, worker, entry);
        match (&entry.kinds, entry.protocol) {
            (Some(kinds), _) => Some(kinds.clone()),
            (None, WorkerProtocol::Json) => None,
            (None, WorkerProtocol::Ipc) => self.described(worker, entry, span),
        }
    }

    /// The task kinds that a worker lists. What it says of parameters is reported.
    fn described(&mut self, worker: &str, entry: &WorkerEntry, span: Span) -> Option<Vec<String>> {
        let questions = self.parameters.of(worker);
        let asked: Vec<ParamsQuestion> = questions.iter().map(|question| question.asked.clone()).collect();
        let Description { kinds, misfits } = match (self.surroundings.describe)(worker, entry, &asked) {
            Ok(description) => description,
            Err(reason) => {
                let hint = "a worker lists its kinds when it is started with FEDFLOW_DESCRIBE=1";
                let message = format!("the worker {worker:?} does not list its task kinds: {reason}");
                self.reports.error(span, message, Some(hint.into()));
                return None;
            }
        };
        for (place, misfit) in misfits {
            // An unknown kind is told where it stands.
            if let Some(question) = questions.get(place).filter(|it| kinds.contains(&it.asked.kind)) {
                let message = format!("{} (in {})", misfit.replace('\n', " "), question.task);
                self.reports.failing(question.span, message, None);
            }
        }
        Some(kinds)
    }

    fn find_program(&self, program: &str) -> Result<(), Missing> {
        find_program(program, &self.flow.base_dir, self.surroundings.search_path)
    }

    /// Checks of each task whether its devices exist and are large enough.
    fn devices(&mut self) {
        let mut asked: HashMap<Asked, Result<(), Unleasable>> = HashMap::new();
        for group in &self.flow.groups {
            for task in &group.tasks {
                let needs = task.terms.needs;
                let estimate = needs.cuda_memory.or(group.estimate_cuda_memory);
                let key = Asked {
                    pin: task.terms.device.clone().or_else(|| group.device.clone()),
                    devices: needs.devices,
                    memory: estimate,
                };
                let answer = asked.entry(key).or_insert_with_key(|asked| {
                    let holder = TaskKey { group: group.index, place: 0 };
                    // A task is not refused for memory that was never estimated.
                    let memory = asked.memory.unwrap_or(Size::ZERO);
                    (self.surroundings.leasable)(&LeaseRequest {
                        devices: asked.devices,
                        estimated: asked.memory.is_some(),
                        exclusive: needs.exclusive,
                        pin: asked.pin.clone(),
                        ..LeaseRequest::new(holder, memory)
                    })
                });
                if let Err(reason) = answer.clone() {
                    let span = blamed(&reason, group, task);
                    self.reports.error(span, reason.to_string(), device_hint(&reason));
                }
            }
        }
    }

    /// Looks for mistakes in what the conditions of groups ask of earlier tasks.
    fn conditions(&mut self) {
        let flow = self.flow;
        let known = Arc::new(KnownTasks::of(&flow.groups));
        let run_dir: Arc<Path> = Path::new("/").into();
        for condition in conditions(&flow.groups) {
            let value = |view| {
                let (known, run_dir) = (Arc::clone(&known), Arc::clone(&run_dir));
                let group = condition.first;
                let answers: Arc<dyn Answers> =
                    Arc::new(StaticAnswers { known, group, view, run_dir, grouping: true });
                condition.value(&answers).err()
            };
            let mistake = match value(View::Start) {
                // What is asked after a result may be wrong all the same.
                Some(mistake) if mistake.cause == TemplateCause::KnownLater => {
                    value(View::StandIns).filter(|mistake| mistake.cause == TemplateCause::WrongCall)
                }
                mistake => mistake,
            };
            if let Some(Mistake { span, message, hint, .. }) = mistake {
                self.reports.error(span, message, hint);
            }
        }
    }

    /// Renders what can be rendered before the flow runs: it looks for the programs of commands, and for mistakes in
    /// what is asked of other tasks.
    fn late_templates(&mut self) {
        let flow = self.flow;
        let known = Arc::new(KnownTasks::of(&flow.groups));
        let run_dir: Arc<Path> = Path::new("/").into();
        let mut programs: HashSet<String> = HashSet::new();
        for group in &flow.groups {
            let answers = |view| -> Arc<dyn Answers> {
                let (known, run_dir) = (Arc::clone(&known), Arc::clone(&run_dir));
                Arc::new(StaticAnswers { known, group: group.index, view, run_dir, grouping: true })
            };
            let [at_start, stand_ins, ahead] = [View::Start, View::StandIns, View::Ahead].map(answers);
            let mut fixed_seen: HashSet<*const Program> = HashSet::new();
            for task in &group.tasks {
                if task.is_fixed() && task.program_address().is_some_and(|it| !fixed_seen.insert(it)) {
                    continue;
                }
                if group.load_ahead
                    && group.index > 1
                    && let Err(mistake) = group.render(task, &ahead, Parts::BeforeTrain)
                    && mistake.cause == TemplateCause::TooEarly
                {
                    self.report_of_task(group, task, mistake);
                }
                match group.render(task, &at_start, Parts::All) {
                    Ok(spec) => {
                        self.programs(group, task, &spec, &mut programs);
                        self.note_parameters(group, task, &spec);
                    }
                    Err(mistake) if mistake.cause == TemplateCause::KnownLater => {
                        // What is asked after a result may be wrong all the same.
                        if let Err(mistake) = group.render(task, &stand_ins, Parts::All)
                            && mistake.cause == TemplateCause::WrongCall
                        {
                            self.report_of_task(group, task, mistake);
                        }
                        let spec = group.preview(task, &at_start);
                        self.programs(group, task, &spec, &mut programs);
                    }
                    Err(mistake) => self.report_of_task(group, task, mistake),
                }
            }
        }
    }

    fn report_of_task(&mut self, group: &FlowGroup, task: &FlowTask, mistake: Mistake) {
        let message = format!("{} (in {}/{})", mistake.message, group.name, task.task_id);
        match mistake.cause {
            TemplateCause::UnknownName | TemplateCause::WrongCall => {
                self.reports.failing(mistake.span, message, mistake.hint);
            }
            _ => self.reports.error(mistake.span, message, mistake.hint),
        }
    }

    fn note_parameters(&mut self, group: &FlowGroup, task: &FlowTask, spec: &TaskSpec) {
        let Program::Worker { worker, kind } = spec.program.as_ref() else { return };
        let table = &task.terms.table;
        let span = table.params_span.unwrap_or(table.span);
        self.parameters
            .add((worker, kind), &spec.params, span, || format!("{}/{}", group.name, task.task_id));
    }

    fn programs(&mut self, group: &FlowGroup, task: &FlowTask, spec: &TaskSpec, seen: &mut HashSet<String>) {
        self.directories.check_task(&mut self.reports, group, task, spec);
        let (
            Program::Command { load, train },
            ProgramTable::Command { load: load_table, train: train_table },
        ) = (spec.program.as_ref(), &task.terms.table.program)
        else {
            return;
        };
        for (command, table) in [(load.as_ref(), load_table.as_ref()), (Some(train), Some(train_table))] {
            let (Some(command), Some(table)) = (command, table) else { continue };
            if let (Some(program), Some(span)) = (command.program(), table.program_span())
                && seen.insert(program.to_owned())
                && !program.contains("{{")
                && let Err(missing) = self.find_program(program)
            {
                self.reports.error(span, missing.reason, missing.hint);
            }
            self.directories.check_command(&mut self.reports, task, spec, (command, table));
        }
    }
}

/// What a task asks of the devices.
#[derive(PartialEq, Eq, Hash)]
struct Asked {
    pin: Option<Pin>,
    devices: u32,
    memory: Option<Size>,
}

/// The key whose value cannot be satisfied.
fn blamed(reason: &Unleasable, group: &FlowGroup, task: &FlowTask) -> Span {
    let table = &task.terms.table;
    let own_device = table.keys.device.as_ref().map(|key| key.span);
    let own_memory = table.keys.estimate_cuda_memory.as_ref().map(|key| key.span);
    let devices = table.devices.as_ref().map(|key| key.span);
    match reason {
        Unleasable::NoSuchDevice { .. } => own_device.or(group.spans.device),
        Unleasable::TooLarge { .. } => own_memory.or(group.spans.estimate_cuda_memory),
        Unleasable::TooMany { .. } => devices,
        Unleasable::NoneLeft | Unleasable::NotBookable { .. } => None,
    }
    .unwrap_or(table.span)
}

fn device_hint(reason: &Unleasable) -> Option<String> {
    match reason {
        Unleasable::NoSuchDevice { pin: Pin::Device(Device::Cuda(_)) | Pin::Uuid(_), .. } => {
            Some("`fedflow devices` lists the cards; --devices sim:2x24GB tries a flow without them".into())
        }
        _ => None,
    }
}
