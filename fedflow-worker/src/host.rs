//! The supervisor's side: starts workers, hears them, ends them, and says what became of each.
//!
//! # Threads
//!
//! * The engine's own thread gives orders to the [`HostLauncher`] and waits in the [`HostInbox`]. Both share the
//!   *overseer*, which knows every worker: it sends orders, and while the engine waits it waits for messages, exits and
//!   deadlines at once. It never touches a file system that could be slow, so a kill is never late. That it has no thread
//!   of its own saves each task several wake-ups, which are what short tasks spend most of their time on.
//! * The *spawner* makes directories and starts processes. It lives as long as the host, as the kernel ties a
//!   worker's parent-death signal to the thread that started it.
//! * One *reader* per worker shakes hands and then blocks in its channel. Whatever a worker sends, it holds up
//!   nobody but its own reader.
//! * The *sampler* looks at memory and processors.
//! * The *log keeper* looks at the size of running tasks' logs; what is too much it gives back to the file system.
//!
//! # Processes that are kept
//!
//! A process whose task is done may be kept: it stays idle, and every word of it is a breach. Handed over, it is known
//! as another worker, and nothing that it still says of the task before counts for the new one. The spawner makes the
//! new task's directory and logs; a Rust worker ends what the task before has left behind and opens the logs itself, for
//! one in another language the supervisor ends what it finds below the process, and the very files that the process
//! writes to move on to the new directory, a copy being left in the old one. Variables describe the first task.
//!
//! # Why the handshake is reversed
//!
//! ipc-channel's way is that the parent creates an `IpcOneShotServer` and accepts. That `accept` has no time limit,
//! and the socket that it returns is inherited by every process started later. So here the *worker* makes the
//! server, in a private directory that it is given, and says its name on a socket pair that the supervisor made:
//! that socket can be read with a deadline. The supervisor connects and sends the two ends of the session; all that
//! it holds is closed on exec. The socket pair stays open as the worker's life line: when the supervisor ends,
//! by whatever cause, the worker sees it and kills its own process group, helpers included. (The kernel's parent-death
//! signal watches over it only until the life line does: it would kill the worker before it has killed its helpers.)

mod capped_log;
mod conformance;
mod crew;
mod descriptors;
mod ending;
#[doc(hidden)]
pub mod fuzzing;
mod gauge;
mod hand_over;
mod handshake;
mod inbox;
mod intake;
mod ipc_session;
mod json_session;
mod lease_text;
mod link;
mod listener;
mod log_keeper;
mod logs;
mod memory_group;
mod oom_kills;
mod overseer;
mod private;
mod result_file;
mod sampler;
mod spawner;
mod sweep;
mod talk;
mod train_gate;
mod turns;
mod witness;
mod workdir;

use std::collections::BTreeMap;
use std::io;
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError, TryLockError};
use std::time::Duration;

use fedflow_core::{
    Assignment, Dict, Input, Launcher, Lease, Name, OomSigns, SELF_WORKER, StopLevel, Time, WorkerId,
};
use rustix::process::{getpid, set_child_subreaper};

use crate::clock::Clock;
use crate::environment::Environment;
use crate::spawn;

pub use conformance::{CheckedStep, Trial, Verdict, WorkerCheck};
use crew::Crew;
use gauge::Gauges;
pub use inbox::HostInbox;
use inbox::Post;
use log_keeper::LogKeeper;
use oom_kills::OomKills;
use overseer::{Notice, Overseer};
use private::Private;
use sampler::{Sampler, SamplerThread};
pub use talk::HostTalk;
pub use train_gate::TrainGate;
pub use witness::LeaseWitness;

/// How a worker program talks to its supervisor.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Protocol {
    /// Over ipc-channel: a Rust program built on [`Worker`](crate::Worker).
    #[default]
    Ipc,
    /// One JSON object a line, over standard input: a program in any language.
    Json,
}

/// A program that runs tasks of several kinds.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct WorkerProgram {
    /// Program and arguments. A program with a separator is relative to [`HostOptions::base_dir`], another one is
    /// looked up in `PATH`.
    pub command: Vec<String>,
    /// How it talks.
    pub protocol: Protocol,
    /// Variables for its environment.
    pub env: Vec<(String, String)>,
}

/// What a host needs to know.
#[derive(Debug, Clone)]
pub struct HostOptions {
    /// The worker programs by name. [`SELF_WORKER`] is the running program itself and need not be named.
    pub workers: BTreeMap<String, WorkerProgram>,
    /// What relative program paths are relative to; an absolute path.
    pub base_dir: PathBuf,
    /// Variables for every process, from the device pool.
    pub base_environment: Vec<(String, String)>,
    /// The memory that a result may take, in bytes.
    pub result_limit: u64,
    /// How much of each of a task's two logs is kept, in bytes, at least 64 KiB: the head and the newest part. While
    /// the task writes, its file may take more for up to a second.
    pub log_limit: u64,
    /// Whether the directory of a failed attempt is kept beside the task's as `ID.attempt-K`; else it is removed.
    pub keep_failed_attempts: bool,
    /// The threads that each task's numeric libraries may use, unless the user set a number; `None` leaves it to
    /// them, which is all cores for each.
    pub threads_per_task: Option<u32>,
    /// Who is told which process uses a lease.
    pub lease_witness: Option<LeaseWitness>,
    /// Who is asked whether simulated cards have the memory that a task says it uses.
    pub train_gate: Option<TrainGate>,
    /// By what it is known that a process which failed was out of memory, beside what a task adds.
    pub oom_signs: Arc<OomSigns>,
    /// Who is told in words what is done with processes and directories.
    pub talk: Option<HostTalk>,
    /// How long a worker may take to say hello. The engine has its own, usually shorter, time limits.
    pub start_timeout: Duration,
    /// How often memory and processors are looked at; `None` is never.
    pub sample_interval: Option<Duration>,
    /// Whether what workers leave behind is ended also if it left its process group: the program becomes a subreaper,
    /// and *every* child of it that is no worker is taken for an orphan. Only for a program that starts no other
    /// processes, and has no children from before.
    pub adopt_orphans: bool,
}

impl HostOptions {
    /// Options for programs relative to a directory, with the defaults of the configuration: results of up to
    /// 64 MiB, logs of up to 256 MiB, failed attempts kept, 60 s for a hello, a sample each second, no orphans
    /// adopted.
    #[must_use]
    pub fn new(base_dir: impl Into<PathBuf>) -> Self {
        Self {
            workers: BTreeMap::new(),
            base_dir: base_dir.into(),
            base_environment: Vec::new(),
            result_limit: 64 << 20,
            log_limit: 256 << 20,
            keep_failed_attempts: true,
            threads_per_task: None,
            lease_witness: None,
            train_gate: None,
            oom_signs: Arc::default(),
            talk: None,
            start_timeout: Duration::from_secs(60),
            sample_interval: Some(Duration::from_secs(1)),
            adopt_orphans: false,
        }
    }
}

/// Why a host cannot start.
#[derive(Debug, thiserror::Error)]
pub enum HostError {
    /// The base directory is not absolute, so it would mean another one in a worker's directory.
    #[error("the base directory {0:?} is not an absolute path")]
    RelativeBase(PathBuf),
    /// There is no place for the private directory through which workers are met.
    #[error("cannot make a private directory: {0}")]
    PrivateDirectory(io::Error),
    /// The system gives no thread or descriptor.
    #[error("cannot start the host's threads: {0}")]
    Threads(#[from] io::Error),
}

/// Starts workers on this machine.
#[derive(Debug)]
pub struct Host;

/// What every part of the host knows.
struct Shared {
    options: HostOptions,
    own_program: String,
    /// What the environments of all processes begin with.
    environment: Environment,
    /// What a process reads that is to read nothing.
    null: OwnedFd,
    private: Private,
    clock: Clock,
    post: Post,
    log_keeper: LogKeeper,
    oom_kills: Arc<OomKills>,
    gauges: Gauges,
    readers: Crew,
}

impl Host {
    /// Starts the host's threads; no process yet. Time begins now.
    ///
    /// The limit of open descriptors is raised as far as is allowed (at most to 65,536), as each worker needs five.
    ///
    /// # Errors
    /// The base directory is relative, or the system refuses a directory, thread or descriptor.
    pub fn start(options: HostOptions) -> Result<(HostLauncher, HostInbox, HostHandle), HostError> {
        descriptors::raise_limit();
        ipc_session::prepare().map_err(HostError::Threads)?;
        if options.adopt_orphans {
            set_child_subreaper(Some(getpid())).map_err(io::Error::from)?;
        }
        let clock = Clock::start();
        let post = Post::open()?;
        let sampler = options.sample_interval.map(|_| Arc::new(Mutex::new(Sampler::new(clock.clone()))));
        let (interval, adopting) = (options.sample_interval, options.adopt_orphans);
        let shared = Shared::new(options, clock.clone(), post.clone())?;
        let sampling = match (&sampler, interval) {
            (Some(sampler), Some(interval)) => {
                let (gauges, clock) = (shared.gauges.clone(), clock.clone());
                let oom_kills = Arc::clone(&shared.oom_kills);
                let also = move || {
                    gauges.look(&clock);
                    oom_kills.look();
                    if adopting {
                        // A worker may leave more behind than the system has numbers for.
                        let _ = spawn::strangers();
                    }
                };
                Some(SamplerThread::start(Arc::clone(sampler), interval, post.clone(), also)?)
            }
            _ => None,
        };
        let overseer = Arc::new(Mutex::new(Overseer::start(shared)?));
        let handle = HostHandle { post: post.clone(), clock: clock.clone() };
        let launcher = HostLauncher { overseer: Arc::clone(&overseer), post, _sampling: sampling };
        let inbox = HostInbox::new(overseer, clock, sampler);
        Ok((launcher, inbox, handle))
    }

    /// How many workers fit below this program's limit of open descriptors, beside what is open now; at least 1. Call
    /// it when everything else is open.
    #[must_use]
    pub fn worker_capacity() -> u32 {
        descriptors::worker_capacity()
    }
}

impl Shared {
    fn new(options: HostOptions, clock: Clock, post: Post) -> Result<Arc<Self>, HostError> {
        if !options.base_dir.is_absolute() {
            return Err(HostError::RelativeBase(options.base_dir));
        }
        Ok(Arc::new(Self {
            own_program: spawn::own_program().to_string_lossy().into_owned(),
            environment: Environment::inherited().into_common(),
            null: spawn::null()?,
            private: Private::make().map_err(HostError::PrivateDirectory)?,
            clock,
            post,
            log_keeper: LogKeeper::start()?,
            oom_kills: Arc::new(OomKills::of_own_group()),
            gauges: Gauges::default(),
            readers: Crew::new("fedflow-reader"),
            options,
        }))
    }

    /// Says what is done for a worker, if anybody wants to know.
    fn talk(&self, assignment: &Assignment, text: impl FnOnce() -> String) {
        if let Some(talk) = &self.options.talk {
            talk.tell(assignment, &text());
        }
    }

    /// The program of a worker's name.
    fn worker_program(&self, name: &str) -> Option<WorkerProgram> {
        match self.options.workers.get(name) {
            Some(program) => Some(program.clone()),
            None if name == SELF_WORKER => {
                Some(WorkerProgram { command: vec![self.own_program.clone()], ..WorkerProgram::default() })
            }
            None => None,
        }
    }
}

/// Starts workers and tells them what to do: the engine's [`Launcher`].
///
/// No call blocks; what follows from an order happens while somebody waits in the [`HostInbox`]. Dropping it kills every
/// worker that is left and waits for that, at most a few seconds.
#[derive(Debug)]
pub struct HostLauncher {
    overseer: Arc<Mutex<Overseer>>,
    post: Post,
    _sampling: Option<SamplerThread>,
}

impl HostLauncher {
    fn order(&self, order: Notice) {
        match self.overseer.try_lock() {
            Ok(mut overseer) => overseer.order(order),
            // Another thread waits in the inbox, and will see to it.
            Err(_) => self.post.notify(order),
        }
    }
}

impl Launcher for HostLauncher {
    fn start(&mut self, worker: WorkerId, assignment: Assignment) {
        self.order(Notice::Start { worker, assignment: Arc::new(assignment) });
    }

    fn load(&mut self, worker: WorkerId) {
        self.order(Notice::Load(worker));
    }

    fn train(&mut self, worker: WorkerId, lease: &Lease, params: &Dict) {
        self.order(Notice::Train { worker, lease: lease.clone(), params: params.clone() });
    }

    fn keep(&mut self, worker: WorkerId) {
        self.order(Notice::Keep(worker));
    }

    fn hand_over(&mut self, from: WorkerId, to: WorkerId, assignment: Assignment) {
        self.order(Notice::HandOver { from, to, assignment: Arc::new(assignment) });
    }

    fn exit(&mut self, worker: WorkerId) {
        self.order(Notice::Exit(worker));
    }

    fn terminate(&mut self, worker: WorkerId) {
        self.order(Notice::Terminate(worker));
    }

    fn kill(&mut self, worker: WorkerId) {
        self.order(Notice::Kill(worker));
    }
}

impl Drop for HostLauncher {
    fn drop(&mut self) {
        if let Err(TryLockError::WouldBlock) = self.overseer.try_lock() {
            // Another thread waits in the inbox; it shall not do so for ever.
            self.post.put(Input::Timer);
        }
        self.overseer.lock().unwrap_or_else(PoisonError::into_inner).shut_down();
    }
}

/// Puts into the [`HostInbox`] what the host itself does not know of. Cheap to clone; may be used from any thread.
#[derive(Debug, Clone)]
pub struct HostHandle {
    post: Post,
    clock: Clock,
}

impl HostHandle {
    /// The run shall stop.
    pub fn stop(&self, level: StopLevel) {
        self.post.put(Input::Stop(level));
    }

    /// Stops every worker, with all that descends from it, and the run's clock. Blocks until they stand still, which
    /// takes a moment once somebody waits in the [`HostInbox`]; not to be called by that thread.
    pub fn pause(&self) {
        let (done, paused) = crossbeam_channel::bounded(1);
        self.post.notify(Notice::Pause(done));
        // An error is a host that has ended: there is nothing left to stop.
        let _ = paused.recv();
    }

    /// Has everything go on after [`pause`](Self::pause).
    pub fn resume(&self) {
        self.post.notify(Notice::Resume);
    }

    /// The run's time.
    #[must_use]
    pub fn now(&self) -> Time {
        self.clock.now()
    }

    /// One task shall be cancelled.
    pub fn cancel(&self, group: Name, task: Name) {
        self.post.put(Input::Cancel { group, task });
    }

    /// All records up to this number are durable.
    pub fn durable(&self, number: u64) {
        self.post.put(Input::Durable(number));
    }

    /// Records cannot be written any more.
    pub fn recording_failed(&self, cause: impl Into<String>) {
        self.post.put(Input::RecordingFailed(cause.into()));
    }

    /// Leases may succeed that did not before.
    pub fn devices_changed(&self) {
        self.post.put(Input::DevicesChanged);
    }
}
