//! Scheduler decisions per second: a whole group in virtual time, without processes or an engine. The time per task must
//! not grow with the number of tasks.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::hint::black_box;
use std::sync::Arc;
use std::time::Duration;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use fedflow_core::*;

/// What the tasks of a group are.
#[derive(Clone, Copy)]
enum Kind {
    /// Commands, in the order of adding.
    Commands,
    /// Commands of which the longest starts first.
    LongestFirst,
    /// Tasks of a worker whose processes are kept under one of sixteen keys.
    Kept,
    /// Tasks of a worker whose processes are kept under a key of their own, until another task needs their place.
    KeptInVain,
    /// Tasks of a worker whose processes serve one after the other.
    Reused,
}

impl Kind {
    fn spec(self, id: u32) -> TaskSpec {
        let worker = || {
            let program = Program::Worker { worker: "worker".into(), kind: "kind".into() };
            TaskSpec::of(Name::from(id), Arc::new(program), Dict::new())
        };
        match self {
            Self::Commands | Self::LongestFirst => {
                let mut spec = TaskSpec::command(id, ["work"]).expect("a legal name");
                let train = Duration::from_secs(u64::from(id.wrapping_mul(2_654_435_761) % 1000));
                let expected = ExpectedTimes { load: Duration::ZERO, train };
                spec.terms_mut().expected = matches!(self, Self::LongestFirst).then_some(expected);
                spec
            }
            Self::Kept => worker().with_keep(format!("{}", id % 16)),
            Self::KeptInVain => worker().with_keep(format!("{id}")),
            Self::Reused => worker().with_reuse(Reuse { limit: None }),
        }
    }

    fn config(self) -> Config {
        let mut config = Config::default();
        if matches!(self, Self::LongestFirst) {
            config.scheduler.order = StartOrder::LongestFirst;
        }
        config
    }

    fn tasks(self, tasks: u32) -> Vec<ScheduledTask> {
        let mut group = TaskGroup::new("bench").expect("a legal name");
        for id in 0..tasks {
            group.add_task(self.spec(id)).expect("ids are unique");
        }
        ScheduledTask::of_group(&group, &self.config())
    }
}

/// Runs a group to its end; every task loads and trains for a while on one of eight slots.
fn run_to_the_end(config: Config, tasks: Vec<ScheduledTask>) -> u64 {
    let mut pool = LeaseTable::of_cpu_slots(8);
    let devices = pool.devices().into_iter().map(|info| (info, None)).collect();
    let setup = SchedulerSetup { config, seed: 1, largest_share: None, devices, host: None };
    let mut scheduler = Scheduler::new(setup);
    let name = Name::new("bench").expect("a legal name");
    scheduler.handle(Time::ZERO, SchedulerInput::GroupAdded { index: 1, name, tasks, order: None });
    scheduler.handle(Time::ZERO, SchedulerInput::GroupActivated(1));
    let mut agenda: BinaryHeap<Reverse<(Time, u64, u8)>> = BinaryHeap::new();
    let mut now = Time::ZERO;
    let (mut decisions, mut is_done) = (0, false);
    let after = |now: Time, worker: WorkerId, milliseconds: u64, step: u8| {
        Reverse((now + Duration::from_millis(milliseconds + worker.0 % 7), worker.0, step))
    };
    loop {
        while let Some(output) = scheduler.poll(now) {
            decisions += 1;
            match output {
                SchedulerOutput::Start { worker, .. } | SchedulerOutput::HandOver { to: worker, .. } => {
                    agenda.push(after(now, worker, 1, 0));
                }
                SchedulerOutput::Load(worker) => agenda.push(after(now, worker, 5, 1)),
                SchedulerOutput::Train { worker, .. } => agenda.push(after(now, worker, 10, 2)),
                SchedulerOutput::End { worker, .. } => agenda.push(after(now, worker, 1, 3)),
                SchedulerOutput::Ask(question) => {
                    let answer = match question {
                        Question::Lease(request) => {
                            pool.try_lease(&request).map_or(Answer::NotNow, Answer::Granted)
                        }
                        Question::Peak(_) => Answer::Peak(None),
                        other => panic!("{other:?}"),
                    };
                    scheduler.handle(now, SchedulerInput::Answer(answer));
                }
                SchedulerOutput::EndTrain(lease) => pool.end_train(lease),
                SchedulerOutput::Release(lease) => pool.release(lease),
                SchedulerOutput::GroupDone { .. } => is_done = true,
                output => drop(black_box(output)),
            }
        }
        let Some(Reverse((at, worker, step))) = agenda.pop() else { break };
        now = at;
        let event = match step {
            0 => WorkerEvent::Ready,
            1 => WorkerEvent::Loaded,
            2 => WorkerEvent::Trained(Dict::new()),
            _ => WorkerEvent::Gone {
                kind: FailureKind::Exit,
                message: String::new(),
                last_lines: LastLines::default(),
                killed_for_memory: false,
                before_first_word: false,
            },
        };
        scheduler.handle(now, SchedulerInput::Worker { worker: WorkerId(worker), event });
    }
    assert!(is_done, "the group did not end");
    decisions
}

fn decisions(criterion: &mut Criterion) {
    let kinds = [
        ("tasks", Kind::Commands),
        ("longest first", Kind::LongestFirst),
        ("kept", Kind::Kept),
        ("kept in vain", Kind::KeptInVain),
        ("reused", Kind::Reused),
    ];
    let mut group = criterion.benchmark_group("scheduler");
    for (name, kind) in kinds {
        for tasks in [100_u32, 10_000, 1_000_000] {
            group.throughput(Throughput::Elements(tasks.into()));
            group.sample_size(10);
            group.bench_function(BenchmarkId::new(name, tasks), |bencher| {
                // Made here, so that a benchmark that is filtered out costs nothing.
                let tasks = kind.tasks(tasks);
                let run = |tasks| run_to_the_end(kind.config(), tasks);
                bencher.iter_batched(|| tasks.clone(), run, criterion::BatchSize::PerIteration);
            });
        }
    }
    group.finish();
}

criterion_group!(benches, decisions);
criterion_main!(benches);
