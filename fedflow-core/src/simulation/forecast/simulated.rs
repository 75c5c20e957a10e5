//! `simulate`: a flow in virtual time, on devices that are simulated. The engine runs it as it runs any other.

use std::path::PathBuf;
use std::rc::Rc;
use std::time::Duration;

use super::planned_times::{PlannedTimes, handed_over};
use crate::engine::{Flow, FlowError, History};
use crate::learning::estimates::Estimates;
use crate::learning::stage_times::StageTimes;
use crate::leasing::table::LeaseTable;
use crate::model::config::Config;
use crate::model::limits::Limits;
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
    /// Whether the run knows beforehand how long tasks take, as one does that has learned it, where its order asks for
    /// that. If not, it knows what they declare.
    pub foreseen: bool,
}

/// Runs the groups, and returns all events.
///
/// # Errors
/// A task asks for what no device can give.
pub(super) fn simulate(
    scenario: Scenario,
    mut groups: Vec<TaskGroup>,
    times: &Rc<PlannedTimes>,
    estimates: Estimates,
) -> Result<Vec<(Time, RunEvent)>, FlowError> {
    let Scenario { flow, devices, mut config, seed, overlap, foreseen: _ } = scenario;
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
    let mut flow =
        Flow::new(simulation.ports(), settings, config, History::default()).with_estimates(estimates);
    let executed = execute_all(&mut flow, &mut groups);
    flow.finish(RunOutcome::Complete);
    match executed {
        Ok(()) | Err(FlowError::EarlierFailure) => Ok(simulation.events()),
        Err(error) => Err(error),
    }
}

/// Executes the groups in order. A group that asks for it loads ahead while the one before it runs.
pub(super) fn execute_all<W, P, O>(
    flow: &mut Flow<W, P, O>,
    groups: &mut [TaskGroup],
) -> Result<(), FlowError>
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
    let mut free = group.without_tasks()?;
    free.chosen_order = group.chosen_order;
    for task in group.tasks() {
        let mut spec = task.spec().clone().with_limits(Limits::default());
        spec.keep = None;
        spec.terms_mut().reuse = None;
        free.add_task(spec)?;
    }
    Ok(free)
}
