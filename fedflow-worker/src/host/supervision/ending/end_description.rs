//! How a worker ended, in words: the cause that was noticed, or what the kernel says of its process.

use fedflow_core::{FailureKind, Severity};

use crate::host::cause::Cause;
use crate::processes::spawn::Ending;

/// Puts a worker's end into words.
pub(crate) fn describe_end(
    cause: Option<Cause>,
    ending: Option<Ending>,
    asked: Option<Severity>,
    greeted: bool,
) -> Cause {
    if let Some(cause) = cause {
        return cause;
    }
    match ending {
        Some(Ending::Signal(signal)) => {
            let ours = match asked {
                Some(Severity::Killed) => matches!(signal, 9 | 15),
                Some(Severity::Terminated) => signal == 15,
                Some(Severity::Asked) | None => false,
            };
            let by = if ours { ", sent by Fedflow" } else { "" };
            Cause::new(FailureKind::Killed, format!("{}{by}", Ending::Signal(signal)))
        }
        Some(ending) if asked.is_none() && !greeted => {
            Cause::new(FailureKind::Exit, format!("it left without saying hello ({ending})"))
        }
        Some(ending @ Ending::Code(0)) if asked.is_none() => {
            Cause::new(FailureKind::Exit, format!("it left without a result ({ending})"))
        }
        Some(ending) => Cause::new(FailureKind::Exit, ending.to_string()),
        // A command task between two phases.
        None if asked == Some(Severity::Asked) => Cause::new(FailureKind::Exit, Ending::Code(0).to_string()),
        None => Cause::new(FailureKind::Killed, "ended by Fedflow while no process of it ran"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(ending: Ending, asked: Option<Severity>) -> String {
        describe_end(None, Some(ending), asked, true).message
    }

    #[test]
    fn a_signal_of_ours_is_told_apart() {
        assert_eq!(message(Ending::Signal(9), None), "signal 9 (SIGKILL)");
        assert_eq!(message(Ending::Signal(9), Some(Severity::Terminated)), "signal 9 (SIGKILL)");
        assert_eq!(message(Ending::Signal(9), Some(Severity::Killed)), "signal 9 (SIGKILL), sent by Fedflow");
        assert_eq!(
            message(Ending::Signal(15), Some(Severity::Terminated)),
            "signal 15 (SIGTERM), sent by Fedflow"
        );
        assert_eq!(message(Ending::Signal(11), Some(Severity::Killed)), "signal 11 (SIGSEGV)");
        assert_eq!(message(Ending::Signal(64), None), "signal 64");
    }

    #[test]
    fn an_exit_says_what_was_missing() {
        assert_eq!(message(Ending::Code(0), None), "it left without a result (exit code 0)");
        assert_eq!(message(Ending::Code(0), Some(Severity::Asked)), "exit code 0");
        assert_eq!(message(Ending::Code(3), None), "exit code 3");
        for code in [0, 1] {
            let mute = describe_end(None, Some(Ending::Code(code)), None, false);
            assert_eq!(mute.message, format!("it left without saying hello (exit code {code})"));
        }
    }
}
