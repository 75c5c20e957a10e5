//! `Standstill`: what a run lacks while devices of it are idle, since when, and what people were told of it.

use std::time::Duration;

use crate::model::time::Time;
use crate::ports::Wait;

/// How long a run waits until people are told, and how soon they are told of a change.
pub(in crate::scheduler) const TOLD_AFTER: Duration = Duration::from_secs(5);

/// What a run lacks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::scheduler) enum Lack {
    Devices,
    HostMemory,
    Processors,
    Processes,
}

/// What a run lacks now, and what was told of it.
#[derive(Debug, Clone, Default)]
pub(in crate::scheduler) struct Standstill {
    now: Option<Standing>,
    /// The wait that was told last, also if it is over.
    told: Option<Wait>,
}

/// What is lacking now.
#[derive(Debug, Clone, Copy)]
struct Standing {
    lack: Lack,
    since: Time,
    /// Whether it is shown.
    is_told: bool,
    /// Whether it is to be told now.
    is_due: bool,
    /// Whether it will be looked at again soon, as something may have changed.
    looks_again: bool,
}

/// What follows from a look at what is lacking.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::scheduler) enum Change {
    /// Nothing has changed.
    None,
    /// Something else is lacking than before: it will be told if that lasts.
    Begins { was_told: bool },
    /// It has lasted: it is told, or told anew.
    IsDue,
    /// Nothing is lacking any more.
    Ends { was_told: bool },
}

impl Standstill {
    /// Notes what is lacking now.
    pub(in crate::scheduler) fn observe(&mut self, now: Time, lack: Option<Lack>) -> Change {
        let is_told = |standing: Option<Standing>| standing.is_some_and(|standing| standing.is_told);
        match (&mut self.now, lack) {
            (None, None) => Change::None,
            (Some(standing), Some(lack)) if standing.lack == lack => {
                if std::mem::take(&mut standing.is_due) {
                    Change::IsDue
                } else {
                    Change::None
                }
            }
            (_, None) => Change::Ends { was_told: is_told(self.now.take()) },
            (_, Some(lack)) => {
                let begun = Standing { lack, since: now, is_told: false, is_due: false, looks_again: false };
                Change::Begins { was_told: is_told(self.now.replace(begun)) }
            }
        }
    }

    /// What is lacking has lasted for so long that it is told, or may have changed.
    pub(in crate::scheduler) fn set_due(&mut self) {
        if let Some(standing) = &mut self.now {
            (standing.is_due, standing.looks_again) = (true, false);
        }
    }

    /// A device was refused again: whether it is looked soon what is in the way now.
    pub(in crate::scheduler) fn looks_again(&mut self) -> bool {
        let told = self.now.as_mut().filter(|standing| standing.lack == Lack::Devices && standing.is_told);
        told.is_some_and(|standing| !std::mem::replace(&mut standing.looks_again, true))
    }

    /// Since when something has been lacking.
    pub(in crate::scheduler) fn since(&self) -> Option<Time> {
        self.now.map(|standing| standing.since)
    }

    /// The wait as it is told; `None` if that is what is shown already.
    pub(in crate::scheduler) fn tell(&mut self, wait: Wait) -> Option<Wait> {
        let standing = self.now.as_mut()?;
        let was_told = std::mem::replace(&mut standing.is_told, true);
        let last = self.told.as_ref();
        if was_told && last.is_some_and(|last| last.cause == wait.cause && last.task == wait.task) {
            return None;
        }
        let is_news = last.is_none_or(|last| !last.is_like(&wait));
        Some(self.told.insert(Wait { is_news, ..wait }).clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::device::Device;
    use crate::model::name::Name;
    use crate::ports::{Obstacle, Occupant, WaitCause};

    fn wait(pid: u32, memory: u64) -> Wait {
        let obstacle = Obstacle {
            device: Device::Cuda(0),
            memory: Some(crate::Size::from_gb(memory)),
            occupant: Occupant::Process { pid, name: None, user: None },
        };
        let cause = WaitCause::Devices { number: 1, memory: None, obstacles: vec![obstacle] };
        let (group, task) = (Name::from(1_u32), Name::from(1_u32));
        Wait { group, task, since: Time::ZERO, cause, is_news: true }
    }

    /// Whether it is told, and as news.
    fn told(standstill: &mut Standstill, pid: u32, memory: u64) -> Option<bool> {
        standstill.tell(wait(pid, memory)).map(|wait| wait.is_news)
    }

    #[test]
    fn what_is_told_already_is_told_again_only_if_it_changes() {
        let mut standstill = Standstill::default();
        let lacks = |standstill: &mut Standstill, lack| standstill.observe(Time::ZERO, lack);
        assert_eq!(lacks(&mut standstill, Some(Lack::Devices)), Change::Begins { was_told: false });
        assert!(!standstill.looks_again(), "nothing was told that could have changed");
        standstill.set_due();
        assert_eq!(lacks(&mut standstill, Some(Lack::Devices)), Change::IsDue);
        assert_eq!(lacks(&mut standstill, Some(Lack::Devices)), Change::None);
        assert_eq!(told(&mut standstill, 7, 2), Some(true));
        assert_eq!(told(&mut standstill, 7, 2), None);
        assert_eq!(told(&mut standstill, 7, 3), Some(false), "the same process uses more");
        assert!(standstill.looks_again() && !standstill.looks_again());
        assert_eq!(told(&mut standstill, 8, 3), Some(true));
        assert_eq!(lacks(&mut standstill, None), Change::Ends { was_told: true });
        assert_eq!(lacks(&mut standstill, Some(Lack::Devices)), Change::Begins { was_told: false });
        assert_eq!(told(&mut standstill, 8, 3), Some(false), "it went on, and waits for the same again");
        assert_eq!(lacks(&mut standstill, Some(Lack::HostMemory)), Change::Begins { was_told: true });
    }
}
