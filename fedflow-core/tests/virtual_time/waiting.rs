//! What a run is said to wait for while devices of it are idle: once, with the cause, and never what its own tasks use.

use super::*;

/// Tasks may take as long as they do.
fn patient() -> Config {
    let mut config = config();
    for limit in ["supervision.load-timeout", "supervision.train-timeout"] {
        config.set(limit, &"1h".into()).unwrap();
    }
    config
}

/// A card of 10 GB, of which another run has so much.
fn card(taken: u64) -> LeaseTable {
    let mut table = LeaseTable::new(1);
    table.add_card(DeviceInfo::simulated(0, Size::from_gb(10)), Some(Size::from_gb(10).into()));
    let training = usize::from(taken > 0);
    table.set_others(0, OtherRuns { memory: Size::from_gb(taken), training, ..OtherRuns::default() });
    table
}

fn told(world: &Simulation) -> Vec<(Time, Wait)> {
    world.waits().into_iter().filter_map(|(time, wait)| Some((time, wait?))).collect()
}

fn stop_at(world: &Simulation, seconds: u64) {
    world.at(Time::after(Duration::from_secs(seconds)), Input::Stop(StopLevel::AtOnce));
}

#[test]
fn a_device_of_another_run_is_waited_for_and_that_is_said_once() {
    let world = simulation(card(10), vec![script(100, 100)]);
    let annas = Obstacle {
        device: Device::Sim(0),
        memory: Some(Size::from_gb(10)),
        occupant: Occupant::Run {
            user: "anna".into(),
            supervisor: 7,
            directory: Some("/home/anna/res".into()),
            task: Some("g/t".into()),
        },
    };
    world.set_obstacles(vec![annas.clone()]);
    // Other runs come and go, and nothing changes.
    (1..20).for_each(|second| world.at(Time::after(ms(1000 * second)), Input::DevicesChanged));
    stop_at(&world, 60);
    assert!(matches!(
        run(&world, &patient(), &mut [group("g", 3)], History::default()),
        Err(FlowError::Stopped)
    ));
    let waits = world.waits();
    assert_eq!(waits.len(), 2, "{waits:?}");
    let (time, wait) = (waits[0].0, waits[0].1.clone().unwrap());
    let since = Time::after(ms(101));
    assert_eq!((wait.since, time, wait.is_news), (since, since + Duration::from_secs(5), true));
    let memory = Some(Size::from_gb(2));
    assert_eq!(wait.cause, WaitCause::Devices { number: 1, memory, obstacles: vec![annas] });
    assert_eq!(waits[1], (Time::after(Duration::from_secs(60)), None), "it waits no longer");
}

#[test]
fn what_own_tasks_use_is_no_reason_to_say_anything() {
    for table in [LeaseTable::of_cpu_slots(1), card(0)] {
        let world = simulation(table, vec![script(20_000, 20_000)]);
        run(&world, &patient(), &mut [group("g", 10)], History::default()).unwrap();
        assert_eq!(world.waits(), []);
    }
}

#[test]
fn memory_of_the_host_is_waited_for_while_devices_are_idle() {
    let total = Size::from_gb(100);
    let available = Size::from_gb(60);
    let sample = HostSample { memory_total: total, memory_available: available, cpu: 0.0 };
    let world = simulation(LeaseTable::of_cpu_slots(4), vec![script(10, 20_000)]).with_host(sample);
    let asked = Size::from_gb(30);
    let mut tasks = TaskGroup::new("g").unwrap();
    for id in 0..4_u32 {
        let needs = Needs { memory: Some(asked), ..Needs::default() };
        tasks.add_task(TaskSpec::command(id, ["work"]).unwrap().with_needs(needs)).unwrap();
    }
    run(&world, &patient(), std::slice::from_mut(&mut tasks), History::default()).unwrap();
    let told = told(&world);
    assert_eq!(told.iter().filter(|(_, wait)| wait.is_news).count(), 1, "{told:?}");
    let cause = WaitCause::HostMemory { asked, available, kept_free: Size::from_gb(20), reserved: asked };
    assert_eq!((&told[0].1.cause, told[0].0 < Time::after(ms(5100))), (&cause, true));
    assert_eq!(world.waits().last().unwrap().1, None);
}

#[test]
fn processors_are_waited_for_while_devices_are_idle() {
    let memory = Size::from_gb(100);
    let sample = HostSample { memory_total: memory, memory_available: memory, cpu: 0.9 };
    let world = simulation(LeaseTable::of_cpu_slots(4), vec![script(20_000, 10)]).with_host(sample);
    let mut config = patient();
    config.set("utilization-limit.cpu", &0.8.into()).unwrap();
    run(&world, &config, &mut [group("g", 2)], History::default()).unwrap();
    let told = told(&world);
    assert_eq!(told.len(), 1, "{told:?}");
    assert_eq!(told[0].1.cause, WaitCause::Processors { busy: 0.9, limit: 0.8 });
}

#[test]
fn a_process_is_waited_for_while_devices_are_idle() {
    let world = simulation(LeaseTable::of_cpu_slots(4), vec![script(10, 20_000)]);
    let mut config = patient();
    config.set("scheduler.max-process", &2.into()).unwrap();
    run(&world, &config, &mut [group("g", 3)], History::default()).unwrap();
    let told = told(&world);
    assert_eq!(told.len(), 1, "{told:?}");
    let (time, wait) = &told[0];
    assert_eq!((&wait.cause, *time < Time::after(ms(5100))), (&WaitCause::Processes { limit: 2 }, true));
    assert_eq!(wait.task.as_str(), "2");
    assert_eq!(world.waits().last().unwrap().1, None, "once it has its process");
}
