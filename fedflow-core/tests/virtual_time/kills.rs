//! The supervisor is killed at any step, as by SIGKILL: nothing of the engine survives, and of its records only those that
//! were durable, or a few more. Resumed again and again, the run ends like one that was never disturbed.

use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

use super::*;

/// The panic that stands for SIGKILL.
struct Killed;

/// What the ports of one session share.
#[derive(Default)]
struct Life {
    /// How many more calls of a port the engine lives.
    steps: Cell<u64>,
    /// The last record that the engine was told is durable.
    durable: Cell<u64>,
    /// The task of each process that lives.
    running: RefCell<BTreeMap<WorkerId, (Name, Name)>>,
}

impl Life {
    /// Counts a step; the last one kills the engine.
    fn step(&self) {
        match self.steps.get().checked_sub(1) {
            Some(left) => self.steps.set(left),
            None => resume_unwind(Box::new(Killed)),
        }
    }

    fn begins(&self, worker: WorkerId, assignment: &Assignment) {
        let task = (assignment.group.clone(), assignment.task_id.clone());
        let mut running = self.running.borrow_mut();
        assert!(!running.values().any(|other| *other == task), "{task:?} runs twice at once");
        running.insert(worker, task);
    }
}

/// A port of a machine whose supervisor is killed.
struct Mortal {
    port: SimulationPort,
    life: Rc<Life>,
}

impl Workers for Mortal {
    fn start(&mut self, worker: WorkerId, assignment: Assignment) {
        self.life.step();
        self.life.begins(worker, &assignment);
        self.port.start(worker, assignment);
    }

    fn load(&mut self, worker: WorkerId) {
        self.life.step();
        self.port.load(worker);
    }

    fn train(&mut self, worker: WorkerId, lease: &Lease, params: &Dict) {
        self.life.step();
        self.port.train(worker, lease, params);
    }

    fn keep(&mut self, worker: WorkerId) {
        self.life.step();
        self.port.keep(worker);
    }

    fn hand_over(&mut self, from: WorkerId, to: WorkerId, assignment: Assignment) {
        self.life.step();
        self.life.running.borrow_mut().remove(&from);
        self.life.begins(to, &assignment);
        self.port.hand_over(from, to, assignment);
    }

    fn end(&mut self, worker: WorkerId, severity: Severity) {
        self.life.step();
        self.port.end(worker, severity);
    }

    fn next(&mut self, deadline: Option<Time>) -> (Time, Input) {
        self.life.step();
        let (time, input) = self.port.next(deadline);
        match &input {
            Input::Durable(number) => self.life.durable.set(*number),
            Input::Worker { worker, event: WorkerEvent::Gone { .. } } => {
                self.life.running.borrow_mut().remove(worker);
            }
            _ => {}
        }
        (time, input)
    }
}

impl DevicePool for Mortal {
    fn devices(&self) -> Vec<DeviceInfo> {
        self.port.devices()
    }

    fn slots_beside(&self) -> u32 {
        self.port.slots_beside()
    }

    fn check(&self, request: &LeaseRequest) -> Result<(), Unleasable> {
        self.port.check(request)
    }

    fn largest_share(&self) -> Option<Size> {
        self.port.largest_share()
    }

    fn limits(&self, device: Device) -> Option<CardLimits> {
        self.port.limits(device)
    }

    fn try_lease(&mut self, request: &LeaseRequest) -> Option<Lease> {
        self.life.step();
        self.port.try_lease(request)
    }

    fn others_train_on(&self, device: Device) -> bool {
        self.port.others_train_on(device)
    }

    fn end_train(&mut self, lease: LeaseId) {
        self.life.step();
        self.port.end_train(lease);
    }

    fn release(&mut self, lease: LeaseId) {
        self.life.step();
        self.port.release(lease);
    }

    fn withdraw(&mut self, holder: TaskKey) {
        self.life.step();
        self.port.withdraw(holder);
    }

    fn fits_without(&self, request: &LeaseRequest, leases: &[LeaseId]) -> bool {
        self.port.fits_without(request, leases)
    }

    fn peak(&self, lease: LeaseId) -> Option<Size> {
        self.port.peak(lease)
    }

    fn rebook(&mut self, lease: LeaseId, memory: Size) -> bool {
        self.life.step();
        self.port.rebook(lease, memory)
    }

    fn is_lost(&mut self, device: Device) -> bool {
        self.port.is_lost(device)
    }

    fn obstacles(&self, request: &LeaseRequest) -> Vec<Obstacle> {
        self.port.obstacles(request)
    }
}

impl Observer for Mortal {
    fn record(&mut self, number: u64, time: Time, event: &RunEvent) {
        self.life.step();
        self.port.record(number, time, event);
    }

    fn answers_durable(&self) -> bool {
        self.port.answers_durable()
    }

    fn flush(&mut self) {
        self.life.step();
        self.port.flush();
    }

    fn announce(&mut self, time: Time, event: &RunEvent) {
        self.life.step();
        self.port.announce(time, event);
    }
}

/// A run in several sessions, with the journal that is left of it.
struct Run<'a> {
    scripts: &'a [Script],
    config: &'a Config,
    sync: Duration,
    /// Whether the second group loads ahead.
    load_ahead: bool,
    journal: Vec<(Time, RunEvent)>,
}

impl Run<'_> {
    fn groups(&self) -> [TaskGroup; 2] {
        let tasks = u32::try_from(self.scripts.len()).unwrap();
        [group("one", tasks), group("two", tasks / 2)]
    }

    /// Continues the run for this many steps. Some of the records survive that are not known to be durable. Returns the
    /// groups if the run came to its end.
    fn go_on(&mut self, steps: u64, survives: usize) -> Option<[TaskGroup; 2]> {
        let world =
            simulation(LeaseTable::of_cpu_slots(SLOTS), self.scripts.to_vec()).with_sync_time(self.sync);
        let life = Rc::new(Life { steps: Cell::new(steps), ..Life::default() });
        let Ports { workers, pool, observer } = world.ports();
        let mortal = |port| Mortal { port, life: life.clone() };
        let ports = Ports { workers: mortal(workers), pool: mortal(pool), observer: mortal(observer) };
        let mut groups = self.groups();
        let history = history(&self.journal);
        let lived = catch_unwind(AssertUnwindSafe(|| {
            let mut flow = Flow::new(ports, settings(7), self.config.clone(), history);
            let [one, two] = &mut groups;
            if self.load_ahead { flow.execute_and_load(one, two) } else { flow.execute(one) }.unwrap();
            flow.execute(two).unwrap();
            flow.finish(RunOutcome::Complete);
        }));
        let recorded = world.events();
        let durable = usize::try_from(life.durable.get()).unwrap();
        // Every event that was announced is durable.
        for told in world.announced().iter().filter(|event| event.needs_durability()) {
            assert!(
                recorded[..durable].iter().any(|(_, event)| event == told),
                "{told:?} was told too early"
            );
        }
        let killed = match lived {
            Ok(()) => false,
            Err(cause) if cause.is::<Killed>() => true,
            Err(cause) => resume_unwind(cause),
        };
        let kept = if killed { durable + survives % (recorded.len() - durable + 1) } else { recorded.len() };
        self.journal.extend_from_slice(&recorded[..kept]);
        (!killed).then_some(groups)
    }
}

/// Each task has one outcome, and no attempt of it after that; attempts count up.
fn check_journal(journal: &[(Time, RunEvent)], tasks: usize) -> Result<(), TestCaseError> {
    let mut attempts: BTreeMap<(Name, Name), u32> = BTreeMap::new();
    let mut ended: BTreeSet<(Name, Name)> = BTreeSet::new();
    for (_, event) in journal {
        let Some((group, task, attempt)) = event.task() else { continue };
        let key = (group.clone(), task.clone());
        match event {
            RunEvent::TaskStarted { .. } => {
                prop_assert!(!ended.contains(&key), "{:?} ran again after its end", key);
                let before = attempts.insert(key, attempt);
                prop_assert!(before < Some(attempt), "attempt {} comes after {:?}", attempt, before);
            }
            RunEvent::TaskFinished { .. } | RunEvent::TaskFailed { .. } => {
                prop_assert!(ended.insert(key), "two outcomes");
            }
            _ => {}
        }
    }
    prop_assert_eq!(ended.len(), tasks);
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_supervisor_that_is_killed_at_any_step_loses_nothing(
        config in any_config(),
        scripts in prop::collection::vec(any_script(), 1..20),
        sync in 0_u64..30,
        load_ahead in any::<bool>(),
        kills in prop::collection::vec((0_u64..600, any::<usize>()), 1..6),
    ) {
        let mut run = Run { scripts: &scripts, config: &config, sync: ms(sync), load_ahead, journal: Vec::new() };
        let mut ended = None;
        for (steps, survives) in kills.into_iter().chain([(u64::MAX, 0)]) {
            ended = run.go_on(steps, survives);
            if ended.is_some() {
                break;
            }
        }
        let ended = ended.unwrap();
        check_journal(&run.journal, scripts.len() + scripts.len() / 2)?;

        let world = simulation(LeaseTable::of_cpu_slots(SLOTS), scripts.clone());
        let mut undisturbed = run.groups();
        super::run(&world, &config, &mut undisturbed, History::default()).unwrap();
        for (group, other) in ended.iter().zip(&undisturbed) {
            prop_assert!(group.finished());
            for ((task, other), script) in group.tasks().zip(other.tasks()).zip(scripts.iter().cycle()) {
                // A worker that dies while it waits may have trained before.
                if script.fault != Some(SimulatedFault::Dies(Stage::Wait)) {
                    prop_assert_eq!(task.result(), other.result(), "{:?}", script.fault);
                    let kind = |task: &TaskEntry| task.failure().map(|failure| failure.kind);
                    prop_assert_eq!(kind(task), kind(other), "{:?}", script.fault);
                }
            }
        }
    }
}
