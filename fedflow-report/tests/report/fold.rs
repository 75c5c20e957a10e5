//! How events become a report: tasks, sessions, retries, and events in any order.

use std::collections::BTreeSet;
use std::time::Duration;

use fedflow_core::{
    Device, Dict, EstimateSource, Failure, FailureKind, MemoryUse, Name, RunEvent, RunOutcome, SessionSetup,
    Size, Stage, Value,
};
use fedflow_report::{
    Advice, AttemptPhase, ChartRow, MemoryKind, OutcomeKind, Report, Summary, memory_by_family, render_csv,
    render_group_html, render_html, render_json, render_junit, render_markdown,
};
use proptest::prelude::*;

use crate::events::*;

fn fold(events: impl IntoIterator<Item = (f64, RunEvent)>) -> Report {
    let mut report = Report::new();
    for (time, event) in events {
        report.apply(time, &event);
    }
    report
}

fn secs(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

fn phases(report: &Report, group: &str, task: &str) -> Vec<Vec<(AttemptPhase, f64, f64)>> {
    let task = report.group(&name(group)).unwrap().task(&name(task)).unwrap();
    let until = |session: usize| report.sessions()[session].last;
    let spans = |attempt: &fedflow_report::Attempt| {
        attempt.spans(until(attempt.session)).map(|span| (span.phase, span.from, span.to)).collect()
    };
    task.all_attempts.iter().map(spans).collect()
}

#[test]
fn the_life_of_a_task() {
    let report = fold([
        (100.0, run_started(1)),
        (100.0, group_started("g", 1, &["b", "a"])),
        (101.0, started("g", "a", 1)),
        (102.0, loading("g", "a", 1)),
        (104.0, loaded("g", "a", 1, 2.0)),
        (105.0, training("g", "a", 1, 1)),
        (106.0, item("g", "a", "loss", 0.5)),
        (107.0, item("g", "a", "loss", 0.25)),
        (109.0, released("g", "a", 1, 4.0)),
        (110.0, finished("g", "a", 1, Dict::from([("x", 1)]))),
        (111.0, exited("g", "a", 1)),
        (112.0, group_finished("g")),
        (113.0, RunEvent::RunFinished { outcome: RunOutcome::Complete }),
    ]);
    let group = &report.groups()[0];
    assert_eq!(group.tasks().iter().map(|task| task.id.as_str()).collect::<Vec<_>>(), ["b", "a"]);
    let task = group.task(&name("a")).unwrap();
    assert_eq!((task.kind(), task.attempts), (OutcomeKind::Finished, 1));
    assert_eq!(task.all_attempts[0].row, Some(ChartRow { device: Device::Cuda(1), slot: 0 }));
    assert_eq!(
        phases(&report, "g", "a"),
        [[
            (AttemptPhase::Start, 101.0, 102.0),
            (AttemptPhase::Load, 102.0, 104.0),
            (AttemptPhase::Wait, 104.0, 105.0),
            (AttemptPhase::Train, 105.0, 109.0)
        ]]
    );
    assert_eq!(
        task.items[0].points().iter().map(|p| (p.since_train.as_secs_f64(), p.value)).collect::<Vec<_>>(),
        [(1.0, 0.5), (2.0, 0.25)]
    );
    assert_eq!(group.task(&name("b")).unwrap().kind(), OutcomeKind::Open);
    assert_eq!((group.started, group.finished), (Some(100.0), Some(112.0)));
    assert_eq!(report.outcome(), Some(&RunOutcome::Complete));
    let counts = report.counts();
    assert_eq!((counts.tasks, counts.finished, counts.open), (2, 1, 1));
    let summary = Summary::of_run(&report);
    let used = |card: usize| (summary.devices[card].busy, summary.devices[card].starved);
    // Card 0 was idle all the time and card 1 half of it, while `b` was ready to start.
    assert_eq!((used(0), used(1)), ((secs(0), secs(8)), (secs(4), secs(4))));
    assert_eq!(summary.makespan, secs(8));
}

#[test]
fn the_time_between_sessions_does_not_count() {
    let report = fold([
        (100.0, run_started(1)),
        (100.0, group_started("g", 1, &["a", "b"])),
        (101.0, started("g", "a", 1)),
        (101.0, started("g", "b", 1)),
        (103.0, training("g", "a", 1, 0)),
        (105.0, finished("g", "a", 1, Dict::new())),
        // The session is cut off while `b` trains.
        (106.0, training("g", "b", 1, 0)),
        (5000.0, run_started(2)),
        (5000.0, group_started("g", 1, &["a", "b"])),
        (5001.0, started("g", "b", 1)),
        (5002.0, training("g", "b", 1, 1)),
        (5004.0, released("g", "b", 1, 2.0)),
        (5004.0, finished("g", "b", 1, Dict::new())),
    ]);
    assert_eq!(report.counts().finished, 2);
    assert_eq!(report.sessions().len(), 2);
    let all_attempts = phases(&report, "g", "b");
    assert_eq!(all_attempts.len(), 2);
    // In the first session, `train` began with the last event, so its time is not known.
    assert_eq!(all_attempts[0], [(AttemptPhase::Start, 101.0, 106.0)]);
    assert_eq!(all_attempts[1].last(), Some(&(AttemptPhase::Train, 5002.0, 5004.0)));
    assert_eq!(report.groups()[0].started, Some(100.0));
    assert_eq!(Summary::of_run(&report).makespan, secs(9));
}

#[test]
fn a_cancelled_task_that_is_done_again_loses_its_old_outcome() {
    let mut report = fold([
        (0.0, group_started("g", 1, &["a"])),
        (1.0, started("g", "a", 1)),
        (2.0, cancelled("g", "a")),
        (3.0, RunEvent::RunFinished { outcome: RunOutcome::Stopped }),
    ]);
    assert_eq!(report.counts().cancelled, 1);
    report.apply(10.0, &run_started(2));
    assert_eq!(report.counts().cancelled, 1);
    report.apply(11.0, &started("g", "a", 1));
    assert_eq!(report.counts().open, 1);
    assert_eq!(report.outcome(), None);
}

#[test]
fn a_changed_group_starts_anew() {
    let mut report = fold([
        (0.0, group_started("g", 1, &["a", "b"])),
        (1.0, finished("g", "a", 1, Dict::new())),
        (2.0, group_started("g", 1, &["a", "b"])),
    ]);
    assert_eq!(report.counts().finished, 1);
    let changed = RunEvent::GroupStarted {
        group: name("g"),
        index: 1,
        workdir: "/res/g".into(),
        fingerprint: 2,
        tasks: vec![name("c")],
        fingerprints: Vec::new(),
        order: None,
        params: Vec::new(),
    };
    report.apply(3.0, &changed);
    let counts = report.counts();
    assert_eq!((counts.tasks, counts.finished), (1, 0));
}

#[test]
fn a_retry_that_keeps_its_data_waits_and_trains_again() {
    let report = fold([
        (0.0, started("g", "a", 1)),
        (1.0, loading("g", "a", 1)),
        (2.0, loaded("g", "a", 1, 1.0)),
        (3.0, training("g", "a", 1, 0)),
        (4.0, released("g", "a", 1, 1.0)),
        (4.0, retried("g", "a", 1, true)),
        (6.0, training("g", "a", 1, 1)),
        (9.0, released("g", "a", 1, 3.0)),
        (9.0, finished("g", "a", 1, Dict::new())),
        (9.5, exited("g", "a", 1)),
    ]);
    let all_attempts = phases(&report, "g", "a");
    assert_eq!(all_attempts[1], [(AttemptPhase::Wait, 4.0, 6.0), (AttemptPhase::Train, 6.0, 9.0)]);
    assert_eq!(report.counts().retried, 1);
    let task = &report.groups()[0].tasks()[0];
    assert_eq!(task.retries().count(), 1);
    assert!(task.all_attempts[1].failure.is_none());
}

#[test]
fn a_late_event_belongs_to_its_own_attempt() {
    let report = fold([
        (0.0, started("g", "a", 1)),
        (1.0, training("g", "a", 1, 0)),
        (2.0, retried("g", "a", 1, false)),
        (3.0, started("g", "a", 2)),
        (4.0, exited("g", "a", 1)),
        (5.0, training("g", "a", 2, 0)),
    ]);
    let task = &report.groups()[0].tasks()[0];
    assert_eq!((task.all_attempts.len(), task.attempts), (2, 2));
    assert_eq!((task.all_attempts[0].ended, task.all_attempts[1].ended), (Some(2.0), None));
    assert_eq!(task.all_attempts[0].failure.as_ref().map(|failure| failure.kind), Some(FailureKind::Oom));
}

#[test]
fn groups_come_in_the_order_of_execution() {
    let report = fold([
        (0.0, finished("stray", "t", 1, Dict::new())),
        (1.0, group_started("second", 2, &["t"])),
        (2.0, group_started("first", 1, &["t"])),
        (3.0, finished("second", "t", 1, Dict::new())),
    ]);
    assert_eq!(
        report.groups().iter().map(|group| group.name.as_str()).collect::<Vec<_>>(),
        ["first", "second", "stray"]
    );
    assert_eq!(report.group(&name("second")).unwrap().counts().finished, 1);
}

#[test]
fn estimates_stand_beside_what_was_used() {
    let gb = Size::from_gb;
    let told = |task: &str, attempt, peak| RunEvent::TaskMemory {
        group: name("train-1"),
        task: name(task),
        attempt,
        family: "train-*: w k".into(),
        memory: MemoryUse { asked: gb(2), source: EstimateSource::Default, peak: Some(gb(1)) },
        cuda_memory: Some(MemoryUse { asked: gb(16), source: EstimateSource::Given, peak }),
    };
    let report = fold([
        (1.0, run_started(1)),
        (1.0, group_started("train-1", 1, &["a", "b"])),
        (1.0, started("train-1", "a", 1)),
        (2.0, told("a", 1, Some(gb(15)))),
        (3.0, started("train-1", "a", 2)),
        (4.0, told("a", 2, Some(gb(5)))),
        (5.0, started("train-1", "b", 1)),
        (6.0, told("b", 1, Some(gb(3)))),
    ]);
    let families = memory_by_family(report.groups());
    assert!(families.iter().all(|family| family.raised.is_none()));
    let card = families.iter().find(|family| family.kind == MemoryKind::Card).unwrap();
    assert_eq!((card.tasks, card.peak, card.mean), (2, gb(5), gb(4)), "of each task its last try");
    assert_eq!(card.advice(), Some(Advice::Lower(Size::from_bytes(5_500_000_000))));
    let mut page = Vec::new();
    render_html(&report, &mut page).unwrap();
    let page = String::from_utf8(page).unwrap();
    assert!(page.contains("estimate-cuda-memory = &quot;5.5GB&quot; would do"), "the page says it");
    let mut json = Vec::new();
    render_json(&report, &mut json).unwrap();
    let json: serde_json::Value = serde_json::from_slice(&json).unwrap();
    assert_eq!(json["groups"][0]["tasks"][1]["memory"]["card"]["peak"], 3_000_000_000_u64);
    let mut csv = Vec::new();
    render_csv(&report, &mut csv).unwrap();
    let csv = String::from_utf8(csv).unwrap();
    assert!(csv.lines().nth(2).unwrap().ends_with(",2000000000,1000000000,16000000000,3000000000"), "{csv}");
}

fn any_name() -> impl Strategy<Value = Name> {
    prop::sample::select(vec!["a", "b-1", "b-2", "c"]).prop_map(name)
}

fn any_failure() -> impl Strategy<Value = Failure> {
    let kinds = vec![FailureKind::Error, FailureKind::Cancelled, FailureKind::Oom];
    (prop::sample::select(kinds), ".{0,8}").prop_map(|(kind, text)| {
        let mut failure = Failure::new(Stage::Train, kind, text.clone());
        failure.stderr_tail = text;
        failure
    })
}

fn any_device() -> impl Strategy<Value = Device> {
    prop_oneof![Just(Device::Cpu), (0_u32..3).prop_map(Device::Cuda)]
}

fn any_result() -> impl Strategy<Value = Dict> {
    prop::collection::vec(("[a-c\\x00<]{0,2}", any::<f64>()), 0..3)
        .prop_map(|pairs| pairs.into_iter().collect())
}

fn any_event() -> impl Strategy<Value = RunEvent> {
    let of_task = (any_name(), any_name(), 0_u32..4);
    let more = (any_device(), 0_u32..3, any::<f64>(), any_failure(), any_result(), any::<bool>());
    (0_u32..16, of_task, more, prop::collection::vec(any_name(), 0..4)).prop_map(
        |(which, (group, task, attempt), (device, slot, seconds, error, result, flag), tasks)| {
            // Negative and infinite numbers are refused when an event is read.
            let time = Duration::try_from_secs_f64(seconds.abs()).unwrap_or(Duration::MAX);
            match which {
                0 => run_started(slot),
                1 => RunEvent::GroupStarted {
                    group,
                    index: attempt,
                    workdir: String::new(),
                    fingerprint: u64::from(slot),
                    tasks,
                    fingerprints: Vec::new(),
                    order: None,
                    params: Vec::new(),
                },
                2 => RunEvent::TaskStarted { group, task, attempt, workdir: "/res/x".into(), reused: false },
                3 => RunEvent::TaskLoading { group, task, attempt, startup_time: None },
                4 => RunEvent::TaskLoaded { group, task, attempt, load_time: time },
                5 | 6 => {
                    let devices = if flag { vec![device, Device::Cuda(9)] } else { Vec::new() };
                    RunEvent::TaskTraining {
                        group,
                        task,
                        attempt,
                        device,
                        slot,
                        devices,
                        memory: None,
                        pin: None,
                    }
                }
                7 => RunEvent::TaskProgress { group, task, attempt, done: 1, total: 0 },
                8 => {
                    RunEvent::TaskItem { group, task, attempt, key: "k".into(), value: Value::from(seconds) }
                }
                9 => RunEvent::TaskReleased { group, task, attempt, train_time: time },
                10 => RunEvent::TaskFinished {
                    group,
                    task,
                    attempt,
                    device,
                    load_time: time,
                    train_time: time,
                    result,
                },
                11 => RunEvent::TaskFailed {
                    group,
                    task,
                    attempt,
                    device: Some(device),
                    load_time: Some(time),
                    train_time: None,
                    error,
                },
                12 => RunEvent::TaskRetried {
                    group,
                    task,
                    attempt,
                    device: None,
                    error,
                    data_kept: flag,
                    delay: time,
                },
                13 => RunEvent::TaskExited { group, task, attempt },
                14 => {
                    let size = Size::from_bytes(u64::from(slot));
                    let source = EstimateSource::Given;
                    let memory = MemoryUse { asked: size, source, peak: flag.then_some(size) };
                    let family = "f".to_owned();
                    RunEvent::TaskMemory { group, task, attempt, family, memory, cuda_memory: Some(memory) }
                }
                _ if flag => {
                    RunEvent::GroupFinished { group, finished: 0, failed: 0, cancelled: 0, skipped: 0 }
                }
                _ => RunEvent::RunFinished { outcome: RunOutcome::Stopped },
            }
        },
    )
}

fn any_time() -> impl Strategy<Value = f64> {
    prop_oneof![8 => 1e9_f64..1e9 + 1e3, 1 => any::<f64>()]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]
    #[test]
    fn whatever_is_told_every_task_has_one_row(
        events in prop::collection::vec((any_time(), any_event()), 0..60)
    ) {
        let report = fold(events.clone());
        let mut rows = BTreeSet::new();
        for (group, task) in report.tasks() {
            prop_assert!(rows.insert((group.name.clone(), task.id.clone())));
            for attempt in &task.all_attempts {
                let spans: Vec<_> = attempt.spans(report.sessions()[attempt.session].last).collect();
                prop_assert!(spans.iter().all(|span| span.to > span.from));
            }
        }
        // Every task that was named after its group began for the last time is in the report.
        let known = events.iter().filter_map(|(_, event)| event.task()).map(|(group, _, _)| group);
        prop_assert!(known.into_iter().all(|group| report.group(group).is_some()));
        let counts = report.counts();
        prop_assert_eq!(counts.finished + counts.failed + counts.cancelled + counts.open, rows.len());

        let mut json = Vec::new();
        render_json(&report, &mut json).unwrap();
        let json: serde_json::Value = serde_json::from_slice(&json).unwrap();
        let groups = json["groups"].as_array().unwrap();
        prop_assert_eq!(groups.iter().map(|group| group["tasks"].as_array().unwrap().len()).sum::<usize>(), rows.len());

        let mut table = Vec::new();
        render_csv(&report, &mut table).unwrap();
        prop_assert_eq!(csv::Reader::from_reader(&*table).records().map(Result::unwrap).count(), rows.len());

        let mut junit = Vec::new();
        render_junit(&report, &mut junit).unwrap();
        let junit = String::from_utf8(junit).unwrap();
        let document = roxmltree::Document::parse(&junit).unwrap();
        prop_assert_eq!(document.descendants().filter(|node| node.has_tag_name("testcase")).count(), rows.len());

        render_markdown(&report, std::io::sink()).unwrap();
        render_html(&report, std::io::sink()).unwrap();
        for group in report.groups() {
            render_group_html(&report, &group.name, std::io::sink()).unwrap();
        }
    }
}

#[test]
fn a_group_that_does_not_exist_has_no_page() {
    let error = render_group_html(&Report::new(), &name("g"), std::io::sink()).unwrap_err();
    assert_eq!(error.to_string(), "the run has no group \"g\"");
}

#[test]
fn work_waits_while_a_task_is_loaded_or_ready_to_start() {
    let report = fold([
        (100.0, run_started(1)),
        (100.0, group_started("g", 1, &["a", "b"])),
        (100.0, started("g", "a", 1)),
        (100.0, loading("g", "a", 1)),
        // `b` is ready to start until 102. Then both load, and no task waits.
        (102.0, started("g", "b", 1)),
        (102.0, loading("g", "b", 1)),
        (106.0, loaded("g", "a", 1, 6.0)),
        // It is loaded and waits for a second.
        (107.0, training("g", "a", 1, 0)),
        (110.0, released("g", "a", 1, 3.0)),
        (110.0, finished("g", "a", 1, Dict::new())),
        (112.0, loaded("g", "b", 1, 10.0)),
        (112.0, training("g", "b", 1, 0)),
        (116.0, released("g", "b", 1, 4.0)),
        (116.0, finished("g", "b", 1, Dict::new())),
        (116.0, group_finished("g")),
    ]);
    let summary = Summary::of_run(&report);
    let (first, second) = (&summary.devices[0], &summary.devices[1]);
    assert_eq!((first.busy, first.starved, first.idle), (secs(7), secs(3), secs(9)));
    assert_eq!((second.busy, second.starved), (secs(0), secs(3)));
    assert_eq!((first.loading, second.loading), (secs(0), secs(0)));
}

/// A run on cards of 8 GB and 24 GB with one task, which trains twice on the second card with leases of these sizes.
fn run_on_unequal_cards(leased: [u64; 2]) -> Report {
    let mut begin = run_started(1);
    if let RunEvent::RunStarted { devices, .. } = &mut begin {
        devices.iter_mut().zip([8, 24]).for_each(|(card, gb)| card.memory = Some(Size::from_gb(gb)));
    }
    let trains = |gb| {
        let mut event = training("g", "a", 1, 1);
        if let RunEvent::TaskTraining { memory, .. } = &mut event {
            *memory = Some(Size::from_gb(gb));
        }
        event
    };
    let oom = RunEvent::TaskRetried {
        group: name("g"),
        task: name("a"),
        attempt: 1,
        device: Some(Device::Cuda(1)),
        error: Failure::new(Stage::Train, FailureKind::Oom, "no room"),
        data_kept: true,
        delay: Duration::ZERO,
    };
    fold([
        (100.0, begin),
        (100.0, group_started("g", 1, &["a"])),
        (100.0, started("g", "a", 1)),
        (100.0, loading("g", "a", 1)),
        (101.0, loaded("g", "a", 1, 1.0)),
        (104.0, trains(leased[0])),
        (105.0, oom),
        (106.0, trains(leased[1])),
        (
            107.0,
            RunEvent::TaskMemory {
                group: name("g"),
                task: name("a"),
                attempt: 1,
                family: "g: w k".into(),
                memory: MemoryUse { asked: Size::from_gb(2), source: EstimateSource::Default, peak: None },
                cuda_memory: Some(MemoryUse {
                    asked: Size::from_gb(leased[1]),
                    source: EstimateSource::Given,
                    peak: Some(Size::from_gb(leased[1])),
                }),
            },
        ),
        (108.0, finished("g", "a", 1, Dict::new())),
        (108.0, group_finished("g")),
    ])
}

#[test]
fn a_card_that_is_too_small_does_not_idle_while_work_waits() {
    let starved = |leased| Summary::of_run(&run_on_unequal_cards(leased)).devices[0].starved;
    assert_eq!(starved([9, 12]), secs(0));
    assert!(starved([6, 9]) >= secs(3), "the first try would have fitted");
}

/// What is pinned to one card leaves the other without work, and so does what trains beside the cards.
#[test]
fn a_card_that_a_task_may_not_have_does_not_idle_while_work_waited() {
    let starved = |pin: Option<&str>, device: Device| {
        let mut trains = training("g", "a", 1, 1);
        if let RunEvent::TaskTraining { device: on, pin: pinned, .. } = &mut trains {
            *on = device;
            *pinned = pin.map(|pin| Box::new(pin.parse().unwrap()));
        }
        let report = fold([
            (100.0, run_started(1)),
            (100.0, group_started("g", 1, &["a"])),
            (100.0, started("g", "a", 1)),
            (100.0, loading("g", "a", 1)),
            (101.0, loaded("g", "a", 1, 1.0)),
            (104.0, trains),
            (107.0, released("g", "a", 1, 3.0)),
            (107.0, finished("g", "a", 1, Dict::new())),
            (107.0, group_finished("g")),
        ]);
        let summary = Summary::of_run(&report);
        (summary.devices[0].starved, summary.devices[1].starved)
    };
    assert_eq!(starved(None, Device::Cuda(1)), (secs(3), secs(3)), "it could have had the other card");
    assert_eq!(starved(Some("cuda:1"), Device::Cuda(1)), (secs(0), secs(3)));
    assert_eq!(starved(Some("cpu"), Device::Cpu), (secs(0), secs(0)));
    assert_eq!(starved(None, Device::Cpu), (secs(0), secs(0)), "an old journal names no pin");
}

/// What may be leased of a card counts, not its size.
#[test]
fn what_a_card_must_keep_free_is_no_room() {
    let starved = |limit: Option<&str>| {
        let mut report = run_on_unequal_cards([7, 7]);
        if let Some(limit) = limit {
            let mut begin = run_started(2);
            if let RunEvent::RunStarted { setup, devices, .. } = &mut begin {
                devices.iter_mut().zip([8, 24]).for_each(|(card, gb)| card.memory = Some(Size::from_gb(gb)));
                let config = Dict::from([("remain-limit.cuda-memory", limit)]);
                *setup = Some(Box::new(SessionSetup {
                    devices: "auto".into(),
                    config,
                    config_file: None,
                    environment: None,
                    vars: Dict::new(),
                }));
            }
            report.apply(109.0, &begin);
        }
        Summary::of_run(&report).devices[0].starved
    };
    assert!(starved(None) >= secs(3), "7 of 8 GB");
    assert!(starved(Some("500MB")) >= secs(3));
    assert_eq!(starved(Some("2GB")), secs(0));
}

#[test]
fn an_estimate_that_was_raised_is_not_shown_as_given() {
    let families = memory_by_family(run_on_unequal_cards([9, 12]).groups());
    let card = families.iter().find(|family| family.kind == MemoryKind::Card).unwrap();
    assert_eq!((card.asked.1, card.raised, card.exceeded), (Size::from_gb(9), Some(Size::from_gb(12)), 1));
}

#[test]
fn a_lease_that_is_held_while_loading_is_counted() {
    // Fedflow itself does not do this, but a journal can say it.
    let report = fold([
        (100.0, run_started(1)),
        (100.0, group_started("g", 1, &["a"])),
        (100.0, started("g", "a", 1)),
        (100.0, training("g", "a", 1, 0)),
        (101.0, loading("g", "a", 1)),
        (104.0, loaded("g", "a", 1, 3.0)),
        (109.0, released("g", "a", 1, 9.0)),
        (109.0, finished("g", "a", 1, Dict::new())),
    ]);
    assert_eq!(Summary::of_run(&report).devices[0].loading, secs(3));
}
