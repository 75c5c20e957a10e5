//! The life line: a worker whose supervisor is gone ends itself and everything that it started.

use std::io;
use std::os::fd::OwnedFd;
use std::thread;

use rustix::io::Errno;
use rustix::process::{Signal, kill_current_process_group};

/// Watches the socket whose other end the supervisor holds. The kernel closes it when the supervisor ends, whatever the
/// cause; then the worker's own process group is killed, helpers included.
pub(super) fn watch(socket: OwnedFd) -> io::Result<()> {
    thread::Builder::new().name("fedflow-lifeline".into()).stack_size(64 * 1024).spawn(move || {
        let mut byte = [0_u8; 64];
        loop {
            match rustix::io::read(&socket, &mut byte) {
                Ok(0) => break,
                // Nothing is ever sent here; a later version may.
                Ok(_) | Err(Errno::INTR) => {}
                Err(_) => break,
            }
        }
        let _ = kill_current_process_group(Signal::KILL);
    })?;
    Ok(())
}
