//! Other runners that a user could pick instead of Fedflow, called as their users call them.

mod peer;
mod pueue;
mod python;
mod shell;
mod spooler;
mod workload;

use std::cell::RefCell;
use std::time::Duration;

use self::peer::Peer;
pub(super) use self::workload::Workload;
use crate::bench::bench_setup::BenchSetup;
use crate::bench::result_table::table_line::{Figure, TableLine, Unit};
use crate::bench::runs::interleaving::{median, ratio};
use crate::step::Failure;

const PEERS: &[&Peer] = &[
    &shell::XARGS,
    &shell::PARALLEL,
    &spooler::TASK_SPOOLER,
    &pueue::PUEUE,
    &python::JOBLIB,
    &python::RAY,
    &python::FLOWER,
    &python::FEDFLOW_PYTHON,
];

/// A peer with its workload.
#[derive(Debug)]
pub(super) struct PeerRun {
    peer: &'static Peer,
    /// None if it is not installed.
    version: Option<String>,
    workload: Workload,
    /// Why it did not do its work. This becomes a line of the table and does not end the others.
    failure: RefCell<Option<String>>,
}

/// The peers that can do a workload.
pub(super) fn for_workload(setup: &BenchSetup, workload: Workload) -> Vec<PeerRun> {
    let peers = PEERS.iter().filter(|peer| setup.peers && (peer.does)(&workload));
    peers
        .map(|peer| PeerRun {
            peer,
            version: (peer.find)(setup),
            workload: workload.clone(),
            failure: RefCell::default(),
        })
        .collect()
}

impl PeerRun {
    /// Runs the workload; none if the peer is not installed.
    pub(super) fn runner<'a>(
        &'a self,
        setup: &'a BenchSetup,
    ) -> Option<impl FnMut() -> Result<Duration, Failure> + 'a> {
        self.version.as_ref()?;
        Some(move || {
            eprintln!("  {}", self.peer.name);
            Ok((self.peer.run)(setup, &self.workload).unwrap_or_else(|failure| {
                eprintln!("  {failure}");
                *self.failure.borrow_mut() = Some(failure.to_string());
                Duration::ZERO
            }))
        })
    }
}

/// A line for each peer; `times` has the times of those that are installed.
pub(super) fn lines(peers: &[PeerRun], case: &str, times: &[Vec<f64>], base: &[f64]) -> Vec<TableLine> {
    let mut times = times.iter();
    let line = |run: &PeerRun| {
        let Peer { name, lacks, install, .. } = run.peer;
        // Only peers that are installed have times.
        match run.version.as_ref().and_then(|version| Some((version, times.next()?))) {
            Some((version, _)) if let Some(failure) = run.failure.borrow().as_deref() => {
                let first = failure.lines().next().unwrap_or_default().to_owned();
                TableLine::new(case, &format!("{name} {version}"), "failed".into(), Figure::None)
                    .with_note(first)
            }
            Some((version, times)) => {
                let figure = Figure::Shown { value: ratio(times, base), unit: Unit::Times };
                let runner = format!("{name} {version}");
                TableLine::new(case, runner.trim(), format!("{:.3} s", median(times.clone())), figure)
                    .with_note(*lacks)
            }
            None => TableLine::new(case, name, "not installed".into(), Figure::None)
                .with_note(format!("to have it: `{install}`")),
        }
    };
    peers.iter().map(line).collect()
}
