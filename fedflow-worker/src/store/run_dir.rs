//! The run directory: its paths, its private part, its lock, and what can be watched in it.

mod layout;
mod lock;
mod private_dir;
mod run_watch;
mod task_log;

pub use layout::{RunDir, RunDirError};
pub use lock::{LockError, LockHolder, LockState, RunLock};
pub use run_watch::{RunWatch, Woken};
pub use task_log::{LogPiece, LogReader};

pub(in crate::store) use layout::{
    CHECKPOINTS, JOURNAL, LOCK, OUTPUTS, PRIVATE, REPORTS, RESULTS, exists, failed, is_shared,
    refuse_existing, refuse_unfit, writable_by_others,
};
pub(in crate::store) use private_dir::PrivateDir;
