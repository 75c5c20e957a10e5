//! The engine in random worlds, in virtual time: random tasks, durations, faults, stops, kills and resumes, judged from
//! the events alone.
#![expect(clippy::unwrap_used, reason = "a test may panic")]

#[path = "virtual_time/device_sets.rs"]
mod device_sets;
#[path = "virtual_time/host_memory.rs"]
mod host_memory;
#[path = "virtual_time/kills.rs"]
mod kills;
#[path = "virtual_time/spares.rs"]
mod spares;
#[path = "virtual_time/waiting.rs"]
mod waiting;

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::rc::Rc;
use std::time::Duration;

use fedflow_core::*;
use proptest::prelude::*;

const SLOTS: u32 = 2;

fn ms(milliseconds: u64) -> Duration {
    Duration::from_millis(milliseconds)
}

fn script(load: u64, train: u64) -> Script {
    Script { start: ms(1), load: ms(load), train: ms(train), exit: ms(1), fault: None }
}

fn settings(seed: u64) -> RunSettings {
    RunSettings {
        flow: "test".into(),
        workdir: PathBuf::from("/run"),
        seed,
        session: 1,
        setup: None,
        on_failure: OnFailure::Continue,
        grace: ms(500),
    }
}

fn config() -> Config {
    let mut config = Config::default();
    for (key, value) in [
        ("supervision.start-timeout", "2s"),
        ("supervision.load-timeout", "3s"),
        ("supervision.train-timeout", "3s"),
        ("supervision.exit-timeout", "1s"),
        ("supervision.grace", "500ms"),
    ] {
        config.set(key, &value.into()).unwrap();
    }
    config
}

fn group(name: &str, tasks: u32) -> TaskGroup {
    let mut group = TaskGroup::new(name).unwrap();
    for id in 0..tasks {
        group.add_task(TaskSpec::command(id, ["work"]).unwrap()).unwrap();
    }
    group
}

fn simulation(table: LeaseTable, scripts: Vec<Script>) -> Simulation {
    Simulation::new(table, move |assignment| {
        let place: usize = assignment.task_id.as_str().parse().unwrap();
        scripts[place % scripts.len()]
    })
}

fn run(
    simulation: &Simulation,
    config: &Config,
    groups: &mut [TaskGroup],
    history: History,
) -> Result<(), FlowError> {
    let mut flow = Flow::new(simulation.ports(), settings(7), config.clone(), history);
    let mut outcome = Ok(());
    for group in groups {
        outcome = flow.execute(group).map(|_| ());
        if outcome.is_err() {
            break;
        }
    }
    flow.finish(RunOutcome::Complete);
    outcome
}

/// When each task of a run loaded, trained and ended, from its events.
#[derive(Default, Debug)]
struct Story {
    waits: Vec<(Time, Time)>,
    trains: Vec<(Time, Time)>,
    outcomes: BTreeMap<(Name, Name), u32>,
}

fn story(events: &[(Time, RunEvent)]) -> Story {
    let mut story = Story::default();
    let mut loaded: BTreeMap<(Name, Name), Time> = BTreeMap::new();
    let mut training: BTreeMap<(Name, Name), Time> = BTreeMap::new();
    for (time, event) in events {
        let Some((group, task, _)) = event.task() else { continue };
        let key = (group.clone(), task.clone());
        match event {
            RunEvent::TaskLoaded { .. } | RunEvent::TaskRetried { data_kept: true, .. } => {
                loaded.insert(key, *time);
            }
            RunEvent::TaskTraining { .. } => {
                story.waits.push((loaded.remove(&key).unwrap(), *time));
                training.insert(key, *time);
            }
            RunEvent::TaskReleased { .. } => {
                story.trains.push((training.remove(&key).unwrap(), *time));
            }
            RunEvent::TaskExited { .. } => {
                if let Some(since) = loaded.remove(&key) {
                    story.waits.push((since, *time));
                }
            }
            RunEvent::TaskFinished { .. } | RunEvent::TaskFailed { .. } => {
                *story.outcomes.entry(key).or_default() += 1;
            }
            _ => {}
        }
    }
    assert!(training.is_empty(), "still training at the end: {training:?}");
    story
}

/// No task waits while a slot is free.
fn check_work_conserving(story: &Story, slots: usize) -> Result<(), TestCaseError> {
    let mut moments: Vec<Time> =
        story.waits.iter().chain(&story.trains).flat_map(|span| [span.0, span.1]).collect();
    moments.sort_unstable();
    moments.dedup();
    for pair in moments.windows(2) {
        let covers = |span: &&(Time, Time)| span.0 <= pair[0] && span.1 >= pair[1];
        let training = story.trains.iter().filter(covers).count();
        let waiting = story.waits.iter().filter(covers).count();
        prop_assert!(training <= slots, "{} train at once from {}", training, pair[0]);
        prop_assert!(waiting == 0 || training == slots, "a slot is free from {} to {}", pair[0], pair[1]);
    }
    Ok(())
}

fn check_nothing_left(simulation: &Simulation) -> Result<(), TestCaseError> {
    prop_assert_eq!(simulation.living(), 0, "processes are left");
    prop_assert_eq!(simulation.leases(), 0, "leases are left");
    Ok(())
}

#[test]
fn loading_hides_behind_training() {
    let simulation = simulation(LeaseTable::of_cpu_slots(SLOTS), vec![script(200, 200)]);
    let mut groups = [group("train", 40)];
    run(&simulation, &config(), &mut groups, History::default()).unwrap();
    // 40 times 0.2 s of training on two slots, the first load, one start and one exit.
    assert_eq!(simulation.now().since_start(), ms(4000 + 200 + 2));
}

#[test]
fn outcomes_are_announced_when_they_are_durable() {
    let simulation = simulation(LeaseTable::of_cpu_slots(1), vec![script(5, 5)]).with_sync_time(ms(50));
    let mut groups = [group("train", 3), group("next", 1)];
    run(&simulation, &config(), &mut groups, History::default()).unwrap();
    let events = simulation.events();
    let recorded = |wanted: &str, of: &str| {
        events
            .iter()
            .position(|(_, event)| match event {
                RunEvent::GroupStarted { group, .. } => wanted == "group-started" && group.as_str() == of,
                event => {
                    event.name() == wanted && event.task().is_some_and(|(group, ..)| group.as_str() == of)
                }
            })
            .unwrap()
    };
    let finished_at = events[recorded("task-finished", "train")].0;
    let next_at = events[recorded("group-started", "next")].0;
    assert!(next_at.since(finished_at) >= ms(50), "a group ends when its records are safe");
    let names: Vec<_> = simulation.announced().iter().map(RunEvent::name).collect();
    let last_finished = names.iter().rposition(|name| *name == "task-finished").unwrap();
    assert_eq!(names[last_finished + 1..], ["group-finished", "run-finished"]);
}

#[test]
fn a_large_task_is_not_passed_by_for_ever() {
    let mut table = LeaseTable::new(1);
    let info = DeviceInfo { device: Device::Sim(0), uuid: None, name: "sim".into(), memory: None };
    table.add(info, Some(Size::from_gb(10)));
    let mut group = TaskGroup::new("mixed").unwrap();
    for id in 0_u32..60 {
        let memory = Some(Size::from_gb(if id == 5 { 9 } else { 3 }));
        let needs = Needs { cuda_memory: memory, ..Needs::default() };
        group.add_task(TaskSpec::command(id, ["work"]).unwrap().with_needs(needs)).unwrap();
    }
    let simulation = simulation(table, vec![script(1, 100), script(1, 130), script(1, 70)]);
    run(&simulation, &config(), std::slice::from_mut(&mut group), History::default()).unwrap();
    let order: Vec<_> = simulation
        .events()
        .iter()
        .filter_map(|(_, event)| match event {
            RunEvent::TaskTraining { task, .. } => Some(task.as_str().to_owned()),
            _ => None,
        })
        .collect();
    let place = order.iter().position(|task| task == "5").unwrap();
    assert!(place <= 8, "the large task was number {place} to train");
}

#[test]
fn each_pinned_device_is_kept_busy() {
    let mut table = LeaseTable::new(1);
    for ordinal in 0..2 {
        let info = DeviceInfo { device: Device::Sim(ordinal), uuid: None, name: "sim".into(), memory: None };
        table.add(info, Some(Size::from_gb(10)));
    }
    let mut group = TaskGroup::new("pinned").unwrap();
    for id in 0_u32..40 {
        let pin = Pin::Device(Device::Cuda(u32::from(id >= 20)));
        group.add_task(TaskSpec::command(id, ["work"]).unwrap().with_device(pin)).unwrap();
    }
    let simulation = simulation(table, vec![script(10, 100)]);
    run(&simulation, &config(), std::slice::from_mut(&mut group), History::default()).unwrap();
    assert!(simulation.now().since_start() < ms(2100), "{}: one card waited for the other", simulation.now());
}

#[test]
fn an_out_of_memory_is_tried_again_with_more_and_at_last_alone() {
    let mut table = LeaseTable::new(4);
    let info = DeviceInfo { device: Device::Sim(0), uuid: None, name: "sim".into(), memory: None };
    table.add(info, Some(Size::from_gb(8)));
    let oom = Script { fault: Some(SimulatedFault::Error(Stage::Train, FailureKind::Oom)), ..script(10, 10) };
    let simulation = simulation(table, vec![oom]);
    let mut groups = [group("train", 1)];
    run(&simulation, &config(), &mut groups, History::default()).unwrap();
    let shares: Vec<_> = simulation
        .events()
        .iter()
        .filter_map(|(_, event)| match event {
            RunEvent::TaskTraining { attempt, memory, .. } => Some((*attempt, memory.unwrap())),
            _ => None,
        })
        .collect();
    let gb = |tenths: u64| Size::from_bytes(tenths * 100_000_000);
    assert_eq!(
        shares,
        [(1, gb(20)), (1, gb(30)), (2, gb(45)), (3, Size::from_bytes(6_750_000_000))],
        "the data is kept once, then a new process each time"
    );
    assert_eq!(groups[0].get_task("0").unwrap().failure().unwrap().kind, FailureKind::Oom);
}

#[test]
fn a_request_that_no_device_can_meet_is_refused_before_anything_starts() {
    let simulation = simulation(LeaseTable::of_cpu_slots(2), vec![script(1, 1)]);
    let mut group = group("train", 2);
    let pin: Pin = "cuda:3".parse().unwrap();
    group.add_task(TaskSpec::command("pinned", ["work"]).unwrap().with_device(pin)).unwrap();
    let error =
        run(&simulation, &config(), std::slice::from_mut(&mut group), History::default()).unwrap_err();
    assert_eq!(error.to_string(), "task pinned: there is no device cuda:3; this run has cpu");
    assert!(simulation.events().iter().all(|(_, event)| event.task().is_none()));
}

#[test]
fn a_stop_leaves_tasks_open_and_a_resume_ends_them() {
    let first = simulation(LeaseTable::of_cpu_slots(2), vec![script(20, 100)]);
    first.at(Time::after(ms(350)), Input::Stop(StopLevel::Graceful));
    let error = run(&first, &config(), &mut [group("train", 12)], History::default()).unwrap_err();
    assert!(matches!(error, FlowError::Stopped));
    check_nothing_left(&first).unwrap();
    let done = story(&first.events()).outcomes.len();
    assert!(done > 0 && done < 12, "{done} were done");

    let second = simulation(LeaseTable::of_cpu_slots(2), vec![script(20, 100)]);
    let mut groups = [group("train", 12)];
    run(&second, &config(), &mut groups, history(&first.events())).unwrap();
    assert!(groups[0].finished());
    assert_eq!(story(&second.events()).outcomes.len(), 12 - done, "what was done is not done again");
    let changed = run(&second, &config(), &mut [group("train", 13)], history(&first.events()));
    assert!(matches!(changed, Err(FlowError::Changed(_))));
}

#[test]
fn a_task_that_is_open_again_runs_alone_and_may_be_made_of_something_else() {
    let fault = Some(SimulatedFault::Error(Stage::Train, FailureKind::Error));
    let fails = Script { fault, ..script(5, 5) };
    let first = simulation(LeaseTable::of_cpu_slots(2), vec![script(5, 5), fails, script(5, 5)]);
    run(&first, &config(), &mut [group("train", 3)], History::default()).unwrap();
    let mut recorded = history(&first.events());
    let name = |text: &str| Name::new(text).unwrap();
    recorded.reopened = [(name("train"), vec![name("1")])].into();
    let train = recorded.groups.get_mut(&name("train")).unwrap();
    train.outcomes.remove(&name("1")).unwrap();
    (train.fingerprint, train.finished) = (None, false);
    let second = simulation(LeaseTable::of_cpu_slots(2), vec![script(5, 5)]);
    let mut other = TaskGroup::new("train").unwrap();
    for (id, program) in [(0_u32, "work"), (1, "mended"), (2, "work")] {
        other.add_task(TaskSpec::command(id, [program]).unwrap()).unwrap();
    }
    let mut again = [other];
    run(&second, &config(), &mut again, recorded.clone()).unwrap();
    let started: Vec<_> = second
        .events()
        .into_iter()
        .filter_map(|(_, event)| match event {
            RunEvent::TaskStarted { task, attempt, .. } => Some((task, attempt)),
            _ => None,
        })
        .collect();
    assert_eq!(started, [(name("1"), 2)]);
    assert!(again[0].tasks().all(|task| task.result().is_some()));
    let told = matches!(&second.events()[0].1, RunEvent::RunStarted { reopened, .. } if *reopened == recorded.reopened);
    // What is kept must be made of the same still, and what is recorded must be there.
    let train = recorded.groups.get_mut(&name("train")).unwrap();
    let same = group("train", 3);
    train.tasks = [(name("0"), fedflow_core::task_fingerprint(&same, same.get_task("0").unwrap()))].into();
    for (tasks, fits) in [(3, true), (4, true), (2, false)] {
        let executed = run(&second, &config(), &mut [group("train", tasks)], recorded.clone());
        assert_eq!(!matches!(executed, Err(FlowError::Changed(_))), fits, "{tasks} tasks");
    }
    recorded.groups.get_mut(&name("train")).unwrap().tasks.insert(name("2"), 7);
    let executed = run(&second, &config(), &mut [group("train", 3)], recorded.clone());
    assert!(matches!(executed, Err(FlowError::Changed(_))));
    assert!(told, "a session after this one goes on with it");
}

/// What a journal would give back of these events.
fn history(events: &[(Time, RunEvent)]) -> History {
    let mut history = History::default();
    for (_, event) in events {
        match event {
            RunEvent::GroupStarted { group, fingerprint, .. } => {
                history.groups.entry(group.clone()).or_default().fingerprint = Some(*fingerprint);
            }
            RunEvent::GroupFinished { group, .. } => {
                history.groups.entry(group.clone()).or_default().finished = true;
            }
            RunEvent::TaskStarted { group, task, attempt, .. } => {
                history.groups.entry(group.clone()).or_default().attempts.insert(task.clone(), *attempt);
            }
            RunEvent::TaskFinished { group, task, attempt, device, result, .. } => {
                let outcome =
                    RecordedOutcome { attempt: *attempt, device: Some(*device), result: Ok(result.clone()) };
                history.groups.entry(group.clone()).or_default().outcomes.insert(task.clone(), outcome);
            }
            RunEvent::TaskFailed { group, task, attempt, device, error, .. } => {
                let outcome =
                    RecordedOutcome { attempt: *attempt, device: *device, result: Err(error.clone()) };
                history.groups.entry(group.clone()).or_default().outcomes.insert(task.clone(), outcome);
            }
            _ => {}
        }
    }
    history
}

fn any_fault() -> impl Strategy<Value = Option<SimulatedFault>> {
    let stage = prop_oneof![Just(Stage::Start), Just(Stage::Load), Just(Stage::Wait), Just(Stage::Train)];
    let kind = prop_oneof![Just(FailureKind::Error), Just(FailureKind::Oom), Just(FailureKind::Protocol)];
    prop_oneof![
        4 => Just(None),
        1 => (stage.clone(), kind).prop_map(|(stage, kind)| Some(SimulatedFault::Error(stage, kind))),
        1 => stage.clone().prop_map(|stage| Some(SimulatedFault::Dies(stage))),
        1 => prop_oneof![Just(Stage::Start), Just(Stage::Load), Just(Stage::Train)]
            .prop_map(|stage| Some(SimulatedFault::Hangs(stage))),
        1 => prop_oneof![Just(Stage::Start), Just(Stage::Load), Just(Stage::Train)]
            .prop_map(|stage| Some(SimulatedFault::HangsHard(stage))),
        1 => Just(Some(SimulatedFault::Stays)),
    ]
}

prop_compose! {
    fn any_script()(
        start in 0_u64..5, load in 0_u64..300, train in 0_u64..300, exit in 0_u64..20, fault in any_fault(),
    ) -> Script {
        Script { start: ms(start), load: ms(load), train: ms(train), exit: ms(exit), fault }
    }
}

prop_compose! {
    fn any_config()(
        max_waiting in 1_i64..12, max_process in 1_i64..24, retries in 0_i64..3,
        load_nretry in 0_i64..3, train_nretry in 0_i64..4, order in prop_oneof!["added", "random", "longest-first", "largest-first", "packed", "auto"],
    ) -> Config {
        let mut config = config();
        config.set("scheduler.max-waiting", &max_waiting.into()).unwrap();
        config.set("scheduler.max-process", &max_process.into()).unwrap();
        config.set("supervision.retries", &retries.into()).unwrap();
        config.set("scheduler.load-nretry", &load_nretry.into()).unwrap();
        config.set("scheduler.train-nretry", &train_nretry.into()).unwrap();
        config.set("scheduler.order", &order.as_str().into()).unwrap();
        config
    }
}

fn cards(sizes: &[u64]) -> LeaseTable {
    let mut table = LeaseTable::new(2);
    for (ordinal, size) in (0..).zip(sizes) {
        let info = DeviceInfo { device: Device::Sim(ordinal), uuid: None, name: "sim".into(), memory: None };
        table.add(info, Some(Size::from_gb(*size)));
    }
    table
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn every_task_ends_exactly_once_and_no_slot_idles(
        config in any_config(),
        scripts in prop::collection::vec(any_script(), 1..40),
        slots in 1_u32..6,
        sync in prop::option::of(0_u64..30),
    ) {
        let mut world = simulation(LeaseTable::of_cpu_slots(slots), scripts.clone());
        if let Some(sync) = sync {
            world = world.with_sync_time(ms(sync));
        }
        let tasks = u32::try_from(scripts.len()).unwrap();
        let mut groups = [group("one", tasks), group("two", tasks / 2)];
        run(&world, &config, &mut groups, History::default()).unwrap();
        check_nothing_left(&world)?;
        let events = world.events();
        let story = story(&events);
        prop_assert_eq!(story.outcomes.len(), scripts.len() + scripts.len() / 2);
        prop_assert!(story.outcomes.values().all(|count| *count == 1));
        prop_assert!(groups.iter().all(TaskGroup::finished));
        check_work_conserving(&story, slots as usize)?;
        let last_of_one = events.iter().rposition(|(_, e)| e.task().is_some_and(|(g, ..)| g.as_str() == "one"));
        let first_of_two = events.iter().position(|(_, e)| e.task().is_some_and(|(g, ..)| g.as_str() == "two"));
        prop_assert!(first_of_two.is_none() || last_of_one < first_of_two, "groups overlap");
    }

    #[test]
    fn a_task_fails_only_when_its_script_says_so(
        scripts in prop::collection::vec(any_script(), 1..30),
    ) {
        let world = simulation(LeaseTable::of_cpu_slots(SLOTS), scripts.clone());
        let mut groups = [group("one", u32::try_from(scripts.len()).unwrap())];
        run(&world, &config(), &mut groups, History::default()).unwrap();
        for (task, script) in groups[0].tasks().zip(&scripts) {
            // A fault before the result is an exception. A worker that dies while it waits may have trained before.
            let expected = match script.fault {
                None | Some(SimulatedFault::Stays) => Some(TaskStatus::Exited),
                Some(SimulatedFault::Error(Stage::Wait, _)) => Some(TaskStatus::Exited),
                Some(SimulatedFault::Dies(Stage::Wait)) => None,
                Some(_) => Some(TaskStatus::Exception),
            };
            if let Some(expected) = expected {
                prop_assert_eq!(task.status(), expected, "{:?}", script.fault);
            }
        }
    }

    #[test]
    fn cards_are_shared_and_never_overbooked(
        config in any_config(),
        scripts in prop::collection::vec(any_script(), 1..30),
        sizes in prop::collection::vec(4_u64..30, 1..4),
        needs in prop::collection::vec((prop::option::of(1_u64..30), any::<bool>(), 1_u32..3), 30),
    ) {
        // The lease table checks itself after every lease, see `Simulation`.
        let world = simulation(cards(&sizes), scripts.clone());
        let largest = *sizes.iter().max().unwrap();
        let count = u32::try_from(sizes.len()).unwrap();
        let mut group = TaskGroup::new("shared").unwrap();
        for (id, (memory, exclusive, devices)) in (0_u32..).zip(&needs).take(scripts.len()) {
            let needs = Needs {
                devices: if memory.is_none() { (*devices).min(count) } else { 1 },
                exclusive: *exclusive,
                memory: None,
                cuda_memory: memory.map(|memory| Size::from_gb(memory.min(largest))),
            };
            group.add_task(TaskSpec::command(id, ["work"]).unwrap().with_needs(needs)).unwrap();
        }
        run(&world, &config, std::slice::from_mut(&mut group), History::default()).unwrap();
        check_nothing_left(&world)?;
        prop_assert!(group.finished());
        prop_assert!(story(&world.events()).outcomes.values().all(|count| *count == 1));
    }

    #[test]
    fn stops_and_cancels_at_any_moment_lose_nothing(
        config in any_config(),
        scripts in prop::collection::vec(any_script(), 2..30),
        stop in 0_u64..3000,
        second in prop::option::of(0_u64..700),
        cancel in 0_u64..1000,
    ) {
        let tasks = u32::try_from(scripts.len()).unwrap();
        let name = Name::new("one").unwrap();
        let first = simulation(LeaseTable::of_cpu_slots(SLOTS), scripts.clone()).with_sync_time(ms(4));
        first.at(Time::after(ms(cancel)), Input::Cancel { group: name.clone(), task: Name::from(1_u32) });
        first.at(Time::after(ms(stop)), Input::Stop(StopLevel::Graceful));
        if let Some(second) = second {
            first.at(Time::after(ms(stop + second)), Input::Stop(StopLevel::AtOnce));
        }
        let outcome = run(&first, &config, &mut [group("one", tasks)], History::default());
        check_nothing_left(&first)?;
        let before = story(&first.events()).outcomes;
        prop_assert_eq!(outcome.is_ok(), before.len() == scripts.len());
        let seconds_left = first.now().since(Time::after(ms(stop)));
        prop_assert!(outcome.is_ok() || seconds_left <= ms(600), "the grace was {:?}", seconds_left);

        let resumed = simulation(LeaseTable::of_cpu_slots(SLOTS), scripts.clone());
        let mut groups = [group("one", tasks)];
        run(&resumed, &config, &mut groups, history(&first.events())).unwrap();
        prop_assert!(groups[0].finished());
        let after = story(&resumed.events()).outcomes;
        let twice: BTreeSet<_> = after.keys().filter(|key| before.contains_key(*key)).collect();
        prop_assert!(twice.is_empty(), "{:?} ended twice", twice);
        prop_assert_eq!(before.len() + after.len(), scripts.len());
    }

    #[test]
    fn one_seed_is_one_run(scripts in prop::collection::vec(any_script(), 1..20), config in any_config()) {
        let events = || {
            let world = simulation(cards(&[8, 12]), scripts.clone());
            let tasks = u32::try_from(scripts.len()).unwrap();
            run(&world, &config, &mut [group("one", tasks)], History::default()).unwrap();
            world.events()
        };
        prop_assert_eq!(events(), events());
    }
}

#[test]
fn late_messages_of_an_earlier_attempt_change_nothing() {
    // The first attempt is ended by its time limit while its result is on the way.
    let attempts = Rc::new(RefCell::new(0));
    let seen = attempts.clone();
    let world = Simulation::new(LeaseTable::of_cpu_slots(1), move |assignment| {
        *seen.borrow_mut() = assignment.attempt;
        let train = if assignment.attempt == 1 { 3001 } else { 10 };
        script(1, train)
    });
    let mut config = config();
    config.set("supervision.retries", &1_i64.into()).unwrap();
    let mut groups = [group("one", 1)];
    run(&world, &config, &mut groups, History::default()).unwrap();
    assert_eq!(*attempts.borrow(), 2);
    assert_eq!(groups[0].get_task("0").unwrap().status(), TaskStatus::Exited);
    assert_eq!(groups[0].get_task("0").unwrap().attempt(), 2);
}

#[test]
fn a_task_that_is_cancelled_between_two_attempts_is_not_tried_again() {
    // It fails after 21 ms and takes 100 ms to exit. It is cancelled in between.
    let fault = Some(SimulatedFault::Error(Stage::Train, FailureKind::Error));
    let world =
        simulation(LeaseTable::of_cpu_slots(1), vec![Script { exit: ms(100), fault, ..script(10, 10) }]);
    world
        .at(Time::after(ms(60)), Input::Cancel { group: Name::new("one").unwrap(), task: Name::from(0_u32) });
    let mut config = config();
    config.set("supervision.retries", &5_i64.into()).unwrap();
    let mut groups = [group("one", 1)];
    run(&world, &config, &mut groups, History::default()).unwrap();
    let task = groups[0].get_task("0").unwrap();
    assert_eq!((task.failure().unwrap().kind, task.attempt()), (FailureKind::Cancelled, 1));
}
