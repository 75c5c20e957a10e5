//! The one file that creates processes, signals them and waits for them.
//!
//! Every process leads a group of its own, so that its helpers end with it. No process is started by `fork`: copying a large
//! supervisor takes a hundred times as long as `posix_spawn`. What must happen inside the child, a Rust worker does itself.

pub(crate) mod environment;
mod posix_spawn;

use std::collections::BTreeSet;
use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError, RwLock};

use fedflow_core::{ProcessId, Size};
use rustix::io::Errno;
use rustix::process::{
    Pid, PidfdFlags, Signal, WaitId, WaitIdOptions, kill_process_group, pidfd_open, waitid,
};

use self::environment::Environment;
use self::posix_spawn::Start;
use super::own_process::own_children;
use super::process_identity::probe_stat;
use super::{killing, process_tree};

/// The numbers of the processes that were started here and are not reaped yet. There is one list for the whole program, as
/// the kernel has one. Locked while a process is reaped.
static FAMILY: Mutex<BTreeSet<u32>> = Mutex::new(BTreeSet::new());

/// Locked for reading while a process is started, as the process lives before its number is known. A caller that must know
/// every number tries briefly to lock it for writing; starts never wait.
static STARTING: RwLock<()> = RwLock::new(());

/// How often a caller tries to lock [`STARTING`] for writing.
const WRITE_TRIES: u32 = 1000;

/// A process to be started.
pub(crate) struct Launch<'a> {
    /// Program and arguments. A program with a separator is relative to `base_dir`.
    pub(crate) command: &'a [String],
    pub(crate) base_dir: &'a Path,
    pub(crate) current_dir: &'a Path,
    pub(crate) environment: &'a Environment,
    /// Its standard input, output and error.
    pub(crate) streams: [BorrowedFd<'a>; 3],
}

/// Why a process could not be started.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SpawnError {
    #[error("the command is empty")]
    Empty,
    #[error("there is no program {0:?} in PATH")]
    NotFound(String),
    #[error("cannot start {}: {source}", program.display())]
    Start { program: PathBuf, source: io::Error },
}

/// Starts a process as the leader of a new group.
///
/// Its parent, in the sense of the kernel's parent-death signal, is the calling thread.
pub(crate) fn spawn(launch: Launch<'_>) -> Result<Process, SpawnError> {
    let Some(name) = launch.command.first() else { return Err(SpawnError::Empty) };
    let program = resolve(name, launch.base_dir, launch.environment)?;
    let failed = |source| SpawnError::Start { program: program.clone(), source };
    let start = Start {
        program: &program,
        arguments: launch.command,
        environment: launch.environment,
        current_dir: launch.current_dir,
        streams: launch.streams,
    };
    let _starting = STARTING.read().unwrap_or_else(PoisonError::into_inner);
    let pid = start.start().map_err(failed)?;
    // Only this file waits for the process, so the number stays its own until it is reaped.
    let pidfd = pidfd_open(pid, PidfdFlags::empty()).map_err(|error| {
        let _ = kill_process_group(pid, Signal::KILL);
        let _ = waitid(WaitId::Pid(pid), WaitIdOptions::EXITED);
        failed(error.into())
    })?;
    let process = Process { pid, pidfd };
    family().insert(process.number());
    Ok(process)
}

fn family() -> MutexGuard<'static, BTreeSet<u32>> {
    FAMILY.lock().unwrap_or_else(PoisonError::into_inner)
}

fn resolve(name: &str, base_dir: &Path, environment: &Environment) -> Result<PathBuf, SpawnError> {
    if name.contains('/') {
        return Ok(base_dir.join(name));
    }
    environment.find_program(OsStr::new(name)).ok_or_else(|| SpawnError::NotFound(name.to_owned()))
}

/// A process that was started and not yet reaped: until then its number and its group's number are its own.
#[derive(Debug)]
pub(crate) struct Process {
    pid: Pid,
    pidfd: OwnedFd,
}

/// The living children of this program that were not started here: orphans of processes that have ended, if this program is
/// a subreaper. Those that have ended are reaped.
///
/// # Errors
/// `/proc` cannot be read.
pub(crate) fn strangers() -> io::Result<Vec<u32>> {
    let mut strangers = own_children::adopted()?;
    strangers.retain(|pid| !family().contains(pid));
    if strangers.is_empty() {
        return Ok(strangers);
    }
    // A number that was not known may be of a process that is just being started. If that takes long, as from a slow file
    // system, the caller has to come again.
    if !(0..WRITE_TRIES).any(|_| STARTING.try_write().is_ok() || yields()) {
        return Ok(Vec::new());
    }
    let family = family();
    strangers.retain(|pid| !family.contains(pid) && !reap(*pid));
    Ok(strangers)
}

/// Whether this program may have [`strangers`]. Does not wait.
pub(crate) fn may_have_strangers() -> bool {
    own_children::adopted().is_ok_and(|children| children.iter().any(|pid| !family().contains(pid)))
}

/// Lets other threads run. Returns false, for use in a condition.
fn yields() -> bool {
    std::thread::yield_now();
    false
}

/// Reaps a child if it has ended. Returns whether it is gone.
fn reap(pid: u32) -> bool {
    let Some(pid) = i32::try_from(pid).ok().and_then(Pid::from_raw) else { return true };
    !matches!(waitid(WaitId::Pid(pid), WaitIdOptions::EXITED | WaitIdOptions::NOHANG), Ok(None))
}

/// Reaps a child that has ended. Returns the most memory that it has used.
fn reap_with_peak(pid: Pid) -> Option<Size> {
    let mut usage = std::mem::MaybeUninit::<libc::rusage>::zeroed();
    let mut status = 0;
    // SAFETY: the pointers are to a status and a usage of the types that the call writes, and zeroed bytes are a usage.
    // Neither std nor rustix has a call that waits for a child and says what it has used.
    let (reaped, usage) = unsafe {
        let pid = pid.as_raw_nonzero().get();
        (libc::wait4(pid, &raw mut status, libc::WNOHANG, usage.as_mut_ptr()), usage.assume_init())
    };
    if reaped > 0 { peak_in(&usage) } else { None }
}

/// The most memory that this program has used. The kernel counts that as the first peak of every process it starts.
pub(crate) fn own_peak() -> Option<Size> {
    let mut usage = std::mem::MaybeUninit::<libc::rusage>::zeroed();
    // SAFETY: the pointer is to a usage of the type that the call writes, and zeroed bytes are a usage. Neither std nor
    // rustix has such a call, and the kernel's text that says the same takes ten times as long.
    let usage = unsafe {
        libc::getrusage(libc::RUSAGE_SELF, usage.as_mut_ptr());
        usage.assume_init()
    };
    peak_in(&usage)
}

fn peak_in(usage: &libc::rusage) -> Option<Size> {
    let kilobytes = u64::try_from(usage.ru_maxrss).ok()?;
    Some(Size::from_bytes(kilobytes.saturating_mul(1024)))
}

/// How a process ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ending {
    /// It exited with a code.
    Code(i32),
    /// A signal ended it.
    Signal(i32),
}

impl Process {
    /// Sends a signal to the process's whole group.
    pub(crate) fn signal_group(&self, signal: Signal) {
        // The group may hold only its dead leader, which is no error.
        let _ = kill_process_group(self.pid, signal);
    }

    /// How the process ended; `None` while it runs. It is not reaped yet, so its group can still be signalled.
    pub(crate) fn ending(&self) -> Option<Ending> {
        let options = WaitIdOptions::EXITED | WaitIdOptions::NOWAIT | WaitIdOptions::NOHANG;
        loop {
            match waitid(WaitId::PidFd(self.pidfd.as_fd()), options) {
                Ok(status) => {
                    let status = status?;
                    return Some(match (status.exit_status(), status.terminating_signal()) {
                        (_, Some(signal)) => Ending::Signal(signal),
                        (code, None) => Ending::Code(code.unwrap_or(-1)),
                    });
                }
                Err(Errno::INTR) => {}
                // Another part of the program has waited for it: all that is known is that it ended.
                Err(_) => return Some(Ending::Code(-1)),
            }
        }
    }

    /// Kills what is left of its group, then reaps it. Call it once it has ended. Returns the most memory that it, or
    /// a process that it has waited for, has used; what this program itself had used when it started it counts as well.
    pub(crate) fn finish(self) -> Option<Size> {
        self.signal_group(Signal::KILL);
        let wait = |options| waitid(WaitId::PidFd(self.pidfd.as_fd()), WaitIdOptions::EXITED | options);
        while matches!(wait(WaitIdOptions::NOWAIT), Err(Errno::INTR)) {}
        let mut family = family();
        let peak = reap_with_peak(self.pid);
        family.remove(&self.number());
        peak
    }

    /// The process's number.
    pub(crate) fn number(&self) -> u32 {
        self.pid.as_raw_nonzero().get().unsigned_abs()
    }

    /// Whether it is sure to have no child: it has no more than `threads` threads, of which only the main one starts
    /// processes, and that has none.
    pub(crate) fn is_childless(&self, threads: u64) -> bool {
        own_children::is_childless(self.number(), threads)
    }

    /// The descendants of the process now, in its group or not. Once the process has ended, they no longer descend from it.
    pub(crate) fn descendants(&self) -> Vec<ProcessId> {
        process_tree::descendants(self.number(), &[]).unwrap_or_default()
    }

    /// Sends a signal to those of these processes that are not in its group.
    pub(crate) fn signal_outside_group(&self, processes: &[ProcessId], signals: &[Signal]) {
        let is_outside = |process: &&ProcessId| {
            probe_stat(process.pid).is_ok_and(|stat| stat.id == **process && stat.group != self.number())
        };
        let outside: Vec<ProcessId> = processes.iter().filter(is_outside).copied().collect();
        killing::signal(&outside, signals);
    }

    /// Stops it and all that descends from it.
    pub(crate) fn pause(&self) {
        self.signal_group(Signal::STOP);
        killing::signal(&self.descendants(), &[Signal::STOP]);
    }

    /// Lets it and all that descends from it go on.
    pub(crate) fn resume(&self) {
        killing::signal(&self.descendants(), &[Signal::CONT]);
        self.signal_group(Signal::CONT);
    }
}

impl AsFd for Process {
    /// Readable when the process has ended.
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.pidfd.as_fd()
    }
}

impl std::fmt::Display for Ending {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Code(code) => write!(f, "exit code {code}"),
            Self::Signal(signal) => match signal_name(*signal) {
                Some(name) => write!(f, "signal {signal} ({name})"),
                None => write!(f, "signal {signal}"),
            },
        }
    }
}

fn signal_name(signal: i32) -> Option<&'static str> {
    const NAMES: [(Signal, &str); 16] = [
        (Signal::HUP, "SIGHUP"),
        (Signal::INT, "SIGINT"),
        (Signal::QUIT, "SIGQUIT"),
        (Signal::ILL, "SIGILL"),
        (Signal::TRAP, "SIGTRAP"),
        (Signal::ABORT, "SIGABRT"),
        (Signal::BUS, "SIGBUS"),
        (Signal::FPE, "SIGFPE"),
        (Signal::KILL, "SIGKILL"),
        (Signal::USR1, "SIGUSR1"),
        (Signal::SEGV, "SIGSEGV"),
        (Signal::PIPE, "SIGPIPE"),
        (Signal::ALARM, "SIGALRM"),
        (Signal::TERM, "SIGTERM"),
        (Signal::XCPU, "SIGXCPU"),
        (Signal::XFSZ, "SIGXFSZ"),
    ];
    NAMES.iter().find(|(known, _)| known.as_raw() == signal).map(|(_, name)| *name)
}

/// A descriptor of `/dev/null`, for a stream without a reader or writer.
pub(crate) fn null() -> io::Result<OwnedFd> {
    Ok(File::options().read(true).write(true).open("/dev/null")?.into())
}

/// The running program's own file, for a binary that is supervisor and worker in one. The kernel names it, so it is found
/// even if the file was replaced meanwhile.
pub(crate) fn own_program() -> OsString {
    std::env::current_exe().map_or_else(|_| "/proc/self/exe".into(), PathBuf::into_os_string)
}
