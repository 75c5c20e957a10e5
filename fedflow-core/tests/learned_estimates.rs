//! Learned estimates in virtual time: a flow whose tasks nobody estimated is nearly as fast as with perfect estimates.
#![expect(clippy::unwrap_used, reason = "a test may panic")]

use std::path::PathBuf;
use std::time::Duration;

use fedflow_core::*;
use proptest::prelude::*;

/// What a task really does.
#[derive(Debug, Clone, Copy)]
struct Truth {
    uses: Size,
    train: Duration,
}

const MB: u64 = 1_000_000;

fn settings() -> RunSettings {
    RunSettings {
        flow: "test".into(),
        workdir: PathBuf::from("/run"),
        seed: 7,
        session: 1,
        on_failure: OnFailure::Continue,
        grace: Duration::from_secs(1),
    }
}

fn config(auto_adjust: bool) -> Config {
    let mut config = Config::default();
    config.set("scheduler.auto-adjust", &auto_adjust.into()).unwrap();
    config
}

/// Cards of these sizes in GB, of which leases may take what a run may by default.
fn cards(sizes: &[u64]) -> LeaseTable {
    let mut table = LeaseTable::new(Config::default().scheduler.max_per_device);
    for (ordinal, size) in (0..).zip(sizes) {
        let memory = Size::from_gb(*size);
        let info = DeviceInfo {
            device: Device::Sim(ordinal),
            uuid: None,
            name: "card".into(),
            memory: Some(memory),
        };
        table.add(info, Some(memory.scaled(0.8)));
    }
    table
}

/// What came of a flow.
struct Outcome {
    seconds: f64,
    simulation: Simulation,
    estimates: Estimates,
    groups: Vec<TaskGroup>,
}

impl Outcome {
    fn count(&self, name: &str) -> usize {
        self.simulation.events().iter().filter(|(_, event)| event.name() == name).count()
    }
}

/// Runs groups of tasks; with `given`, each task's estimate is exactly what it uses.
fn run(
    sizes: &[u64],
    config: &Config,
    groups: &[(&str, Vec<Truth>)],
    given: bool,
    estimates: Estimates,
) -> Outcome {
    let truths: Vec<(String, Vec<Truth>)> =
        groups.iter().map(|(name, tasks)| ((*name).to_owned(), tasks.clone())).collect();
    let truth = move |assignment: &Assignment| {
        let (_, tasks) = truths.iter().find(|(name, _)| *name == assignment.group.as_str()).unwrap();
        tasks[assignment.task_id.as_str().parse::<usize>().unwrap()]
    };
    let script = truth.clone();
    let simulation = Simulation::new(cards(sizes), move |assignment| Script {
        start: Duration::from_millis(10),
        load: Duration::from_secs(5),
        train: script(assignment).train,
        exit: Duration::from_millis(10),
        fault: None,
    });
    let simulation = simulation.with_card_use(move |assignment| truth(assignment).uses);
    let mut flow = Flow::new(simulation.ports(), settings(), config.clone(), History::default())
        .with_estimates(estimates);
    let mut made = Vec::new();
    for (name, tasks) in groups {
        let mut group = TaskGroup::new(*name).unwrap();
        for (id, task) in (0_u32..).zip(tasks) {
            let needs = Needs { cuda_memory: given.then_some(task.uses), ..Needs::default() };
            group.add_task(TaskSpec::command(id, ["train"]).unwrap().with_needs(needs)).unwrap();
        }
        flow.execute(&mut group).unwrap();
        made.push(group);
    }
    let estimates = flow.estimates().clone();
    flow.finish(RunOutcome::Complete);
    Outcome { seconds: simulation.now().since_start().as_secs_f64(), simulation, estimates, groups: made }
}

fn all_finished(outcome: &Outcome) -> bool {
    outcome.groups.iter().flat_map(TaskGroup::tasks).all(|task| task.status() == TaskStatus::Exited)
}

/// Tasks that use from `least` to `most` megabytes, and train for one to three minutes.
fn tasks(count: usize, least: u64, most: u64, seed: u64) -> Vec<Truth> {
    let mut random = fastrand::Rng::with_seed(seed);
    let mut task = || Truth {
        uses: Size::from_bytes(random.u64(least..=most) * MB),
        train: Duration::from_secs(random.u64(60..=180)),
    };
    (0..count).map(|_| task()).collect()
}

#[test]
fn learned_estimates_are_nearly_as_fast_as_perfect_ones() {
    let mut worst = (0.0_f64, 0);
    for seed in 0..40 {
        let groups = [("sweep", tasks(60, 4_000, 6_000, seed))];
        let learned = run(&[24, 48], &config(true), &groups, false, Estimates::default());
        let perfect = run(&[24, 48], &config(false), &groups, true, Estimates::default());
        let unlearned = run(&[24, 48], &config(false), &groups, false, Estimates::default());
        assert!(all_finished(&learned), "seed {seed}");
        println!(
            "{seed} {:.3} {:.3} oom {}",
            learned.seconds / perfect.seconds,
            unlearned.seconds / perfect.seconds,
            learned.count("task-retried")
        );
        worst = if learned.seconds / perfect.seconds > worst.0 {
            (learned.seconds / perfect.seconds, seed)
        } else {
            worst
        };
    }
    assert!(worst.0 <= 1.15, "{worst:?}");
}
