//! The host's memory: how long the estimate of a task is reserved, and what is measured in its place.

use super::*;

/// A host of 100 GB, of which 20 GB must stay free.
fn host(available: u64) -> HostSample {
    HostSample { memory_total: Size::from_gb(100), memory_available: Size::from_gb(available), cpu: 0.0 }
}

fn worker(id: u32) -> TaskSpec {
    let program = Program::Worker { worker: "w".into(), kind: "k".into() };
    TaskSpec::of(Name::from(id), std::sync::Arc::new(program), Dict::new())
}

fn command(id: u32) -> TaskSpec {
    TaskSpec::command(id, ["work"]).unwrap()
}

/// Four tasks, for each of which its flow says that it uses so many gigabytes.
fn given(program: fn(u32) -> TaskSpec, gigabytes: u64) -> TaskGroup {
    let needs = Needs { memory: Some(Size::from_gb(gigabytes)), ..Needs::default() };
    group_of((0..4).map(|id| program(id).with_needs(needs)))
}

fn group_of(tasks: impl Iterator<Item = TaskSpec>) -> TaskGroup {
    let mut group = TaskGroup::new("g").unwrap();
    for task in tasks {
        group.add_task(task).unwrap();
    }
    group
}

/// Four slots, and tasks that load for 10 ms and train for 20 s.
fn machine(available: u64) -> Simulation {
    simulation(LeaseTable::of_cpu_slots(4), vec![script(10, 20_000)]).with_host(host(available))
}

/// Tasks may train for as long as they do.
fn patient() -> Config {
    let mut config = config();
    config.set("supervision.train-timeout", &"1min".into()).unwrap();
    config
}

/// The most tasks that trained at once.
fn most_at_once(world: &Simulation, config: &Config, mut group: TaskGroup) -> usize {
    run(world, config, std::slice::from_mut(&mut group), History::default()).unwrap();
    let trains = story(&world.events()).trains;
    let at_once = |start| trains.iter().filter(|(s, e)| *s <= start && start < *e).count();
    trains.iter().map(|(start, _)| at_once(*start)).max().unwrap_or(0)
}

/// The host is sampled each second, and shows what was there before: the data come later.
fn sample_each_second(world: &Simulation, available: u64) {
    (1..100).for_each(|second| world.at(Time::after(ms(1000 * second)), Input::Host(host(available))));
}

#[test]
fn what_a_flow_says_of_its_memory_holds_as_long_as_its_task_is_below_it() {
    for program in [command, worker] {
        let world = machine(60);
        sample_each_second(&world, 59);
        // 40 GB may be used: one task of 30 GB at a time.
        assert_eq!(most_at_once(&world, &patient(), given(program, 30)), 1);
    }
}

#[test]
fn a_guess_gives_way_to_what_was_measured() {
    let mut config = patient();
    config.set("scheduler.default-memory", &"30GB".into()).unwrap();
    for program in [command, worker] {
        let world = machine(60);
        sample_each_second(&world, 59);
        assert_eq!(most_at_once(&world, &config, group_of((0..4).map(program))), 4);
    }
}

#[test]
fn what_a_task_was_seen_to_use_is_not_reserved_beside_that() {
    let at_once = |seen: bool| {
        // There is room for two tasks of 10 GB. Then they use that, and another program gives 20 GB back.
        let world = machine(45);
        for id in [1, 2].into_iter().filter(|_| seen) {
            let event = WorkerEvent::Peak(Size::from_gb(10));
            world.at(Time::after(ms(1000)), Input::Worker { worker: WorkerId(id), event });
        }
        sample_each_second(&world, 45);
        most_at_once(&world, &patient(), given(command, 10))
    };
    assert_eq!((at_once(false), at_once(true)), (2, 4));
}

#[test]
fn a_process_that_does_not_exit_reserves_nothing() {
    let stays = Script { fault: Some(SimulatedFault::Stays), ..script(10, 10) };
    let world = simulation(LeaseTable::of_cpu_slots(4), vec![stays, script(10, 10)]).with_host(host(60));
    let mut config = config();
    config.set("supervision.exit-timeout", &"1min".into()).unwrap();
    let started = {
        run(&world, &config, &mut [given(command, 30)], History::default()).unwrap();
        let starts = world.events().into_iter().filter(|(_, event)| event.name() == "task-training");
        starts.map(|(time, _)| time).max().unwrap()
    };
    assert!(started < Time::after(ms(1000)), "{started}");
}
