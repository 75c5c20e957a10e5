//! The names that a template can use: the rounds, the matrix variables, the flow's directory and the functions.

use std::fmt;
use std::sync::Arc;

use fedflow_core::Dict;
use minijinja::Value;
use minijinja::value::{Enumerator, Object};

use super::calls::{Answers, Callable, Function};
use super::matrix_values::MatrixValues;
use super::template_value::to_core;

/// The round of the innermost repeat.
pub(crate) const ROUND: &str = "round";
/// The rounds of all repeats, the outermost first.
pub(crate) const ROUNDS: &str = "rounds";
/// The directory of the flow file.
pub(crate) const FLOW_DIR: &str = "flow_dir";

/// Names that a matrix variable cannot have: templates use them already.
pub(crate) const RESERVED: [&str; 18] = [
    ROUND,
    ROUNDS,
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

/// The names that are the same for all tasks of a group.
#[derive(Debug)]
pub(crate) struct GroupScope {
    pub(crate) flow_dir: Arc<str>,
    /// The rounds of the repeats around the group, the outermost first.
    pub(crate) rounds: Vec<u32>,
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
    /// Where a task of the group stands in an experiment: the innermost round and the variables of its matrix, with their
    /// values.
    pub(crate) fn point(&self, matrix: &MatrixValues, point: usize) -> Dict {
        let round = self.rounds.last().map(|round| (ROUND, fedflow_core::Value::from(*round)));
        // A variable has a value of the model: it came from the flow file or from a template.
        let variables = matrix.at(point).map(|(name, value)| (name, to_core(&value).unwrap_or_default()));
        round.into_iter().chain(variables).collect()
    }
}

impl Scope {
    /// What ids and resources can use: variables, no functions.
    pub(crate) fn new(group: &Arc<GroupScope>, matrix: &Arc<MatrixValues>, point: usize) -> Self {
        let (group, matrix) = (Arc::clone(group), Arc::clone(matrix));
        Self(Arc::new(Names { group, matrix, point, answers: None }))
    }

    /// No variables.
    pub(crate) fn empty() -> Self {
        let group = Arc::new(GroupScope { flow_dir: "".into(), rounds: Vec::new() });
        Self::new(&group, &Arc::default(), 0)
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

    /// The round of the innermost repeat; `None` outside any repeat.
    pub(crate) fn round(&self) -> Option<u32> {
        self.0.group.rounds.last().copied()
    }

    /// The value in which minijinja looks names up.
    pub(super) fn root(&self) -> Value {
        Value::from_dyn_object(Arc::clone(&self.0))
    }
}

impl Object for Names {
    fn get_value(self: &Arc<Self>, key: &Value) -> Option<Value> {
        self.get_value_by_str(key.as_str()?)
    }

    fn get_value_by_str(self: &Arc<Self>, key: &str) -> Option<Value> {
        match key {
            ROUND => self.group.rounds.last().map(|round| Value::from(*round)),
            ROUNDS => Some(self.group.rounds.clone().into()),
            FLOW_DIR => Some(self.group.flow_dir.as_ref().into()),
            name => match Function::ALL.into_iter().find(|function| function.name() == name) {
                Some(function) => {
                    let answers = Arc::clone(self.answers.as_ref()?);
                    Some(Value::from_object(Callable { function, answers }))
                }
                None => self.matrix.value(name, self.point),
            },
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
