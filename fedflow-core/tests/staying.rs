//! Processes that are kept for later tasks, and groups that load ahead before they are active, in virtual time.
#![expect(clippy::unwrap_used, reason = "a test may panic")]

#[path = "staying/affinity.rs"]
mod affinity;
#[path = "staying/depth.rs"]
mod depth;
#[path = "staying/loading_ahead.rs"]
mod loading_ahead;
#[path = "staying/other_runs.rs"]
mod other_runs;
#[path = "staying/reuse.rs"]
mod reuse;
#[path = "staying/time_limits.rs"]
mod time_limits;

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use fedflow_core::*;
use proptest::prelude::*;

fn ms(milliseconds: u64) -> Duration {
    Duration::from_millis(milliseconds)
}

fn script(load: u64, train: u64) -> Script {
    Script { start: ms(1), load: ms(load), train: ms(train), exit: ms(1), fault: None }
}

fn config(settings: &[(&str, &str)]) -> Config {
    let mut config = Config::default();
    let limits = [("supervision.load-timeout", "3s"), ("supervision.exit-timeout", "1s")];
    for (key, value) in limits.iter().chain(settings) {
        config.set(key, &(*value).into()).unwrap();
    }
    config
}

fn task(id: impl IntoName) -> TaskSpec {
    let program = Program::Worker { worker: "w".into(), kind: "k".into() };
    TaskSpec::of(id.into_name().unwrap(), Arc::new(program), Dict::new())
}

fn group(name: &str, tasks: impl IntoIterator<Item = TaskSpec>) -> TaskGroup {
    let mut group = TaskGroup::new(name).unwrap();
    for task in tasks {
        group.add_task(task).unwrap();
    }
    group
}

fn ahead(mut group: TaskGroup) -> TaskGroup {
    group.load_ahead = true;
    group
}

fn flow(simulation: &Simulation, config: &Config) -> Flow<SimulationPort, SimulationPort, SimulationPort> {
    flow_with(simulation.ports(), config)
}

fn flow_with<P: DevicePool>(
    ports: Ports<SimulationPort, P, SimulationPort>,
    config: &Config,
) -> Flow<SimulationPort, P, SimulationPort> {
    let settings = RunSettings {
        flow: "test".into(),
        workdir: PathBuf::from("/run"),
        seed: 7,
        session: 1,
        setup: None,
        on_failure: OnFailure::Continue,
        grace: ms(500),
    };
    Flow::new(ports, settings, config.clone(), History::default())
}

/// Executes groups as those of a flow file are executed: a group that loads ahead is given together with the one before.
fn run(simulation: &Simulation, config: &Config, groups: &mut [TaskGroup]) -> Result<(), FlowError> {
    execute(flow(simulation, config), groups)
}

fn execute<P: DevicePool>(
    mut flow: Flow<SimulationPort, P, SimulationPort>,
    groups: &mut [TaskGroup],
) -> Result<(), FlowError> {
    let mut outcome = Ok(());
    for index in 0..groups.len() {
        let (done, rest) = groups.split_at_mut(index + 1);
        outcome = match rest.first_mut().filter(|next| next.load_ahead) {
            Some(next) => flow.execute_and_load(&mut done[index], next),
            None => flow.execute(&mut done[index]),
        }
        .map(drop);
        if outcome.is_err() {
            break;
        }
    }
    flow.finish(RunOutcome::Complete);
    outcome
}

/// How many processes were started, and how many tasks were given to processes that had served others.
fn starts(simulation: &Simulation) -> (usize, usize) {
    let count = |wanted: bool| {
        let events = simulation.events();
        events
            .iter()
            .filter(|(_, e)| matches!(e, RunEvent::TaskStarted { reused, .. } if *reused == wanted))
            .count()
    };
    (count(false), count(true))
}

fn assert_nothing_left(simulation: &Simulation) {
    assert_eq!((simulation.living(), simulation.leases()), (0, 0), "processes or leases are left");
}

fn cards(sizes: &[u64]) -> LeaseTable {
    let mut table = LeaseTable::new(4);
    for (ordinal, size) in (0..).zip(sizes) {
        let info = DeviceInfo { device: Device::Sim(ordinal), uuid: None, name: "sim".into(), memory: None };
        table.add(info, Some(Size::from_gb(*size)));
    }
    table
}

fn host(available: u64) -> HostSample {
    HostSample { memory_total: Size::from_gb(100), memory_available: Size::from_gb(available), cpu: 0.0 }
}

fn with_memory(task: TaskSpec, host: u64, card: u64) -> TaskSpec {
    let needs = Needs {
        memory: Some(Size::from_gb(host)),
        cuda_memory: Some(Size::from_gb(card)),
        ..Needs::default()
    };
    task.with_needs(needs)
}

#[test]
fn rounds_load_once() {
    let simulation = Simulation::new(LeaseTable::of_cpu_slots(2), |_| script(500, 50));
    let mut groups = Vec::new();
    for round in 0..50 {
        let client = |client: u32| task(client).with_keep(format!("client-{client}"));
        groups.push(group(&format!("train-{round}"), (0..10).map(client)));
        groups.push(group(&format!("merge-{round}"), [task("merge").with_keep("merge")]));
    }
    run(&simulation, &config(&[]), &mut groups).unwrap();
    assert_eq!(starts(&simulation), (11, 50 * 11 - 11), "each client and the aggregate load once");
    let only_training = ms(50 * (10 / 2 + 1) * 50);
    let makespan = simulation.now().since_start();
    assert!(makespan < only_training.mul_f64(1.1), "{makespan:?} against {only_training:?}");
    assert_nothing_left(&simulation);
}

#[test]
fn tasks_of_another_kind_do_not_find_what_was_loaded() {
    let simulation = Simulation::new(LeaseTable::of_cpu_slots(1), |_| script(500, 50));
    let of_kind = |kind: &str, id: u32| {
        let program = Program::Worker { worker: "w".into(), kind: kind.into() };
        let task = TaskSpec::of(Name::from(id), Arc::new(program), Dict::new());
        task.with_keep(format!("client-{id}"))
    };
    let mut groups = Vec::new();
    for round in 0..4 {
        for kind in ["train", "test"] {
            groups.push(group(&format!("{kind}-{round}"), (0..2).map(|id| of_kind(kind, id))));
        }
    }
    run(&simulation, &config(&[]), &mut groups).unwrap();
    assert_eq!(starts(&simulation), (4, 12), "each kind has a process for each client");
    // The tasks of the first two groups load side by side; all others only train.
    assert!(simulation.now() < Time::after(ms(2 * 510 + 16 * 55)), "{}", simulation.now());
    assert_nothing_left(&simulation);
}

#[test]
fn a_process_serves_as_many_tasks_as_it_may() {
    let simulation = Simulation::new(LeaseTable::of_cpu_slots(1), |_| script(1, 5));
    let tasks = (0_u32..20).map(|id| task(id).with_reuse(Reuse { limit: Some(4) }));
    run(&simulation, &config(&[("scheduler.max-waiting", "1")]), &mut [group("g", tasks)]).unwrap();
    let (new, reused) = starts(&simulation);
    assert_eq!(new + reused, 20);
    assert!((5..=6).contains(&new), "{new} processes for 20 tasks, 4 each");
    assert_nothing_left(&simulation);
}

#[test]
fn commands_and_tasks_that_do_not_ask_for_it_have_processes_of_their_own() {
    let simulation = Simulation::new(LeaseTable::of_cpu_slots(1), |_| script(1, 5));
    let command = |id: u32| TaskSpec::command(id, ["work"]).unwrap().with_keep("key");
    run(&simulation, &config(&[]), &mut [group("c", (0..3).map(command)), group("w", (0_u32..3).map(task))])
        .unwrap();
    assert_eq!(starts(&simulation), (6, 0));
}

#[test]
fn a_kept_process_that_dies_costs_a_reload_and_nothing_else() {
    let simulation = Simulation::new(LeaseTable::of_cpu_slots(2), |_| Script {
        fault: Some(SimulatedFault::DiesKept),
        ..script(10, 10)
    });
    let round = |name: &str| group(name, (0_u32..4).map(|id| task(id).with_keep(format!("c{id}"))));
    let mut groups = [round("one"), round("two"), round("three")];
    run(&simulation, &config(&[]), &mut groups).unwrap();
    for group in &groups {
        assert!(group.tasks().all(|task| task.status() == TaskStatus::Exited), "{}", group.group_name());
    }
    let retried = simulation.events().iter().any(|(_, event)| event.name() == "task-failed");
    assert!(!retried);
    assert_nothing_left(&simulation);
}

#[test]
fn a_process_that_was_dying_when_it_got_its_task_costs_that_nothing() {
    for (last_time, expected) in [(1, TaskStatus::Exited), (u32::MAX, TaskStatus::Exception)] {
        let simulation = Simulation::new(LeaseTable::of_cpu_slots(1), move |assignment| {
            let dies = assignment.task_id.as_str() == "last" && assignment.attempt <= last_time;
            Script { fault: dies.then_some(SimulatedFault::DiesUnheard), ..script(10, 10) }
        });
        let kept = |id: u32| task(id).with_keep("shared");
        let tasks = (0..20).map(kept).chain([task("last").with_keep("shared")]).chain((20..40).map(kept));
        let mut groups = [group("g", tasks)];
        let config = config(&[("scheduler.max-process", "1"), ("scheduler.load-nretry", "1")]);
        let _ = run(&simulation, &config, &mut groups);
        let last = groups[0].tasks().find(|task| task.task_id().as_str() == "last").unwrap();
        assert_eq!(last.status(), expected);
        assert_nothing_left(&simulation);
    }
}

#[test]
fn who_was_kept_longest_makes_room_and_those_who_are_needed_come_first() {
    let simulation = Simulation::new(LeaseTable::of_cpu_slots(2), |_| script(100, 10));
    let round = |name: &str| group(name, (0_u32..8).map(|id| task(id).with_keep(format!("c{id}"))));
    let mut groups = [round("one"), round("two"), round("three")];
    run(&simulation, &config(&[("scheduler.max-process", "6")]), &mut groups).unwrap();
    let (new, reused) = starts(&simulation);
    assert_eq!(new + reused, 24);
    // There are at most six processes. In each later round at least five tasks find their data, as these start first.
    assert!(reused >= 10, "{reused} tasks found what was loaded");
    assert_nothing_left(&simulation);
}

/// The tasks of a group that were given to processes that had served others.
fn reused_in(simulation: &Simulation, wanted: &str) -> Vec<String> {
    let reused = |(_, event): (Time, RunEvent)| match event {
        RunEvent::TaskStarted { group, task, reused: true, .. } if group.as_str() == wanted => {
            Some(task.as_str().to_owned())
        }
        _ => None,
    };
    let mut tasks: Vec<String> = simulation.events().into_iter().filter_map(reused).collect();
    tasks.sort_unstable();
    tasks
}

#[test]
fn the_process_that_was_unused_longest_is_the_one_that_goes() {
    let simulation = Simulation::new(LeaseTable::of_cpu_slots(1), |_| script(100, 10));
    let kept = |name: &str, ids: &[&str]| group(name, ids.iter().map(|id| task(*id).with_keep(*id)));
    // After the second group, the process of "b" has been idle longest, though that of "a" is the oldest.
    let other = group("other", [task("x")]);
    let mut groups =
        [kept("one", &["a", "b", "c"]), kept("two", &["a"]), other, kept("again", &["a", "b", "c"])];
    run(&simulation, &config(&[("scheduler.max-process", "3")]), &mut groups).unwrap();
    assert_eq!(reused_in(&simulation, "two"), ["a"]);
    assert_eq!(reused_in(&simulation, "again"), ["a", "c"]);
    assert_nothing_left(&simulation);
}

#[test]
fn kept_processes_are_let_go_for_memory_of_the_host() {
    let host = |available: u64| HostSample {
        memory_total: Size::from_gb(100),
        memory_available: Size::from_gb(available),
        cpu: 0.0,
    };
    let kept_after = |available: u64| {
        let simulation = Simulation::new(LeaseTable::of_cpu_slots(1), |_| script(10, 1000));
        // 20 GB must stay free. The memory of all three processes is measured while the last task trains.
        simulation.at(Time::after(ms(2500)), Input::Host(host(available)));
        // The memory of the first process that exits is not enough; that of two is.
        simulation.at(Time::after(ms(3100)), Input::Host(host(available + 5)));
        simulation.at(Time::after(ms(3200)), Input::Host(host(available + 20)));
        let kept = |id: &str| with_memory(task(id).with_keep(id), 10, 1);
        // What a flow says of its memory would be reserved on while its task trains.
        let large = |id: u32| task(id);
        let mut groups = [
            group("one", ["a", "b", "c"].map(kept)),
            group("large", [large(0), large(1)]),
            group("again", ["a", "b", "c"].map(kept)),
        ];
        run(&simulation, &config(&[("scheduler.default-memory", "30GB")]), &mut groups).unwrap();
        assert_nothing_left(&simulation);
        reused_in(&simulation, "again")
    };
    assert_eq!(kept_after(90), ["a", "b", "c"], "there is room for all");
    assert_eq!(kept_after(40), ["c"], "the two that were unused longest have gone");
}

#[test]
fn memory_of_a_card_is_given_up_for_who_needs_it() {
    let simulation = Simulation::new(cards(&[10]), |_| script(10, 10));
    let small = (0_u32..4).map(|id| with_memory(task(id).with_keep(format!("c{id}")), 1, 2));
    let large = [with_memory(task("large"), 1, 9)];
    let again = (0_u32..4).map(|id| with_memory(task(id).with_keep(format!("c{id}")), 1, 2));
    let mut groups = [group("small", small), group("large", large), group("again", again)];
    run(&simulation, &config(&[]), &mut groups).unwrap();
    assert_eq!(starts(&simulation), (9, 0), "all four had to go for the large one");
    assert_nothing_left(&simulation);
}

#[test]
fn a_kept_process_trains_again_on_what_it_holds_of_its_card() {
    // Two processes that hold 5 GB each fill the card. When they train again, they need no more than that.
    let simulation = Simulation::new(cards(&[10]), |_| script(10, 10));
    let round = |name: &str| {
        group(name, (0_u32..2).map(|id| with_memory(task(id).with_keep(format!("c{id}")), 1, 5)))
    };
    run(&simulation, &config(&[]), &mut [round("one"), round("two")]).unwrap();
    assert_eq!(starts(&simulation), (2, 2));
}

#[test]
fn at_the_end_kept_processes_are_told_to_exit() {
    let slow_to_exit = Script { exit: ms(300), ..script(1, 1) };
    let simulation = Simulation::new(LeaseTable::of_cpu_slots(1), move |_| slow_to_exit);
    run(&simulation, &config(&[]), &mut [group("g", [task("t").with_keep("k")])]).unwrap();
    assert!(simulation.now().since_start() >= ms(300), "it was not given the time: {}", simulation.now());
    assert_nothing_left(&simulation);
}

#[test]
fn a_kept_process_whose_card_others_have_filled_gives_way_to_a_new_one() {
    let mut table = cards(&[6, 10]);
    table.set_others(0, OtherRuns { memory: Size::from_gb(2), training: 1, ..OtherRuns::default() });
    let simulation = Simulation::new(table, |_| script(10, 10));
    let config = config(&[]);
    let mut flow = flow(&simulation, &config);
    let mut first = group("a", [with_memory(task("t").with_keep("k"), 1, 3)]);
    flow.execute(&mut first).unwrap();
    assert_eq!(first.get_task("t").unwrap().device(), Some(Device::Sim(0)));
    // The next task with the key needs more memory than the card has left: a new process can use the other card.
    let mut second = group("b", [with_memory(task("t").with_keep("k"), 1, 5)]);
    flow.execute(&mut second).unwrap();
    let task = second.get_task("t").unwrap();
    assert_eq!((task.status(), task.device()), (TaskStatus::Exited, Some(Device::Sim(1))));
    flow.finish(RunOutcome::Complete);
    let is_oom = |event: &RunEvent| matches!(event, RunEvent::TaskRetried { error, .. } if error.kind == FailureKind::Oom);
    assert!(!simulation.events().iter().any(|(_, event)| is_oom(event)), "it was never out of memory");
}

#[test]
fn busy_processors_do_not_stop_the_group_whose_turn_it_is() {
    let simulation = Simulation::new(LeaseTable::of_cpu_slots(2), |_| script(20, 20)).with_host(HostSample {
        memory_total: Size::from_gb(100),
        memory_available: Size::from_gb(90),
        cpu: 1.0,
    });
    let config = config(&[("utilization-limit.cpu", "0.5")]);
    // While the second group is active, the tasks of the third one take over the kept processes, and wait.
    let kept = || (0_u32..3).map(|id| task(id).with_keep(format!("k{id}")));
    let mut groups = [group("a", kept()), ahead(group("b", (0_u32..2).map(task))), ahead(group("c", kept()))];
    run(&simulation, &config, &mut groups).unwrap();
    assert!(groups.iter().all(|group| group.tasks().all(|task| task.status() == TaskStatus::Exited)));
}

#[test]
fn a_group_loads_ahead_and_trains_in_its_turn() {
    let makespan = |load_ahead: bool| {
        let simulation = Simulation::new(LeaseTable::of_cpu_slots(2), |_| script(300, 100));
        let mut groups: Vec<_> =
            (0..5).map(|number| group(&format!("g{number}"), (0_u32..4).map(task))).collect();
        if load_ahead {
            groups = groups.into_iter().map(ahead).collect();
        }
        run(&simulation, &config(&[]), &mut groups).unwrap();
        let mut trains = BTreeMap::new();
        let mut over = BTreeSet::new();
        for (time, event) in simulation.events() {
            match event {
                RunEvent::TaskTraining { group, .. } => {
                    trains.entry(group.as_str().to_owned()).or_insert(time);
                }
                RunEvent::GroupFinished { group, .. } => {
                    assert!(over.insert(group.as_str().to_owned()));
                    let later = trains.keys().filter(|name| !over.contains(*name)).count();
                    assert_eq!(later, 0, "a later group trained before {group} was over");
                }
                _ => {}
            }
        }
        assert_nothing_left(&simulation);
        simulation.now().since_start()
    };
    // Without loading ahead it is five times 0.3 s of loading and 0.2 s of training.
    assert!(makespan(false) > ms(2500));
    assert!(makespan(true) < ms(2200), "{:?}", makespan(true));
}

#[test]
fn parameters_may_be_set_until_the_turn() {
    let simulation = Simulation::new(LeaseTable::of_cpu_slots(1), |_| script(10, 10));
    let config = config(&[]);
    let mut flow = flow(&simulation, &config);
    let (mut first, mut second) = (group("a", [task("t")]), ahead(group("b", [task("t")])));
    flow.execute_and_load(&mut first, &mut second).unwrap();
    second.set_train_params(&Name::new("t").unwrap(), Dict::from([("weights", 1.5)])).unwrap();
    let mut other = group("c", [task("t")]);
    let error = flow.execute(&mut other).unwrap_err();
    assert_eq!(error.to_string(), "group b has loaded ahead and must be executed next");
    flow.execute(&mut second).unwrap();
    flow.execute(&mut other).unwrap();
    flow.finish(RunOutcome::Complete);
    assert_nothing_left(&simulation);
}

#[test]
fn a_task_that_turns_out_broken_in_its_turn_fails_though_it_has_loaded() {
    let simulation = Simulation::new(LeaseTable::of_cpu_slots(1), |_| script(10, 50));
    let config = config(&[("supervision.retries", "3")]);
    let mut flow = flow(&simulation, &config);
    let (mut first, mut second) = (group("a", [task("t")]), ahead(group("b", [task("t"), task("u")])));
    flow.execute_and_load(&mut first, &mut second).unwrap();
    second.break_task(&Name::new("t").unwrap(), "no such result".into()).unwrap();
    let summary = flow.execute(&mut second).unwrap();
    assert_eq!((summary.finished, summary.failed), (1, 1));
    let failure = second.get_task("t").unwrap().failure().unwrap();
    assert_eq!((failure.kind, failure.message.as_str()), (FailureKind::Error, "no such result"));
    flow.finish(RunOutcome::Complete);
    assert_nothing_left(&simulation);
}

#[test]
fn who_loads_ahead_is_not_in_the_way() {
    // The first group's task fails twice, and is tried again when workers of the next group fill every place.
    let simulation = Simulation::new(LeaseTable::of_cpu_slots(1), |assignment| {
        let fails = assignment.group.as_str() == "a" && assignment.attempt < 3;
        let fault = fails.then_some(SimulatedFault::Error(Stage::Train, FailureKind::Error));
        Script { fault, ..script(10, 10) }
    });
    let config = config(&[
        ("scheduler.max-process", "3"),
        ("scheduler.max-waiting", "3"),
        ("supervision.retries", "5"),
    ]);
    let mut groups = [group("a", [task("t")]), ahead(group("b", (0_u32..6).map(task)))];
    run(&simulation, &config, &mut groups).unwrap();
    assert!(groups.iter().all(|group| group.tasks().all(|task| task.status() == TaskStatus::Exited)));
    assert_nothing_left(&simulation);
}

#[derive(Debug, Clone)]
struct RandomTask {
    keep: Option<u8>,
    reuse: Option<u32>,
    /// Its memory on the host and on a card, in GB.
    memory: (u64, Option<u64>),
    pin: Option<u32>,
    /// Whether the times of its script are declared.
    declares: bool,
    script: Script,
}

impl RandomTask {
    fn spec(&self, place: u32, devices: u32) -> TaskSpec {
        let mut spec = task(place);
        spec.keep = self.keep.map(|key| format!("k{key}").into());
        let terms = spec.terms_mut();
        terms.needs.memory = Some(Size::from_gb(self.memory.0));
        terms.needs.cuda_memory = self.memory.1.map(Size::from_gb);
        terms.device = self.pin.filter(|_| devices > 0).map(|card| Pin::Device(Device::Sim(card)));
        let Script { load, train, .. } = self.script;
        terms.expected = self.declares.then_some(ExpectedTimes { load, train });
        terms.reuse = self.reuse.map(|limit| Reuse { limit: Some(limit) });
        spec
    }
}

fn random_task() -> impl Strategy<Value = RandomTask> {
    let fault = prop_oneof![
        8 => Just(None),
        1 => Just(Some(SimulatedFault::DiesKept)),
        1 => Just(Some(SimulatedFault::Dies(Stage::Train))),
        1 => Just(Some(SimulatedFault::Dies(Stage::Load))),
        1 => Just(Some(SimulatedFault::Dies(Stage::Start))),
        1 => Just(Some(SimulatedFault::Stays)),
        1 => Just(Some(SimulatedFault::Error(Stage::Load, FailureKind::Error))),
        1 => Just(Some(SimulatedFault::Error(Stage::Train, FailureKind::Oom))),
    ];
    let keep = proptest::option::of(0_u8..4);
    let reuse = proptest::option::of(1_u32..5);
    let memory = (1_u64..30, proptest::option::of(1_u64..9));
    let pin = proptest::option::weighted(0.2, 0_u32..2);
    (keep, reuse, memory, pin, any::<bool>(), (1_u64..50, 1_u64..50), fault).prop_map(
        |(keep, reuse, memory, pin, declares, (load, train), fault)| RandomTask {
            keep,
            reuse,
            memory,
            pin,
            declares,
            script: Script { fault, ..script(load, train) },
        },
    )
}

/// A group of random tasks, and whether it loads ahead.
type RandomGroup = (bool, Vec<RandomTask>);

/// A machine that runs random groups: on CPU slots, on two cards of unequal size, or on cards that take one task each.
fn random_machine(groups: &[RandomGroup], devices: u32) -> Simulation {
    let table = match devices {
        0 => LeaseTable::of_cpu_slots(2),
        1 => cards(&[10, 9]),
        more => affinity::single(more),
    };
    let tasks: Vec<Vec<RandomTask>> = groups.iter().map(|(_, tasks)| tasks.clone()).collect();
    let simulation = Simulation::new(table, move |assignment| {
        let group: usize = assignment.group.as_str()[1..].parse().unwrap();
        let place: usize = assignment.task_id.as_str().parse().unwrap();
        tasks[group][place].script
    });
    // From time to time it is seen what processes that are gone have given back.
    (1..2000).for_each(|number| simulation.at(Time::after(ms(100 * number)), Input::Host(host(60))));
    simulation.with_host(host(60))
}

/// The groups, named as the machine knows them.
fn random_groups(groups: &[RandomGroup], spec: impl Fn(u32, &RandomTask) -> TaskSpec) -> Vec<TaskGroup> {
    let made = (0_u32..).zip(groups).map(|(number, (load_ahead, tasks))| {
        let specs = (0_u32..).zip(tasks).map(|(place, random)| spec(place, random));
        let mut made = group(&format!("g{number}"), specs);
        made.load_ahead = *load_ahead;
        made
    });
    made.collect()
}

proptest! {
    #[test]
    fn every_task_has_one_outcome_whoever_stays_or_loads_ahead(
        groups in proptest::collection::vec(
            (any::<bool>(), proptest::collection::vec(random_task(), 0..12)), 1..5),
        devices in 0_u32..4,
        max_process in 1_u32..7,
        max_waiting in 1_u32..5,
        retries in 0_u32..2,
        stop in proptest::option::of(1_u64..400),
    ) {
        let simulation = random_machine(&groups, devices);
        if let Some(stop) = stop {
            simulation.at(Time::after(ms(stop)), Input::Stop(StopLevel::Graceful));
        }
        let config = config(&[
            ("scheduler.max-process", &max_process.to_string()),
            ("scheduler.max-waiting", &max_waiting.to_string()),
            ("supervision.retries", &retries.to_string()),
        ]);
        let mut made = random_groups(&groups, |place, random| random.spec(place, devices));
        let outcome = run(&simulation, &config, &mut made);
        prop_assert!(matches!(outcome, Ok(()) | Err(FlowError::Stopped)), "{:?}", outcome);
        let mut outcomes: BTreeMap<(Name, Name), u32> = BTreeMap::new();
        for (_, event) in simulation.events() {
            if let RunEvent::TaskFinished { group, task, .. } | RunEvent::TaskFailed { group, task, .. } = event {
                *outcomes.entry((group, task)).or_default() += 1;
            }
        }
        prop_assert!(outcomes.values().all(|count| *count == 1), "{:?}", outcomes);
        if outcome.is_ok() {
            let all: usize = groups.iter().map(|(_, tasks)| tasks.len()).sum();
            prop_assert_eq!(outcomes.len(), all);
        }
        prop_assert_eq!((simulation.living(), simulation.leases()), (0, 0));
    }
}
