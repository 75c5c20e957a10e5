//! The supervisor's side: starts workers, hears them, ends them, and says what became of each.
//!
//! # Threads
//!
//! * The engine's own thread gives orders to the [`HostLauncher`] and waits in the [`HostInbox`]. Both share the
//!   *overseer*, which knows every worker: it sends orders, and while the engine waits it waits for messages, exits and
//!   deadlines at once. It never touches a file system that could be slow, so a kill is never late. That it has no thread
//!   of its own saves each task several wake-ups, which are what short tasks spend most of their time on.
//! * The *spawner*, a few threads, makes directories and starts processes. They live as long as the host, as the kernel ties a
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

pub(crate) mod context;
#[doc(hidden)]
pub mod fuzzing;
mod handle;
pub(crate) mod inbox;
pub(crate) mod input_queue;
mod launcher;
mod lease_holder;
pub(crate) mod logs;
mod memory;
mod memory_check;
pub(crate) mod options;
pub(crate) mod sessions;
pub(crate) mod starting;
mod supervision;
mod talk;

use std::io;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use fedflow_core::{Assignment, Dict, HostSample, Input, Lease, Severity, Time, WorkerId, Workers};
use rustix::process::{getpid, set_child_subreaper};

use crate::pausable_clock::Clock;
use crate::processes::spawn;

use context::HostContext;
pub use handle::HostHandle;
use inbox::HostInbox;
use input_queue::Post;
use launcher::HostLauncher;
pub use lease_holder::LeaseWitness;
use memory::host_sampler::{Sampler, SamplerThread};
pub use memory_check::TrainGate;
pub use options::{HostOptions, Protocol, WorkerProgram};
use supervision::worker_table::Overseer;
pub use talk::HostTalk;

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

/// The workers on this machine: the engine's [`Workers`]. Owned by the engine's thread; a [`HostHandle`] is for others.
///
/// No order blocks; what follows from one happens in [`Workers::next`]. Dropping the host kills every worker that is
/// left and waits for that, at most a few seconds.
#[derive(Debug)]
pub struct Host {
    // Dropped first: it ends the workers.
    launcher: HostLauncher,
    inbox: HostInbox,
}

impl Host {
    /// Starts the host's threads; no process yet. Time begins now.
    ///
    /// The limit of open descriptors is raised as far as is allowed (at most to 65,536), as each worker needs five.
    ///
    /// # Errors
    /// The base directory is relative, or the system refuses a directory, thread or descriptor.
    pub fn start(options: HostOptions) -> Result<(Self, HostHandle), HostError> {
        starting::descriptor_limit::raise_limit();
        sessions::ipc::prepare().map_err(HostError::Threads)?;
        if options.adopt_orphans {
            set_child_subreaper(Some(getpid())).map_err(io::Error::from)?;
        }
        let clock = Clock::start();
        let post = Post::open()?;
        let sampler = options.sample_interval.map(|_| Arc::new(Mutex::new(Sampler::new(clock.clone()))));
        let (interval, adopting) = (options.sample_interval, options.adopt_orphans);
        let shared = HostContext::new(options, clock.clone(), post.clone())?;
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
        Ok((Self { launcher, inbox }, handle))
    }

    /// How many workers fit below this program's limit of open descriptors, beside what is open now; at least 1. Call
    /// it when everything else is open.
    #[must_use]
    pub fn worker_capacity() -> u32 {
        starting::descriptor_limit::worker_capacity()
    }
}

impl Workers for Host {
    fn start(&mut self, worker: WorkerId, assignment: Assignment) {
        self.launcher.start(worker, assignment);
    }

    fn load(&mut self, worker: WorkerId) {
        self.launcher.load(worker);
    }

    fn train(&mut self, worker: WorkerId, lease: &Lease, params: &Dict) {
        self.launcher.train(worker, lease, params);
    }

    fn keep(&mut self, worker: WorkerId) {
        self.launcher.keep(worker);
    }

    fn hand_over(&mut self, from: WorkerId, to: WorkerId, assignment: Assignment) {
        self.launcher.hand_over(from, to, assignment);
    }

    fn end(&mut self, worker: WorkerId, severity: Severity) {
        self.launcher.end(worker, severity);
    }

    fn next(&mut self, deadline: Option<Time>) -> (Time, Input) {
        self.inbox.next(deadline)
    }

    fn host(&mut self) -> Option<HostSample> {
        self.inbox.host()
    }
}
