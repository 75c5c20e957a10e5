//! Whether a failed attempt is followed by another one, and how. Pure.

use std::time::Duration;

use crate::model::config::SchedulerConfig;
use crate::model::failure::{Failure, FailureKind, Stage};
use crate::model::quantity::Size;

/// The budgets that a task has used up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Spent {
    /// Failures of its own.
    pub(super) failures: u32,
    /// Out of memory in `load`.
    pub(super) load_oom: u32,
    /// Out of memory in `train`.
    pub(super) train_oom: u32,
}

/// What follows a failed attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    /// Nothing: the task has failed for good.
    GiveUp,
    /// A new process, after a delay.
    Again {
        /// How long to wait first.
        delay: Duration,
    },
    /// A new process with more host memory.
    MoreMemory,
    /// A larger share of a card, in a new process; alone on a card as the last try.
    LargerShare {
        /// Whether it takes the card whole.
        alone: bool,
    },
}

/// The first delay after a failure of the task's own; it doubles with each further one.
const FIRST_DELAY: Duration = Duration::from_secs(1);
const LONGEST_DELAY: Duration = Duration::from_secs(60);

/// By how much an estimate grows after an out-of-memory.
const GROWTH: f64 = 1.5;

/// Decides what follows, and books it in the task's budgets.
pub(super) fn decide(
    spent: &mut Spent,
    failure: &Failure,
    retries: u32,
    config: &SchedulerConfig,
) -> Verdict {
    match (failure.kind, failure.stage) {
        (FailureKind::Cancelled, _) => Verdict::GiveUp,
        (FailureKind::Oom, Stage::Train) => {
            if spent.train_oom >= config.train_nretry {
                return Verdict::GiveUp;
            }
            spent.train_oom += 1;
            Verdict::LargerShare { alone: spent.train_oom == config.train_nretry }
        }
        (FailureKind::Oom, _) => decide_host_oom(spent, config),
        _ => {
            if spent.failures >= retries {
                return Verdict::GiveUp;
            }
            let delay = FIRST_DELAY.saturating_mul(1 << spent.failures.min(6)).min(LONGEST_DELAY);
            spent.failures += 1;
            Verdict::Again { delay }
        }
    }
}

/// Decides what follows when the host's memory did not suffice, whatever the stage.
pub(super) fn decide_host_oom(spent: &mut Spent, config: &SchedulerConfig) -> Verdict {
    if spent.load_oom >= config.load_nretry {
        return Verdict::GiveUp;
    }
    spent.load_oom += 1;
    Verdict::MoreMemory
}

/// A larger estimate, at most the largest share there is.
pub(super) fn grown(estimate: Size, largest: Option<Size>) -> Size {
    let grown = estimate.scaled(GROWTH);
    largest.map_or(grown, |largest| grown.min(largest))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::config::Config;

    fn failure(kind: FailureKind, stage: Stage) -> Failure {
        Failure::new(stage, kind, "")
    }

    #[test]
    fn each_budget_is_its_own() {
        let config = Config::default().scheduler;
        let mut spent = Spent::default();
        let own = failure(FailureKind::Error, Stage::Train);
        assert_eq!(decide(&mut spent, &own, 1, &config), Verdict::Again { delay: FIRST_DELAY });
        assert_eq!(decide(&mut spent, &own, 1, &config), Verdict::GiveUp);
        let train_oom = failure(FailureKind::Oom, Stage::Train);
        assert_eq!(decide(&mut spent, &train_oom, 1, &config), Verdict::LargerShare { alone: false });
        assert_eq!(decide(&mut spent, &train_oom, 1, &config), Verdict::LargerShare { alone: false });
        assert_eq!(decide(&mut spent, &train_oom, 1, &config), Verdict::LargerShare { alone: true });
        assert_eq!(decide(&mut spent, &train_oom, 1, &config), Verdict::GiveUp);
        let load_oom = failure(FailureKind::Oom, Stage::Load);
        assert_eq!(decide(&mut spent, &load_oom, 1, &config), Verdict::MoreMemory);
        let cancelled = failure(FailureKind::Cancelled, Stage::Load);
        assert_eq!(decide(&mut spent, &cancelled, 9, &config), Verdict::GiveUp);
    }

    #[test]
    fn the_delay_doubles_up_to_a_minute() {
        let config = Config::default().scheduler;
        let mut spent = Spent::default();
        let own = failure(FailureKind::Exit, Stage::Load);
        let delays: Vec<_> = (0..8)
            .map(|_| match decide(&mut spent, &own, 99, &config) {
                Verdict::Again { delay } => delay.as_secs(),
                other => panic!("{other:?}"),
            })
            .collect();
        assert_eq!(delays, [1, 2, 4, 8, 16, 32, 60, 60]);
    }

    #[test]
    fn an_estimate_grows_to_the_largest_share() {
        assert_eq!(grown(Size::from_gb(10), None), Size::from_gb(15));
        assert_eq!(grown(Size::from_gb(10), Some(Size::from_gb(12))), Size::from_gb(12));
    }
}
