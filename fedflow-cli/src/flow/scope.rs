//! What a template can see: the rounds, the point of the matrix, the flow's directory and the two functions.

use std::sync::Arc;

use minijinja::value::{Enumerator, Object};
use minijinja::{Error, ErrorKind, State, Value};

use super::lookup::{Call, Function, Lookups};
use super::matrix::Values;

/// The round of the innermost repeat.
pub(crate) const ROUND: &str = "round";
/// The rounds of all repeats, the outermost first.
pub(crate) const ROUNDS: &str = "rounds";
/// The directory of the flow file.
pub(crate) const FLOW_DIR: &str = "flow_dir";

/// Names that a matrix variable cannot have, as a template could not tell them apart.
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

/// What does not change within one group: shared by its tasks.
#[derive(Debug)]
pub(crate) struct Rounds {
    pub(crate) flow_dir: Arc<str>,
    /// The rounds of the repeats around the group, the outermost first.
    pub(crate) rounds: Vec<u32>,
}

/// The values of matrix variables. A point is a number: the last variable changes fastest.
#[derive(Debug, Default)]
pub(crate) struct Matrix {
    pub(crate) axes: Vec<(Arc<str>, Values)>,
}

/// The variables and functions that one task's templates can use. A clone shares everything.
#[derive(Debug, Clone)]
pub(crate) struct Scope(Arc<Names>);

#[derive(Debug)]
struct Names {
    rounds: Arc<Rounds>,
    matrix: Arc<Matrix>,
    point: usize,
    lookups: Option<Lookups>,
}

#[derive(Debug)]
struct Callable {
    function: Function,
    lookups: Lookups,
}

impl Matrix {
    /// How many points there are; one if there is no variable.
    pub(crate) fn len(&self) -> usize {
        self.axes.iter().map(|(_, values)| values.len()).fold(1, usize::saturating_mul)
    }

    /// The value of a variable at a point.
    fn value(&self, name: &str, point: usize) -> Option<Value> {
        let place = self.axes.iter().position(|(axis, _)| axis.as_ref() == name)?;
        let stride: usize = self.axes[place + 1..].iter().map(|(_, values)| values.len()).product();
        let values = &self.axes[place].1;
        values.get((point / stride.max(1)) % values.len().max(1))
    }

    /// Names and values at a point, in the order in which the variables were written.
    pub(crate) fn at(&self, point: usize) -> impl Iterator<Item = (&str, Value)> {
        self.axes.iter().filter_map(move |(name, _)| Some((name.as_ref(), self.value(name, point)?)))
    }
}

impl Scope {
    /// What identifiers and needs can use: variables only.
    pub(crate) fn new(rounds: &Arc<Rounds>, matrix: &Arc<Matrix>, point: usize) -> Self {
        let (rounds, matrix) = (Arc::clone(rounds), Arc::clone(matrix));
        Self(Arc::new(Names { rounds, matrix, point, lookups: None }))
    }

    /// Nothing.
    pub(crate) fn empty() -> Self {
        let rounds = Arc::new(Rounds { flow_dir: "".into(), rounds: Vec::new() });
        Self::new(&rounds, &Arc::default(), 0)
    }

    /// What parameters and commands can use: `workdir()` and `result()` too.
    pub(crate) fn with_lookups(
        rounds: &Arc<Rounds>,
        matrix: &Arc<Matrix>,
        point: usize,
        lookups: &Lookups,
    ) -> Self {
        let (rounds, matrix) = (Arc::clone(rounds), Arc::clone(matrix));
        Self(Arc::new(Names { rounds, matrix, point, lookups: Some(lookups.clone()) }))
    }

    /// The round of the innermost repeat, if there is one.
    pub(crate) fn round(&self) -> Option<u32> {
        self.0.rounds.rounds.last().copied()
    }

    /// The value that minijinja looks names up in.
    pub(crate) fn root(&self) -> Value {
        Value::from_dyn_object(Arc::clone(&self.0))
    }
}

impl Object for Names {
    fn get_value(self: &Arc<Self>, key: &Value) -> Option<Value> {
        self.get_value_by_str(key.as_str()?)
    }

    fn get_value_by_str(self: &Arc<Self>, key: &str) -> Option<Value> {
        let callable = |function| {
            let lookups = self.lookups.clone()?;
            Some(Value::from_object(Callable { function, lookups }))
        };
        match key {
            ROUND => self.rounds.rounds.last().map(|round| Value::from(*round)),
            ROUNDS => Some(self.rounds.rounds.clone().into()),
            FLOW_DIR => Some(self.rounds.flow_dir.as_ref().into()),
            "workdir" => callable(Function::Workdir),
            "result" => callable(Function::Result),
            name => self.matrix.value(name, self.point),
        }
    }

    fn enumerate(self: &Arc<Self>) -> Enumerator {
        Enumerator::NonEnumerable
    }
}

impl Object for Callable {
    fn call(self: &Arc<Self>, _: &mut State<'_, '_>, args: &[Value]) -> Result<Value, Error> {
        let name = self.function.name();
        let [group, task] = args else {
            let message = format!("{name}() takes a group and a task, such as {name}('split', 'split')");
            return Err(Error::new(ErrorKind::InvalidOperation, message));
        };
        let call =
            Call { function: self.function, group: identifier(name, group)?, task: identifier(name, task)? };
        self.lookups.answer(call)
    }

    fn enumerate(self: &Arc<Self>) -> Enumerator {
        Enumerator::NonEnumerable
    }
}

/// A group's name or a task's identifier: text, or an integer's decimal text.
fn identifier(function: &str, value: &Value) -> Result<String, Error> {
    match value.as_str() {
        Some(text) => Ok(text.into()),
        None if value.is_integer() => Ok(value.to_string()),
        None => {
            let message = format!("{function}() takes names, but was given {}", value.kind());
            Err(Error::new(ErrorKind::InvalidOperation, message))
        }
    }
}
