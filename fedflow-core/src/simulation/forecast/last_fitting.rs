//! `LastFitting`: until when tasks that fit a device are still to train.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::leasing::table::LeaseTable;
use crate::model::config::Config;
use crate::model::identity::TaskKey;
use crate::model::name::Name;
use crate::model::run_event::RunEvent;
use crate::model::time::Time;
use crate::scheduler::ScheduledTask;
use crate::work::group::TaskGroup;

/// For each group and each device, when the last task begins to train that fits the device. From then on the device
/// has nothing to wait for, whatever is still to train elsewhere.
#[derive(Debug, Clone, Default)]
pub(super) struct LastFitting {
    /// By the group's and the device's place; none if nothing fits.
    times: Vec<Vec<Option<Duration>>>,
}

impl LastFitting {
    /// The last time at which a group's task begins to train that fits a device.
    pub(super) fn get(&self, group: usize, device: usize) -> Option<Duration> {
        self.times.get(group)?.get(device).copied().flatten()
    }
}

/// The sets of devices that tasks fit. There are many tasks, but few sets.
#[derive(Debug, Clone, Default)]
pub(super) struct FittingSets {
    sets: Vec<Vec<bool>>,
    of_task: BTreeMap<(Name, Name), usize>,
}

impl FittingSets {
    /// The sets by what is known before the run.
    pub(super) fn of(groups: &[TaskGroup], devices: &LeaseTable, config: &Config) -> Self {
        let mut known: BTreeMap<Vec<bool>, usize> = BTreeMap::new();
        let mut of_task = BTreeMap::new();
        for group in groups {
            let name = group.group_name();
            for task in ScheduledTask::of_group(group, config) {
                let request = task.lease_request(TaskKey { group: 0, place: 0 }, config);
                let next = known.len();
                let set = *known.entry(devices.fitting(&request)).or_insert(next);
                of_task.insert((name.clone(), task.task_id.clone()), set);
            }
        }
        let mut sets: Vec<(usize, Vec<bool>)> = known.into_iter().map(|(set, place)| (place, set)).collect();
        sets.sort_unstable();
        Self { sets: sets.into_iter().map(|(_, set)| set).collect(), of_task }
    }

    /// When the last tasks begin to train in a run. A task may hold its devices for some time before it trains.
    pub(super) fn last(
        &self,
        devices: usize,
        events: &[(Time, RunEvent)],
        held_before: impl Fn(&Name, &Name) -> Duration,
    ) -> LastFitting {
        let mut last = LastFitting::default();
        let mut groups: BTreeMap<&Name, usize> = BTreeMap::new();
        // By group and set.
        let mut begins: BTreeMap<(usize, usize), Duration> = BTreeMap::new();
        for (time, event) in events {
            match event {
                RunEvent::GroupStarted { group, .. } => {
                    let place = groups.len();
                    groups.entry(group).or_insert(place);
                    last.times.push(vec![None; devices]);
                }
                RunEvent::TaskTraining { group, task, .. } => {
                    let set = self.of_task.get(&(group.clone(), task.clone()));
                    let Some((place, set)) = groups.get(group).zip(set) else { continue };
                    let begin = time.since_start() + held_before(group, task);
                    let latest = begins.entry((*place, *set)).or_default();
                    *latest = begin.max(*latest);
                }
                _ => {}
            }
        }
        for ((group, set), begin) in begins {
            let fitting = self.sets.get(set).map_or(&[][..], Vec::as_slice);
            let of_group = last.times.get_mut(group).map_or(&mut [][..], Vec::as_mut_slice);
            for (latest, _) in of_group.iter_mut().zip(fitting).filter(|(_, fits)| **fits) {
                *latest = (*latest).max(Some(begin));
            }
        }
        last
    }
}
