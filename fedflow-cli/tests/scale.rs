//! What a large group costs: bytes a task, from the flow file to the report, with every part of the supervisor that
//! keeps something of a task.

#[path = "scale/counting_allocator.rs"]
mod counting_allocator;

use std::path::{Path, PathBuf};
use std::time::Duration;

use counting_allocator::CountingAllocator;
use fedflow_cli::flow::{FlowContext, FlowFile, Surroundings, validate};
use fedflow_cli::view::RunSummary;
use fedflow_core::{
    Config, DevicePool as _, Dict, Flow, History, LeaseTable, Observer, OnFailure, Ports, RunEvent,
    RunOutcome, RunSettings, Script, Simulation, Time,
};
use fedflow_report::Report;

#[global_allocator]
static ALLOCATOR: CountingAllocator = CountingAllocator;

/// The scheduler checks its own rules after every step in a build with assertions, which looks at every task.
const TASKS: usize = if cfg!(debug_assertions) { 4_000 } else { 100_000 };

/// The most memory that the supervisor may take for a task, with what the allocator adds.
const LIMIT: usize = 1024;

/// Nothing ran before.
struct Nothing;

impl FlowContext for Nothing {
    fn workdir(&self, _: &str, _: &str) -> Option<PathBuf> {
        None
    }

    fn result(&self, _: &str, _: &str) -> Option<Dict> {
        None
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
        describe: &|_, _| Ok(Vec::new()),
        leasable: &|request| table.check(request),
    };
    assert!(validate(&file.flow, &surroundings).is_empty());
    file
}

fn run(file: &FlowFile, config: Config) -> Keepers {
    let millisecond = Duration::from_millis(1);
    let script =
        Script { start: millisecond, load: millisecond, train: millisecond, exit: millisecond, fault: None };
    let world = Simulation::new(LeaseTable::of_cpu_slots(8), move |_| script);
    let Ports { launcher, pool, inbox, .. } = world.ports();
    let ports = Ports { launcher, pool, observer: Keepers::default(), inbox };
    let settings = RunSettings {
        flow: "sweep".into(),
        workdir: "/res".into(),
        seed: 0,
        session: 1,
        on_failure: OnFailure::Continue,
        grace: Duration::from_secs(10),
    };
    let mut flow = Flow::new(ports, settings, config, History::default());
    let mut groups = Vec::new();
    for plan in &file.flow.groups {
        let mut group = plan.build(&Nothing).unwrap();
        flow.execute(&mut group).unwrap();
        groups.push(group);
    }
    let keepers = flow.finish(RunOutcome::Complete).observer;
    drop(groups);
    keepers
}

#[test]
fn a_task_takes_at_most_a_kibibyte() {
    let text = sweep(TASKS);
    let before = CountingAllocator::in_use();
    CountingAllocator::take_most();
    let file = checked(&text, &Config::default());
    let checking = CountingAllocator::take_most() - before;
    let kept = CountingAllocator::in_use() - before;
    let keepers = run(&file, Config::default());
    let running = CountingAllocator::take_most() - before;
    let reported = CountingAllocator::in_use() - before - kept;
    assert_eq!(keepers.report.counts().finished, TASKS);
    assert_eq!(keepers.summary.counts().finished, TASKS as u64);
    let mut page = CountingSink::default();
    fedflow_report::render_html(&keepers.report, &mut page).unwrap();
    fedflow_report::render_json(&keepers.report, &mut page).unwrap();
    fedflow_report::render_csv(&keepers.report, &mut page).unwrap();
    let rendering = CountingAllocator::take_most() - before;
    assert!(page.0 > 0);
    let a_task = |bytes: usize| bytes / TASKS;
    println!(
        "bytes a task: checking {}, plan {}, running {}, report {}, rendering {}",
        a_task(checking),
        a_task(kept),
        a_task(running),
        a_task(reported),
        a_task(rendering)
    );
    for (what, bytes) in [("checking", checking), ("running", running), ("rendering", rendering)] {
        assert!(a_task(bytes) <= LIMIT, "{what} takes {} bytes a task", a_task(bytes));
    }
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
