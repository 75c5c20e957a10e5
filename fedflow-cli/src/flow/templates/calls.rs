//! What templates ask of other tasks: the functions `workdir(group, task)`, `result(group, task)` and `results(group)`.

use std::fmt;
use std::path::Path;
use std::sync::Arc;

use minijinja::value::{Enumerator, Object};
use minijinja::{Error, ErrorKind, State, Value};

use super::template_value::TemplateCause;

/// A function that templates can call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Function {
    /// `workdir(group, task)`: the directory of a task.
    Workdir,
    /// `result(group, task)`: the result of a task.
    Result,
    /// `results(group)`: the results of all tasks of a group that have one, by task.
    Results,
}

/// A call of a function in a template.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Call {
    pub(crate) function: Function,
    pub(crate) group: String,
    /// The task; `None` for all of the group.
    pub(crate) task: Option<String>,
}

/// The answer to a call.
#[derive(Debug, Clone)]
pub(crate) enum Answer {
    /// The call gives this value.
    Value(Value),
    /// The call is wrong, for this reason.
    Refused(String),
    /// The call comes before the task has ended, for this reason.
    TooEarly(String),
    /// The answer is known only when the flow runs.
    Later,
}

/// Answers calls while a template is rendered. A template is rendered once: a call that has no answer ends it with
/// an error.
pub(crate) trait Answers: Send + Sync {
    /// The answer to one call.
    fn answer(&self, call: &Call) -> Answer;
}

/// A function as templates see it.
pub(super) struct Callable {
    pub(super) function: Function,
    pub(super) answers: Arc<dyn Answers>,
}

impl Function {
    /// All functions.
    pub(crate) const ALL: [Self; 3] = [Self::Workdir, Self::Result, Self::Results];

    /// The name in templates.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Workdir => "workdir",
            Self::Result => "result",
            Self::Results => "results",
        }
    }
}

/// What a result is rendered to that is known only when the flow runs. No name has it in it.
const STAND_IN: &str = "\0\0\0";

/// Takes the place of such a result: what is asked of it is such a value, too.
#[derive(Debug)]
struct StandIn;

impl Object for StandIn {
    fn get_value(self: &Arc<Self>, _: &Value) -> Option<Value> {
        Some(Value::from_object(Self))
    }

    fn enumerate(self: &Arc<Self>) -> Enumerator {
        Enumerator::NonEnumerable
    }

    fn render(self: &Arc<Self>, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(STAND_IN)
    }
}

impl Call {
    /// Whether it depends on a result that is known only when the flow runs.
    pub(crate) fn has_stand_in(&self) -> bool {
        // A filter may have left only a part of it.
        self.group.contains('\0') || self.task.as_ref().is_some_and(|task| task.contains('\0'))
    }
}

impl fmt::Display for Call {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { function, group, task } = self;
        match task {
            Some(task) => write!(f, "{}({group:?}, {task:?})", function.name()),
            None => write!(f, "{}({group:?})", function.name()),
        }
    }
}

impl Answer {
    /// A value in place of a result that is known only when the flow runs.
    pub(crate) fn stand_in() -> Self {
        Self::Value(Value::from_object(StandIn))
    }

    /// A directory as a value.
    pub(crate) fn path(path: &Path) -> Self {
        match path.to_str() {
            Some(path) => Self::Value(path.into()),
            None => Self::Refused(format!("the path {} is not UTF-8", path.display())),
        }
    }
}

impl Object for Callable {
    fn call(self: &Arc<Self>, _: &mut State<'_, '_>, args: &[Value]) -> Result<Value, Error> {
        let name = self.function.name();
        let error = |message: String| Error::new(ErrorKind::InvalidOperation, message);
        let (group, task) = match (self.function, args) {
            (Function::Results, [group]) => (group, None),
            (Function::Results, _) => {
                return Err(error(format!("{name}() takes a group, such as {name}('train-1')")));
            }
            (_, [group, task]) => (group, Some(identifier(name, task)?)),
            _ => {
                return Err(error(format!(
                    "{name}() takes a group and a task, such as {name}('split', 'split')"
                )));
            }
        };
        let call = Call { function: self.function, group: identifier(name, group)?, task };
        match self.answers.answer(&call) {
            Answer::Value(value) => Ok(value),
            Answer::Refused(reason) => Err(error(reason).with_source(TemplateCause::WrongCall)),
            Answer::TooEarly(reason) => Err(error(reason).with_source(TemplateCause::TooEarly)),
            Answer::Later => {
                Err(error("known only when the flow runs".into()).with_source(TemplateCause::KnownLater))
            }
        }
    }

    fn enumerate(self: &Arc<Self>) -> Enumerator {
        Enumerator::NonEnumerable
    }
}

impl fmt::Debug for Callable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Callable").field("function", &self.function).finish_non_exhaustive()
    }
}

/// A group's name or a task's id: text, or an integer as decimal text.
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
