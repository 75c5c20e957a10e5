//! `ItemLimits`: how much of a worker's items the supervisor takes. A flood is cut here.

use std::collections::HashSet;

use fedflow_core::Time;

use crate::protocol::{HOST_BURST, HOST_RATE, MAX_KEY, MAX_KEYS};

/// What one task has reported so far. A correct worker thins out its items and never reaches these limits.
pub(crate) struct ItemLimits {
    tokens: f64,
    counted: Time,
    keys: HashSet<String>,
}

impl ItemLimits {
    pub(crate) fn new(now: Time) -> Self {
        Self { tokens: HOST_BURST, counted: now, keys: HashSet::new() }
    }

    /// Whether one more message is taken.
    pub(crate) fn admit(&mut self, now: Time) -> bool {
        let passed = now.since(self.counted).as_secs_f64();
        self.tokens = (self.tokens + passed * HOST_RATE).min(HOST_BURST);
        self.counted = self.counted.max(now);
        if self.tokens < 1.0 {
            return false;
        }
        self.tokens -= 1.0;
        true
    }

    /// Whether an item of this key is taken.
    pub(crate) fn admit_key(&mut self, key: &str) -> bool {
        if key.is_empty() || key.len() > MAX_KEY {
            return false;
        }
        if self.keys.contains(key) {
            return true;
        }
        self.keys.len() < MAX_KEYS && self.keys.insert(key.to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn a_flood_is_cut_and_calm_is_not() {
        let mut limits = ItemLimits::new(Time::ZERO);
        let taken = (0..1_000_000).filter(|_| limits.admit(Time::ZERO)).count();
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "a small positive number"
        )]
        let burst = HOST_BURST as usize;
        assert_eq!(taken, burst);
        let later = Time::after(Duration::from_secs(1));
        assert_eq!((0..1_000).filter(|_| limits.admit(later)).count(), 400);
    }

    #[test]
    fn keys_are_limited() {
        let mut limits = ItemLimits::new(Time::ZERO);
        assert_eq!((0..5_000).filter(|n| limits.admit_key(&n.to_string())).count(), MAX_KEYS);
        assert!(limits.admit_key("0"), "a known key goes on");
        assert!(!limits.admit_key(""));
        let mut limits = ItemLimits::new(Time::ZERO);
        assert!(!limits.admit_key(&"x".repeat(MAX_KEY + 1)));
        assert!(limits.admit_key("new"));
    }
}
