//! `Forecast`: what a flow would do on some devices. The engine runs it in a simulation, and its events are summed up.

mod device_use;
mod last_fitting;
mod lower_bound;
mod planned_times;

use std::path::PathBuf;
use std::rc::Rc;
use std::time::Duration;

pub use device_use::{DeviceUse, GroupSpan, TrainSpan};
use device_use::{group_spans, train_spans, uses};
use last_fitting::FittingSets;
use lower_bound::lower_bound;
pub use planned_times::PlannedTimes;
use planned_times::handed_over;

use crate::engine::{Flow, FlowError, History};
use crate::learning::stage_times::StageTimes;
use crate::leasing::table::LeaseTable;
use crate::model::config::{Config, StartOrder};
use crate::model::limits::Limits;
use crate::model::name::Name;
use crate::model::outcome::failure::Failure;
use crate::model::run_event::{RunEvent, RunOutcome};
use crate::model::time::Time;
use crate::ports::{Assignment, DevicePool, RunSettings};
use crate::simulation::machine::Simulation;
use crate::simulation::script::Script;
use crate::work::group::{GroupError, TaskGroup};

/// What to simulate: a flow on these devices, with this configuration.
#[derive(Debug, Clone)]
pub struct Scenario {
    /// The flow's name.
    pub flow: String,
    /// The devices.
    pub devices: LeaseTable,
    /// The configuration.
    pub config: Config,
    /// The seed of every random choice.
    pub seed: u64,
    /// Whether tasks load without a device while others train. If not, a task holds its devices from the start of its
    /// process until its end, as with runners that have no load phase. Time limits do not count then.
    pub overlap: bool,
}

/// How a flow would go.
#[derive(Debug, Clone)]
pub struct Forecast {
    /// From the beginning to the end of the run.
    pub makespan: Duration,
    /// The time that no order and no scheduler can beat on these devices; see [`Forecast::of`].
    pub lower_bound: Duration,
    /// What each device does. Each CPU slot is a device. A card is busy while at least one task trains on it.
    pub devices: Vec<DeviceUse>,
    /// When tasks train on which device, in the order in which they begin.
    pub trainings: Vec<TrainSpan>,
    /// The groups, in order.
    pub groups: Vec<GroupSpan>,
    /// The tasks that would fail, for example by their time limits: group, task and reason.
    pub failed: Vec<(Name, Name, Failure)>,
    /// All events of the run.
    pub events: Vec<(Time, RunEvent)>,
}

impl Forecast {
    /// Simulates a flow.
    ///
    /// The lower bound of a group is its longest task, or the memory × time of the tasks that fit on some of the devices
    /// only, divided by the memory of these, after the shortest load; the largest of these times counts. The bound of the
    /// flow is the sum, as groups run one after the other.
    ///
    /// # Errors
    /// A task asks for what no device can give, or a task of an earlier group failed and the configuration says that
    /// this ends the run.
    pub fn of(
        scenario: Scenario,
        mut groups: Vec<TaskGroup>,
        times: &Rc<PlannedTimes>,
    ) -> Result<Self, FlowError> {
        let Scenario { flow, devices, mut config, seed, overlap } = scenario;
        let lower_bound = lower_bound(&groups, times, &devices, &config);
        let fitting = FittingSets::of(&groups, &devices, &config);
        let infos = devices.devices();
        if config.scheduler.order == StartOrder::LongestFirst {
            groups.iter_mut().for_each(|group| times.tell(group));
        }
        if !overlap {
            config.supervision.limits = Limits::default();
            groups = groups.iter().map(as_elsewhere).collect::<Result<_, GroupError>>()?;
        }
        let (scripts, leads) = (Rc::clone(times), Rc::clone(times));
        let simulation = Simulation::new(devices, move |assignment: &Assignment| {
            script(scripts.get(&assignment.group, &assignment.task_id), overlap)
        })
        .with_hand_over(move |assignment, how| {
            handed_over(leads.get(&assignment.group, &assignment.task_id), how)
        });
        let simulation = match times.between_groups() {
            Some(sync) => simulation.with_sync_time(sync),
            None => simulation,
        };
        let settings = RunSettings {
            flow,
            workdir: PathBuf::from("/"),
            seed,
            session: 1,
            setup: None,
            on_failure: config.task.on_failure,
            grace: config.supervision.grace,
        };
        let mut flow = Flow::new(simulation.ports(), settings, config, History::default());
        let executed = execute_all(&mut flow, &mut groups);
        flow.finish(RunOutcome::Complete);
        match executed {
            Ok(()) | Err(FlowError::EarlierFailure) => {}
            Err(error) => return Err(error),
        }
        let events = simulation.events();
        let held_before = |group: &Name, task: &Name| {
            if overlap { Duration::ZERO } else { times.get(group, task).before_train() }
        };
        let held_after = |group: &Name, task: &Name| {
            if overlap { Duration::ZERO } else { times.get(group, task).exit }
        };
        let trainings = train_spans(&infos, &events, held_before, held_after);
        let groups = group_spans(&events, &trainings);
        let last = fitting.last(infos.len(), &events, held_before);
        let makespan = events.last().map_or(Duration::ZERO, |(time, _)| time.since_start());
        Ok(Self {
            makespan,
            lower_bound,
            devices: uses(&infos, &trainings, &groups, &last, makespan),
            failed: failures(&events),
            trainings,
            groups,
            events,
        })
    }

    /// How long devices idle, all together.
    #[must_use]
    pub fn idle(&self) -> Duration {
        self.devices.iter().map(|device| device.waiting + device.tail).sum()
    }

    /// The fraction of the devices' time in which they idle, from 0 to 1.
    #[must_use]
    pub fn idle_share(&self) -> f64 {
        let all: Duration =
            self.devices.iter().map(|device| device.busy + device.waiting + device.tail).sum();
        if all.is_zero() { 0.0 } else { self.idle().as_secs_f64() / all.as_secs_f64() }
    }
}

/// Executes the groups in order. A group that asks for it loads ahead while the one before it runs.
fn execute_all<W, P, O>(flow: &mut Flow<W, P, O>, groups: &mut [TaskGroup]) -> Result<(), FlowError>
where
    W: crate::ports::Workers,
    P: DevicePool,
    O: crate::ports::Observer,
{
    for place in 0..groups.len() {
        match &mut groups[place..] {
            [group, next, ..] if next.load_ahead => flow.execute_and_load(group, next)?,
            [group, ..] => flow.execute(group)?,
            [] => break,
        };
    }
    Ok(())
}

fn script(times: StageTimes, overlap: bool) -> Script {
    let StageTimes { start, load, train, exit, handed_over: _ } = times;
    if overlap {
        return Script { start, load, train, exit, fault: None };
    }
    let whole = times.before_train().saturating_add(train).saturating_add(exit);
    Script { start: Duration::ZERO, load: Duration::ZERO, train: whole, exit: Duration::ZERO, fault: None }
}

/// The group as other runners execute it: every task has a process of its own. Limits are dropped, as a task that holds
/// its device while it loads spends more time in `train` than they mean.
fn as_elsewhere(group: &TaskGroup) -> Result<TaskGroup, GroupError> {
    let mut free = TaskGroup::new(group.group_name())?;
    if let Some(pin) = group.device() {
        free = free.with_device(pin.clone());
    }
    free.estimate_memory = group.estimate_memory;
    free.estimate_cuda_memory = group.estimate_cuda_memory;
    for task in group.tasks() {
        let mut spec = task.spec().clone().with_limits(Limits::default());
        spec.keep = None;
        spec.terms_mut().reuse = None;
        free.add_task(spec)?;
    }
    Ok(free)
}

fn failures(events: &[(Time, RunEvent)]) -> Vec<(Name, Name, Failure)> {
    let failed = events.iter().filter_map(|(_, event)| match event {
        RunEvent::TaskFailed { group, task, error, .. } => Some((group.clone(), task.clone(), error.clone())),
        _ => None,
    });
    failed.collect()
}

#[cfg(test)]
mod tests;
