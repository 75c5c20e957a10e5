//! Processes that are up before their tasks may load.

use super::*;

fn workers(tasks: u32, memory: u64) -> TaskGroup {
    let mut group = TaskGroup::new("g").unwrap();
    for id in 0..tasks {
        let program = Program::Worker { worker: "w".into(), kind: "k".into() };
        let needs = Needs { memory: Some(Size::from_gb(memory)), ..Needs::default() };
        let task = TaskSpec::of(Name::from(id), std::sync::Arc::new(program), Dict::new());
        group.add_task(task.with_needs(needs)).unwrap();
    }
    group
}

/// When a task started, when it began to load, and how long its process took to be up, as told by its events.
fn beginning(world: &Simulation, wanted: &str) -> (Time, Time, Option<Duration>) {
    let (mut started, mut loading) = (None, None);
    for (time, event) in world.events() {
        match event {
            RunEvent::TaskStarted { task, .. } if task.as_str() == wanted => started = Some(time),
            RunEvent::TaskLoading { task, startup_time, .. } if task.as_str() == wanted => {
                loading = Some((time, startup_time));
            }
            _ => {}
        }
    }
    let (loading, startup_time) = loading.unwrap();
    (started.unwrap(), loading, startup_time)
}

fn host(available: u64) -> HostSample {
    HostSample { memory_total: Size::from_gb(100), memory_available: Size::from_gb(available), cpu: 0.0 }
}

#[test]
fn a_process_is_up_before_the_host_has_room_for_what_it_loads() {
    let slow = Script { start: ms(300), ..script(2000, 10) };
    let world = simulation(LeaseTable::of_cpu_slots(2), vec![slow]).with_host(host(60));
    world.at(Time::after(ms(1000)), Input::Host(host(95)));
    run(&world, &config(), &mut [workers(2, 30)], History::default()).unwrap();
    assert_eq!(beginning(&world, "0"), (Time::ZERO, Time::after(ms(300)), None));
    assert_eq!(beginning(&world, "1"), (Time::ZERO, Time::after(ms(1000)), Some(ms(300))));
}

#[test]
fn processes_are_up_before_they_may_be_ahead_of_the_devices() {
    let slow = Script { start: ms(100), ..script(10, 50) };
    let world = simulation(LeaseTable::of_cpu_slots(1), vec![slow]);
    let mut config = config();
    config.set("scheduler.max-waiting", &1_i64.into()).unwrap();
    run(&world, &config, &mut [workers(20, 1)], History::default()).unwrap();
    // One after the other, each would take 110 ms.
    assert!(world.now() < Time::after(ms(100 + 20 * 60)), "{}", world.now());
    let (mut ahead, mut up) = (0_i32, 0_i32);
    for (_, event) in world.events() {
        match event {
            RunEvent::TaskStarted { .. } => up += 1,
            RunEvent::TaskLoading { .. } => (ahead, up) = (ahead + 1, up - 1),
            RunEvent::TaskTraining { .. } => ahead -= 1,
            _ => {}
        }
        assert!(ahead <= 1, "{ahead} tasks load or wait");
        assert!(up <= 3, "{up} processes are up ahead of need");
    }
}

#[test]
fn the_time_of_a_task_begins_when_it_may_load() {
    // Its process is up for a second before that, and its time limit is 500 ms.
    let world = simulation(LeaseTable::of_cpu_slots(1), vec![script(10, 300)]);
    let mut config = config();
    config.set("scheduler.max-waiting", &1_i64.into()).unwrap();
    config.set("supervision.timeout", &"700ms".into()).unwrap();
    let mut groups = [workers(8, 1)];
    run(&world, &config, &mut groups, History::default()).unwrap();
    assert!(groups[0].tasks().all(|task| task.status() == TaskStatus::Exited));
}

#[test]
fn a_process_that_is_only_up_keeps_nobody_from_starting() {
    // In the group that loads ahead, ten tasks wait and two workers are spare. Then a task of the first group starts anew.
    let fault = Some(SimulatedFault::Error(Stage::Train, FailureKind::Error));
    let world = Simulation::new(LeaseTable::of_cpu_slots(1), move |assignment| {
        let fails = assignment.group.as_str() == "first" && assignment.attempt == 1;
        Script { fault: fault.filter(|_| fails), ..script(10, if fails { 1000 } else { 10 }) }
    });
    let mut config = config();
    config.set("supervision.retries", &2_i64.into()).unwrap();
    let mut flow = Flow::new(world.ports(), settings(7), config, History::default());
    let (mut first, mut second) = (group("first", 1), workers(20, 1));
    flow.execute_and_load(&mut first, &mut second).unwrap();
    let started = world.events().iter().filter(|(_, event)| event.name() == "task-started").count();
    assert_eq!(started, 2 + 10 + 2);
    flow.execute(&mut second).unwrap();
    flow.finish(RunOutcome::Complete);
    assert!(first.tasks().chain(second.tasks()).all(|task| task.status() == TaskStatus::Exited));
}

#[test]
fn a_spare_takes_no_process_from_a_card_that_would_be_idle() {
    let mut table = LeaseTable::new(1);
    for (ordinal, size) in [(0, 24), (1, 8)] {
        let size = Size::from_gb(size);
        table.add(DeviceInfo::simulated(ordinal, size), Some(size));
    }
    let world = simulation(table, vec![script(10, 1000)]);
    let mut config = config();
    config.set("scheduler.max-process", &4.into()).unwrap();
    let mut group = TaskGroup::new("g").unwrap();
    // All that fit the large card alone come first.
    for id in 0..20_u32 {
        let program = Program::Worker { worker: "w".into(), kind: "k".into() };
        let cuda_memory = Some(Size::from_gb(if id < 10 { 18 } else { 5 }));
        let needs = Needs { cuda_memory, ..Needs::default() };
        let task = TaskSpec::of(Name::from(id), std::sync::Arc::new(program), Dict::new());
        group.add_task(task.with_needs(needs)).unwrap();
    }
    run(&world, &config, &mut [group], History::default()).unwrap();
    let makespan = world.now().since_start();
    assert!(makespan < ms(11_500), "{makespan:?}: one card has been idle beside ready tasks");
}
