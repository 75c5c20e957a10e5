//! The crate's one clock: monotonic, counted from when it was made, with pauses left out.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use fedflow_core::Time;

/// The time since the clock was started, without the time for which it was paused. A clone is the same clock.
#[derive(Debug, Clone)]
pub(crate) struct Clock(Arc<Mutex<Reading>>);

#[derive(Debug)]
struct Reading {
    /// When the clock would have started if it had never been paused.
    begin: Instant,
    /// Since when the clock has been paused; `None` while it runs.
    paused: Option<Instant>,
}

impl Clock {
    /// Starts a clock.
    pub(crate) fn start() -> Self {
        Self(Arc::new(Mutex::new(Reading { begin: instant(), paused: None })))
    }

    /// The time now.
    pub(crate) fn now(&self) -> Time {
        let state = self.state();
        let now = state.paused.unwrap_or_else(instant);
        Time::after(now.saturating_duration_since(state.begin))
    }

    /// How long it is until a time; zero if it has passed. A caller that has waited so long must ask again: the clock may
    /// have been paused meanwhile.
    pub(crate) fn until(&self, time: Time) -> Duration {
        time.since(self.now())
    }

    /// Pauses the clock. Does nothing if it is paused.
    #[cfg(feature = "host")]
    pub(crate) fn pause(&self) {
        self.state().paused.get_or_insert_with(instant);
    }

    /// Resumes the clock where it was paused. Does nothing if it runs.
    #[cfg(feature = "host")]
    pub(crate) fn resume(&self) {
        let mut state = self.state();
        if let Some(since) = state.paused.take() {
            state.begin += instant().saturating_duration_since(since);
        }
    }

    fn state(&self) -> MutexGuard<'_, Reading> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[expect(clippy::disallowed_methods, reason = "the crate's one monotonic clock")]
fn instant() -> Instant {
    Instant::now()
}

#[cfg(feature = "host")]
#[cfg(test)]
mod tests {
    use super::*;

    /// Lets real time go on.
    fn let_time_pass() {
        let before = instant();
        while instant() == before {}
    }

    #[test]
    fn a_pause_does_not_count() {
        let clock = Clock::start();
        let same = clock.clone();
        clock.pause();
        let paused = clock.now();
        let deadline = paused + Duration::from_secs(3600);
        let_time_pass();
        clock.pause();
        assert_eq!(same.now(), paused, "it stands still for all who have it");
        assert_eq!(clock.until(deadline), Duration::from_secs(3600));
        let skipped = instant();
        let_time_pass();
        clock.resume();
        let begin = clock.state().begin;
        assert!(begin + paused.since_start() > skipped, "it goes on from where it stood");
        let_time_pass();
        assert!(clock.now() > paused);
        clock.resume();
        assert_eq!(clock.state().begin, begin, "a second time changes nothing");
    }
}
