//! Processes: how they are named, started, given an environment, watched and killed.

mod kernel_files;
mod killing;
#[cfg(any(feature = "host", feature = "runtime"))]
pub(crate) mod own_process;
mod process_identity;
#[cfg(feature = "runtime")]
mod process_tree;
#[cfg(feature = "host")]
pub(crate) mod spawn;

#[cfg(test)]
mod test_shell;

#[cfg(feature = "host")]
pub use own_process::own_children::own_children;
#[cfg(feature = "runtime")]
pub use own_process::own_descendants::end_descendants;
#[cfg(feature = "host")]
pub use own_process::own_parent::own_parent;

#[cfg(feature = "host")]
pub(crate) use kernel_files::{read_again, read_short};
#[cfg(feature = "run-dir")]
pub(crate) use killing::await_end;
#[cfg(any(feature = "host", feature = "run-dir"))]
pub(crate) use killing::end;
#[cfg(feature = "host")]
pub(crate) use killing::{Held, wait_for_one};
#[cfg(feature = "host")]
pub(crate) use process_identity::ticks_now;
#[cfg(any(feature = "host", feature = "run-dir"))]
pub(crate) use process_identity::{identify, probe_stat};
#[cfg(feature = "run-dir")]
pub(crate) use process_identity::{is_alive, this_process};
#[cfg(feature = "host")]
pub(crate) use process_tree::{descendants, snapshot};
#[cfg(feature = "host")]
#[cfg(test)]
pub(crate) use test_shell::Shell;
