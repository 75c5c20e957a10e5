//! What earlier sessions of a run have recorded: for the engine to go on from, and for the report.

use fedflow_core::{History, RecordedGroup};
use fedflow_report::Report;
use fedflow_worker::store::{RunDir, RunState, read_journal, recover};

use crate::command_error::CommandError;

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
    let state = recover(run_dir).map_err(CommandError::failed)?;
    Ok(EarlierRun { state, report })
}

impl EarlierRun {
    /// The recorded groups, as the engine takes them.
    #[must_use]
    pub(crate) fn history(&self) -> History {
        let groups = self.state.groups.iter().map(|group| {
            let attempts = group.tasks.iter().map(|(name, task)| (name.clone(), task.attempts));
            let outcomes =
                group.tasks.iter().filter_map(|(name, task)| Some((name.clone(), task.outcome.clone()?)));
            let recorded = RecordedGroup {
                fingerprint: group.fingerprint,
                finished: group.finished,
                outcomes: outcomes.collect(),
                attempts: attempts.filter(|(_, attempts)| *attempts > 0).collect(),
            };
            (group.name.clone(), recorded)
        });
        History { groups: groups.collect() }
    }
}
