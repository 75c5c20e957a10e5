//! What a large group costs: bytes a task, from the flow file to the report, with every part of the supervisor that
//! keeps something of a task.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

#[path = "scale/counting_allocator.rs"]
mod counting_allocator;

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use counting_allocator::CountingAllocator;
use fedflow_cli::flow::{Findings, FlowContext, FlowFile, Surroundings, validate};
use fedflow_cli::view::RunSummary;
use fedflow_core::{
    Config, Device, Dict, Flow, History, LeaseTable, Name, Observer, OnFailure, Ports, RunEvent, RunOutcome,
    RunSettings, Script, Simulation, Time,
};
use fedflow_report::Report;
use fedflow_worker::Description;

#[global_allocator]
static ALLOCATOR: CountingAllocator = CountingAllocator;

/// In a build with assertions the scheduler checks its own rules after every step, which looks at every task.
const TASKS: usize = if cfg!(debug_assertions) { 4_000 } else { 100_000 };

/// The most memory that the supervisor may take for a task, with what the allocator adds.
const LIMIT: usize = 1024;

/// What it may take beside that for the parameters of a task: one variable, in a dictionary that is shared.
const PARAMETERS: usize = 256;

/// The tests share the allocator's counters.
static ALONE: Mutex<()> = Mutex::new(());

/// Nothing ran before.
struct Nothing;

impl FlowContext for Nothing {
    fn workdir(&self, _: &str, _: &str) -> Option<PathBuf> {
        None
    }

    fn result(&self, _: &str, _: &str) -> Option<Dict> {
        None
    }

    fn results(&self, _: &str) -> Dict {
        Dict::new()
    }
}

/// Those observers of a run that keep something of each task.
#[derive(Default)]
struct Keepers {
    report: Report,
    summary: RunSummary,
}

impl Observer for Keepers {
    fn announce(&mut self, time: Time, event: &RunEvent) {
        self.report.apply(1.7e9 + time.since_start().as_secs_f64(), event);
        self.summary.announce(time, event);
    }
}

/// The usual large sweep: every command differs.
fn sweep(tasks: usize) -> String {
    format!(
        r#"
        [[groups]]
        name = "sweep"
        [[groups.tasks]]
        matrix = {{ seed = {{ from = 0, to = {tasks} }} }}
        id = "seed-{{{{ seed }}}}"
        command = ["/bin/sh", "train.sh", "--seed", "{{{{ seed }}}}"]
        "#
    )
}

fn checked(text: &str, config: &Config) -> FlowFile {
    let file = FlowFile::parse(text, Path::new("/flows/sweep.toml")).unwrap();
    let table = LeaseTable::of_cpu_slots(8);
    let surroundings = Surroundings {
        config,
        search_path: None,
        python_path: None,
        describe: &|_, _, _| Ok(Description::default()),
        leasable: &|request| table.check(request),
        is_recorded: false,
    };
    assert_eq!(validate(&file.flow, &surroundings), Findings::default());
    file
}

fn run(file: &FlowFile, config: Config) -> Keepers {
    let millisecond = Duration::from_millis(1);
    let script =
        Script { start: millisecond, load: millisecond, train: millisecond, exit: millisecond, fault: None };
    let world = Simulation::new(LeaseTable::of_cpu_slots(8), move |_| script);
    let Ports { workers, pool, .. } = world.ports();
    let ports = Ports { workers, pool, observer: Keepers::default() };
    let settings = RunSettings {
        flow: "sweep".into(),
        workdir: "/res".into(),
        seed: 0,
        session: 1,
        setup: None,
        on_failure: OnFailure::Continue,
        grace: Duration::from_secs(10),
    };
    let mut flow = Flow::new(ports, settings, config, History::default());
    let mut groups = Vec::new();
    for group in &file.flow.groups {
        let mut group = group.build(&Arc::new(Nothing)).unwrap();
        flow.execute(&mut group).unwrap();
        groups.push(group);
    }
    let keepers = flow.finish(RunOutcome::Complete).observer;
    drop(groups);
    keepers
}

/// What a number of tasks takes: bytes at most while it is checked and while it runs, and calls of the allocator.
struct Cost {
    checking: usize,
    running: usize,
    calls: usize,
}

impl Cost {
    fn of(tasks: usize) -> Self {
        let text = sweep(tasks);
        let before = CountingAllocator::in_use();
        let calls = CountingAllocator::calls();
        CountingAllocator::take_most();
        let file = checked(&text, &Config::default());
        let checking = CountingAllocator::take_most() - before;
        let keepers = run(&file, Config::default());
        let running = CountingAllocator::take_most() - before;
        assert_eq!(keepers.report.counts().finished, tasks);
        assert_eq!(keepers.summary.counts().finished, tasks as u64);
        Self { checking, running, calls: CountingAllocator::calls() - calls }
    }
}

#[test]
fn a_task_takes_at_most_a_kibibyte() {
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let cost = Cost::of(TASKS);
    let (checking, running) = (cost.checking / TASKS, cost.running / TASKS);
    println!("bytes a task: checking {checking}, running {running}");
    assert!(checking <= 256, "checking takes {checking} bytes a task");
    assert!(
        running <= LIMIT + PARAMETERS - 100,
        "running takes {running} bytes a task; a report is written beside it"
    );
}

#[test]
fn what_is_done_for_a_task_does_not_grow_with_their_number() {
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let (few, many) = (TASKS / 8, TASKS);
    let calls = |tasks: usize| Cost::of(tasks).calls as f64 / tasks as f64;
    let (of_few, of_many) = (calls(few), calls(many));
    println!("calls of the allocator a task: {of_few:.1} of {few}, {of_many:.1} of {many}");
    assert!(of_many <= of_few * 1.05, "{of_many} calls of the allocator a task, {of_few} with fewer tasks");
}

#[test]
fn a_report_is_rendered_in_little_more_than_it_takes_itself() {
    const MANY: u32 = 100_000;
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let before = CountingAllocator::in_use();
    let report = reported(MANY);
    let kept = CountingAllocator::in_use() - before;
    CountingAllocator::take_most();
    let mut bytes = CountingSink::default();
    fedflow_report::render_html(&report, &mut bytes).unwrap();
    fedflow_report::render_json(&report, &mut bytes).unwrap();
    fedflow_report::render_csv(&report, &mut bytes).unwrap();
    let rendering = CountingAllocator::take_most() - before - kept;
    assert!(bytes.0 > MANY as usize * 100, "every task is in the results");
    let (kept, rendering) = (kept / MANY as usize, rendering / MANY as usize);
    println!("bytes a task: report {kept}, rendering {rendering}");
    assert!(kept <= 420, "a report takes {kept} bytes a task");
    // The data of the charts is in memory as a whole before it is written.
    assert!(rendering <= 420, "rendering takes {rendering} bytes a task beside the report");
}

/// The report of a group whose tasks ran on eight slots, with results without values.
fn reported(tasks: u32) -> Report {
    let group = Name::new("sweep").unwrap();
    let ids: Vec<Name> = (0..tasks).map(Name::from).collect();
    let mut report = Report::new();
    report.apply(
        0.0,
        &RunEvent::GroupStarted {
            group: group.clone(),
            index: 1,
            workdir: "/res/sweep".into(),
            fingerprint: 0,
            tasks: ids.clone(),
            fingerprints: Vec::new(),
            order: None,
            params: Vec::new(),
        },
    );
    for (place, task) in (0_u32..).zip(ids) {
        let begin = 1.7e9 + f64::from(place) * 0.01;
        let (group, device) = (group.clone(), Device::Cpu);
        let workdir = format!("/res/sweep/{task}");
        let (load_time, train_time) = (Duration::from_millis(10), Duration::from_millis(50));
        let (attempt, slot) = (1, place % 8);
        let result = Dict::new();
        for (at, event) in [
            (
                0.0,
                RunEvent::TaskStarted {
                    group: group.clone(),
                    task: task.clone(),
                    attempt,
                    workdir,
                    reused: false,
                },
            ),
            (
                0.01,
                RunEvent::TaskLoading {
                    group: group.clone(),
                    task: task.clone(),
                    attempt,
                    startup_time: None,
                },
            ),
            (0.02, RunEvent::TaskLoaded { group: group.clone(), task: task.clone(), attempt, load_time }),
            (
                0.03,
                RunEvent::TaskTraining {
                    group: group.clone(),
                    task: task.clone(),
                    attempt,
                    device,
                    slot,
                    devices: Vec::new(),
                    memory: None,
                    pin: None,
                },
            ),
            (0.08, RunEvent::TaskReleased { group: group.clone(), task: task.clone(), attempt, train_time }),
            (
                0.08,
                RunEvent::TaskFinished {
                    group: group.clone(),
                    task: task.clone(),
                    attempt,
                    device,
                    load_time,
                    train_time,
                    result,
                },
            ),
            (0.09, RunEvent::TaskExited { group: group.clone(), task: task.clone(), attempt }),
        ] {
            report.apply(begin + at, &event);
        }
    }
    report
}

#[derive(Default)]
struct CountingSink(usize);

impl std::io::Write for CountingSink {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0 += bytes.len();
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}
