//! `Forecast`: what a flow would do on some devices. The engine runs it in a simulation, and its events are summed up.

mod device_use;
mod last_fitting;
mod lower_bound;
mod order_choice;
mod planned_times;
mod simulated;

use std::rc::Rc;
use std::time::Duration;

pub use device_use::{DeviceUse, GroupSpan, TrainSpan};
use device_use::{group_spans, train_spans, uses};
use last_fitting::FittingSets;
use lower_bound::lower_bound;
pub use order_choice::{Known, choose_order};
pub use planned_times::PlannedTimes;
pub use simulated::Scenario;
use simulated::simulate;

use crate::engine::FlowError;
use crate::learning::durations::Durations;
use crate::learning::estimates::Estimates;
use crate::model::config::StartOrder;
use crate::model::name::Name;
use crate::model::outcome::failure::Failure;
use crate::model::run_event::RunEvent;
use crate::model::time::Time;
use crate::work::group::TaskGroup;

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
        let lower_bound = lower_bound(&groups, times, &scenario.devices, &scenario.config);
        let fitting = FittingSets::of(&groups, &scenario.devices, &scenario.config);
        let (infos, overlap) = (scenario.devices.devices(), scenario.overlap);
        if scenario.config.scheduler.order.asks_for_durations() && scenario.foreseen {
            groups.iter_mut().for_each(|group| times.tell(group));
        }
        if scenario.config.scheduler.order == StartOrder::Auto {
            for group in &mut groups {
                let known = Known { durations: &Durations::default(), estimates: &Estimates::default() };
                group.chosen_order = choose_order(group, known, &scenario);
            }
        }
        let events = simulate(scenario, groups, times, Estimates::default())?;
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

fn failures(events: &[(Time, RunEvent)]) -> Vec<(Name, Name, Failure)> {
    let failed = events.iter().filter_map(|(_, event)| match event {
        RunEvent::TaskFailed { group, task, error, .. } => Some((group.clone(), task.clone(), error.clone())),
        _ => None,
    });
    failed.collect()
}

#[cfg(test)]
mod tests;
