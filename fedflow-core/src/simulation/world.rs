//! `World`: the processes of a simulated machine, and what will happen to them when.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};
use std::sync::Arc;
use std::time::Duration;

use crate::learning::stage_times::Lead;
use crate::leasing::table::LeaseTable;
use crate::model::identity::WorkerId;
use crate::model::outcome::failure::{FailureKind, LastLines, Stage};
use crate::model::quantity::Size;
use crate::model::run_event::RunEvent;
use crate::model::time::Time;
use crate::model::value::Dict;
use crate::ports::{Assignment, HostSample, Input, Obstacle, Wait, WorkerEvent};
use crate::simulation::cards::SimulatedCards;
use crate::simulation::script::{
    HandOver, Script, SimulatedFault, SimulatedHandOver, SimulatedTask, SimulatedUse,
};
use crate::work::spec::Program;

/// How long a simulated process takes to die after a signal.
pub(super) const DEATH: Duration = Duration::from_millis(2);

pub(super) struct World {
    pub(super) now: Time,
    pub(super) script: SimulatedTask,
    /// `None`: such an attempt begins at once, with the data that were loaded under its key.
    pub(super) hand_over: Option<SimulatedHandOver>,
    /// The memory that tasks really use; `None`: it is unknown.
    pub(super) card_use: Option<SimulatedUse>,
    pub(super) cards: SimulatedCards,
    pub(super) table: LeaseTable,
    pub(super) sync: Option<Duration>,
    pub(super) host: Option<HostSample>,
    pub(super) sequence: u64,
    pub(super) agenda: BinaryHeap<Reverse<Appointment>>,
    pub(super) workers: BTreeMap<WorkerId, Simulated>,
    pub(super) events: Vec<(Time, RunEvent)>,
    pub(super) announced: Vec<RunEvent>,
    /// What is said to be in the way of a request that is refused.
    pub(super) obstacles: Vec<Obstacle>,
    /// What the run was said to wait for, and when.
    pub(super) waits: Vec<(Time, Option<Wait>)>,
}

pub(super) struct Simulated {
    pub(super) script: Script,
    pub(super) uses: Size,
    /// The key under which its data are kept, for tasks of this program and kind.
    pub(super) keep: Option<(String, Arc<Program>)>,
    pub(super) dies_at: Option<Time>,
}

impl Simulated {
    pub(super) fn dies_by(&self, time: Time) -> bool {
        self.dies_at.is_some_and(|death| death <= time)
    }
}

#[derive(PartialEq)]
pub(super) struct Appointment {
    pub(super) at: Time,
    pub(super) sequence: u64,
    pub(super) input: Input,
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

impl World {
    pub(super) fn new(table: LeaseTable, script: SimulatedTask) -> Self {
        Self {
            now: Time::ZERO,
            script,
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
            obstacles: Vec::new(),
            waits: Vec::new(),
        }
    }

    pub(super) fn lead_of(&mut self, assignment: &Assignment, how: HandOver, script: Script) -> Lead {
        match &mut self.hand_over {
            Some(hand_over) => hand_over(assignment, how),
            None => {
                let load = if how == HandOver::Kept { Duration::ZERO } else { script.load };
                Lead { start: Duration::ZERO, load }
            }
        }
    }

    pub(super) fn use_of(&mut self, assignment: &Assignment) -> Size {
        self.card_use.as_mut().map(|card_use| card_use(assignment)).unwrap_or_default()
    }

    pub(super) fn appoint(&mut self, at: Time, input: Input) {
        self.sequence += 1;
        self.agenda.push(Reverse(Appointment { at, sequence: self.sequence, input }));
    }

    pub(super) fn say(&mut self, worker: WorkerId, after: Duration, event: WorkerEvent) {
        self.appoint(self.now + after, Input::Worker { worker, event });
    }

    pub(super) fn die(&mut self, worker: WorkerId, after: Duration, kind: FailureKind, message: &str) {
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
                last_lines: LastLines::default(),
                killed_for_memory: false,
                before_first_word: !heard,
            },
        );
    }

    /// Plays a phase of a worker's script.
    pub(super) fn play(&mut self, worker: WorkerId, stage: Stage) {
        let Some(simulated) = self.workers.get(&worker) else { return };
        let script = simulated.script;
        let (length, event) = match stage {
            Stage::Start => (script.start, WorkerEvent::Ready),
            Stage::Load => (script.load, WorkerEvent::Loaded),
            Stage::Wait | Stage::Train => (script.train, WorkerEvent::Trained(Dict::new())),
        };
        match script.fault {
            Some(SimulatedFault::Error(at, kind)) if at == stage => {
                let message = format!("a simulated error in {stage}");
                self.say(worker, length, WorkerEvent::Failed { kind, message });
            }
            Some(SimulatedFault::Dies(at)) if at == stage => {
                self.die(worker, length, FailureKind::Killed, "signal 9 (SIGKILL)");
            }
            Some(SimulatedFault::DiesUnheard) if stage == Stage::Load => {
                self.die_heard(worker, length, FailureKind::Exit, "exit code 7", false);
            }
            Some(SimulatedFault::Hangs(at) | SimulatedFault::HangsHard(at)) if at == stage => {}
            fault => {
                self.say(worker, length, event);
                if stage == Stage::Load && fault == Some(SimulatedFault::Dies(Stage::Wait)) {
                    self.die(worker, length + DEATH, FailureKind::Killed, "signal 9 (SIGKILL)");
                }
            }
        }
    }
}
