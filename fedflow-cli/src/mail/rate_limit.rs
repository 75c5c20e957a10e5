//! `RateLimit`: when a mail may be sent. It limits their number and their distance, and keeps one for the end.

use std::time::Duration;

/// When mail may be sent. Times count from any fixed moment; the caller gives them.
#[derive(Debug, Clone)]
pub(super) struct RateLimit {
    interval: Duration,
    /// The mails that may still be sent, the one at the end included.
    left: u32,
    last: Option<Duration>,
}

impl RateLimit {
    /// At most `max` mails, `interval` apart.
    pub(super) fn new(interval: Duration, max: u32) -> Self {
        Self { interval, left: max, last: None }
    }

    /// The earliest time for a mail before the end; `None` if no more may be sent.
    pub(super) fn next(&self) -> Option<Duration> {
        let earliest = self.last.map_or(Duration::ZERO, |last| last.saturating_add(self.interval));
        (self.left > 1).then_some(earliest)
    }

    /// Whether the mail at the end may be sent, at any time.
    pub(super) fn has_last(&self) -> bool {
        self.left > 0
    }

    /// Counts a mail that is sent now. A mail that failed counts too: it may have arrived.
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
            let mut limit = RateLimit::new(interval, max);
            let (mut now, mut sent) = (Duration::ZERO, Vec::new());
            for gap in gaps {
                now += Duration::from_secs(gap);
                if limit.next().is_some_and(|next| next <= now) {
                    limit.count(now);
                    sent.push(now);
                }
            }
            prop_assert!(sent.windows(2).all(|pair| pair[1] - pair[0] >= interval));
            prop_assert!(sent.len() < max.max(1) as usize);
            prop_assert_eq!(limit.has_last(), max > 0);
        }
    }

    #[test]
    fn the_first_may_be_sent_at_once_and_the_next_after_the_interval() {
        let mut limit = RateLimit::new(Duration::from_secs(60), 3);
        assert_eq!(limit.next(), Some(Duration::ZERO));
        limit.count(Duration::from_secs(5));
        assert_eq!(limit.next(), Some(Duration::from_secs(65)));
        limit.count(Duration::from_secs(65));
        assert_eq!(limit.next(), None);
        assert!(limit.has_last());
        limit.count(Duration::from_secs(66));
        assert!(!limit.has_last());
        let endless = RateLimit { last: Some(Duration::MAX), ..RateLimit::new(Duration::MAX, 9) };
        assert_eq!(endless.next(), Some(Duration::MAX));
    }
}
