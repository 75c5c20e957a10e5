//! The thread that knows every worker: it takes orders, notices exits and deadlines, and tells each worker's end
//! exactly once.

mod supervised;

use std::collections::BTreeMap;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::{Arc, mpsc};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use crossbeam_channel::{Receiver, Sender};
use fedflow_core::{Assignment, Dict, FailureKind, Input, Lease, Time, WorkerEvent, WorkerId};
use rustix::event::{EventfdFlags, PollFd, PollFlags, Timespec, eventfd, poll};

use super::Shared;
use super::ending::Asked;
use super::link::Link;
use super::listener::Cause;
use super::logs::Logs;
use super::spawner::{self, Done, Work};
use super::sweep::Other;
use crate::spawn::Process;
use supervised::Supervised;

/// How long the host waits for its processes when it is dropped. They were killed; only the kernel can hold them.
const LAST_WAIT: Duration = Duration::from_secs(3);

/// Everything that the overseer is told.
pub(super) enum Notice {
    // From the engine.
    Start {
        worker: WorkerId,
        assignment: Arc<Assignment>,
    },
    Load(WorkerId),
    Train {
        worker: WorkerId,
        lease: Lease,
        params: Dict,
    },
    Keep(WorkerId),
    HandOver {
        from: WorkerId,
        to: WorkerId,
        assignment: Arc<Assignment>,
    },
    /// It could not be told something.
    Lost(WorkerId),
    Exit(WorkerId),
    Terminate(WorkerId),
    Kill(WorkerId),
    /// Workers and time stand still. Answered when they do.
    Pause(Sender<()>),
    Resume,
    /// No more orders come.
    Shutdown,
    // From the spawner; here and below a worker is named by its slot.
    Spawned {
        worker: WorkerId,
        done: Result<Box<Done>, Cause>,
    },
    /// A process can be given its next task.
    Prepared {
        worker: WorkerId,
        done: Result<Logs, Cause>,
    },
    // From a reader.
    Connected {
        worker: WorkerId,
        link: Link,
    },
    ReaderDone {
        worker: WorkerId,
        outcome: Result<(), Cause>,
    },
    // From a sweeper: nothing is left of its process.
    Swept(WorkerId),
    // From a finisher, which reads what a command has written.
    ResultRead {
        worker: WorkerId,
        outcome: Result<Dict, Cause>,
    },
}

/// Rings for the overseer: hands it a notice and wakes it.
#[derive(Clone)]
pub(super) struct Bell {
    notices: Sender<Notice>,
    wake: Arc<OwnedFd>,
}

impl Bell {
    pub(super) fn ring(&self, notice: Notice) {
        // An overseer that has ended has killed every worker; there is nothing left to do.
        if self.notices.send(notice).is_ok() {
            let _ = rustix::io::write(&*self.wake, &1_u64.to_ne_bytes());
        }
    }
}

impl std::fmt::Debug for Bell {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Bell")
    }
}

/// Starts the overseer and its spawner.
pub(super) fn start(shared: Arc<Shared>) -> io::Result<(Bell, JoinHandle<()>)> {
    let (sender, notices) = crossbeam_channel::unbounded();
    let wake = Arc::new(eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?);
    let bell = Bell { notices: sender, wake: Arc::clone(&wake) };
    let jobs = spawner::start(Arc::clone(&shared), bell.clone())?;
    let overseer = Overseer {
        shared,
        notices,
        wake,
        bell: bell.clone(),
        jobs,
        workers: BTreeMap::new(),
        slots: BTreeMap::new(),
        lost: BTreeMap::new(),
        paused: false,
        over: None,
    };
    let thread = thread::Builder::new().name("fedflow-overseer".into()).spawn(move || overseer.run())?;
    Ok((bell, thread))
}

struct Overseer {
    shared: Arc<Shared>,
    notices: Receiver<Notice>,
    wake: Arc<OwnedFd>,
    bell: Bell,
    jobs: mpsc::Sender<Work>,
    /// By slot.
    workers: BTreeMap<WorkerId, Supervised>,
    /// The slots of those whose processes had other tasks before.
    slots: BTreeMap<WorkerId, WorkerId>,
    /// How those have ended that were kept: they may be handed over before the engine has heard of it.
    lost: BTreeMap<WorkerId, Cause>,
    paused: bool,
    /// Set when no more orders come: until when the host waits for its processes.
    over: Option<Time>,
}

impl Overseer {
    fn run(mut self) {
        loop {
            let ended = self.wait();
            let mut counter = [0_u8; 8];
            let _ = rustix::io::read(&*self.wake, &mut counter);
            while let Ok(notice) = self.notices.try_recv() {
                self.handle(notice);
            }
            let now = self.shared.clock.now();
            for id in ended {
                let others = self.others(id);
                self.with(id, |worker| worker.process_ended(now, others));
            }
            let is_due = |worker: &Supervised| worker.deadline().is_some_and(|deadline| deadline <= now);
            let due: Vec<WorkerId> =
                self.workers.iter().filter(|(_, worker)| is_due(worker)).map(|(id, _)| *id).collect();
            for id in due {
                self.with(id, |worker| worker.deadline_passed(now));
            }
            if self.over.is_some_and(|until| self.workers.is_empty() || now >= until) {
                return;
            }
        }
    }

    /// Blocks until there is a notice, an exit or a deadline; tells whose processes have ended.
    fn wait(&self) -> Vec<WorkerId> {
        let deadlines = self.workers.values().filter_map(Supervised::deadline).chain(self.over);
        let timeout = deadlines.min().map(|deadline| self.shared.clock.until(deadline));
        // A millisecond more: what is due must be due when the wait ends.
        let timeout = timeout.and_then(|left| Timespec::try_from(left + Duration::from_millis(1)).ok());
        let processes: Vec<_> =
            self.workers.iter().filter_map(|(id, worker)| Some((*id, worker.process()?.as_fd()))).collect();
        let mut descriptors = vec![PollFd::new(&*self.wake, PollFlags::IN)];
        descriptors
            .extend(processes.iter().map(|(_, pidfd)| PollFd::from_borrowed_fd(*pidfd, PollFlags::IN)));
        match poll(&mut descriptors, timeout.as_ref()) {
            Ok(_) => {
                let exits = descriptors[1..].iter().zip(&processes);
                exits.filter(|(pidfd, _)| !pidfd.revents().is_empty()).map(|(_, (id, _))| *id).collect()
            }
            // An interrupted wait is one that ends early.
            Err(_) => Vec::new(),
        }
    }

    fn handle(&mut self, notice: Notice) {
        match notice {
            Notice::Start { worker, assignment } => self.begin(worker, assignment),
            Notice::Load(id) => self.order(id, Supervised::load),
            Notice::Train { worker, lease, params } => {
                self.order(worker, |worker| worker.train(&lease, params))
            }
            Notice::Keep(id) => self.order(id, Supervised::keep),
            Notice::HandOver { from, to, assignment } => self.hand_over(from, to, assignment),
            Notice::Lost(id) => self.order(id, Supervised::channel_lost),
            Notice::Exit(id) => self.order(id, |worker| worker.ask(Asked::Exit)),
            Notice::Terminate(id) => self.order(id, |worker| worker.ask(Asked::Terminate)),
            Notice::Kill(id) => self.order(id, |worker| worker.ask(Asked::Kill)),
            Notice::Pause(done) => {
                self.shared.clock.pause();
                self.paused = true;
                self.workers.values().filter_map(Supervised::process).for_each(Process::pause);
                // Who asked may have given up.
                let _ = done.send(());
            }
            Notice::Resume => {
                self.paused = false;
                self.workers.values().filter_map(Supervised::process).for_each(Process::resume);
                self.shared.clock.resume();
            }
            Notice::Spawned { worker, done } => {
                self.with(worker, |worker| worker.spawned(done.map(|done| *done)));
                let started = self.workers.get(&worker).and_then(Supervised::process);
                started.filter(|_| self.paused).into_iter().for_each(Process::pause);
            }
            Notice::Prepared { worker, done } => self.with(worker, |worker| worker.prepared(done)),
            Notice::Swept(id) => {
                let now = self.shared.clock.now();
                self.with(id, |worker| worker.swept(now));
            }
            Notice::Connected { worker, link } => self.with(worker, |worker| worker.connected(link)),
            Notice::ReaderDone { worker, outcome } => self.with(worker, |worker| worker.reader_done(outcome)),
            Notice::ResultRead { worker, outcome } => self.with(worker, |worker| worker.result_read(outcome)),
            Notice::Shutdown => {
                self.over = Some(self.shared.clock.now() + LAST_WAIT);
                let ids: Vec<WorkerId> = self.workers.keys().copied().collect();
                for id in ids {
                    self.with(id, |worker| worker.ask(Asked::Kill));
                }
            }
        }
    }

    /// The workers but one that have a process.
    fn others(&self, id: WorkerId) -> Vec<Other> {
        let others = self.workers.iter().filter(|(other, _)| **other != id);
        others.filter_map(|(_, worker)| worker.as_other()).collect()
    }

    fn begin(&mut self, id: WorkerId, assignment: Arc<Assignment>) {
        let worker =
            Supervised::begin(id, assignment, Arc::clone(&self.shared), self.bell.clone(), self.jobs.clone());
        self.workers.insert(id, worker);
        self.with(id, |_| {});
    }

    fn hand_over(&mut self, from: WorkerId, to: WorkerId, assignment: Arc<Assignment>) {
        let lost = self.lost.remove(&from);
        let Some(slot) = self.slot_of(from) else {
            // Its end was told before the engine knew better.
            let Cause { kind, message } = lost.unwrap_or_else(|| {
                Cause::new(FailureKind::Killed, "its process ended before it could be given this task")
            });
            let event = WorkerEvent::Gone {
                kind,
                message,
                stderr_tail: String::new(),
                killed_for_memory: false,
                before_first_word: true,
            };
            return self.shared.post.put(Input::Worker { worker: to, event });
        };
        self.slots.remove(&from);
        self.slots.insert(to, slot);
        let is_swept = self.workers.get(&slot).is_some_and(Supervised::is_swept_before_next);
        let others = if is_swept { self.others(slot) } else { Vec::new() };
        self.with(slot, |worker| worker.hand_over(to, assignment, others));
    }

    /// The slot of a worker; none if it has ended, or its process is known as another one.
    fn slot_of(&self, id: WorkerId) -> Option<WorkerId> {
        let slot = self.slots.get(&id).copied().unwrap_or(id);
        self.workers.get(&slot).is_some_and(|worker| worker.id() == id).then_some(slot)
    }

    /// Lets something happen to the worker of this number, which the engine wants.
    fn order(&mut self, id: WorkerId, happens: impl FnOnce(&mut Supervised)) {
        if let Some(slot) = self.slot_of(id) {
            self.with(slot, happens);
        }
    }

    /// Lets something happen to the worker in a slot, and forgets it when it is over. One that is not there has ended:
    /// what comes late for it changes nothing.
    fn with(&mut self, slot: WorkerId, happens: impl FnOnce(&mut Supervised)) {
        let Some(worker) = self.workers.get_mut(&slot) else { return };
        happens(worker);
        if worker.is_over()
            && let Some(worker) = self.workers.remove(&slot)
        {
            self.slots.remove(&worker.id());
            let lost = worker.is_kept().then(|| worker.id());
            let cause = worker.tell_end();
            self.lost.extend(lost.map(|id| (id, cause)));
        }
    }
}
