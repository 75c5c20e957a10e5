//! Who knows every worker: takes orders, notices exits and deadlines, and tells each worker's end exactly once.
//!
//! It has no thread: it works while the engine waits or gives an order. So an order costs a call and an exit one wake-up,
//! and what the engine does next is done by the thread that is awake already.

use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::os::fd::AsFd;
use std::sync::Arc;
use std::time::Duration;

use crossbeam_channel::Sender;
use fedflow_core::{Assignment, Dict, FailureKind, Input, Lease, Time, WorkerEvent, WorkerId};

use crate::host::context::HostContext;
use crate::host::input_queue::{Delivery, Post};
use crate::host::logs::task_logs::Logs;
use crate::host::sessions::link::Link;
use crate::host::sessions::listener::Cause;
use crate::host::starting::job_queue::Jobs;
use crate::host::starting::spawner::{self, Done};
use crate::host::supervision::end_description::Asked;
use crate::host::supervision::supervised::Supervised;
use crate::host::supervision::sweep::Other;
use crate::processes::spawn::Process;

/// How long the host waits for its processes when it is dropped. They were killed; only the kernel can hold them.
const LAST_WAIT: Duration = Duration::from_secs(3);

/// Everything that the overseer is told.
pub(crate) enum Notice {
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
    Exit(WorkerId),
    Terminate(WorkerId),
    Kill(WorkerId),
    /// Workers and time stand still. Answered when they do.
    Pause(Sender<()>),
    Resume,
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

impl std::fmt::Debug for Notice {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Notice")
    }
}

/// How many times in a row inputs are taken without a look at the processes, while more and more arrive.
const TAKES: u32 = 64;

/// Knows every worker.
pub(crate) struct Overseer {
    shared: Arc<HostContext>,
    jobs: Arc<Jobs>,
    /// By slot.
    workers: BTreeMap<WorkerId, Supervised>,
    /// The slots of those whose processes had other tasks before.
    slots: BTreeMap<WorkerId, WorkerId>,
    /// How those have ended that were kept: they may be handed over before the engine has heard of it.
    lost: BTreeMap<WorkerId, Cause>,
    paused: bool,
    /// How many times inputs were taken since the processes were looked at.
    takes: u32,
}

impl Overseer {
    /// Starts the spawner; no process yet.
    pub(crate) fn start(shared: Arc<HostContext>) -> io::Result<Self> {
        let jobs = spawner::start(&shared)?;
        Ok(Self {
            shared,
            jobs,
            workers: BTreeMap::new(),
            slots: BTreeMap::new(),
            lost: BTreeMap::new(),
            paused: false,
            takes: 0,
        })
    }

    /// Does what an order says, after all that was told before it.
    pub(crate) fn order(&mut self, order: Notice) {
        for notice in self.post().take_notices() {
            self.handle(notice);
        }
        self.handle(order);
    }

    /// Takes the inputs that have arrived, and does what else there is to do. Where there is nothing, it blocks until
    /// there is, or until a time.
    pub(crate) fn turn(&mut self, until: Option<Time>, inputs: &mut VecDeque<Delivery>) {
        self.take(inputs);
        self.takes += 1;
        if inputs.is_empty() || self.takes > TAKES {
            self.takes = 0;
            let patience = if inputs.is_empty() { self.patience(until) } else { Some(Duration::ZERO) };
            self.look(patience);
            self.take(inputs);
        }
    }

    /// Whether another thread wants to [shut it down](Self::shut_down).
    pub(crate) fn is_closing(&self) -> bool {
        self.post().is_closing()
    }

    /// Kills every worker and waits for that, for some seconds at most.
    pub(crate) fn shut_down(&mut self) {
        let until = self.shared.clock.now() + LAST_WAIT;
        let ids: Vec<WorkerId> = self.workers.keys().copied().collect();
        for id in ids {
            self.with(id, |worker| worker.ask(Asked::Kill));
        }
        let mut inputs = VecDeque::new();
        while !self.workers.is_empty() && !self.shared.clock.until(until).is_zero() {
            self.take(&mut inputs);
            self.look(self.patience(Some(until)));
        }
        self.take(&mut inputs);
        self.post().close(inputs);
    }

    fn post(&self) -> &Post {
        &self.shared.post
    }

    /// Takes what has arrived, and what comes of that.
    fn take(&mut self, inputs: &mut VecDeque<Delivery>) {
        loop {
            let notices = self.post().take(inputs);
            if notices.is_empty() {
                return;
            }
            for notice in notices {
                self.handle(notice);
            }
        }
    }

    /// How long may be waited.
    fn patience(&self, until: Option<Time>) -> Option<Duration> {
        let deadlines = self.workers.values().filter_map(Supervised::deadline).chain(until);
        deadlines.min().map(|deadline| self.shared.clock.until(deadline))
    }

    /// Waits for an arrival, an exit or a deadline, and sees to exits and deadlines.
    fn look(&mut self, patience: Option<Duration>) {
        let (ids, processes): (Vec<_>, Vec<_>) =
            self.workers.iter().filter_map(|(id, worker)| Some((*id, worker.process()?.as_fd()))).unzip();
        let ended = self.post().wait(&processes, patience);
        let now = self.shared.clock.now();
        for (id, _) in ids.into_iter().zip(ended).filter(|(_, ended)| *ended) {
            let others = self.others(id);
            self.with(id, |worker| worker.process_ended(now, others));
        }
        let is_due = |worker: &Supervised| worker.deadline().is_some_and(|deadline| deadline <= now);
        let due: Vec<WorkerId> =
            self.workers.iter().filter(|(_, worker)| is_due(worker)).map(|(id, _)| *id).collect();
        for id in due {
            self.with(id, |worker| worker.deadline_passed(now));
        }
    }

    fn handle(&mut self, notice: Notice) {
        match notice {
            Notice::Start { worker, assignment } => self.begin(worker, assignment),
            Notice::Load(id) => self.tell(id, Supervised::load),
            Notice::Train { worker, lease, params } => {
                self.tell(worker, |worker| worker.train(&lease, params))
            }
            Notice::Keep(id) => self.tell(id, Supervised::keep),
            Notice::HandOver { from, to, assignment } => self.hand_over(from, to, assignment),
            Notice::Exit(id) => self.tell(id, |worker| worker.ask(Asked::Exit)),
            Notice::Terminate(id) => self.tell(id, |worker| worker.ask(Asked::Terminate)),
            Notice::Kill(id) => self.tell(id, |worker| worker.ask(Asked::Kill)),
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
        }
    }

    /// The workers but one that have a process.
    fn others(&self, id: WorkerId) -> Vec<Other> {
        let others = self.workers.iter().filter(|(other, _)| **other != id);
        others.filter_map(|(_, worker)| worker.as_other()).collect()
    }

    fn begin(&mut self, id: WorkerId, assignment: Arc<Assignment>) {
        let worker = Supervised::begin(id, assignment, Arc::clone(&self.shared), Arc::clone(&self.jobs));
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
            return self.post().put(Input::Worker { worker: to, event });
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
    fn tell(&mut self, id: WorkerId, happens: impl FnOnce(&mut Supervised)) {
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

impl Drop for Overseer {
    /// Nobody waits for an answer any more.
    fn drop(&mut self) {
        self.post().close(VecDeque::new());
    }
}

impl std::fmt::Debug for Overseer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Overseer")
    }
}
