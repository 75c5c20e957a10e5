//! `SimulatedMemory`: what tasks really use of simulated cards, beside what they leased.
//!
//! A real card refuses memory that it has not got, whatever was booked. A simulated one does so here: a task that says
//! what it uses is refused when that, with what others use, is more than the card has.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use fedflow_core::{Device, DeviceInfo, Lease, LeaseId, Size, TaskKey};

use crate::ledger::{CardKey, Usage};

/// The memory of a pool's simulated cards. Cheap to clone; may be used from any thread.
///
/// What runs of all users use of the cards of one `FEDFLOW_LEASE_DIR` counts together.
#[derive(Debug, Clone)]
pub struct SimulatedMemory {
    inner: Arc<Inner>,
}

/// A simulated card has not got the memory that a task uses.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{device} is out of memory: {needed} are used, {free} of {size} are free (a simulated card)")]
pub struct SimulatedOom {
    /// The card.
    pub device: Device,
    /// What the task uses.
    pub needed: Size,
    /// What was left.
    pub free: Size,
    /// All of the card's memory.
    pub size: Size,
}

#[derive(Debug)]
struct Inner {
    cards: Vec<Card>,
    /// Where other runs say what they use; none if the cards are this run's alone.
    shared: Option<Usage>,
    state: Mutex<State>,
}

#[derive(Debug)]
struct Card {
    device: Device,
    key: CardKey,
    size: Size,
}

#[derive(Debug, Default)]
struct State {
    holders: BTreeMap<LeaseId, TaskKey>,
    /// What a lease's holder uses of each of these cards.
    uses: BTreeMap<LeaseId, (Vec<Device>, Size)>,
    peaks: BTreeMap<TaskKey, Size>,
}

impl SimulatedMemory {
    /// `devices` are in the order of the pool's table, as the ledger counts them.
    pub(super) fn new(devices: &[DeviceInfo], shared: Option<Usage>) -> Self {
        let card = |(place, info): (usize, &DeviceInfo)| {
            Some(Card { device: info.device, key: CardKey::of(info, place), size: info.memory? })
        };
        let cards = devices.iter().enumerate().filter_map(card).collect();
        Self { inner: Arc::new(Inner { cards, shared, state: Mutex::default() }) }
    }

    /// The holder of a lease uses so much memory of each of its cards from now on, until the lease is released. Some
    /// system calls if other runs have these cards too; waits for nobody.
    ///
    /// # Errors
    /// A card has not got so much: its holder is out of memory, and uses nothing.
    pub fn occupy(&self, lease: &Lease, size: Size) -> Result<(), SimulatedOom> {
        let Inner { cards, shared, .. } = &*self.inner;
        let leased: Vec<&Card> =
            cards.iter().filter(|card| lease.shares.iter().any(|s| s.info.device == card.device)).collect();
        // Held to the end: of two that come at once, the second one sees the first.
        let mut state = self.lock();
        if let Some(shared) = shared {
            // Before looking: of two runs that come at once, at least one sees the other.
            shared.set(lease.id, Some(size));
        }
        let mut least_free = size;
        let mut refusal = None;
        for card in leased.iter().copied() {
            let ours: Size = state.used(card.device, lease.id);
            let theirs = shared.as_ref().map(|shared| shared.of_others(&card.key)).unwrap_or_default();
            let free = card.size.saturating_sub(ours + theirs);
            least_free = least_free.min(free);
            if size > free && refusal.is_none() {
                refusal = Some(SimulatedOom { device: card.device, needed: size, free, size: card.size });
            }
        }
        if let Some(holder) = state.holders.get(&lease.id).copied() {
            // One that fails has used what was left.
            let peak = state.peaks.entry(holder).or_default();
            *peak = least_free.max(*peak);
        }
        match refusal {
            None => {
                let devices = leased.iter().map(|card| card.device).collect();
                state.uses.insert(lease.id, (devices, size));
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

    /// The most that a task has used of a card, all its attempts in this session together; none if it never said. Of
    /// an attempt that ran out of memory what was left for it counts, as on a real card.
    #[must_use]
    pub fn used_by(&self, task: TaskKey) -> Option<Size> {
        self.lock().peaks.get(&task).copied()
    }

    /// The same for the holder of a lease.
    pub(super) fn peak(&self, lease: LeaseId) -> Option<Size> {
        let state = self.lock();
        state.peaks.get(state.holders.get(&lease)?).copied()
    }

    /// What this run's tasks use of a card now; none if no task has said yet what it uses.
    #[must_use]
    pub fn used_on(&self, device: Device) -> Option<Size> {
        let state = self.lock();
        let on_it = state.uses.values().filter(|(devices, _)| devices.contains(&device));
        (!state.peaks.is_empty()).then(|| on_it.map(|(_, size)| *size).sum())
    }

    pub(super) fn granted(&self, lease: LeaseId, holder: TaskKey) {
        self.lock().holders.insert(lease, holder);
    }

    /// A lease is released: nothing is used for it any more.
    pub(super) fn vacate(&self, lease: LeaseId) {
        let mut state = self.lock();
        state.holders.remove(&lease);
        state.uses.remove(&lease);
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.inner.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// What leases of this run but one use of a card.
    fn used(&self, device: Device, but: LeaseId) -> Size {
        let on_it =
            self.uses.iter().filter(|(lease, (devices, _))| **lease != but && devices.contains(&device));
        on_it.map(|(_, (_, size))| *size).sum()
    }
}
