//! Checks the logs of many supervisors: was a card ever overbooked?

use std::collections::BTreeMap;

/// A share of a card that was certainly held from `from` to `until`, in nanoseconds of the machine's clock.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Held {
    pub(crate) member: String,
    pub(crate) card: String,
    pub(crate) bytes: u64,
    /// Whether no other lease may train beside it: it is exclusive or has no estimate.
    pub(crate) alone: bool,
    /// Whether no other lease may keep memory beside it while it trains.
    pub(crate) exclusive: bool,
    pub(crate) from: u64,
    /// Until when it certainly trained.
    pub(crate) trains_until: u64,
    pub(crate) until: u64,
}

/// Checks every instant at which a lease begins.
///
/// # Errors
/// The leases that held too much together.
pub(crate) fn check(mut held: Vec<Held>, capacity: u64) -> Result<(), String> {
    held.sort_by_key(|held| held.from);
    let mut by_card: BTreeMap<&str, Vec<&Held>> = BTreeMap::new();
    for new in &held {
        let active = by_card.entry(&new.card).or_default();
        active.retain(|old| old.until > new.from);
        active.push(new);
        let bytes: u64 = active.iter().map(|held| held.bytes).sum();
        if bytes > capacity {
            return Err(format!("{bytes} bytes of {capacity} on {}: {active:#?}", new.card));
        }
        let now = new.from;
        let training: Vec<&&Held> = active.iter().filter(|held| held.trains_until > now).collect();
        if training.len() > 1 && training.iter().any(|held| held.alone) {
            return Err(format!(
                "{} is shared, though one of its leases must be alone: {training:#?}",
                new.card
            ));
        }
        if active.len() > 1 && training.iter().any(|held| held.exclusive) {
            return Err(format!(
                "{} is shared, though one of its leases is exclusive: {active:#?}",
                new.card
            ));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn held(bytes: u64, from: u64, until: u64) -> Held {
        Held {
            member: "a".into(),
            card: "sim:0".into(),
            bytes,
            alone: false,
            exclusive: false,
            from,
            trains_until: until,
            until,
        }
    }

    #[test]
    fn the_checker_sees_overlaps() {
        assert_eq!(check(vec![held(5, 0, 10), held(5, 10, 20), held(3, 5, 15)], 8), Ok(()));
        assert!(check(vec![held(5, 0, 11), held(5, 10, 20)], 8).is_err());
        let elsewhere = Held { card: "sim:1".into(), ..held(5, 5, 6) };
        assert_eq!(check(vec![held(5, 0, 10), elsewhere], 8), Ok(()));
    }

    #[test]
    fn the_checker_sees_leases_beside_one_that_must_be_alone() {
        let alone = Held { alone: true, trains_until: 5, ..held(1, 0, 10) };
        assert!(check(vec![alone.clone(), held(1, 4, 6)], 8).is_err());
        assert_eq!(check(vec![alone.clone(), held(1, 5, 6)], 8), Ok(()));
        let resident = Held { trains_until: 1, ..held(1, 0, 10) };
        assert_eq!(check(vec![resident.clone(), Held { from: 2, ..alone.clone() }], 8), Ok(()));
        let exclusive = Held { exclusive: true, from: 2, ..alone };
        assert!(check(vec![resident, exclusive], 8).is_err());
    }
}
