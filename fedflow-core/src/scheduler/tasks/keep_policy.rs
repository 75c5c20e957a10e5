//! Which later tasks the process of a task stays for.

use std::path::PathBuf;

use crate::model::device::Pin;
use crate::work::spec::{Program, Reuse, TaskSpec};

/// For which later tasks a process stays when its own task has its result.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct KeepPolicy {
    worker: Box<str>,
    kind: Box<str>,
    key: Option<Box<str>>,
    reuse: Option<Reuse>,
    cwd: Option<PathBuf>,
    /// Whether the task is pinned to the CPU, so that its process sees no card.
    on_cpu: bool,
}

/// What a process is kept under: its worker program, the directory in which it works, whether it sees no card, and, if it
/// keeps what it has loaded, the task kind and the key.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::scheduler) struct KeepKey {
    worker: Box<str>,
    cwd: Option<PathBuf>,
    on_cpu: bool,
    data: Option<(Box<str>, Box<str>)>,
}

impl KeepPolicy {
    /// The policy of a task; `None` if its process ends with it. The process of a command is never kept.
    pub(in crate::scheduler) fn of(spec: &TaskSpec, pin: Option<&Pin>) -> Option<Self> {
        let Program::Worker { worker, kind } = spec.program.as_ref() else { return None };
        (spec.keep.is_some() || spec.reuse.is_some()).then(|| Self {
            worker: worker.as_str().into(),
            kind: kind.as_str().into(),
            key: spec.keep.clone(),
            reuse: spec.reuse,
            cwd: spec.cwd.clone(),
            on_cpu: pin.is_some_and(Pin::is_cpu),
        })
    }

    /// Whether the process keeps what it has loaded, for tasks with the same key.
    pub(crate) fn keeps_data(&self) -> bool {
        self.key.is_some()
    }

    /// Whether the process may serve tasks that have to load first.
    pub(in crate::scheduler) fn allows_reuse(&self) -> bool {
        self.reuse.is_some()
    }

    /// What the process is kept under after such a task.
    pub(in crate::scheduler) fn keep_key(&self) -> KeepKey {
        let data = self.key.as_ref().map(|key| (self.kind.clone(), key.clone()));
        KeepKey { data, ..self.reuse_key() }
    }

    /// What the processes are kept under that any task of the worker may have.
    pub(in crate::scheduler) fn reuse_key(&self) -> KeepKey {
        KeepKey { worker: self.worker.clone(), cwd: self.cwd.clone(), on_cpu: self.on_cpu, data: None }
    }

    /// Whether a process is kept under the same key after a task with the other policy.
    pub(in crate::scheduler) fn keeps_the_same_as(&self, other: &Self) -> bool {
        self.keep_key() == other.keep_key() && self.kind == other.kind
    }

    /// Whether a process that has served this many tasks before stays after one more.
    pub(in crate::scheduler) fn allows_another(&self, served: u32) -> bool {
        served + 1 < self.reuse.and_then(|reuse| reuse.limit).unwrap_or(u32::MAX)
    }
}
