//! From the document to the plan: rounds and matrices multiplied, names and needs rendered and checked.

use std::collections::{HashMap, HashSet};
use std::num::NonZeroU32;
use std::path::Path;
use std::sync::Arc;

use fedflow_core::{ExpectedTimes, ExtraOomSigns, Limits, Name, Needs, Pin, Program, Size};

use super::document::{Body, Document, GroupTable, ProgramTable, TaskTable};
use super::matrix::{MAX_TASKS, evaluate};
use super::plan::{GroupPlan, HeadProgram, KeySpans, Shared, TaskHead, TaskPlan, TaskSet};
use super::property::{Fault, value_of};
use super::scope::{Matrix, Rounds, Scope};
use super::worker::WorkerEntry;
use crate::diagnostic::{Diagnostic, Diagnostics, SourceFile, Span};

/// The groups of a flow, in the order of execution.
///
/// # Errors
/// A template fails, a name breaks a rule or occurs twice, or there are too many tasks.
pub(crate) fn expand(
    document: &Document,
    file: &Arc<SourceFile>,
    base_dir: &Path,
) -> Result<Vec<GroupPlan>, Diagnostics> {
    let (count, span) = least_tasks(&document.groups);
    if count > MAX_TASKS {
        return Err(too_many(file, span, count).into());
    }
    let worker_limits = document.workers.iter().map(|(name, worker)| (name.clone(), worker.limits)).collect();
    let reuse = |(name, worker): (&String, &WorkerEntry)| Some((name.clone(), worker.reuse?));
    let worker_reuse = document.workers.iter().filter_map(reuse).collect();
    let shared = Arc::new(Shared {
        file: Arc::clone(file),
        base_dir: base_dir.to_owned(),
        worker_limits,
        worker_reuse,
    });
    let mut expander = Expander {
        flow_dir: base_dir.display().to_string().into(),
        shared,
        plans: Vec::new(),
        names: HashMap::new(),
        tasks: 0,
        programs: HashMap::new(),
        found: Diagnostics::new(),
        reported: HashSet::new(),
    };
    expander.groups(&document.groups, &[], &Inherited::default());
    expander.found.or(expander.plans)
}

/// The least number of tasks, and where the largest factor stands: counted before anything is made.
fn least_tasks(groups: &[GroupTable]) -> (u64, Span) {
    let mut total = (0_u64, Span::default());
    let mut largest = 0;
    for group in groups {
        let (inside, span) = match &group.body {
            Body::Groups(groups) => least_tasks(groups),
            Body::Tasks(tasks) => {
                let count = |task: &Arc<TaskTable>| {
                    task.matrix.iter().map(|axis| axis.least_len()).fold(1, u64::saturating_mul)
                };
                let span = tasks.iter().max_by_key(|task| count(task)).map_or(group.span, |task| task.span);
                (tasks.iter().map(count).fold(0, u64::saturating_add), span)
            }
        };
        let repeat = group.repeat.map_or(1, |repeat| u64::from(repeat.value.get()));
        let count = inside.saturating_mul(repeat);
        if count > largest {
            largest = count;
            // The larger of the two factors is what a user wants to see.
            total.1 = group.repeat.filter(|_| repeat >= inside).map_or(span, |repeat| repeat.span);
        }
        total.0 = total.0.saturating_add(count);
    }
    total
}

fn too_many(file: &Arc<SourceFile>, span: Span, count: u64) -> Diagnostic {
    let message = format!("this flow has at least {count} tasks; {MAX_TASKS} are the most");
    Diagnostic::at(file, span, message).hint("split it into several flows")
}

/// What groups get from the groups around them.
#[derive(Debug, Clone, Default)]
struct Inherited {
    device: Option<Pin>,
    estimate_memory: Option<Size>,
    estimate_cuda_memory: Option<Size>,
    limits: Limits,
    oom_signs: ExtraOomSigns,
    load_ahead: bool,
    spans: KeySpans,
}

struct Expander {
    flow_dir: Arc<str>,
    shared: Arc<Shared>,
    plans: Vec<GroupPlan>,
    names: HashMap<Name, u32>,
    tasks: u64,
    /// Programs whose worker or kind is a template, each once.
    programs: HashMap<(String, String), Arc<Program>>,
    found: Diagnostics,
    /// Where something was found already: what is wrong in one round is wrong in all.
    reported: HashSet<Span>,
}

impl Expander {
    fn groups(&mut self, groups: &[GroupTable], rounds: &[u32], inherited: &Inherited) {
        for group in groups {
            let Some(repeat) = group.repeat else {
                self.group(group, rounds, inherited);
                continue;
            };
            for round in 1..=repeat.value.get() {
                if self.is_over() {
                    return;
                }
                self.group(group, &[rounds, &[round]].concat(), inherited);
            }
        }
    }

    /// Whether going on would only find the same again.
    fn is_over(&self) -> bool {
        self.tasks > MAX_TASKS || (!self.found.is_empty() && self.plans.len() > 10_000)
    }

    fn group(&mut self, table: &GroupTable, rounds: &[u32], outer: &Inherited) {
        let rounds = Arc::new(Rounds { flow_dir: Arc::clone(&self.flow_dir), rounds: rounds.to_vec() });
        let scope = Scope::new(&rounds, &Arc::default(), 0);
        let inherited = match inherit(table, outer, &scope) {
            Ok(inherited) => inherited,
            Err(fault) => return self.report(fault),
        };
        match &table.body {
            Body::Groups(groups) => self.groups(groups, &rounds.rounds, &inherited),
            Body::Tasks(tasks) => {
                let index = u32::try_from(self.plans.len() + 1).unwrap_or(u32::MAX);
                let Some(name) = self.group_name(table, index, &scope) else { return };
                let mut plan = GroupPlan {
                    index,
                    name,
                    device: inherited.device,
                    estimate_memory: inherited.estimate_memory,
                    estimate_cuda_memory: inherited.estimate_cuda_memory,
                    limits: inherited.limits,
                    oom_signs: inherited.oom_signs,
                    load_ahead: inherited.load_ahead,
                    tasks: Vec::new(),
                    spans: inherited.spans,
                    rounds,
                    shared: Arc::clone(&self.shared),
                };
                let mut ids = HashSet::new();
                for task in tasks {
                    self.tasks_of(task, &mut plan, &mut ids, &scope);
                }
                self.plans.push(plan);
            }
        }
    }

    fn group_name(&mut self, table: &GroupTable, index: u32, scope: &Scope) -> Option<Name> {
        let span = table.name.as_ref().map_or(table.span, |name| name.span);
        let text = match &table.name {
            None => format!("group-{index}"),
            Some(name) => match name.get(scope) {
                Ok(name) => name.0,
                Err(fault) => {
                    self.report(fault);
                    return None;
                }
            },
        };
        let name = match Name::new(&text) {
            Ok(name) => name,
            Err(error) => {
                self.report(Fault { span, message: format!("this cannot be a group's name: {error}") });
                return None;
            }
        };
        if let Some(earlier) = self.names.insert(name.clone(), index) {
            let message = format!("group {index} has the name {name:?} of group {earlier}");
            let hint = match scope.round() {
                Some(_) => "put {{ round }} into the name: the group is repeated",
                None => "the names of groups are unique in a flow",
            };
            self.report_with_hint(Fault { span, message }, hint);
        }
        Some(name)
    }

    fn tasks_of(
        &mut self,
        table: &Arc<TaskTable>,
        plan: &mut GroupPlan,
        ids: &mut HashSet<Name>,
        scope: &Scope,
    ) {
        let matrix = match evaluate(&table.matrix, scope) {
            Ok(matrix) => Arc::new(matrix),
            Err(fault) => return self.report(fault),
        };
        let points = matrix.len();
        self.tasks = self.tasks.saturating_add(points as u64);
        if self.tasks > MAX_TASKS {
            if self.reported.insert(table.span) {
                self.found.push(too_many(&self.shared.file, table.span, self.tasks));
            }
            return;
        }
        plan.tasks.reserve(points);
        let mut common = None;
        for point in 0..points {
            let scope = Scope::new(&plan.rounds, &matrix, point);
            let Some(task_id) = self.task_id(table, &matrix, point, &scope) else { continue };
            if !ids.insert(task_id.clone()) {
                let span = table.id.as_ref().map_or(table.span, |id| id.span);
                let message = format!("the group {:?} already has a task {task_id:?}", plan.name.as_str());
                let hint = match table.matrix.first() {
                    Some(axis) if points > 1 => {
                        format!("use every matrix variable, such as {{{{ {} }}}}", axis.name)
                    }
                    _ => "the ids of tasks are unique in their group".into(),
                };
                self.report_with_hint(Fault { span, message }, hint);
                continue;
            }
            // Each task has its own, so it is rendered again when the task is made; here only what is wrong is found.
            if let Err(fault) = value_of(table.keep.as_ref(), &scope) {
                self.report(fault);
                continue;
            }
            let set = match &common {
                Some(set) => Arc::clone(set),
                None => match self.head(table, &scope) {
                    Ok(head) => {
                        let (table, matrix) = (Arc::clone(table), Arc::clone(&matrix));
                        Arc::new(TaskSet { head, table, matrix })
                    }
                    Err(fault) => {
                        self.report(fault);
                        continue;
                    }
                },
            };
            if table.has_fixed_needs() {
                common = Some(Arc::clone(&set));
            }
            plan.tasks.push(TaskPlan { task_id, point: u32::try_from(point).unwrap_or(u32::MAX), set });
        }
    }

    /// The identifier as it is written, or made from the matrix: `client=3,lr=0.1`.
    fn task_id(&mut self, table: &TaskTable, matrix: &Matrix, point: usize, scope: &Scope) -> Option<Name> {
        let span = table.id.as_ref().map_or(table.span, |id| id.span);
        let text = match &table.id {
            Some(id) => match id.get(scope) {
                Ok(id) => id.0,
                Err(fault) => {
                    self.report(fault);
                    return None;
                }
            },
            None => {
                let parts: Vec<String> =
                    matrix.at(point).map(|(name, value)| format!("{name}={value}")).collect();
                parts.join(",")
            }
        };
        match Name::new(&text) {
            Ok(name) => Some(name),
            Err(error) if table.id.is_none() => {
                let message = format!("no task id can be made from this matrix: {error}");
                self.report_with_hint(
                    Fault { span, message },
                    "give the task an id, such as id = \"run-{{ seed }}\"",
                );
                None
            }
            Err(error) => {
                let message = format!("this cannot be a task's id: {error}");
                self.report_with_hint(Fault { span, message }, "it becomes the name of the task's directory");
                None
            }
        }
    }

    fn head(&mut self, table: &TaskTable, scope: &Scope) -> Result<TaskHead, Fault> {
        let program = match &table.program {
            ProgramTable::Worker { worker, kind } => {
                let key = (worker.get(scope)?, kind.get(scope)?);
                let program = self.programs.entry(key).or_insert_with_key(|(worker, kind)| {
                    Arc::new(Program::Worker { worker: worker.clone(), kind: kind.clone() })
                });
                HeadProgram::Known(Arc::clone(program))
            }
            ProgramTable::Command { load, train } => {
                let mut arguments = load.iter().flatten().chain(train);
                if arguments.all(|argument| argument.fixed().is_some()) {
                    let load = load.as_deref().map(|load| self.shared.command(load, scope)).transpose()?;
                    let train = self.shared.command(train, scope)?;
                    HeadProgram::Known(Arc::new(Program::Command { load, train }))
                } else {
                    HeadProgram::Rendered
                }
            }
        };
        let needs = Needs {
            devices: value_of(table.devices.as_ref(), scope)?.map_or(1, NonZeroU32::get),
            exclusive: value_of(table.exclusive.as_ref(), scope)?.unwrap_or(false),
            memory: value_of(table.keys.estimate_memory.as_ref(), scope)?,
            cuda_memory: value_of(table.keys.estimate_cuda_memory.as_ref(), scope)?,
        };
        let load = value_of(table.expected_load.as_ref(), scope)?;
        let train = value_of(table.expected_train.as_ref(), scope)?;
        let expected = (load.is_some() || train.is_some())
            .then(|| ExpectedTimes { load: load.unwrap_or_default(), train: train.unwrap_or_default() });
        let device = value_of(table.keys.device.as_ref(), scope)?;
        Ok(TaskHead { program, needs, device, limits: table.keys.limits.get(scope)?, expected })
    }

    fn report(&mut self, fault: Fault) {
        if self.reported.insert(fault.span) {
            self.found.push(Diagnostic::at(&self.shared.file, fault.span, fault.message));
        }
    }

    fn report_with_hint(&mut self, fault: Fault, hint: impl Into<String>) {
        if self.reported.insert(fault.span) {
            self.found.push(Diagnostic::at(&self.shared.file, fault.span, fault.message).hint(hint));
        }
    }
}

/// What a group says itself, and for what it leaves open what is said around it.
fn inherit(table: &GroupTable, outer: &Inherited, scope: &Scope) -> Result<Inherited, Fault> {
    let keys = &table.keys;
    let device = value_of(keys.device.as_ref(), scope)?;
    let cuda_memory = value_of(keys.estimate_cuda_memory.as_ref(), scope)?;
    let own = KeySpans {
        device: keys.device.as_ref().map(|key| key.span),
        estimate_cuda_memory: keys.estimate_cuda_memory.as_ref().map(|key| key.span),
    };
    Ok(Inherited {
        device: device.or_else(|| outer.device.clone()),
        estimate_memory: value_of(keys.estimate_memory.as_ref(), scope)?.or(outer.estimate_memory),
        estimate_cuda_memory: cuda_memory.or(outer.estimate_cuda_memory),
        limits: keys.limits.get(scope)?.or(outer.limits),
        oom_signs: outer.oom_signs.clone().and(&keys.oom_signs),
        load_ahead: value_of(table.load_ahead.as_ref(), scope)?.unwrap_or(outer.load_ahead),
        spans: KeySpans {
            device: own.device.or(outer.spans.device),
            estimate_cuda_memory: own.estimate_cuda_memory.or(outer.spans.estimate_cuda_memory),
        },
    })
}
