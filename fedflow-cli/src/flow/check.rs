//! Checks across a flow that need more than its text: programs, task kinds, devices, and what its tasks ask of others.

use std::cell::OnceCell;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::ffi::OsStr;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use fedflow_core::{
    CommandLine, Config, Device, LeaseRequest, Name, Pin, Program, SELF_WORKER, Size, TaskKey, Unleasable,
};

use super::document::ProgramTable;
use super::lookup::{Answer, Call, Function, Lookups, Rendered};
use super::plan::{GroupPlan, Parts, TOO_EARLY, TaskPlan, program_path, too_early};
use super::{Flow, WorkerEntry, WorkerProtocol};
use crate::diagnostic::{Diagnostic, Diagnostics, Span, did_you_mean};

/// What a flow is checked against.
#[derive(Clone, Copy)]
pub struct Surroundings<'a> {
    /// The effective configuration.
    pub config: &'a Config,
    /// Where programs without a path are looked for: the value of `PATH`.
    pub search_path: Option<&'a OsStr>,
    /// The task kinds that a worker lists; the error says why it lists none. Asked once for each worker that the
    /// flow uses and that speaks ipc-channel without declaring its kinds, and for the worker `self`.
    pub describe: &'a Describe<'a>,
    /// Whether a request can ever be met.
    pub leasable: &'a dyn Fn(&LeaseRequest) -> Result<(), Unleasable>,
}

/// Asks a worker, given with its name, for the task kinds that it lists.
pub(super) type Describe<'a> = dyn Fn(&str, &WorkerEntry) -> Result<Vec<String>, String> + 'a;

/// Looks for everything that can be known to be wrong before the flow runs. Looks at the files of programs and
/// runs what `describe` runs; starts no task.
#[must_use]
pub fn validate(flow: &Flow, surroundings: &Surroundings<'_>) -> Diagnostics {
    let mut check = Check {
        flow,
        surroundings,
        index: flow.groups.iter().map(|group| (group.name.as_str(), GroupIndex::of(group))).collect(),
        found: Diagnostics::new(),
        reported: HashSet::new(),
    };
    check.unique_ids();
    check.workers();
    check.devices();
    check.late_templates();
    check.found
}

struct Check<'a> {
    flow: &'a Flow,
    surroundings: &'a Surroundings<'a>,
    index: HashMap<&'a str, GroupIndex<'a>>,
    found: Diagnostics,
    reported: HashSet<Span>,
}

/// Which tasks a group has.
struct GroupIndex<'a> {
    group: &'a GroupPlan,
    /// Made when a template first asks for one: most groups are large, and hardly any is asked.
    tasks: OnceCell<HashSet<&'a str>>,
}

impl<'a> GroupIndex<'a> {
    fn of(group: &'a GroupPlan) -> Self {
        Self { group, tasks: OnceCell::new() }
    }

    fn tasks(&self) -> &HashSet<&'a str> {
        let ids = || self.group.tasks.iter().map(|task| task.task_id.as_str()).collect();
        self.tasks.get_or_init(ids)
    }
}

impl Check<'_> {
    /// Says it once for each place, however many tasks stand there.
    fn report(&mut self, span: Span, message: impl Into<String>, hint: Option<String>) {
        if self.reported.insert(span) {
            self.found.push(Diagnostic::at(&self.flow.source, span, message).maybe_hint(hint));
        }
    }

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
                    let span = task.set.table.id.as_ref().map_or(task.set.table.span, |id| id.span);
                    let message = format!(
                        "the groups {:?} and {:?} both have a task {:?}",
                        earlier.as_str(),
                        group.name.as_str(),
                        task.task_id.as_str()
                    );
                    self.report(span, message, Some(reason.into()));
                }
            }
        }
    }

    /// Each worker that is used: whether it is there, and whether it has the kinds.
    fn workers(&mut self) {
        let mut kinds_of: BTreeMap<String, Option<Vec<String>>> = BTreeMap::new();
        let mut seen: HashSet<*const Program> = HashSet::new();
        let flow = self.flow;
        for task in flow.groups.iter().flat_map(|group| &group.tasks) {
            let ProgramTable::Worker { worker: worker_key, kind: kind_key } = &task.set.table.program else {
                continue;
            };
            let Some((worker, kind)) = task.worker() else { continue };
            // Tasks of one table share their program: it is looked at once.
            if task.set.head.program_address().is_some_and(|address| !seen.insert(address)) {
                continue;
            }
            if !kinds_of.contains_key(worker) {
                let kinds = self.kinds(worker, worker_key.span);
                kinds_of.insert(worker.into(), kinds);
            }
            let Some(Some(kinds)) = kinds_of.get(worker) else { continue };
            if !kinds.iter().any(|known| known == kind) {
                let hint = did_you_mean(kind, kinds.iter().map(String::as_str));
                self.report(kind_key.span, format!("the worker {worker:?} has no task kind {kind:?}"), hint);
            }
        }
    }

    /// The kinds that a worker lists, if it is to list any and can.
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
                self.report(span, format!("there is no worker {worker:?}"), hint);
                return None;
            }
        };
        if let Some(program) = entry.command.first()
            && let Err(missing) = self.find_program(program)
        {
            let message = format!("the worker {worker:?} cannot be started: {}", missing.reason);
            self.report(span, message, missing.hint);
            return None;
        }
        match (&entry.kinds, entry.protocol) {
            (Some(kinds), _) => Some(kinds.clone()),
            (None, WorkerProtocol::Json) => None,
            (None, WorkerProtocol::Ipc) => match (self.surroundings.describe)(worker, entry) {
                Ok(kinds) => Some(kinds),
                Err(reason) => {
                    let hint = "a worker lists its kinds when it is started with FEDFLOW_DESCRIBE=1";
                    let message = format!("the worker {worker:?} does not list its task kinds: {reason}");
                    self.report(span, message, Some(hint.into()));
                    None
                }
            },
        }
    }

    /// The program of a worker or a command: a file that can be run.
    fn find_program(&self, program: &str) -> Result<(), Missing> {
        if let Some(path) = program_path(&self.flow.base_dir, program) {
            return runnable(&path).map_err(|reason| Missing {
                hint: (!path.exists() && path.components().any(|part| part.as_os_str() == "target"))
                    .then(|| "build it first: cargo build --release".into()),
                reason: format!("{} {reason}", path.display()),
            });
        }
        let directories = self.surroundings.search_path.unwrap_or_default();
        let found = std::env::split_paths(directories)
            .filter(|directory| !directory.as_os_str().is_empty())
            .any(|directory| runnable(&directory.join(program)).is_ok());
        if found {
            return Ok(());
        }
        let beside = self.flow.base_dir.join(program);
        Err(Missing {
            reason: format!("there is no program {program:?} on PATH"),
            hint: beside.exists().then(|| format!("write \"./{program}\" for the file beside the flow file")),
        })
    }

    /// Whether each task's devices exist and are large enough.
    fn devices(&mut self) {
        let mut asked: HashMap<Asked, Result<(), Unleasable>> = HashMap::new();
        for group in &self.flow.groups {
            for task in &group.tasks {
                let needs = task.set.head.needs;
                let estimate = needs.cuda_memory.or(group.estimate_cuda_memory);
                let key = Asked {
                    pin: task.set.head.device.clone().or_else(|| group.device.clone()),
                    devices: needs.devices,
                    memory: estimate,
                };
                let answer = asked.entry(key).or_insert_with_key(|asked| {
                    (self.surroundings.leasable)(&LeaseRequest {
                        holder: TaskKey { group: group.index, place: 0 },
                        devices: asked.devices,
                        // What nobody estimated is no reason to refuse a task.
                        memory: asked.memory.unwrap_or(Size::ZERO),
                        estimated: asked.memory.is_some(),
                        exclusive: needs.exclusive,
                        pin: asked.pin.clone(),
                        hold: false,
                        replaces: None,
                        roomy: false,
                    })
                });
                if let Err(reason) = answer.clone() {
                    let span = blamed(&reason, group, task);
                    self.report(span, reason.to_string(), device_hint(&reason));
                }
            }
        }
    }

    /// Renders what can be rendered before the flow runs: commands are looked for, and what is asked of other tasks
    /// must be there by then.
    fn late_templates(&mut self) {
        let flow = self.flow;
        let mut programs: HashSet<String> = HashSet::new();
        for group in &flow.groups {
            let (lookups, ahead_lookups) = (Lookups::default(), Lookups::default());
            let mut fixed_seen: HashSet<*const Program> = HashSet::new();
            for task in &group.tasks {
                if task.is_fixed() && task.set.head.program_address().is_some_and(|it| !fixed_seen.insert(it))
                {
                    continue;
                }
                if group.load_ahead && group.index > 1 {
                    self.ahead(group, task, &ahead_lookups);
                }
                let resolve = |call: &Call| answer(&self.index, group, call);
                match group.render(task, &lookups, &resolve, Parts::All) {
                    Rendered::Done(spec) => self.programs(task, &spec.program, &mut programs),
                    Rendered::Later => {}
                    Rendered::Failed(fault) => {
                        let place = format!("{}/{}", group.name, task.task_id);
                        self.report(fault.span, format!("{} (in {place})", fault.message), None);
                    }
                }
            }
        }
    }

    /// What is rendered ahead must not ask for what the group before leaves.
    fn ahead(&mut self, group: &GroupPlan, task: &TaskPlan, lookups: &Lookups) {
        let index = &self.index;
        let resolve = |call: &Call| {
            let asks_running =
                index.get(call.group.as_str()).is_some_and(|it| it.group.index + 1 == group.index);
            match call.function {
                _ if asks_running => too_early(call),
                // What is wrong with it otherwise is found when all of it is rendered.
                Function::Workdir => Answer::path(Path::new("/")),
                Function::Result => Answer::Later,
            }
        };
        let Rendered::Failed(fault) = group.render(task, lookups, &resolve, Parts::BeforeTrain) else {
            return;
        };
        if fault.message.contains(TOO_EARLY) {
            let place = format!("{}/{}", group.name, task.task_id);
            self.report(fault.span, format!("{} (in {place})", fault.message), None);
        }
    }

    fn programs(&mut self, task: &TaskPlan, program: &Program, seen: &mut HashSet<String>) {
        let (Program::Command { load, train }, ProgramTable::Command { load: load_keys, train: train_keys }) =
            (program, &task.set.table.program)
        else {
            return;
        };
        let pairs = [(load.as_ref(), load_keys.as_deref()), (Some(train), Some(train_keys))];
        for (command, keys) in pairs {
            let (Some(program), Some([key, ..])) = (command.and_then(CommandLine::program), keys) else {
                continue;
            };
            if seen.insert(program.to_owned())
                && let Err(missing) = self.find_program(program)
            {
                self.report(key.span, missing.reason, missing.hint);
            }
        }
    }
}

struct Missing {
    reason: String,
    hint: Option<String>,
}

#[derive(PartialEq, Eq, Hash)]
struct Asked {
    pin: Option<Pin>,
    devices: u32,
    memory: Option<Size>,
}

fn runnable(path: &Path) -> Result<(), &'static str> {
    match std::fs::metadata(path) {
        Err(_) => Err("does not exist"),
        Ok(metadata) if !metadata.is_file() => Err("is not a file"),
        Ok(metadata) if metadata.permissions().mode() & 0o111 == 0 => Err("is not executable"),
        Ok(_) => Ok(()),
    }
}

/// The key that asks for what there is not.
fn blamed(reason: &Unleasable, group: &GroupPlan, task: &TaskPlan) -> Span {
    let table = &task.set.table;
    let own_device = table.keys.device.as_ref().map(|key| key.span);
    let own_memory = table.keys.estimate_cuda_memory.as_ref().map(|key| key.span);
    let devices = table.devices.as_ref().map(|key| key.span);
    match reason {
        Unleasable::NoSuchDevice { .. } => own_device.or(group.spans.device),
        Unleasable::TooLarge { .. } => own_memory.or(group.spans.estimate_cuda_memory),
        Unleasable::TooMany { .. } => devices,
        Unleasable::NoneLeft => None,
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

/// What is known of a call before the flow runs: whether the task will be there by then.
fn answer(index: &HashMap<&str, GroupIndex<'_>>, group: &GroupPlan, call: &Call) -> Answer {
    let name = call.function.name();
    let refused =
        |what: String| Answer::Refused(format!("{name}({:?}, {:?}): {what}", call.group, call.task));
    let hint = |hint: Option<String>| hint.map(|hint| format!("; {hint}")).unwrap_or_default();
    let Some(other) = index.get(call.group.as_str()) else {
        let meant = did_you_mean(&call.group, index.keys().copied());
        return refused(format!("there is no group {:?}{}", call.group, hint(meant)));
    };
    if !other.tasks().contains(call.task.as_str()) {
        let meant = did_you_mean(&call.task, other.tasks().iter().copied());
        return refused(format!("there is no task {:?} in it{}", call.task, hint(meant)));
    }
    if other.group.index == group.index {
        return refused("the tasks of one group run at the same time; put it into an earlier group".into());
    }
    if other.group.index > group.index {
        return refused("that group runs later".into());
    }
    match call.function {
        Function::Workdir => Answer::path(&PathBuf::from("/").join(&call.group).join(&call.task)),
        Function::Result => Answer::Later,
    }
}
