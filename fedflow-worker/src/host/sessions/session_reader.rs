//! `SessionReader`: hears one worker, whatever protocol it speaks.

use std::os::fd::OwnedFd;
use std::panic::{self, AssertUnwindSafe};
use std::path::PathBuf;
use std::sync::Arc;

use fedflow_core::Assignment;

use crate::host::cause::Cause;
use crate::host::sessions::ipc::ipc_reader::IpcReader;
use crate::host::sessions::json::json_reader::JsonReader;
use crate::host::sessions::link::Link;
use crate::host::sessions::listener::Listener;
use crate::host::setup::context::HostContext;
use crate::host::setup::options::Protocol;

/// What the reader of a worker needs.
pub(crate) struct SessionReader {
    pub(crate) context: Arc<HostContext>,
    pub(crate) listener: Arc<Listener>,
    /// The first task, which it gives the worker.
    pub(crate) assignment: Arc<Assignment>,
    pub(crate) protocol: Protocol,
    /// The supervisor's end of the worker's standard input.
    pub(crate) socket: Arc<OwnedFd>,
    /// The secret by which a Rust worker is recognised.
    pub(crate) token: String,
    /// The worker's private directory.
    pub(crate) private: PathBuf,
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
        let Self { context, listener, assignment, protocol, socket, token, private } = self;
        match protocol {
            Protocol::Ipc => IpcReader { context, listener, assignment, socket, token, private }
                .run(|link| connected(Link::Ipc(link))),
            Protocol::Json => {
                JsonReader { context, listener, assignment, socket }.run(|lines| connected(Link::Json(lines)))
            }
        }
    }
}
