//! Groups that load ahead while the active group still uses their data.

use super::*;

/// Rounds of the same clients. Either all groups load ahead or none does.
fn rounds(load_ahead: bool, rounds: u32, clients: u32) -> Vec<TaskGroup> {
    let client = |id: u32| task(id).with_keep(format!("c{id}"));
    let round = |number: u32| group(&format!("g{number}"), (0..clients).map(client));
    let mut groups: Vec<TaskGroup> = (0..rounds).map(round).collect();
    groups.iter_mut().for_each(|group| group.load_ahead = load_ahead);
    groups
}

fn patient() -> Config {
    config(&[("supervision.load-timeout", "1h")])
}

#[test]
fn who_loads_ahead_waits_for_the_process_that_has_its_data() {
    let with = |load_ahead: bool| {
        let simulation = Simulation::new(LeaseTable::of_cpu_slots(2), |_| script(10_000, 1000));
        run(&simulation, &patient(), &mut rounds(load_ahead, 5, 10)).unwrap();
        assert_eq!(starts(&simulation), (10, 40), "each client loads once (load-ahead: {load_ahead})");
        assert_nothing_left(&simulation);
        simulation.now()
    };
    assert!(with(true) <= with(false), "{} when loading ahead, {} otherwise", with(true), with(false));
}

#[test]
fn who_waits_for_a_process_that_fails_loads_its_own_data() {
    let simulation = Simulation::new(LeaseTable::of_cpu_slots(2), |assignment| {
        let fails = assignment.group.as_str() == "g0" && assignment.task_id.as_str() == "1";
        let fault = fails.then_some(SimulatedFault::Dies(Stage::Train));
        Script { fault, ..script(100, if fails { 10 } else { 1000 }) }
    });
    let mut groups = rounds(true, 2, 4);
    run(&simulation, &patient(), &mut groups).unwrap();
    let failed =
        groups.iter().flat_map(|group| group.tasks()).filter(|task| task.failure().is_some()).count();
    assert_eq!(failed, 1);
    assert_eq!(starts(&simulation), (5, 3));
    let time_of = |wanted: &str, of: &str| {
        let events = simulation.events();
        let is = |event: &RunEvent| {
            event.name() == wanted
                && event.task().is_some_and(|(group, task, _)| group.as_str() == of && task.as_str() == "1")
        };
        events.iter().find(|(_, event)| is(event)).unwrap().0
    };
    assert_eq!(
        time_of("task-started", "g1"),
        time_of("task-failed", "g0"),
        "it does not wait until its group is active"
    );
}

#[test]
fn a_task_that_waits_for_a_process_can_be_cancelled() {
    let simulation = Simulation::new(LeaseTable::of_cpu_slots(1), |_| script(10, 1000));
    let cancel = Input::Cancel { group: Name::new("g1").unwrap(), task: Name::from(0_u32) };
    simulation.at(Time::after(ms(500)), cancel);
    let mut groups = rounds(true, 2, 2);
    run(&simulation, &patient(), &mut groups).unwrap();
    let kind = groups[1].get_task("0").unwrap().failure().map(|failure| failure.kind);
    assert_eq!(kind, Some(FailureKind::Cancelled));
    assert_eq!(groups[1].get_task("1").unwrap().status(), TaskStatus::Exited);
}

#[test]
fn more_tasks_of_a_key_than_there_are_processes_do_not_wait() {
    // One process of the first group has the key. One task waits for it while the others load.
    let simulation = Simulation::new(LeaseTable::of_cpu_slots(2), |_| script(1000, 1000));
    let shared = |id: u32| task(id).with_keep("shared");
    let mut groups = [group("a", [shared(0)]), ahead(group("b", (1..4).map(shared)))];
    run(&simulation, &patient(), &mut groups).unwrap();
    assert_eq!(starts(&simulation), (3, 1));
    assert!(simulation.now() < Time::after(ms(4100)), "{}", simulation.now());
}

/// Groups of one task that have loaded ahead; each process takes half a second to exit.
fn slow_to_exit(fault: Option<SimulatedFault>) -> (Simulation, Vec<TaskGroup>) {
    let simulation =
        Simulation::new(cards(&[10]), move |_| Script { exit: ms(500), fault, ..script(10, 50) });
    let one = |number: u32| ahead(group(&format!("g{number}"), [with_memory(task("t"), 1, 2)]));
    (simulation, (0..4).map(one).collect())
}

#[test]
fn a_group_that_has_loaded_does_not_wait_until_the_one_before_has_exited() {
    let (simulation, mut groups) = slow_to_exit(None);
    run(&simulation, &patient(), &mut groups).unwrap();
    // The first start and load, which nothing hides, four times 50 ms of training, and the last exit.
    assert!(simulation.now() < Time::after(ms(4 * 61 + 500)), "{}", simulation.now());
    assert!(groups.iter().all(|group| group.get_task("t").unwrap().status() == TaskStatus::Exited));
    let events = simulation.events();
    let exited = events.iter().filter(|(_, event)| event.name() == "task-exited").count();
    assert_eq!((exited, events.last().unwrap().1.name()), (4, "run-finished"));
    assert_nothing_left(&simulation);
}

#[test]
fn processes_of_a_group_that_is_over_are_ended_if_they_do_not_exit() {
    let (simulation, mut groups) = slow_to_exit(Some(SimulatedFault::Stays));
    run(&simulation, &patient(), &mut groups).unwrap();
    assert!(groups.iter().all(|group| group.get_task("t").unwrap().status() == TaskStatus::Exited));
    assert_nothing_left(&simulation);
}

#[test]
fn what_exiting_processes_hold_of_a_card_is_given_back_to_the_next_group() {
    let simulation = Simulation::new(cards(&[10]), |_| Script { exit: ms(500), ..script(10, 50) });
    let one = |number: u32| ahead(group(&format!("g{number}"), [with_memory(task("t"), 1, 8)]));
    let mut groups: Vec<TaskGroup> = (0..3).map(one).collect();
    run(&simulation, &patient(), &mut groups).unwrap();
    assert!(groups.iter().all(|group| group.get_task("t").unwrap().status() == TaskStatus::Exited));
    assert!(simulation.now() > Time::after(ms(3 * 550)), "the memory of a card was given twice");
    assert_nothing_left(&simulation);
}

#[test]
fn a_next_group_that_cannot_be_opened_leaves_the_active_one_as_it_was() {
    let simulation = Simulation::new(LeaseTable::of_cpu_slots(2), |_| script(10, 10));
    let mut flow = flow(&simulation, &Config::default());
    let mut one = group("one", (0..4).map(task));
    let mut greedy = task(0);
    greedy.terms_mut().needs.devices = 5;
    let mut two = group("two", [greedy]);
    let refused = flow.execute_and_load(&mut one, &mut two);
    assert!(matches!(refused, Err(FlowError::Unleasable { .. })), "{refused:?}");
    assert_eq!(simulation.events().iter().filter(|(_, event)| event.task().is_some()).count(), 0);
    assert_eq!(flow.execute(&mut one).unwrap().finished, 4);
    let mut three = group("three", (0..2).map(task));
    assert_eq!(flow.execute(&mut three).unwrap().finished, 2);
    flow.finish(RunOutcome::Complete);
    assert_nothing_left(&simulation);
}

#[test]
fn a_task_that_is_skipped_is_no_failure_and_what_had_loaded_ahead_counts_no_attempt() {
    let simulation = Simulation::new(LeaseTable::of_cpu_slots(2), |_| script(10, 100));
    let mut flow = flow(&simulation, &patient());
    let mut first = group("first", [task("a"), task("b")]);
    first.skip_task(&Name::new("b").unwrap(), "it is not wanted").unwrap();
    let mut next = ahead(group("next", [task("a"), task("b")]));
    let mut last = ahead(group("last", [task("a")]));
    last.skip_all("`until` holds after round 1");
    let summary = flow.execute_and_load(&mut first, &mut next).unwrap();
    assert_eq!((summary.finished, summary.skipped, summary.failed), (1, 1, 0));
    next.skip_all("its `when` does not hold");
    let summary = flow.execute_and_load(&mut next, &mut last).unwrap();
    assert_eq!((summary.finished, summary.skipped, summary.failed), (0, 2, 0));
    assert_eq!(flow.execute(&mut last).unwrap().skipped, 1);
    flow.finish(RunOutcome::Complete);
    assert_nothing_left(&simulation);
    let skipped = next.get_task("a").unwrap();
    assert_eq!(skipped.status(), TaskStatus::Exception);
    let failure = skipped.failure().unwrap();
    assert_eq!((failure.stage, failure.kind), (Stage::Start, FailureKind::Skipped));
    assert_eq!(failure.message, "its `when` does not hold");

    let mut progress = RunProgress::<()>::default();
    let events = simulation.events();
    for (time, event) in &events {
        assert_eq!(progress.check_announced(event), Ok(()), "the start of a group comes first");
        progress.apply(time.since_start().as_secs_f64(), event);
    }
    assert!(events.iter().any(|(_, event)| {
        matches!(event, RunEvent::TaskStarted { group, .. } if group.as_str() == "next")
    }));
    let of_next = progress.group(&Name::new("next").unwrap()).unwrap();
    assert!(of_next.tasks().iter().all(|task| (task.kind(), task.attempts) == (OutcomeKind::Skipped, 0)));
    let counts = progress.counts();
    assert_eq!((counts.tasks, counts.finished, counts.skipped, counts.open), (5, 1, 4, 0));
}
