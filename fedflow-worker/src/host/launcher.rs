//! `HostLauncher`: the engine's way to the workers.

use std::sync::{Arc, Mutex, TryLockError};

use fedflow_core::{Assignment, Dict, Lease, Severity, WorkerId};

use crate::host::input_queue::Post;
use crate::host::memory::host_sampler::SamplerThread;
use crate::host::supervision::worker_table::{Notice, Overseer};

/// Starts workers and tells them what to do: the half of the [`Host`](super::Host) that takes orders.
///
/// No call blocks; what follows from an order happens while somebody waits in the [`HostInbox`](super::HostInbox). Dropping it kills every
/// worker that is left and waits for that, at most a few seconds.
#[derive(Debug)]
pub(crate) struct HostLauncher {
    pub(crate) overseer: Arc<Mutex<Overseer>>,
    pub(crate) post: Post,
    pub(crate) _sampling: Option<SamplerThread>,
}

impl HostLauncher {
    fn order(&self, order: Notice) {
        match self.overseer.try_lock() {
            Ok(mut overseer) => overseer.order(order),
            // Another thread waits in the inbox, and will see to it.
            Err(_) => self.post.notify(order),
        }
    }
}

impl HostLauncher {
    pub(crate) fn start(&mut self, worker: WorkerId, assignment: Assignment) {
        self.order(Notice::Start { worker, assignment: Arc::new(assignment) });
    }

    pub(crate) fn load(&mut self, worker: WorkerId) {
        self.order(Notice::Load(worker));
    }

    pub(crate) fn train(&mut self, worker: WorkerId, lease: &Lease, params: &Dict) {
        self.order(Notice::Train { worker, lease: lease.clone(), params: params.clone() });
    }

    pub(crate) fn keep(&mut self, worker: WorkerId) {
        self.order(Notice::Keep(worker));
    }

    pub(crate) fn hand_over(&mut self, from: WorkerId, to: WorkerId, assignment: Assignment) {
        self.order(Notice::HandOver { from, to, assignment: Arc::new(assignment) });
    }

    pub(crate) fn end(&mut self, worker: WorkerId, severity: Severity) {
        self.order(match severity {
            Severity::Asked => Notice::Exit(worker),
            Severity::Terminated => Notice::Terminate(worker),
            Severity::Killed => Notice::Kill(worker),
        });
    }
}

impl Drop for HostLauncher {
    fn drop(&mut self) {
        loop {
            match self.overseer.try_lock() {
                Ok(mut overseer) => return overseer.shut_down(),
                Err(TryLockError::Poisoned(poisoned)) => return poisoned.into_inner().shut_down(),
                // Another thread waits in the inbox; from now on it does not do so with the lock in its hand.
                Err(TryLockError::WouldBlock) => {
                    self.post.begin_closing();
                    std::thread::yield_now();
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::channel;
    use std::thread;
    use std::time::Duration;

    use crate::host::{Host, HostOptions};

    #[test]
    fn it_can_be_dropped_while_another_thread_waits_in_the_inbox() {
        let root = tempfile::tempdir().unwrap();
        let options = HostOptions { sample_interval: None, ..HostOptions::new(root.path()) };
        let (Host { launcher, mut inbox }, _handle) = Host::start(options).unwrap();
        // It never ends: what it waits for does not come.
        thread::spawn(move || {
            loop {
                inbox.next(None);
            }
        });
        while launcher.overseer.try_lock().is_ok() {
            thread::yield_now();
        }
        let (dropped, told) = channel();
        thread::spawn(move || {
            drop(launcher);
            dropped.send(()).unwrap();
        });
        told.recv_timeout(Duration::from_secs(60)).unwrap();
    }
}
