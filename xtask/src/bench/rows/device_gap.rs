//! Row B': how long a device is idle between two trains while a loaded task waits.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::bench::bench_setup::BenchSetup;
use crate::bench::result_table::table_line::{Figure, TableLine, Unit};
use crate::bench::runs::flow_run::FlowRun;
use crate::bench::runs::flow_text;
use crate::bench::runs::interleaving::median;
use crate::step::Failure;

const LIMIT: f64 = 1.0;
/// A load takes half as long as a train, so a loaded task always waits.
const LOAD_SHARE: f64 = 0.5;

/// Measures row B'.
pub(super) fn measure(setup: &BenchSetup) -> Result<Vec<TableLine>, Failure> {
    let (tasks, train) = (setup.sizes.few, setup.sizes.phase);
    let flow = flow_text::workers(tasks, &setup.worker, train * LOAD_SHARE, train, "");
    let mut lines = Vec::new();
    for (case, devices) in [("2 CPU slots", "cpu:2"), ("2 simulated cards", "sim:2x24GB")] {
        let events = FlowRun::new(setup, &flow, devices, tasks)?.events()?;
        let gaps = gaps(&trains(&events)?);
        if gaps.is_empty() {
            return Err(Failure::Other(format!("no train on {case} had a loaded task waiting at its end")));
        }
        let longest = gaps.iter().copied().fold(0.0, f64::max);
        let measured = format!("{} gaps, longest {:.2} ms", gaps.len(), 1e3 * longest);
        let figure = Figure::Judged { value: 1e3 * median(gaps), limit: LIMIT, unit: Unit::Milliseconds };
        lines.push(TableLine::new(case, "fedflow", measured, figure));
    }
    Ok(lines)
}

/// The times of one task, in seconds since 1970.
#[derive(Debug, Clone, PartialEq)]
struct Train {
    loaded: f64,
    began: f64,
    ended: f64,
}

/// The trains on each device, in order of time.
fn trains(events: &[Value]) -> Result<Vec<Vec<Train>>, Failure> {
    let mut device_of: BTreeMap<&str, String> = BTreeMap::new();
    let mut trains: BTreeMap<String, Vec<Train>> = BTreeMap::new();
    for event in events {
        let Some(task) = event["task"].as_str() else { continue };
        match event["event"].as_str() {
            Some("task-training") => {
                device_of.insert(task, format!("{} {}", event["device"], event["slot"]));
            }
            Some("task-finished") => {
                let time = |name: &str| event["result"][name].as_f64();
                let found = || {
                    let train =
                        Train { loaded: time("loaded")?, began: time("began")?, ended: time("ended")? };
                    Some((device_of.get(task)?.clone(), train))
                };
                let missing = || Failure::Other(format!("task {task} finished without its times: {event}"));
                let (device, train) = found().ok_or_else(missing)?;
                trains.entry(device).or_default().push(train);
            }
            _ => {}
        }
    }
    let mut trains: Vec<Vec<Train>> = trains.into_values().collect();
    trains.iter_mut().for_each(|trains| trains.sort_by(|one, other| one.began.total_cmp(&other.began)));
    Ok(trains)
}

/// How long each device was idle before each train whose task had loaded by then.
fn gaps(devices: &[Vec<Train>]) -> Vec<f64> {
    let pairs = devices.iter().flat_map(|trains| trains.windows(2));
    let waited = pairs.filter(|pair| pair[1].loaded < pair[0].ended);
    waited.map(|pair| pair[1].began - pair[0].ended).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(text: &str) -> Value {
        serde_json::from_str(text).unwrap()
    }

    #[test]
    fn a_gap_counts_where_a_loaded_task_waited() {
        let mut events = Vec::new();
        let times = [
            ("a", 0, 0.5, 1.0, 2.0),
            ("b", 1, 0.5, 1.0, 9.0),
            ("c", 0, 1.5, 2.25, 3.0),
            ("d", 0, 3.5, 4.0, 5.0),
        ];
        for (task, slot, loaded, began, ended) in times {
            events.push(event(&format!(
                r#"{{"event": "task-training", "task": "{task}", "device": "cpu", "slot": {slot}}}"#
            )));
            events.push(event(&format!(
                r#"{{"event": "task-finished", "task": "{task}",
                    "result": {{"loaded": {loaded}, "began": {began}, "ended": {ended}}}}}"#
            )));
        }
        assert_eq!(gaps(&trains(&events).unwrap()), [0.25]);
        events.push(event(r#"{"event": "task-finished", "task": "a", "result": {}}"#));
        assert!(trains(&events).is_err());
    }
}
