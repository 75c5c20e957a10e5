//! What templates ask of the tasks that ran before, and the answers from a run.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use fedflow_core::{Dict, Name, Value};

use super::templates::{Answer, Answers, Call, Function, to_template};

/// What templates can ask of the tasks that ran before. Rendering shares it, hence the bounds.
pub trait FlowContext: Send + Sync {
    /// The directory of a task, an absolute path; `None` if the task was never started.
    fn workdir(&self, group: &str, task: &str) -> Option<PathBuf>;
    /// The result of a task; `None` if it did not finish.
    fn result(&self, group: &str, task: &str) -> Option<Dict>;
    /// The results of a group's tasks that have one, by task.
    fn results(&self, group: &str) -> Dict;
}

/// A task that a template asks for, or all tasks of a group.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct AskedTask {
    /// The name of the group.
    pub group: String,
    /// The id of the task; `None` for all of the group.
    pub task: Option<String>,
}

/// Answers templates from a context.
pub(super) struct ContextAnswers<C: ?Sized> {
    pub(super) context: Arc<C>,
    /// A group that still runs, so that nothing may be asked of it.
    pub(super) running: Option<Name>,
}

/// Answers templates from a context, and notes of which tasks they asked.
pub(super) struct NotedAnswers<C: ?Sized> {
    asked: Mutex<BTreeSet<AskedTask>>,
    answers: ContextAnswers<C>,
}

impl<C: FlowContext + ?Sized> NotedAnswers<C> {
    pub(super) fn new(context: Arc<C>) -> Self {
        Self { asked: Mutex::default(), answers: ContextAnswers { context, running: None } }
    }

    /// The tasks that were asked for.
    pub(super) fn take(&self) -> BTreeSet<AskedTask> {
        std::mem::take(&mut *self.asked.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl<C: FlowContext + ?Sized> Answers for NotedAnswers<C> {
    fn answer(&self, call: &Call) -> Answer {
        let asked = AskedTask { group: call.group.clone(), task: call.task.clone() };
        self.asked.lock().unwrap_or_else(PoisonError::into_inner).insert(asked);
        self.answers.answer(call)
    }
}

impl<C: FlowContext + ?Sized> Answers for ContextAnswers<C> {
    fn answer(&self, call: &Call) -> Answer {
        if self.running.as_ref().is_some_and(|running| running.as_str() == call.group) {
            return too_early(call);
        }
        let Call { function, group, task } = call;
        let task = task.as_deref().unwrap_or_default();
        match function {
            Function::Workdir => match self.context.workdir(group, task) {
                Some(path) => Answer::path(&path),
                None => Answer::Refused(format!("workdir(): the task {group}/{task} was never started")),
            },
            Function::Result => {
                let result = self.context.result(group, task).map_or(Value::Null, Value::Dict);
                Answer::Value(to_template(&result))
            }
            Function::Results => Answer::Value(to_template(&Value::Dict(self.context.results(group)))),
        }
    }
}

/// The answer to a call that asks a group which still runs while this one loads ahead.
pub(super) fn too_early(call: &Call) -> Answer {
    Answer::TooEarly(format!(
        "{call}: that group still runs when this one loads ahead; ask in a worker's train-params, which are rendered when \
         this group starts, or leave out load-ahead"
    ))
}
