//! The threads that make directories and start processes; they may block on a file system, nothing else may.

use std::io;
use std::num::NonZero;
use std::os::fd::{AsFd as _, OwnedFd};
use std::path::PathBuf;
use std::sync::Arc;
use std::thread;

use fedflow_core::{Assignment, FailureKind, Program, Value, WorkerId};
use rustix::net::{AddressFamily, SocketFlags, SocketType, socketpair};

use crate::host::context::HostContext;
use crate::host::logs::task_logs::Logs;
use crate::host::options::{Protocol, WorkerProgram};
use crate::host::sessions::listener::Cause;
use crate::host::starting::hand_over::HandOver;
use crate::host::starting::job_queue::{self, Jobs, Todo};
use crate::host::starting::workdir::{self, Aside, Earlier};
use crate::host::supervision::worker_table::Notice;
use crate::processes::environment::{self, Environment};
use crate::processes::inheritance;
use crate::processes::spawn::{self, Launch, Process};
use crate::protocol::json;

/// What the spawner shall do.
pub(crate) enum Work {
    /// Make a task's directories and start its process.
    Start(Job),
    /// Prepare a process for its next task.
    HandOver(HandOver),
}

impl Work {
    /// Whether a device waits for it: a command is given its lease before its process is started.
    pub(crate) fn is_urgent(&self) -> bool {
        match self {
            Self::Start(Job { process: Some(_), assignment, .. }) => {
                matches!(assignment.program.as_ref(), Program::Command { .. })
            }
            Self::Start(_) | Self::HandOver(_) => false,
        }
    }
}

/// What the spawner shall do for one worker.
pub(crate) struct Job {
    pub(crate) worker: WorkerId,
    pub(crate) assignment: Arc<Assignment>,
    /// The task's log files; without them the task's directory is made first.
    pub(crate) logs: Option<Logs>,
    /// The process to start; without one there is only the directory to make.
    pub(crate) process: Option<Plan>,
}

/// A process to be started for a task.
pub(crate) struct Plan {
    pub(crate) command: Vec<String>,
    pub(crate) stdin: Stdin,
    /// Variables of the worker program.
    pub(crate) program_environment: Vec<(String, String)>,
    /// Variables of this phase: the lease, the token.
    pub(crate) environment: Vec<(String, String)>,
    /// A directory of the worker's own, made for the process, if it has a session.
    pub(crate) private: Option<PathBuf>,
}

impl Plan {
    /// The process of a worker program, and the token by which a Rust worker will be known.
    ///
    /// # Errors
    /// The system gives no random numbers.
    pub(crate) fn of_worker(program: &WorkerProgram, private: PathBuf) -> Result<(Self, String), Cause> {
        let token = make_token().ok_or_else(|| spawn_failed("the system gives no random numbers".into()))?;
        let mut environment = vec![(environment::FD.to_owned(), "0".to_owned())];
        if program.protocol == Protocol::Ipc {
            environment.push((environment::TOKEN.into(), token.clone()));
            environment.push((environment::BOOTSTRAP.into(), private.to_string_lossy().into_owned()));
        }
        let plan = Self {
            command: program.command.clone(),
            stdin: Stdin::Socket,
            program_environment: program.env.clone(),
            environment,
            private: Some(private),
        };
        Ok((plan, token))
    }
}

/// What a process finds as its standard input.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stdin {
    Null,
    /// One end of a socket pair.
    Socket,
}

/// What the spawner has done.
pub(crate) struct Done {
    pub(crate) logs: Logs,
    pub(crate) process: Option<Process>,
    /// The supervisor's end of the process's standard input.
    pub(crate) socket: Option<OwnedFd>,
}

/// The most threads. A start keeps its thread until the new process has become its program, which needs a processor.
const MOST_THREADS: usize = 4;

/// Starts the threads. They end when nobody can leave them work any more.
pub(crate) fn start(shared: &Arc<HostContext>) -> io::Result<Arc<Jobs>> {
    let cores = thread::available_parallelism().map_or(1, NonZero::get);
    let (jobs, todos) = job_queue::queue(cores.min(MOST_THREADS));
    for todo in todos {
        let shared = Arc::clone(shared);
        thread::Builder::new().name("fedflow-spawner".into()).spawn(move || work(&shared, todo))?;
    }
    Ok(Arc::new(jobs))
}

fn work(shared: &Arc<HostContext>, todo: Todo) {
    inheritance::unblock_signals();
    for work in todo {
        shared.post.notify(match work {
            Work::Start(job) => {
                let worker = job.worker;
                let done = do_job(shared, job);
                Notice::Spawned { worker, done: done.map(Box::new) }
            }
            Work::HandOver(hand_over) if hand_over.is_slow() => {
                prepare_apart(hand_over, shared);
                continue;
            }
            Work::HandOver(hand_over) => {
                let worker = hand_over.slot;
                Notice::Prepared { worker, done: hand_over.prepare(shared) }
            }
        });
    }
}

/// Prepares a process for its next task in a thread of its own: others are started meanwhile.
fn prepare_apart(hand_over: HandOver, shared: &Arc<HostContext>) {
    let worker = hand_over.slot;
    let own = Arc::clone(shared);
    let prepare = move || own.post.notify(Notice::Prepared { worker, done: hand_over.prepare(&own) });
    if let Err(error) = thread::Builder::new().name("fedflow-handover".into()).spawn(prepare) {
        let done = Err(spawn_failed(format!("no thread for it: {error}")));
        shared.post.notify(Notice::Prepared { worker, done });
    }
}

/// Makes a task's directories, unless they are there, and starts its process, if there is one to start.
///
/// # Errors
/// The system refuses one of them.
pub(crate) fn do_job(shared: &HostContext, job: Job) -> Result<Done, Cause> {
    let assignment = &job.assignment;
    let logs = match job.logs {
        Some(logs) => logs,
        None => make_directories(shared, assignment).map_err(|error| no_directory(assignment, &error))?,
    };
    let Some(plan) = job.process else { return Ok(Done { logs, process: None, socket: None }) };
    let cannot = |error: io::Error| spawn_failed(format!("cannot start a process: {error}"));
    plan.private.as_ref().map_or(Ok(()), std::fs::create_dir).map_err(cannot)?;
    let (socket, stdin) = match plan.stdin {
        Stdin::Null => (None, None),
        Stdin::Socket => {
            let pair = socketpair(AddressFamily::UNIX, SocketType::STREAM, SocketFlags::CLOEXEC, None);
            let (ours, theirs) = pair.map_err(|error| cannot(error.into()))?;
            (Some(ours), Some(theirs))
        }
    };
    let stdin = stdin.as_ref().unwrap_or(&shared.null).as_fd();
    let (stdout, stderr) = logs.for_process();
    let process = spawn::spawn(Launch {
        command: &plan.command,
        base_dir: &shared.options.base_dir,
        current_dir: &assignment.workdir,
        environment: &environment_of(shared, assignment, &plan),
        streams: [stdin, stdout, stderr],
    })
    .map_err(|error| spawn_failed(error.to_string()))?;
    shared
        .talk(assignment, || format!("process {} is started: {}", process.number(), plan.command.join(" ")));
    Ok(Done { logs, process: Some(process), socket })
}

fn spawn_failed(message: String) -> Cause {
    Cause::new(FailureKind::Spawn, message)
}

/// Why a task has no place to work in.
pub(crate) fn no_directory(assignment: &Assignment, error: &io::Error) -> Cause {
    spawn_failed(format!("cannot make {}: {error}", assignment.workdir.display()))
}

/// Makes a task's directories, empty for this attempt. Blocks on the file system.
pub(crate) fn make_workdir(shared: &HostContext, assignment: &Assignment) -> io::Result<()> {
    let earlier = if shared.options.keep_failed_attempts { Earlier::Keep } else { Earlier::Remove };
    if let Some(aside) = workdir::prepare(&assignment.workdir, assignment.attempt, earlier)? {
        shared.talk(assignment, || match aside {
            Aside::Kept(path) => format!("what lay in its directory is kept as {}", path.display()),
            Aside::Removed => "what lay in its directory is removed".into(),
        });
    }
    std::fs::create_dir_all(&assignment.checkpoint_dir)
}

fn make_directories(shared: &HostContext, assignment: &Assignment) -> io::Result<Logs> {
    make_workdir(shared, assignment)?;
    let logs = Logs::create(&assignment.workdir, shared.options.log_limit)?;
    logs.keep_small(&shared.log_keeper);
    Ok(logs)
}

/// The libraries that would otherwise start a thread on each core, for each task.
const THREADS: [&str; 4] =
    ["OMP_NUM_THREADS", "RAYON_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"];

/// Has Python write what it prints at once.
const UNBUFFERED: &str = "PYTHONUNBUFFERED";

/// A process's environment: what the supervisor inherited, then the user's words, then what Fedflow must be sure
/// of. The last one counts.
fn environment_of(shared: &HostContext, assignment: &Assignment, plan: &Plan) -> Environment {
    let mut environment = shared.environment.clone();
    for (name, value) in &plan.program_environment {
        environment.set(name, value);
    }
    // That is how parameters reach a command.
    if matches!(assignment.program.as_ref(), Program::Command { .. }) {
        for (name, value) in assignment.params.iter() {
            if let Some(value) = as_variable(value) {
                environment.set(name, value);
            }
        }
    }
    if let Some(threads) = shared.options.threads_per_task {
        for name in THREADS {
            environment.set_if_missing(name, threads.to_string());
        }
    }
    // What Python holds back when it prints would end up in the log of a later task of its process, or nowhere if it
    // is killed.
    environment.set_if_missing(UNBUFFERED, "1");
    for (name, value) in &shared.options.base_environment {
        environment.set(name, value);
    }
    environment.set(environment::TASK_ID, assignment.task_id.as_str());
    environment.set(environment::GROUP, assignment.group.as_str());
    environment.set(environment::ATTEMPT, assignment.attempt.to_string());
    environment.set(environment::WORKDIR, &assignment.workdir);
    environment.set(environment::CHECKPOINT_DIR, &assignment.checkpoint_dir);
    for (name, value) in &plan.environment {
        environment.set(name, value);
    }
    environment
}

/// A parameter as a variable: text as it is, everything else as JSON. Null sets none.
fn as_variable(value: &Value) -> Option<String> {
    match value {
        Value::Null => None,
        Value::Text(text) => Some(text.clone()),
        other => {
            let mut text = String::new();
            json::write(&mut text, other);
            Some(text)
        }
    }
}

/// A random text that nobody can guess.
fn make_token() -> Option<String> {
    let mut bytes = [0_u8; 16];
    let mut filled = 0;
    while filled < bytes.len() {
        match rustix::rand::getrandom(&mut bytes[filled..], rustix::rand::GetRandomFlags::empty()) {
            Ok(more) => filled += more,
            Err(rustix::io::Errno::INTR) => {}
            Err(_) => return None,
        }
    }
    Some(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}
