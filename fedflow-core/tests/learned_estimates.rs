//! Learned estimates in virtual time: a flow without estimates is nearly as fast as one with perfect estimates.
#![expect(clippy::unwrap_used, reason = "a test may panic")]

use std::path::PathBuf;
use std::time::Duration;

use fedflow_core::*;

/// What a task really does.
#[derive(Debug, Clone, Copy)]
struct Truth {
    model: &'static str,
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
        setup: None,
        on_failure: OnFailure::Continue,
        grace: Duration::from_secs(1),
    }
}

fn config(auto_adjust: bool) -> Config {
    let mut config = Config::default();
    config.set("scheduler.auto-adjust", &auto_adjust.into()).unwrap();
    config
}

/// Cards of these sizes in GB, of which leases may take the default part.
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

/// What a flow has led to.
struct Outcome {
    seconds: f64,
    simulation: Simulation,
    estimates: Estimates,
    groups: Vec<TaskGroup>,
}

impl Outcome {
    /// What each attempt leased and used of its card, as it was told.
    fn card_uses(&self) -> Vec<(String, MemoryUse)> {
        card_uses(&self.simulation)
    }

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
    for second in 0..4_000 {
        let memory = Size::from_gb(1000);
        let sample = HostSample { memory_total: memory, memory_available: memory, cpu: 0.0 };
        simulation.at(Time::after(Duration::from_secs(second)), Input::Host(sample));
    }
    let simulation = simulation.with_card_use(move |assignment| truth(assignment).uses);
    let mut flow = Flow::new(simulation.ports(), settings(), config.clone(), History::default())
        .with_estimates(estimates);
    let mut made = Vec::new();
    for (name, tasks) in groups {
        let mut group = TaskGroup::new(*name).unwrap();
        for (id, task) in (0_u32..).zip(tasks) {
            let needs = Needs { cuda_memory: given.then_some(task.uses), ..Needs::default() };
            let spec = TaskSpec::command(id, ["train", "--model", task.model, "--seed", &id.to_string()]);
            group.add_task(spec.unwrap().with_needs(needs)).unwrap();
        }
        flow.execute(&mut group).unwrap();
        made.push(group);
    }
    let estimates = flow.estimates().clone();
    flow.finish(RunOutcome::Complete);
    Outcome { seconds: simulation.now().since_start().as_secs_f64(), simulation, estimates, groups: made }
}

fn card_uses(simulation: &Simulation) -> Vec<(String, MemoryUse)> {
    let events = simulation.events();
    let told = events.iter().filter_map(|(_, event)| match event {
        RunEvent::TaskMemory { task, cuda_memory, .. } => Some((task.to_string(), (*cuda_memory)?)),
        _ => None,
    });
    told.collect()
}

fn all_finished(outcome: &Outcome) -> bool {
    outcome.groups.iter().flat_map(TaskGroup::tasks).all(|task| task.status() == TaskStatus::Exited)
}

/// Tasks of some models in random order, which use about the same memory each and train for one to three minutes.
fn sweep(count: usize, models: &[(&'static str, u64)], seed: u64) -> Vec<Truth> {
    let mut random = fastrand::Rng::with_seed(seed);
    let mut task = |place: usize| {
        let (model, megabytes) = models[place % models.len()];
        Truth {
            model,
            uses: Size::from_bytes(random.u64(megabytes * 97 / 100..=megabytes * 103 / 100) * MB),
            train: Duration::from_secs(random.u64(60..=180)),
        }
    };
    let mut tasks: Vec<Truth> = (0..count).map(&mut task).collect();
    random.shuffle(&mut tasks);
    tasks
}

/// How much longer a sweep takes with learned estimates than with perfect ones.
fn slowdown(sizes: &[u64], models: &[(&'static str, u64)], seed: u64) -> f64 {
    let groups = [("sweep", sweep(60, models, seed))];
    let learned = run(sizes, &config(true), &groups, false, Estimates::default());
    let perfect = run(sizes, &config(false), &groups, true, Estimates::default());
    assert!(all_finished(&learned) && all_finished(&perfect), "seed {seed}");
    assert_eq!(perfect.count("task-retried"), 0, "seed {seed}: perfect estimates are");
    learned.seconds / perfect.seconds
}

#[test]
fn learned_estimates_are_nearly_as_fast_as_perfect_ones() {
    for seed in 0..12 {
        let slowdown = slowdown(&[24, 48], &[("mlp", 5_500)], seed);
        assert!(slowdown <= 1.15, "{slowdown:.3} with seed {seed}");
    }
}

#[test]
fn they_are_so_for_other_cards_and_mixtures_too() {
    // Where a card has room for exactly four tasks or nearly five, a margin costs one of them. On average it does not.
    for (sizes, models) in [
        (&[24, 48], &[("mlp", 3_000)][..]),
        (&[80, 24], &[("mlp", 7_000)]),
        (&[12, 24], &[("mlp", 2_000)]),
        (&[24, 48], &[("small", 3_000), ("medium", 5_500), ("large", 9_000)]),
    ] {
        let all: Vec<f64> = (0..8).map(|seed| slowdown(sizes, models, seed)).collect();
        let mean = all.iter().sum::<f64>() / 8.0;
        assert!(mean <= 1.15, "{mean:.3} on {sizes:?} with {models:?}: {all:.3?}");
    }
}

/// At first nothing tells that the large ones, which come first, do not fit the small card.
#[test]
fn a_small_card_is_used_once_it_is_known_what_fits_it() {
    let mut tasks = sweep(60, &[("large", 15_000), ("small", 3_000)], 1);
    tasks.sort_by_key(|task| task.model);
    let groups = [("sweep", tasks)];
    let learned = run(&[24, 8], &config(true), &groups, false, Estimates::default());
    let perfect = run(&[24, 8], &config(false), &groups, true, Estimates::default());
    assert!(all_finished(&learned) && all_finished(&perfect));
    let slowdown = learned.seconds / perfect.seconds;
    assert!(slowdown <= 1.25, "{slowdown:.3}: {} and {} s", learned.seconds, perfect.seconds);
}

#[test]
fn without_auto_adjust_nothing_is_learned() {
    let groups = [("sweep", sweep(60, &[("mlp", 5_500)], 1))];
    let unlearned = run(&[24, 48], &config(false), &groups, false, Estimates::default());
    let learned = run(&[24, 48], &config(true), &groups, false, Estimates::default());
    assert!(unlearned.estimates.is_empty() && !learned.estimates.is_empty());
    assert!(unlearned.seconds > 2.0 * learned.seconds, "each task had its card alone");
    let sources = |outcome: &Outcome| -> Vec<EstimateSource> {
        outcome.card_uses().iter().map(|(_, used)| used.source).collect()
    };
    assert!(sources(&unlearned).iter().all(|source| *source == EstimateSource::Default));
    let from_default = sources(&learned).iter().filter(|source| **source == EstimateSource::Default).count();
    assert_eq!(from_default, 2, "the first task on each card");
}

#[test]
fn what_one_run_has_learned_the_next_one_knows() {
    let groups = [("sweep", sweep(60, &[("mlp", 5_500)], 1))];
    let first = run(&[24, 48], &config(true), &groups, false, Estimates::default());
    let stored = serde_json::to_string(&first.estimates).unwrap();
    let second = run(&[24, 48], &config(true), &groups, false, serde_json::from_str(&stored).unwrap());
    assert!(second.card_uses().iter().all(|(_, used)| used.source == EstimateSource::Learned));
    assert_eq!(second.count("task-retried"), 0);
    assert!(second.seconds < first.seconds);
}

#[test]
fn estimates_come_in_order() {
    let group_memory = Some(Size::from_gb(4));
    let known = {
        let groups = [("sweep", sweep(2, &[("mlp", 5_500)], 1))];
        run(&[24], &config(true), &groups, false, Estimates::default()).estimates
    };
    let asked = |own: Option<Size>, group_memory, estimates: &Estimates| {
        let simulation = Simulation::new(cards(&[24]), |_| Script {
            start: Duration::ZERO,
            load: Duration::ZERO,
            train: Duration::from_secs(1),
            exit: Duration::ZERO,
            fault: None,
        })
        .with_card_use(|_| Size::from_gb(1));
        let mut flow = Flow::new(simulation.ports(), settings(), config(true), History::default())
            .with_estimates(estimates.clone());
        let mut group = TaskGroup::new("sweep").unwrap();
        group.estimate_cuda_memory = group_memory;
        let spec = TaskSpec::command("new", ["train", "--model", "mlp", "--seed", "9"]).unwrap();
        group.add_task(spec.with_needs(Needs { cuda_memory: own, ..Needs::default() })).unwrap();
        flow.execute(&mut group).unwrap();
        flow.finish(RunOutcome::Complete);
        let used = card_uses(&simulation)[0].1;
        (used.source, used.asked)
    };
    let nothing = Estimates::default();
    let own = Some(Size::from_gb(3));
    assert_eq!(asked(own, group_memory, &known), (EstimateSource::Given, Size::from_gb(3)));
    assert_eq!(asked(None, group_memory, &known), (EstimateSource::Given, Size::from_gb(4)));
    let (source, learned) = asked(None, None, &known);
    assert!(source == EstimateSource::Learned && learned > Size::from_bytes(5_300 * MB), "{learned}");
    assert_eq!(asked(None, None, &nothing), (EstimateSource::Default, Size::from_gb(2)));
}

#[test]
fn a_family_that_grows_is_followed() {
    // The second half needs twice as much; nothing tells it from the first half.
    let mut tasks = sweep(60, &[("mlp", 4_000)], 3);
    tasks.iter_mut().skip(30).for_each(|task| task.uses = task.uses.scaled(2.0));
    let groups = [("sweep", tasks)];
    let learned = run(&[24, 48], &config(true), &groups, false, Estimates::default());
    assert!(all_finished(&learned), "out of memory is tried again");
    assert!(learned.count("task-retried") <= 15, "{}", learned.count("task-retried"));
    let uses = learned.card_uses();
    let too_small =
        |uses: &[(String, MemoryUse)]| uses.iter().filter(|(_, u)| u.peak > Some(u.asked)).count();
    assert!(too_small(&uses[45..]) <= 2, "in the end it is known");
}

#[test]
fn what_was_learned_on_a_larger_card_keeps_no_task_from_a_smaller_one() {
    let groups = [("sweep", sweep(4, &[("mlp", 30_000)], 1))];
    let known = run(&[80], &config(true), &groups, false, Estimates::default()).estimates;
    let smaller = [("sweep", sweep(4, &[("mlp", 6_000)], 1))];
    let outcome = run(&[16], &config(true), &smaller, false, known.clone());
    assert!(all_finished(&outcome));
    // One task is pinned to the smaller card.
    let simulation = Simulation::new(cards(&[16, 80]), |_| Script {
        start: Duration::ZERO,
        load: Duration::ZERO,
        train: Duration::from_secs(1),
        exit: Duration::ZERO,
        fault: None,
    });
    let mut flow =
        Flow::new(simulation.ports(), settings(), config(true), History::default()).with_estimates(known);
    let mut group = TaskGroup::new("sweep").unwrap().with_device(Pin::Device(Device::Sim(0)));
    group.add_task(TaskSpec::command(0_u32, ["train", "--model", "mlp", "--seed", "0"]).unwrap()).unwrap();
    let summary = flow.execute(&mut group).unwrap();
    assert_eq!(summary.finished, 1);
}

#[test]
fn host_memory_is_learned_and_reserved() {
    let at_once = |auto_adjust: bool| {
        let simulation = Simulation::new(LeaseTable::of_cpu_slots(8), |_| Script {
            start: Duration::from_millis(1),
            load: Duration::from_secs(5),
            train: Duration::from_secs(5),
            exit: Duration::from_millis(1),
            fault: None,
        });
        let total = Size::from_gb(100);
        let sample = HostSample { memory_total: total, memory_available: total, cpu: 0.0 };
        let simulation = simulation.with_host(sample);
        // The first task of the first group uses 30 GB; the default is 2.
        let peak = WorkerEvent::Peak(Size::from_gb(30));
        simulation
            .at(Time::after(Duration::from_secs(2)), Input::Worker { worker: WorkerId(1), event: peak });
        let mut flow = Flow::new(simulation.ports(), settings(), config(auto_adjust), History::default());
        for (name, tasks) in [("round-1", 1_u32), ("round-2", 8)] {
            let mut group = TaskGroup::new(name).unwrap();
            for id in 0..tasks {
                group.add_task(TaskSpec::command(id, ["train"]).unwrap()).unwrap();
            }
            flow.execute(&mut group).unwrap();
        }
        flow.finish(RunOutcome::Complete);
        let (mut living, mut most) = (0_usize, 0);
        for (_, event) in simulation.events() {
            match event {
                RunEvent::TaskLoading { .. } => living += 1,
                RunEvent::TaskLoaded { .. } => living -= 1,
                _ => {}
            }
            most = most.max(living);
        }
        most
    };
    assert_eq!(at_once(false), 8);
    assert_eq!(at_once(true), 2, "two times 33 GB fit into 80");
}
