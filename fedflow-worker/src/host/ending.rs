//! How a worker ended, in words: the cause that was noticed, or what the kernel says of its process.

use fedflow_core::FailureKind;

use super::listener::Cause;
use crate::spawn::Ending;

/// What the supervisor asked of a worker's processes, the most severe last.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Asked {
    Nothing,
    /// To leave by itself.
    Exit,
    /// SIGTERM.
    Terminate,
    /// SIGKILL.
    Kill,
}

/// Puts a worker's end into words.
pub(super) fn describe(cause: Option<Cause>, ending: Option<Ending>, asked: Asked, greeted: bool) -> Cause {
    if let Some(cause) = cause {
        return cause;
    }
    match ending {
        Some(Ending::Signal(signal)) => {
            let ours = match asked {
                Asked::Kill => matches!(signal, 9 | 15),
                Asked::Terminate => signal == 15,
                Asked::Exit | Asked::Nothing => false,
            };
            let by = if ours { ", sent by Fedflow" } else { "" };
            Cause::new(FailureKind::Killed, format!("{}{by}", Ending::Signal(signal)))
        }
        Some(ending @ Ending::Code(0)) if asked == Asked::Nothing => {
            let without = if greeted { "a result" } else { "saying hello" };
            Cause::new(FailureKind::Exit, format!("it left without {without} ({ending})"))
        }
        Some(ending) => Cause::new(FailureKind::Exit, ending.to_string()),
        // A command task between two phases.
        None if asked == Asked::Exit => Cause::new(FailureKind::Exit, Ending::Code(0).to_string()),
        None => Cause::new(FailureKind::Killed, "ended by Fedflow while no process of it ran"),
    }
}

/// Whether the kernel may have killed a process for memory, or the last child of a shell, which ends as that did.
pub(super) fn may_be_oom_kill(ending: Ending) -> bool {
    matches!(ending, Ending::Signal(9) | Ending::Code(137))
}

/// The end of a process that the kernel has killed for memory.
pub(super) fn oom_kill(ending: Ending) -> Cause {
    let message = format!("the kernel killed it, as the machine or its cgroup was out of memory ({ending})");
    Cause::new(FailureKind::Oom, message)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(ending: Ending, asked: Asked) -> String {
        describe(None, Some(ending), asked, true).message
    }

    #[test]
    fn a_signal_of_ours_is_told_apart() {
        assert_eq!(message(Ending::Signal(9), Asked::Nothing), "signal 9 (SIGKILL)");
        assert_eq!(message(Ending::Signal(9), Asked::Terminate), "signal 9 (SIGKILL)");
        assert_eq!(message(Ending::Signal(9), Asked::Kill), "signal 9 (SIGKILL), sent by Fedflow");
        assert_eq!(message(Ending::Signal(15), Asked::Terminate), "signal 15 (SIGTERM), sent by Fedflow");
        assert_eq!(message(Ending::Signal(11), Asked::Kill), "signal 11 (SIGSEGV)");
        assert_eq!(message(Ending::Signal(64), Asked::Nothing), "signal 64");
    }

    #[test]
    fn an_exit_says_what_was_missing() {
        assert_eq!(message(Ending::Code(0), Asked::Nothing), "it left without a result (exit code 0)");
        assert_eq!(message(Ending::Code(0), Asked::Exit), "exit code 0");
        assert_eq!(message(Ending::Code(3), Asked::Nothing), "exit code 3");
        let mute = describe(None, Some(Ending::Code(0)), Asked::Nothing, false);
        assert_eq!(mute.message, "it left without saying hello (exit code 0)");
    }
}
