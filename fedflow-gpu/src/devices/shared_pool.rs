//! `SharedPool`: a pool that several threads lease from.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use fedflow_core::{DevicePool, LeaseId};

use super::lease_queue::LeaseQueue;
use crate::pool::{LeaseHolders, Pool, ReleaseWatch};
use crate::problems::OpenError;

/// How often real cards are read for memory that foreign programs free, which causes no event.
const READING_INTERVAL: Duration = Duration::from_secs(1);

/// A pool, the threads that wait for its devices, and the watch that wakes them.
#[derive(Debug)]
pub(super) struct SharedPool {
    /// Dropped first: it ends the thread that watches the pool's ledger.
    _watch: Option<ReleaseWatch>,
    pub(super) queue: Arc<LeaseQueue>,
    pub(super) holders: Option<LeaseHolders>,
    pool: Mutex<Pool>,
}

impl SharedPool {
    /// Starts the watch, so that a request that other processes keep waiting is always woken.
    pub(super) fn new(pool: Pool) -> Result<Self, OpenError> {
        let queue = Arc::new(LeaseQueue::default());
        let woken = Arc::clone(&queue);
        let watch = pool.start_watch(READING_INTERVAL, move || woken.note_release());
        let watch = watch.map_err(|error| OpenError::NoWatch(error.to_string()))?;
        Ok(Self { _watch: watch, queue, holders: pool.holders(), pool: Mutex::new(pool) })
    }

    pub(super) fn pool(&self) -> MutexGuard<'_, Pool> {
        self.pool.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Gives a lease back and wakes the requests that wait.
    pub(super) fn release(&self, lease: LeaseId) {
        {
            let mut pool = self.pool();
            pool.end_train(lease);
            pool.release(lease);
        }
        self.queue.note_release();
    }
}
