//! `SimulatedMemory`: the memory of simulated cards that tasks use, as opposed to what they leased.
//!
//! A real card refuses memory that it does not have, whatever was leased. A simulated card does so here: a task that
//! reports what it uses is out of memory if that, with what others use, is more than the card has.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use fedflow_core::{Device, DeviceInfo, Lease, LeaseId, Size, TaskKey};

use crate::ledger::{CardKey, ReportedUse};

/// The memory of a pool's simulated cards. Cheap to clone; may be used from any thread.
///
/// The use of all runs in one `FEDFLOW_LEASE_DIR` counts together.
#[derive(Debug, Clone)]
pub struct SimulatedMemory {
    cards: Arc<SharedCards>,
}

/// A simulated card does not have the memory that a task uses.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{device} is out of memory: {needed} are used, {free} of {size} are free (a simulated card)")]
pub struct SimulatedOom {
    /// The card.
    pub device: Device,
    /// What the task needs.
    pub needed: Size,
    /// What was left of the card's memory.
    pub free: Size,
    /// All of the card's memory.
    pub size: Size,
}

#[derive(Debug)]
struct SharedCards {
    cards: Vec<SimulatedCard>,
    /// Where other runs report their use; `None` if the cards belong to this run alone.
    shared: Option<ReportedUse>,
    memory_use: Mutex<MemoryUse>,
}

#[derive(Debug)]
struct SimulatedCard {
    device: Device,
    key: CardKey,
    size: Size,
}

#[derive(Debug, Default)]
struct MemoryUse {
    holders: BTreeMap<LeaseId, TaskKey>,
    /// What each lease holder uses, and of which cards.
    uses: BTreeMap<LeaseId, (Vec<Device>, Size)>,
    peaks: BTreeMap<TaskKey, Size>,
}

impl SimulatedMemory {
    /// `devices` are in the order of the pool's table, as the ledger counts them.
    pub(crate) fn new(devices: &[DeviceInfo], shared: Option<ReportedUse>) -> Self {
        let card = |(place, info): (usize, &DeviceInfo)| {
            Some(SimulatedCard { device: info.device, key: CardKey::of(info, place), size: info.memory? })
        };
        let cards = devices.iter().enumerate().filter_map(card).collect();
        Self { cards: Arc::new(SharedCards { cards, shared, memory_use: Mutex::default() }) }
    }

    /// Notes that the holder of a lease uses so much memory of each of its cards from now on, until the lease is
    /// released. Makes some system calls if the cards are shared with other runs; never blocks.
    ///
    /// # Errors
    /// A card does not have so much: the holder is out of memory, and uses nothing.
    pub fn occupy(&self, lease: &Lease, size: Size) -> Result<(), SimulatedOom> {
        let SharedCards { cards, shared, .. } = &*self.cards;
        let leased: Vec<&SimulatedCard> =
            cards.iter().filter(|card| lease.shares.iter().any(|s| s.info.device == card.device)).collect();
        // Locked to the end: of two calls at once, the second sees what the first uses.
        let mut memory_use = self.lock();
        if let Some(shared) = shared {
            // Before other reports are read: of two runs at once, at least one sees the other.
            shared.set(lease.id, Some(size));
        }
        let mut least_free = size;
        let mut refusal = None;
        for card in leased.iter().copied() {
            let ours: Size = memory_use.used(card.device, lease.id);
            let theirs = shared.as_ref().map(|shared| shared.of_others(&card.key)).unwrap_or_default();
            let free = card.size.saturating_sub(ours + theirs);
            least_free = least_free.min(free);
            if size > free && refusal.is_none() {
                refusal = Some(SimulatedOom { device: card.device, needed: size, free, size: card.size });
            }
        }
        if let Some(holder) = memory_use.holders.get(&lease.id).copied() {
            // A task that runs out of memory has used what was left.
            let peak = memory_use.peaks.entry(holder).or_default();
            *peak = least_free.max(*peak);
        }
        match refusal {
            None => {
                let devices = leased.iter().map(|card| card.device).collect();
                memory_use.uses.insert(lease.id, (devices, size));
                Ok(())
            }
            Some(refusal) => {
                if let Some(shared) = shared {
                    shared.set(lease.id, None);
                }
                Err(refusal)
            }
        }
    }

    /// The most that a task has used of a card over all its attempts in this session; `None` if it never reported any.
    /// For an attempt that ran out of memory, what was left for it counts, as on a real card.
    #[must_use]
    pub fn used_by(&self, task: TaskKey) -> Option<Size> {
        self.lock().peaks.get(&task).copied()
    }

    /// The same for the task of a lease.
    pub(crate) fn peak(&self, lease: LeaseId) -> Option<Size> {
        let memory_use = self.lock();
        memory_use.peaks.get(memory_use.holders.get(&lease)?).copied()
    }

    /// What this run's tasks use of a card now; `None` if no task has reported any use yet.
    #[must_use]
    pub fn used_on(&self, device: Device) -> Option<Size> {
        let memory_use = self.lock();
        let on_it = memory_use.uses.values().filter(|(devices, _)| devices.contains(&device));
        (!memory_use.peaks.is_empty()).then(|| on_it.map(|(_, size)| *size).sum())
    }

    pub(crate) fn granted(&self, lease: LeaseId, holder: TaskKey) {
        self.lock().holders.insert(lease, holder);
    }

    /// Forgets the use of a lease that was released.
    pub(crate) fn vacate(&self, lease: LeaseId) {
        let mut memory_use = self.lock();
        memory_use.holders.remove(&lease);
        memory_use.uses.remove(&lease);
    }

    fn lock(&self) -> MutexGuard<'_, MemoryUse> {
        self.cards.memory_use.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl MemoryUse {
    /// What the leases of this run except one use of a card.
    fn used(&self, device: Device, but: LeaseId) -> Size {
        let on_it =
            self.uses.iter().filter(|(lease, (devices, _))| **lease != but && devices.contains(&device));
        on_it.map(|(_, (_, size))| *size).sum()
    }
}
