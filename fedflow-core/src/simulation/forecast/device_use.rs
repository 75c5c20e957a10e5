//! `DeviceUse`: what each device does in a simulated run, and why it idles when it does.

use std::collections::BTreeMap;
use std::time::Duration;

use super::last_fitting::LastFitting;
use crate::model::device::{Device, DeviceInfo};
use crate::model::name::Name;
use crate::model::run_event::RunEvent;
use crate::model::time::Time;

/// What a device does in a simulated run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeviceUse {
    /// The device.
    pub device: Device,
    /// The number of the CPU slot, from 0; 0 for a card.
    pub slot: u32,
    /// How often a task trains on it.
    pub trainings: usize,
    /// How long at least one task trains on it.
    pub busy: Duration,
    /// How long no task trains on it while tasks of the active group that fit it are still to train. They load, or wait
    /// for more of it, or for other devices beside it.
    pub waiting: Duration,
    /// How long no task trains on it as the active group has none left to train that fits it. Other tasks train on other
    /// devices, or processes end.
    pub tail: Duration,
}

/// A stretch in which a task trains on a device.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TrainSpan {
    /// The device's place among [`Forecast::devices`](crate::Forecast::devices).
    pub device: usize,
    /// The group's place in the order of execution, from 0.
    pub group: usize,
    /// The begin.
    pub from: Duration,
    /// The end.
    pub to: Duration,
}

/// When a group is executed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GroupSpan {
    /// Its name.
    pub name: Name,
    /// Its beginning.
    pub from: Duration,
    /// When its last task begins to train. From then on devices become idle.
    pub last_train: Duration,
    /// Its end.
    pub to: Duration,
}

/// The devices that tasks hold, as far as events tell.
struct HeldDevices {
    places: BTreeMap<(Device, u32), usize>,
    /// How many tasks train on each device.
    users: Vec<usize>,
    cpu: Vec<usize>,
}

impl HeldDevices {
    fn new(infos: &[DeviceInfo]) -> Self {
        let mut held = Self { places: BTreeMap::new(), users: vec![0; infos.len()], cpu: Vec::new() };
        for (place, info) in infos.iter().enumerate() {
            let slot = u32::try_from(held.cpu.len()).unwrap_or(u32::MAX);
            if info.device == Device::Cpu {
                held.cpu.push(place);
                held.places.insert((Device::Cpu, slot), place);
            } else {
                held.places.insert((info.device, 0), place);
            }
        }
        held
    }

    /// Takes the devices of a training. Of several CPU slots events name only the first: the others are any free ones.
    fn take(&mut self, device: Device, slot: u32, devices: &[Device]) -> Vec<usize> {
        let mut taken = Vec::with_capacity(devices.len().max(1));
        let cpus = if device == Device::Cpu { devices.len().max(1) } else { 0 };
        for nth in 0..cpus {
            let told = (nth == 0).then(|| self.places.get(&(device, slot)).copied()).flatten();
            let free = |place: &usize| self.users[*place] == 0;
            if let Some(place) = told.filter(free).or_else(|| self.cpu.iter().copied().find(free)) {
                self.users[place] += 1;
                taken.push(place);
            }
        }
        if cpus == 0 {
            let cards = if devices.is_empty() { std::slice::from_ref(&device) } else { devices };
            for card in cards {
                if let Some(&place) = self.places.get(&(*card, 0)) {
                    self.users[place] += 1;
                    taken.push(place);
                }
            }
        }
        taken
    }

    fn give_back(&mut self, taken: &[usize]) {
        for &place in taken {
            self.users[place] -= 1;
        }
    }
}

/// When tasks train in a run. A task may hold its devices for some time before and after it trains.
pub(super) fn train_spans(
    infos: &[DeviceInfo],
    events: &[(Time, RunEvent)],
    held_before: impl Fn(&Name, &Name) -> Duration,
    held_after: impl Fn(&Name, &Name) -> Duration,
) -> Vec<TrainSpan> {
    let mut held = HeldDevices::new(infos);
    let mut groups: BTreeMap<&Name, usize> = BTreeMap::new();
    let mut training: BTreeMap<(&Name, &Name), (Vec<usize>, Duration)> = BTreeMap::new();
    let mut trainings = Vec::new();
    for (time, event) in events {
        let now = time.since_start();
        match event {
            RunEvent::GroupStarted { group, .. } => {
                let place = groups.len();
                groups.entry(group).or_insert(place);
            }
            RunEvent::TaskTraining { group, task, device, slot, devices, .. } => {
                let taken = held.take(*device, *slot, devices);
                training.insert((group, task), (taken, now));
            }
            RunEvent::TaskReleased { group, task, .. } => {
                let Some((taken, since)) = training.remove(&(group, task)) else { continue };
                held.give_back(&taken);
                let from = since + held_before(group, task);
                let to = now.saturating_sub(held_after(group, task));
                let group = groups.get(group).copied().unwrap_or_default();
                trainings.extend(taken.into_iter().map(|device| TrainSpan {
                    device,
                    group,
                    from,
                    to: to.max(from),
                }));
            }
            _ => {}
        }
    }
    trainings.sort_by_key(|span| (span.from, span.device));
    trainings
}

/// What each device did until `end`. `trainings` are in the order of their begins.
pub(super) fn uses(
    infos: &[DeviceInfo],
    trainings: &[TrainSpan],
    groups: &[GroupSpan],
    last: &LastFitting,
    end: Duration,
) -> Vec<DeviceUse> {
    let mut slots = 0;
    let mut uses: Vec<(DeviceUse, Duration)> = infos
        .iter()
        .map(|info| {
            let slot = if info.device == Device::Cpu { slots } else { 0 };
            slots += u32::from(info.device == Device::Cpu);
            let none = Duration::ZERO;
            let of =
                DeviceUse { device: info.device, slot, trainings: 0, busy: none, waiting: none, tail: none };
            (of, none)
        })
        .collect();
    // Beside each use stands the time up to which it is accounted for.
    for span in trainings {
        let Some((of, until)) = uses.get_mut(span.device) else { continue };
        of.trainings += 1;
        idle(of, *until, span.from, groups, |group| last.get(group, span.device));
        of.busy += span.to.saturating_sub(span.from.max(*until));
        *until = span.to.max(*until);
    }
    for (device, (of, until)) in uses.iter_mut().enumerate() {
        idle(of, *until, end, groups, |group| last.get(group, device));
    }
    uses.into_iter().map(|(of, _)| of).collect()
}

/// Divides an idle time among its reasons, group by group. `last`: when a group's last task begins that fits the device.
fn idle(
    of: &mut DeviceUse,
    from: Duration,
    to: Duration,
    groups: &[GroupSpan],
    last: impl Fn(usize) -> Option<Duration>,
) {
    if from >= to {
        return;
    }
    let first = groups.partition_point(|group| group.to <= from);
    let mut at = from;
    for (place, group) in groups.iter().enumerate().skip(first) {
        if group.from >= to {
            break;
        }
        // Between two groups the records of the first become durable.
        of.tail += group.from.min(to).saturating_sub(at);
        at = at.max(group.from);
        let until = last(place).unwrap_or(group.from);
        let waited = until.min(to).saturating_sub(at);
        let after = group.to.min(to).saturating_sub(at.max(until));
        of.waiting += waited;
        of.tail += after;
        at = at.max(group.to.min(to));
    }
    of.tail += to.saturating_sub(at);
}

/// From when until when each group is executed, by the events of a run.
pub(super) fn group_spans(events: &[(Time, RunEvent)], trainings: &[TrainSpan]) -> Vec<GroupSpan> {
    let mut spans: Vec<GroupSpan> = Vec::new();
    for (time, event) in events {
        let now = time.since_start();
        match event {
            RunEvent::GroupStarted { group, .. } => {
                spans.push(GroupSpan { name: group.clone(), from: now, last_train: now, to: now });
            }
            RunEvent::GroupFinished { group, .. } => {
                if let Some(span) = spans.iter_mut().rev().find(|span| span.name == *group) {
                    span.to = now;
                }
            }
            _ => {}
        }
    }
    for training in trainings {
        if let Some(span) = spans.get_mut(training.group) {
            span.last_train = span.last_train.max(training.from);
        }
    }
    spans
}
