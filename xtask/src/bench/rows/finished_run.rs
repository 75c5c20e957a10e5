//! Row E: how long it takes to read an ended run of many tasks again.

use crate::bench::bench_setup::BenchSetup;
use crate::bench::result_table::table_line::{Figure, TableLine, Unit};
use crate::bench::runs::flow_run::FlowRun;
use crate::bench::runs::flow_text;
use crate::bench::runs::interleaving::{Side, interleave, median};
use crate::step::Failure;

const ROUNDS: usize = 5;
const LIMIT: f64 = 1.0;

/// Measures row E.
pub(super) fn measure(setup: &BenchSetup) -> Result<Vec<TableLine>, Failure> {
    let tasks = setup.sizes.finished;
    let run = FlowRun::new(setup, &flow_text::commands(tasks, &setup.nothing), "cpu:2", tasks)?;
    run.time()?;
    let mut sides: Vec<Side<'_>> = vec![Box::new(|| run.resume()), Box::new(|| run.report())];
    let times = interleave(setup.rounds(ROUNDS), &mut sides)?;
    let lines = ["resume", "report"].iter().zip(times).map(|(command, times)| {
        let figure = Figure::Judged { value: median(times), limit: LIMIT, unit: Unit::Seconds };
        TableLine::new(
            &format!("{tasks} tasks"),
            &format!("fedflow {command}"),
            "whole command".into(),
            figure,
        )
    });
    Ok(lines.collect())
}
