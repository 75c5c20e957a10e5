//! A world in virtual time behind the four ports: what `fedflow plan` runs, and what the engine is tested in.

mod cards;
pub(crate) mod forecast;
mod port;

use std::cell::RefCell;
use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use crate::engine::Ports;
use crate::learning::durations::Lead;
use crate::leasing::lease::LeaseTable;
use crate::model::failure::{FailureKind, Stage};
use crate::model::identity::WorkerId;
use crate::model::quantity::Size;
use crate::model::time::Time;
use crate::model::value::Dict;
use crate::ports::event::RunEvent;
use crate::ports::{Assignment, HostSample, Input, WorkerEvent};
use crate::work::spec::Program;
use cards::SimulatedCards;
pub use port::SimulationPort;

/// How one attempt at a task goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Script {
    /// From the start of the process until it is up.
    pub start: Duration,
    /// How long `load` takes.
    pub load: Duration,
    /// How long `train` takes.
    pub train: Duration,
    /// From the order to exit until the process is gone.
    pub exit: Duration,
    /// What goes wrong, if anything does.
    pub fault: Option<Fault>,
}

/// What goes wrong in an attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// The phase returns an error; the process lives.
    Error(Stage, FailureKind),
    /// The process dies.
    Dies(Stage),
    /// The process dies in `load` without a word, in the moment after it was given its task.
    DiesUnheard,
    /// Nothing is ever heard of it again; it heeds SIGTERM.
    Hangs(Stage),
    /// Nothing is ever heard of it again, and it ignores SIGTERM.
    HangsHard(Stage),
    /// It does not exit when told to, and ignores SIGTERM.
    Stays,
    /// The process dies when it is kept for a later task.
    DiesKept,
}

/// How a task comes to a process that has served others.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HandOver {
    /// By its key: the process has loaded for another task of it.
    Kept,
    /// As a task of the same worker.
    Reused,
}

/// Decides how an attempt begins in a process that has served others.
pub type SimulatedHandOver = Box<dyn FnMut(&Assignment, HandOver) -> Lead>;

/// Decides how an attempt goes.
pub type SimulatedTask = Box<dyn FnMut(&Assignment) -> Script>;

/// Decides how much memory of each of its cards an attempt really uses while it trains, and until its process is gone.
pub type SimulatedUse = Box<dyn FnMut(&Assignment) -> Size>;

/// A simulated machine. The handles that [`Simulation::ports`] gives share it.
pub struct Simulation {
    world: Rc<RefCell<World>>,
}

/// How long a simulated process takes to die of a signal.
const DEATH: Duration = Duration::from_millis(2);

struct World {
    now: Time,
    script: SimulatedTask,
    /// Without it such an attempt begins at once, with what was loaded under its key.
    hand_over: Option<SimulatedHandOver>,
    /// What tasks really use; without it nobody knows.
    card_use: Option<SimulatedUse>,
    cards: SimulatedCards,
    table: LeaseTable,
    sync: Option<Duration>,
    host: Option<HostSample>,
    sequence: u64,
    agenda: BinaryHeap<Reverse<Appointment>>,
    workers: BTreeMap<WorkerId, Simulated>,
    events: Vec<(Time, RunEvent)>,
    announced: Vec<RunEvent>,
}

struct Simulated {
    script: Script,
    uses: Size,
    /// The key under which it keeps what it has loaded, for tasks of this program and kind.
    keep: Option<(String, Arc<Program>)>,
    dies_at: Option<Time>,
}

impl Simulated {
    fn dies_by(&self, time: Time) -> bool {
        self.dies_at.is_some_and(|death| death <= time)
    }
}

#[derive(PartialEq)]
struct Appointment {
    at: Time,
    sequence: u64,
    input: Input,
}

impl Eq for Appointment {}

impl PartialOrd for Appointment {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Appointment {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        (self.at, self.sequence).cmp(&(other.at, other.sequence))
    }
}

impl Simulation {
    /// A machine with these devices, on which attempts go as `script` says.
    pub fn new(table: LeaseTable, script: impl FnMut(&Assignment) -> Script + 'static) -> Self {
        let world = World {
            now: Time::ZERO,
            script: Box::new(script),
            hand_over: None,
            card_use: None,
            cards: SimulatedCards::default(),
            table,
            sync: None,
            host: None,
            sequence: 0,
            agenda: BinaryHeap::new(),
            workers: BTreeMap::new(),
            events: Vec::new(),
            announced: Vec::new(),
        };
        Self { world: Rc::new(RefCell::new(world)) }
    }

    /// Has records take so long to become durable. Without it nothing is waited for.
    #[must_use]
    pub fn with_sync_time(self, sync: Duration) -> Self {
        self.world.borrow_mut().sync = Some(sync);
        self
    }

    /// Has attempts begin so in a process that has served others, in place of what their scripts say. Without it they
    /// begin at once, and those that come by their key have nothing to load.
    #[must_use]
    pub fn with_hand_over(self, hand_over: impl FnMut(&Assignment, HandOver) -> Lead + 'static) -> Self {
        self.world.borrow_mut().hand_over = Some(Box::new(hand_over));
        self
    }

    /// Has tasks use memory of their cards, whatever they leased. One that trains when a card has not got as much left
    /// as it uses is out of memory, after a tenth of its training.
    #[must_use]
    pub fn with_card_use(self, card_use: impl FnMut(&Assignment) -> Size + 'static) -> Self {
        self.world.borrow_mut().card_use = Some(Box::new(card_use));
        self
    }

    /// Has the machine be so busy before anything starts.
    #[must_use]
    pub fn with_host(self, sample: HostSample) -> Self {
        self.world.borrow_mut().host = Some(sample);
        self
    }

    /// Has an input arrive at a time, such as a signal.
    pub fn at(&self, time: Time, input: Input) {
        self.world.borrow_mut().appoint(time, input);
    }

    /// The ports of this machine.
    #[must_use]
    pub fn ports(&self) -> Ports<SimulationPort, SimulationPort, SimulationPort> {
        let port = || SimulationPort { world: self.world.clone() };
        Ports { workers: port(), pool: port(), observer: port() }
    }

    /// The virtual time.
    #[must_use]
    pub fn now(&self) -> Time {
        self.world.borrow().now
    }

    /// All that was recorded, in order.
    #[must_use]
    pub fn events(&self) -> Vec<(Time, RunEvent)> {
        self.world.borrow().events.clone()
    }

    /// All that was announced, in order.
    #[must_use]
    pub fn announced(&self) -> Vec<RunEvent> {
        self.world.borrow().announced.clone()
    }

    /// The number of processes that live.
    #[must_use]
    pub fn living(&self) -> usize {
        self.world.borrow().workers.len()
    }

    /// The number of leases that are held.
    #[must_use]
    pub fn leases(&self) -> usize {
        self.world.borrow().table.len()
    }
}

impl World {
    fn lead_of(&mut self, assignment: &Assignment, how: HandOver, script: Script) -> Lead {
        match &mut self.hand_over {
            Some(hand_over) => hand_over(assignment, how),
            None => {
                let load = if how == HandOver::Kept { Duration::ZERO } else { script.load };
                Lead { start: Duration::ZERO, load }
            }
        }
    }

    fn use_of(&mut self, assignment: &Assignment) -> Size {
        self.card_use.as_mut().map(|card_use| card_use(assignment)).unwrap_or_default()
    }

    fn appoint(&mut self, at: Time, input: Input) {
        self.sequence += 1;
        self.agenda.push(Reverse(Appointment { at, sequence: self.sequence, input }));
    }

    fn say(&mut self, worker: WorkerId, after: Duration, event: WorkerEvent) {
        self.appoint(self.now + after, Input::Worker { worker, event });
    }

    fn die(&mut self, worker: WorkerId, after: Duration, kind: FailureKind, message: &str) {
        self.die_heard(worker, after, kind, message, true);
    }

    fn die_heard(
        &mut self,
        worker: WorkerId,
        after: Duration,
        kind: FailureKind,
        message: &str,
        heard: bool,
    ) {
        let death = self.now + after;
        let Some(simulated) = self.workers.get_mut(&worker) else { return };
        if simulated.dies_by(death) {
            return;
        }
        simulated.dies_at = Some(death);
        self.say(
            worker,
            after,
            WorkerEvent::Gone {
                kind,
                message: message.into(),
                stderr_tail: String::new(),
                killed_for_memory: false,
                before_first_word: !heard,
            },
        );
    }

    /// Plays a phase of a worker's script.
    fn play(&mut self, worker: WorkerId, stage: Stage) {
        let Some(simulated) = self.workers.get(&worker) else { return };
        let script = simulated.script;
        let (length, event) = match stage {
            Stage::Start => (script.start, WorkerEvent::Ready),
            Stage::Load => (script.load, WorkerEvent::Loaded),
            Stage::Wait | Stage::Train => (script.train, WorkerEvent::Trained(Dict::new())),
        };
        match script.fault {
            Some(Fault::Error(at, kind)) if at == stage => {
                let message = format!("a simulated error in {stage}");
                self.say(worker, length, WorkerEvent::Failed { kind, message });
            }
            Some(Fault::Dies(at)) if at == stage => {
                self.die(worker, length, FailureKind::Killed, "signal 9 (SIGKILL)");
            }
            Some(Fault::DiesUnheard) if stage == Stage::Load => {
                self.die_heard(worker, length, FailureKind::Exit, "exit code 7", false);
            }
            Some(Fault::Hangs(at) | Fault::HangsHard(at)) if at == stage => {}
            fault => {
                self.say(worker, length, event);
                if stage == Stage::Load && fault == Some(Fault::Dies(Stage::Wait)) {
                    self.die(worker, length + DEATH, FailureKind::Killed, "signal 9 (SIGKILL)");
                }
            }
        }
    }
}
