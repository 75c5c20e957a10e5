//! The steps of the check. Each returns what it saw, or why it failed.

use std::sync::mpsc::channel;
use std::time::Duration;

use super::cuda::unix_now;
use super::machine::{Machine, program};

/// What a step saw, or why it failed.
type Outcome = Result<String, String>;

/// A step of the check.
type Step = fn(&Machine) -> Outcome;

/// All steps with their names, in order.
pub(crate) const ALL: [(&str, Step); 7] = [
    ("discovery against nvidia-smi", discovery),
    ("visibility by UUID as CUDA sees it", visibility),
    ("an allocation is seen on the card", allocation),
    ("an out-of-memory is retried", out_of_memory),
    ("memory is back after exit", memory_back),
    ("four tasks share the card", sharing),
    ("idle gap between two tasks", idle_gap),
];

/// The difference in memory that contexts and the driver may cause.
const SLACK: u64 = 256 << 20;
/// The most memory that a CUDA context takes beside what a task allocates.
const CONTEXT: u64 = 1 << 30;

fn discovery(machine: &Machine) -> Outcome {
    let mut command = program("nvidia-smi");
    command.args(["--query-gpu=uuid,name,memory.total", "--format=csv,noheader,nounits"]);
    let output = command.output().map_err(|error| format!("nvidia-smi: {error}"))?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let inventory = machine.devices()?;
    let cards: Vec<_> = inventory["cards"]
        .as_array()
        .into_iter()
        .flatten()
        .filter(|card| card["mig"] != "instance")
        .collect();
    let rows: Vec<&str> = text.lines().filter(|line| !line.trim().is_empty()).collect();
    if rows.len() != cards.len() {
        return Err(format!("nvidia-smi lists {} cards, fedflow {}", rows.len(), cards.len()));
    }
    for (row, card) in rows.iter().zip(cards) {
        let fields: Vec<&str> = row.split(", ").collect();
        let [uuid, name, mebibytes] = fields[..] else { return Err(format!("nvidia-smi says {row:?}")) };
        if card["uuid"] != uuid || card["name"] != name {
            return Err(format!("nvidia-smi says {row:?}, fedflow {} {}", card["uuid"], card["name"]));
        }
        let told = card["memory"]["total"].as_u64().unwrap_or(0);
        let expected = mebibytes.trim().parse::<u64>().map_err(|error| error.to_string())? << 20;
        if told.abs_diff(expected) > SLACK {
            return Err(format!("{uuid} has {expected} bytes by nvidia-smi, {told} by fedflow"));
        }
    }
    Ok(format!("{} cards, in the same order, with the same names and memory", rows.len()))
}

fn visibility(machine: &Machine) -> Outcome {
    let told = machine.run(&machine.task("t", "", &["cuda-list"]), "")?.all_finished()?;
    let seen = told.task("t")["result"]["uuids"].clone();
    let expected = machine.uuid.trim_start_matches("GPU-").trim_start_matches("MIG-");
    if seen == serde_json::json!([expected]) {
        Ok(format!("CUDA shows {expected} and no other"))
    } else {
        Err(format!("CUDA shows {seen}, the lease was for {expected}"))
    }
}

fn allocation(machine: &Machine) -> Outcome {
    let (before, size) = (machine.used()?, machine.total / 8);
    let keys = format!("estimate-cuda-memory = \"{}B\"", size + CONTEXT);
    let mut run = machine.start(&machine.holder("t", size, 3.0, &keys), "")?;
    let mut most = 0;
    while run.goes_on() {
        most = most.max(machine.used()?);
        pause(0.2);
    }
    run.finish()?.all_finished()?;
    let grown = most.saturating_sub(before);
    if (size..=size + CONTEXT + SLACK).contains(&grown) {
        Ok(format!("{size} bytes allocated, {grown} seen"))
    } else {
        Err(format!("{size} bytes allocated, {grown} seen"))
    }
}

fn out_of_memory(machine: &Machine) -> Outcome {
    // Two tasks book little and take most of the card each: the second one fails until it runs alone.
    let size = machine.total / 100 * 55;
    let keys = "estimate-cuda-memory = \"1GB\"";
    let tasks = [machine.holder("a", size, 5.0, keys), machine.holder("b", size, 1.0, keys)].concat();
    let told = machine.run(&tasks, "--set scheduler.train-nretry=6")?.all_finished()?;
    let kinds: Vec<String> =
        told.of("task-retried").map(|event| event["error"]["kind"].to_string()).collect();
    match kinds.as_slice() {
        [] => Err("nothing ran out of memory, though two tasks took more than the card has".into()),
        kinds if kinds.iter().all(|kind| kind == "\"oom\"") => {
            Ok(format!("{} tries ran out of memory, both tasks finished", kinds.len()))
        }
        kinds => Err(format!("tries failed as {}", kinds.join(", "))),
    }
}

fn memory_back(machine: &Machine) -> Outcome {
    let before = machine.used()?;
    let size = machine.total / 4;
    let keys = format!("estimate-cuda-memory = \"{}B\"", size + CONTEXT);
    machine.run(&machine.holder("t", size, 0.5, &keys), "")?.all_finished()?;
    let ended = unix_now();
    // After this time Fedflow would quarantine it.
    while unix_now() - ended < 10.0 {
        let used = machine.used()?;
        if used <= before + SLACK {
            return Ok(format!(
                "{used} bytes used {:.1} s after the run, {before} before",
                unix_now() - ended
            ));
        }
        pause(0.2);
    }
    Err(format!("{} bytes used 10 s after the run, {before} before", machine.used()?))
}

fn sharing(machine: &Machine) -> Outcome {
    let size = machine.total / 32;
    let keys = format!("estimate-cuda-memory = \"{}B\"", machine.total / 8);
    let tasks: String = (0..4).map(|i| machine.holder(&format!("t{i}"), size, 4.0, &keys)).collect();
    let told = machine.run(&tasks, "")?.all_finished()?;
    let times = |key: &str| -> Vec<f64> {
        (0..4).filter_map(|i| told.task(&format!("t{i}"))["result"][key].as_f64()).collect()
    };
    let (held, ended) = (times("held_at"), times("ended_at"));
    let last_in = held.iter().copied().fold(f64::MIN, f64::max);
    let first_out = ended.iter().copied().fold(f64::MAX, f64::min);
    if held.len() == 4 && last_in < first_out {
        Ok(format!("all four held their memory together for {:.1} s", first_out - last_in))
    } else {
        Err("they did not all hold their memory at once".into())
    }
}

fn idle_gap(machine: &Machine) -> Outcome {
    let tasks: String =
        (0..2).map(|i| machine.holder(&format!("t{i}"), 64 << 20, 1.0, "exclusive = true")).collect();
    let told = machine.run(&tasks, "")?.all_finished()?;
    let mut ends: Vec<f64> =
        (0..2).filter_map(|i| told.task(&format!("t{i}"))["result"]["ended_at"].as_f64()).collect();
    ends.sort_by(f64::total_cmp);
    let mut starts: Vec<f64> = told.of("task-training").filter_map(|event| event["time"].as_f64()).collect();
    starts.sort_by(f64::total_cmp);
    let (Some(end), Some(start)) = (ends.first(), starts.get(1)) else {
        return Err("the run does not tell when its tasks began and ended".into());
    };
    // From the first task's last line to the second task's lease: the exit, and the sample of the card.
    let gap = start - end;
    let said = format!("{:.0} ms from the end of one to the lease of the next", gap * 1000.0);
    if (0.0..1.0).contains(&gap) { Ok(said) } else { Err(said) }
}

fn pause(seconds: f64) {
    let (_sender, nothing) = channel::<()>();
    let _ = nothing.recv_timeout(Duration::from_secs_f64(seconds));
}
