//! `Workload`: what a peer is given to do.

use crate::bench::bench_setup::BenchSetup;
use crate::bench::runs::flow_text::Rounds;

/// What a peer is given to do.
#[derive(Debug, Clone)]
pub(in crate::bench) enum Workload {
    /// Programs that do nothing.
    Nothing { tasks: u32, at_once: u32 },
    /// Tasks that load for `phase` seconds and train for as long.
    LoadAndTrain { tasks: u32, at_once: u32, phase: f64 },
    /// Federated rounds.
    Rounds { at_once: u32, shape: Rounds },
}

impl Workload {
    /// Whether each task is a program of its own.
    pub(super) fn is_one_program_a_task(&self) -> bool {
        matches!(self, Self::Nothing { .. } | Self::LoadAndTrain { .. })
    }

    /// How many tasks run at a time.
    pub(super) fn at_once(&self) -> u32 {
        match self {
            Self::Nothing { at_once, .. }
            | Self::LoadAndTrain { at_once, .. }
            | Self::Rounds { at_once, .. } => *at_once,
        }
    }

    /// The program of each task and the number of tasks; one process loads and trains.
    pub(super) fn as_programs(&self, setup: &BenchSetup) -> (Vec<String>, u32) {
        match self {
            Self::LoadAndTrain { tasks, phase, .. } => {
                let worker = setup.worker.display().to_string();
                (vec![worker, "bare".into(), phase.to_string(), phase.to_string()], *tasks)
            }
            Self::Nothing { tasks, .. } => (vec![setup.nothing.display().to_string()], *tasks),
            // No peer that runs programs is given this workload.
            Self::Rounds { .. } => (Vec::new(), 0),
        }
    }
}
