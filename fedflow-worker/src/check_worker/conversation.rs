//! `Conversation`: one worker process under test, and the session that a run would use.

use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use crossbeam_channel::Receiver;
use fedflow_core::{
    Assignment, Device, Dict, FailureKind, Input, LastLines, Name, Program, Time, WorkerEvent, WorkerId,
};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::net::{Shutdown, shutdown};

use crate::host::cause::Cause;
use crate::host::inputs::input_queue::{Arrivals, InputQueue};
use crate::host::logs::task_logs::Logs;
use crate::host::sessions::json::json_commands::Line;
use crate::host::sessions::link::Link;
use crate::host::sessions::listener::{Listener, Said, SessionPhase};
use crate::host::sessions::session_reader::SessionReader;
use crate::host::setup::context::HostContext;
use crate::host::setup::options::{Protocol, WorkerProgram};
use crate::host::starting::hand_over::HandOver;
use crate::host::starting::jobs::{ProcessSpec, StartJob};
use crate::host::starting::spawner::do_job;
use crate::processes::spawn::{Ending, Process};
use crate::running_task::lease_of;

/// The name of the worker program in the tasks that it is given.
const WORKER: &str = "checked";
/// How long a process that closed its channel may take to end.
const LINGER: Duration = Duration::from_secs(1);

/// A process and its session.
pub(crate) struct Conversation {
    /// How long each answer may take.
    pub(crate) limit: Duration,
    context: Arc<HostContext>,
    protocol: Protocol,
    place: PathBuf,
    tasks: u32,
    assignment: Arc<Assignment>,
    listener: Arc<Listener>,
    arrivals: Arrivals,
    link: Arc<Mutex<Option<Link>>>,
    /// How the reader ended; it is there before the arrivals say so.
    outcome: Receiver<Result<(), Cause>>,
    socket: Arc<OwnedFd>,
    process: Option<Process>,
    logs: Logs,
    /// What was put back, to be heard again.
    again: Option<Heard>,
}

/// What came from a worker.
#[derive(Debug, PartialEq)]
pub(crate) enum Heard {
    /// A message that fits what it was told.
    Event(WorkerEvent),
    /// It is not heard any further: it broke the protocol, or refused its task.
    Ended(Cause),
    /// It closed its channel.
    Closed,
    /// Nothing until the limit.
    Nothing,
}

impl Conversation {
    /// Starts a process in a directory of its own and, once it has answered, gives it a first task.
    ///
    /// # Errors
    /// It cannot be started.
    pub(crate) fn begin(
        context: &Arc<HostContext>,
        program: &WorkerProgram,
        (place, number): (PathBuf, u64),
        task: (&str, Dict),
        limit: Duration,
    ) -> Result<Self, Cause> {
        let worker = WorkerId(number);
        let assignment = Arc::new(assignment(&place, 1, task)?);
        let job = StartJob {
            first_id: worker,
            assignment: Arc::clone(&assignment),
            logs: None,
            process: Some(ProcessSpec::of_worker(program)),
        };
        let done = do_job(context, job)?;
        let (Some(process), Some(meeting)) = (done.process, done.meeting) else {
            return Err(Cause::new(FailureKind::Spawn, "it was not started"));
        };
        let inputs = InputQueue::open()
            .map_err(|error| Cause::new(FailureKind::Spawn, format!("no descriptor: {error}")))?;
        let listener = Arc::new(Listener::new(
            WorkerId(1),
            inputs.clone(),
            context.large_messages.clone(),
            context.clock.clone(),
        ));
        let link = Arc::new(Mutex::new(None));
        let (told, outcome) = crossbeam_channel::bounded(1);
        let conversation = Self {
            limit,
            context: Arc::clone(context),
            protocol: program.protocol,
            place,
            tasks: 1,
            assignment: Arc::clone(&assignment),
            listener: Arc::clone(&listener),
            arrivals: Arrivals::new(inputs, context.clock.clone()),
            link: Arc::clone(&link),
            outcome,
            socket: Arc::clone(&meeting.socket),
            process: Some(process),
            logs: done.logs,
            again: None,
        };
        let over = Arc::clone(&listener);
        let reader = SessionReader { context: Arc::clone(context), listener, assignment, meeting };
        let read = move || {
            let read = reader.run(|new| *link.lock().unwrap_or_else(PoisonError::into_inner) = Some(new));
            let _ = told.send(read);
            let kind = FailureKind::Protocol;
            over.tell(WorkerEvent::Gone {
                kind,
                message: String::new(),
                last_lines: LastLines::default(),
                killed_for_memory: false,
                before_first_word: false,
            });
        };
        match thread::Builder::new().name("fedflow-reader".into()).spawn(read) {
            Ok(_) => Ok(conversation),
            Err(error) => Err(Cause::new(FailureKind::Spawn, format!("no thread for it: {error}"))),
        }
    }

    /// The time now.
    pub(crate) fn now(&self) -> Time {
        self.context.clock.now()
    }

    /// What the worker says next, items and progress included; waits for it until a limit.
    pub(crate) fn hear(&mut self, limit: Duration) -> Heard {
        if let Some(heard) = self.again.take() {
            return heard;
        }
        let deadline = self.context.clock.now() + limit;
        match self.arrivals.next(Some(deadline), Arrivals::wait) {
            Input::Worker { event: WorkerEvent::Gone { .. }, .. } => match self.outcome.try_recv() {
                Ok(Err(cause)) => Heard::Ended(cause),
                Ok(Ok(())) | Err(_) => Heard::Closed,
            },
            Input::Worker { event, .. } => Heard::Event(event),
            _ => Heard::Nothing,
        }
    }

    /// Puts back what was heard, for the next call of [`Self::hear`].
    pub(crate) fn hear_again(&mut self, heard: Heard) {
        self.again = Some(heard);
    }

    /// Gives the worker another task, after it has done the first.
    pub(crate) fn give(&mut self, task: (&str, Dict)) -> Result<(), Cause> {
        self.tasks += 1;
        let worker = WorkerId(u64::from(self.tasks));
        let assignment = assignment(&self.place, self.tasks, task)?;
        let (earlier, next) = (Arc::clone(&self.assignment), Arc::new(assignment));
        let relay = (self.protocol == Protocol::Json).then(|| (self.logs.clone(), earlier));
        // It is the only process, so nothing is swept: what it leaves behind ends with it.
        let hand_over = HandOver { first_id: worker, assignment: Arc::clone(&next), relay, sweep: None };
        self.logs = hand_over.prepare(&self.context)?;
        self.assignment = Arc::clone(&next);
        self.listener.hand_over(worker);
        self.listener.expect(SessionPhase::Starting);
        let limit = self.context.options.result_limit;
        self.send(|link| drop(link.task(worker, &next, limit)));
        if self.protocol == Protocol::Json {
            // It is not asked whether it takes the task.
            self.listener.hear(Said::Ready(worker))?;
        }
        Ok(())
    }

    pub(crate) fn load(&self) {
        self.listener.expect(SessionPhase::Loading);
        self.send(|link| drop(link.load()));
    }

    /// Tells a JSON worker to load, with a command and keys around that no version knows.
    pub(crate) fn load_strangely(&self) {
        let strange = |command| {
            Line::of(command, |out| out.push_str(",\"fedflow_check\":{\"a\":[1,null,\"b\"]},\"later\":true"))
        };
        self.listener.expect(SessionPhase::Loading);
        self.send(|link| {
            if let Link::Json(lines) = link {
                let _ = lines.send(strange("fedflow-check"));
                let _ = lines.send(strange("load"));
            }
        });
    }

    pub(crate) fn train(&self, device: Device, params: &Dict) {
        self.listener.expect(SessionPhase::Training);
        self.send(|link| drop(link.train(&lease_of(device), params.clone())));
    }

    pub(crate) fn exit(&self) {
        self.send(|link| drop(link.exit()));
    }

    /// Closes the channel, as the end of the supervisor would.
    pub(crate) fn hang_up(&self) {
        let _ = shutdown(&self.socket, Shutdown::Both);
    }

    /// Lets the worker read the end of the channel, but still hears it.
    pub(crate) fn stop_talking(&self) {
        let _ = shutdown(&self.socket, Shutdown::Write);
    }

    /// How the process ended; waits for that until a limit.
    pub(crate) fn ending(&self, limit: Duration) -> Option<Ending> {
        let process = self.process.as_ref()?;
        let deadline = self.context.clock.now() + limit;
        loop {
            let left = self.context.clock.until(deadline);
            let _ = poll(&mut [PollFd::new(process, PollFlags::IN)], Timespec::try_from(left).ok().as_ref());
            match process.ending() {
                None if !left.is_zero() => {}
                ending => return ending,
            }
        }
    }

    /// The same, for a process whose channel is closed already.
    pub(crate) fn prompt_ending(&self) -> Option<Ending> {
        self.ending(LINGER)
    }

    /// The last lines that it printed.
    pub(crate) fn last_lines(&self) -> LastLines {
        self.logs.ends().last_lines()
    }

    /// Sends a command. A closed channel is noticed by the reader, which knows more about it.
    fn send(&self, give: impl FnOnce(&mut Link)) {
        if let Some(link) = self.link.lock().unwrap_or_else(PoisonError::into_inner).as_mut() {
            give(link);
        }
    }
}

impl Drop for Conversation {
    /// Ends every process of the worker, and the reader with them.
    fn drop(&mut self) {
        self.listener.close();
        if let Some(process) = self.process.take() {
            let _ = process.finish();
        }
        let _ = shutdown(&self.socket, Shutdown::Both);
    }
}

/// A task in a directory of its own.
fn assignment(place: &Path, number: u32, (kind, params): (&str, Dict)) -> Result<Assignment, Cause> {
    let name = |text: &str| {
        Name::new(text).map_err(|error| Cause::new(FailureKind::Spawn, format!("{text:?}: {error}")))
    };
    Ok(Assignment {
        group: name("check")?,
        task_id: name(&format!("task-{number}"))?,
        attempt: 1,
        workdir: place.join(format!("task-{number}")),
        cwd: None,
        on_cpu: false,
        checkpoint_dir: place.join(format!("checkpoint-{number}")),
        program: Arc::new(Program::Worker { worker: WORKER.into(), kind: kind.into() }),
        params,
        keep: None,
        oom_signs: Default::default(),
    })
}
