//! D: what a task costs the supervisor when there are very many.

use super::super::flow_run::FlowRun;
use super::super::flow_text;
use super::super::ground::Ground;
use super::super::outcome::{Figure, Outcome, Unit};
use super::super::rounds::median;
use super::super::supervisor::Usage;
use crate::step::Failure;

const ROUNDS: usize = 3;
const LIMIT_BYTES: f64 = 1024.0;
const LIMIT_CPU: f64 = 1.2;
const LIMIT_FIRST: f64 = 1.0;

/// D.
pub(super) fn measure(ground: &Ground) -> Result<Vec<Outcome>, Failure> {
    let (few, huge) = (ground.sizes.many, ground.sizes.huge);
    let run = |tasks| FlowRun::new(ground, &flow_text::commands(tasks, &ground.nothing), "cpu:2", tasks);
    let rounds = ground.rounds(ROUNDS);
    // The small flow in several rounds, as it is short; the large one once, between them.
    let mut small: Vec<Usage> = Vec::new();
    small.push(run(few)?.usage()?);
    let large = run(huge)?.usage()?;
    for _ in 1..rounds {
        small.push(run(few)?.usage()?);
    }
    let mut first = Vec::new();
    for _ in 0..rounds {
        first.push(run(huge)?.until_first_task()?.as_secs_f64());
    }
    let small_peak = median(small.iter().map(|usage| usage.peak).collect());
    let small_cpu = median(small.iter().map(|usage| usage.cpu / f64::from(few)).collect());
    let large_cpu = large.cpu / f64::from(huge);

    let case = format!("{huge} tasks");
    let line = |what: &str, measured, value, limit, unit| {
        Outcome::new(&format!("{case}: {what}"), "fedflow", measured, Figure::Judged { value, limit, unit })
    };
    let mib = |bytes: f64| bytes / f64::from(1 << 20);
    Ok(vec![
        line(
            "memory a task",
            format!("{:.1} MiB, {:.1} MiB at {few}", mib(large.peak), mib(small_peak)),
            (large.peak - small_peak) / f64::from(huge.abs_diff(few)),
            LIMIT_BYTES,
            Unit::Bytes,
        ),
        line(
            "processor time a task",
            format!("{:.0} µs, {:.0} µs at {few}", 1e6 * large_cpu, 1e6 * small_cpu),
            large_cpu / small_cpu,
            LIMIT_CPU,
            Unit::Times,
        ),
        line(
            "first task starts",
            format!("{} starts", first.len()),
            median(first),
            LIMIT_FIRST,
            Unit::Seconds,
        ),
    ])
}
