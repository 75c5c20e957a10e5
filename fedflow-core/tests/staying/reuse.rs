//! How many processes are started that serve one task after the other.

use super::*;

fn reused(id: u32) -> TaskSpec {
    task(id).with_reuse(Reuse { limit: None })
}

fn slow_start(start: u64, load: u64, train: u64) -> Script {
    Script { start: ms(start), ..script(load, train) }
}

/// How many processes are started for so many tasks, and how long that takes; beside it how long it takes without reuse.
fn with_and_without(
    table: impl Fn() -> LeaseTable,
    tasks: u32,
    script: impl Fn(u32) -> Script + Clone + 'static,
) -> (usize, Duration, Duration) {
    let run_with = |task: fn(u32) -> TaskSpec| {
        let script = script.clone();
        let simulation =
            Simulation::new(table(), move |assignment| script(assignment.task_id.as_str().parse().unwrap()));
        let config = config(&[("supervision.load-timeout", "1h")]);
        run(&simulation, &config, &mut [group("g", (0..tasks).map(task))]).unwrap();
        assert_nothing_left(&simulation);
        (starts(&simulation).0, simulation.now().since_start())
    };
    let (started, reusing) = run_with(reused);
    let (_, alone) = run_with(task);
    (started, reusing, alone)
}

#[test]
fn as_many_processes_start_as_the_devices_need_and_one_more() {
    let script = |_| slow_start(3000, 0, 500);
    let (started, reusing, _) = with_and_without(|| LeaseTable::of_cpu_slots(2), 20, script);
    assert_eq!((started, reusing), (3, ms(3000 + 10 * 500 + 1)));
    let (started, ..) = with_and_without(|| affinity::single(2), 20, script);
    assert_eq!(started, 3);
    let (started, ..) = with_and_without(|| LeaseTable::of_cpu_slots(2), 2, script);
    assert_eq!(started, 2, "and no more than there are tasks");
}

#[test]
fn tasks_that_load_for_long_are_served_by_more() {
    let slots = || LeaseTable::of_cpu_slots(1);
    let (started, reusing, alone) = with_and_without(slots, 60, |_| slow_start(10, 1000, 100));
    assert!(started >= 8, "{started} processes load for one slot");
    assert!(reusing <= alone.mul_f64(1.1), "{reusing:?} with reuse, {alone:?} without");
}

#[test]
fn what_loads_for_longer_than_a_start_takes_gets_one_more_process_at_a_time() {
    // Before anything is known: with the first two up at 1 s, a third at 4 s (as the slot was idle for as long as a start
    // takes), and so on until the first has loaded.
    let script = |_| slow_start(1000, 5000, 60_000);
    let (started, ..) = with_and_without(|| LeaseTable::of_cpu_slots(1), 10, script);
    assert!((3..=5).contains(&started), "{started} processes");
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    /// Loads are short: the devices need no more than one process for each task that trains.
    #[test]
    fn a_slow_start_is_paid_as_rarely_as_possible(
        devices in 1_u32..6,
        on_cards in any::<bool>(),
        tasks in 1_u32..80,
        start in 100_u64..5000,
        trains in prop::collection::vec(500_u64..2000, 1..20),
    ) {
        let table = move || if on_cards { affinity::single(devices) } else { LeaseTable::of_cpu_slots(devices) };
        let script = move |id: u32| slow_start(start, 1, trains[id as usize % trains.len()]);
        let (started, reusing, alone) = with_and_without(table, tasks, script);
        prop_assert!(started <= devices as usize + 1, "{} processes for {} devices", started, devices);
        // Each hand-over costs a load of a millisecond, and tasks are in another order at the end.
        let slack = ms(u64::from(tasks) + 2000);
        prop_assert!(reusing <= alone + slack, "{:?} with reuse, {:?} without", reusing, alone);
    }
}
