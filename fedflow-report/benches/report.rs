//! How long it takes to read the events of 10,000 tasks and to render them, on one thread and on all.

use std::hint::black_box;
use std::io::{self, Write};
use std::time::Duration;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use fedflow_core::{Device, DeviceInfo, Dict, Failure, FailureKind, Name, RunEvent, Stage};
use fedflow_report::{RenderError, Report, render_csv, render_html, render_json, render_junit};
use rayon::{ThreadPool, ThreadPoolBuilder};

const ROUNDS: u32 = 100;
const CLIENTS: u32 = 100;
const LOAD: Duration = Duration::from_millis(400);
const TRAIN: Duration = Duration::from_millis(800);

/// A hundred rounds of a hundred clients on eight cards; one task in five hundred fails.
fn events() -> Vec<(f64, RunEvent)> {
    let name = |text: String| Name::new(text).unwrap_or_else(|_| Name::from(0_u32));
    let cards = (0..8).map(|card| DeviceInfo {
        device: Device::Cuda(card),
        uuid: None,
        name: "card".into(),
        memory: None,
    });
    let (flow, workdir) = ("bench".into(), "/res".into());
    let mut events = vec![(
        0.0,
        RunEvent::RunStarted {
            flow,
            workdir,
            session: 1,
            devices: cards.collect(),
            seed: 1,
            reopened: std::collections::BTreeMap::new(),
            setup: None,
        },
    )];
    for round in 0..ROUNDS {
        let group = name(format!("train-{round}"));
        let begin = f64::from(round) * 20.0;
        let tasks: Vec<Name> = (0..CLIENTS).map(|client| name(format!("client-{client}"))).collect();
        let workdir = format!("/res/{group}");
        events.push((
            begin,
            RunEvent::GroupStarted {
                group: group.clone(),
                index: round + 1,
                workdir,
                fingerprint: 1,
                tasks: tasks.clone(),
                fingerprints: Vec::new(),
                order: None,
                params: Vec::new(),
            },
        ));
        for (client, task) in (0..CLIENTS).zip(tasks) {
            let at = begin + f64::from(client / 8) * 1.5;
            push_task(&mut events, &group, &task, at, client);
        }
    }
    events
}

fn push_task(events: &mut Vec<(f64, RunEvent)>, group: &Name, task: &Name, at: f64, client: u32) {
    let ids = || (group.clone(), task.clone());
    let device = Device::Cuda(client % 8);
    let attempt = 1;
    let (group, task) = ids();
    let workdir = format!("/res/{group}/{task}");
    events.push((at, RunEvent::TaskStarted { group, task, attempt, workdir, reused: false }));
    let (group, task) = ids();
    events.push((at + 0.1, RunEvent::TaskLoading { group, task, attempt, startup_time: None }));
    let (group, task) = ids();
    events.push((at + 0.5, RunEvent::TaskLoaded { group, task, attempt, load_time: LOAD }));
    let (group, task) = ids();
    let devices = Vec::new();
    events.push((
        at + 0.6,
        RunEvent::TaskTraining { group, task, attempt, device, slot: 0, devices, memory: None, pin: None },
    ));
    let (group, task) = ids();
    events.push((at + 1.4, RunEvent::TaskReleased { group, task, attempt, train_time: TRAIN }));
    let (group, task) = ids();
    let result = Dict::from([("accuracy", 0.9 + f64::from(client) / 1e3), ("loss", 1.0 / (at + 1.0))]);
    let outcome = if client % 500 == 17 {
        let error = Failure::new(Stage::Train, FailureKind::Error, "it did not converge");
        let (load_time, train_time) = (Some(LOAD), Some(TRAIN));
        RunEvent::TaskFailed { group, task, attempt, device: Some(device), load_time, train_time, error }
    } else {
        let (load_time, train_time) = (LOAD, TRAIN);
        RunEvent::TaskFinished { group, task, attempt, device, load_time, train_time, result }
    };
    events.push((at + 1.45, outcome));
}

fn fold(events: &[(f64, RunEvent)]) -> Report {
    let mut report = Report::new();
    for (time, event) in events {
        report.apply(*time, event);
    }
    report
}

type Render = fn(&Report, &mut dyn Write) -> Result<(), RenderError>;

fn pools() -> Vec<(&'static str, ThreadPool)> {
    let pool = |threads| ThreadPoolBuilder::new().num_threads(threads).build();
    // Zero stands for the number of processors.
    [("one thread", 1), ("all threads", 0)]
        .into_iter()
        .filter_map(|(name, threads)| Some((name, pool(threads).ok()?)))
        .collect()
}

fn report(criterion: &mut Criterion) {
    let events = events();
    let mut group = criterion.benchmark_group("report of 10,000 tasks");
    group.throughput(Throughput::Elements(u64::from(ROUNDS * CLIENTS))).sample_size(20);
    group.bench_function("fold", |bencher| bencher.iter(|| fold(black_box(&events))));
    let report = fold(&events);
    let formats: [(&str, Render); 4] = [
        ("json", |report, out| render_json(report, out)),
        ("csv", |report, out| render_csv(report, out)),
        ("html", |report, out| render_html(report, out)),
        ("junit", |report, out| render_junit(report, out)),
    ];
    for (threads, pool) in pools() {
        for (format, render) in formats {
            group.bench_function(format!("{format}, {threads}"), |bencher| {
                bencher.iter(|| pool.install(|| render(black_box(&report), &mut io::sink())));
            });
        }
    }
    group.finish();
}

criterion_group!(benches, report);
criterion_main!(benches);
