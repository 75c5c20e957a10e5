//! `MemoryMeter`: the peak memory of each lease on real cards.
//!
//! NVML reports memory by process. Where its process numbers mean something here, the lease holder and its descendants
//! count. Where they do not, as in a container, only the growth of the card's use since the lease was granted is known,
//! and it belongs to the holder only while no other lease is on the card.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use fedflow_core::{Lease, LeaseId, Size};

use crate::machine::probe_ancestry;
use crate::nvidia::Driver;

/// The peaks of leases on real cards. Cheap to clone; may be used from any thread.
#[derive(Debug, Clone)]
pub(crate) struct MemoryMeter {
    driver: Arc<Driver>,
    metered: Arc<Mutex<BTreeMap<LeaseId, MeteredLease>>>,
}

#[derive(Debug, Clone)]
struct MeteredLease {
    /// The cards by UUID, each with what was used when the lease was granted; `None` once another lease was on it.
    cards: Vec<(String, Option<Size>)>,
    /// The number of the lease holder, once it is known.
    holder: Option<u32>,
    peak: Option<Size>,
}

impl MemoryMeter {
    pub(super) fn new(driver: Arc<Driver>) -> Self {
        Self { driver, metered: Arc::default() }
    }

    /// Begins to measure a lease that was granted. Blocks for a call of NVIDIA's library for each of its cards.
    pub(crate) fn granted(&self, lease: &Lease) {
        let uuids = lease.shares.iter().filter_map(|share| share.info.uuid.clone());
        let used = |uuid: &str| self.driver.memory(uuid).ok().flatten().map(|memory| memory.used);
        let cards: Vec<(String, Option<Size>)> = uuids.map(|uuid| (uuid.clone(), used(&uuid))).collect();
        let mut metered = self.lock();
        let mut alone = vec![true; cards.len()];
        for other in metered.values_mut() {
            for ((uuid, _), alone) in cards.iter().zip(&mut alone) {
                // From here on the card's growth belongs to no single lease. What was measured before stays.
                for (_, base) in other.cards.iter_mut().filter(|(theirs, _)| theirs == uuid) {
                    *base = None;
                    *alone = false;
                }
            }
        }
        let cards = cards.into_iter().zip(alone);
        let cards = cards.map(|((uuid, used), alone)| (uuid, used.filter(|_| alone))).collect();
        metered.insert(lease.id, MeteredLease { cards, holder: None, peak: None });
    }

    /// Names the process that holds a lease.
    pub(crate) fn name_holder(&self, lease: LeaseId, pid: u32) {
        if let Some(metered) = self.lock().get_mut(&lease) {
            metered.holder = Some(pid);
        }
    }

    /// Forgets a lease that was released.
    pub(crate) fn released(&self, lease: LeaseId) {
        self.lock().remove(&lease);
    }

    /// The peak of a lease on one of its cards, as far as it was measured; it is measured once more now.
    pub(crate) fn peak(&self, lease: LeaseId) -> Option<Size> {
        self.measure(&[lease]);
        self.lock().get(&lease)?.peak
    }

    /// Measures all leases; blocks for some calls of NVIDIA's library.
    pub(super) fn measure_all(&self) {
        let leases: Vec<LeaseId> = self.lock().keys().copied().collect();
        self.measure(&leases);
    }

    fn measure(&self, leases: &[LeaseId]) {
        // Without the lock: a call of the library may take long.
        let looked: Vec<(LeaseId, MeteredLease)> = {
            let metered = self.lock();
            leases.iter().filter_map(|lease| Some((*lease, metered.get(lease)?.clone()))).collect()
        };
        let seen: Vec<(LeaseId, Option<Size>)> =
            looked.iter().map(|(lease, metered)| (*lease, self.used_by(metered))).collect();
        let mut metered = self.lock();
        for (lease, used) in seen {
            if let Some(metered) = metered.get_mut(&lease) {
                metered.peak = metered.peak.max(used);
            }
        }
    }

    /// What the holder uses now on the card on which it uses most.
    fn used_by(&self, metered: &MeteredLease) -> Option<Size> {
        let holder = metered.holder?;
        metered.cards.iter().filter_map(|(uuid, base)| self.used_of_card(uuid, *base, holder)).max()
    }

    fn used_of_card(&self, uuid: &str, base: Option<Size>, holder: u32) -> Option<Size> {
        let listed = self.driver.processes(uuid).ok().flatten().unwrap_or_default();
        let is_holders = |pid: u32| probe_ancestry(pid).is_some_and(|line| line.contains(&holder));
        let ours =
            listed.iter().filter(|process| is_holders(process.pid)).filter_map(|process| process.memory);
        let ours: Size = ours.sum();
        if ours > Size::ZERO {
            return Some(ours);
        }
        // Another known process is on the card: the growth is not the holder's alone.
        let known = listed.iter().any(|process| probe_ancestry(process.pid).is_some());
        let used = self.driver.memory(uuid).ok().flatten()?.used;
        base.filter(|_| !known).map(|base| used.saturating_sub(base)).filter(|used| *used > Size::ZERO)
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<LeaseId, MeteredLease>> {
        self.metered.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
