//! How a worker ended, in words: the cause that was noticed, or what the kernel says of its process.

use std::sync::Arc;

use fedflow_core::{FailureKind, OomSigns, Stage};

use crate::host::memory::oom_kills::Killed;
use crate::host::sessions::listener::Cause;
use crate::processes::spawn::Ending;

/// What the supervisor asked of a worker's processes, the most severe last.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Asked {
    Nothing,
    /// To leave by itself.
    Exit,
    /// SIGTERM.
    Terminate,
    /// SIGKILL.
    Kill,
}

/// Puts a worker's end into words.
pub(crate) fn describe(cause: Option<Cause>, ending: Option<Ending>, asked: Asked, greeted: bool) -> Cause {
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
pub(crate) fn may_be_oom_kill(ending: Ending) -> bool {
    matches!(ending, Ending::Signal(9) | Ending::Code(137))
}

/// The end of a process that the kernel has killed for memory.
pub(crate) fn oom_kill(ending: Ending, killed: Killed) -> Cause {
    let message = match killed {
        Killed::InGroup => {
            format!("the kernel killed it, as the machine or its cgroup was out of memory ({ending})")
        }
        Killed::OnMachine => format!(
            "perhaps the kernel killed it: at that time the machine was out of memory and a process was killed ({ending})"
        ),
    };
    Cause::new(FailureKind::Oom, message)
}

/// The question whether a process that failed unasked was out of memory, though it did not say so.
pub(crate) struct OomCheck {
    signs: Arc<OomSigns>,
    stage: Stage,
    code: Option<u32>,
}

impl OomCheck {
    /// `None` if it did not fail, or has another cause.
    pub(crate) fn of(
        signs: Arc<OomSigns>,
        stage: Option<Stage>,
        cause: Option<&Cause>,
        ending: Option<Ending>,
        asked: Asked,
    ) -> Option<Self> {
        if cause.is_some() || asked != Asked::Nothing {
            return None;
        }
        let code = match ending? {
            Ending::Code(0) => return None,
            Ending::Code(code) => u32::try_from(code).ok(),
            // An exception that nobody catches aborts.
            Ending::Signal(_) => None,
        };
        Some(Self { signs, stage: stage?, code })
    }

    /// The end in words, given the last of what the process wrote to stderr.
    pub(crate) fn judge(self, described: Cause, stderr: &str) -> Cause {
        match self.signs.found(self.stage, self.code, stderr) {
            None => described,
            Some(sign) => {
                Cause::new(FailureKind::Oom, format!("out of memory, by {sign} ({})", described.message))
            }
        }
    }
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

    #[test]
    fn only_a_failure_unasked_is_taken_for_out_of_memory() {
        let check = |cause: Option<&Cause>, ending, asked| {
            let check = OomCheck::of(Arc::default(), Some(Stage::Train), cause, ending, asked)?;
            let judged = check.judge(Cause::new(FailureKind::Exit, "exit code 1"), "x CUDA out of memory. x");
            (judged.kind == FailureKind::Oom).then_some(judged.message)
        };
        let said = check(None, Some(Ending::Code(1)), Asked::Nothing).unwrap();
        assert_eq!(said, "out of memory, by \"CUDA out of memory\" on stderr (exit code 1)");
        assert!(check(None, Some(Ending::Signal(6)), Asked::Nothing).is_some());
        assert_eq!(check(None, Some(Ending::Code(0)), Asked::Nothing), None, "it only talks of it");
        assert_eq!(check(None, Some(Ending::Code(1)), Asked::Terminate), None);
        let other = Cause::protocol("it sent nonsense");
        assert_eq!(check(Some(&other), Some(Ending::Code(1)), Asked::Nothing), None);
        assert_eq!(check(None, None, Asked::Nothing), None);
    }
}
