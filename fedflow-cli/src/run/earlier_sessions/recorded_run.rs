//! What earlier sessions of a run have recorded: for the engine to go on from, for the report, and for the start order.

use std::time::Duration;

use fedflow_core::Durations;
use fedflow_report::Report;
use fedflow_worker::store::{
    JournalError, RunDir, RunState, end_leftovers, read_journal, read_telemetry, recover_with,
    remove_unused_attempts,
};

use crate::run::notice::Notices;
use crate::run::open_error::OpenError;

/// How long what is left of an earlier session has to end before it is killed.
const LEFTOVER_GRACE: Duration = Duration::from_secs(2);

/// The recorded part of a run.
pub(crate) struct RecordedRun {
    /// What a resume goes on from.
    pub(crate) state: RunState,
    /// The report of it.
    pub(crate) report: Report,
}

/// Reads the journal and the telemetry of a run directory.
///
/// # Errors
/// The journal cannot be read, is damaged, or was written by a newer Fedflow.
pub(crate) fn read_run(run_dir: &RunDir, notices: &Notices) -> Result<RecordedRun, JournalError> {
    let mut report = Report::new();
    let state = recover_with(run_dir, |record| report.apply(record.time, &record.event))?;
    if let Some(left_out) = add_kept_telemetry(run_dir, &mut report) {
        notices.note(left_out);
    }
    Ok(RecordedRun { state, report })
}

/// Reads what earlier sessions have kept into their report. Returns what to say of samples that cannot be read; the
/// report does without them.
fn add_kept_telemetry(run_dir: &RunDir, report: &mut Report) -> Option<String> {
    match read_telemetry(run_dir, |sample| report.add_telemetry(sample)) {
        Ok(0) => None,
        Ok(1) => Some("left out of telemetry.jsonl: 1 damaged line".into()),
        Ok(damaged) => Some(format!("left out of telemetry.jsonl: {damaged} damaged lines")),
        Err(error) => Some(format!("telemetry is left out: {error}")),
    }
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

impl RecordedRun {
    /// Ends what is left of the earlier session's processes before any is started: no task runs twice at once. Then removes
    /// what attempts left that do not count.
    ///
    /// # Errors
    /// Some cannot be ended, or `/proc` cannot be read.
    pub(in crate::run) fn end_earlier_session(
        &self,
        run_dir: &RunDir,
        notices: &Notices,
    ) -> Result<(), OpenError> {
        if let Some(torn) = &self.state.journal.torn {
            notices.note(format_args!(
                "the journal's torn end is cut: {} bytes at offset {}",
                torn.bytes, torn.offset
            ));
        }
        let processes =
            end_leftovers(&self.state.head().run_token, LEFTOVER_GRACE).map_err(OpenError::LeftoverSearch)?;
        if processes.is_empty() {
            remove_unused_attempts(run_dir, &self.state);
            return Ok(());
        }
        Err(OpenError::Leftover { run_dir: run_dir.path().into(), processes })
    }
}
