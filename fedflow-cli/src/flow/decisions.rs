//! `Decisions`: which groups are skipped, decided group by group while the flow runs.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use super::context::FlowContext;
use super::group::FlowGroup;
use super::group::condition::{Condition, ConditionKind};

/// What was decided so far in a run, of which each group is asked for in its turn.
#[derive(Debug, Default)]
pub struct Decisions {
    /// The conditions that were decided, by address, with the reason if their groups are skipped.
    decided: HashMap<*const Condition, Option<String>>,
    /// The repeats that have ended before their last round, each with the reason.
    ended: HashMap<u32, String>,
}

impl Decisions {
    /// Why a group is skipped, now that those before it are over; `None` if it is to be executed.
    ///
    /// # Errors
    /// A condition fails or gives no truth value, so that it cannot be told; the text says why.
    pub fn skipped(
        &mut self,
        group: &FlowGroup,
        context: &Arc<impl FlowContext + 'static>,
    ) -> Result<Option<String>, String> {
        if let Some(reason) = &group.skipped {
            return Ok(Some(reason.to_string()));
        }
        for condition in &group.conditions {
            if let Some(reason) = self.decide(condition, group, context)? {
                return Ok(Some(reason));
            }
        }
        Ok(None)
    }

    /// Why a group is skipped, if that is known already while those before it still run.
    #[must_use]
    pub fn known(&self, group: &FlowGroup) -> Option<String> {
        let of = |condition: &Arc<Condition>| match condition.kind {
            ConditionKind::Until { repeat, .. } => self.ended.get(&repeat).cloned(),
            ConditionKind::When => self.decided.get(&Arc::as_ptr(condition)).cloned().flatten(),
        };
        group.skipped.as_ref().map(ToString::to_string).or_else(|| group.conditions.iter().find_map(of))
    }

    fn decide(
        &mut self,
        condition: &Arc<Condition>,
        group: &FlowGroup,
        context: &Arc<impl FlowContext + 'static>,
    ) -> Result<Option<String>, String> {
        if let ConditionKind::Until { repeat, .. } = condition.kind
            && let Some(reason) = self.ended.get(&repeat)
        {
            return Ok(Some(reason.clone()));
        }
        let place = Arc::as_ptr(condition);
        if let Some(decided) = self.decided.get(&place) {
            return Ok(decided.clone());
        }
        let reason = condition.ask(context).map_err(|mistake| group.describe(&mistake))?;
        if let (ConditionKind::Until { repeat, .. }, Some(reason)) = (condition.kind, &reason) {
            self.ended.insert(repeat, reason.clone());
        }
        self.decided.insert(place, reason.clone());
        Ok(reason)
    }
}

/// The conditions of some groups, each once.
pub(super) fn conditions<'g>(
    groups: impl IntoIterator<Item = &'g Arc<FlowGroup>>,
) -> impl Iterator<Item = &'g Arc<Condition>> {
    let mut seen = HashSet::new();
    let all = groups.into_iter().flat_map(|group| &group.conditions);
    all.filter(move |condition| seen.insert(Arc::as_ptr(condition)))
}
