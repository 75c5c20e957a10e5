//! `ForeignMemory`: how much of a card programs outside of all leases use, estimated from what the card reports and what
//! is booked.
//!
//! A card reports how much is used in all. Of that, what leases use is known only as what they have booked, and the list
//! of processes is a hint. So there are bounds: foreign programs use at least what the bookings cannot explain, what was
//! used when nothing was leased, and what processes use that certainly belong to no run.

use fedflow_core::Size;

use crate::machine::ProcessOwner;
use crate::nvidia::CardMemory;

/// A process on a card, with its owner.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct AttributedProcess {
    /// The run it belongs to; `None` if its number means nothing here.
    pub(super) owner: Option<ProcessOwner>,
    pub(super) memory: Size,
}

/// The foreign memory of one card, and what is remembered of it between two readings of the card.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct ForeignMemory {
    /// What was used when nothing was leased on the card.
    at_rest: Size,
}

impl ForeignMemory {
    /// The foreign memory of a card on which nothing is booked.
    ///
    /// A little memory that no process accounts for belongs to the driver: the card does not count as shared then.
    pub(super) fn without_leases(&mut self, memory: &CardMemory, processes: &[AttributedProcess]) -> Size {
        let unaccounted = memory.used <= memory.overhead && processes.is_empty();
        self.at_rest = if unaccounted { Size::ZERO } else { memory.used };
        self.at_rest
    }

    /// The same for an exclusive request. Processes of this run that touched the card while they loaded must not keep the
    /// card from themselves.
    pub(super) fn without_leases_or_loaders(
        &mut self,
        memory: &CardMemory,
        processes: &[AttributedProcess],
    ) -> Size {
        let ours: Size =
            processes.iter().filter(|p| p.owner == Some(ProcessOwner::ThisRun)).map(|p| p.memory).sum();
        let others: Vec<AttributedProcess> =
            processes.iter().copied().filter(|p| p.owner != Some(ProcessOwner::ThisRun)).collect();
        let rest = CardMemory { used: memory.used.saturating_sub(ours), ..*memory };
        self.without_leases(&rest, &others)
    }

    /// The memory that is used and has no owner, as far as can be known: no lease, no living process, and no foreign
    /// program that was there before. `booked` is what leases still have booked there.
    pub(super) fn unowned(&self, memory: &CardMemory, booked: Size, processes: &[AttributedProcess]) -> Size {
        let living: Size = processes.iter().filter(|p| p.owner.is_some()).map(|p| p.memory).sum();
        let beyond_leases =
            memory.used.saturating_sub(booked + self.at_rest.max(living.saturating_sub(booked)));
        // The list of processes can be trusted only if it shows processes of runs.
        let list_is_known =
            processes.iter().any(|p| matches!(p.owner, Some(ProcessOwner::ThisRun | ProcessOwner::OtherRun)));
        let beyond_processes =
            if list_is_known { memory.used.saturating_sub(living + self.at_rest) } else { Size::ZERO };
        let unowned = beyond_leases.max(beyond_processes);
        if unowned <= memory.overhead { Size::ZERO } else { unowned }
    }

    /// The foreign memory of a card on which leases, of this run and of others in the ledger, have booked `booked`.
    pub(super) fn beside_leases(
        &mut self,
        memory: &CardMemory,
        booked: Size,
        processes: &[AttributedProcess],
    ) -> Size {
        let named: Size =
            processes.iter().filter(|p| p.owner == Some(ProcessOwner::Foreign)).map(|p| p.memory).sum();
        let all_known = !processes.is_empty() && processes.iter().all(|p| p.owner.is_some());
        if all_known {
            // A program that was there at rest and is gone need not be remembered.
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

    fn memory(used: u64) -> CardMemory {
        CardMemory {
            total: Size::from_gb(24),
            reserved: Size::ZERO,
            used: Size::from_bytes(used),
            free: Size::from_gb(24).saturating_sub(Size::from_bytes(used)),
            overhead: Size::from_bytes(GB / 4),
        }
    }

    fn process(owner: Option<ProcessOwner>, gigabytes: u64) -> AttributedProcess {
        AttributedProcess { owner, memory: Size::from_gb(gigabytes) }
    }

    #[test]
    fn an_idle_card_has_no_foreign_memory() {
        let mut foreign = ForeignMemory::default();
        assert_eq!(foreign.without_leases(&memory(GB / 5), &[]), Size::ZERO);
        assert_eq!(foreign.without_leases(&memory(GB), &[]), Size::from_gb(1), "seen from a container");
        let small = [AttributedProcess { owner: Some(ProcessOwner::Foreign), memory: Size::from_bytes(9) }];
        assert_eq!(foreign.without_leases(&memory(GB / 5), &small), Size::from_bytes(GB / 5));
    }

    #[test]
    fn loading_processes_do_not_keep_a_card_from_their_run() {
        let processes = [process(Some(ProcessOwner::ThisRun), 1)];
        let mut foreign = ForeignMemory::default();
        assert_eq!(foreign.without_leases(&memory(GB), &processes), Size::from_gb(1));
        assert_eq!(foreign.without_leases_or_loaders(&memory(GB), &processes), Size::ZERO);
        let both = [processes[0], process(Some(ProcessOwner::Foreign), 2)];
        assert_eq!(foreign.without_leases_or_loaders(&memory(3 * GB), &both), Size::from_gb(2));
        assert_eq!(foreign.without_leases_or_loaders(&memory(GB), &[process(None, 1)]), Size::from_gb(1));
    }

    #[test]
    fn a_program_that_was_there_first_is_remembered() {
        let mut foreign = ForeignMemory::default();
        foreign.without_leases(&memory(5 * GB), &[]);
        // A task has booked 10 GB and uses 1 GB so far.
        assert_eq!(foreign.beside_leases(&memory(6 * GB), Size::from_gb(10), &[]), Size::from_gb(5));
        // The foreign program has ended; only the list of processes can tell.
        assert_eq!(foreign.beside_leases(&memory(6 * GB), Size::from_gb(10), &[]), Size::from_gb(5));
        let ours = [process(Some(ProcessOwner::ThisRun), 6)];
        assert_eq!(foreign.beside_leases(&memory(6 * GB), Size::from_gb(10), &ours), Size::ZERO);
    }

    #[test]
    fn a_program_that_comes_later_is_seen() {
        let mut foreign = ForeignMemory::default();
        foreign.without_leases(&memory(0), &[]);
        assert_eq!(foreign.beside_leases(&memory(8 * GB), Size::from_gb(10), &[]), Size::ZERO);
        let both = [process(Some(ProcessOwner::ThisRun), 1), process(Some(ProcessOwner::Foreign), 7)];
        assert_eq!(foreign.beside_leases(&memory(8 * GB), Size::from_gb(10), &both), Size::from_gb(7));
        assert_eq!(foreign.beside_leases(&memory(14 * GB), Size::from_gb(10), &[]), Size::from_gb(4));
    }

    #[test]
    fn what_another_run_has_booked_is_not_counted_twice() {
        let mut foreign = ForeignMemory::default();
        foreign.without_leases(&memory(0), &[]);
        let theirs = [process(Some(ProcessOwner::OtherRun), 7)];
        assert_eq!(foreign.beside_leases(&memory(7 * GB), Size::from_gb(8), &theirs), Size::ZERO);
        assert_eq!(foreign.beside_leases(&memory(9 * GB), Size::from_gb(8), &theirs), Size::from_gb(1));
    }

    #[test]
    fn unowned_memory_is_told_from_memory_in_use() {
        let foreign = ForeignMemory { at_rest: Size::from_gb(2) };
        let (none, gb) = (Size::ZERO, Size::from_gb);
        assert_eq!(foreign.unowned(&memory(2 * GB), none, &[]), none, "it was there before");
        assert_eq!(foreign.unowned(&memory(5 * GB), none, &[]), gb(3));
        assert_eq!(foreign.unowned(&memory(2 * GB + GB / 5), none, &[]), none, "the driver's own");
        // A foreign program has come meanwhile, beside the one that was there.
        assert_eq!(foreign.unowned(&memory(5 * GB), none, &[process(Some(ProcessOwner::Foreign), 5)]), none);
        // A lease of 10 GB hides it, unless the lease's process is known to use less.
        assert_eq!(foreign.unowned(&memory(6 * GB), gb(10), &[]), none);
        assert_eq!(
            foreign.unowned(&memory(6 * GB), gb(10), &[process(Some(ProcessOwner::ThisRun), 1)]),
            gb(3)
        );
    }

    fn any_processes() -> impl Strategy<Value = Vec<AttributedProcess>> {
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
        /// Whatever the hints say: bookings and foreign memory together cover what is used, and foreign memory is never
        /// more than is used.
        #[test]
        fn hints_never_hide_what_is_used(
            looks in proptest::collection::vec((0..24_u64, 0..24_u64, any_processes()), 1..8),
        ) {
            let mut foreign = ForeignMemory::default();
            for (used, booked, processes) in looks {
                let memory = memory(used * GB);
                let booked = Size::from_gb(booked);
                let foreign_use = if booked == Size::ZERO {
                    foreign.without_leases(&memory, &processes)
                } else {
                    foreign.beside_leases(&memory, booked, &processes)
                };
                prop_assert!(foreign_use + booked >= memory.used);
                prop_assert!(foreign_use <= memory.used);
            }
        }
    }
}
