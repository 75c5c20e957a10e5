//! `SimulationPort`: the ports through which an engine sees a simulated machine.

use std::cell::RefCell;
use std::cmp::Reverse;
use std::rc::Rc;
use std::sync::Arc;

use crate::learning::stage_times::Lead;
use crate::leasing::lease::{Lease, LeaseId, LeaseRequest, Unleasable};
use crate::model::device::{Device, DeviceInfo};
use crate::model::identity::{TaskKey, WorkerId};
use crate::model::memory::card_limits::CardLimits;
use crate::model::outcome::failure::{FailureKind, Stage};
use crate::model::quantity::Size;
use crate::model::run_event::RunEvent;
use crate::model::time::Time;
use crate::model::value::Dict;
use crate::ports::{
    Assignment, DevicePool, HostSample, Input, Observer, Obstacle, Severity, Wait, WorkerEvent, Workers,
};
use crate::simulation::script::{HandOver, SimulatedFault};
use crate::simulation::world::{DEATH, Simulated, World};
use crate::work::spec::Program;

/// One of the ports of a [`Simulation`](crate::Simulation).
pub struct SimulationPort {
    pub(super) world: Rc<RefCell<World>>,
}

fn key_of(assignment: &Assignment) -> Option<(String, Arc<Program>)> {
    Some((assignment.keep.clone()?, Arc::clone(&assignment.program)))
}

impl Workers for SimulationPort {
    fn start(&mut self, worker: WorkerId, assignment: Assignment) {
        let mut world = self.world.borrow_mut();
        let script = (world.script)(&assignment);
        let uses = world.use_of(&assignment);
        let keep = key_of(&assignment);
        world.workers.insert(worker, Simulated { script, uses, keep, dies_at: None });
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
        if world
            .workers
            .get(&worker)
            .is_some_and(|simulated| simulated.script.fault == Some(SimulatedFault::DiesKept))
        {
            world.die(worker, DEATH, FailureKind::Killed, "signal 9 (SIGKILL)");
        }
    }

    fn hand_over(&mut self, from: WorkerId, to: WorkerId, assignment: Assignment) {
        let mut world = self.world.borrow_mut();
        let Some(Simulated { dies_at, keep, .. }) = world.workers.remove(&from) else { return };
        let mut script = (world.script)(&assignment);
        let next = key_of(&assignment);
        let how = if keep.is_some() && keep == next { HandOver::Kept } else { HandOver::Reused };
        Lead { start: script.start, load: script.load } = world.lead_of(&assignment, how, script);
        let uses = world.use_of(&assignment);
        world.cards.vacate(from);
        world.workers.insert(to, Simulated { script, uses, keep: next, dies_at: None });
        // If it was dying already, its death is reported for its new number.
        match dies_at {
            Some(_) => world.die(to, DEATH, FailureKind::Killed, "signal 9 (SIGKILL)"),
            None => world.say(to, script.start, WorkerEvent::Ready),
        }
    }

    fn end(&mut self, worker: WorkerId, severity: Severity) {
        let mut world = self.world.borrow_mut();
        let Some(simulated) = world.workers.get(&worker) else { return };
        let script = simulated.script;
        match (severity, script.fault) {
            (Severity::Asked, Some(SimulatedFault::Stays))
            | (Severity::Terminated, Some(SimulatedFault::HangsHard(_) | SimulatedFault::Stays)) => {}
            (Severity::Asked, _) => world.die(worker, script.exit, FailureKind::Exit, "exit code 0"),
            (Severity::Terminated, _) => {
                world.die(worker, DEATH, FailureKind::Killed, "signal 15 (SIGTERM)");
            }
            (Severity::Killed, _) => world.die(worker, DEATH, FailureKind::Killed, "signal 9 (SIGKILL)"),
        }
    }

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
                        // A worker says nothing after its death, and dies only once.
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

impl DevicePool for SimulationPort {
    fn devices(&self) -> Vec<DeviceInfo> {
        self.world.borrow().table.devices()
    }

    fn slots_beside(&self) -> u32 {
        self.world.borrow().table.slots_beside()
    }

    fn check(&self, request: &LeaseRequest) -> Result<(), Unleasable> {
        self.world.borrow().table.check(request)
    }

    fn largest_share(&self) -> Option<Size> {
        self.world.borrow().table.largest_share()
    }

    fn limits(&self, device: Device) -> Option<CardLimits> {
        self.world.borrow().table.limits_of(device)
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

    fn others_train_on(&self, device: Device) -> bool {
        self.world.borrow().table.others_train_on(device)
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

    fn is_lost(&mut self, _device: Device) -> bool {
        false
    }

    fn peak(&self, lease: LeaseId) -> Option<Size> {
        self.world.borrow().cards.peak(lease)
    }

    fn obstacles(&self, _request: &LeaseRequest) -> Vec<Obstacle> {
        self.world.borrow().obstacles.clone()
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

    fn waits(&mut self, time: Time, wait: Option<&Wait>) {
        self.world.borrow_mut().waits.push((time, wait.cloned()));
    }
}
