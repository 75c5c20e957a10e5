//! `Attempt`: one try at a task, with the times at which it went from phase to phase.

use std::fmt;

use fedflow_core::{Device, Failure, MemoryUse, Size};

/// One try at a task. Times are seconds since the Unix epoch.
///
/// A task that is interrupted in `train` and keeps its data goes on in the same process; that is a try of its
/// own here, which begins by waiting.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Attempt {
    /// Its number, from 1, as the run told it.
    pub number: u32,
    /// The session of the run that it belongs to: its place in [`Report::sessions`](crate::Report::sessions).
    pub session: usize,
    /// When its process was being started, or given to it.
    pub started: f64,
    /// Whether its process had served other tasks before.
    pub reused: bool,
    /// When it was told to load.
    pub loading: Option<f64>,
    /// When `load` returned.
    pub loaded: Option<f64>,
    /// When it began to train.
    pub training: Option<f64>,
    /// When it gave its device back.
    pub released: Option<f64>,
    /// When it was over, well or badly.
    pub ended: Option<f64>,
    /// Where it trained.
    pub lane: Option<Lane>,
    /// All cards that it held, if there were several.
    pub devices: Box<[Device]>,
    /// The memory that it leased on each card.
    pub memory: Option<Size>,
    /// What it was given of memory and what it used, if anything of it was measured.
    pub measured: Option<Box<Measured>>,
    /// Why it failed.
    pub failure: Option<Box<Failure>>,
    /// What followed, if it failed and another try was granted.
    pub retry: Option<Retry>,
}

/// What was measured of a try's memory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Measured {
    /// With which tasks it is compared.
    pub family: String,
    /// What it was given of the host's memory, and what it used.
    pub host: MemoryUse,
    /// What it was given of each card's memory, and what it used, if it trained on one.
    pub card: Option<MemoryUse>,
}

/// What follows a failed try.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Retry {
    /// When it was decided, in seconds since the Unix epoch.
    pub at: f64,
    /// Whether the process and the loaded data are kept.
    pub data_kept: bool,
    /// How long until the next try may start, in seconds.
    pub delay_seconds: f64,
}

/// A lane of the chart: a device, and which of its equal slots.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Lane {
    /// The device.
    pub device: Device,
    /// The slot, from 0.
    pub slot: u32,
}

/// What a try does during a [`Span`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Phase {
    /// Its process is being started.
    Start,
    /// It reads its data.
    Load,
    /// It is loaded and waits for a device.
    Wait,
    /// It trains.
    Train,
}

impl fmt::Display for Phase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Start => "start",
            Self::Load => "load",
            Self::Wait => "wait",
            Self::Train => "train",
        })
    }
}

/// A stretch of time that a try spent in one phase, in seconds since the Unix epoch.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Span {
    /// Which phase.
    pub phase: Phase,
    /// From when.
    pub from: f64,
    /// Until when; later than `from`.
    pub to: f64,
}

// There is one for each of a million tasks.
const _: () = assert!(size_of::<Attempt>() <= 192, "a try grows: box what is rare");

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
            lane: None,
            devices: Box::default(),
            memory: None,
            measured: None,
            failure: None,
            retry: None,
        }
    }

    /// What it spent its time on, in order. A phase that is not over is taken to last until `until`.
    pub fn spans(&self, until: f64) -> impl Iterator<Item = Span> {
        let end = self.ended.unwrap_or(until);
        let begins = [Some(self.started), self.loading, self.loaded, self.training];
        let phases = [Phase::Start, Phase::Load, Phase::Wait, Phase::Train];
        (0..4).filter_map(move |place| {
            let from = begins[place]?;
            let next = begins[place + 1..].iter().flatten().next().copied();
            let released = if phases[place] == Phase::Train { self.released } else { None };
            let to = next.or(released).unwrap_or(end);
            (to > from).then_some(Span { phase: phases[place], from, to })
        })
    }

    /// When the last thing happened that is known of it.
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
        let train_open = (Phase::Train, 14.0, 20.0);
        assert_eq!(
            spans,
            [(Phase::Start, 10.0, 11.0), (Phase::Load, 11.0, 13.0), (Phase::Wait, 13.0, 14.0), train_open]
        );
        attempt.released = Some(17.0);
        attempt.ended = Some(18.0);
        assert_eq!(attempt.spans(20.0).last().map(|span| span.to), Some(17.0));
    }

    #[test]
    fn a_try_that_died_in_load_has_no_train() {
        let mut attempt = Attempt::new(1, 0, 10.0);
        attempt.loading = Some(11.0);
        attempt.ended = Some(12.5);
        let spans: Vec<_> = attempt.spans(20.0).collect();
        assert_eq!(spans.len(), 2);
        assert_eq!(spans[1], Span { phase: Phase::Load, from: 11.0, to: 12.5 });
    }
}
