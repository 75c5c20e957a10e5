//! Scheduler decisions per second: a whole group in virtual time, with no world around the scheduler. The time
//! per task must not grow with the number of tasks.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::hint::black_box;
use std::time::Duration;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use fedflow_core::*;

fn plans(tasks: u32) -> Vec<TaskPlan> {
    let mut group = TaskGroup::new("bench").expect("a legal name");
    for id in 0..tasks {
        let spec = TaskSpec::command(id, ["work"]).expect("a legal name");
        group.add_task(spec).expect("ids are unique");
    }
    TaskPlan::of_group(&group, &Config::default())
}

/// Runs a group to its end; every task loads and trains for a while on one of eight slots.
fn run_to_the_end(plans: Vec<TaskPlan>) -> u64 {
    let setup =
        SchedulerSetup { config: Config::default(), seed: 1, largest_share: None, devices: 8, host: None };
    let mut pool = LeaseTable::of_cpu_slots(8);
    let mut scheduler = Scheduler::new(setup);
    scheduler.add_group(1, Name::new("bench").expect("a legal name"), plans);
    scheduler.begin_turn(1);
    let mut agenda: BinaryHeap<Reverse<(Time, u64, u8)>> = BinaryHeap::new();
    let mut now = Time::ZERO;
    let mut decisions = 0;
    let after = |now: Time, worker: WorkerId, milliseconds: u64, step: u8| {
        Reverse((now + Duration::from_millis(milliseconds + worker.0 % 7), worker.0, step))
    };
    loop {
        while let Some(command) = scheduler.poll_command(now) {
            decisions += 1;
            match command {
                Command::Start { worker, .. } => agenda.push(after(now, worker, 1, 0)),
                Command::Load(worker) => agenda.push(after(now, worker, 5, 1)),
                Command::TryLease { worker, request } => {
                    let refused = LeaseAnswer::NotNow { in_the_way: None, elsewhere: Vec::new() };
                    let answer = pool.try_lease(&request).map_or(refused, LeaseAnswer::Granted);
                    scheduler.lease_answered(now, worker, &request, answer);
                }
                Command::Train { worker, .. } => agenda.push(after(now, worker, 10, 2)),
                Command::Exit(worker) => agenda.push(after(now, worker, 1, 3)),
                Command::EndTrain(lease) => pool.end_train(lease),
                Command::Release(lease) => pool.release(lease),
                command => drop(black_box(command)),
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
                stderr_tail: String::new(),
                killed_for_memory: false,
                before_first_word: false,
            },
        };
        scheduler.handle(now, Input::Worker { worker: WorkerId(worker), event });
    }
    assert!(scheduler.is_done(1), "the group did not end");
    decisions
}

fn decisions(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("scheduler");
    for tasks in [100_u32, 10_000, 1_000_000] {
        let plans = plans(tasks);
        group.throughput(Throughput::Elements(tasks.into()));
        group.sample_size(10);
        group.bench_function(BenchmarkId::new("tasks", tasks), |bencher| {
            bencher.iter_batched(|| plans.clone(), run_to_the_end, criterion::BatchSize::PerIteration);
        });
    }
    group.finish();
}

criterion_group!(benches, decisions);
criterion_main!(benches);
