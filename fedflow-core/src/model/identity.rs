//! The numbers by which the engine knows tasks and workers.

/// A task of the flow: its group's index and its place in the group, both cheap to copy.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TaskKey {
    /// The group's place in the order of execution, from 1.
    pub group: u32,
    /// The task's place in its group, from 0.
    pub place: u32,
}

/// A worker: one process, or for a command task one process per phase. Never used twice in a run, so what comes
/// late from an earlier attempt is known by it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct WorkerId(pub u64);
