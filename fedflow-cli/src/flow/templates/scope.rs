//! The names that a template can use: the variables, the rounds, the flow's directory and the functions.

use std::fmt;
use std::sync::Arc;

use fedflow_core::Dict;
use minijinja::Value;
use minijinja::value::{Enumerator, Object};

use super::calls::{Answers, Callable, Function};
use super::matrix_values::MatrixValues;
use super::template_value::{to_core, to_template};

/// The round of the innermost repeat.
pub(crate) const ROUND: &str = "round";
/// The rounds of all repeats, the outermost first.
pub(crate) const ROUNDS: &str = "rounds";
/// The directory of the flow file.
pub(crate) const FLOW_DIR: &str = "flow_dir";
/// The place of the point in its table.
pub(crate) const INDEX: &str = "index";

/// Names that no variable can have: templates use them already.
pub(crate) const RESERVED: [&str; 17] = [
    ROUND,
    FLOW_DIR,
    "workdir",
    "result",
    "range",
    "dict",
    "debug",
    "namespace",
    "loop",
    "true",
    "false",
    "none",
    "not",
    "and",
    "or",
    "in",
    "is",
];

/// The names that are the same in the whole flow.
#[derive(Debug, Clone, Default)]
pub(crate) struct FlowScope {
    pub(crate) flow_dir: Arc<str>,
    /// The variables of `[vars]`.
    pub(crate) vars: Dict,
}

/// The names that are the same for all tasks of a group.
#[derive(Debug, Clone, Default)]
pub(crate) struct GroupScope {
    flow: Arc<FlowScope>,
    /// The rounds of the repeats around the group, the outermost first.
    rounds: Vec<u32>,
    /// The variables of the matrices around the group, the outermost first.
    outer: Vec<(Arc<str>, Value)>,
    /// Where `round` stands among the variables: it is told behind those outside of its repeat.
    before_round: usize,
    /// The place of the group's point in its table.
    point: usize,
}

/// The names that the templates of one task can use. A clone shares everything.
#[derive(Debug, Clone)]
pub(crate) struct Scope(Arc<Names>);

struct Names {
    group: Arc<GroupScope>,
    matrix: Arc<MatrixValues>,
    point: usize,
    answers: Option<Arc<dyn Answers>>,
}

impl GroupScope {
    /// The names outside of any group.
    pub(crate) fn of_flow(flow: &Arc<FlowScope>) -> Self {
        Self { flow: Arc::clone(flow), ..Self::default() }
    }

    /// The names at a point of a matrix on the group.
    pub(crate) fn at_point(&self, matrix: &MatrixValues, point: usize) -> Self {
        let mut inner = self.clone();
        inner.outer.extend(matrix.at(point).map(|(name, value)| (name.into(), value)));
        inner.point = point;
        inner
    }

    /// The names in a round of a repeat.
    pub(crate) fn in_round(&self, round: u32) -> Self {
        let mut inner = self.clone();
        inner.rounds.push(round);
        inner.before_round = inner.outer.len();
        inner
    }

    /// The rounds of the repeats around the group, the outermost first.
    pub(crate) fn rounds(&self) -> &[u32] {
        &self.rounds
    }

    /// The variables of the matrices around the group, the outermost first.
    pub(crate) fn outer(&self) -> &[(Arc<str>, Value)] {
        &self.outer
    }

    /// Where a task of the group stands in an experiment: the variables of the matrices around it, the innermost round, and
    /// the variables of its own matrix, with their values.
    pub(crate) fn point(&self, matrix: &MatrixValues, point: usize) -> Dict {
        // A variable has a value of the model: it came from the flow file or from a template.
        let value = |value: &Value| to_core(value).unwrap_or_default();
        let of_groups = self.outer.iter().map(|(name, it)| (name.as_ref(), value(it)));
        let (outside, inside) =
            (of_groups.clone().take(self.before_round), of_groups.skip(self.before_round));
        let round = self.rounds.last().map(|round| (ROUND, fedflow_core::Value::from(*round)));
        let own = matrix.at(point).map(|(name, it)| (name, value(&it)));
        outside.chain(round).chain(inside).chain(own).collect()
    }
}

impl Scope {
    /// What ids and resources can use: variables, no functions.
    pub(crate) fn new(group: &Arc<GroupScope>, matrix: &Arc<MatrixValues>, point: usize) -> Self {
        let (group, matrix) = (Arc::clone(group), Arc::clone(matrix));
        Self(Arc::new(Names { group, matrix, point, answers: None }))
    }

    /// What the keys of a group can use.
    pub(crate) fn of_group(group: &Arc<GroupScope>) -> Self {
        Self::new(group, &Arc::default(), group.point)
    }

    /// What the conditions of a group can use.
    pub(crate) fn of_group_with_functions(group: &Arc<GroupScope>, answers: &Arc<dyn Answers>) -> Self {
        Self::with_functions(group, &Arc::default(), group.point, answers)
    }

    /// What parameters and commands can use: variables, and functions that `answers` answers.
    pub(crate) fn with_functions(
        group: &Arc<GroupScope>,
        matrix: &Arc<MatrixValues>,
        point: usize,
        answers: &Arc<dyn Answers>,
    ) -> Self {
        let (group, matrix) = (Arc::clone(group), Arc::clone(matrix));
        Self(Arc::new(Names { group, matrix, point, answers: Some(Arc::clone(answers)) }))
    }

    /// The value in which minijinja looks names up.
    pub(super) fn root(&self) -> Value {
        Value::from_dyn_object(Arc::clone(&self.0))
    }
}

impl Names {
    /// The value of a variable; the inner one if several have the name.
    fn variable(&self, name: &str) -> Option<Value> {
        let of_groups = || self.group.outer.iter().rev().find(|(outer, _)| outer.as_ref() == name);
        self.matrix
            .value(name, self.point)
            .or_else(|| of_groups().map(|(_, value)| value.clone()))
            .or_else(|| self.group.flow.vars.get(name).map(to_template))
    }
}

impl Object for Names {
    fn get_value(self: &Arc<Self>, key: &Value) -> Option<Value> {
        self.get_value_by_str(key.as_str()?)
    }

    fn get_value_by_str(self: &Arc<Self>, key: &str) -> Option<Value> {
        if let Some(value) = self.variable(key) {
            return Some(value);
        }
        match key {
            ROUND => self.group.rounds.last().map(|round| Value::from(*round)),
            ROUNDS => Some(self.group.rounds.clone().into()),
            FLOW_DIR => Some(self.group.flow.flow_dir.as_ref().into()),
            INDEX => Some(self.point.into()),
            name => {
                let function = Function::ALL.into_iter().find(|function| function.name() == name)?;
                let answers = Arc::clone(self.answers.as_ref()?);
                Some(Value::from_object(Callable { function, answers }))
            }
        }
    }

    fn enumerate(self: &Arc<Self>) -> Enumerator {
        Enumerator::NonEnumerable
    }
}

impl fmt::Debug for Names {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Names")
            .field("group", &self.group)
            .field("matrix", &self.matrix)
            .field("point", &self.point)
            .finish_non_exhaustive()
    }
}
