//! What the journal costs: handing a record over, committing records together, and reading a large run again.

use std::hint::black_box;
use std::path::Path;
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use fedflow_core::{Device, Dict, Name, Observer, RunEvent, Time};
use fedflow_worker::store::{
    Head, JournalNotice, JournalWriter, RunDir, RunLock, create_run_dir, read_journal, recover,
};

const TASKS: u32 = 10_000;

fn head() -> Head {
    Head {
        flow: "bench".into(),
        base_dir: "/flows".into(),
        flow_file: None,
        flow_crc: None,
        config: Dict::new(),
        devices: "cpu:4".into(),
        seed: 0,
        created: 0.0,
        run_token: "bench".into(),
    }
}

fn group() -> Name {
    Name::new("train").expect("it is a name")
}

/// The eight records of a task that goes well.
fn events_of(task: u32) -> Vec<RunEvent> {
    let (group, task, attempt) = (group(), Name::from(task), 1);
    let of = || (group.clone(), task.clone());
    let item = |key: &str, value: f64| {
        let (group, task) = of();
        RunEvent::TaskItem { group, task, attempt, key: key.into(), value: value.into() }
    };
    let (group, task) = of();
    vec![
        RunEvent::TaskStarted {
            workdir: format!("/data/res/train/{task}"),
            group: group.clone(),
            task: task.clone(),
            attempt,
            reused: false,
        },
        RunEvent::TaskLoading { group: group.clone(), task: task.clone(), attempt, startup_time: None },
        RunEvent::TaskLoaded {
            group: group.clone(),
            task: task.clone(),
            attempt,
            load_time: Duration::from_micros(203_117),
        },
        RunEvent::TaskTraining {
            group: group.clone(),
            task: task.clone(),
            attempt,
            device: Device::Cuda(1),
            slot: 1,
            devices: Vec::new(),
            memory: None,
            pin: None,
        },
        item("loss", 0.118_273),
        RunEvent::TaskReleased {
            group: group.clone(),
            task: task.clone(),
            attempt,
            train_time: Duration::from_micros(201_900),
        },
        RunEvent::TaskFinished {
            group: group.clone(),
            task: task.clone(),
            attempt,
            device: Device::Cuda(1),
            load_time: Duration::from_micros(203_117),
            train_time: Duration::from_micros(201_900),
            result: Dict::from([("accuracy", 0.963_2), ("loss", 0.118_273), ("samples", 1617.0)]),
        },
        RunEvent::TaskExited { group, task, attempt },
    ]
}

struct Journal {
    writer: JournalWriter,
    notices: Receiver<JournalNotice>,
    number: u64,
}

impl Journal {
    fn begin(run: &RunDir) -> (RunLock, Self) {
        let lock = RunLock::acquire(run).expect("nobody else has it");
        let (notices_in, notices) = channel();
        let notify = Box::new(move |notice| drop(notices_in.send(notice)));
        let writer = JournalWriter::create(&lock, &head(), notify).expect("it can be written");
        (lock, Self { writer, notices, number: 0 })
    }

    fn record(&mut self, event: &RunEvent) {
        self.number += 1;
        self.writer.record(self.number, Time::after(Duration::from_millis(self.number)), event);
    }

    /// Waits until all that was recorded is durable; the last record must need that.
    fn wait(&self) {
        while self.notices.recv() != Ok(JournalNotice::Durable(self.number)) {}
    }
}

/// On the disk of the target directory, as the temporary directory is often none.
fn fresh_run() -> (tempfile::TempDir, RunDir) {
    let place = Path::new(env!("CARGO_TARGET_TMPDIR"));
    let root = tempfile::tempdir_in(place).expect("a directory can be made");
    let run = create_run_dir(root.path()).expect("a run directory can be made");
    (root, run)
}

#[expect(clippy::disallowed_methods, reason = "this is what measures time here")]
fn now() -> Instant {
    Instant::now()
}

fn append(criterion: &mut Criterion) {
    let mut benches = criterion.benchmark_group("journal");
    benches.sample_size(20);
    let events = events_of(7);
    let finished = &events[6];

    let (_root, run) = fresh_run();
    let (_lock, mut journal) = Journal::begin(&run);
    benches.throughput(Throughput::Elements(1));
    // What the engine's thread pays; the writer's thread works beside it. Results come at the pace of tasks, so the
    // queue is let run dry now and then.
    benches.bench_function("hand one record over", |bencher| {
        bencher.iter_custom(|count| {
            let mut taken = Duration::ZERO;
            for chunk in 0..count.div_ceil(1000) {
                let begin = now();
                for _ in 0..(count - chunk * 1000).min(1000) {
                    journal.record(&events[0]);
                }
                taken += begin.elapsed();
                journal.record(finished);
                journal.wait();
            }
            taken
        });
    });
    for batch in [1_u64, 64] {
        benches.throughput(Throughput::Elements(batch));
        benches.bench_function(format!("commit {batch} results"), |bencher| {
            bencher.iter(|| {
                (0..batch).for_each(|_| journal.record(finished));
                journal.wait();
            });
        });
    }
}

fn read(criterion: &mut Criterion) {
    let (_root, run) = fresh_run();
    let (lock, mut journal) = Journal::begin(&run);
    let tasks = (0..TASKS).map(Name::from).collect();
    journal.record(&RunEvent::GroupStarted {
        group: group(),
        index: 1,
        workdir: "/data/res/train".into(),
        fingerprint: 1,
        tasks,
        fingerprints: Vec::new(),
        order: None,
        params: Vec::new(),
    });
    for task in 0..TASKS {
        for event in events_of(task) {
            journal.record(&event);
        }
    }
    journal.writer.finish().expect("it can be written");
    drop(lock);

    let mut benches = criterion.benchmark_group("journal");
    benches.sample_size(10);
    benches.throughput(Throughput::Elements(u64::from(TASKS) * 8));
    benches.bench_function("read 10,000 tasks", |bencher| {
        bencher.iter(|| read_journal(&run, |record| drop(black_box(record))).expect("it is whole"));
    });
    benches.bench_function("recover 10,000 tasks", |bencher| {
        bencher.iter(|| recover(&run).expect("it is whole"));
    });
}

criterion_group!(journal, append, read);
criterion_main!(journal);
