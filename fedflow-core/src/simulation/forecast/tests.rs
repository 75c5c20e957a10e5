//! Tests of forecasts against runs, of their lower bounds, and of the start order.

mod waiting_devices;

use proptest::prelude::*;

use super::simulated::execute_all;
use super::*;
use crate::engine::{Flow, History};
use crate::learning::stage_times::{Basis, Lead};
use crate::leasing::table::LeaseTable;
use crate::model::config::Config;
use crate::model::run_event::RunOutcome;
use crate::ports::{Assignment, RunSettings};
use crate::simulation::machine::Simulation;
use crate::simulation::script::Script;
use crate::work::spec::{ExpectedTimes, Reuse, TaskSpec};
use crate::{CardLimits, Device, DeviceInfo, Needs, Size};

fn ms(milliseconds: u64) -> Duration {
    Duration::from_millis(milliseconds)
}

/// A group whose tasks have these load and train times, in milliseconds.
fn group(name: &str, tasks: &[(u64, u64)]) -> TaskGroup {
    let mut group = TaskGroup::new(name).unwrap();
    for (place, (load, train)) in tasks.iter().enumerate() {
        let mut spec = TaskSpec::of(
            Name::from(place),
            std::sync::Arc::new(crate::Program::Worker { worker: "w".into(), kind: "k".into() }),
            crate::Dict::new(),
        );
        spec.terms_mut().expected = Some(ExpectedTimes { load: ms(*load), train: ms(*train) });
        group.add_task(spec).unwrap();
    }
    group
}

fn scenario(slots: u32) -> Scenario {
    Scenario {
        flow: "test".into(),
        devices: LeaseTable::of_cpu_slots(slots),
        config: Config::default(),
        seed: 3,
        overlap: true,
        foreseen: true,
    }
}

fn forecast(scenario: Scenario, groups: Vec<TaskGroup>) -> Forecast {
    let times = Rc::new(PlannedTimes::of(&groups, &Durations::default()));
    Forecast::of(scenario, groups, &times).unwrap()
}

fn cards(memory: &[u64], max_per_device: u32) -> LeaseTable {
    let mut table = LeaseTable::new(max_per_device);
    for (ordinal, gigabytes) in (0..).zip(memory) {
        let memory = Size::from_gb(*gigabytes);
        let device = Device::Sim(ordinal);
        table.add(DeviceInfo { device, uuid: None, name: "card".into(), memory: Some(memory) }, Some(memory));
    }
    table
}

fn tasks() -> impl Strategy<Value = Vec<(u64, u64)>> {
    prop::collection::vec((0_u64..400, 1_u64..900), 1..30)
}

/// Runs groups on a simulated machine. Returns how long that takes, and what was learned.
fn record(simulation: &Simulation, asked: &Scenario, groups: &[TaskGroup]) -> (Duration, Durations) {
    let settings = RunSettings {
        flow: "test".into(),
        workdir: "/".into(),
        seed: asked.seed,
        session: 1,
        setup: None,
        on_failure: crate::OnFailure::Continue,
        grace: ms(1),
    };
    let mut run = Flow::new(simulation.ports(), settings, asked.config.clone(), History::default());
    execute_all(&mut run, &mut groups.to_vec()).unwrap();
    run.finish(RunOutcome::Complete);
    let mut durations = Durations::default();
    let events = simulation.events();
    for (time, event) in &events {
        durations.observe(time.since_start().as_secs_f64(), event);
    }
    (events.last().unwrap().0.since_start(), durations)
}

const WHOLE: crate::scheduler::Part = crate::scheduler::Part { own: 1.0, whole: 1.0 };

proptest! {
    #![proptest_config(ProptestConfig { cases: 128, ..ProptestConfig::default() })]

    /// The forecast of a recorded run is exact, whatever time its tasks took besides load and train, and however long
    /// they took to begin in a process that had served others.
    #[test]
    fn a_run_is_forecast_from_its_own_record(
        tasks in prop::collection::vec(tasks(), 1..4),
        // No process exits at once, as that is how kept processes are recognised.
        overhead in prop::collection::vec((0_u64..40, 1_u64..40), 1..9),
        slots in 1_u32..5,
        sync in 0_u64..30,
        order in prop_oneof![Just(StartOrder::Added), Just(StartOrder::Random)],
        load_ahead in any::<bool>(),
        (keep, reuse) in (any::<bool>(), prop::option::of(prop::option::of(1_u32..5))),
        hand_overs in prop::collection::vec((0_u64..40, 0_u64..400), 1..9),
    ) {
        let mut groups = Vec::new();
        for (index, tasks) in (1..).zip(&tasks) {
            let mut of = TaskGroup::new(format!("g-{index}")).unwrap();
            for task in group("any", tasks).tasks() {
                let mut spec = task.spec().clone();
                if keep {
                    spec = spec.with_keep(task.task_id().as_str());
                }
                spec.terms_mut().reuse = reuse.map(|limit| Reuse { limit });
                of.add_task(spec).unwrap();
            }
            of.load_ahead = load_ahead;
            groups.push(of);
        }
        let expected = PlannedTimes::of(&groups, &Durations::default());
        let place = |assignment: &Assignment| assignment.task_id.as_str().parse::<usize>().unwrap();
        let stays = keep || reuse.is_some();
        let simulation = Simulation::new(LeaseTable::of_cpu_slots(slots), move |assignment| {
            let (start, exit) = overhead[place(assignment) % overhead.len()];
            // Of all kept processes, only the slowest exit shows in the events.
            let exit = if stays { overhead[0].1 } else { exit };
            let times = expected.get(&assignment.group, &assignment.task_id);
            Script { start: ms(start), load: times.load, train: times.train, exit: ms(exit), fault: None }
        })
        .with_hand_over(move |assignment, _| {
            let (start, load) = hand_overs[place(assignment) % hand_overs.len()];
            Lead { start: ms(start), load: ms(load) }
        })
        .with_sync_time(ms(sync));
        let mut asked = scenario(slots);
        asked.config.scheduler.order = order;
        // No kept process has to end early, as events do not tell how long that takes.
        asked.config.scheduler.max_process = 100;
        let (real, durations) = record(&simulation, &asked, &groups);
        let again = groups;
        let times = Rc::new(PlannedTimes::of(&again, &durations));
        prop_assert_eq!(times.bases().into_keys().collect::<Vec<_>>(), [Basis::Recorded]);
        let forecast = Forecast::of(asked, again, &times).unwrap();
        // Seconds are added up as floats.
        prop_assert!(durations.totals().makespan.abs_diff(real) < Duration::from_micros(1));
        prop_assert_eq!(forecast.makespan, real);
    }

    /// No forecast is below its lower bound, and the time of each device is accounted for.
    #[test]
    fn nothing_beats_the_bound_and_no_time_is_lost(
        tasks in prop::collection::vec(tasks(), 1..4),
        needs in prop::collection::vec((1_u32..3, prop::option::of(1_u64..9), any::<bool>(), 0_usize..3), 1..6),
        more in prop::collection::vec(8_u64..40, 0..3),
        order in prop_oneof![Just(StartOrder::Added), Just(StartOrder::Random), Just(StartOrder::LongestFirst)],
        max_per_device in 1_u32..4,
        on_cards in any::<bool>(),
        shared in 1_u64..5,
        overlap in any::<bool>(),
        stays in any::<bool>(),
        load_ahead in any::<bool>(),
    ) {
        let mut groups = Vec::new();
        for (index, tasks) in (1..).zip(&tasks) {
            let mut of = TaskGroup::new(format!("g-{index}")).unwrap();
            for (task, (devices, memory, exclusive, pinned)) in
                group("any", tasks).tasks().zip(needs.iter().cycle())
            {
                // Slots beside cards are for what is pinned to them.
                let pin = [None, Some("cuda:0"), Some("cpu")][*pinned].filter(|_| on_cards);
                let needs = Needs {
                    devices: if pin.is_some() { 1 } else { *devices },
                    exclusive: *exclusive,
                    memory: None,
                    cuda_memory: memory.map(Size::from_gb),
                };
                let mut spec = task.spec().clone().with_needs(needs);
                if let Some(pin) = pin {
                    spec = spec.with_device(pin.parse().unwrap());
                }
                if stays {
                    spec = spec.with_keep(task.task_id().as_str());
                }
                of.add_task(spec).unwrap();
            }
            of.load_ahead = load_ahead;
            groups.push(of);
        }
        let memory = [[8, 8].as_slice(), &more].concat();
        let devices = if on_cards {
            // A task that is alone on a card may have all of it, and several together a part.
            let mut table = LeaseTable::new(max_per_device);
            for (ordinal, gigabytes) in (0..).zip(&memory) {
                let [whole, part] = [*gigabytes, *gigabytes * shared / 4].map(Size::from_gb);
                let limits = CardLimits { shared: part, alone: whole, whole };
                table.add_card(DeviceInfo::simulated(ordinal, whole), Some(limits));
            }
            table.with_slots_beside(2)
        } else {
            LeaseTable::of_cpu_slots(3)
        };
        let mut asked = Scenario { devices, overlap, ..scenario(1) };
        asked.config.scheduler.order = order;
        asked.config.scheduler.max_per_device = max_per_device;
        let forecast = forecast(asked, groups);
        prop_assert!(forecast.failed.is_empty());
        prop_assert!(
            forecast.makespan + ms(1) >= forecast.lower_bound,
            "{:?} is below {:?}", forecast.makespan, forecast.lower_bound
        );
        for device in &forecast.devices {
            prop_assert_eq!(device.busy + device.waiting + device.tail, forecast.makespan, "{:?}", device);
        }
    }
}

/// The bound of tasks with these gigabytes and seconds on cards of these sizes, in seconds.
fn bound(sizes: &[u64], tasks: &[(u64, u64)]) -> f64 {
    let times: Vec<(u64, u64)> = tasks.iter().map(|(_, seconds)| (0, seconds * 1000)).collect();
    let mut of = TaskGroup::new("g").unwrap();
    for (task, (memory, _)) in group("any", &times).tasks().zip(tasks) {
        let needs = Needs { cuda_memory: Some(Size::from_gb(*memory)), ..Needs::default() };
        of.add_task(task.spec().clone().with_needs(needs)).unwrap();
    }
    let groups = [of];
    let times = PlannedTimes::of(&groups, &Durations::default());
    lower_bound(&groups, &times, &cards(sizes, 1), &Config::default()).as_secs_f64()
}

#[test]
fn the_bound_counts_what_fits_on_large_cards_only() {
    assert_eq!(bound(&[10, 10], &[(5, 60); 8]), 120.0, "equal cards: memory × time over the memory");
    assert_eq!(bound(&[10, 40], &[(40, 60); 4]), 240.0, "the small card is of no use to them");
    // Of 10 · 60 + 40 · 60 · 2 on 50 GB, but 40 · 60 · 2 on 40 GB.
    assert_eq!(bound(&[10, 40], &[(10, 60), (40, 60), (40, 60)]), 120.0);
    assert_eq!(bound(&[10, 40], &[(1, 500), (40, 60)]), 500.0, "the longest task");
    assert_eq!(bound(&[10, 20, 40], &[(15, 60), (15, 60), (15, 60), (30, 60)]), 75.0, "two classes together");
}

/// Four clients keep their data over three rounds. If only two processes may live, those of the other two clients end.
/// These load anew, which takes as long as the first time, and longer than a hand-over.
#[test]
fn with_fewer_processes_than_keys_it_is_planned_that_they_load_again() {
    let groups: Vec<TaskGroup> = (1..=3)
        .map(|round| {
            let mut of = TaskGroup::new(format!("train-{round}")).unwrap();
            for task in group("any", &[(400, 100); 4]).tasks() {
                let key = task.task_id().as_str().to_owned();
                of.add_task(task.spec().clone().with_keep(key)).unwrap();
            }
            of
        })
        .collect();
    let machine = || {
        let script = |_: &Assignment| Script {
            start: ms(20),
            load: ms(400),
            train: ms(100),
            exit: ms(10),
            fault: None,
        };
        let simulation = Simulation::new(LeaseTable::of_cpu_slots(2), script);
        simulation.with_hand_over(|_, _| Lead { start: ms(5), load: ms(150) })
    };
    let mut few = scenario(2);
    few.config.scheduler.max_process = 2;
    let (kept, durations) = record(&machine(), &scenario(2), &groups);
    let (reloaded, _) = record(&machine(), &few, &groups);
    assert!(reloaded > kept + ms(1000), "{reloaded:?} against {kept:?}: nothing would be shown");
    let again = groups;
    let times = Rc::new(PlannedTimes::of(&again, &durations));
    assert_eq!(Forecast::of(scenario(2), again.clone(), &times).unwrap().makespan, kept);
    assert_eq!(Forecast::of(few, again, &times).unwrap().makespan, reloaded);
}

/// 200 tasks on four devices: `longest-first` comes within a tenth of the lower bound, whatever their times are.
#[test]
fn longest_first_comes_close_to_the_lower_bound() {
    type Draw = fn(&mut fastrand::Rng) -> f64;
    let distributions: [(&str, Draw); 6] = [
        ("all alike", |_| 1.0),
        ("uniform", |random| 0.1 + random.f64()),
        ("exponential", |random| 0.01 - random.f64().max(1e-9).ln()),
        ("heavy tail", |random| random.f64().max(1e-3).powf(-0.7)),
        ("two kinds", |random| if random.u8(..10) == 0 { 12.0 } else { 1.0 }),
        ("one giant", |random| if random.u8(..) == 0 { 60.0 } else { 0.5 + random.f64() }),
    ];
    let (mut best, mut worst) = (0.0_f64, 0.0_f64);
    for (what, draw) in distributions {
        for seed in 0..12 {
            let mut random = fastrand::Rng::with_seed(seed);
            let mut drawn = || {
                let train = draw(&mut random);
                // Loading takes a part of the time, and is never the bottleneck.
                ((random.f64() * train * 1000.0) as u64, (train * 1000.0) as u64 + 1)
            };
            let tasks: Vec<(u64, u64)> = (0..200).map(|_| drawn()).collect();
            let ratio = |order| {
                let mut asked = scenario(4);
                asked.config.scheduler.order = order;
                let forecast = forecast(asked, vec![group("g", &tasks)]);
                forecast.makespan.as_secs_f64() / forecast.lower_bound.as_secs_f64()
            };
            let longest_first = ratio(StartOrder::LongestFirst);
            assert!(longest_first < 1.1, "{what}, seed {seed}: {longest_first} times the lower bound");
            best = best.max(longest_first);
            worst = worst.max(ratio(StartOrder::Added));
        }
    }
    println!("longest-first at most {best:.4}, added at most {worst:.4} times the lower bound");
    assert!(worst > 1.1, "the order makes no difference, so nothing was shown");
}

#[test]
fn a_task_of_unknown_length_takes_the_middle() {
    let mut of = group("g", &[(0, 10), (0, 50), (0, 90)]);
    of.set_expected(&Name::from(0_u32), None).unwrap();
    let config = Config::default();
    let tasks = crate::ScheduledTask::of_group(&of, &config);
    assert_eq!(crate::scheduler::start_order(&tasks, StartOrder::LongestFirst, 0, |_| WHOLE), [2, 0, 1]);
}

/// The start order of tasks that say how long they train, or nothing.
fn longest_first(train: &[Option<u64>]) -> Vec<u32> {
    let times: Vec<(u64, u64)> = train.iter().map(|train| (0, train.unwrap_or(1))).collect();
    let mut of = group("g", &times);
    for (place, _) in train.iter().enumerate().filter(|(_, train)| train.is_none()) {
        of.set_expected(&Name::from(place), None).unwrap();
    }
    let tasks = crate::ScheduledTask::of_group(&of, &Config::default());
    crate::scheduler::start_order(&tasks, StartOrder::LongestFirst, 0, |_| WHOLE)
}

#[test]
fn what_says_that_it_is_long_starts_before_what_says_nothing() {
    assert_eq!(longest_first(&[None, None, None, Some(90)]), [3, 0, 1, 2]);
    assert_eq!(longest_first(&[None, Some(80), None, Some(90), Some(80)]), [3, 1, 4, 0, 2]);
    assert_eq!(longest_first(&[None, Some(90)]), [1, 0]);
    assert_eq!(longest_first(&[None, Some(90), Some(1), None]), [1, 0, 3, 2], "and after what is short");
    assert_eq!(longest_first(&[None, None]), [0, 1]);
}

/// What a run does not know its forecast must not either: that the others take as long as the only one that says so.
#[test]
fn a_forecast_starts_with_what_says_that_it_is_long() {
    let mut of = group("g", &[(0, 1), (0, 1), (0, 90)]);
    for place in 0..2_u32 {
        of.set_expected(&Name::from(place), None).unwrap();
    }
    let mut asked = scenario(1);
    asked.config.scheduler.order = StartOrder::LongestFirst;
    let events = forecast(asked, vec![of]).events;
    let first = events.iter().find_map(|(_, event)| match event {
        RunEvent::TaskStarted { task, .. } => Some(task.clone()),
        _ => None,
    });
    assert_eq!(first, Some(Name::from(2_u32)));
}

#[test]
fn without_overlap_devices_wait_for_every_load() {
    let tasks = vec![(200, 200); 40];
    let with = forecast(scenario(2), vec![group("g", &tasks)]);
    assert_eq!((with.makespan, with.lower_bound), (ms(4200), ms(4200)));
    assert_eq!(with.idle(), ms(400), "two slots wait for the first load");
    let without = forecast(Scenario { overlap: false, ..scenario(2) }, vec![group("g", &tasks)]);
    assert_eq!((without.makespan, without.lower_bound), (ms(8000), ms(4200)));
    assert_eq!(without.idle(), ms(8000), "half of the time");
    assert!(without.devices.iter().all(|device| (device.busy, device.trainings) == (ms(4000), 20)));
}

#[test]
fn idle_time_has_its_cause() {
    // One slot waits for a long load, and at the end the other one waits for the longest task.
    let forecast = forecast(scenario(2), vec![group("g", &[(10, 100), (10, 20), (60, 30), (0, 1)])]);
    let told: Vec<_> =
        forecast.devices.iter().map(|device| (device.busy, device.waiting, device.tail)).collect();
    assert_eq!(forecast.makespan, ms(110));
    let sums = told.iter().fold((ms(0), ms(0), ms(0)), |a, b| (a.0 + b.0, a.1 + b.1, a.2 + b.2));
    assert_eq!(sums, (ms(151), ms(49), ms(20)));
}

#[test]
fn tasks_that_would_take_too_long_are_told() {
    let mut of = group("g", &[(0, 100), (0, 900)]);
    of.limits.train_timeout = Some(ms(500));
    let told = forecast(scenario(2), vec![of.clone()]);
    assert_eq!(told.failed.len(), 1);
    assert_eq!(told.failed[0].1, Name::from(1_u32));
    let other = forecast(Scenario { overlap: false, ..scenario(2) }, vec![of]);
    assert_eq!(other.failed, [], "other runners' limits are not known");
}

#[test]
fn what_nobody_knows_is_the_mean_of_its_group_or_nothing() {
    let mut groups = vec![group("a", &[(10, 20), (30, 40), (0, 0)]), group("b", &[(0, 0)])];
    groups[0].set_expected(&Name::from(2_u32), None).unwrap();
    groups[1].set_expected(&Name::from(0_u32), None).unwrap();
    let times = PlannedTimes::of(&groups, &Durations::default());
    let bases: Vec<_> = times.bases().into_iter().collect();
    assert_eq!(bases, [(Basis::Declared, 2), (Basis::Group, 1), (Basis::Unknown, 1)]);
    let of = times.get(&Name::new("a").unwrap(), &Name::from(2_u32));
    assert_eq!((of.load, of.train), (ms(20), ms(30)));
    assert_eq!(times.groups_with(Basis::Unknown).into_keys().collect::<Vec<_>>(), [Name::new("b").unwrap()]);
}
