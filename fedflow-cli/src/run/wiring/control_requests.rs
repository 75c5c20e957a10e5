//! Control requests: what `fedflow stop` asks of a run from another terminal.

use fedflow_core::StopLevel;
use fedflow_worker::HostHandle;
use fedflow_worker::store::{ControlRequest, ControlSocket, RunLock};

use super::wait_board::WaitBoard;
use crate::run::notice::Notices;

/// Listens for control requests until the socket is dropped. The run goes on without it where the file system has no
/// sockets.
pub(super) fn take_control_requests(
    lock: &RunLock,
    host: HostHandle,
    notices: &Notices,
    waits: WaitBoard,
) -> Option<ControlSocket> {
    let told = notices.clone();
    let carry_out = move |request| match request {
        ControlRequest::Stop(level) => {
            let how = match level {
                StopLevel::Graceful => "running tasks are asked to end",
                StopLevel::AtOnce => "running tasks are killed",
            };
            told.stopping(format_args!("stopping, as `fedflow stop` says: {how}"));
            host.stop(level);
        }
        ControlRequest::Cancel { group, task } => host.cancel(group, task),
    };
    let opened = ControlSocket::open(lock, carry_out, move || waits.now());
    opened.map_err(|error| notices.warn(format_args!("`fedflow stop` will not reach this run: {error}"))).ok()
}
