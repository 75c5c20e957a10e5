//! `Listener`: what a worker may say when. Both protocols hand their messages here, and from here they reach the
//! engine.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use fedflow_core::{Dict, FailureKind, Input, Time, Value, WorkerEvent, WorkerId, printed_text};

use crate::host::cause::Cause;
use crate::host::inputs::input_queue::{InputQueue, Weight};
use crate::host::memory::memory_peak::MemoryPeak;
use crate::host::sessions::item_limits::ItemLimits;
use crate::host::sessions::large_message_gate::{LargeMessageGate, Permit};
use crate::pausable_clock::Clock;
use crate::protocol::{HOST_BACKLOG, MAX_ITEM, MAX_MESSAGE, shortened};

/// What a worker said, whatever protocol it speaks.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Said {
    /// It has the task of this worker's number.
    Ready(WorkerId),
    Refused(String),
    Loaded,
    Item {
        key: String,
        value: Value,
    },
    Progress {
        done: u64,
        total: u64,
    },
    Trained(Dict),
    Failed {
        kind: FailureKind,
        message: String,
    },
}

/// What a worker was told last, and so what it may answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum SessionPhase {
    /// Nothing yet, or its last task is done.
    Idle,
    /// It was given a task.
    Starting,
    /// It has its task.
    Ready,
    /// It was told to load.
    Loading,
    /// It has loaded.
    Waiting,
    /// It was told to train.
    Training,
}

/// How long after a process was given a task its silent death may still be an effect of its last one. An interpreter
/// that exits may take its time.
const MOMENT: Duration = Duration::from_secs(2);

/// Stands between the reader of one process, the engine's thread and the engine.
pub(crate) struct Listener {
    inputs: InputQueue,
    gate: LargeMessageGate,
    clock: Clock,
    /// The memory that its processes use.
    memory_peak: Arc<MemoryPeak>,
    state: Mutex<ListenerState>,
    backlog: Arc<AtomicUsize>,
    /// Whether the reader waits for the worker, instead of working on what it sent.
    waiting: AtomicBool,
}

struct ListenerState {
    /// The worker that the process is known as.
    worker: WorkerId,
    /// Whether it was another one before: until it has its new task, it may still speak of the last one.
    reused: bool,
    phase: SessionPhase,
    item_limits: ItemLimits,
    /// When the process was given a further task, if it does not acknowledge tasks; until it says something about it.
    unheard: Option<Time>,
    /// Set before the worker's end is reported: nothing comes after that.
    closed: bool,
}

impl Listener {
    pub(crate) fn new(worker: WorkerId, inputs: InputQueue, gate: LargeMessageGate, clock: Clock) -> Self {
        let item_limits = ItemLimits::new(clock.now());
        let state = ListenerState {
            worker,
            reused: false,
            phase: SessionPhase::Idle,
            item_limits,
            unheard: None,
            closed: false,
        };
        Self {
            inputs,
            gate,
            clock,
            memory_peak: Arc::default(),
            state: Mutex::new(state),
            backlog: Arc::default(),
            waiting: AtomicBool::new(false),
        }
    }

    /// The worker is about to be told to go on. Call it before the message is sent.
    pub(crate) fn expect(&self, phase: SessionPhase) {
        let mut state = self.lock();
        state.phase = phase;
        if phase == SessionPhase::Starting {
            // How much a task may report does not depend on earlier ones.
            state.item_limits = ItemLimits::new(self.clock.now());
        }
    }

    /// The process is known as another worker from now on.
    pub(crate) fn hand_over(&self, to: WorkerId) {
        let mut state = self.lock();
        state.worker = to;
        state.reused = true;
        state.unheard = None;
        drop(state);
        self.memory_peak.begin_anew(&self.clock);
    }

    /// The process is given a further task, and does not acknowledge it.
    pub(crate) fn await_first_word(&self) {
        self.lock().unheard = Some(self.clock.now());
    }

    /// Whether it has ended shortly after it was given its task, without a word about it.
    pub(crate) fn is_unheard(&self, ended: Time) -> bool {
        self.lock().unheard.is_some_and(|since| ended.since(since) < MOMENT)
    }

    /// The worker that the process is known as.
    pub(crate) fn worker(&self) -> WorkerId {
        self.lock().worker
    }

    /// Takes a message and hands it on to the engine.
    ///
    /// # Errors
    /// The message does not fit what the worker was told, or it refuses its task: it is not heard any further.
    pub(crate) fn hear(&self, said: Said) -> Result<(), Cause> {
        // Held while putting, so that nothing of this worker comes after its end.
        let mut state = self.lock();
        if state.closed {
            return Ok(());
        }
        let phase = state.phase;
        let event = match (phase, said) {
            (SessionPhase::Starting, Said::Ready(number)) if number == state.worker => {
                state.phase = SessionPhase::Ready;
                WorkerEvent::Ready
            }
            (SessionPhase::Starting, Said::Refused(message)) => {
                return Err(Cause::new(FailureKind::Error, plain(&message)));
            }
            // It was said before the new task was read.
            (SessionPhase::Starting, _) if state.reused => return Ok(()),
            // It refuses the task before it is told to load.
            (SessionPhase::Starting | SessionPhase::Ready, Said::Failed { kind, message }) => {
                return Err(Cause::new(kind, plain(&message)));
            }
            (SessionPhase::Loading, Said::Loaded) => {
                state.phase = SessionPhase::Waiting;
                WorkerEvent::Loaded
            }
            (SessionPhase::Training, Said::Trained(result)) => {
                state.phase = SessionPhase::Idle;
                WorkerEvent::Trained(result)
            }
            (SessionPhase::Loading | SessionPhase::Training, Said::Failed { kind, message }) => {
                state.phase =
                    if phase == SessionPhase::Loading { SessionPhase::Ready } else { SessionPhase::Waiting };
                WorkerEvent::Failed { kind, message: plain(&message) }
            }
            (SessionPhase::Training, said @ (Said::Item { .. } | Said::Progress { .. })) => {
                self.take_news(&mut state, said);
                return Ok(());
            }
            (phase, said) => {
                return Err(Cause::protocol(format_args!("{} came {}", said.name(), phase.when())));
            }
        };
        if event != WorkerEvent::Ready {
            state.unheard = None;
        }
        let is_done = !matches!(event, WorkerEvent::Ready);
        self.inputs.put(Input::Worker { worker: state.worker, event });
        if is_done {
            // Its process still lives and knows its own peak. Not before the engine knows, as a device may wait for
            // that.
            self.memory_peak.look_again(&self.clock);
            self.tell_peak(state.worker);
        }
        Ok(())
    }

    /// The memory that the worker's processes use.
    pub(crate) fn memory_peak(&self) -> &Arc<MemoryPeak> {
        &self.memory_peak
    }

    /// Tells how much memory the worker's processes have used, if that is more than was told.
    pub(crate) fn tell_use(&self) {
        // Held while putting, so that nothing of this worker comes after its end.
        let state = self.lock();
        if !state.closed {
            self.tell_peak(state.worker);
        }
    }

    fn tell_peak(&self, worker: WorkerId) {
        if let Some(peak) = self.memory_peak.news() {
            self.inputs.put(Input::Worker { worker, event: WorkerEvent::Peak(peak) });
        }
    }

    /// What the worker was told last.
    pub(crate) fn phase(&self) -> SessionPhase {
        self.lock().phase
    }

    /// From now on nothing is heard. Call it before the worker's end is reported.
    pub(crate) fn close(&self) {
        self.lock().closed = true;
    }

    /// Reports to the engine what became of the worker.
    pub(crate) fn tell(&self, event: WorkerEvent) {
        let worker = self.worker();
        if !matches!(event, WorkerEvent::Ready) {
            self.tell_peak(worker);
        }
        self.inputs.put(Input::Worker { worker, event });
    }

    /// Calls a function that waits for the worker.
    pub(crate) fn wait<R>(&self, receive: impl FnOnce() -> R) -> R {
        self.waiting.store(true, Ordering::Release);
        let received = receive();
        self.waiting.store(false, Ordering::Release);
        received
    }

    /// Waits until a large message of the worker may be taken in. For its reader, which does not count as idle
    /// meanwhile.
    pub(crate) fn enter_gate(&self) -> Permit {
        let waiting = self.waiting.swap(false, Ordering::AcqRel);
        let permit = self.gate.acquire();
        self.waiting.store(waiting, Ordering::Release);
        permit
    }

    /// The run's clock.
    pub(crate) fn clock(&self) -> &Clock {
        &self.clock
    }

    /// Whether the reader has nothing left to work on.
    pub(crate) fn is_waiting(&self) -> bool {
        self.waiting.load(Ordering::Acquire)
    }

    /// Takes items and progress: they are dropped if the worker floods, or if the engine is too far behind.
    fn take_news(&self, state: &mut ListenerState, said: Said) {
        if !state.item_limits.admit(self.clock.now()) {
            return;
        }
        let (event, bytes) = match said {
            Said::Item { key, value } if state.item_limits.admit_key(&key) => {
                let bytes = key.len() + weight_of(&value);
                (WorkerEvent::Item { key, value }, bytes)
            }
            Said::Progress { done, total } => (WorkerEvent::Progress { done, total }, 0),
            _ => return,
        };
        let bytes = bytes + size_of::<Input>();
        if let Some(weight) = Weight::add(&self.backlog, bytes, HOST_BACKLOG) {
            self.inputs.put_weighed(Input::Worker { worker: state.worker, event }, weight);
        }
    }

    fn lock(&self) -> MutexGuard<'_, ListenerState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A worker's message without colours, within its limit.
fn plain(message: &str) -> String {
    shortened(printed_text(message), MAX_MESSAGE)
}

/// About how much memory a value takes; the codec has limited it before.
fn weight_of(value: &Value) -> usize {
    match value {
        Value::Text(text) => text.len(),
        Value::Bytes(bytes) => bytes.len(),
        Value::List(_) | Value::Dict(_) => MAX_ITEM,
        _ => 0,
    }
}

impl Said {
    fn name(&self) -> &'static str {
        match self {
            Self::Ready(_) => "`ready`",
            Self::Refused(_) => "a refusal",
            Self::Loaded => "`loaded`",
            Self::Item { .. } => "an item",
            Self::Progress { .. } => "progress",
            Self::Trained(_) => "a result",
            Self::Failed { .. } => "an error",
        }
    }
}

impl SessionPhase {
    fn when(self) -> &'static str {
        match self {
            Self::Idle => "when the worker had no task",
            Self::Starting => "before it said that it has its task",
            Self::Ready => "before it was told to load",
            Self::Loading => "while it was loading",
            Self::Waiting => "before it was told to train",
            Self::Training => "while it was training",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn listener() -> (Listener, InputQueue) {
        let inputs = InputQueue::open().unwrap();
        let gate = LargeMessageGate::default();
        (Listener::new(WorkerId(1), inputs.clone(), gate, Clock::start()), inputs)
    }

    fn failed() -> Said {
        Said::Failed { kind: FailureKind::Oom, message: "full".into() }
    }

    #[test]
    fn the_straight_way_is_heard() {
        let (listener, inputs) = listener();
        for (phase, said) in [
            (SessionPhase::Starting, Said::Ready(WorkerId(1))),
            (SessionPhase::Loading, failed()),
            (SessionPhase::Loading, Said::Loaded),
            (SessionPhase::Training, failed()),
            (SessionPhase::Training, Said::Trained(Dict::new())),
            (SessionPhase::Starting, Said::Ready(WorkerId(1))),
        ] {
            listener.expect(phase);
            listener.hear(said).unwrap();
        }
        assert_eq!(inputs.take().len(), 6);
    }

    #[test]
    fn what_is_out_of_order_is_a_breach() {
        let (listener, inputs) = listener();
        let early = listener.hear(Said::Trained(Dict::new())).unwrap_err();
        assert_eq!(early.kind, FailureKind::Protocol);
        assert_eq!(early.message, "it broke the worker protocol: a result came when the worker had no task");
        listener.expect(SessionPhase::Loading);
        assert!(listener.hear(Said::Progress { done: 1, total: 2 }).is_err());
        listener.hear(Said::Loaded).unwrap();
        assert!(listener.hear(Said::Loaded).is_err(), "an answer comes once");
        assert_eq!(inputs.take().len(), 1);
    }

    #[test]
    fn what_is_late_of_the_task_before_does_not_count() {
        let (listener, inputs) = listener();
        listener.expect(SessionPhase::Training);
        listener.hear(Said::Trained(Dict::new())).unwrap();
        let (earlier, later) = (WorkerId(1), WorkerId(2));
        listener.hand_over(later);
        assert!(listener.hear(Said::Loaded).is_err(), "it was given nothing yet");
        listener.expect(SessionPhase::Starting);
        for late in [Said::Loaded, failed(), Said::Trained(Dict::new()), Said::Ready(earlier)] {
            listener.hear(late).unwrap();
        }
        assert_eq!(inputs.take().len(), 1);
        listener.hear(Said::Ready(later)).unwrap();
        assert_eq!(inputs.take().len(), 1);
        assert!(listener.hear(Said::Loaded).is_err(), "now it speaks of the new one");
    }

    #[test]
    fn an_answer_names_its_task() {
        let (listener, _inputs) = listener();
        listener.expect(SessionPhase::Starting);
        assert!(listener.hear(Said::Ready(WorkerId(2))).is_err());
    }

    #[test]
    fn nothing_comes_after_the_end() {
        let (listener, inputs) = listener();
        listener.expect(SessionPhase::Starting);
        listener.close();
        listener.hear(Said::Ready(WorkerId(1))).unwrap();
        assert_eq!(inputs.take().len(), 0);
    }

    #[test]
    fn a_flood_does_not_pile_up() {
        let (listener, inputs) = listener();
        listener.expect(SessionPhase::Training);
        let value = Value::Text("x".repeat(30_000));
        for _ in 0..20_000 {
            listener.hear(Said::Item { key: "k".into(), value: value.clone() }).unwrap();
        }
        let waiting = inputs.take().len();
        assert!(waiting <= HOST_BACKLOG / 30_000, "{waiting}");
        listener.hear(Said::Trained(Dict::new())).unwrap();
    }
}
