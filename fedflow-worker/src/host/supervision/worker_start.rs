//! A worker's start: directories, process, and the reader of its session.

use std::sync::Arc;

use fedflow_core::{Assignment, Program, Severity, WorkerEvent, WorkerId};

use crate::host::attempt_span::attempt_span;
use crate::host::cause::Cause;
use crate::host::sessions::link::Link;
use crate::host::sessions::listener::Listener;
use crate::host::sessions::session_reader::SessionReader;
use crate::host::starting::jobs::{ProcessSpec, Started};
use crate::host::supervision::at_work::AtWork;
use crate::host::supervision::notice::Notice;
use crate::host::supervision::supervised::{ReaderState, Supervised, Surroundings};
use crate::host::supervision::worker_kind::{CommandPhase, WorkerKind};
use crate::host::supervision::worker_process::WorkerProcess;

/// Has a worker's directories made and, unless it is a command, its process started.
pub(crate) fn begin(
    id: WorkerId,
    assignment: Arc<Assignment>,
    surroundings: Arc<Surroundings>,
) -> Supervised {
    let context = &surroundings.context;
    let (inputs, gate) = (surroundings.inputs.clone(), context.large_messages.clone());
    let listener = Arc::new(Listener::new(id, inputs, gate, context.clock.clone()));
    context.memory_peaks.add(listener.memory_peak());
    let mut worker = Supervised {
        id,
        first_id: id,
        first_workdir: assignment.workdir.as_path().into(),
        span: attempt_span(&context.run_span, &assignment),
        assignment: Arc::clone(&assignment),
        kept: false,
        surroundings,
        listener,
        kind: WorkerKind::Command(CommandPhase::Preparing),
        process: WorkerProcess::default(),
        logs: None,
        lease: None,
        remainder: None,
        busy: AtWork::default(),
        reader: ReaderState::None,
        deadline: None,
        asked: None,
        cause: None,
        over: false,
    };
    match assignment.program.as_ref() {
        Program::Command { .. } => worker.start_job(None),
        Program::Worker { worker: name, .. } => begin_session(&mut worker, name),
    }
    worker
}

fn begin_session(worker: &mut Supervised, name: &str) {
    let Some(program) = worker.context().worker_program(name) else {
        return worker.fail_to_start(format!("there is no worker {name:?} in this run"));
    };
    let process = ProcessSpec::of_worker(&program);
    worker.kind = WorkerKind::session(program);
    worker.start_job(Some(process));
}

/// The spawner is done with a start.
pub(crate) fn started(worker: &mut Supervised, done: Result<Started, Cause>) {
    worker.busy.done();
    let done = match done {
        Ok(done) => done,
        Err(cause) => return worker.fail(cause),
    };
    worker.logs = Some(done.logs);
    worker.process.started(done.process, worker.listener.memory_peak());
    worker.name_lease_holder();
    if let (WorkerKind::Session(session), Some(meeting)) = (&mut worker.kind, &done.meeting) {
        session.private = meeting.rendezvous.as_ref().map(|rendezvous| rendezvous.directory.clone());
    }
    if let Some(asked) = worker.asked {
        // A session cannot be told to exit before it has shaken hands.
        return worker.end(asked.max(Severity::Terminated));
    }
    match (&mut worker.kind, done.meeting) {
        (WorkerKind::Session(session), Some(meeting)) => {
            session.socket = Some(Arc::clone(&meeting.socket));
            let reader = SessionReader {
                context: Arc::clone(&worker.surroundings.context),
                listener: Arc::clone(&worker.listener),
                assignment: Arc::clone(&worker.assignment),
                meeting,
            };
            start_reader(worker, reader);
        }
        (WorkerKind::Command(phase @ CommandPhase::Preparing), _) => {
            *phase = CommandPhase::Idle;
            worker.listener.tell(WorkerEvent::Ready);
        }
        _ => {}
    }
}

fn start_reader(worker: &mut Supervised, reader: SessionReader) {
    let (first_id, notices) = (worker.first_id, worker.surroundings.notices.clone());
    let reading = Box::new(move || {
        let outcome = reader.run(|link| notices.push(Notice::Connected { first_id, link }));
        notices.push(Notice::ReaderDone { first_id, outcome });
    });
    match worker.context().readers.begin(reading) {
        Ok(()) => worker.reader = ReaderState::Running,
        Err(error) => worker.fail_to_start(format!("no thread for it: {error}")),
    }
}

/// Its reader has shaken hands.
pub(crate) fn connected(worker: &mut Supervised, link: Link) {
    if let WorkerKind::Session(session) = &mut worker.kind {
        session.link = Some(link);
    }
    if worker.asked == Some(Severity::Asked) {
        worker.end(Severity::Asked);
    }
}
