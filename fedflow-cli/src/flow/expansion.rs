//! From the document to the groups: expands rounds and matrices, and renders and checks names and resources.

mod inherited;
mod least_tasks;
mod made_up_id;

use std::collections::{HashMap, HashSet};
use std::num::NonZeroU32;
use std::path::Path;
use std::sync::Arc;

use fedflow_core::{ExpectedTimes, Name, Needs, Program};

use self::inherited::{Inherited, inherit};
use self::least_tasks::{least_tasks, too_many};
use self::made_up_id::made_up_id;
use super::document::{
    CommandTable, Document, GroupBody, GroupTable, MAX_TASKS, ProgramTable, TaskTable, WorkerEntry, evaluate,
};
use super::group::{FlowGroup, Origin, WorkerTerms};
use super::task::{FlowTask, FlowTaskTerms};
use super::templates::{FlowScope, GroupScope, MatrixValues, Scope};
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
    names: &Arc<FlowScope>,
    seed: u64,
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
        seed,
        origin,
        expanded: Vec::new(),
        names: HashMap::new(),
        tasks: 0,
        programs: HashMap::new(),
        found: Diagnostics::new(),
        reported: HashSet::new(),
    };
    expander.groups(&document.groups, &GroupScope::of_flow(names), &Inherited::default());
    expander.found.or(expander.expanded)
}

struct Expander {
    /// The first seed of the run, for samples.
    seed: u64,
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
    fn groups(&mut self, groups: &[GroupTable], outer: &GroupScope, inherited: &Inherited) {
        for group in groups {
            let around = Arc::new(outer.clone());
            let matrix = match evaluate(&group.matrix, &around, self.seed) {
                Ok(matrix) => matrix,
                Err(mistake) => {
                    self.report(mistake);
                    continue;
                }
            };
            for point in 0..matrix.len() {
                if self.is_over() {
                    return;
                }
                self.rounds(group, outer.at_point(&matrix, point), inherited);
            }
        }
    }

    /// The rounds of a group at a point of its matrix; once if it is not repeated.
    fn rounds(&mut self, group: &GroupTable, names: GroupScope, inherited: &Inherited) {
        let Some(repeat) = &group.repeat else { return self.group(group, names, inherited) };
        let rounds = match repeat.get(&Scope::of_group(&Arc::new(names.clone()))) {
            Ok(rounds) => rounds.get(),
            Err(mistake) => return self.report(mistake),
        };
        if u64::from(rounds) > MAX_TASKS {
            let message = format!("{rounds} rounds are more than the {MAX_TASKS} tasks that a flow may have");
            return self.report(Mistake::new(repeat.span, message));
        }
        for round in 1..=rounds {
            if self.is_over() {
                return;
            }
            self.group(group, names.in_round(round), inherited);
        }
    }

    /// Whether going on would only find the same again.
    fn is_over(&self) -> bool {
        self.tasks > MAX_TASKS || (!self.found.is_empty() && self.expanded.len() > 10_000)
    }

    fn group(&mut self, table: &GroupTable, names: GroupScope, outer: &Inherited) {
        let names = Arc::new(names);
        let scope = Scope::of_group(&names);
        let inherited = match inherit(table, outer, &scope) {
            Ok(inherited) => inherited,
            Err(mistake) => return self.report(mistake),
        };
        match &table.body {
            GroupBody::Groups(groups) => self.groups(groups, &names, &inherited),
            GroupBody::Tasks(tasks) => {
                let index = u32::try_from(self.expanded.len() + 1).unwrap_or(u32::MAX);
                let Some(name) = self.group_name(table, index, &names) else { return };
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
                    self.tasks_of(task, &mut group, &mut ids);
                }
                self.expanded.push(Arc::new(group));
            }
        }
    }

    fn group_name(&mut self, table: &GroupTable, index: u32, names: &Arc<GroupScope>) -> Option<Name> {
        let span = table.name.as_ref().map_or(table.span, |name| name.span);
        let text = match &table.name {
            None => format!("group-{index}"),
            Some(name) => match name.get(&Scope::of_group(names)) {
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
            let unused =
                |variable: &&(Arc<str>, _)| table.name.as_ref().is_some_and(|name| !name.uses(&variable.0));
            let hint = match (names.rounds().last(), names.outer().iter().rev().find(unused)) {
                (_, Some((variable, _))) => {
                    format!("put {{{{ {variable} }}}} into the name: the group has a matrix")
                }
                (Some(_), None) => "put {{ round }} into the name: the group is repeated".into(),
                (None, None) => "the names of groups are unique in a flow".into(),
            };
            self.report_with_hint(Mistake::new(span, message), hint);
        }
        Some(name)
    }

    fn tasks_of(&mut self, table: &Arc<TaskTable>, group: &mut FlowGroup, ids: &mut HashSet<Name>) {
        let matrix = match evaluate(&table.matrix, &group.scope, self.seed) {
            Ok(matrix) => Arc::new(matrix),
            Err(mistake) => return self.report(mistake),
        };
        let points = matrix.len();
        if table.when.is_none() {
            group.tasks.reserve(points.min(usize::try_from(MAX_TASKS).unwrap_or(usize::MAX)));
        }
        let mut shared = None;
        for point in 0..points {
            let scope = Scope::new(&group.scope, &matrix, point);
            match value_of(table.when.as_ref(), &scope) {
                Ok(Some(false)) => continue,
                Ok(_) => {}
                Err(mistake) => return self.report(mistake),
            }
            self.tasks += 1;
            if self.tasks > MAX_TASKS {
                let least = self.tasks.saturating_add((points - point - 1) as u64);
                if self.reported.insert(table.span) {
                    self.found.push(too_many(&self.origin.file, table.span, least));
                }
                return;
            }
            let Some(task_id) = self.task_id(table, &matrix, point, &scope) else { continue };
            if !ids.insert(task_id.clone()) {
                let message = format!("the group {:?} already has a task {task_id:?}", group.name.as_str());
                let hint = match matrix.first_name() {
                    Some(name) if points > 1 => {
                        format!("use every matrix variable, such as {{{{ {name} }}}}")
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

    /// The id as it is written, or made from the matrix.
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
            None => made_up_id(matrix.at(point)),
        };
        Name::new(&text)
            .map_err(|error| {
                let message = format!("this cannot be a task's id: {error}");
                let hint = "it becomes the name of the task's directory";
                self.report_with_hint(Mistake::new(table.id_span(), message), hint);
            })
            .ok()
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
