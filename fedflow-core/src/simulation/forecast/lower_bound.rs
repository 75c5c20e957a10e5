//! The lower bound of a flow: the time that no scheduler can beat on these devices.

use std::collections::BTreeMap;
use std::time::Duration;

use super::planned_times::{PlannedTimes, handed_over};
use crate::learning::stage_times::Lead;
use crate::leasing::table::LeaseTable;
use crate::model::config::Config;
use crate::model::device::Pin;
use crate::model::quantity::Size;
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
    let bound = |group| of_group(group, times, devices, config);
    Duration::try_from_secs_f64(groups.iter().map(bound).sum()).unwrap_or(Duration::MAX)
}

/// The bound of a group in seconds. It is the larger of two times: the training divided among the devices, after the
/// shortest load, and the longest task.
fn of_group(group: &TaskGroup, times: &PlannedTimes, devices: &LeaseTable, config: &Config) -> f64 {
    let name = group.group_name();
    let largest = devices.largest_share();
    let (mut longest, mut first_load) = (0.0_f64, f64::INFINITY);
    let mut work = 0.0;
    let mut pinned: BTreeMap<String, (Pin, f64)> = BTreeMap::new();
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
        let load = load.as_secs_f64();
        let train = of_task.train.as_secs_f64();
        longest = longest.max(load + train);
        first_load = first_load.min(load);
        let on_slots = task.pin().is_some_and(Pin::is_cpu) && devices.slots_beside() > 0;
        let of_devices = train * share(&task, largest.filter(|_| !on_slots), config);
        if !on_slots {
            work += of_devices;
        }
        if let Some(pin) = task.pin() {
            pinned.entry(pin.to_string()).or_insert_with(|| (pin.clone(), 0.0)).1 += of_devices;
        }
    }
    if first_load.is_infinite() {
        return 0.0;
    }
    let infos = devices.devices();
    let divided = |work: f64, among: usize| work / f64::from(u32::try_from(among).unwrap_or(u32::MAX).max(1));
    let of_pins = pinned.values().map(|(pin, work)| {
        let among = infos.iter().filter(|info| pin.matches(info.device, info.uuid.as_deref())).count();
        let beside = if pin.is_cpu() { devices.slots_beside() as usize } else { 0 };
        divided(*work, among + beside)
    });
    let shared = of_pins.fold(divided(work, infos.len()), f64::max);
    longest.max(first_load + shared)
}

/// The fraction of a device that a task takes at least while it trains: all of a CPU slot, and of a card the fraction
/// that its memory is of the largest possible share.
fn share(task: &ScheduledTask, largest: Option<Size>, config: &Config) -> f64 {
    let needs = task.needs();
    let devices = f64::from(needs.devices);
    match largest {
        Some(largest) if needs.exclusive || largest == Size::ZERO => devices,
        Some(largest) => match needs.cuda_memory {
            Some(memory) => devices * (memory.gigabytes() / largest.gigabytes()).min(1.0),
            None => devices / f64::from(config.scheduler.max_per_device.max(1)),
        },
        None => devices,
    }
}
