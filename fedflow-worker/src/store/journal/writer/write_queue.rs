//! What waits to be written, between the callers that record and the thread that writes.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// What waits to be written, and the signal for the thread that writes.
#[derive(Debug)]
pub(super) struct WriteQueue {
    waiting: Mutex<Batch>,
    wake: Condvar,
    /// The number of the last record that is on the disk, with all before it.
    durable: AtomicU64,
}

/// What waits to be written.
#[derive(Debug, Default)]
pub(super) struct Batch {
    pub(super) lines: Vec<u8>,
    /// Events too large for a line, with their records' numbers.
    pub(super) outside: Vec<(u64, Vec<u8>)>,
    /// The engine's number of the last record in it.
    pub(super) number: u64,
    /// The journal's number of the last record in it, or before it.
    pub(super) seq: u64,
    pub(super) sync: bool,
    /// Why the last record could not be encoded.
    pub(super) broken: Option<String>,
    /// No more will come.
    pub(super) closed: bool,
    /// Nothing can be written any more.
    pub(super) failed: bool,
    /// A caller waits for it, so the thread does not rest.
    pub(super) urgent: bool,
    /// The thread sleeps until something comes.
    asleep: bool,
}

impl WriteQueue {
    /// Nothing waits. The records up to a number are on the disk.
    pub(super) fn after(durable: u64) -> Self {
        let waiting = Mutex::new(Batch { seq: durable, ..Batch::default() });
        Self { waiting, wake: Condvar::new(), durable: durable.into() }
    }

    /// The number of the last record that is known to be on the disk.
    pub(super) fn durable(&self) -> u64 {
        self.durable.load(Ordering::SeqCst)
    }

    /// The records up to a number are on the disk.
    pub(super) fn made_durable(&self, seq: u64) {
        self.durable.store(seq, Ordering::SeqCst);
    }

    /// A poisoned lock is taken over: no code under the lock panics, so the batch is never half changed.
    pub(super) fn waiting(&self) -> MutexGuard<'_, Batch> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Something has been put into the batch. The thread is woken only if it sleeps; a resting one wakes by itself.
    pub(super) fn came(&self, mut batch: MutexGuard<'_, Batch>) {
        let asleep = std::mem::take(&mut batch.asleep);
        drop(batch);
        if asleep {
            self.wake.notify_one();
        }
    }

    /// A caller needs now what waits, or is written and not synced yet.
    pub(super) fn hurry(&self) {
        self.waiting().urgent = true;
        self.wake.notify_one();
    }

    /// No more will come.
    pub(super) fn close(&self) {
        self.waiting().closed = true;
        self.wake.notify_one();
    }

    /// Rests, unless a caller is in a hurry. Then waits for at most `patience` until there is something to write or no more
    /// will come, and takes it. Leaves a buffer in exchange.
    pub(super) fn take(&self, buffer: Vec<u8>, rest: Duration, patience: Option<Duration>) -> Batch {
        let rests = |batch: &mut Batch| !batch.urgent && !batch.closed;
        let rested = self.wake.wait_timeout_while(self.waiting(), rest, rests);
        let (mut batch, _) = rested.unwrap_or_else(PoisonError::into_inner);
        batch.asleep = true;
        let mut batch = match patience {
            None => {
                let waits = |batch: &mut Batch| batch.is_empty() && !batch.closed;
                self.wake.wait_while(batch, waits).unwrap_or_else(PoisonError::into_inner)
            }
            Some(patience) => {
                let waits = |batch: &mut Batch| batch.is_empty() && rests(batch);
                self.wake.wait_timeout_while(batch, patience, waits).unwrap_or_else(PoisonError::into_inner).0
            }
        };
        let fresh = Batch {
            lines: buffer,
            number: batch.number,
            seq: batch.seq,
            closed: batch.closed,
            ..Batch::default()
        };
        std::mem::replace(&mut *batch, fresh)
    }

    /// Nothing can be written any more.
    pub(super) fn fail(&self) {
        *self.waiting() = Batch { failed: true, ..Batch::default() };
    }
}

impl Batch {
    pub(super) fn is_empty(&self) -> bool {
        self.lines.is_empty() && self.broken.is_none()
    }
}
