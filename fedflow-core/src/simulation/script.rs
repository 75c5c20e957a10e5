//! `Script`: how an attempt goes in a simulation, and what goes wrong in it.

use std::time::Duration;

use crate::learning::stage_times::Lead;
use crate::model::outcome::failure::{FailureKind, Stage};
use crate::model::quantity::Size;
use crate::ports::Assignment;

/// How one attempt at a task goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Script {
    /// From the start of the process until it is ready.
    pub start: Duration,
    /// How long `load` takes.
    pub load: Duration,
    /// How long `train` takes.
    pub train: Duration,
    /// From the request to exit until the process is gone.
    pub exit: Duration,
    /// What goes wrong; `None` if nothing does.
    pub fault: Option<SimulatedFault>,
}

impl Script {
    /// An attempt that goes well. Its process starts and exits in no time.
    #[must_use]
    pub const fn of(load: Duration, train: Duration) -> Self {
        Self { start: Duration::ZERO, load, train, exit: Duration::ZERO, fault: None }
    }
}

/// What goes wrong in an attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SimulatedFault {
    /// The phase returns an error; the process lives.
    Error(Stage, FailureKind),
    /// The process dies.
    Dies(Stage),
    /// The process dies in `load` just after it was given its task, without having answered.
    DiesUnheard,
    /// The process says nothing more. SIGTERM ends it.
    Hangs(Stage),
    /// The process says nothing more, and ignores SIGTERM.
    HangsHard(Stage),
    /// The process does not exit when asked to, and ignores SIGTERM.
    Stays,
    /// The process dies when it is kept for a later task.
    DiesKept,
}

/// Why a task is handed to a process that has served others.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HandOver {
    /// It has the same keep key as the task before: the process has loaded its data.
    Kept,
    /// It is a task of the same worker, whose processes are reused.
    Reused,
}

/// Decides how an attempt begins in a process that has served others.
pub(super) type SimulatedHandOver = Box<dyn FnMut(&Assignment, HandOver) -> Lead>;

/// Decides how an attempt goes.
pub(super) type SimulatedTask = Box<dyn FnMut(&Assignment) -> Script>;

/// Decides how much memory an attempt really uses on each of its cards, from its training until its process is gone.
pub(super) type SimulatedUse = Box<dyn FnMut(&Assignment) -> Size>;
