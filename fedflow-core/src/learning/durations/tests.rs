//! Tests of what is learned from events, and of the estimates that follow.

use super::*;
use crate::model::run_event::RunOutcome;
use crate::{Device, Dict, Failure, FailureKind, Stage, TaskSpec};

fn name(text: &str) -> Name {
    Name::new(text).unwrap()
}

/// The events of one attempt at a task, from its start at `begin` until its process is gone.
fn attempt(group: &str, id: &str, begin: f64, train: f64) -> Vec<(f64, RunEvent)> {
    let (group, task, attempt) = (name(group), name(id), 1);
    let (loading, loaded) = (begin + 0.5, begin + 2.5);
    let released = loaded + 1.0 + train;
    vec![
        (
            begin,
            RunEvent::TaskStarted {
                group: group.clone(),
                task: task.clone(),
                attempt,
                workdir: "/".into(),
                reused: false,
            },
        ),
        (
            loading,
            RunEvent::TaskLoading { group: group.clone(), task: task.clone(), attempt, startup_time: None },
        ),
        (
            loaded,
            RunEvent::TaskLoaded {
                group: group.clone(),
                task: task.clone(),
                attempt,
                load_time: Duration::from_secs(2),
            },
        ),
        (
            released,
            RunEvent::TaskReleased {
                group: group.clone(),
                task: task.clone(),
                attempt,
                train_time: Duration::from_secs_f64(train),
            },
        ),
        (
            released,
            RunEvent::TaskFinished {
                group: group.clone(),
                task: task.clone(),
                attempt,
                device: Device::Cpu,
                load_time: Duration::from_secs(2),
                train_time: Duration::from_secs_f64(train),
                result: Dict::new(),
            },
        ),
        (released + 0.25, RunEvent::TaskExited { group, task, attempt }),
    ]
}

fn learned(events: impl IntoIterator<Item = (f64, RunEvent)>) -> Durations {
    let mut durations = Durations::default();
    for (seconds, event) in events {
        durations.observe(seconds, &event);
    }
    durations
}

fn train_of(durations: &Durations, group: &str, task: &str) -> Option<(f64, Basis)> {
    let (times, basis) = durations.estimate(&name(group), &name(task))?;
    Some((times.train.as_secs_f64(), basis))
}

#[test]
fn each_part_of_an_attempt_is_measured() {
    let durations = learned(attempt("train", "a", 1_700_000_000.0, 8.0));
    let (times, basis) = durations.estimate(&name("train"), &name("a")).unwrap();
    assert_eq!(basis, Basis::Recorded);
    let ms = Duration::from_millis;
    let expected =
        StageTimes { start: ms(500), load: ms(2000), handed_over: None, train: ms(8000), exit: ms(250) };
    assert_eq!(times, expected);
}

/// The same attempt in a process that has served other tasks and is kept, with another load time.
fn reused(mut events: Vec<(f64, RunEvent)>, load: f64) -> Vec<(f64, RunEvent)> {
    let released = events[3].0;
    for (seconds, event) in &mut events {
        match event {
            RunEvent::TaskStarted { reused, .. } => *reused = true,
            RunEvent::TaskLoaded { load_time, .. } | RunEvent::TaskFinished { load_time, .. } => {
                *load_time = Duration::from_secs_f64(load);
            }
            RunEvent::TaskExited { .. } => *seconds = released,
            _ => {}
        }
    }
    events
}

#[test]
fn what_a_process_of_its_own_takes_and_what_one_that_stayed_takes_are_learned_apart() {
    let durations = learned(
        [
            attempt("round-1", "client-1", 0.0, 10.0),
            reused(attempt("round-2", "client-1", 0.0, 10.0), 0.25),
            reused(attempt("round-3", "client-1", 0.0, 10.0), 0.75),
            reused(attempt("round-3", "client-2", 0.0, 10.0), 0.5),
        ]
        .concat(),
    );
    // The load times in a process of its own and in one that has served other tasks, in milliseconds.
    let loads = |group: &str, task: &str| {
        let (times, basis) = durations.estimate(&name(group), &name(task)).unwrap();
        let handed_over = times.handed_over.map(|lead| lead.load.as_millis());
        (basis, times.load.as_millis(), handed_over, times.exit.as_millis())
    };
    assert_eq!(loads("round-1", "client-1"), (Basis::Recorded, 2000, Some(500), 250));
    assert_eq!(loads("round-2", "client-1"), (Basis::Recorded, 2000, Some(250), 0), "its process stayed");
    assert_eq!(loads("round-9", "client-1"), (Basis::Alike, 2000, Some(500), 250));
    assert_eq!(loads("round-9", "client-2"), (Basis::Alike, 2000, Some(500), 0), "as the other clients");
    assert_eq!(loads("round-9", "client-3"), (Basis::Alike, 2000, Some(500), 250));
}

#[test]
fn the_end_of_a_group_is_told_by_the_next_one_that_waited_for_it() {
    let (group, task, attempt) = (name("g-2"), name("t"), 1);
    let over = |group: &str| RunEvent::GroupFinished {
        group: name(group),
        finished: 1,
        failed: 0,
        cancelled: 0,
        skipped: 0,
    };
    let loaded = |seconds: f64| {
        let event = |event: RunEvent| (seconds, event);
        [
            event(RunEvent::TaskStarted {
                group: group.clone(),
                task: task.clone(),
                attempt,
                workdir: "/".into(),
                reused: false,
            }),
            event(RunEvent::TaskLoaded {
                group: group.clone(),
                task: task.clone(),
                attempt,
                load_time: Duration::from_millis(500),
            }),
        ]
    };
    let training = RunEvent::TaskTraining {
        group: group.clone(),
        task: task.clone(),
        attempt,
        device: Device::Cpu,
        slot: 0,
        devices: Vec::new(),
        memory: None,
    };
    let between = |loaded_at: f64| {
        let mut events = vec![(10.0, over("g-1"))];
        events.extend(loaded(loaded_at));
        events.push((10.5, training.clone()));
        events.sort_by(|(a, _), (b, _)| a.total_cmp(b));
        learned(events).between_groups()
    };
    assert_eq!(between(9.0), Some(Duration::from_millis(500)));
    assert_eq!(between(10.25), None, "it was not yet ready");
}

#[test]
fn an_end_for_which_no_process_was_left_shows_the_pause() {
    let over = RunEvent::GroupFinished { group: name("g"), finished: 2, failed: 0, cancelled: 0, skipped: 0 };
    let ended = RunEvent::RunFinished { outcome: RunOutcome::Complete };
    let pause = |is_last_kept: bool| {
        let mut first = attempt("g", "first", 0.0, 10.0);
        let mut second = attempt("g", "second", 20.0, 10.0);
        // The process of the first one goes on to the second one at once.
        keep(&mut first);
        if let RunEvent::TaskStarted { reused, .. } = &mut second[0].1 {
            *reused = true;
        }
        if is_last_kept {
            keep(&mut second);
        }
        let end = [(50.0, over.clone()), (50.5, ended.clone())];
        learned([first, second, end.to_vec()].concat()).between_groups()
    };
    assert_eq!(pause(false), Some(Duration::from_millis(500)));
    assert_eq!(pause(true), None, "the process had to exit first");
}

/// Has the process of an attempt kept after it.
fn keep(attempt: &mut [(f64, RunEvent)]) {
    if let [.., (released, _), (exited, _)] = attempt {
        *exited = *released;
    }
}

#[test]
fn what_has_not_run_takes_as_long_as_its_like() {
    let durations = learned(
        [
            attempt("round-1", "client-1", 0.0, 10.0),
            attempt("round-1", "client-2", 0.0, 20.0),
            attempt("round-2", "client-1", 0.0, 12.0),
            attempt("round-2", "average", 0.0, 1.0),
        ]
        .concat(),
    );
    assert_eq!(train_of(&durations, "round-2", "client-1"), Some((12.0, Basis::Recorded)));
    assert_eq!(train_of(&durations, "round-3", "client-1"), Some((11.0, Basis::Alike)), "its own rounds");
    assert_eq!(train_of(&durations, "round-3", "client-7"), Some((14.0, Basis::Alike)), "all clients");
    assert_eq!(train_of(&durations, "round-3", "average"), Some((1.0, Basis::Alike)));
    assert_eq!(train_of(&durations, "split", "client-1"), None, "another group's tasks do something else");
    let exit = durations.estimate(&name("round-3"), &name("client-7")).unwrap().0.exit;
    assert_eq!(exit, Duration::from_millis(250));
}

#[test]
fn numbers_are_taken_out_whole() {
    for (text, expected) in [
        ("client-12", "client-#"),
        ("lr=0.01,seed=7", "lr=#,seed=#"),
        ("7", "#"),
        ("v1.", "v#."),
        ("a.1", "a.#"),
        ("1.2.3x", "#x"),
        ("plain", "plain"),
        ("größe-3", "größe-#"),
    ] {
        assert_eq!(&*without_numbers(text), expected);
    }
}

#[test]
fn failed_attempts_teach_nothing_but_that_they_were() {
    let error = || Failure::new(Stage::Train, FailureKind::Error, "no");
    let (group, task) = (name("g"), name("t-1"));
    let retried = RunEvent::TaskRetried {
        group: group.clone(),
        task: task.clone(),
        attempt: 1,
        device: None,
        error: error(),
        data_kept: false,
        delay: Duration::ZERO,
    };
    let mut first = attempt("g", "t-1", 0.0, 3.0);
    first.truncate(4);
    let mut durations = learned(first.clone());
    durations.observe(7.0, &retried);
    assert_eq!(train_of(&durations, "g", "t-1"), Some((3.0, Basis::Failed)));
    for (seconds, event) in attempt("g", "t-1", 10.0, 9.0) {
        durations.observe(seconds, &event);
    }
    assert_eq!(train_of(&durations, "g", "t-1"), Some((9.0, Basis::Recorded)));
    assert_eq!(train_of(&durations, "g", "t-2"), Some((9.0, Basis::Alike)));
    let recorded = durations.totals();
    assert_eq!((recorded.failed_attempts, recorded.failed_training), (1, Duration::from_secs(3)));

    let failed = RunEvent::TaskFailed {
        group,
        task,
        attempt: 1,
        device: None,
        load_time: None,
        train_time: None,
        error: error(),
    };
    first.push((8.0, failed));
    let durations = learned([first, attempt("g", "t-2", 0.0, 5.0)].concat());
    assert_eq!(train_of(&durations, "g", "t-1"), Some((5.0, Basis::Alike)), "its like came further");
}

#[test]
fn the_time_between_sessions_does_not_count() {
    let started = |session| RunEvent::RunStarted {
        flow: "f".into(),
        workdir: "/".into(),
        session,
        devices: Vec::new(),
        seed: 0,
        reopened: std::collections::BTreeMap::new(),
        setup: None,
    };
    let finished = |outcome| RunEvent::RunFinished { outcome };
    let durations = learned([
        (100.0, started(1)),
        (107.0, finished(RunOutcome::Stopped)),
        (500.0, started(2)),
        (503.0, finished(RunOutcome::Complete)),
    ]);
    let recorded = durations.totals();
    assert_eq!((recorded.makespan, recorded.sessions), (Duration::from_secs(10), 2));
    assert!(recorded.complete && durations.is_empty());
}

#[test]
fn what_a_task_declares_stands() {
    let durations = learned(attempt("g", "t-1", 0.0, 5.0));
    let mut group = TaskGroup::new("g").unwrap();
    for (id, declared) in [("t-1", Some(99)), ("t-2", None), ("other", None)] {
        let mut spec = TaskSpec::command(id, ["true"]).unwrap();
        spec.terms_mut().expected =
            declared.map(|train| ExpectedTimes { load: Duration::ZERO, train: Duration::from_secs(train) });
        group.add_task(spec).unwrap();
    }
    durations.expect(&mut group);
    let expected: Vec<_> =
        group.tasks().map(|task| task.spec().expected.map(|times| times.train.as_secs())).collect();
    assert_eq!(expected, [Some(99), Some(5), None]);
}
