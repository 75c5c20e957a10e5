//! `HostLauncher`: the engine's way to the workers.

use std::sync::{Arc, Mutex, PoisonError, TryLockError};

use fedflow_core::{Assignment, Dict, Input, Launcher, Lease, WorkerId};

use super::overseer::{Notice, Overseer};
use super::post::Post;
use super::sampler::SamplerThread;

/// Starts workers and tells them what to do: the engine's [`Launcher`].
///
/// No call blocks; what follows from an order happens while somebody waits in the [`HostInbox`]. Dropping it kills every
/// worker that is left and waits for that, at most a few seconds.
#[derive(Debug)]
pub struct HostLauncher {
    pub(super) overseer: Arc<Mutex<Overseer>>,
    pub(super) post: Post,
    pub(super) _sampling: Option<SamplerThread>,
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

impl Launcher for HostLauncher {
    fn start(&mut self, worker: WorkerId, assignment: Assignment) {
        self.order(Notice::Start { worker, assignment: Arc::new(assignment) });
    }

    fn load(&mut self, worker: WorkerId) {
        self.order(Notice::Load(worker));
    }

    fn train(&mut self, worker: WorkerId, lease: &Lease, params: &Dict) {
        self.order(Notice::Train { worker, lease: lease.clone(), params: params.clone() });
    }

    fn keep(&mut self, worker: WorkerId) {
        self.order(Notice::Keep(worker));
    }

    fn hand_over(&mut self, from: WorkerId, to: WorkerId, assignment: Assignment) {
        self.order(Notice::HandOver { from, to, assignment: Arc::new(assignment) });
    }

    fn exit(&mut self, worker: WorkerId) {
        self.order(Notice::Exit(worker));
    }

    fn terminate(&mut self, worker: WorkerId) {
        self.order(Notice::Terminate(worker));
    }

    fn kill(&mut self, worker: WorkerId) {
        self.order(Notice::Kill(worker));
    }
}

impl Drop for HostLauncher {
    fn drop(&mut self) {
        if let Err(TryLockError::WouldBlock) = self.overseer.try_lock() {
            // Another thread waits in the inbox; it shall not do so for ever.
            self.post.put(Input::Timer);
        }
        self.overseer.lock().unwrap_or_else(PoisonError::into_inner).shut_down();
    }
}
