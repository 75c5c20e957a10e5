//! The supervisor's side: starts workers, hears them, ends them, and reports what became of each.
//!
//! # Threads
//!
//! * The engine's thread owns the [`Host`]. It sends commands, and while it waits for inputs it waits for messages,
//!   exits and deadlines of workers at once. It never touches a file system that could be slow, so a kill is never
//!   late. The host has no thread of its own for that: this saves each task several wake-ups, which take most of the
//!   time of short tasks.
//! * The *spawner*, a few threads, makes directories and starts processes. Its threads live as long as the host, as
//!   the kernel ties a worker's parent-death signal to the thread that started it.
//! * One *reader* per worker shakes hands and then blocks in its channel. Whatever a worker sends, it holds up no
//!   other thread.
//! * The *sampler* looks at memory and processors.
//! * The *log keeper* looks at the size of running tasks' logs, and gives what is too much back to the file system.
//!
//! # Kept processes
//!
//! A process whose task is done may be kept: it stays idle, and every message of it is a breach of the protocol.
//! After a hand-over it is known as another worker, and nothing that it still says of its last task counts for the
//! new one. The spawner makes the new task's directory and logs. A Rust worker ends what its last task has left
//! behind and opens the new logs itself. For a worker in another language the supervisor ends what it finds below the
//! process, and the files that the process writes to move on to the new directory, with a copy left in the old one.
//! The environment of a process describes its first task.
//!
//! # Why the handshake is reversed
//!
//! In ipc-channel's usual handshake the parent creates an `IpcOneShotServer` and accepts. That `accept` has no time
//! limit, and the socket that it returns is inherited by every process started later. So here the *worker* makes the
//! server, in a private directory that it is given, and says its name on a socket pair that the supervisor made: that
//! socket can be read with a deadline. The supervisor connects and sends the two ends of the session; all that it
//! holds is closed on exec. The socket pair stays open as the worker's life line: when the supervisor ends, for
//! whatever reason, the worker sees it and kills its own process group, helpers included. (The kernel's parent-death
//! signal watches over it only until the life line does: it would kill the worker before it has killed its helpers.)

pub(crate) mod attempt_span;
pub(crate) mod cause;
#[doc(hidden)]
pub mod fuzzing;
pub(crate) mod inputs;
pub(crate) mod logs;
pub(crate) mod memory;
pub(crate) mod sessions;
pub(crate) mod setup;
pub(crate) mod starting;
pub(crate) mod supervision;

use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use fedflow_core::{
    Assignment, Dict, HostSample, Input, Lease, Severity, Time, WorkerEvent, WorkerId, Workers,
};
use rustix::process::{getpid, set_child_subreaper};

use crate::pausable_clock::Clock;
use crate::processes::spawn;
pub use inputs::host_handle::HostHandle;
use inputs::input_queue::{Arrivals, InputQueue, Waker};
use memory::host_sampler::{Sampler, SamplerThread};
use setup::context::HostContext;
pub use setup::context::HostError;
pub use setup::lease_hooks::LeaseHooks;
pub use setup::options::{HostOptions, OnCpu, Protocol, WorkerProgram};
use starting::descriptor_limit;
pub use starting::private_directory::remove_abandoned_directories;
use supervision::notice::NoticeQueue;
use supervision::worker_table::WorkerTable;

/// The workers on this machine: the engine's [`Workers`]. Owned by the engine's thread; a [`HostHandle`] is for others.
///
/// No command blocks; what follows from one happens in [`Workers::next`]. Dropping the host kills every worker that is
/// left and waits for that, at most a few seconds.
#[derive(Debug)]
pub struct Host {
    workers: WorkerTable,
    arrivals: Arrivals,
    clock: Clock,
    /// The worker whose end was told last: the engine has acted on that when it asks for the next input.
    ended: Option<WorkerId>,
    sampler: Option<Arc<Mutex<Sampler>>>,
    _sampling: Option<SamplerThread>,
}

/// A sample of the machine that is older is renewed before the engine decides on what a loaded task takes.
const FRESH: Duration = Duration::from_millis(100);

impl Host {
    /// Starts the host's threads; no process yet. Time begins now.
    ///
    /// The limit of open descriptors is raised as far as is allowed (at most to 65,536), as each worker needs five.
    ///
    /// # Errors
    /// The base directory is relative, the system is too old or refuses a directory, thread or descriptor, or this process
    /// is a worker itself and has not served its supervisor.
    pub fn start(options: HostOptions) -> Result<(Self, HostHandle), HostError> {
        let clock = Clock::start();
        let context = HostContext::new(options, clock.clone())?;
        descriptor_limit::raise();
        sessions::ipc::ipc_reader::prepare()?;
        if context.options.adopt_orphans {
            set_child_subreaper(Some(getpid())).map_err(io::Error::from)?;
        }
        let waker = Waker::open()?;
        let (inputs, notices) = (InputQueue::new(&waker), NoticeQueue::new(&waker));
        let (sampler, sampling) = start_sampling(&context, &inputs)?.unzip();
        let workers = WorkerTable::start(context, inputs.clone(), notices.clone(), waker)?;
        let arrivals = Arrivals::new(inputs.clone(), clock.clone());
        let handle = HostHandle { inputs, notices, clock: clock.clone() };
        Ok((Self { workers, arrivals, clock, ended: None, sampler, _sampling: sampling }, handle))
    }

    /// How many workers fit below this program's limit of open descriptors, beside what is open now; at least 1. Call
    /// it when everything else is open.
    #[must_use]
    pub fn worker_capacity() -> u32 {
        descriptor_limit::worker_capacity()
    }

    fn sampler(&self) -> Option<MutexGuard<'_, Sampler>> {
        Some(self.sampler.as_ref()?.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Workers for Host {
    fn start(&mut self, worker: WorkerId, assignment: Assignment) {
        self.workers.begin(worker, assignment);
    }

    fn load(&mut self, worker: WorkerId) {
        self.workers.load(worker);
    }

    fn train(&mut self, worker: WorkerId, lease: &Lease, params: &Dict) {
        self.workers.train(worker, lease, params.clone());
    }

    fn keep(&mut self, worker: WorkerId) {
        self.workers.keep(worker);
    }

    fn hand_over(&mut self, from: WorkerId, to: WorkerId, assignment: Assignment) {
        self.workers.hand_over(from, to, assignment);
    }

    fn end(&mut self, worker: WorkerId, severity: Severity) {
        self.workers.end(worker, severity);
    }

    fn next(&mut self, deadline: Option<Time>) -> (Time, Input) {
        let workers = &mut self.workers;
        self.ended.take().into_iter().for_each(|ended| workers.end_is_heard(ended));
        let input = self.arrivals.next(deadline, |arrivals, until| workers.work(until, arrivals));
        if let Input::Worker { worker, event: WorkerEvent::Gone { .. } } = &input {
            self.ended = Some(*worker);
        }
        if matches!(input, Input::Host(_)) {
            // What is available and what each worker uses of the rest were looked at together.
            self.workers.tell_memory();
        }
        // What a task took while it loaded must count before the engine starts the next one.
        let is_loaded = matches!(input, Input::Worker { event: WorkerEvent::Loaded, .. });
        let sample =
            if is_loaded { self.sampler().and_then(|mut it| it.sample_if_older(FRESH)) } else { None };
        let input = match sample {
            Some(sample) => {
                self.arrivals.put_first(input);
                Input::Host(sample)
            }
            None => input,
        };
        (self.clock.now(), input)
    }

    fn host(&mut self) -> Option<HostSample> {
        self.sampler()?.recent(FRESH)
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        self.workers.shut_down(&mut self.arrivals);
    }
}

/// Starts the thread that looks at the machine and at the workers' memory, if the options ask for it.
fn start_sampling(
    context: &Arc<HostContext>,
    inputs: &InputQueue,
) -> io::Result<Option<(Arc<Mutex<Sampler>>, SamplerThread)>> {
    let Some(interval) = context.options.sample_interval else { return Ok(None) };
    let sampler = Arc::new(Mutex::new(Sampler::new(context.clock.clone())));
    let (peaks, clock) = (context.memory_peaks.clone(), context.clock.clone());
    let oom_kills = Arc::clone(&context.oom_kills);
    let adopting = context.options.adopt_orphans;
    let also = move || {
        peaks.look(&clock);
        oom_kills.look();
        if adopting {
            // A worker may leave more behind than the system has numbers for.
            let _ = spawn::strangers();
        }
    };
    let thread = SamplerThread::start(Arc::clone(&sampler), interval, inputs.clone(), also)?;
    Ok(Some((sampler, thread)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_handle_that_outlives_its_host_blocks_no_thread() {
        let root = tempfile::tempdir().unwrap();
        let options =
            HostOptions { sample_interval: None, ..HostOptions::new(root.path(), LeaseHooks::none()) };
        let (host, handle) = Host::start(options).unwrap();
        let pausing = std::thread::spawn({
            let handle = handle.clone();
            // It may be asked before the host is dropped or after it.
            move || handle.pause()
        });
        drop(host);
        pausing.join().unwrap();
        handle.pause();
        handle.durable(1);
    }

    #[test]
    fn the_machine_is_known_before_anything_starts() {
        let root = tempfile::tempdir().unwrap();
        let options = HostOptions::new(root.path(), LeaseHooks::none());
        assert!(options.sample_interval.is_some());
        let (mut host, _) = Host::start(options).unwrap();
        // The sampler's first sample may have been taken by now; it has not been told yet.
        assert!(host.host().is_some());
        assert!(host.host().is_some());
    }
}
