//! Runs whose devices other runs have from time to time: a kept process waits for its card with its data.

use super::*;

/// A pool whose devices other runs hold from time to time: it refuses as long as it is told to.
struct Contended {
    pool: SimulationPort,
    /// Which of the following requests are refused, from the lowest bit.
    refusals: u64,
    /// Whether the last request was refused so.
    refused: bool,
}

impl DevicePool for Contended {
    fn devices(&self) -> Vec<DeviceInfo> {
        self.pool.devices()
    }

    fn slots_beside(&self) -> u32 {
        self.pool.slots_beside()
    }

    fn check(&self, request: &LeaseRequest) -> Result<(), Unleasable> {
        self.pool.check(request)
    }

    fn largest_share(&self) -> Option<Size> {
        self.pool.largest_share()
    }

    fn limits(&self, device: Device) -> Option<CardLimits> {
        self.pool.limits(device)
    }

    fn try_lease(&mut self, request: &LeaseRequest) -> Option<Lease> {
        self.refused = self.refusals & 1 == 1;
        self.refusals >>= 1;
        if self.refused { None } else { self.pool.try_lease(request) }
    }

    fn fits_without(&self, request: &LeaseRequest, leases: &[LeaseId]) -> bool {
        self.pool.fits_without(request, leases)
    }

    fn others_train_on(&self, device: Device) -> bool {
        self.refused || self.pool.others_train_on(device)
    }

    fn end_train(&mut self, lease: LeaseId) {
        self.pool.end_train(lease);
    }

    fn release(&mut self, lease: LeaseId) {
        self.pool.release(lease);
    }

    fn withdraw(&mut self, holder: TaskKey) {
        self.pool.withdraw(holder);
    }

    fn peak(&self, lease: LeaseId) -> Option<Size> {
        self.pool.peak(lease)
    }

    fn rebook(&mut self, lease: LeaseId, memory: Size) -> bool {
        self.pool.rebook(lease, memory)
    }

    fn is_lost(&mut self, device: Device) -> bool {
        self.pool.is_lost(device)
    }

    fn obstacles(&self, request: &LeaseRequest) -> Vec<Obstacle> {
        self.pool.obstacles(request)
    }
}

/// Runs groups of which each but the first may load ahead, and says what was told.
pub(super) fn told(
    simulation: &Simulation,
    refusals: u64,
    config: &Config,
    groups: &mut [TaskGroup],
) -> Vec<RunEvent> {
    let Ports { workers, pool, observer } = simulation.ports();
    let pool = Contended { pool, refusals, refused: false };
    // What others give back wakes the run.
    (1..2000).for_each(|number| simulation.at(Time::after(ms(50 * number)), Input::DevicesChanged));
    execute(flow_with(Ports { workers, pool, observer }, config), groups).unwrap();
    simulation.events().into_iter().map(|(_, event)| event).collect()
}

#[test]
fn a_kept_process_waits_for_a_card_on_which_another_run_trains() {
    let simulation = Simulation::new(cards(&[8]), |_| script(500, 50));
    let keeps = |id: u32, memory: u64| with_memory(task(id), 1, memory).with_keep("data");
    // What it needs next is more than it holds.
    let mut groups = [group("one", [keeps(1, 2)]), group("two", [keeps(2, 4)])];
    // The second one is refused for a while, as other runs are served.
    told(&simulation, 0b11_1110, &config(&[]), &mut groups);
    assert_eq!(starts(&simulation), (1, 1), "its data is loaded once");
    assert!(groups.iter().all(TaskGroup::finished));
    assert!(simulation.now() > Time::after(ms(700)), "it has waited");
    assert_nothing_left(&simulation);
}

#[test]
fn a_task_that_ran_out_of_memory_waits_with_its_data_while_another_run_trains() {
    // Each process runs out of memory, whatever it is leased.
    let oom = SimulatedFault::Error(Stage::Train, FailureKind::Oom);
    let simulation = Simulation::new(cards(&[8]), move |_| Script { fault: Some(oom), ..script(500, 50) });
    let events = told(&simulation, 0b11_1110, &config(&[]), &mut [group("g", [with_memory(task(1), 1, 2)])]);
    let trains = |event: &&RunEvent| matches!(event, RunEvent::TaskTraining { attempt: 1, .. });
    assert_eq!(
        events.iter().filter(trains).count(),
        2,
        "its first process gets the larger share: {events:#?}"
    );
    assert_nothing_left(&simulation);
}
