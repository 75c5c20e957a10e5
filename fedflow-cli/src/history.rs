//! What earlier sessions of a run have recorded: for the engine to go on from, and for the report.

use std::path::Path;

use fedflow_core::Durations;
use fedflow_report::Report;
use fedflow_worker::store::{JournalError, RunDir, RunState, read_journal, recover};

use crate::command_error::CommandError;
use crate::telemetry::add_kept_telemetry;

/// The recorded part of a run.
pub(crate) struct EarlierRun {
    /// What a resume goes on from.
    pub(crate) state: RunState,
    /// The report of it.
    pub(crate) report: Report,
}

/// Reads the journal of a run directory.
///
/// # Errors
/// It cannot be read, is damaged, or was written by a newer Fedflow.
pub(crate) fn read_run(run_dir: &RunDir) -> Result<EarlierRun, CommandError> {
    let mut report = Report::new();
    read_journal(run_dir, |record| report.apply(record.time, &record.event)).map_err(CommandError::failed)?;
    add_kept_telemetry(run_dir, &mut report);
    let state = recover(run_dir).map_err(CommandError::failed)?;
    Ok(EarlierRun { state, report })
}

/// Reads how long the tasks of a run took.
///
/// # Errors
/// Its journal cannot be read, is damaged, or was written by a newer Fedflow.
pub(crate) fn read_durations(run_dir: &RunDir) -> Result<Durations, JournalError> {
    let mut durations = Durations::default();
    read_journal(run_dir, |record| durations.observe(record.time, &record.event))?;
    Ok(durations)
}

/// Whether a directory holds a run.
#[must_use]
pub(crate) fn earlier_run_in(directory: &Path) -> bool {
    RunDir::open(directory).is_ok()
}
