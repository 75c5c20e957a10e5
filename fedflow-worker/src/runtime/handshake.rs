//! The handshake of a worker's process: it closes what it inherited, says hello and gets its channels.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::PathBuf;

use ipc_channel::ipc::{IpcOneShotServer, IpcReceiver, IpcSender};
use rustix::io::Errno;
use rustix::process::{Signal, getppid, set_parent_process_death_signal};

use super::lifeline;
use super::task_kinds::Kinds;
use crate::processes::own_process::inheritance::unblock_signals;
use crate::processes::own_process::own_environment;
use crate::protocol::{Bootstrap, Hello, OLDEST_VERSION, ToHost, ToWorker, VERSION};

/// The two channels of the session.
pub(super) struct Channels {
    pub(super) commands: IpcReceiver<ToWorker>,
    pub(super) events: IpcSender<ToHost>,
}

/// Why a worker cannot begin its work.
#[derive(Debug, thiserror::Error)]
pub(super) enum BootstrapError {
    #[error(
        "`Worker::run` and `Worker::run_if_worker` must be called first in `main`, before any thread is started"
    )]
    Threads,
    #[error("the environment lacks {0}, which the supervisor sets")]
    Environment(&'static str),
    #[error("descriptor 0 is not the supervisor's socket")]
    NoSocket,
    #[error("the supervisor was gone before the worker had started")]
    Orphaned,
    #[error("cannot reach the supervisor: {0}")]
    Io(#[from] io::Error),
    #[error("the supervisor's answer cannot be read: {0}")]
    Answer(#[from] ipc_channel::IpcError),
    #[error("another process answered instead of the supervisor")]
    WrongToken,
    #[error(
        "the supervisor speaks version {0} of the worker protocol, this worker version {VERSION}; build both with the same fedflow-worker"
    )]
    Version(u32),
}

impl From<Errno> for BootstrapError {
    fn from(error: Errno) -> Self {
        Self::Io(error.into())
    }
}

/// Does the worker's part of the handshake. Blocks until the supervisor answers or ends.
pub(super) fn begin(kinds: &Kinds) -> Result<Channels, BootstrapError> {
    if !own_environment::is_single_threaded()? {
        return Err(BootstrapError::Threads);
    }
    let token = text_of(own_environment::TOKEN)?;
    let directory =
        own_environment::get(own_environment::BOOTSTRAP).map(PathBuf::from).ok_or(MISSING_BOOTSTRAP)?;
    close_inherited();
    // The supervisor may be part of a program that blocks signals.
    unblock_signals();
    die_with_supervisor(Some(Signal::KILL))?;
    let socket = take_socket()?;
    // SAFETY: there is no other thread, as was checked above; none was started since.
    let (server, name) =
        unsafe { own_environment::with_temporary_directory(&directory, IpcOneShotServer::<Bootstrap>::new) }?;
    // SAFETY: as above.
    unsafe { own_environment::forget_supervisor() };
    let kinds = kinds.names().into_iter().map(str::to_owned).collect();
    say_hello(&socket, Hello { version: VERSION, token: token.clone(), server: name, kinds })?;
    // From here on, the end of the supervisor ends this process, even while it waits for the answer.
    lifeline::watch(socket)?;
    // The signal would be faster than the life line, and kill this process before it has killed its helpers.
    die_with_supervisor(None)?;
    let (_server, answer) = server.accept()?;
    if answer.token != token {
        return Err(BootstrapError::WrongToken);
    }
    if !(OLDEST_VERSION..=VERSION).contains(&answer.version) {
        return Err(BootstrapError::Version(answer.version));
    }
    Ok(Channels { commands: answer.commands, events: answer.events })
}

const MISSING_BOOTSTRAP: BootstrapError = BootstrapError::Environment(own_environment::BOOTSTRAP);

fn text_of(name: &'static str) -> Result<String, BootstrapError> {
    own_environment::get(name)
        .and_then(|value| value.into_string().ok())
        .ok_or(BootstrapError::Environment(name))
}

/// Closes every descriptor but standard input, output and error. The supervisor's program may have had descriptors open that
/// are not meant for workers.
fn close_inherited() {
    // SAFETY: this is the first act of a process with one thread, documented as such on `Worker`: this program
    // has opened nothing yet. rustix has no such call. Where the kernel lacks it, nothing is closed.
    unsafe { libc::syscall(libc::SYS_close_range, 3_u32, u32::MAX, 0_u32) };
}

/// Sets the signal that the kernel sends this process when the supervisor's spawning thread ends; `None` for no signal.
fn die_with_supervisor(signal: Option<Signal>) -> Result<(), BootstrapError> {
    let parent = getppid();
    set_parent_process_death_signal(signal)?;
    // The supervisor may have ended just before, in which case no signal comes.
    if getppid() == parent { Ok(()) } else { Err(BootstrapError::Orphaned) }
}

/// Takes the socket from descriptor 0, which becomes `/dev/null` for the author's code.
fn take_socket() -> Result<OwnedFd, BootstrapError> {
    let stdin = io::stdin();
    let stdin = stdin.as_fd();
    if rustix::net::sockopt::socket_domain(stdin) != Ok(rustix::net::AddressFamily::UNIX) {
        return Err(BootstrapError::NoSocket);
    }
    let socket = rustix::io::fcntl_dupfd_cloexec(stdin, 3)?;
    let null = std::fs::File::open("/dev/null")?;
    rustix::stdio::dup2_stdin(&null)?;
    Ok(socket)
}

fn say_hello(socket: &OwnedFd, hello: Hello) -> Result<(), BootstrapError> {
    let line = hello.into_line();
    let mut rest = line.as_bytes();
    while !rest.is_empty() {
        match rustix::net::send(socket, rest, rustix::net::SendFlags::NOSIGNAL) {
            Ok(sent) => rest = &rest[sent..],
            Err(Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}
