//! How much of a worker's items the supervisor takes: a flood is cut here, whoever sends it.

use std::collections::HashSet;

use fedflow_core::Time;

use crate::protocol::{HOST_BURST, HOST_RATE, MAX_KEY, MAX_KEYS};

/// Counts what one task tells. An honest worker thins out its items and never reaches these limits.
pub(crate) struct Intake {
    tokens: f64,
    counted: Time,
    keys: HashSet<String>,
}

impl Intake {
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
        let mut intake = Intake::new(Time::ZERO);
        let taken = (0..1_000_000).filter(|_| intake.admit(Time::ZERO)).count();
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "a small positive number"
        )]
        let burst = HOST_BURST as usize;
        assert_eq!(taken, burst);
        let later = Time::after(Duration::from_secs(1));
        assert_eq!((0..1_000).filter(|_| intake.admit(later)).count(), 400);
    }

    #[test]
    fn keys_are_limited() {
        let mut intake = Intake::new(Time::ZERO);
        assert_eq!((0..5_000).filter(|n| intake.admit_key(&n.to_string())).count(), MAX_KEYS);
        assert!(intake.admit_key("0"), "a known key goes on");
        assert!(!intake.admit_key(""));
        let mut intake = Intake::new(Time::ZERO);
        assert!(!intake.admit_key(&"x".repeat(MAX_KEY + 1)));
        assert!(intake.admit_key("new"));
    }
}
