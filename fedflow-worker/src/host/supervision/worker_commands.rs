//! What the engine has a worker do, its end apart: load, train, stay idle, go on to another task.

use std::sync::Arc;

use fedflow_core::{Assignment, Dict, Lease, Program, Severity, WorkerEvent, WorkerId};
use tracing::trace;

use crate::host::attempt_span::attempt_span;
use crate::host::cause::Cause;
use crate::host::logs::task_logs::Logs;
use crate::host::memory::declared_memory;
use crate::host::sessions::listener::{Said, SessionPhase};
use crate::host::setup::options::Protocol;
use crate::host::starting::hand_over::HandOver;
use crate::host::starting::jobs::{Job, ProcessSpec};
use crate::host::starting::process_environment::lease_environment;
use crate::host::supervision::deadline::Deadline;
use crate::host::supervision::ending::sweep::{OtherWorker, Sweep};
use crate::host::supervision::supervised::Supervised;
use crate::host::supervision::worker_kind::{CommandPhase, Session, WorkerKind};

pub(crate) fn load(worker: &mut Supervised) {
    trace!("it loads");
    worker.deadline = worker.deadline.filter(|deadline| !deadline.is_of_task());
    match &mut worker.kind {
        WorkerKind::Session(Session { link: Some(link), .. }) => {
            worker.listener.expect(SessionPhase::Loading);
            let told = link.load();
            worker.check_told(told);
        }
        WorkerKind::Command(CommandPhase::Idle) => match worker.assignment.program.as_ref() {
            Program::Command { load: Some(command), .. } => {
                let process = ProcessSpec::of_command(command.to_vec(), Vec::new());
                run_command(worker, process, CommandPhase::Loading);
            }
            _ => worker.listener.tell(WorkerEvent::Loaded),
        },
        _ => {}
    }
}

pub(crate) fn train(worker: &mut Supervised, lease: &Lease, params: Dict) {
    trace!("it trains on {}", lease.device());
    worker.lease = Some(lease.id);
    worker.name_lease_holder();
    let hooks = &worker.context().options.lease_hooks;
    let program = worker.kind.program();
    if let Some(refusal) = declared_memory::refusal(hooks, lease, &worker.assignment, &params, program) {
        // It was not told to train: it waits as before, and may be given another lease.
        let Cause { kind, message } = refusal;
        return worker.listener.tell(WorkerEvent::Failed { kind, message });
    }
    match &mut worker.kind {
        WorkerKind::Session(Session { link: Some(link), .. }) => {
            worker.listener.expect(SessionPhase::Training);
            let told = link.train(lease, params);
            worker.check_told(told);
        }
        WorkerKind::Command(CommandPhase::Idle) => {
            let Program::Command { train, .. } = worker.assignment.program.as_ref() else { return };
            let environment = lease_environment(lease, &worker.result_path());
            let process = ProcessSpec::of_command(train.to_vec(), environment);
            run_command(worker, process, CommandPhase::Training);
        }
        _ => {}
    }
}

fn run_command(worker: &mut Supervised, process: ProcessSpec, phase: CommandPhase) {
    worker.kind = WorkerKind::Command(phase);
    worker.start_job(Some(process));
}

/// Its task has its result: its process stays idle. A command has none that could stay.
pub(crate) fn keep(worker: &mut Supervised) {
    let Some(protocol) = worker.kind.protocol() else { return worker.end(Severity::Asked) };
    worker.kept = true;
    worker.lease = None;
    // A worker in another language goes on to write to its logs: they are trimmed at the hand-over.
    if let Some(logs) = worker.logs.as_ref().filter(|_| protocol == Protocol::Ipc) {
        logs.finish_in_background(&worker.assignment.workdir);
    }
}

/// Has the process prepared for another task, of which it is known as another worker from now on. If it is ending,
/// its end is that worker's.
pub(crate) fn hand_over(
    worker: &mut Supervised,
    to: WorkerId,
    assignment: Arc<Assignment>,
    others: Vec<OtherWorker>,
) {
    let is_swept = worker.is_swept_before_next();
    worker.id = to;
    worker.kept = false;
    worker.listener.hand_over(to);
    worker.process.expect_task(&worker.surroundings.context.oom_kills);
    trace!("its process goes on to {}/{}", assignment.group, assignment.task_id);
    worker.span = attempt_span(&worker.context().run_span, &assignment);
    let earlier = std::mem::replace(&mut worker.assignment, Arc::clone(&assignment));
    let (Some(protocol), Some(process)) = (worker.kind.protocol(), worker.process.running()) else { return };
    if worker.asked.is_some() || worker.cause.is_some() {
        return;
    }
    let sweep = is_swept.then(|| Sweep {
        offspring: process.descendants(),
        assignment: Arc::clone(&earlier),
        others,
        adopting: worker.context().options.adopt_orphans,
    });
    let logs = if protocol == Protocol::Json { worker.logs.take() } else { None };
    let relay = logs.map(|logs| (logs, earlier));
    worker.busy.begin();
    let hand_over = HandOver { first_id: worker.first_id, assignment, relay, sweep };
    worker.surroundings.jobs.add(Job::HandOver(hand_over));
}

/// Everything is there for its next task: it is told.
pub(crate) fn prepared(worker: &mut Supervised, done: Result<Logs, Cause>) {
    worker.busy.done();
    match done {
        Ok(logs) => worker.logs = Some(logs),
        Err(cause) => return worker.fail(cause),
    }
    if let Some(asked) = worker.asked {
        return worker.end(asked);
    }
    if !worker.process.is_running() || worker.cause.is_some() {
        return;
    }
    let (limit, timeout) = (worker.context().options.result_limit, worker.context().options.start_timeout);
    let WorkerKind::Session(Session { program, link: Some(link), .. }) = &mut worker.kind else { return };
    let protocol = program.protocol;
    worker.listener.expect(SessionPhase::Starting);
    if protocol == Protocol::Json {
        worker.listener.await_first_word();
    }
    if let Err(error) = link.task(worker.id, &worker.assignment, limit) {
        return worker.check_told(Err(error));
    }
    match protocol {
        // The deadline of an earlier task may still stand; any other one means that the process is ending.
        Protocol::Ipc if worker.deadline.is_none_or(|deadline| deadline.is_of_task()) => {
            worker.deadline = Some(Deadline::of_task(worker.context().clock.now() + timeout));
        }
        Protocol::Ipc => {}
        // It is not asked whether it takes the task.
        Protocol::Json => match worker.listener.hear(Said::Ready(worker.id)) {
            Ok(()) => {}
            Err(cause) => worker.fail(cause),
        },
    }
}
