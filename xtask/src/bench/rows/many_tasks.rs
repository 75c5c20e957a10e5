//! Row D: what a task costs the supervisor in a flow of very many tasks.

use crate::bench::bench_setup::BenchSetup;
use crate::bench::result_table::table_line::{Figure, TableLine, Unit};
use crate::bench::runs::flow_run::FlowRun;
use crate::bench::runs::flow_text;
use crate::bench::runs::interleaving::median;
use crate::bench::runs::supervisor_usage::SupervisorUsage;
use crate::step::Failure;

const ROUNDS: usize = 3;
const LIMIT_BYTES: f64 = 1024.0;
const LIMIT_CPU: f64 = 1.2;
const LIMIT_FIRST: f64 = 1.0;

/// Measures row D.
pub(super) fn measure(setup: &BenchSetup) -> Result<Vec<TableLine>, Failure> {
    let (few, huge) = (setup.sizes.many, setup.sizes.huge);
    let run = |tasks| FlowRun::new(setup, &flow_text::commands(tasks, &setup.nothing), "cpu:2", tasks);
    let rounds = setup.rounds(ROUNDS);
    // The small flow is short and runs several times, the large one once, in between.
    let mut small: Vec<SupervisorUsage> = Vec::new();
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
        TableLine::new(&format!("{case}: {what}"), "fedflow", measured, Figure::Judged { value, limit, unit })
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
