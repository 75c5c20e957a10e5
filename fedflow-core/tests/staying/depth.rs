//! How much is loaded ahead of the devices.

use super::*;

/// The most tasks that had loaded and waited, once so many had finished.
fn most_waiting(simulation: &Simulation, after: u32) -> i32 {
    let (mut waiting, mut most, mut finished) = (0_i32, 0, 0);
    for (_, event) in simulation.events() {
        match event {
            RunEvent::TaskLoaded { .. } => waiting += 1,
            RunEvent::TaskTraining { .. } => waiting -= 1,
            RunEvent::TaskFinished { .. } => finished += 1,
            _ => {}
        }
        if finished >= after {
            most = most.max(waiting);
        }
    }
    most
}

fn declared(id: u32, load: u64, train: u64) -> TaskSpec {
    let mut task = task(id);
    task.terms_mut().expected = Some(ExpectedTimes { load: ms(load), train: ms(train) });
    task
}

#[test]
fn no_more_is_loaded_ahead_than_the_devices_use_up() {
    let simulation = Simulation::new(LeaseTable::of_cpu_slots(2), |_| script(20, 200));
    run(&simulation, &config(&[]), &mut [group("g", (0_u32..60).map(task))]).unwrap();
    // The second half of the run, when the times are known.
    let waiting = most_waiting(&simulation, 30);
    assert!(waiting <= 4, "{waiting} tasks had loaded and waited");
    let makespan = simulation.now().since_start();
    assert_eq!(makespan, ms(60 / 2 * 200 + 20 + 2), "and no device was idle");
}

#[test]
fn what_is_declared_counts_from_the_beginning() {
    let simulation = Simulation::new(LeaseTable::of_cpu_slots(2), |_| script(20, 200));
    let tasks = (0_u32..20).map(|id| declared(id, 20, 200));
    run(&simulation, &config(&[]), &mut [group("g", tasks)]).unwrap();
    let waiting = most_waiting(&simulation, 0);
    assert!(waiting <= 4, "{waiting} tasks had loaded and waited");
    assert_eq!(simulation.now().since_start(), ms(20 / 2 * 200 + 20 + 2), "and no device was idle");
}

#[test]
fn tasks_that_share_a_card_all_load_at_once() {
    let simulation = Simulation::new(cards(&[80]), |_| script(100, 1000));
    let tasks = (0_u32..20).map(|id| with_memory(declared(id, 100, 1000), 1, 4));
    run(
        &simulation,
        &config(&[("scheduler.max-waiting", "20"), ("scheduler.max-process", "30")]),
        &mut [group("g", tasks)],
    )
    .unwrap();
    assert_eq!(simulation.now().since_start(), ms(1 + 100 + 1000 + 1));
}
