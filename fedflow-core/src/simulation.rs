//! A world in virtual time behind the four ports: what `fedflow plan` runs, and what the engine is tested in.

mod cards;

use std::cell::RefCell;
use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};
use std::rc::Rc;
use std::time::Duration;

use crate::device::DeviceInfo;
use crate::engine::Ports;
use crate::event::RunEvent;
use crate::failure::{FailureKind, Stage};
use crate::lease::{Lease, LeaseId, LeaseRequest, LeaseTable, Unleasable};
use crate::ports::{
    Assignment, DevicePool, HostSample, Inbox, Input, Launcher, Observer, TaskKey, WorkerEvent, WorkerId,
};
use crate::quantity::Size;
use crate::time::Time;
use crate::value::Dict;
use cards::SimulatedCards;

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
    /// Nothing is ever heard of it again; it heeds SIGTERM.
    Hangs(Stage),
    /// Nothing is ever heard of it again, and it ignores SIGTERM.
    HangsHard(Stage),
    /// It does not exit when told to, and ignores SIGTERM.
    Stays,
    /// The process dies when it is kept for a later task.
    DiesKept,
}

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
    /// The key under which it keeps what it has loaded.
    keep: Option<String>,
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
    pub fn ports(&self) -> Ports<SimulationPort, SimulationPort, SimulationPort, SimulationPort> {
        let port = || SimulationPort { world: self.world.clone() };
        Ports { launcher: port(), pool: port(), observer: port(), inbox: port() }
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

/// One of the ports of a [`Simulation`].
pub struct SimulationPort {
    world: Rc<RefCell<World>>,
}

impl Launcher for SimulationPort {
    fn start(&mut self, worker: WorkerId, assignment: Assignment) {
        let mut world = self.world.borrow_mut();
        let script = (world.script)(&assignment);
        let uses = world.use_of(&assignment);
        world.workers.insert(worker, Simulated { script, uses, keep: assignment.keep, dies_at: None });
        world.play(worker, Stage::Start);
    }

    fn load(&mut self, worker: WorkerId) {
        self.world.borrow_mut().play(worker, Stage::Load);
    }

    fn train(&mut self, worker: WorkerId, lease: &Lease, _params: &Dict) {
        let mut world = self.world.borrow_mut();
        if let (Some(_), Some(Simulated { uses, script, .. })) = (&world.card_use, world.workers.get(&worker))
        {
            let (uses, until_then) = (*uses, script.train / 10);
            if let Err(message) = world.cards.occupy(worker, lease, uses) {
                return world.say(
                    worker,
                    until_then,
                    WorkerEvent::Failed { kind: FailureKind::Oom, message },
                );
            }
        }
        world.play(worker, Stage::Train);
    }

    fn keep(&mut self, worker: WorkerId) {
        let mut world = self.world.borrow_mut();
        if world.workers.get(&worker).is_some_and(|simulated| simulated.script.fault == Some(Fault::DiesKept))
        {
            world.die(worker, DEATH, FailureKind::Killed, "signal 9 (SIGKILL)");
        }
    }

    fn hand_over(&mut self, from: WorkerId, to: WorkerId, assignment: Assignment) {
        let mut world = self.world.borrow_mut();
        let Some(Simulated { dies_at, keep, .. }) = world.workers.remove(&from) else { return };
        let mut script = (world.script)(&assignment);
        if keep.is_some() && keep == assignment.keep {
            // What was loaded is taken over.
            script.load = Duration::ZERO;
        }
        let uses = world.use_of(&assignment);
        world.cards.vacate(from);
        world.workers.insert(to, Simulated { script, uses, keep: assignment.keep, dies_at: None });
        // One that is dying is known to be dead by its new number.
        match dies_at {
            Some(_) => world.die(to, DEATH, FailureKind::Killed, "signal 9 (SIGKILL)"),
            None => world.say(to, Duration::ZERO, WorkerEvent::Ready),
        }
    }

    fn exit(&mut self, worker: WorkerId) {
        let mut world = self.world.borrow_mut();
        let Some(simulated) = world.workers.get(&worker) else { return };
        let script = simulated.script;
        if script.fault != Some(Fault::Stays) {
            world.die(worker, script.exit, FailureKind::Exit, "exit code 0");
        }
    }

    fn terminate(&mut self, worker: WorkerId) {
        let mut world = self.world.borrow_mut();
        let Some(simulated) = world.workers.get(&worker) else { return };
        if !matches!(simulated.script.fault, Some(Fault::HangsHard(_) | Fault::Stays)) {
            world.die(worker, DEATH, FailureKind::Killed, "signal 15 (SIGTERM)");
        }
    }

    fn kill(&mut self, worker: WorkerId) {
        self.world.borrow_mut().die(worker, DEATH, FailureKind::Killed, "signal 9 (SIGKILL)");
    }
}

impl DevicePool for SimulationPort {
    fn devices(&self) -> Vec<DeviceInfo> {
        self.world.borrow().table.devices()
    }

    fn check(&self, request: &LeaseRequest) -> Result<(), Unleasable> {
        self.world.borrow().table.check(request)
    }

    fn largest_share(&self) -> Option<Size> {
        self.world.borrow().table.largest_share()
    }

    fn try_lease(&mut self, request: &LeaseRequest) -> Option<Lease> {
        let mut world = self.world.borrow_mut();
        let lease = world.table.try_lease(request);
        debug_assert_eq!(world.table.sanity_check(), Ok(()));
        lease
    }

    fn fits_without(&self, request: &LeaseRequest, leases: &[LeaseId]) -> bool {
        self.world.borrow().table.fits_without(request, leases)
    }

    fn end_train(&mut self, lease: LeaseId) {
        self.world.borrow_mut().table.end_train(lease);
    }

    fn release(&mut self, lease: LeaseId) {
        self.world.borrow_mut().table.release(lease);
    }

    fn withdraw(&mut self, holder: TaskKey) {
        self.world.borrow_mut().table.withdraw(holder);
    }

    fn rebook(&mut self, lease: LeaseId, memory: Size) -> bool {
        let mut world = self.world.borrow_mut();
        let rebooked = world.table.rebook(lease, memory);
        debug_assert_eq!(world.table.sanity_check(), Ok(()));
        rebooked
    }

    fn peak(&self, lease: LeaseId) -> Option<Size> {
        self.world.borrow().cards.peak(lease)
    }
}

impl Observer for SimulationPort {
    fn record(&mut self, number: u64, time: Time, event: &RunEvent) {
        let mut world = self.world.borrow_mut();
        world.events.push((time, event.clone()));
        if let Some(sync) = world.sync.filter(|_| event.needs_durability()) {
            let at = world.now + sync;
            world.appoint(at, Input::Durable(number));
        }
    }

    fn answers_durable(&self) -> bool {
        self.world.borrow().sync.is_some()
    }

    fn announce(&mut self, _time: Time, event: &RunEvent) {
        self.world.borrow_mut().announced.push(event.clone());
    }
}

impl Inbox for SimulationPort {
    fn host(&mut self) -> Option<HostSample> {
        self.world.borrow().host
    }

    fn next(&mut self, deadline: Option<Time>) -> (Time, Input) {
        let mut world = self.world.borrow_mut();
        loop {
            let due = world.agenda.peek().map(|Reverse(appointment)| appointment.at);
            match (due, deadline) {
                (Some(at), deadline)
                    if deadline.is_none_or(|deadline| at.max(world.now) <= deadline.max(world.now)) =>
                {
                    let Some(Reverse(appointment)) = world.agenda.pop() else { continue };
                    world.now = world.now.max(at);
                    if let Input::Worker { worker, event } = &appointment.input {
                        // A worker says nothing after its death, and dies once.
                        let gone = matches!(event, WorkerEvent::Gone { .. });
                        match world.workers.get(worker) {
                            Some(simulated) if gone && simulated.dies_at == Some(at) => {
                                world.workers.remove(worker);
                                world.cards.vacate(*worker);
                            }
                            Some(simulated) if !gone && !simulated.dies_by(at) => {}
                            _ => continue,
                        }
                    }
                    return (world.now, appointment.input);
                }
                (_, Some(deadline)) => {
                    world.now = world.now.max(deadline);
                    return (world.now, Input::Timer);
                }
                (_, None) => {
                    let stuck = "nothing will ever happen again in this simulation";
                    return (world.now, Input::RecordingFailed(stuck.into()));
                }
            }
        }
    }
}
