//! Time limits count what a task does itself, and nothing that it waits for.

use super::other_runs::told;
use super::*;

/// How long a process that dies in a simulation takes until that is known.
const DEATH: Duration = Duration::from_millis(2);

/// The limits that a script just fits. A kept process that is dying has the time to do so.
fn just_enough(Script { start, load, train, .. }: Script) -> Limits {
    Limits {
        start_timeout: Some(start + DEATH),
        load_timeout: Some(load),
        train_timeout: Some(train),
        timeout: Some(start + load + train),
        ..Limits::default()
    }
}

fn times_out(event: &RunEvent) -> bool {
    match event {
        RunEvent::TaskFailed { error, .. } | RunEvent::TaskRetried { error, .. } => {
            error.kind == FailureKind::Timeout
        }
        _ => false,
    }
}

#[test]
fn a_task_may_wait_for_a_device_for_longer_than_its_timeout() {
    let script = script(0, 2000);
    let simulation = Simulation::new(cards(&[8]), move |_| script);
    let seeds = (0_u32..20).map(|seed| {
        let mut seed = with_memory(task(seed), 1, 4);
        seed.terms_mut().limits.timeout = Some(ms(3000));
        seed
    });
    let mut groups = [group("seeds", seeds)];
    run(&simulation, &config(&[]), &mut groups).unwrap();
    assert!(groups[0].tasks().all(|task| task.status() == TaskStatus::Exited));
}

#[test]
fn a_training_that_ran_out_of_memory_is_no_part_of_the_timeout() {
    let fits = script(100, 1000);
    let mut attempts = 0;
    let simulation = Simulation::new(cards(&[8]), move |_| {
        attempts += 1;
        let oom = (attempts == 1).then_some(SimulatedFault::Error(Stage::Train, FailureKind::Oom));
        Script { fault: oom, ..fits }
    });
    let mut only = task("only");
    only.terms_mut().limits = just_enough(fits);
    let events = told(&simulation, 0, &config(&[]), &mut [group("g", [only])]);
    assert!(!events.iter().any(times_out));
    let kept = |event: &&RunEvent| matches!(event, RunEvent::TaskRetried { data_kept: true, .. });
    assert_eq!(events.iter().filter(kept).count(), 1);
}

#[test]
fn what_a_task_does_itself_counts_though_it_waits_in_between() {
    let simulation = Simulation::new(LeaseTable::of_cpu_slots(1), |_| script(100, 200));
    let tasks = (0_u32..2).map(|id| {
        let mut task = task(id);
        task.terms_mut().limits.timeout = Some(ms(250));
        task
    });
    let events = told(&simulation, 0, &config(&[]), &mut [group("g", tasks)]);
    let failures = events.iter().filter_map(|event| match event {
        RunEvent::TaskFailed { error, .. } => Some((error.stage, error.message.as_str())),
        _ => None,
    });
    assert_eq!(failures.collect::<Vec<_>>(), [(Stage::Train, "its timeout of 250ms expired"); 2]);
}

proptest! {
    #[test]
    fn a_task_whose_own_phases_fit_its_limits_never_fails_by_them(
        groups in proptest::collection::vec(
            (any::<bool>(), proptest::collection::vec(random_task(), 0..12)), 1..5),
        devices in 0_u32..4,
        max_process in 1_u32..7,
        max_waiting in 1_u32..5,
        retries in 0_u32..2,
        refusals in any::<u64>(),
    ) {
        let simulation = random_machine(&groups, devices);
        // Others need the host's memory for a while.
        simulation.at(Time::after(ms(30)), Input::Host(host(25)));
        simulation.at(Time::after(ms(300)), Input::Host(host(60)));
        let config = config(&[
            ("scheduler.max-process", &max_process.to_string()),
            ("scheduler.max-waiting", &max_waiting.to_string()),
            ("supervision.retries", &retries.to_string()),
            ("supervision.grace", "100ms"),
        ]);
        let mut groups = random_groups(&groups, |place, random| {
            let mut spec = random.spec(place, devices);
            spec.terms_mut().limits = just_enough(random.script);
            spec
        });
        let events = told(&simulation, refusals, &config, &mut groups);
        let timed_out: Vec<_> = events.iter().filter(|event| times_out(event)).collect();
        prop_assert!(timed_out.is_empty(), "{:?}", timed_out);
        prop_assert!(groups.iter().all(TaskGroup::finished));
    }
}
