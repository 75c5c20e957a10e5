//! `SessionReader`: hears one worker, whatever protocol it speaks.

use std::panic::{self, AssertUnwindSafe};
use std::sync::Arc;

use fedflow_core::Assignment;

use crate::host::cause::Cause;
use crate::host::sessions::ipc::ipc_reader::IpcReader;
use crate::host::sessions::json::json_reader::JsonReader;
use crate::host::sessions::link::Link;
use crate::host::sessions::listener::Listener;
use crate::host::setup::context::HostContext;
use crate::host::starting::jobs::Meeting;

/// What the reader of a worker needs.
pub(crate) struct SessionReader {
    pub(crate) context: Arc<HostContext>,
    pub(crate) listener: Arc<Listener>,
    /// The first task, which it gives the worker.
    pub(crate) assignment: Arc<Assignment>,
    pub(crate) meeting: Meeting,
}

impl SessionReader {
    /// Runs until the worker's channel closes. `connected` is called with the way to the worker.
    ///
    /// # Errors
    /// The worker did not meet the protocol.
    pub(crate) fn run(self, connected: impl FnOnce(Link)) -> Result<(), Cause> {
        // Bytes that are no message can make ipc-channel panic: that ends this worker and nothing else.
        panic::catch_unwind(AssertUnwindSafe(|| self.hear(connected)))
            .unwrap_or_else(|_| Err(Cause::protocol("it sent something that cannot be read")))
    }

    fn hear(self, connected: impl FnOnce(Link)) -> Result<(), Cause> {
        let Self { context, listener, assignment, meeting: Meeting { socket, rendezvous } } = self;
        match rendezvous {
            Some(rendezvous) => IpcReader { context, listener, assignment, socket, rendezvous }
                .run(|link| connected(Link::Ipc(link))),
            None => {
                JsonReader { context, listener, assignment, socket }.run(|lines| connected(Link::Json(lines)))
            }
        }
    }
}
