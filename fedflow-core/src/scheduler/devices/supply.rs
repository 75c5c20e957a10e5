//! `Supply`: how many tasks there are for each device.

use super::device_set::{Devices, Fit};
use crate::scheduler::processes::workers::{Phase, Worker};

/// The tasks that start, load or wait, each counted at a device on which it can train, and which devices are in use. A
/// task is counted where there are fewest; those that fit few devices come first.
#[derive(Debug, Clone)]
pub(in crate::scheduler) struct Supply<'a> {
    devices: &'a Devices,
    ahead: Vec<u32>,
    training: Vec<u32>,
}

impl<'a> Supply<'a> {
    /// The supply by the workers of these groups; every one that trains uses its devices.
    pub(in crate::scheduler) fn of<'w>(
        devices: &'a Devices,
        workers: impl Iterator<Item = &'w Worker>,
        last_group: u32,
    ) -> Self {
        Self::beside(devices, workers, last_group, None)
    }

    /// The same for a task that fits some devices. What fits others as well is counted at those.
    pub(in crate::scheduler) fn beside<'w>(
        devices: &'a Devices,
        workers: impl Iterator<Item = &'w Worker>,
        last_group: u32,
        task: Option<Fit>,
    ) -> Self {
        let places = devices.len();
        let mut supply = Self { devices, ahead: vec![0; places], training: vec![0; places] };
        let mut fits: Vec<Fit> = Vec::new();
        for worker in workers {
            if let Phase::Training(lease) = &worker.phase {
                let of_lease = lease.shares.iter().filter_map(|share| devices.place(share.info.device));
                of_lease.for_each(|place| supply.training[place] += 1);
            } else if worker.task.group <= last_group && worker.is_ahead() {
                fits.push(worker.fit);
            }
        }
        fits.sort_by_key(|fit| fit.among.len());
        fits.into_iter().for_each(|fit| supply.count(fit, task));
        supply
    }

    /// Counts a task at as many devices as it needs.
    fn count(&mut self, fit: Fit, task: Option<Fit>) {
        let is_beside = |place: usize| task.is_none_or(|task| !task.among.contains(place));
        let supplied = |place: &usize| (self.level_at(*place), self.ahead[*place], !is_beside(*place));
        if fit.devices <= 1 {
            let least = fit.among.places().min_by_key(supplied);
            least.into_iter().for_each(|place| self.ahead[place] += 1);
        } else {
            let mut places: Vec<usize> = fit.among.places().collect();
            places.sort_by_key(supplied);
            places.into_iter().take(fit.devices as usize).for_each(|place| self.ahead[place] += 1);
        }
    }

    /// How well the devices of a task are supplied: 0 if enough of them are idle, and nothing is on its way there.
    pub(in crate::scheduler) fn level(&self, fit: Fit) -> u32 {
        self.nth(fit, |place| self.level_at(place))
    }

    /// How many tasks are ahead of the least supplied devices of a task.
    pub(in crate::scheduler) fn least_ahead(&self, fit: Fit) -> u32 {
        self.nth(fit, |place| self.ahead[place] / self.devices.count_at(place))
    }

    fn level_at(&self, place: usize) -> u32 {
        match self.devices.count_at(place) {
            // A card that several tasks share is in use.
            1 => self.ahead[place] + self.training[place].min(1),
            count => (self.ahead[place] + self.training[place]) / count,
        }
    }

    /// A task that needs several devices needs the last of them, too.
    fn nth(&self, fit: Fit, of_place: impl Fn(usize) -> u32) -> u32 {
        if fit.devices <= 1 {
            return fit.among.places().map(of_place).min().unwrap_or_default();
        }
        let mut all: Vec<u32> = fit.among.places().map(of_place).collect();
        all.sort_unstable();
        all.get(fit.devices as usize - 1).or(all.last()).copied().unwrap_or_default()
    }
}
