//! `Schedule`: when a mail may be sent: so many a run, so far apart, and one kept for the end.

use std::time::Duration;

/// When mail may be sent. Times count from any one moment; nothing here asks for the time.
#[derive(Debug, Clone)]
pub(super) struct Schedule {
    interval: Duration,
    /// How many may still be sent, the one at the end included.
    left: u32,
    last: Option<Duration>,
}

impl Schedule {
    /// At most `max` mails, `interval` apart.
    pub(super) fn new(interval: Duration, max: u32) -> Self {
        Self { interval, left: max, last: None }
    }

    /// From when on a mail may be sent before the end; none if there will be none.
    pub(super) fn next(&self) -> Option<Duration> {
        let earliest = self.last.map_or(Duration::ZERO, |last| last.saturating_add(self.interval));
        (self.left > 1).then_some(earliest)
    }

    /// Whether the mail at the end may be sent: at any time, if there is one left.
    pub(super) fn has_last(&self) -> bool {
        self.left > 0
    }

    /// One is sent now. One that failed counts, too: it may have arrived.
    pub(super) fn count(&mut self, now: Duration) {
        self.left = self.left.saturating_sub(1);
        self.last = Some(now);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn mails_keep_their_distance_and_one_is_kept_for_the_end(
            interval in 0_u64..1000,
            max in 0_u32..6,
            gaps in prop::collection::vec(0_u64..500, 0..60),
        ) {
            let interval = Duration::from_secs(interval);
            let mut schedule = Schedule::new(interval, max);
            let (mut now, mut sent) = (Duration::ZERO, Vec::new());
            for gap in gaps {
                now += Duration::from_secs(gap);
                if schedule.next().is_some_and(|next| next <= now) {
                    schedule.count(now);
                    sent.push(now);
                }
            }
            prop_assert!(sent.windows(2).all(|pair| pair[1] - pair[0] >= interval));
            prop_assert!(sent.len() < max.max(1) as usize);
            prop_assert_eq!(schedule.has_last(), max > 0);
        }
    }

    #[test]
    fn the_first_may_be_sent_at_once_and_the_next_after_the_interval() {
        let mut schedule = Schedule::new(Duration::from_secs(60), 3);
        assert_eq!(schedule.next(), Some(Duration::ZERO));
        schedule.count(Duration::from_secs(5));
        assert_eq!(schedule.next(), Some(Duration::from_secs(65)));
        schedule.count(Duration::from_secs(65));
        assert_eq!(schedule.next(), None);
        assert!(schedule.has_last());
        schedule.count(Duration::from_secs(66));
        assert!(!schedule.has_last());
        let endless = Schedule { last: Some(Duration::MAX), ..Schedule::new(Duration::MAX, 9) };
        assert_eq!(endless.next(), Some(Duration::MAX));
    }
}
