//! E: what an ended run of many tasks costs to read again.

use super::super::flow_run::FlowRun;
use super::super::flow_text;
use super::super::ground::Ground;
use super::super::outcome::{Figure, Outcome, Unit};
use super::super::rounds::{Side, interleave, median};
use crate::step::Failure;

const ROUNDS: usize = 5;
const LIMIT: f64 = 1.0;

/// E.
pub(super) fn measure(ground: &Ground) -> Result<Vec<Outcome>, Failure> {
    let tasks = ground.sizes.finished;
    let run = FlowRun::new(ground, &flow_text::commands(tasks, &ground.nothing), "cpu:2", tasks)?;
    run.time()?;
    let mut sides: Vec<Side<'_>> = vec![Box::new(|| run.resume()), Box::new(|| run.report())];
    let times = interleave(ground.rounds(ROUNDS), &mut sides)?;
    let lines = ["resume", "report"].iter().zip(times).map(|(command, times)| {
        let figure = Figure::Judged { value: median(times), limit: LIMIT, unit: Unit::Seconds };
        Outcome::new(&format!("{tasks} tasks"), &format!("fedflow {command}"), "whole command".into(), figure)
    });
    Ok(lines.collect())
}
