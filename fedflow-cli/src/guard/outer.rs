//! The outer process: it starts the supervisor, hands signals on, and ends what the supervisor leaves behind.

use std::io;
use std::mem::MaybeUninit;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use fedflow_core::ProcessId;
use fedflow_worker::store::RunDir;
use fedflow_worker::{end_descendants, own_children};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::process::{
    Pid, Signal, WaitId, WaitIdOptions, WaitIdStatus, getpid, kill_process, set_child_subreaper, waitid,
};
use signal_hook::consts::{SIGCHLD, SIGCONT, SIGHUP, SIGINT, SIGTERM, SIGTSTP};
use signal_hook::iterator::Signals;

use crate::command_error::CommandError;
use crate::environment;
use crate::session::shown;
use crate::signals::is_ignored;

/// How long killed processes are waited for. Only the kernel can hold them.
const SWEEP: Duration = Duration::from_millis(2500);

/// Runs the supervisor and ends with it; nothing of the run is left then.
pub(super) fn guard_supervisor(run_dir: impl FnOnce() -> Option<PathBuf>) -> Result<(), CommandError> {
    let cannot = |error: io::Error| CommandError::failed(format!("cannot start the supervisor: {error}"));
    set_child_subreaper(Some(getpid())).map_err(|error| cannot(error.into()))?;
    // A shell that becomes this program by `exec` may have started others before: they are not ours.
    let before = own_children().map_err(cannot)?;
    // Before the supervisor is there: what arrives in between is handed on to it.
    let mut signals = Signals::new(handled()).map_err(cannot)?;
    let supervisor = start_supervisor().map_err(cannot)?;
    let ending = attend(supervisor, &mut signals);
    let left = end_descendants(&before, SWEEP);
    conclude(ending, left, run_dir)
}

/// The signals that are handed on. Those that were ignored when we were started stay so, as under nohup.
fn handled() -> impl Iterator<Item = i32> {
    let handed_on = [SIGINT, SIGTERM, SIGHUP, SIGTSTP].into_iter();
    let handed_on = handed_on.filter(|signal| !matches!(*signal, SIGHUP | SIGTSTP) || !is_ignored(*signal));
    handed_on.chain([SIGCONT, SIGCHLD])
}

fn start_supervisor() -> io::Result<Pid> {
    let program = std::env::current_exe().unwrap_or_else(|_| PathBuf::from("/proc/self/exe"));
    #[expect(clippy::disallowed_methods, reason = "the one place of this crate that starts a process")]
    let mut command = Command::new(program);
    let mut arguments = std::env::args_os();
    if let Some(name) = arguments.next() {
        command.arg0(name);
    }
    block_background_output();
    let supervisor = command
        .args(arguments)
        .env(environment::GUARD, std::process::id().to_string())
        .process_group(0)
        .spawn()?;
    Ok(Pid::from_child(&supervisor))
}

/// Lets the supervisor write to a terminal although it is not in its foreground group, also where `stty tostop`
/// would stop it for that: it inherits that SIGTTOU is blocked. Its workers do not.
fn block_background_output() {
    let mut set = MaybeUninit::<libc::sigset_t>::uninit();
    // SAFETY: `sigemptyset` initialises the set that it is given, and the other calls use it then; they only fail for
    // arguments that are not these. Neither std nor rustix nor signal-hook has such a call.
    unsafe {
        libc::sigemptyset(set.as_mut_ptr());
        libc::sigaddset(set.as_mut_ptr(), libc::SIGTTOU);
        libc::pthread_sigmask(libc::SIG_BLOCK, set.as_ptr(), std::ptr::null_mut());
    }
}

/// How the supervisor ended.
enum Ending {
    Code(i32),
    Signal(i32),
}

/// Hands signals on to the supervisor until it has ended.
fn attend(supervisor: Pid, signals: &mut Signals) -> Ending {
    let mut suspension = Suspension::None;
    for signal in signals.forever() {
        match signal {
            SIGCHLD => {
                while let Some(status) = changed(supervisor) {
                    if !status.stopped() {
                        return ending(&status);
                    }
                    match std::mem::replace(&mut suspension, Suspension::None) {
                        // Somebody has stopped the supervisor alone; a guard that stops with it guards nothing.
                        Suspension::None => {}
                        // Now that it stands still with its workers, so do we: the shell shows `Stopped`.
                        Suspension::Asked => send(getpid(), Signal::STOP),
                        Suspension::Revoked => send(supervisor, Signal::CONT),
                    }
                }
            }
            SIGTSTP => {
                suspension = Suspension::Asked;
                send(supervisor, Signal::TSTP);
            }
            // It would be lost on a supervisor that has not stopped yet.
            SIGCONT if suspension != Suspension::None => suspension = Suspension::Revoked,
            other => {
                if let Some(signal) = Signal::from_named_raw(other) {
                    send(supervisor, signal);
                }
            }
        }
    }
    // The iterator ends only when its handle is closed, and nobody has one.
    Ending::Code(3)
}

fn send(process: Pid, signal: Signal) {
    // A supervisor cannot be told only if it is gone, and then its end is about to be seen.
    let _ = kill_process(process, signal);
}

/// What became of a wish to suspend the run.
#[derive(PartialEq)]
enum Suspension {
    None,
    /// The supervisor was told and has not stopped yet.
    Asked,
    /// It shall go on as soon as it has stopped.
    Revoked,
}

/// What has happened to the supervisor, if anything has.
fn changed(supervisor: Pid) -> Option<WaitIdStatus> {
    let options = WaitIdOptions::EXITED | WaitIdOptions::STOPPED | WaitIdOptions::NOHANG;
    loop {
        match waitid(WaitId::Pid(supervisor), options) {
            Err(Errno::INTR) => {}
            status => return status.ok().flatten(),
        }
    }
}

fn ending(status: &WaitIdStatus) -> Ending {
    match (status.terminating_signal(), status.exit_status()) {
        (Some(signal), _) => Ending::Signal(signal),
        (None, code) => Ending::Code(code.unwrap_or(3)),
    }
}

/// Ends as the supervisor did, and says what it could not say itself.
fn conclude(
    ending: Ending,
    left: io::Result<Vec<ProcessId>>,
    run_dir: impl FnOnce() -> Option<PathBuf>,
) -> Result<(), CommandError> {
    match left {
        Ok(left) if left.is_empty() => {}
        Ok(left) => {
            let pids: Vec<String> = left.iter().map(|process| process.pid.to_string()).collect();
            say(&format!("warning: processes of the run could not be ended: {}", pids.join(", ")));
        }
        Err(error) => say(&format!("warning: cannot tell whether processes of the run are left: {error}")),
    }
    match ending {
        Ending::Code(0) => Ok(()),
        Ending::Code(code) => Err(CommandError::Told { code: u8::try_from(code).unwrap_or(u8::MAX) }),
        Ending::Signal(signal) => {
            say(&format!(
                "error: the supervisor was killed by signal {signal}; every process of the run was ended"
            ));
            // It may have been killed before there was a run.
            if let Some(run_dir) = run_dir().and_then(|run_dir| RunDir::open(run_dir).ok()) {
                say(&format!("hint: go on with `fedflow resume {}`", shown(run_dir.path())));
            }
            Err(CommandError::Stopped { signal })
        }
    }
}

/// Says something on stderr, unless nobody reads there: the guard must not be the process that is left.
fn say(text: &str) {
    let stderr = io::stderr();
    let mut descriptors = [PollFd::new(&stderr, PollFlags::OUT)];
    if poll(&mut descriptors, Some(&Timespec::default())).is_ok_and(|ready| ready > 0) {
        crate::stderr::say(text);
    }
}
