//! `CardMeter`: how much of a card the holder of a lease has used at most.
//!
//! NVML tells it by process, where the numbers of processes mean something: the holder's process and what came of it.
//! Where they do not, as in a container, all that is known is what the card has used since the lease was granted, and
//! that tells of the holder only while nobody else was on the card.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use fedflow_core::{Lease, LeaseId, Size};

use crate::machine::probe_ancestry;
use crate::nvml::Driver;

/// The use of real cards by lease. Cheap to clone; may be used from any thread.
#[derive(Debug, Clone)]
pub(crate) struct CardMeter {
    driver: Arc<Driver>,
    metered: Arc<Mutex<BTreeMap<LeaseId, Metered>>>,
}

#[derive(Debug, Clone)]
struct Metered {
    /// The cards by UUID, with what was used of each when the lease was granted, if nobody of ours was there.
    cards: Vec<(String, Option<Size>)>,
    /// The process that uses it.
    holder: Option<u32>,
    peak: Option<Size>,
}

impl CardMeter {
    pub(super) fn new(driver: Arc<Driver>) -> Self {
        Self { driver, metered: Arc::default() }
    }

    /// A lease was granted. Blocks for a call of NVIDIA's library for each of its cards.
    pub(super) fn granted(&self, lease: &Lease) {
        let uuids = lease.shares.iter().filter_map(|share| share.info.uuid.clone());
        let used = |uuid: &str| self.driver.memory(uuid).ok().flatten().map(|memory| memory.used);
        let cards: Vec<(String, Option<Size>)> = uuids.map(|uuid| (uuid.clone(), used(&uuid))).collect();
        let mut metered = self.lock();
        let mut alone = vec![true; cards.len()];
        for other in metered.values_mut() {
            for ((uuid, _), alone) in cards.iter().zip(&mut alone) {
                // From here on the card's use is not that of one of them: what was seen before stays.
                for (_, base) in other.cards.iter_mut().filter(|(theirs, _)| theirs == uuid) {
                    *base = None;
                    *alone = false;
                }
            }
        }
        let cards = cards.into_iter().zip(alone);
        let cards = cards.map(|((uuid, used), alone)| (uuid, used.filter(|_| alone))).collect();
        metered.insert(lease.id, Metered { cards, holder: None, peak: None });
    }

    /// The process that uses a lease.
    pub(crate) fn name_holder(&self, lease: LeaseId, pid: u32) {
        if let Some(metered) = self.lock().get_mut(&lease) {
            metered.holder = Some(pid);
        }
    }

    /// Nothing is used for a lease any more.
    pub(super) fn released(&self, lease: LeaseId) {
        self.lock().remove(&lease);
    }

    /// The most that the holder of a lease has used of a card, as far as somebody looked; it looks once more.
    pub(super) fn peak(&self, lease: LeaseId) -> Option<Size> {
        self.look(&[lease]);
        self.lock().get(&lease)?.peak
    }

    /// Looks at all leases; blocks for some calls of NVIDIA's library.
    pub(super) fn look_at_all(&self) {
        let leases: Vec<LeaseId> = self.lock().keys().copied().collect();
        self.look(&leases);
    }

    fn look(&self, leases: &[LeaseId]) {
        // Not under the lock: the library may take its time.
        let looked: Vec<(LeaseId, Metered)> = {
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

    /// What the holder uses now of the card of which it uses most.
    fn used_by(&self, metered: &Metered) -> Option<Size> {
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
        // Somebody else whom we know is on the card: what it has used since is not the holder's alone.
        let known = listed.iter().any(|process| probe_ancestry(process.pid).is_some());
        let used = self.driver.memory(uuid).ok().flatten()?.used;
        base.filter(|_| !known).map(|base| used.saturating_sub(base)).filter(|used| *used > Size::ZERO)
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<LeaseId, Metered>> {
        self.metered.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
