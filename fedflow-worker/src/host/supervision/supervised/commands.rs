//! What the engine commands a worker to do, its end apart.

use std::sync::Arc;
use std::thread;

use fedflow_core::{Assignment, Dict, FailureKind, Lease, Program, Severity, WorkerEvent, WorkerId};

use super::{CommandPhase, Overdue, Supervised, WorkerKind};
use crate::host::cause::Cause;
use crate::host::logs::task_logs::Logs;
use crate::host::memory_check::Refusal;
use crate::host::options::Protocol;
use crate::host::sessions::listener::{Said, SessionPhase};
use crate::host::starting::hand_over::HandOver;
use crate::host::starting::jobs::{Job, ProcessSpec};
use crate::host::starting::process_environment::lease_environment;
use crate::host::supervision::sweep::{OtherWorker, Sweep};

impl Supervised {
    pub(crate) fn load(&mut self) {
        self.deadline = self.deadline.filter(|(_, overdue)| *overdue != Overdue::Task);
        match &mut self.kind {
            WorkerKind::Session { link: Some(link), .. } => {
                self.listener.expect(SessionPhase::Loading);
                if let Err(error) = link.load() {
                    self.unreached(&error);
                }
            }
            WorkerKind::Command { phase: CommandPhase::Idle } => match self.assignment.program.as_ref() {
                Program::Command { load: Some(command), .. } => {
                    let command = command.to_vec();
                    self.run(command, CommandPhase::Loading, Vec::new());
                }
                _ => self.listener.tell(WorkerEvent::Loaded),
            },
            _ => {}
        }
    }

    pub(crate) fn train(&mut self, lease: &Lease, params: Dict) {
        self.lease = Some(lease.id);
        self.name_lease_holder();
        if let Some(refusal) = self.gate_refusal(lease, &params) {
            return self.refuse_to_train(refusal);
        }
        match &mut self.kind {
            WorkerKind::Session { link: Some(link), .. } => {
                self.listener.expect(SessionPhase::Training);
                if let Err(error) = link.train(lease, params) {
                    self.unreached(&error);
                }
            }
            WorkerKind::Command { phase: CommandPhase::Idle } => {
                let Program::Command { train, .. } = self.assignment.program.as_ref() else { return };
                let command = train.to_vec();
                let environment = lease_environment(lease, &self.result_path());
                self.run(command, CommandPhase::Training, environment);
            }
            _ => {}
        }
    }

    fn gate_refusal(&self, lease: &Lease, params: &Dict) -> Option<Refusal> {
        let program = match &self.kind {
            WorkerKind::Session { program, .. } => Some(program),
            WorkerKind::Command { .. } => None,
        };
        self.context.options.train_gate.as_ref()?.refusal(lease, &self.assignment, params, program)
    }

    /// The task was not told to train: it waits as before, and may be given another lease.
    fn refuse_to_train(&self, refusal: Refusal) {
        let (kind, message) = match refusal {
            Refusal::OutOfMemory(message) => (FailureKind::Oom, message),
            Refusal::NoSize(message) => (FailureKind::Error, message),
        };
        self.listener.tell(WorkerEvent::Failed { kind, message });
    }

    /// Says which process uses the lease, once both are there.
    pub(super) fn name_lease_holder(&self) {
        if let (Some(hook), Some(lease), Some(process)) =
            (&self.context.options.lease_witness, self.lease, &self.process)
        {
            hook.tell(lease, process.number(), &self.assignment);
        }
    }

    fn run(&mut self, command: Vec<String>, phase: CommandPhase, environment: Vec<(String, String)>) {
        self.kind = WorkerKind::Command { phase };
        self.start_job(Some(ProcessSpec::of_command(command, environment)));
    }

    /// Its task has its result: it stays idle. A command has nothing that could stay.
    pub(crate) fn keep(&mut self) {
        let WorkerKind::Session { program, .. } = &self.kind else { return self.end(Severity::Asked) };
        self.kept = true;
        self.lease = None;
        let relayed = program.protocol == Protocol::Json;
        // What a worker in another language goes on to write to is trimmed when it goes on to another task.
        if let Some(logs) = self.logs.as_ref().filter(|logs| !relayed && logs.are_too_large()) {
            let (logs, workdir) = (logs.clone(), self.assignment.workdir.clone());
            // Without a thread for it the logs keep their hole, which takes no room.
            let _ = thread::Builder::new().name("fedflow-trim".into()).spawn(move || logs.finish(&workdir));
        }
    }

    /// Has the process prepared for another task, of which it is known as another worker from now on. If it is ending,
    /// its end is that worker's.
    pub(crate) fn hand_over(&mut self, to: WorkerId, assignment: Arc<Assignment>, others: Vec<OtherWorker>) {
        let is_swept = self.is_swept_before_next();
        self.id = to;
        self.kept = false;
        self.listener.hand_over(to);
        self.oom_kills = self.context.oom_kills.count();
        let earlier = std::mem::replace(&mut self.assignment, Arc::clone(&assignment));
        let (WorkerKind::Session { program, .. }, Some(process)) = (&self.kind, &self.process) else {
            return;
        };
        if self.asked.is_some() || self.cause.is_some() {
            return;
        }
        let relayed = program.protocol == Protocol::Json;
        let sweep = is_swept.then(|| Sweep {
            offspring: process.descendants(),
            assignment: Arc::clone(&earlier),
            others,
            adopting: self.context.options.adopt_orphans,
        });
        let relay = if relayed { self.logs.take().map(|logs| (logs, earlier)) } else { None };
        self.busy += 1;
        let hand_over = HandOver { first_id: self.first_id, assignment, relay, sweep };
        self.surroundings.jobs.add(Job::HandOver(hand_over));
    }

    /// Whether what its task has left behind is looked for before it gets another one. A Rust worker does that itself,
    /// and sees to it that nothing gets away; only of its first task it could not know that others would follow.
    pub(crate) fn is_swept_before_next(&self) -> bool {
        match self.protocol() {
            Some(Protocol::Json) => true,
            Some(Protocol::Ipc) => self.id == self.first_id,
            None => false,
        }
    }

    /// Everything is there for its next task: it is told.
    pub(crate) fn prepared(&mut self, done: Result<Logs, Cause>) {
        self.busy = self.busy.saturating_sub(1);
        match done {
            Ok(logs) => self.logs = Some(logs),
            Err(cause) => return self.fail(cause),
        }
        if let Some(asked) = self.asked {
            return self.end(asked);
        }
        if self.process.is_none() || self.cause.is_some() {
            return;
        }
        let WorkerKind::Session { program, link: Some(link), .. } = &mut self.kind else { return };
        self.listener.expect(SessionPhase::Starting);
        if program.protocol == Protocol::Json {
            self.listener.await_first_word();
        }
        let limit = self.context.options.result_limit;
        if let Err(error) = link.task(self.id, &self.assignment, limit) {
            return self.unreached(&error);
        }
        match program.protocol {
            Protocol::Ipc => {
                let deadline = self.context.clock.now() + self.context.options.start_timeout;
                // That of a task before may still stand; whatever else stands means that it is ending.
                if self.deadline.is_none_or(|(_, overdue)| overdue == Overdue::Task) {
                    self.deadline = Some((deadline, Overdue::Task));
                }
            }
            Protocol::Json => {
                // It is not asked whether it takes the task.
                if let Err(cause) = self.listener.hear(Said::Ready(self.id)) {
                    self.fail(cause);
                }
            }
        }
    }
}
