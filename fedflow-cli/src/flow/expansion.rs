//! From the document to the groups: expands rounds and matrices, and renders and checks names and resources.

mod inherited;
mod least_tasks;
mod made_up_id;
mod needed_tasks;
mod task_terms;

use std::collections::{HashMap, HashSet};
use std::path::Path;
use std::sync::Arc;

use fedflow_core::Name;

use self::inherited::{Inherited, inherit};
use self::least_tasks::{least_tasks, too_many};
use self::made_up_id::made_up_id;
use self::needed_tasks::NeededTasks;
use self::task_terms::TermsMaker;
use super::document::{Document, GroupBody, GroupTable, MAX_TASKS, TaskTable, WorkerEntry, evaluate};
use super::group::condition::{Condition, ConditionKind};
use super::group::{FlowGroup, Origin, WorkerTerms};
use super::task::FlowTask;
use super::templates::{FlowScope, Function, GroupScope, MatrixValues, Scope};
use super::values::{Mistake, Property, value_of};
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
        terms: TermsMaker::new(base_dir.to_owned()),
        needed: NeededTasks::default(),
        repeats: 0,
        found: Diagnostics::new(),
        reported: HashSet::new(),
    };
    expander.groups(&document.groups, &GroupScope::of_flow(names), &Inherited::default());
    if expander.found.is_empty() {
        for mistake in std::mem::take(&mut expander.needed).check(&expander.expanded) {
            expander.report(mistake);
        }
    }
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
    terms: TermsMaker,
    needed: NeededTasks,
    /// The number of repeats so far, each at one point of the matrices around it.
    repeats: u32,
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
        self.repeats += 1;
        let repeat = self.repeats;
        let mut until: Option<Arc<Condition>> = None;
        for round in 1..=rounds {
            if self.is_over() {
                return;
            }
            let in_round = names.in_round(round);
            let mut inside = inherited.clone();
            inside.conditions.extend(until.take());
            self.group(group, in_round.clone(), &inside);
            until = group.until.as_ref().map(|until| {
                let kind = ConditionKind::Until { repeat, round };
                self.condition(until, &Arc::new(in_round), kind)
            });
        }
    }

    /// A condition on the groups that follow.
    fn condition(
        &self,
        property: &Property<bool>,
        names: &Arc<GroupScope>,
        kind: ConditionKind,
    ) -> Arc<Condition> {
        let first = u32::try_from(self.expanded.len() + 1).unwrap_or(u32::MAX);
        Arc::new(Condition { property: property.clone(), names: Arc::clone(names), kind, first })
    }

    /// Whether going on would only find the same again.
    fn is_over(&self) -> bool {
        self.tasks > MAX_TASKS || (!self.found.is_empty() && self.expanded.len() > 10_000)
    }

    fn group(&mut self, table: &GroupTable, names: GroupScope, outer: &Inherited) {
        let names = Arc::new(names);
        let scope = Scope::of_group(&names);
        let mut inherited = match inherit(table, outer, &scope) {
            Ok(inherited) => inherited,
            Err(mistake) => return self.report(mistake),
        };
        match &table.when {
            Some(when) if Function::ALL.iter().any(|function| when.uses(function.name())) => {
                let when = self.condition(when, &names, ConditionKind::When);
                inherited.conditions.push(when);
            }
            Some(when) => match when.get(&scope) {
                Ok(true) => {}
                Ok(false) => inherited.skipped = Some("its `when` does not hold".into()),
                Err(mistake) => return self.report(mistake),
            },
            None => {}
        }
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
                    skipped: inherited.skipped,
                    conditions: inherited.conditions,
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
            if let Err(mistake) = self.note_needs(table, group.index, &scope) {
                self.report(mistake);
                continue;
            }
            // Each task has its own, so it is rendered again when the task is made. This only finds mistakes.
            if let Err(mistake) = value_of(table.keep.as_ref(), &scope) {
                self.report(mistake);
                continue;
            }
            let terms = match &shared {
                Some(terms) => Arc::clone(terms),
                None => match self.terms.terms(table, &matrix, &scope) {
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

    /// Notes which tasks one needs. They are rendered again when the task is made.
    fn note_needs(&mut self, table: &TaskTable, by: u32, scope: &Scope) -> Result<(), Mistake> {
        for needs in &table.needs {
            for text in needs.get(scope)?.0 {
                self.needed.add(needs.span, text, by);
            }
        }
        Ok(())
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
