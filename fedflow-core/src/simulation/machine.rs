//! `Simulation`: a simulated machine in virtual time, behind the engine's ports.

use std::cell::RefCell;
use std::path::PathBuf;
use std::rc::Rc;
use std::time::Duration;

use crate::engine::{Flow, History, Ports};
use crate::learning::stage_times::Lead;
use crate::leasing::table::LeaseTable;
use crate::model::config::Config;
use crate::model::quantity::Size;
use crate::model::run_event::RunEvent;
use crate::model::time::Time;
use crate::ports::{Assignment, HostSample, Input, Obstacle, RunSettings, Wait};
use crate::simulation::port::SimulationPort;
use crate::simulation::script::{HandOver, Script};
use crate::simulation::world::World;

/// A simulated machine in virtual time. All ports that [`Simulation::ports`] returns lead to the same machine.
pub struct Simulation {
    world: Rc<RefCell<World>>,
}

impl Simulation {
    /// A machine with these devices. `script` is asked for each attempt how it goes.
    pub fn new(table: LeaseTable, script: impl FnMut(&Assignment) -> Script + 'static) -> Self {
        let world = World::new(table, Box::new(script));
        Self { world: Rc::new(RefCell::new(world)) }
    }

    /// Sets how long a record takes to become durable. Without it the engine waits for no record.
    #[must_use]
    pub fn with_sync_time(self, sync: Duration) -> Self {
        self.world.borrow_mut().sync = Some(sync);
        self
    }

    /// Sets how attempts begin in a process that has served others, in place of what their scripts say. Without it they
    /// begin at once, and have nothing to load if the process was kept for their key.
    #[must_use]
    pub fn with_hand_over(self, hand_over: impl FnMut(&Assignment, HandOver) -> Lead + 'static) -> Self {
        self.world.borrow_mut().hand_over = Some(Box::new(hand_over));
        self
    }

    /// Sets how much memory of their cards tasks use, whatever they have leased. A task that begins to train when a card
    /// has less left is out of memory after a tenth of its training.
    #[must_use]
    pub fn with_card_use(self, card_use: impl FnMut(&Assignment) -> Size + 'static) -> Self {
        self.world.borrow_mut().card_use = Some(Box::new(card_use));
        self
    }

    /// Sets how busy the machine is before anything starts.
    #[must_use]
    pub fn with_host(self, sample: HostSample) -> Self {
        self.world.borrow_mut().host = Some(sample);
        self
    }

    /// Sets what is said to be in the way from now on, when a request is refused.
    pub fn set_obstacles(&self, obstacles: Vec<Obstacle>) {
        self.world.borrow_mut().obstacles = obstacles;
    }

    /// Makes an input arrive at a time, such as a request to stop.
    pub fn at(&self, time: Time, input: Input) {
        self.world.borrow_mut().appoint(time, input);
    }

    /// The ports of this machine.
    #[must_use]
    pub fn ports(&self) -> Ports<SimulationPort, SimulationPort, SimulationPort> {
        let port = || SimulationPort { world: self.world.clone() };
        Ports { workers: port(), pool: port(), observer: port() }
    }

    /// The engine on this machine, at the beginning of a run. For other settings of a run, give [`Self::ports`] to
    /// [`Flow::new`].
    #[must_use]
    pub fn flow(&self, config: Config) -> Flow<SimulationPort, SimulationPort, SimulationPort> {
        let settings = RunSettings {
            flow: "simulation".into(),
            workdir: PathBuf::from("/"),
            seed: 0,
            session: 1,
            setup: None,
            on_failure: config.task.on_failure,
            grace: config.supervision.grace,
        };
        Flow::new(self.ports(), settings, config, History::default())
    }

    /// The virtual time.
    #[must_use]
    pub fn now(&self) -> Time {
        self.world.borrow().now
    }

    /// All recorded events, in order.
    #[must_use]
    pub fn events(&self) -> Vec<(Time, RunEvent)> {
        self.world.borrow().events.clone()
    }

    /// All announced events, in order.
    #[must_use]
    pub fn announced(&self) -> Vec<RunEvent> {
        self.world.borrow().announced.clone()
    }

    /// What the run was said to wait for, and when; `None` where it went on.
    #[must_use]
    pub fn waits(&self) -> Vec<(Time, Option<Wait>)> {
        self.world.borrow().waits.clone()
    }

    /// The number of living processes.
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
