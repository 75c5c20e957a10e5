//! The lower bound of a flow: the time that no scheduler can beat on these devices.
//!
//! Take any set of devices, and the tasks that fit on no other. While one of them trains, it takes a part of each device
//! that it uses: its memory of a card, all of a CPU slot. The parts in use on the set never add up to more than the set
//! has. So the group lasts at least as long as the sum of part × time, divided by what the set has, after the shortest
//! load. The sets tried are those that some task is confined to, by its memory or by its pin, and all devices. This is
//! the area bound of parallel machine scheduling, for each class of machines by itself.

use std::collections::BTreeMap;
use std::time::Duration;

use super::planned_times::{PlannedTimes, handed_over};
use crate::learning::stage_times::Lead;
use crate::leasing::lease::LeaseRequest;
use crate::leasing::table::LeaseTable;
use crate::model::config::Config;
use crate::model::identity::TaskKey;
use crate::model::memory::card_limits::CardLimits;
use crate::scheduler::ScheduledTask;
use crate::simulation::script::HandOver;
use crate::work::group::TaskGroup;

/// The sum of the bounds of all groups, as they run one after the other.
pub(super) fn lower_bound(
    groups: &[TaskGroup],
    times: &PlannedTimes,
    devices: &LeaseTable,
    config: &Config,
) -> Duration {
    let fleet = Fleet::of(devices, config);
    let bound = |group| of_group(group, times, &fleet, config);
    Duration::try_from_secs_f64(groups.iter().map(bound).sum()).unwrap_or(Duration::MAX)
}

/// The bound of a group in seconds: the longest task, or what a set of devices has to do.
fn of_group(group: &TaskGroup, times: &PlannedTimes, fleet: &Fleet, config: &Config) -> f64 {
    let name = group.group_name();
    let mut longest = 0.0_f64;
    let mut demands: BTreeMap<Vec<bool>, Demand> = BTreeMap::new();
    for task in ScheduledTask::of_group(group, config) {
        let of_task = times.get(&name, &task.task_id);
        // A group that loads ahead may have loaded everything when it becomes active, and a process may have been kept.
        let load = match task.keep.as_deref() {
            _ if group.load_ahead => Duration::ZERO,
            Some(policy) => {
                let how = if policy.keeps_data() { HandOver::Kept } else { HandOver::Reused };
                let Lead { start, load } = handed_over(of_task, how);
                start.saturating_add(load).min(of_task.before_train())
            }
            None => of_task.before_train(),
        };
        let (load, train) = (load.as_secs_f64(), of_task.train.as_secs_f64());
        longest = longest.max(load + train);
        let request = fleet.request(&task);
        let fitting = fleet.table.fitting(&request);
        let demand = Demand {
            first_load: load,
            work: train * fleet.part(&request, &fitting),
            unestimated: if request.estimated { 0.0 } else { train * f64::from(request.devices) },
        };
        demands.entry(fitting).or_insert(Demand::NONE).add(demand);
    }
    let everything = vec![true; fleet.limits.len()];
    let sets = demands.keys().chain([&everything]);
    sets.map(|set| fleet.time_for(confined_to(set, &demands), set)).fold(longest, f64::max)
}

/// What the tasks ask for that fit on no device outside a set.
fn confined_to(set: &[bool], demands: &BTreeMap<Vec<bool>, Demand>) -> Demand {
    let is_within = |fitting: &[bool]| fitting.iter().zip(set).all(|(fits, within)| *within || !fits);
    let mut sum = Demand::NONE;
    demands.iter().filter(|(fitting, _)| is_within(fitting)).for_each(|(_, demand)| sum.add(*demand));
    sum
}

/// What tasks ask of devices.
#[derive(Debug, Clone, Copy)]
struct Demand {
    /// The shortest time in seconds before one of them can train.
    first_load: f64,
    /// The sum of part × seconds; see [`Fleet::part`].
    work: f64,
    /// The sum of devices × seconds of the tasks that have no estimate of their card memory.
    unestimated: f64,
}

impl Demand {
    const NONE: Self = Self { first_load: f64::INFINITY, work: 0.0, unestimated: 0.0 };

    fn add(&mut self, other: Self) {
        self.first_load = self.first_load.min(other.first_load);
        self.work += other.work;
        self.unestimated += other.unestimated;
    }
}

/// The devices of a flow.
struct Fleet<'a> {
    table: &'a LeaseTable,
    /// How much can be leased of each device, by its place in the table.
    limits: Vec<Option<CardLimits>>,
    config: &'a Config,
}

impl<'a> Fleet<'a> {
    fn of(table: &'a LeaseTable, config: &'a Config) -> Self {
        let limits = table.devices().into_iter().map(|info| table.limits_of(info.device));
        let beside = (0..table.slots_beside()).map(|_| None);
        Self { table, limits: limits.chain(beside).collect(), config }
    }

    /// What a task asks of them, as far as is known before the run.
    fn request(&self, task: &ScheduledTask) -> LeaseRequest {
        task.lease_request(TaskKey { group: 0, place: 0 }, self.config)
    }

    /// What a device has: the gigabytes that leases share, or 1 where memory does not count.
    fn whole(limits: Option<CardLimits>) -> f64 {
        limits.map_or(1.0, |limits| limits.shared.gigabytes())
    }

    /// What the task takes at least of its devices while it trains, in the unit of [`Self::whole`].
    fn part(&self, request: &LeaseRequest, fitting: &[bool]) -> f64 {
        let memory = request.memory.gigabytes();
        let of_device = |limits: &Option<CardLimits>| match limits {
            // A task that has more than leases may share is alone on its card.
            Some(_) if !request.exclusive => memory.min(Self::whole(*limits)),
            limits => Self::whole(*limits),
        };
        let devices = self.limits.iter().zip(fitting).filter(|(_, fits)| **fits);
        let mut parts: Vec<f64> = devices.map(|(limits, _)| of_device(limits)).collect();
        parts.sort_by(f64::total_cmp);
        parts.iter().take(request.devices as usize).sum()
    }

    /// How many seconds a set of devices is busy with what is confined to it.
    fn time_for(&self, demand: Demand, set: &[bool]) -> f64 {
        let Demand { first_load, work, unestimated } = demand;
        if first_load.is_infinite() {
            return 0.0;
        }
        let devices = || self.limits.iter().zip(set).filter(|(_, within)| **within).map(|(limits, _)| limits);
        let whole: f64 = devices().map(|limits| Self::whole(*limits)).sum();
        let max_per_device = f64::from(self.config.scheduler.max_per_device.max(1));
        let places: f64 = devices().map(|limits| if limits.is_some() { max_per_device } else { 1.0 }).sum();
        let divided = |work: f64, among: f64| if among > 0.0 { work / among } else { 0.0 };
        first_load + divided(work, whole).max(divided(unestimated, places))
    }
}
