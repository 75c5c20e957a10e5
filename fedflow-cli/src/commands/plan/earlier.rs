//! What a forecast takes from an earlier run: durations, devices and seed.

use std::path::Path;

use fedflow_core::{DeviceInfo, Durations, RunEvent};
use fedflow_gpu::slots_beside;
use fedflow_worker::store::{JournalReader, RunDir};

use crate::commands::command_error::CommandError;
use crate::run::short_path;

/// An earlier run.
pub(super) struct EarlierDurations {
    /// Its directory, as a person would type it.
    pub(super) name: String,
    /// How long its tasks took.
    pub(super) durations: Durations,
    /// The devices of its last session.
    pub(super) devices: Vec<DeviceInfo>,
    /// How many CPU slots there were beside cards.
    pub(super) slots_beside: u32,
    /// The seed of its last session.
    pub(super) seed: u64,
}

impl EarlierDurations {
    /// Reads the journal of a run.
    ///
    /// # Errors
    /// It is no run's directory, or its journal cannot be read.
    pub(super) fn read(run: &Path) -> Result<Self, CommandError> {
        let run_dir = RunDir::open(run).map_err(CommandError::no_run)?;
        let reader = JournalReader::open(&run_dir).map_err(CommandError::refused)?;
        let slots_beside = slots_beside(&reader.head().devices);
        let mut seed = reader.head().seed;
        let mut durations = Durations::default();
        let mut devices = Vec::new();
        for record in reader {
            let record = record.map_err(CommandError::refused)?;
            durations.observe(record.time, &record.event);
            if let RunEvent::RunStarted { devices: of_session, seed: of_choices, .. } = record.event {
                (devices, seed) = (of_session, of_choices);
            }
        }
        Ok(Self { name: short_path(run), durations, devices, slots_beside, seed })
    }
}
