//! `Condition`: what decides whether a group is executed: its `when`, or the `until` of the rounds before it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::super::context::{ContextAnswers, FlowContext};
use super::super::templates::{Answer, Answers, Call, Function, GroupScope, Scope};
use super::super::values::{Mistake, Property};

/// A condition that is known only when the flow runs.
#[derive(Debug)]
pub(crate) struct Condition {
    pub(crate) property: Property<bool>,
    pub(crate) names: Arc<GroupScope>,
    pub(crate) kind: ConditionKind,
    /// The index of the first group of which it decides: what it may ask comes before.
    pub(crate) first: u32,
}

/// Which condition it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ConditionKind {
    /// The group is executed only if it holds.
    When,
    /// The rounds after this one are executed only if it does not hold.
    Until {
        /// Which repeat, at one point of the matrices around it.
        repeat: u32,
        round: u32,
    },
}

impl Condition {
    /// Its value with these answers.
    pub(crate) fn value(&self, answers: &Arc<dyn Answers>) -> Result<bool, Mistake> {
        self.property.get(&Scope::of_group_with_functions(&self.names, answers))
    }

    /// Why its groups are skipped; `None` if they are not.
    pub(crate) fn ask(&self, context: &Arc<impl FlowContext + 'static>) -> Result<Option<String>, Mistake> {
        let answers = ContextAnswers { context: Arc::clone(context), running: None };
        let noting = Arc::new(MissingNoted { answers, is_missing: AtomicBool::new(false) });
        let holds = self.value(&(Arc::clone(&noting) as Arc<dyn Answers>));
        match self.kind {
            ConditionKind::When => Ok((!holds?).then(|| "its `when` does not hold".into())),
            // A round without the result that is asked for cannot be the last one.
            ConditionKind::Until { .. } if noting.is_missing.load(Ordering::Relaxed) => Ok(None),
            ConditionKind::Until { round, .. } => {
                Ok(holds?.then(|| format!("`until` holds after round {round}")))
            }
        }
    }
}

/// Answers from a context, and notes whether a result was asked for that is not there.
struct MissingNoted<C: ?Sized> {
    answers: ContextAnswers<C>,
    is_missing: AtomicBool,
}

impl<C: FlowContext + ?Sized> Answers for MissingNoted<C> {
    fn answer(&self, call: &Call) -> Answer {
        let answer = self.answers.answer(call);
        if call.function == Function::Result && matches!(&answer, Answer::Value(value) if value.is_none()) {
            self.is_missing.store(true, Ordering::Relaxed);
        }
        answer
    }
}
