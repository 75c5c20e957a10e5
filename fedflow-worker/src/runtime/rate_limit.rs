//! Decides which items are sent now and which wait: at most so many a second, and the last one of each key always.

use std::collections::HashMap;
use std::time::Duration;

use fedflow_core::Time;

use crate::protocol::{ITEM_GAP, MAX_KEYS, WORKER_BURST, WORKER_RATE};

/// Holds back items that come faster than they may be sent. Knows nothing of channels and clocks.
pub(super) struct RateLimit<V> {
    keys: HashMap<String, KeyState<V>>,
    tokens: f64,
    counted: Time,
}

struct KeyState<V> {
    sent: Time,
    waiting: Option<V>,
}

/// What becomes of an item.
#[derive(Debug, PartialEq)]
pub(super) enum Verdict<V> {
    /// It is sent now.
    Send(V),
    /// It waits. A later item of its key replaces it.
    Held,
    /// The task uses too many keys; it is dropped.
    TooManyKeys,
}

impl<V> RateLimit<V> {
    pub(super) fn new(now: Time) -> Self {
        Self { keys: HashMap::new(), tokens: WORKER_BURST, counted: now }
    }

    /// Decides on a new item.
    pub(super) fn offer(&mut self, now: Time, key: &str, value: V) -> Verdict<V> {
        self.refill(now);
        let may_send = self.tokens >= 1.0;
        let full = self.keys.len() >= MAX_KEYS;
        match self.keys.get_mut(key) {
            Some(state) if may_send && now.since(state.sent) >= ITEM_GAP => {
                state.sent = now;
                state.waiting = None;
            }
            Some(state) => {
                state.waiting = Some(value);
                return Verdict::Held;
            }
            None if full => return Verdict::TooManyKeys,
            None => {
                let state = self.keys.entry(key.to_owned()).or_insert(KeyState { sent: now, waiting: None });
                if !may_send {
                    state.waiting = Some(value);
                    return Verdict::Held;
                }
            }
        }
        self.tokens -= 1.0;
        Verdict::Send(value)
    }

    /// Takes an item that has waited long enough.
    pub(super) fn due(&mut self, now: Time) -> Option<(String, V)> {
        self.refill(now);
        if self.tokens < 1.0 {
            return None;
        }
        let (key, state) = self
            .keys
            .iter_mut()
            .filter(|(_, state)| state.waiting.is_some() && now.since(state.sent) >= ITEM_GAP)
            .min_by_key(|(_, state)| state.sent)?;
        state.sent = now;
        self.tokens -= 1.0;
        state.waiting.take().map(|value| (key.clone(), value))
    }

    /// When the next item is due; `None` if none waits.
    pub(super) fn next_due(&self) -> Option<Time> {
        let earliest = self
            .keys
            .values()
            .filter(|state| state.waiting.is_some())
            .map(|state| state.sent + ITEM_GAP)
            .min()?;
        let token = Duration::from_secs_f64((1.0 - self.tokens).max(0.0) / WORKER_RATE);
        Some(earliest.max(self.counted + token))
    }

    /// Takes all that waits: the phase has ended.
    pub(super) fn drain(&mut self) -> Vec<(String, V)> {
        let mut rest: Vec<_> = self
            .keys
            .iter_mut()
            .filter_map(|(key, state)| Some((state.sent, key.clone(), state.waiting.take()?)))
            .collect();
        rest.sort_by(|a, b| (a.0, &a.1).cmp(&(b.0, &b.1)));
        rest.into_iter().map(|(_, key, value)| (key, value)).collect()
    }

    fn refill(&mut self, now: Time) {
        let passed = now.since(self.counted).as_secs_f64();
        self.tokens = (self.tokens + passed * WORKER_RATE).min(WORKER_BURST);
        self.counted = self.counted.max(now);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn at(millis: u64) -> Time {
        Time::after(Duration::from_millis(millis))
    }

    #[test]
    fn the_first_is_sent_and_the_last_arrives() {
        let mut limit = RateLimit::new(at(0));
        assert_eq!(limit.offer(at(0), "loss", 1), Verdict::Send(1));
        assert_eq!(limit.offer(at(10), "loss", 2), Verdict::Held);
        assert_eq!(limit.offer(at(20), "loss", 3), Verdict::Held);
        assert_eq!(limit.next_due(), Some(at(50)));
        assert_eq!(limit.due(at(49)), None);
        assert_eq!(limit.due(at(50)), Some(("loss".into(), 3)));
        assert_eq!(limit.next_due(), None);
        assert_eq!(limit.offer(at(60), "loss", 4), Verdict::Held);
        assert_eq!(limit.drain(), [("loss".into(), 4)]);
        assert_eq!(limit.drain(), []);
    }

    proptest! {
        #[test]
        fn never_too_fast_and_never_lost(offers in prop::collection::vec((0_u64..30, 0_u8..4), 1..400)) {
            let mut limit = RateLimit::new(at(0));
            let (mut now, mut sent, mut last) = (0, Vec::new(), HashMap::new());
            for (number, (passed, key)) in offers.into_iter().enumerate() {
                now += passed;
                while let Some((key, value)) = limit.due(at(now)) {
                    sent.push((now, key, value));
                }
                let key = key.to_string();
                last.insert(key.clone(), number);
                if let Verdict::Send(value) = limit.offer(at(now), &key, number) {
                    sent.push((now, key, value));
                }
            }
            for key in last.keys() {
                let times: Vec<_> = sent.iter().filter(|(_, k, _)| k == key).map(|(time, ..)| *time).collect();
                prop_assert!(times.windows(2).all(|pair| pair[1] - pair[0] >= 50), "{times:?}");
            }
            sent.extend(limit.drain().into_iter().map(|(key, value)| (now, key, value)));
            for (key, number) in last {
                let values: Vec<_> = sent.iter().filter(|(_, k, _)| *k == key).map(|(.., v)| *v).collect();
                prop_assert_eq!(values.last(), Some(&number));
                prop_assert!(values.is_sorted());
            }
        }

        #[test]
        fn all_keys_together_keep_to_the_rate(gaps in prop::collection::vec(0_u64..3, 1..2000)) {
            let mut limit = RateLimit::new(at(0));
            let (mut now, mut sent) = (0, 0.0);
            for (number, gap) in gaps.into_iter().enumerate() {
                now += gap;
                if let Verdict::Send(_) = limit.offer(at(now), &(number % 700).to_string(), ()) {
                    sent += 1.0;
                }
                #[expect(clippy::cast_precision_loss, reason = "a few seconds in milliseconds")]
                let allowed = WORKER_BURST + now as f64 / 1000.0 * WORKER_RATE + 1.0;
                prop_assert!(sent <= allowed);
            }
        }
    }
}
