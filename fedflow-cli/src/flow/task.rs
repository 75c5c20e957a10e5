//! `FlowTask`: a task of a flow, and what it shares with the other tasks of its table.

use std::path::PathBuf;
use std::sync::Arc;

use fedflow_core::{ExpectedTimes, Limits, Name, Needs, Pin, Program};

use super::document::TaskTable;
use super::templates::MatrixValues;

/// A task of a flow. What tasks of one table have in common is shared.
#[derive(Debug, Clone)]
pub struct FlowTask {
    /// The id of the task.
    pub task_id: Name,
    pub(super) point: u32,
    pub(super) terms: Arc<FlowTaskTerms>,
}

// A flow may have a million of them.
const _: () =
    assert!(size_of::<FlowTask>() <= 32, "what tasks of one table have in common belongs to their terms");

/// What tasks of one table share: all that is known before their parameters are rendered.
#[derive(Debug)]
pub(super) struct FlowTaskTerms {
    pub(super) table: Arc<TaskTable>,
    pub(super) matrix: Arc<MatrixValues>,
    /// The program; `None` for a command with templates, which differs from task to task.
    pub(super) program: Option<Arc<Program>>,
    pub(super) needs: Needs,
    pub(super) device: Option<Pin>,
    /// The current directory of its process, an absolute path.
    pub(super) cwd: Option<PathBuf>,
    pub(super) limits: Limits,
    pub(super) expected: Option<ExpectedTimes>,
}

impl FlowTask {
    /// Whether none of it is rendered when its group starts.
    pub(super) fn is_fixed(&self) -> bool {
        let table = &self.terms.table;
        self.terms.program.is_some() && table.params.fixed().is_some() && table.train_params.fixed().is_some()
    }

    /// The same for tasks that share a program; `None` if the program is rendered when the group starts.
    pub(super) fn program_address(&self) -> Option<*const Program> {
        self.terms.program.as_ref().map(Arc::as_ptr)
    }

    /// What the task itself says that it needs of the machine.
    #[must_use]
    pub fn needs(&self) -> Needs {
        self.terms.needs
    }

    /// The device to which the task itself is pinned.
    #[must_use]
    pub fn device(&self) -> Option<&Pin> {
        self.terms.device.as_ref()
    }

    /// Its worker and task kind; `None` if it runs a command.
    #[must_use]
    pub fn worker(&self) -> Option<(&str, &str)> {
        match self.terms.program.as_deref()? {
            Program::Worker { worker, kind } => Some((worker, kind)),
            Program::Command { .. } => None,
        }
    }
}
