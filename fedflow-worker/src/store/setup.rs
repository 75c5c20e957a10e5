//! Making a run directory, and clearing one that an earlier run has left.

mod create;
mod create_error;
mod earlier_run;
mod leftovers;
mod salvage;
mod unused_attempts;

pub use create::create_run_dir;
pub use create_error::CreateRunDirError;
pub use earlier_run::remove_earlier_run;
pub use leftovers::{RUN_TOKEN_VARIABLE, end_leftovers, processes_of_run};
pub use unused_attempts::remove_unused_attempts;

#[cfg(test)]
pub(in crate::store) use salvage::salvage;
