//! `WorkerTable`: every worker. Hands commands and notices to the workers, notices exits and deadlines, and reports
//! each worker's end exactly once.
//!
//! It has no thread: it works while the engine waits or gives a command. So a command costs a call and an exit one
//! wake-up, and what the engine does next is done by a thread that is awake already.

use std::collections::BTreeMap;
use std::os::fd::AsFd;
use std::sync::Arc;
use std::time::Duration;

use fedflow_core::{
    Assignment, Dict, FailureKind, Input, LastLines, Lease, Severity, Time, WorkerEvent, WorkerId,
};

use crate::host::cause::Cause;
use crate::host::inputs::input_queue::{Arrivals, InputQueue, Waker};
use crate::host::setup::context::{HostContext, HostError};
use crate::host::starting::jobs::JobReport;
use crate::host::starting::spawner;
use crate::host::supervision::ending::final_report::report_end;
use crate::host::supervision::ending::sweep::OtherWorker;
use crate::host::supervision::notice::{Notice, NoticeQueue};
use crate::host::supervision::supervised::{Supervised, Surroundings};
use crate::host::supervision::{worker_commands, worker_start};
use crate::processes::spawn::Process;

/// How long the host waits for its processes when it is dropped. They were killed; only the kernel can delay them.
const LAST_WAIT: Duration = Duration::from_secs(3);

/// How many times in a row inputs are taken without a look at the processes, while more and more arrive.
const TAKES: u32 = 64;

/// Every worker that has not ended.
pub(crate) struct WorkerTable {
    surroundings: Arc<Surroundings>,
    waker: Waker,
    /// By first id.
    workers: BTreeMap<WorkerId, Supervised>,
    /// The first ids of workers whose processes had other tasks before.
    first_ids: BTreeMap<WorkerId, WorkerId>,
    /// How kept workers have ended of which the engine has not heard yet: they may be handed over until then.
    lost: BTreeMap<WorkerId, Cause>,
    paused: bool,
    /// How many times inputs were taken since the processes were looked at.
    takes: u32,
}

impl WorkerTable {
    /// Starts the spawner; no process yet.
    ///
    /// # Errors
    /// The system gives no thread.
    pub(crate) fn start(
        context: Arc<HostContext>,
        inputs: InputQueue,
        notices: NoticeQueue,
        waker: Waker,
    ) -> Result<Self, HostError> {
        let reports = notices.clone();
        let jobs = spawner::start(&context, move |report| reports.push(Notice::Job(report)))?;
        Ok(Self {
            surroundings: Arc::new(Surroundings { context, jobs, inputs, notices }),
            waker,
            workers: BTreeMap::new(),
            first_ids: BTreeMap::new(),
            lost: BTreeMap::new(),
            paused: false,
            takes: 0,
        })
    }

    pub(crate) fn begin(&mut self, id: WorkerId, assignment: Assignment) {
        self.take_notices();
        let worker = worker_start::begin(id, Arc::new(assignment), Arc::clone(&self.surroundings));
        self.workers.insert(id, worker);
        // It may be over already.
        self.with(id, |_| {});
    }

    pub(crate) fn load(&mut self, id: WorkerId) {
        self.command(id, worker_commands::load);
    }

    pub(crate) fn train(&mut self, id: WorkerId, lease: &Lease, params: Dict) {
        self.command(id, |worker| worker_commands::train(worker, lease, params));
    }

    pub(crate) fn keep(&mut self, id: WorkerId) {
        self.command(id, worker_commands::keep);
    }

    pub(crate) fn end(&mut self, id: WorkerId, severity: Severity) {
        self.command(id, |worker| worker.end(severity));
    }

    pub(crate) fn hand_over(&mut self, from: WorkerId, to: WorkerId, assignment: Assignment) {
        self.take_notices();
        let lost = self.lost.remove(&from);
        let Some(first_id) = self.first_id_of(from) else {
            // Its end was reported, but the engine had not heard of it yet.
            let Cause { kind, message } = lost.unwrap_or_else(|| {
                Cause::new(FailureKind::Killed, "its process ended before it could be given this task")
            });
            let event = WorkerEvent::Gone {
                kind,
                message,
                last_lines: LastLines::default(),
                killed_for_memory: false,
                before_first_word: true,
            };
            return self.surroundings.inputs.put(Input::Worker { worker: to, event });
        };
        self.first_ids.remove(&from);
        self.first_ids.insert(to, first_id);
        let is_swept = self.workers.get(&first_id).is_some_and(Supervised::is_swept_before_next);
        let others = if is_swept { self.others(first_id) } else { Vec::new() };
        self.with(first_id, |worker| {
            worker_commands::hand_over(worker, to, Arc::new(assignment), others);
        });
    }

    /// The engine has heard of a worker's end: it will not hand it over any more.
    pub(crate) fn end_is_heard(&mut self, id: WorkerId) {
        self.lost.remove(&id);
    }

    /// Tells how much memory each worker has used, if that is more than was told.
    pub(crate) fn tell_memory(&self) {
        self.workers.values().for_each(Supervised::tell_memory);
    }

    /// Takes the inputs that have arrived, and does what else there is to do. Where there is nothing, it blocks until
    /// there is, or until a time.
    pub(crate) fn work(&mut self, until: Option<Time>, arrivals: &mut Arrivals) {
        self.take(arrivals);
        self.takes += 1;
        if arrivals.is_empty() || self.takes > TAKES {
            self.takes = 0;
            let patience = if arrivals.is_empty() { self.patience(until) } else { Some(Duration::ZERO) };
            self.look(patience);
            self.take(arrivals);
        }
    }

    /// Kills every worker and waits for that, for some seconds at most. Nothing is taken in afterwards.
    pub(crate) fn shut_down(&mut self, arrivals: &mut Arrivals) {
        self.take_notices();
        let until = self.context().clock.now() + LAST_WAIT;
        let ids: Vec<WorkerId> = self.workers.keys().copied().collect();
        for id in ids {
            self.with(id, |worker| worker.end(Severity::Killed));
        }
        while !self.workers.is_empty() && !self.context().clock.until(until).is_zero() {
            self.take(arrivals);
            self.look(self.patience(Some(until)));
        }
        self.take(arrivals);
        self.surroundings.notices.close();
        arrivals.close();
    }

    fn context(&self) -> &HostContext {
        &self.surroundings.context
    }

    /// Takes what has arrived, and what comes of that.
    fn take(&mut self, arrivals: &mut Arrivals) {
        loop {
            arrivals.take();
            if !self.take_notices() {
                return;
            }
        }
    }

    /// Handles the notices that have arrived; false if there is none.
    fn take_notices(&mut self) -> bool {
        let notices = self.surroundings.notices.take();
        let any = !notices.is_empty();
        for notice in notices {
            self.handle(notice);
        }
        any
    }

    /// How long may be waited.
    fn patience(&self, until: Option<Time>) -> Option<Duration> {
        let deadlines = self.workers.values().filter_map(Supervised::deadline).chain(until);
        deadlines.min().map(|deadline| self.context().clock.until(deadline))
    }

    /// Waits for an arrival, an exit or a deadline, and handles exits and deadlines.
    fn look(&mut self, patience: Option<Duration>) {
        let (ids, processes): (Vec<_>, Vec<_>) =
            self.workers.iter().filter_map(|(id, worker)| Some((*id, worker.awaited()?.as_fd()))).unzip();
        let Surroundings { inputs, notices, .. } = self.surroundings.as_ref();
        let is_idle = || inputs.is_empty() && notices.is_empty();
        let ended = self.waker.wait(is_idle, &processes, patience);
        let now = self.context().clock.now();
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
            Notice::Pause(done) => {
                self.context().clock.pause();
                self.paused = true;
                self.workers.values().filter_map(Supervised::process).for_each(Process::pause);
                // The thread that asked may have given up.
                let _ = done.send(());
            }
            Notice::Resume => {
                self.paused = false;
                self.workers.values().filter_map(Supervised::process).for_each(Process::resume);
                self.context().clock.resume();
            }
            Notice::Job(JobReport::Started { first_id, done }) => {
                self.with(first_id, |worker| worker_start::started(worker, done.map(|done| *done)));
                let started = self.workers.get(&first_id).and_then(Supervised::process);
                started.filter(|_| self.paused).into_iter().for_each(Process::pause);
            }
            Notice::Job(JobReport::Prepared { first_id, done }) => {
                self.with(first_id, |worker| worker_commands::prepared(worker, done));
            }
            Notice::RemainderOver { first_id, left } => {
                let (now, others) = (self.context().clock.now(), self.others(first_id));
                self.with(first_id, |worker| worker.remainder_over(now, left, others));
            }
            Notice::Swept(first_id) => {
                let now = self.context().clock.now();
                self.with(first_id, |worker| worker.swept(now));
            }
            Notice::Connected { first_id, link } => {
                self.with(first_id, |worker| worker_start::connected(worker, link))
            }
            Notice::ReaderDone { first_id, outcome } => {
                self.with(first_id, |worker| worker.reader_done(outcome));
            }
            Notice::ResultRead { first_id, outcome } => {
                self.with(first_id, |worker| worker.result_read(outcome));
            }
        }
    }

    /// The other workers that have a process.
    fn others(&self, first_id: WorkerId) -> Vec<OtherWorker> {
        let others = self.workers.iter().filter(|(other, _)| **other != first_id);
        others.filter_map(|(_, worker)| worker.as_other()).collect()
    }

    /// The first id of a worker; none if it has ended, or its process is known as another one.
    fn first_id_of(&self, id: WorkerId) -> Option<WorkerId> {
        let first_id = self.first_ids.get(&id).copied().unwrap_or(id);
        self.workers.get(&first_id).is_some_and(|worker| worker.id() == id).then_some(first_id)
    }

    /// Carries out a command of the engine, after all that was reported before it.
    fn command(&mut self, id: WorkerId, command: impl FnOnce(&mut Supervised)) {
        self.take_notices();
        if let Some(first_id) = self.first_id_of(id) {
            self.with(first_id, command);
        }
    }

    /// Lets something happen to a worker, and removes it when it is over. A worker that is not there has ended: what
    /// comes late for it changes nothing.
    fn with(&mut self, first_id: WorkerId, happens: impl FnOnce(&mut Supervised)) {
        let Some(worker) = self.workers.get_mut(&first_id) else { return };
        worker.span().in_scope(|| happens(worker));
        if worker.is_over()
            && let Some(worker) = self.workers.remove(&first_id)
        {
            self.first_ids.remove(&worker.id());
            let lost = worker.is_kept().then(|| worker.id());
            let cause = report_end(worker);
            self.lost.extend(lost.map(|id| (id, cause)));
        }
    }
}

impl std::fmt::Debug for WorkerTable {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("WorkerTable").field("workers", &self.workers.len()).finish_non_exhaustive()
    }
}
