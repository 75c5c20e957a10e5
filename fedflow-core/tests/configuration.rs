//! Each configuration key of the scheduler, in virtual time: what it does, and that it does nothing when it is not set.
#![expect(clippy::unwrap_used, reason = "a test may panic")]

use std::path::PathBuf;
use std::time::Duration;

use fedflow_core::*;

fn config(keys: &[(&str, Value)]) -> Config {
    let mut config = Config::default();
    for (key, value) in keys {
        config.set(key, value).unwrap();
    }
    config
}

fn settings() -> RunSettings {
    RunSettings {
        flow: "test".into(),
        workdir: PathBuf::from("/run"),
        seed: 7,
        session: 1,
        setup: None,
        on_failure: OnFailure::Continue,
        grace: Duration::from_secs(1),
    }
}

fn host(available: u64, cpu: f64) -> HostSample {
    HostSample { memory_total: Size::from_gb(100), memory_available: Size::from_gb(available), cpu }
}

fn card(gigabytes: u64, config: &Config) -> LeaseTable {
    let mut table = LeaseTable::new(config.scheduler.max_per_device);
    let memory = Size::from_gb(gigabytes);
    let info = DeviceInfo { device: Device::Sim(0), uuid: None, name: "card".into(), memory: Some(memory) };
    table.add(info, Some(memory));
    table
}

/// Runs 30 tasks that load and train for ten seconds each. Returns the run's events.
fn run(
    table: LeaseTable,
    config: &Config,
    sample: Option<HostSample>,
    fault: Option<SimulatedFault>,
) -> Vec<(Time, RunEvent)> {
    let simulation = Simulation::new(table, move |_| Script {
        start: Duration::from_millis(1),
        load: Duration::from_secs(10),
        train: Duration::from_secs(10),
        exit: Duration::from_millis(1),
        fault,
    });
    let simulation = match sample {
        Some(sample) => simulation.with_host(sample),
        None => simulation,
    };
    let mut flow = Flow::new(simulation.ports(), settings(), config.clone(), History::default());
    let mut group = TaskGroup::new("g").unwrap();
    let tasks = if fault.is_some() { 1 } else { 30_u32 };
    for id in 0..tasks {
        group.add_task(TaskSpec::command(id, ["work"]).unwrap()).unwrap();
    }
    flow.execute(&mut group).unwrap();
    flow.finish(RunOutcome::Complete);
    simulation.events()
}

/// The most that were at something at once, by the names of the events with which it begins and ends.
fn at_once(events: &[(Time, RunEvent)], begins: &str, ends: &[&str]) -> i32 {
    let steps = events.iter().map(|(_, event)| match event.name() {
        name if name == begins => 1,
        name if ends.contains(&name) => -1,
        _ => 0,
    });
    let mut now = 0;
    steps
        .map(|step| {
            now += step;
            now
        })
        .max()
        .unwrap_or(0)
}

fn loading(keys: &[(&str, Value)], sample: HostSample) -> i32 {
    let events = run(LeaseTable::of_cpu_slots(30), &config(keys), Some(sample), None);
    at_once(&events, "task-loading", &["task-loaded"])
}

#[test]
fn utilization_limit_cpu() {
    let busy = host(100, 0.9);
    assert!(loading(&[], busy) > 1, "as it is, busy processors are no reason to wait");
    assert_eq!(loading(&[("utilization-limit.cpu", 0.8.into())], busy), 1);
}

#[test]
fn training_does_not_wait_for_processors() {
    let keys = config(&[("utilization-limit.cpu", 0.8.into())]);
    let events = run(LeaseTable::of_cpu_slots(30), &keys, Some(host(100, 0.9)), None);
    let time_of = |wanted: &str, of: &str| {
        let found = events.iter().find(|(_, event)| {
            event.name() == wanted && event.task().is_some_and(|(_, task, _)| task.as_str() == of)
        });
        found.unwrap().0
    };
    for task in ["0", "7", "29"] {
        assert_eq!(time_of("task-loaded", task), time_of("task-training", task), "task {task}");
    }
}

#[test]
fn utilization_limit_memory() {
    // 30 of 100 GB are free. By default 20 GB must stay free, and each task is expected to use 2 GB.
    assert_eq!(loading(&[], host(30, 0.0)), 5);
    assert_eq!(loading(&[("utilization-limit.memory", 0.76.into())], host(30, 0.0)), 3);
}

#[test]
fn remain_limit_memory() {
    assert_eq!(loading(&[("remain-limit.memory", "26GB".into())], host(30, 0.0)), 2);
}

#[test]
fn default_memory() {
    assert_eq!(loading(&[("scheduler.default-memory", "5GB".into())], host(30, 0.0)), 2);
}

#[test]
fn max_waiting() {
    let ahead = |keys: &[(&str, Value)]| {
        let events = run(LeaseTable::of_cpu_slots(1), &config(keys), None, None);
        at_once(&events, "task-started", &["task-training"])
    };
    let by_default = ahead(&[]);
    assert_eq!(ahead(&[("scheduler.max-waiting", 1.into())]), 1);
    assert!((2..=10).contains(&by_default), "{by_default}");
}

#[test]
fn max_process() {
    let living = |keys: &[(&str, Value)]| {
        let keys: Vec<_> = keys.iter().cloned().chain([("scheduler.max-waiting", 30.into())]).collect();
        at_once(
            &run(LeaseTable::of_cpu_slots(30), &config(&keys), None, None),
            "task-started",
            &["task-exited"],
        )
    };
    assert_eq!(living(&[("scheduler.max-process", 3.into())]), 3);
    assert!(living(&[]) > 3);
}

fn sharing(keys: &[(&str, Value)]) -> i32 {
    let config = config(keys);
    at_once(&run(card(24, &config), &config, None, None), "task-training", &["task-released"])
}

#[test]
fn max_per_device() {
    assert_eq!(sharing(&[]), 1, "a task without an estimate has a card alone");
    assert_eq!(sharing(&[("scheduler.max-per-device", 3.into())]), 3);
}

#[test]
fn default_cuda_memory() {
    let many = ["scheduler.max-per-device", "scheduler.max-waiting", "scheduler.max-process"];
    let mut keys: Vec<(&str, Value)> = many.iter().map(|key| (*key, 30.into())).collect();
    assert_eq!(sharing(&keys), 12, "2 GB each");
    keys.push(("scheduler.default-cuda-memory", "6GB".into()));
    assert_eq!(sharing(&keys), 4);
}

#[test]
fn load_nretry() {
    let retries = |keys: &[(&str, Value)]| {
        let fault = Some(SimulatedFault::Error(Stage::Load, FailureKind::Oom));
        let events = run(LeaseTable::of_cpu_slots(1), &config(keys), None, fault);
        events.iter().filter(|(_, event)| event.name() == "task-retried").count()
    };
    assert_eq!(retries(&[]), 3);
    assert_eq!(retries(&[("scheduler.load-nretry", 1.into())]), 1);
    assert_eq!(retries(&[("scheduler.train-nretry", 1.into())]), 3, "that is another budget");
}

#[test]
fn train_nretry() {
    let retries = |keys: &[(&str, Value)]| {
        let config = config(keys);
        let fault = Some(SimulatedFault::Error(Stage::Train, FailureKind::Oom));
        let events = run(card(24, &config), &config, None, fault);
        events.iter().filter(|(_, event)| event.name() == "task-retried").count()
    };
    assert_eq!(retries(&[]), 3);
    assert_eq!(retries(&[("scheduler.train-nretry", 1.into())]), 1);
}
