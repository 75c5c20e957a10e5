//! From the document to the groups: expands rounds and matrices, and renders and checks names and resources.

use std::collections::{HashMap, HashSet};
use std::num::NonZeroU32;
use std::path::Path;
use std::sync::Arc;

use fedflow_core::{ExpectedTimes, ExtraOomSigns, Limits, Name, Needs, Pin, Program, Size};

use super::document::{
    CommandTable, Document, GroupBody, GroupTable, MAX_TASKS, ProgramTable, TaskTable, WorkerEntry, evaluate,
};
use super::group::{FlowGroup, KeySpans, Origin, WorkerTerms};
use super::task::{FlowTask, FlowTaskTerms};
use super::templates::{GroupScope, MatrixValues, Scope};
use super::values::{Mistake, value_of};
use crate::diagnostic::{Diagnostic, Diagnostics, SourceFile, Span};

/// The groups of a flow, in the order of execution.
///
/// # Errors
/// A template fails, a name breaks a rule or occurs twice, or there are too many tasks.
pub(crate) fn expand(
    document: &Document,
    file: &Arc<SourceFile>,
    base_dir: &Path,
) -> Result<Vec<Arc<FlowGroup>>, Diagnostics> {
    let (count, span) = least_tasks(&document.groups);
    if count > MAX_TASKS {
        return Err(too_many(file, span, count).into());
    }
    let terms_of = |worker: &WorkerEntry| WorkerTerms {
        limits: worker.limits,
        reuse: worker.reuse,
        cwd: worker.current_dir(base_dir),
    };
    let workers = document.workers.iter().map(|(name, worker)| (name.clone(), terms_of(worker)));
    let origin = Arc::new(Origin {
        file: Arc::clone(file),
        base_dir: base_dir.to_owned(),
        workers: workers.collect(),
    });
    let mut expander = Expander {
        flow_dir: base_dir.display().to_string().into(),
        origin,
        expanded: Vec::new(),
        names: HashMap::new(),
        tasks: 0,
        programs: HashMap::new(),
        found: Diagnostics::new(),
        reported: HashSet::new(),
    };
    expander.groups(&document.groups, &[], &Inherited::default());
    expander.found.or(expander.expanded)
}

/// The least number of tasks, and where the largest factor stands. It is counted before anything is expanded.
fn least_tasks(groups: &[GroupTable]) -> (u64, Span) {
    let mut total = (0_u64, Span::default());
    let mut largest = 0;
    for group in groups {
        let (inside, span) = match &group.body {
            GroupBody::Groups(groups) => least_tasks(groups),
            GroupBody::Tasks(tasks) => {
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
            // A user wants to see the larger of the two factors.
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

/// What a group gets from the groups around it.
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
    origin: Arc<Origin>,
    /// The groups so far.
    expanded: Vec<Arc<FlowGroup>>,
    /// The index of each group, by name.
    names: HashMap<Name, u32>,
    /// The number of tasks so far.
    tasks: u64,
    /// Worker programs by worker and kind, so that tasks share them.
    programs: HashMap<(String, String), Arc<Program>>,
    found: Diagnostics,
    /// Where an error was reported: a mistake in one round is the same in all.
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
        self.tasks > MAX_TASKS || (!self.found.is_empty() && self.expanded.len() > 10_000)
    }

    fn group(&mut self, table: &GroupTable, rounds: &[u32], outer: &Inherited) {
        let names = Arc::new(GroupScope { flow_dir: Arc::clone(&self.flow_dir), rounds: rounds.to_vec() });
        let scope = Scope::new(&names, &Arc::default(), 0);
        let inherited = match inherit(table, outer, &scope) {
            Ok(inherited) => inherited,
            Err(mistake) => return self.report(mistake),
        };
        match &table.body {
            GroupBody::Groups(groups) => self.groups(groups, rounds, &inherited),
            GroupBody::Tasks(tasks) => {
                let index = u32::try_from(self.expanded.len() + 1).unwrap_or(u32::MAX);
                let Some(name) = self.group_name(table, index, &scope) else { return };
                let mut group = FlowGroup {
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
                    scope: names,
                    origin: Arc::clone(&self.origin),
                };
                let mut ids = HashSet::new();
                for task in tasks {
                    self.tasks_of(task, &mut group, &mut ids, &scope);
                }
                self.expanded.push(Arc::new(group));
            }
        }
    }

    fn group_name(&mut self, table: &GroupTable, index: u32, scope: &Scope) -> Option<Name> {
        let span = table.name.as_ref().map_or(table.span, |name| name.span);
        let text = match &table.name {
            None => format!("group-{index}"),
            Some(name) => match name.get(scope) {
                Ok(name) => name.0,
                Err(mistake) => {
                    self.report(mistake);
                    return None;
                }
            },
        };
        let name = match Name::new(&text) {
            Ok(name) => name,
            Err(error) => {
                self.report(Mistake::new(span, format!("this cannot be a group's name: {error}")));
                return None;
            }
        };
        if let Some(earlier) = self.names.insert(name.clone(), index) {
            let message = format!("group {index} has the name {name:?} of group {earlier}");
            let hint = match scope.round() {
                Some(_) => "put {{ round }} into the name: the group is repeated",
                None => "the names of groups are unique in a flow",
            };
            self.report_with_hint(Mistake::new(span, message), hint);
        }
        Some(name)
    }

    fn tasks_of(
        &mut self,
        table: &Arc<TaskTable>,
        group: &mut FlowGroup,
        ids: &mut HashSet<Name>,
        scope: &Scope,
    ) {
        let matrix = match evaluate(&table.matrix, scope) {
            Ok(matrix) => Arc::new(matrix),
            Err(mistake) => return self.report(mistake),
        };
        let points = matrix.len();
        self.tasks = self.tasks.saturating_add(points as u64);
        if self.tasks > MAX_TASKS {
            if self.reported.insert(table.span) {
                self.found.push(too_many(&self.origin.file, table.span, self.tasks));
            }
            return;
        }
        group.tasks.reserve(points);
        let mut shared = None;
        for point in 0..points {
            let scope = Scope::new(&group.scope, &matrix, point);
            let Some(task_id) = self.task_id(table, &matrix, point, &scope) else { continue };
            if !ids.insert(task_id.clone()) {
                let message = format!("the group {:?} already has a task {task_id:?}", group.name.as_str());
                let hint = match table.matrix.first() {
                    Some(axis) if points > 1 => {
                        format!("use every matrix variable, such as {{{{ {} }}}}", axis.name)
                    }
                    _ => "the ids of tasks are unique in their group".into(),
                };
                self.report_with_hint(Mistake::new(table.id_span(), message), hint);
                continue;
            }
            // Each task has its own, so it is rendered again when the task is made. This only finds mistakes.
            if let Err(mistake) = value_of(table.keep.as_ref(), &scope) {
                self.report(mistake);
                continue;
            }
            let terms = match &shared {
                Some(terms) => Arc::clone(terms),
                None => match self.terms(table, &matrix, &scope) {
                    Ok(terms) => Arc::new(terms),
                    Err(mistake) => {
                        self.report(mistake);
                        continue;
                    }
                },
            };
            if table.has_fixed_terms() {
                shared = Some(Arc::clone(&terms));
            }
            group.tasks.push(FlowTask { task_id, point: u32::try_from(point).unwrap_or(u32::MAX), terms });
        }
    }

    /// The id as it is written, or made from the matrix: `client=3,lr=0.1`.
    fn task_id(
        &mut self,
        table: &TaskTable,
        matrix: &MatrixValues,
        point: usize,
        scope: &Scope,
    ) -> Option<Name> {
        let text = match &table.id {
            Some(id) => match id.get(scope) {
                Ok(id) => id.0,
                Err(mistake) => {
                    self.report(mistake);
                    return None;
                }
            },
            None => {
                let parts: Vec<String> =
                    matrix.at(point).map(|(name, value)| format!("{name}={value}")).collect();
                parts.join(",")
            }
        };
        let error = match Name::new(&text) {
            Ok(name) => return Some(name),
            Err(error) => error,
        };
        let (message, hint) = if table.id.is_some() {
            (format!("this cannot be a task's id: {error}"), "it becomes the name of the task's directory")
        } else {
            let message = format!("no task id can be made from this matrix: {error}");
            (message, "give the task an id, such as id = \"run-{{ seed }}\"")
        };
        self.report_with_hint(Mistake::new(table.id_span(), message), hint);
        None
    }

    /// What the tasks of a table share, or what one of them has for itself.
    fn terms(
        &mut self,
        table: &Arc<TaskTable>,
        matrix: &Arc<MatrixValues>,
        scope: &Scope,
    ) -> Result<FlowTaskTerms, Mistake> {
        let load = value_of(table.expected_load.as_ref(), scope)?;
        let train = value_of(table.expected_train.as_ref(), scope)?;
        let expected = (load.is_some() || train.is_some())
            .then(|| ExpectedTimes { load: load.unwrap_or_default(), train: train.unwrap_or_default() });
        Ok(FlowTaskTerms {
            program: self.program(&table.program, scope)?,
            needs: Needs {
                devices: value_of(table.devices.as_ref(), scope)?.map_or(1, NonZeroU32::get),
                exclusive: value_of(table.exclusive.as_ref(), scope)?.unwrap_or(false),
                memory: value_of(table.keys.estimate_memory.as_ref(), scope)?,
                cuda_memory: value_of(table.keys.estimate_cuda_memory.as_ref(), scope)?,
            },
            device: value_of(table.keys.device.as_ref(), scope)?,
            cwd: value_of(table.cwd.as_ref(), scope)?.map(|cwd| self.origin.base_dir.join(cwd)),
            limits: table.keys.limits.get(scope)?,
            expected,
            table: Arc::clone(table),
            matrix: Arc::clone(matrix),
        })
    }

    /// The program; `None` for a command with templates.
    fn program(&mut self, table: &ProgramTable, scope: &Scope) -> Result<Option<Arc<Program>>, Mistake> {
        Ok(match table {
            ProgramTable::Worker { worker, kind } => {
                let key = (worker.get(scope)?, kind.get(scope)?);
                let program = self.programs.entry(key).or_insert_with_key(|(worker, kind)| {
                    Arc::new(Program::Worker { worker: worker.clone(), kind: kind.clone() })
                });
                Some(Arc::clone(program))
            }
            ProgramTable::Command { load, train } => {
                if !(train.is_fixed() && load.as_ref().is_none_or(CommandTable::is_fixed)) {
                    return Ok(None);
                }
                let base_dir = &self.origin.base_dir;
                let load = load.as_ref().map(|load| load.render(base_dir, scope)).transpose()?;
                Some(Arc::new(Program::Command { load, train: train.render(base_dir, scope)? }))
            }
        })
    }

    fn report(&mut self, mistake: Mistake) {
        if self.reported.insert(mistake.span) {
            let error = Diagnostic::at(&self.origin.file, mistake.span, mistake.message);
            self.found.push(error.maybe_hint(mistake.hint));
        }
    }

    fn report_with_hint(&mut self, mistake: Mistake, hint: impl Into<String>) {
        if self.reported.insert(mistake.span) {
            self.found.push(Diagnostic::at(&self.origin.file, mistake.span, mistake.message).hint(hint));
        }
    }
}

/// What a group says itself, and what the groups around it say of what it leaves open.
fn inherit(table: &GroupTable, outer: &Inherited, scope: &Scope) -> Result<Inherited, Mistake> {
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
