//! Whether a process that died was out of memory: the kernel killed it, or its exit code or what it printed says so.

use std::sync::Arc;

use fedflow_core::{FailureKind, OomSigns, Severity, Stage};

use crate::host::cause::Cause;
use crate::host::memory::oom_kills::Killed;
use crate::processes::spawn::Ending;

/// Whether the kernel may have killed a process for memory, or the last child of a shell, which ends with the child's
/// code.
pub(crate) fn may_be_oom_kill(ending: Ending) -> bool {
    matches!(ending, Ending::Signal(9) | Ending::Code(137))
}

/// The cause of a process that the kernel has killed for memory.
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
        asked: Option<Severity>,
    ) -> Option<Self> {
        if cause.is_some() || asked.is_some() {
            return None;
        }
        let code = match ending? {
            Ending::Code(0) => return None,
            Ending::Code(code) => u32::try_from(code).ok(),
            // An exception that is not caught aborts.
            Ending::Signal(_) => None,
        };
        Some(Self { signs, stage: stage?, code })
    }

    /// The cause, given the ends of what the process printed, each with the name of its stream.
    pub(crate) fn judge(self, described: Cause, printed: [(&str, &str); 2]) -> Cause {
        match self.signs.found(self.stage, self.code, &printed) {
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

    #[test]
    fn only_a_failure_unasked_is_taken_for_out_of_memory() {
        let check = |cause: Option<&Cause>, ending, asked| {
            let check = OomCheck::of(Arc::default(), Some(Stage::Train), cause, ending, asked)?;
            let judged = check.judge(
                Cause::new(FailureKind::Exit, "exit code 1"),
                [("stderr", "x CUDA out of memory. x"), ("stdout", "")],
            );
            (judged.kind == FailureKind::Oom).then_some(judged.message)
        };
        let said = check(None, Some(Ending::Code(1)), None).unwrap();
        assert_eq!(said, "out of memory, by \"CUDA out of memory\" on stderr (exit code 1)");
        assert!(check(None, Some(Ending::Signal(6)), None).is_some());
        assert_eq!(check(None, Some(Ending::Code(0)), None), None, "it only talks of it");
        assert_eq!(check(None, Some(Ending::Code(1)), Some(Severity::Terminated)), None);
        let other = Cause::protocol("it sent nonsense");
        assert_eq!(check(Some(&other), Some(Ending::Code(1)), None), None);
        assert_eq!(check(None, None, None), None);
    }
}
