//! What identifies a task, a group, a worker or a process.

pub(crate) mod fnv;
pub(crate) mod name;
pub(crate) mod name_index;
mod numbers;
pub(crate) mod process;

pub use numbers::{TaskKey, WorkerId};
