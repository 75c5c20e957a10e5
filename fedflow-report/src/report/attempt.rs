//! `Attempt`: one try at a task, with the times of its phases.

use std::fmt;
use std::time::Duration;

use fedflow_core::{Device, Failure, LeftRunning, MemoryUse, Pin, Size};

/// One try at a task. Moments are in seconds since the Unix epoch, and none for what did not happen.
///
/// A task that is interrupted in `train` and keeps its data goes on in the same process. That is an attempt of its
/// own here, and begins with waiting.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Attempt {
    /// The attempt's number, from 1.
    pub number: u32,
    /// The session that it belongs to, as an index into the [`Report`](crate::Report)'s sessions.
    pub session: usize,
    /// When the start of its process began, or a kept process was handed over.
    pub started: f64,
    /// Whether its process served other tasks before.
    pub reused: bool,
    /// When `load` was called.
    pub loading: Option<f64>,
    /// When `load` returned.
    pub loaded: Option<f64>,
    /// When `train` was called.
    pub training: Option<f64>,
    /// When its lease ended.
    pub released: Option<f64>,
    /// When the attempt ended, with a result or without.
    pub ended: Option<f64>,
    /// The device that it trained on.
    pub row: Option<ChartRow>,
    /// All cards of its lease, if there were several.
    pub devices: Box<[Device]>,
    /// The memory that it leased on each card, if the lease was for an amount.
    pub memory: Option<Size>,
    /// The device that its task is pinned to; none if it is not, or never trained.
    pub pin: Option<Box<Pin>>,
    /// Its estimates of memory and what it used; none if neither was measured.
    pub measured: Option<Box<Measured>>,
    /// The processes that it left running; none if it left none.
    pub left_running: Option<Box<LeftRunning>>,
    /// Why it failed; none if it did not fail.
    pub failure: Option<Box<Failure>>,
    /// When and how the task is retried; none if it is not.
    pub retry: Option<Box<Retry>>,
}

/// The memory that an attempt was given and used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Measured {
    /// The family: tasks whose memory is compared.
    pub family: String,
    /// The estimate of host memory and the peak.
    pub host: MemoryUse,
    /// The estimate of memory on each card and the peak; none if it trained on no card.
    pub card: Option<MemoryUse>,
}

/// The retry after a failed attempt.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Retry {
    /// When the retry was decided, in seconds since the Unix epoch.
    pub at: f64,
    /// Whether the process and its loaded data are kept.
    pub data_kept: bool,
    /// The delay until the next attempt may start.
    pub delay: Duration,
}

/// A row of the device chart: a CPU slot, or one of the tasks that share a card.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ChartRow {
    /// The device.
    pub device: Device,
    /// The number of the CPU slot, or of the task among those that share the card, from 0.
    pub slot: u32,
}

/// What an attempt does during a [`PhaseSpan`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum AttemptPhase {
    /// Its process starts.
    Start,
    /// It loads its data.
    Load,
    /// It is loaded and waits for a device.
    Wait,
    /// It trains.
    Train,
}

impl fmt::Display for AttemptPhase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Start => "start",
            Self::Load => "load",
            Self::Wait => "wait",
            Self::Train => "train",
        })
    }
}

/// A stretch of time that an attempt spends in one phase, in seconds since the Unix epoch.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct PhaseSpan {
    /// The phase.
    pub phase: AttemptPhase,
    /// When it begins.
    pub from: f64,
    /// When it ends; later than `from`.
    pub to: f64,
}

// A run may have a million tasks, each with one attempt or more.
const _: () = assert!(size_of::<Attempt>() <= 192, "an attempt grows: box what is rare");

impl Attempt {
    pub(crate) fn new(number: u32, session: usize, started: f64) -> Self {
        Self {
            number,
            session,
            started,
            reused: false,
            loading: None,
            loaded: None,
            training: None,
            released: None,
            ended: None,
            row: None,
            devices: Box::default(),
            memory: None,
            pin: None,
            measured: None,
            left_running: None,
            failure: None,
            retry: None,
        }
    }

    /// The phases of the attempt, in order. A phase that has not ended lasts until `until`.
    pub fn spans(&self, until: f64) -> impl Iterator<Item = PhaseSpan> {
        let end = self.ended.unwrap_or(until);
        let begins = [Some(self.started), self.loading, self.loaded, self.training];
        let phases = [AttemptPhase::Start, AttemptPhase::Load, AttemptPhase::Wait, AttemptPhase::Train];
        (0..4).filter_map(move |place| {
            let from = begins[place]?;
            let next = begins[place + 1..].iter().flatten().next().copied();
            let released = if phases[place] == AttemptPhase::Train { self.released } else { None };
            let to = next.or(released).unwrap_or(end);
            (to > from).then_some(PhaseSpan { phase: phases[place], from, to })
        })
    }

    /// When the last event of the attempt happened, or `until` if it goes on.
    #[must_use]
    pub fn last(&self, until: f64) -> f64 {
        self.released.or(self.ended).unwrap_or(until).max(self.started)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn phases_follow_one_another() {
        let mut attempt = Attempt::new(1, 0, 10.0);
        attempt.loading = Some(11.0);
        attempt.loaded = Some(13.0);
        attempt.training = Some(14.0);
        let spans: Vec<_> = attempt.spans(20.0).map(|span| (span.phase, span.from, span.to)).collect();
        let train_open = (AttemptPhase::Train, 14.0, 20.0);
        assert_eq!(
            spans,
            [
                (AttemptPhase::Start, 10.0, 11.0),
                (AttemptPhase::Load, 11.0, 13.0),
                (AttemptPhase::Wait, 13.0, 14.0),
                train_open
            ]
        );
        attempt.released = Some(17.0);
        attempt.ended = Some(18.0);
        assert_eq!(attempt.spans(20.0).last().map(|span| span.to), Some(17.0));
    }

    #[test]
    fn an_attempt_that_died_in_load_has_no_train() {
        let mut attempt = Attempt::new(1, 0, 10.0);
        attempt.loading = Some(11.0);
        attempt.ended = Some(12.5);
        let spans: Vec<_> = attempt.spans(20.0).collect();
        assert_eq!(spans.len(), 2);
        assert_eq!(spans[1], PhaseSpan { phase: AttemptPhase::Load, from: 11.0, to: 12.5 });
    }
}
