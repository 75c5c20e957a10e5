//! What a worker costs: from its start to its result and its end, against the bare spawn of the same binary.

use std::hint::black_box;
use std::process::{Command, Stdio};
use std::sync::Arc;

use criterion::{Criterion, criterion_group};
use fedflow_core::{
    Assignment, Device, Dict, Input, Lease, LeaseId, LoadContext, Name, Program, SELF_WORKER, Severity, Task,
    TaskError, TrainContext, WorkerEvent, WorkerId, Workers,
};
use fedflow_worker::{Host, HostOptions, LeaseHooks, Worker};
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
            // So the same process trains again: one round trip.
            Some(_) => Err(TaskError::out_of_memory("again")),
            None => Ok(Dict::from([("accuracy", 0.5)])),
        }
    }
}

struct Bench {
    host: Host,
    root: tempfile::TempDir,
    lease: Lease,
    next: u64,
}

impl Bench {
    fn new() -> Self {
        let root = tempfile::tempdir().expect("a temporary directory");
        let mut options = HostOptions::new(root.path(), LeaseHooks::none());
        options.sample_interval = None;
        let (host, _) = Host::start(options).expect("a host");
        let lease =
            Lease { id: LeaseId(1), shares: Vec::new(), environment: Vec::new(), device_seen: Device::Cpu };
        Self { host, root, lease, next: 0 }
    }

    fn assignment(&mut self, program: Program) -> (WorkerId, Assignment) {
        self.next += 1;
        let worker = WorkerId(self.next);
        let id = Name::from(self.next);
        let workdir = self.root.path().join("group").join(id.as_str());
        let checkpoint_dir = self.root.path().join("checkpoints").join(id.as_str());
        let assignment = Assignment {
            group: Name::from(1_u64),
            task_id: id,
            attempt: 1,
            workdir,
            cwd: None,
            on_cpu: false,
            checkpoint_dir,
            program: Arc::new(program),
            params: Dict::new(),
            keep: None,
            oom_signs: Default::default(),
        };
        (worker, assignment)
    }

    fn start(&mut self, program: Program) -> WorkerId {
        let (worker, assignment) = self.assignment(program);
        self.host.start(worker, assignment);
        self.load(worker)
    }

    /// Hands a process over to its next task.
    fn hand_over(&mut self, from: WorkerId, program: Program) -> WorkerId {
        let (worker, assignment) = self.assignment(program);
        self.host.hand_over(from, worker, assignment);
        self.load(worker)
    }

    fn load(&mut self, worker: WorkerId) -> WorkerId {
        assert_eq!(self.event(), WorkerEvent::Ready);
        self.host.load(worker);
        assert_eq!(self.event(), WorkerEvent::Loaded);
        worker
    }

    fn finish(&mut self, worker: WorkerId) {
        self.host.train(worker, &self.lease, &Dict::new());
        black_box(self.event());
        self.host.end(worker, Severity::Asked);
        assert!(matches!(self.event(), WorkerEvent::Gone { .. }));
    }

    /// Trains each of these and hands it over to another task, which loads; all at once.
    fn side_by_side(&mut self, loaded: Vec<WorkerId>, program: &Program) -> Vec<WorkerId> {
        let mut left = loaded.len();
        let mut done = Vec::with_capacity(left);
        loaded.iter().for_each(|worker| self.host.train(*worker, &self.lease, &Dict::new()));
        while left > 0 {
            match self.host.next(None).1 {
                Input::Worker { worker, event: WorkerEvent::Trained(_) } => {
                    self.host.keep(worker);
                    let (next, assignment) = self.assignment(program.clone());
                    self.host.hand_over(worker, next, assignment);
                }
                Input::Worker { worker, event: WorkerEvent::Ready } => self.host.load(worker),
                Input::Worker { event: WorkerEvent::Peak(_), .. } => {}
                Input::Worker { worker, event: WorkerEvent::Loaded } => {
                    done.push(worker);
                    left -= 1;
                }
                other => panic!("{other:?}"),
            }
        }
        done
    }

    fn event(&mut self) -> WorkerEvent {
        loop {
            match self.host.next(None).1 {
                Input::Worker { event: WorkerEvent::Peak(_), .. } => {}
                Input::Worker { event, .. } => return event,
                other => panic!("{other:?}"),
            }
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
            let worker = bench.start(Program::Command { load: None, train: command.clone().into() });
            bench.finish(worker);
        });
    });
    group.finish();
}

/// A task in a process that had another one before, from the hand-over until it is kept again; and the same for four
/// processes at once.
fn reuse(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("reuse");
    let program = || Program::Worker { worker: SELF_WORKER.into(), kind: Nothing::KIND.into() };
    let mut bench = Bench::new();
    let first = bench.start(program());
    let mut worker = first;
    group.bench_function("one-task", |bencher| {
        bencher.iter(|| {
            bench.host.train(worker, &bench.lease, &Dict::new());
            black_box(bench.event());
            bench.host.keep(worker);
            worker = bench.hand_over(worker, program());
        });
    });
    bench.finish(worker);
    let mut bench = Bench::new();
    const AT_ONCE: u64 = 4;
    let workers: Vec<WorkerId> = (0..AT_ONCE).map(|_| bench.start(program())).collect();
    let mut idle = workers;
    group.throughput(criterion::Throughput::Elements(AT_ONCE));
    group.bench_function("four-processes", |bencher| {
        bencher.iter(|| idle = bench.side_by_side(std::mem::take(&mut idle), &program()));
    });
    idle.into_iter().for_each(|worker| bench.finish(worker));
    group.finish();
}

fn round_trip(criterion: &mut Criterion) {
    let mut bench = Bench::new();
    let program = Program::Worker { worker: SELF_WORKER.into(), kind: Nothing::KIND.into() };
    let worker = bench.start(program);
    let again = Dict::from([("again", true)]);
    criterion.bench_function("message-round-trip", |bencher| {
        bencher.iter(|| {
            bench.host.train(worker, &bench.lease, &again);
            black_box(bench.event())
        });
    });
    bench.finish(worker);
}

criterion_group!(benches, start_to_end, reuse, round_trip);

fn main() {
    Worker::new().task::<Nothing>().run_if_worker();
    if std::env::args().any(|argument| argument == BARE) {
        return;
    }
    benches();
    Criterion::default().configure_from_args().final_summary();
}
