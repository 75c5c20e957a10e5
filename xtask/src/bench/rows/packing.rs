//! Row K: how close each start order comes to the lower bound on unequal cards, by `fedflow plan`: virtual and exact.

use std::collections::BTreeMap;
use std::fmt::Write;

use serde_json::Value;

use crate::bench::bench_setup::BenchSetup;
use crate::bench::result_table::table_line::{Figure, TableLine, Unit};
use crate::bench::runs::processes;
use crate::step::Failure;

const TASKS: usize = 150;
const ORDERS: &str = "added,random,longest-first,largest-first,packed,auto";
/// By how much `auto` may be worse than the best of the other orders.
const MOST_WORSE: f64 = 1.02;

/// Cards of these sizes in gigabytes.
struct Fleet {
    name: &'static str,
    devices: &'static str,
    /// What the tasks need at most: memory beyond it fits on no card.
    largest: f64,
    /// How far `auto` may be above the bound, with durations known and unknown.
    limits: (f64, f64),
}

const FLEETS: [Fleet; 4] = [
    Fleet {
        name: "2 × 24, 48, 80 GB",
        devices: "sim:2x24GB+1x48GB+1x80GB",
        largest: 40.0,
        limits: (1.28, 1.35),
    },
    Fleet { name: "80, 7 × 24 GB", devices: "sim:1x80GB+7x24GB", largest: 40.0, limits: (1.16, 1.22) },
    Fleet { name: "8 × 24 GB", devices: "sim:8x24GB", largest: 19.0, limits: (1.11, 1.42) },
    Fleet { name: "4 × 80 GB", devices: "sim:4x80GB", largest: 40.0, limits: (1.06, 1.20) },
];

/// Other fleets, with how many tasks they have and how much these need at most: gigabytes and minutes.
const OTHERS: [(&str, usize, f64, f64); 12] = [
    ("sim:1x24GB", 60, 19.0, 60.0),
    ("sim:2x24GB", 100, 19.0, 60.0),
    ("sim:1x24GB+1x80GB", 80, 60.0, 60.0),
    ("sim:4x24GB+4x48GB", 200, 36.0, 60.0),
    ("sim:2x12GB+2x24GB", 100, 19.0, 240.0),
    ("sim:8x80GB", 200, 60.0, 120.0),
    ("sim:1x12GB+1x16GB+1x24GB+1x32GB", 120, 24.0, 30.0),
    ("sim:3x40GB", 50, 30.0, 600.0),
    ("sim:2x80GB", 300, 8.0, 20.0),
    ("sim:6x24GB+1x48GB", 150, 36.0, 10.0),
    ("cpu:4", 100, 2.0, 60.0),
    ("cpu:16", 400, 2.0, 600.0),
];

/// Measures row K.
pub(super) fn measure(setup: &BenchSetup) -> Result<Vec<TableLine>, Failure> {
    let mut lines = Vec::new();
    for fleet in &FLEETS {
        for is_known in [true, false] {
            lines.extend(above_the_bound(setup, fleet, is_known)?);
        }
    }
    lines.extend(beside_the_best(setup)?);
    Ok(lines)
}

/// How far each order is above the bound on average.
fn above_the_bound(setup: &BenchSetup, fleet: &Fleet, is_known: bool) -> Result<Vec<TableLine>, Failure> {
    let mut ratios: BTreeMap<String, Vec<f64>> = BTreeMap::new();
    for seed in 1..=setup.sizes.packings {
        let flow = flow_of(seed, tasks_of(setup, TASKS), fleet.largest, 60.0);
        for (order, Makespan { seconds, bound }) in plan(setup, &flow, fleet.devices, is_known)? {
            ratios.entry(order).or_default().push(seconds / bound);
        }
    }
    let known = if is_known { "known" } else { "unknown" };
    let limit = if is_known { fleet.limits.0 } else { fleet.limits.1 };
    let lines = ORDERS.split(',').filter_map(|order| {
        let of_order = ratios.get(order)?;
        let value = of_order.iter().sum::<f64>() / of_order.len() as f64;
        let unit = Unit::Times;
        let figure = if order == "auto" {
            Figure::Judged { value, limit, unit }
        } else {
            Figure::Shown { value, unit }
        };
        let worst = of_order.iter().copied().fold(0.0, f64::max);
        let case = format!("{}, durations {known}", fleet.name);
        Some(TableLine::new(&case, &format!("`{order}`"), format!("at worst {worst:.3} ×"), figure))
    });
    Ok(lines.collect())
}

/// How much worse `auto` is at worst than the best of the others, and than `added`.
fn beside_the_best(setup: &BenchSetup) -> Result<Vec<TableLine>, Failure> {
    let mut lines = Vec::new();
    for is_known in [true, false] {
        let (mut worst, mut worst_of_added) = (0.0_f64, 0.0_f64);
        for (seed, (devices, tasks, largest, longest)) in (1..).zip(OTHERS) {
            let flow = flow_of(seed, tasks_of(setup, tasks), largest, longest);
            let plans = plan(setup, &flow, devices, is_known)?;
            let of = |order: &str| plans.get(order).map_or(f64::NAN, |makespan| makespan.seconds);
            let best =
                ORDERS.split(',').filter(|order| *order != "auto").map(of).fold(f64::INFINITY, f64::min);
            worst = worst.max(of("auto") / best);
            worst_of_added = worst_of_added.max(of("auto") / of("added"));
        }
        let known = if is_known { "known" } else { "unknown" };
        let case = format!("12 other fleets, durations {known}");
        let line = |base: &str, value, figure: fn(f64) -> Figure| {
            TableLine::new(&case, "`auto`", format!("at worst, against {base}"), figure(value))
        };
        let judged = |value| Figure::Judged { value, limit: MOST_WORSE, unit: Unit::Times };
        // No order can be chosen for what is not known.
        let shown = |value| Figure::Shown { value, unit: Unit::Times };
        lines.push(line("the best other order", worst, if is_known { judged } else { shown }));
        lines.push(line("`added`", worst_of_added, judged));
    }
    Ok(lines)
}

/// How many tasks are drawn where so many are in full size.
fn tasks_of(setup: &BenchSetup, full: usize) -> usize {
    if setup.sizes.real { full } else { full / 10 }
}

/// How long a flow would take, and the lower bound.
struct Makespan {
    seconds: f64,
    bound: f64,
}

/// Asks `fedflow plan` for every order.
fn plan(
    setup: &BenchSetup,
    flow: &str,
    devices: &str,
    is_known: bool,
) -> Result<BTreeMap<String, Makespan>, Failure> {
    let directory = setup.new_run_directory()?;
    let path = directory.write("flow.toml", flow)?;
    let mut command = processes::command(&setup.fedflow);
    command.arg("plan").arg(&path).args(["--devices", devices, "--order", ORDERS, "--format", "json"]);
    command.args((!is_known).then_some("--unforeseen")).current_dir(directory.path());
    let told = processes::run_well(&mut command)?.stdout;
    let document: Value = serde_json::from_str(&told)
        .map_err(|error| Failure::Other(format!("cannot read what `fedflow plan` prints: {error}")))?;
    let plans = document["plans"].as_array().into_iter().flatten();
    let read = |plan: &Value| {
        let figure = |name: &str| plan[name].as_f64();
        let makespan =
            Makespan { seconds: figure("makespan_seconds")?, bound: figure("lower_bound_seconds")? };
        Some((plan["order"].as_str()?.to_owned(), makespan))
    };
    let missing = || Failure::Other(format!("`fedflow plan` has no forecast for {devices}: {told}"));
    plans.map(|plan| read(plan).ok_or_else(missing)).collect()
}

/// Tasks that need 1 to `largest` gigabytes for 1 to `longest` minutes, evenly on a logarithmic scale.
fn flow_of(seed: u64, tasks: usize, largest: f64, longest: f64) -> String {
    let mut text = String::from("name = \"packing\"\n[[groups]]\nname = \"mixed\"\n");
    let mut random = Random(seed);
    for task in 0..tasks {
        let (gigabytes, minutes) = (largest.powf(random.next()), longest.powf(random.next()));
        let _ = writeln!(
            text,
            "[[groups.tasks]]\nid = \"task-{task}\"\ncommand = [\"true\"]\n\
             estimate-cuda-memory = \"{:.0}MB\"\nexpected-train = \"{:.0}s\"",
            gigabytes * 1000.0,
            minutes * 60.0
        );
    }
    text
}

/// Numbers from 0 to 1, the same for a seed on every machine: SplitMix64.
struct Random(u64);

impl Random {
    fn next(&mut self) -> f64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((mixed ^ (mixed >> 31)) >> 11) as f64 / (1_u64 << 53) as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_always_draws_the_same_numbers_from_0_to_1() {
        let draw = |seed| {
            let mut random = Random(seed);
            (0..100).map(|_| random.next()).collect::<Vec<_>>()
        };
        assert_eq!(draw(1), draw(1));
        assert_ne!(draw(1), draw(2));
        assert!(draw(3).iter().all(|number| (0.0..1.0).contains(number)));
    }
}
