//! What the engine wants of a worker.

use std::sync::Arc;
use std::thread;

use fedflow_core::{Assignment, Device, Dict, FailureKind, Lease, Program, WorkerEvent, WorkerId};
use rustix::process::Signal;

use super::{CommandPhase, Manner, Overdue, Reader, Supervised};
use crate::host::logs::task_logs::Logs;
use crate::host::memory_check::Refusal;
use crate::host::options::Protocol;
use crate::host::sessions::lease_json::lease_text;
use crate::host::sessions::listener::{Cause, Phase, Said};
use crate::host::starting::hand_over::HandOver;
use crate::host::starting::spawner::{Plan, Stdin, Work};
use crate::host::supervision::end_description::Asked;
use crate::host::supervision::sweep::{Other, Sweep};
use crate::processes::environment;

impl Supervised {
    pub(crate) fn load(&mut self) {
        self.deadline = self.deadline.filter(|(_, overdue)| *overdue != Overdue::Task);
        match &mut self.manner {
            Manner::Session { link: Some(link), .. } => {
                self.listener.expect(Phase::Loading);
                if let Err(error) = link.load() {
                    self.untold(&error);
                }
            }
            Manner::Command { phase: CommandPhase::Idle } => match self.assignment.program.as_ref() {
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
        self.witness_lease();
        if let Some(refusal) = self.gate_refusal(lease, &params) {
            return self.refuse_to_train(refusal);
        }
        match &mut self.manner {
            Manner::Session { link: Some(link), .. } => {
                self.listener.expect(Phase::Training);
                if let Err(error) = link.train(lease, params) {
                    self.untold(&error);
                }
            }
            Manner::Command { phase: CommandPhase::Idle } => {
                let Program::Command { train, .. } = self.assignment.program.as_ref() else { return };
                let command = train.to_vec();
                let mut environment = vec![
                    (environment::DEVICE.to_owned(), lease.device_seen.to_string()),
                    (environment::CARD.to_owned(), cards_of(lease)),
                    (environment::LEASE.to_owned(), lease_text(&lease.info(true))),
                    (environment::RESULT.to_owned(), self.result_path().to_string_lossy().into_owned()),
                ];
                environment.extend(lease.environment.iter().cloned());
                self.run(command, CommandPhase::Training, environment);
            }
            _ => {}
        }
    }

    fn gate_refusal(&self, lease: &Lease, params: &Dict) -> Option<Refusal> {
        let program = match &self.manner {
            Manner::Session { program, .. } => Some(program),
            Manner::Command { .. } => None,
        };
        self.shared.options.train_gate.as_ref()?.refusal(lease, &self.assignment, params, program)
    }

    /// The task was not told to train: it waits as before, and may be given another lease.
    fn refuse_to_train(&self, refusal: Refusal) {
        let (kind, message) = match refusal {
            Refusal::OutOfMemory(message) => (FailureKind::Oom, message),
            Refusal::NoSize(message) => (FailureKind::Error, message),
        };
        self.listener.tell(WorkerEvent::Failed { kind, message });
    }

    /// Tells which process uses the lease, once both are there.
    pub(crate) fn witness_lease(&self) {
        if let (Some(witness), Some(lease), Some(process)) =
            (&self.shared.options.lease_witness, self.lease, &self.process)
        {
            witness.tell(lease, process.number(), &self.assignment);
        }
    }

    fn run(&mut self, command: Vec<String>, phase: CommandPhase, environment: Vec<(String, String)>) {
        self.manner = Manner::Command { phase };
        self.order(Some(Plan {
            command,
            stdin: Stdin::Null,
            program_environment: Vec::new(),
            environment,
            private: None,
        }));
    }

    /// Asks the worker to end, more or less kindly.
    pub(crate) fn ask(&mut self, asked: Asked) {
        self.asked = self.asked.max(asked);
        // From here on the engine's own time limits count.
        self.deadline = self.deadline.filter(|(_, overdue)| matches!(overdue, Overdue::Reader(_)));
        // What the spawner is starting is asked as soon as it is there.
        if self.busy > 0 {
            return;
        }
        let Some(process) = &self.process else {
            // A command between its phases; a session waits only for its reader.
            if self.reader == Reader::None {
                self.over = true;
            }
            return;
        };
        // That a worker which ends in order has no child is the usual case, and to look at every thread would cost more.
        let leaves_nothing = asked == Asked::Exit
            && (self.sees_to_its_children() || process.is_childless(self.manner.own_threads()));
        if !leaves_nothing {
            self.offspring.extend(process.descendants());
        }
        let number = process.number();
        match (asked, &mut self.manner) {
            (Asked::Nothing, _) => {}
            (Asked::Exit, Manner::Session { link: Some(link), .. }) => {
                self.shared.talk(&self.assignment, || format!("process {number} is told to exit"));
                if link.exit().is_err() {
                    self.channel_lost();
                }
            }
            // It cannot be told, so it is shown.
            (Asked::Exit | Asked::Terminate, _) => {
                self.shared
                    .talk(&self.assignment, || format!("SIGTERM is sent to process {number} and its group"));
                process.signal_group(Signal::TERM);
                // One that stopped itself would not notice.
                process.signal_group(Signal::CONT);
            }
            (Asked::Kill, _) => {
                self.shared
                    .talk(&self.assignment, || format!("SIGKILL is sent to process {number} and its group"));
                process.signal_group(Signal::KILL);
            }
        }
    }

    /// Whether it ends its children itself when it is told to exit, as a Rust worker does. What gets away from it all the
    /// same is found where this program adopts it. To look before is not cheap: what was looked up of a process the kernel
    /// has to forget before it can be reaped.
    fn sees_to_its_children(&self) -> bool {
        match &self.manner {
            Manner::Session { program, .. } => {
                program.protocol == Protocol::Ipc && self.shared.options.adopt_orphans
            }
            Manner::Command { .. } => false,
        }
    }

    /// Its task has its result: it stays idle. A command has nothing that could stay.
    pub(crate) fn keep(&mut self) {
        let Manner::Session { program, .. } = &self.manner else { return self.ask(Asked::Exit) };
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
    pub(crate) fn hand_over(&mut self, to: WorkerId, assignment: Arc<Assignment>, others: Vec<Other>) {
        let is_swept = self.is_swept_before_next();
        self.id = to;
        self.kept = false;
        self.listener.hand_over(to);
        self.oom_kills = self.shared.oom_kills.count();
        let earlier = std::mem::replace(&mut self.assignment, Arc::clone(&assignment));
        let (Manner::Session { program, .. }, Some(process)) = (&self.manner, &self.process) else { return };
        if self.asked != Asked::Nothing || self.cause.is_some() {
            return;
        }
        let relayed = program.protocol == Protocol::Json;
        let sweep = is_swept.then(|| Sweep {
            offspring: process.descendants(),
            assignment: Arc::clone(&earlier),
            others,
            adopting: self.shared.options.adopt_orphans,
        });
        let relay = if relayed { self.logs.take().map(|logs| (logs, earlier)) } else { None };
        self.busy += 1;
        self.jobs.add(Work::HandOver(HandOver { slot: self.slot, assignment, relay, sweep }));
    }

    /// Whether what its task has left behind is looked for before it gets another one. A Rust worker does that itself,
    /// and sees to it that nothing gets away; only of its first task it could not know that others would follow.
    pub(crate) fn is_swept_before_next(&self) -> bool {
        match &self.manner {
            Manner::Session { program, .. } => program.protocol == Protocol::Json || self.id == self.slot,
            Manner::Command { .. } => false,
        }
    }

    /// Everything is there for its next task: it is told.
    pub(crate) fn prepared(&mut self, done: Result<Logs, Cause>) {
        self.busy = self.busy.saturating_sub(1);
        match done {
            Ok(logs) => self.logs = Some(logs),
            Err(cause) => return self.fail(cause),
        }
        if self.asked != Asked::Nothing {
            return self.ask(self.asked);
        }
        if self.process.is_none() || self.cause.is_some() {
            return;
        }
        let Manner::Session { program, link: Some(link), .. } = &mut self.manner else { return };
        self.listener.expect(Phase::Starting);
        if program.protocol == Protocol::Json {
            self.listener.await_first_word();
        }
        let limit = self.shared.options.result_limit;
        if let Err(error) = link.task(self.id, &self.assignment, limit) {
            return self.untold(&error);
        }
        match program.protocol {
            Protocol::Ipc => {
                let deadline = self.shared.clock.now() + self.shared.options.start_timeout;
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

/// The cards of a lease as the run names them; the device if it is no card.
fn cards_of(lease: &Lease) -> String {
    let cards: Vec<String> = lease
        .shares
        .iter()
        .map(|share| share.info.device)
        .filter(|device| *device != Device::Cpu)
        .map(|device| device.to_string())
        .collect();
    if cards.is_empty() { lease.device().to_string() } else { cards.join(",") }
}
