//! Every decision after a failure: whether another attempt follows, and how. Pure.

use std::time::Duration;

use crate::model::config::SchedulerConfig;
use crate::model::device::Device;
use crate::model::outcome::failure::{Failure, FailureKind, Stage};

/// The budgets that a task has used up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(in crate::scheduler) struct Spent {
    /// Failures of its own.
    pub(in crate::scheduler) failures: u32,
    /// Out of memory in `load`.
    pub(in crate::scheduler) load_oom: u32,
    /// Out of memory in `train`.
    pub(in crate::scheduler) train_oom: u32,
}

/// An attempt that has failed, and whose processes are gone.
#[derive(Debug, Clone, Copy)]
pub(in crate::scheduler) struct Failed<'a> {
    pub(in crate::scheduler) failure: &'a Failure,
    pub(in crate::scheduler) attempt: u32,
    /// How many tasks its process had served before.
    pub(in crate::scheduler) served: u32,
    /// Whether the process died in the moment after it was given the task, without a word about it.
    pub(in crate::scheduler) died_unheard: bool,
    /// Whether the kernel killed it because the host's memory was short.
    pub(in crate::scheduler) host_oom: bool,
    /// The device that was lost while it trained there.
    pub(in crate::scheduler) lost: Option<Device>,
    /// Whether the task is pinned to a device.
    pub(in crate::scheduler) is_pinned: bool,
    /// How often the task may fail by itself and be tried again.
    pub(in crate::scheduler) retries: u32,
}

/// What follows a failed attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::scheduler) enum Verdict {
    /// Nothing: the task has failed for good.
    GiveUp,
    /// A new process, after a delay.
    Again { delay: Duration },
    /// A new process with more host memory.
    MoreMemory,
    /// A larger share of a card, in a new process; alone on a card as the last try.
    LargerShare { alone: bool },
}

/// The first delay after a failure of the task's own; it doubles with each further one.
const FIRST_DELAY: Duration = Duration::from_secs(1);
const LONGEST_DELAY: Duration = Duration::from_secs(60);

/// Up to which attempt it costs a task nothing that a process dies which had served others: one of which every process
/// dies must not be given processes for ever.
const FREE_ATTEMPTS: u32 = 8;

impl Failed<'_> {
    /// Whether the process failed, not the task: it had served others, and died before it had this one. That it refuses
    /// the task is the task's failure.
    pub(in crate::scheduler) fn is_of_process(&self) -> bool {
        let was_dying =
            self.died_unheard && self.failure.kind != FailureKind::Oom && self.attempt <= FREE_ATTEMPTS;
        self.served > 0
            && (self.failure.stage == Stage::Start || was_dying)
            && !matches!(
                self.failure.kind,
                FailureKind::Cancelled | FailureKind::Skipped | FailureKind::Error
            )
    }
}

/// Whether a task whose `train` failed in a process that lives keeps what it has loaded, and waits for a larger share of
/// the same card: the first time that a card's memory did not suffice. It is booked in the task's budgets.
pub(in crate::scheduler) fn keeps_data(
    spent: &mut Spent,
    failure: &Failure,
    devices: usize,
    lost: Option<Device>,
    config: &SchedulerConfig,
) -> bool {
    let keeps = failure.kind == FailureKind::Oom
        && spent.train_oom == 0
        && config.train_nretry > 1
        && lost.is_none()
        && devices == 1;
    spent.train_oom += u32::from(keeps);
    keeps
}

/// Decides what follows a failed attempt, and books it in the task's budgets.
pub(in crate::scheduler) fn decide(
    spent: &mut Spent,
    failed: &Failed<'_>,
    config: &SchedulerConfig,
) -> Verdict {
    let at_once = Verdict::Again { delay: Duration::ZERO };
    match (failed.failure.kind, failed.failure.stage) {
        (FailureKind::Skipped, _) => Verdict::GiveUp,
        _ if failed.is_of_process() => at_once,
        // A lost device costs none of the task's retries; it happens once for each device at most.
        (kind, _) if failed.lost.is_some() && !failed.is_pinned && kind != FailureKind::Cancelled => at_once,
        _ if failed.host_oom => after_host_oom(spent, config),
        (FailureKind::Cancelled, _) => Verdict::GiveUp,
        (FailureKind::Oom, Stage::Train) => {
            if spent.train_oom >= config.train_nretry {
                return Verdict::GiveUp;
            }
            spent.train_oom += 1;
            Verdict::LargerShare { alone: spent.train_oom == config.train_nretry }
        }
        (FailureKind::Oom, _) => after_host_oom(spent, config),
        _ => {
            if spent.failures >= failed.retries {
                return Verdict::GiveUp;
            }
            let delay = FIRST_DELAY.saturating_mul(1 << spent.failures.min(6)).min(LONGEST_DELAY);
            spent.failures += 1;
            Verdict::Again { delay }
        }
    }
}

fn after_host_oom(spent: &mut Spent, config: &SchedulerConfig) -> Verdict {
    if spent.load_oom >= config.load_nretry {
        return Verdict::GiveUp;
    }
    spent.load_oom += 1;
    Verdict::MoreMemory
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::config::Config;

    fn failure(kind: FailureKind, stage: Stage) -> Failure {
        Failure::new(stage, kind, "")
    }

    fn failed(failure: &Failure, retries: u32) -> Failed<'_> {
        Failed {
            failure,
            attempt: 1,
            served: 0,
            died_unheard: false,
            host_oom: false,
            lost: None,
            is_pinned: false,
            retries,
        }
    }

    #[test]
    fn each_budget_is_its_own() {
        let config = Config::default().scheduler;
        let mut spent = Spent::default();
        let mut decide = |failure: Failure, retries| decide(&mut spent, &failed(&failure, retries), &config);
        let own = failure(FailureKind::Error, Stage::Train);
        assert_eq!(decide(own.clone(), 1), Verdict::Again { delay: FIRST_DELAY });
        assert_eq!(decide(own, 1), Verdict::GiveUp);
        let train_oom = failure(FailureKind::Oom, Stage::Train);
        assert_eq!(decide(train_oom.clone(), 1), Verdict::LargerShare { alone: false });
        assert_eq!(decide(train_oom.clone(), 1), Verdict::LargerShare { alone: false });
        assert_eq!(decide(train_oom.clone(), 1), Verdict::LargerShare { alone: true });
        assert_eq!(decide(train_oom, 1), Verdict::GiveUp);
        let load_oom = failure(FailureKind::Oom, Stage::Load);
        assert_eq!(decide(load_oom, 1), Verdict::MoreMemory);
        let cancelled = failure(FailureKind::Cancelled, Stage::Load);
        assert_eq!(decide(cancelled, 9), Verdict::GiveUp);
    }

    #[test]
    fn the_delay_doubles_up_to_a_minute() {
        let config = Config::default().scheduler;
        let mut spent = Spent::default();
        let own = failure(FailureKind::Exit, Stage::Load);
        let delays: Vec<_> = (0..8)
            .map(|_| match decide(&mut spent, &failed(&own, 99), &config) {
                Verdict::Again { delay } => delay.as_secs(),
                other => panic!("{other:?}"),
            })
            .collect();
        assert_eq!(delays, [1, 2, 4, 8, 16, 32, 60, 60]);
    }
}
