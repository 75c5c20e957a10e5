//! What templates ask of other tasks, `workdir(group, task)` and `result(group, task)`: asked once, then known.
//!
//! A template's functions must own what they use, while the answers lie with whoever runs the flow. So a call whose
//! answer is not known yet notes its question and fails; the question is put to the caller, and the template is
//! rendered again.

use std::collections::HashMap;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use minijinja::{Error, ErrorKind, Value};

use super::template_value::TemplateError;

/// How many different questions one task may ask.
const MOST_QUESTIONS: usize = 10_000;

/// One of the functions that templates can call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Function {
    /// `workdir(group, task)`.
    Workdir,
    /// `result(group, task)`.
    Result,
}

/// A call of one of them.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Call {
    pub(crate) function: Function,
    pub(crate) group: String,
    pub(crate) task: String,
}

/// What a call gives.
#[derive(Debug, Clone)]
pub(crate) enum Answer {
    /// This value.
    Value(Value),
    /// Nothing: the call is wrong, and this says why.
    Refused(String),
    /// Nothing before the flow runs.
    Later,
}

/// The answers that are known. A clone shares them.
#[derive(Debug, Clone, Default)]
pub(crate) struct Lookups(Arc<Mutex<Known>>);

#[derive(Debug, Default)]
struct Known {
    answers: HashMap<Call, Answer>,
    /// The question that the last attempt failed on.
    open: Option<Call>,
    /// Whether it failed because the answer comes only when the flow runs.
    later: bool,
}

/// What became of a template.
#[derive(Debug)]
pub(crate) enum Rendered<T, E> {
    /// It gave this.
    Done(T),
    /// It failed.
    Failed(E),
    /// It needs what is known only when the flow runs.
    Later,
}

impl Function {
    /// Its name in templates.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Workdir => "workdir",
            Self::Result => "result",
        }
    }
}

impl Answer {
    /// A directory.
    pub(crate) fn path(path: &Path) -> Self {
        match path.to_str() {
            Some(path) => Self::Value(path.into()),
            None => Self::Refused(format!("the path {} is not UTF-8", path.display())),
        }
    }
}

impl Lookups {
    /// The answer to a call, if it is known.
    pub(crate) fn answer(&self, call: Call) -> Result<Value, Error> {
        let mut known = self.known();
        match known.answers.get(&call).cloned() {
            Some(Answer::Value(value)) => Ok(value),
            Some(Answer::Refused(reason)) => Err(Error::new(ErrorKind::InvalidOperation, reason)),
            Some(Answer::Later) => {
                known.later = true;
                Err(Error::new(ErrorKind::InvalidOperation, "known only when the flow runs"))
            }
            None => {
                known.open = Some(call);
                Err(Error::new(ErrorKind::InvalidOperation, "not asked yet"))
            }
        }
    }

    /// Renders again and again until no question is open. `attempt` must have its scope made with these lookups.
    pub(crate) fn render<T, E>(
        &self,
        resolve: &dyn Fn(&Call) -> Answer,
        attempt: impl Fn() -> Result<T, E>,
        too_many: impl FnOnce(TemplateError) -> E,
    ) -> Rendered<T, E> {
        for _ in 0..MOST_QUESTIONS {
            {
                let mut known = self.known();
                known.later = false;
                known.open = None;
            }
            let outcome = attempt();
            let mut known = self.known();
            match (outcome, known.open.take()) {
                (Ok(value), _) => return Rendered::Done(value),
                (Err(_), Some(call)) => {
                    // Not held while somebody else's code runs.
                    drop(known);
                    let answer = resolve(&call);
                    self.known().answers.insert(call, answer);
                }
                (Err(_), None) if known.later => return Rendered::Later,
                (Err(error), None) => return Rendered::Failed(error),
            }
        }
        let message = format!("it asks for more than {MOST_QUESTIONS} results or directories");
        Rendered::Failed(too_many(TemplateError(message)))
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        // A panic elsewhere cannot leave it half written.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
