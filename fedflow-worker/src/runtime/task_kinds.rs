//! The task types that a worker knows, behind one interface.

use std::any::Any;
use std::collections::BTreeMap;

use fedflow_core::{Device, Dict, LoadContext, Task, TaskError, TrainContext, Value, ValueError, from_value};

/// A task of some type.
pub(super) trait AnyTask: Any {
    fn load(&mut self, ctx: &mut LoadContext<'_>) -> Result<(), TaskError>;
    /// Loads from what an earlier task has loaded, if that task is of the same type.
    fn take_over(&mut self, earlier: Box<dyn AnyTask>, ctx: &mut LoadContext<'_>) -> Result<(), TaskError>;
    fn train(&mut self, ctx: &mut TrainContext<'_>, device: &Device) -> Result<Dict, TaskError>;
}

type Make = fn(Dict) -> Result<Box<dyn AnyTask>, ValueError>;

/// Task types by the kind under which a flow asks for them.
#[derive(Default)]
pub(super) struct Kinds(BTreeMap<&'static str, Make>);

impl Kinds {
    pub(super) fn add<T: Task>(&mut self) {
        self.0.insert(T::KIND, |params| {
            let task: T = from_value(Value::Dict(params))?;
            Ok(Box::new(Typed(task)))
        });
    }

    pub(super) fn names(&self) -> Vec<&'static str> {
        self.0.keys().copied().collect()
    }

    /// Makes a task from its parameters. The error says what does not fit.
    pub(super) fn make(&self, kind: &str, params: Dict) -> Result<Box<dyn AnyTask>, String> {
        let make = self.0.get(kind).ok_or_else(|| {
            format!("this worker has no task kind {kind:?}; it has {}", listed(&self.names()))
        })?;
        make(params).map_err(|error| format!("the parameters do not fit task kind {kind:?}: {error}"))
    }
}

/// Task kinds as a person reads them.
pub(super) fn listed(kinds: &[&str]) -> String {
    if kinds.is_empty() { "none: `Worker::task` adds one".into() } else { kinds.join(", ") }
}

struct Typed<T>(T);

impl<T: Task> AnyTask for Typed<T> {
    fn load(&mut self, ctx: &mut LoadContext<'_>) -> Result<(), TaskError> {
        self.0.load(ctx)
    }

    fn take_over(&mut self, earlier: Box<dyn AnyTask>, ctx: &mut LoadContext<'_>) -> Result<(), TaskError> {
        let earlier: Box<dyn Any> = earlier;
        match earlier.downcast::<Self>() {
            Ok(earlier) => self.0.take_over(earlier.0, ctx),
            Err(other) => {
                drop(other);
                self.0.load(ctx)
            }
        }
    }

    fn train(&mut self, ctx: &mut TrainContext<'_>, device: &Device) -> Result<Dict, TaskError> {
        self.0.train(ctx, device)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_worker_without_task_kinds_says_so() {
        let refused = Kinds::default().make("mean", Dict::new()).err();
        let told = "this worker has no task kind \"mean\"; it has none: `Worker::task` adds one";
        assert_eq!(refused.as_deref(), Some(told));
    }
}
