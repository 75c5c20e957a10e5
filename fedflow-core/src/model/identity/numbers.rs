//! The numbers by which the engine knows tasks and workers.

/// A task of the flow, as the index of its group and its place in the group. It is cheap to copy.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TaskKey {
    /// The group's place in the order of execution, from 1.
    pub group: u32,
    /// The task's place in its group, from 0.
    pub place: u32,
}

/// The number of a worker, which serves one attempt. No number is used twice in a run, so that late messages of an
/// earlier attempt are recognised.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct WorkerId(pub u64);
