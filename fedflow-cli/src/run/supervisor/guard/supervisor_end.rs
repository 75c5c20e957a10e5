//! `SupervisorEnd`: how a supervisor ended, as its guard saw it.

use std::io;

use fedflow_core::ProcessId;

/// How a supervisor ended.
#[derive(Debug)]
#[non_exhaustive]
pub struct SupervisorEnd {
    /// Its exit code; `None` if a signal killed it.
    pub code: Option<i32>,
    /// The signal that killed it, if one did.
    pub signal: Option<i32>,
    /// The processes that it left and that could not be killed, or why that is not known.
    pub left: io::Result<Vec<ProcessId>>,
}

impl SupervisorEnd {
    /// The exit code with which the guard ends: the supervisor's own, or 128 + n for signal n.
    #[must_use]
    pub fn exit_code(&self) -> u8 {
        let code = match (self.signal, self.code) {
            (Some(signal), _) => 128 + signal,
            (None, code) => code.unwrap_or(3),
        };
        u8::try_from(code).unwrap_or(u8::MAX)
    }
}
