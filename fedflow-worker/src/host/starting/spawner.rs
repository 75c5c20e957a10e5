//! The spawner: the threads that make directories and start processes. They may block on a file system; the engine's
//! thread may not.

use std::io;
use std::num::NonZero;
use std::os::fd::{AsFd as _, OwnedFd};
use std::sync::Arc;
use std::thread;

use fedflow_core::{Assignment, FailureKind};
use rustix::net::{AddressFamily, SocketFlags, SocketType, socketpair};
use tracing::debug;

use crate::host::attempt_span::attempt_span;
use crate::host::cause::Cause;
use crate::host::logs::task_logs::Logs;
use crate::host::setup::context::HostContext;
use crate::host::setup::options::Protocol;
use crate::host::starting::hand_over::HandOver;
use crate::host::starting::job_queue::{self, JobQueue, JobSource};
use crate::host::starting::jobs::{Job, JobReport, Meeting, ProcessSpec, StartJob, Started};
use crate::host::starting::process_environment::process_environment;
use crate::host::starting::rendezvous::Rendezvous;
use crate::host::starting::task_directory::{make_task_logs, no_directory};
use crate::processes::own_process::inheritance;
use crate::processes::spawn::{self, Launch, Process, environment};

/// The most threads. A start keeps its thread until the new process has become its program, which needs a processor.
const MOST_THREADS: usize = 4;

/// Where the spawner says what came of its jobs.
type Report = Arc<dyn Fn(JobReport) + Send + Sync>;

/// Starts the threads. They end when the queue is dropped.
pub(crate) fn start(
    context: &Arc<HostContext>,
    report: impl Fn(JobReport) + Send + Sync + 'static,
) -> io::Result<Arc<JobQueue>> {
    let report: Report = Arc::new(report);
    let cores = thread::available_parallelism().map_or(1, NonZero::get);
    let (queue, sources) = job_queue::queue(cores.min(MOST_THREADS));
    for source in sources {
        let (context, report) = (Arc::clone(context), Arc::clone(&report));
        thread::Builder::new()
            .name("fedflow-spawner".into())
            .spawn(move || work(&context, source, &report))?;
    }
    Ok(Arc::new(queue))
}

fn work(context: &Arc<HostContext>, jobs: JobSource, report: &Report) {
    inheritance::unblock_signals();
    for job in jobs {
        match job {
            Job::Start(job) => {
                let first_id = job.first_id;
                report(JobReport::Started { first_id, done: do_job(context, job).map(Box::new) });
            }
            Job::HandOver(hand_over) if hand_over.is_slow() => prepare_apart(hand_over, context, report),
            Job::HandOver(hand_over) => {
                let first_id = hand_over.first_id;
                report(JobReport::Prepared { first_id, done: hand_over.prepare(context) });
            }
        }
    }
}

/// Prepares a process for its next task in a thread of its own: others are started meanwhile.
fn prepare_apart(hand_over: HandOver, context: &Arc<HostContext>, report: &Report) {
    let first_id = hand_over.first_id;
    let (own_context, own_report) = (Arc::clone(context), Arc::clone(report));
    let prepare = move || own_report(JobReport::Prepared { first_id, done: hand_over.prepare(&own_context) });
    if let Err(error) = thread::Builder::new().name("fedflow-handover".into()).spawn(prepare) {
        let done = Err(spawn_failed(format!("no thread for it: {error}")));
        report(JobReport::Prepared { first_id, done });
    }
}

/// Makes a task's directories, unless they are there, and starts its process, if there is one to start.
///
/// # Errors
/// The system refuses one of them.
pub(crate) fn do_job(context: &HostContext, job: StartJob) -> Result<Started, Cause> {
    let assignment = &job.assignment;
    let _attempt = attempt_span(&context.run_span, assignment).entered();
    let logs = match job.logs {
        Some(logs) => logs,
        None => make_task_logs(context, assignment).map_err(|error| no_directory(assignment, &error))?,
    };
    let Some(mut spec) = job.process else { return Ok(Started { logs, process: None, meeting: None }) };
    let Some(protocol) = spec.protocol else {
        let process = start_process(context, assignment, &spec, &logs, &context.null)?;
        return Ok(Started { logs, process: Some(process), meeting: None });
    };
    spec.environment.push((environment::FD.into(), "0".into()));
    let rendezvous = match protocol {
        Protocol::Ipc => Some(Rendezvous::arrange(&context.private, job.first_id)?),
        Protocol::Json => None,
    };
    spec.environment.extend(rendezvous.iter().flat_map(Rendezvous::variables));
    let started = socketpair(AddressFamily::UNIX, SocketType::STREAM, SocketFlags::CLOEXEC, None)
        .map_err(|error| spawn_failed(format!("cannot start a process: {error}")))
        .and_then(|(ours, theirs)| Ok((start_process(context, assignment, &spec, &logs, &theirs)?, ours)));
    match started {
        Ok((process, socket)) => {
            let meeting = Meeting { socket: Arc::new(socket), rendezvous };
            Ok(Started { logs, process: Some(process), meeting: Some(meeting) })
        }
        Err(cause) => {
            if let Some(Rendezvous { directory, .. }) = rendezvous {
                // What cannot be removed goes with the host's private directory.
                let _ = std::fs::remove_dir(directory);
            }
            Err(cause)
        }
    }
}

fn start_process(
    context: &HostContext,
    assignment: &Assignment,
    spec: &ProcessSpec,
    logs: &Logs,
    stdin: &OwnedFd,
) -> Result<Process, Cause> {
    let (stdout, stderr) = logs.for_process();
    // The system would only say that something does not exist.
    if let Some(cwd) = assignment.cwd.as_ref().filter(|cwd| !cwd.is_dir()) {
        return Err(spawn_failed(format!("its cwd is no directory: {}", cwd.display())));
    }
    let process = spawn::spawn(Launch {
        command: &spec.command,
        base_dir: &context.options.base_dir,
        current_dir: assignment.cwd.as_ref().unwrap_or(&assignment.workdir),
        environment: &process_environment(context, assignment, spec),
        streams: [stdin.as_fd(), stdout, stderr],
    })
    .map_err(|error| spawn_failed(error.to_string()))?;
    debug!("process {} is started: {}", process.number(), spec.command.join(" "));
    Ok(process)
}

fn spawn_failed(message: String) -> Cause {
    Cause::new(FailureKind::Spawn, message)
}
