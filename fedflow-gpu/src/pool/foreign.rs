//! How much of a card others use: an estimate from what the card reports and what this run has booked.
//!
//! A card tells how much is used in all. What our own tasks use of it is known only as what they booked, and
//! the list of processes is a hint. So there are bounds: others use at least what our bookings cannot explain,
//! what they used when nothing of ours was there, and what processes use that are surely not ours.

use fedflow_core::Size;

use crate::machine::ProcessOwner;
use crate::nvml::Memory;

/// A process on a card, as far as it is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Attributed {
    /// Whose it is; `None` if the id means nothing here.
    pub(super) owner: Option<ProcessOwner>,
    pub(super) memory: Size,
}

/// What is remembered of a card between looks at it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Foreign {
    /// What others used when nothing of ours was on the card.
    at_rest: Size,
}

impl Foreign {
    /// What others use of a card on which nothing is booked.
    ///
    /// A little memory that no process accounts for is the driver's own: it is no reason to call the card shared.
    pub(super) fn without_leases(&mut self, memory: &Memory, processes: &[Attributed]) -> Size {
        let unaccounted = memory.used <= memory.overhead && processes.is_empty();
        self.at_rest = if unaccounted { Size::ZERO } else { memory.used };
        self.at_rest
    }

    /// The same for a request that wants the card alone. Processes of this run that have touched the card while
    /// they loaded must not keep it from them.
    pub(super) fn without_leases_or_loaders(&mut self, memory: &Memory, processes: &[Attributed]) -> Size {
        let ours: Size =
            processes.iter().filter(|p| p.owner == Some(ProcessOwner::ThisRun)).map(|p| p.memory).sum();
        let others: Vec<Attributed> =
            processes.iter().copied().filter(|p| p.owner != Some(ProcessOwner::ThisRun)).collect();
        let rest = Memory { used: memory.used.saturating_sub(ours), ..*memory };
        self.without_leases(&rest, &others)
    }

    /// What is used of a card and belongs to nobody, as far as that can be known: to no lease, to no process that lives,
    /// and not to those who were there before. `booked` is what leases still have booked there.
    pub(super) fn ownerless(&self, memory: &Memory, booked: Size, processes: &[Attributed]) -> Size {
        let living: Size = processes.iter().filter(|p| p.owner.is_some()).map(|p| p.memory).sum();
        let beyond_leases =
            memory.used.saturating_sub(booked + self.at_rest.max(living.saturating_sub(booked)));
        // Only if numbers of our own processes are seen can it be told what those who live use.
        let are_known =
            processes.iter().any(|p| matches!(p.owner, Some(ProcessOwner::ThisRun | ProcessOwner::OtherRun)));
        let beyond_processes =
            if are_known { memory.used.saturating_sub(living + self.at_rest) } else { Size::ZERO };
        let ownerless = beyond_leases.max(beyond_processes);
        if ownerless <= memory.overhead { Size::ZERO } else { ownerless }
    }

    /// What others use of a card on which leases, of this run or of others in the ledger, have booked `booked`.
    pub(super) fn beside_leases(&mut self, memory: &Memory, booked: Size, processes: &[Attributed]) -> Size {
        let named: Size =
            processes.iter().filter(|p| p.owner == Some(ProcessOwner::Foreign)).map(|p| p.memory).sum();
        let all_known = !processes.is_empty() && processes.iter().all(|p| p.owner.is_some());
        if all_known {
            // Whoever was there at rest and is not any more need not be remembered.
            self.at_rest = self.at_rest.min(named);
        }
        let unexplained = memory.used.saturating_sub(booked);
        unexplained.max(self.at_rest.max(named).min(memory.used))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const GB: u64 = 1_000_000_000;

    fn memory(used: u64) -> Memory {
        Memory {
            total: Size::from_gb(24),
            reserved: Size::ZERO,
            used: Size::from_bytes(used),
            free: Size::from_gb(24).saturating_sub(Size::from_bytes(used)),
            overhead: Size::from_bytes(GB / 4),
        }
    }

    fn process(owner: Option<ProcessOwner>, gigabytes: u64) -> Attributed {
        Attributed { owner, memory: Size::from_gb(gigabytes) }
    }

    #[test]
    fn an_idle_card_is_nobodys() {
        let mut foreign = Foreign::default();
        assert_eq!(foreign.without_leases(&memory(GB / 5), &[]), Size::ZERO);
        assert_eq!(foreign.without_leases(&memory(GB), &[]), Size::from_gb(1), "seen from a container");
        let small = [Attributed { owner: Some(ProcessOwner::Foreign), memory: Size::from_bytes(9) }];
        assert_eq!(foreign.without_leases(&memory(GB / 5), &small), Size::from_bytes(GB / 5));
    }

    #[test]
    fn our_loaders_do_not_keep_a_card_from_us() {
        let processes = [process(Some(ProcessOwner::ThisRun), 1)];
        let mut foreign = Foreign::default();
        assert_eq!(foreign.without_leases(&memory(GB), &processes), Size::from_gb(1));
        assert_eq!(foreign.without_leases_or_loaders(&memory(GB), &processes), Size::ZERO);
        let both = [processes[0], process(Some(ProcessOwner::Foreign), 2)];
        assert_eq!(foreign.without_leases_or_loaders(&memory(3 * GB), &both), Size::from_gb(2));
        assert_eq!(foreign.without_leases_or_loaders(&memory(GB), &[process(None, 1)]), Size::from_gb(1));
    }

    #[test]
    fn who_was_there_before_us_is_remembered() {
        let mut foreign = Foreign::default();
        foreign.without_leases(&memory(5 * GB), &[]);
        // Our task has booked 10 GB and uses 1 so far.
        assert_eq!(foreign.beside_leases(&memory(6 * GB), Size::from_gb(10), &[]), Size::from_gb(5));
        // The other one has left; only the list of processes can tell.
        assert_eq!(foreign.beside_leases(&memory(6 * GB), Size::from_gb(10), &[]), Size::from_gb(5));
        let ours = [process(Some(ProcessOwner::ThisRun), 6)];
        assert_eq!(foreign.beside_leases(&memory(6 * GB), Size::from_gb(10), &ours), Size::ZERO);
    }

    #[test]
    fn who_comes_later_is_seen() {
        let mut foreign = Foreign::default();
        foreign.without_leases(&memory(0), &[]);
        assert_eq!(foreign.beside_leases(&memory(8 * GB), Size::from_gb(10), &[]), Size::ZERO);
        let both = [process(Some(ProcessOwner::ThisRun), 1), process(Some(ProcessOwner::Foreign), 7)];
        assert_eq!(foreign.beside_leases(&memory(8 * GB), Size::from_gb(10), &both), Size::from_gb(7));
        assert_eq!(foreign.beside_leases(&memory(14 * GB), Size::from_gb(10), &[]), Size::from_gb(4));
    }

    #[test]
    fn what_another_run_has_booked_is_not_counted_twice() {
        let mut foreign = Foreign::default();
        foreign.without_leases(&memory(0), &[]);
        let theirs = [process(Some(ProcessOwner::OtherRun), 7)];
        assert_eq!(foreign.beside_leases(&memory(7 * GB), Size::from_gb(8), &theirs), Size::ZERO);
        assert_eq!(foreign.beside_leases(&memory(9 * GB), Size::from_gb(8), &theirs), Size::from_gb(1));
    }

    #[test]
    fn what_nobody_uses_is_told_from_what_somebody_does() {
        let foreign = Foreign { at_rest: Size::from_gb(2) };
        let (none, gb) = (Size::ZERO, Size::from_gb);
        assert_eq!(foreign.ownerless(&memory(2 * GB), none, &[]), none, "they were there before");
        assert_eq!(foreign.ownerless(&memory(5 * GB), none, &[]), gb(3));
        assert_eq!(foreign.ownerless(&memory(2 * GB + GB / 5), none, &[]), none, "the driver's own");
        // Another one who came meanwhile, beside those who were there.
        assert_eq!(
            foreign.ownerless(&memory(5 * GB), none, &[process(Some(ProcessOwner::Foreign), 5)]),
            none
        );
        // Beside a lease of 10 GB that hides it, unless its process is known to use less.
        assert_eq!(foreign.ownerless(&memory(6 * GB), gb(10), &[]), none);
        assert_eq!(
            foreign.ownerless(&memory(6 * GB), gb(10), &[process(Some(ProcessOwner::ThisRun), 1)]),
            gb(3)
        );
    }

    fn any_processes() -> impl Strategy<Value = Vec<Attributed>> {
        let owner = prop_oneof![
            Just(None),
            Just(Some(ProcessOwner::ThisRun)),
            Just(Some(ProcessOwner::OtherRun)),
            Just(Some(ProcessOwner::Foreign)),
        ];
        let process = (owner, 0..20_u64).prop_map(|(owner, gigabytes)| process(owner, gigabytes));
        proptest::collection::vec(process, 0..4)
    }

    proptest! {
        /// Whatever the hints say: bookings and others together cover what is used, and others never get more
        /// than is used.
        #[test]
        fn hints_never_hide_what_is_used(
            looks in proptest::collection::vec((0..24_u64, 0..24_u64, any_processes()), 1..8),
        ) {
            let mut foreign = Foreign::default();
            for (used, booked, processes) in looks {
                let memory = memory(used * GB);
                let booked = Size::from_gb(booked);
                let others = if booked == Size::ZERO {
                    foreign.without_leases(&memory, &processes)
                } else {
                    foreign.beside_leases(&memory, booked, &processes)
                };
                prop_assert!(others + booked >= memory.used);
                prop_assert!(others <= memory.used);
            }
        }
    }
}
