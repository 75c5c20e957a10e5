//! What runs have learned of tasks' memory, kept between them. A run never fails for want of it.

use fedflow_core::{Config, Estimates};
use fedflow_worker::store::EstimatesFile;

use crate::run::notice::Notices;
use crate::run::supervisor::estimates_directory;

/// The file of estimates; empty without `scheduler.auto-adjust`, or where the user has no configuration directory.
pub(in crate::run) struct KeptEstimates(Option<EstimatesFile>);

impl KeptEstimates {
    /// Reads what earlier runs have learned.
    pub(in crate::run) fn load(config: &Config, notices: &Notices) -> (Estimates, Self) {
        let directory = estimates_directory().filter(|_| config.scheduler.auto_adjust);
        let Some(file) = directory.map(EstimatesFile::in_directory) else {
            return (Estimates::default(), Self(None));
        };
        let learned = file.load().unwrap_or_else(|error| {
            notices.warn(format_args!("what was learned of tasks' memory is begun anew: {error}"));
            Estimates::default()
        });
        (learned, Self(Some(file)))
    }

    /// Writes what is known now.
    pub(in crate::run) fn save(self, learned: &Estimates, notices: &Notices) {
        if let Some(Err(error)) = self.0.map(|file| file.save(learned)) {
            notices.warn(format_args!("what was learned of tasks' memory is not kept: {error}"));
        }
    }
}
