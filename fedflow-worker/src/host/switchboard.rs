//! `Switchboard`: the ways to workers that can be told at once, without a detour over the thread that knows them all.
//!
//! Loading and training are told so: they come once for each task and never block. Whatever may end a worker goes to the
//! overseer, and so does an order for a worker that is not on the board.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use fedflow_core::{Dict, Lease, WorkerId};

use super::link::{Link, Unreachable};
use super::listener::{Listener, Phase};

/// A way that several threads use in turn.
pub(super) type SharedLink = Arc<Mutex<Link>>;

/// Who can be told at once. A clone is the same board.
#[derive(Clone, Default)]
pub(super) struct Switchboard(Arc<Mutex<BTreeMap<WorkerId, Way>>>);

struct Way {
    link: SharedLink,
    listener: Arc<Listener>,
}

/// What became of an order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Told {
    Yes,
    /// The overseer has to see to it.
    No,
    /// The worker's channel is closed.
    Lost,
}

impl Switchboard {
    pub(super) fn connect(&self, worker: WorkerId, link: &SharedLink, listener: &Arc<Listener>) {
        let way = Way { link: Arc::clone(link), listener: Arc::clone(listener) };
        self.lock().insert(worker, way);
    }

    pub(super) fn disconnect(&self, worker: WorkerId) {
        self.lock().remove(&worker);
    }

    pub(super) fn load(&self, worker: WorkerId) -> Told {
        self.tell(worker, Phase::Loading, |link| Some(link.load()))
    }

    pub(super) fn train(&self, worker: WorkerId, lease: &Lease, params: &Dict) -> Told {
        self.tell(worker, Phase::Training, |link| link.train_at_once(lease, params))
    }

    fn tell(
        &self,
        worker: WorkerId,
        phase: Phase,
        order: impl FnOnce(&mut Link) -> Option<Result<(), Unreachable>>,
    ) -> Told {
        // Held meanwhile: who disconnects a worker knows that nothing is under way to it.
        let board = self.lock();
        let Some(way) = board.get(&worker) else { return Told::No };
        way.listener.expect(phase);
        match order(&mut lock_link(&way.link)) {
            Some(Ok(())) => Told::Yes,
            Some(Err(_)) => Told::Lost,
            None => Told::No,
        }
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<WorkerId, Way>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl std::fmt::Debug for Switchboard {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Switchboard")
    }
}

/// Takes a way for one order.
pub(super) fn lock_link(link: &SharedLink) -> MutexGuard<'_, Link> {
    link.lock().unwrap_or_else(PoisonError::into_inner)
}
