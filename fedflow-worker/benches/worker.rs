//! What a worker costs: from its start to its result and its end, against the bare spawn of the same binary.

use std::hint::black_box;
use std::process::{Command, Stdio};
use std::sync::Arc;

use criterion::{Criterion, criterion_group};
use fedflow_core::{
    Assignment, Device, Dict, Inbox, Input, Launcher, Lease, LeaseId, LoadContext, Name, Program,
    SELF_WORKER, Task, TaskError, TrainContext, WorkerEvent, WorkerId,
};
use fedflow_worker::{Host, HostInbox, HostLauncher, HostOptions, Worker};
use serde::{Deserialize, Serialize};

/// A task that does nothing.
#[derive(Serialize, Deserialize)]
struct Nothing {}

impl Task for Nothing {
    const KIND: &'static str = "nothing";

    fn load(&mut self, _ctx: &mut LoadContext<'_>) -> Result<(), TaskError> {
        Ok(())
    }

    fn train(&mut self, ctx: &mut TrainContext<'_>, _device: &Device) -> Result<Dict, TaskError> {
        match ctx.params().get("again") {
            // Told so that the same process trains again: one round trip.
            Some(_) => Err(TaskError::out_of_memory("again")),
            None => Ok(Dict::from([("accuracy", 0.5)])),
        }
    }
}

struct Bench {
    launcher: HostLauncher,
    inbox: HostInbox,
    root: tempfile::TempDir,
    lease: Lease,
    next: u64,
}

impl Bench {
    fn new() -> Self {
        let root = tempfile::tempdir().expect("a temporary directory");
        let mut options = HostOptions::new(root.path());
        options.sample_interval = None;
        let (launcher, inbox, _) = Host::start(options).expect("a host");
        let lease =
            Lease { id: LeaseId(1), shares: Vec::new(), environment: Vec::new(), device_seen: Device::Cpu };
        Self { launcher, inbox, root, lease, next: 0 }
    }

    fn start(&mut self, program: Program) -> WorkerId {
        self.next += 1;
        let worker = WorkerId(self.next);
        let id = Name::from(self.next);
        let workdir = self.root.path().join("group").join(id.as_str());
        let assignment = Assignment {
            group: Name::from(1_u64),
            task_id: id,
            attempt: 1,
            workdir,
            checkpoint_dir: self.root.path().join("checkpoint"),
            program: Arc::new(program),
            params: Dict::new(),
            keep: None,
            oom_signs: Default::default(),
        };
        self.launcher.start(worker, assignment);
        assert_eq!(self.event(), WorkerEvent::Ready);
        self.launcher.load(worker);
        assert_eq!(self.event(), WorkerEvent::Loaded);
        worker
    }

    fn finish(&mut self, worker: WorkerId) {
        self.launcher.train(worker, &self.lease, &Dict::new());
        black_box(self.event());
        self.launcher.exit(worker);
        assert!(matches!(self.event(), WorkerEvent::Gone { .. }));
    }

    fn event(&mut self) -> WorkerEvent {
        match self.inbox.next(None).1 {
            Input::Worker { event, .. } => event,
            other => panic!("{other:?}"),
        }
    }
}

/// The argument with which this program ends at once.
const BARE: &str = "--bare";

fn start_to_end(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("start-to-end");
    let this = std::env::current_exe().expect("this program");
    group.bench_function("bare-spawn", |bencher| {
        bencher.iter(|| {
            #[expect(clippy::disallowed_methods, reason = "what a worker is compared with")]
            let mut command = Command::new(&this);
            let mut child = command.arg(BARE).stdin(Stdio::null()).spawn().expect("this program again");
            child.wait().expect("its end")
        });
    });
    let mut bench = Bench::new();
    group.bench_function("rust-worker", |bencher| {
        bencher.iter(|| {
            let program = Program::Worker { worker: SELF_WORKER.into(), kind: Nothing::KIND.into() };
            let worker = bench.start(program);
            bench.finish(worker);
        });
    });
    let command = vec![this.display().to_string(), BARE.to_owned()];
    group.bench_function("command", |bencher| {
        bencher.iter(|| {
            let worker = bench.start(Program::Command { load: None, train: command.clone() });
            bench.finish(worker);
        });
    });
    group.finish();
}

fn round_trip(criterion: &mut Criterion) {
    let mut bench = Bench::new();
    let program = Program::Worker { worker: SELF_WORKER.into(), kind: Nothing::KIND.into() };
    let worker = bench.start(program);
    let again = Dict::from([("again", true)]);
    criterion.bench_function("message-round-trip", |bencher| {
        bencher.iter(|| {
            bench.launcher.train(worker, &bench.lease, &again);
            black_box(bench.event())
        });
    });
    bench.finish(worker);
}

criterion_group!(benches, start_to_end, round_trip);

fn main() {
    Worker::new().task::<Nothing>().run_if_worker();
    if std::env::args().any(|argument| argument == BARE) {
        return;
    }
    benches();
    Criterion::default().configure_from_args().final_summary();
}
