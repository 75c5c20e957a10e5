//! Making, opening and clearing a run directory.

mod create;
mod earlier_run;
mod leftovers;
mod run_dir_error;
mod salvage;

pub use create::Existing;
pub use leftovers::{RUN_TOKEN_VARIABLE, end_leftovers, processes_of_run};
pub use run_dir_error::RunDirError;

#[cfg(test)]
pub(in crate::store) use salvage::salvage;
