//! The outer process: it starts the supervisor, hands signals on, and ends what the supervisor leaves behind.

use std::io;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use fedflow_worker::own_processes::{end_descendants, own_children, remove_abandoned_directories};
use rustix::io::Errno;
use rustix::process::{
    Pid, Signal, WaitId, WaitIdOptions, WaitIdStatus, getpid, kill_process, set_child_subreaper, waitid,
};
use signal_hook::consts::{SIGCHLD, SIGCONT, SIGHUP, SIGINT, SIGTERM, SIGTSTP};
use signal_hook::iterator::Signals;

use super::supervisor_end::SupervisorEnd;
use crate::run::supervisor::process_environment::GUARD;
use crate::run::supervisor::signal_watch::is_ignored;

/// How long killed processes are waited for. Only the kernel can hold them.
const SWEEP: Duration = Duration::from_millis(2500);

/// Runs the supervisor to its end; nothing of its runs is left then.
pub(super) fn guard_supervisor() -> io::Result<SupervisorEnd> {
    set_child_subreaper(Some(getpid()))?;
    // A shell that becomes this program by `exec` may have started others before: they are not ours.
    let before = own_children()?;
    // Before the supervisor is there: what arrives in between is handed on to it.
    let mut signals = Signals::new(handled())?;
    let supervisor = start_supervisor()?;
    let status = attend(supervisor, &mut signals);
    let left = end_descendants(&before, SWEEP);
    // A supervisor that was killed has left its own.
    remove_abandoned_directories();
    let signal = status.as_ref().and_then(WaitIdStatus::terminating_signal);
    let code = status.as_ref().and_then(WaitIdStatus::exit_status);
    Ok(SupervisorEnd { code, signal, left })
}

/// The signals that are handed on. Those that were ignored when this program was started stay so, as under nohup.
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
    let supervisor =
        command.args(arguments).env(GUARD, std::process::id().to_string()).process_group(0).spawn()?;
    Ok(Pid::from_child(&supervisor))
}

/// Hands signals on to the supervisor until it has ended; its status then.
fn attend(supervisor: Pid, signals: &mut Signals) -> Option<WaitIdStatus> {
    let mut suspension = Suspension::None;
    for signal in signals.forever() {
        match signal {
            SIGCHLD => {
                while let Some(status) = changed(supervisor) {
                    if !status.stopped() {
                        return Some(status);
                    }
                    match std::mem::replace(&mut suspension, Suspension::None) {
                        // The supervisor alone was stopped; a guard that stops with it guards nothing.
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
    // The iterator ends only when its handle is closed, and there is none.
    None
}

fn send(process: Pid, signal: Signal) {
    // A supervisor cannot be told only if it is gone, and then its end is about to be seen.
    let _ = kill_process(process, signal);
}

/// How far a suspension of the run is.
#[derive(PartialEq)]
enum Suspension {
    None,
    /// The supervisor was told to stop and has not yet.
    Asked,
    /// It has to go on as soon as it has stopped.
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
