//! `Demand`: what decides on which devices a ready task fits.

use super::account::Estimate;
use super::memory::TaskMemory;
use super::start_order::Part;
use super::task::ScheduledTask;
use crate::model::device::Device;
use crate::model::memory_use::EstimateSource;
use crate::scheduler::devices::device_set::{DeviceSet, Devices, Fit, Takes};

/// What ready tasks of one queue have in common.
///
/// An estimate that is learned changes while tasks wait, and a group may have a million of them. So the tasks that follow
/// what is learned of their family have a queue of their own, and what the first of them fits, all fit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::scheduler) struct Demand {
    pub(in crate::scheduler) devices: u32,
    /// The devices that such a task fits, or may have at all if its estimate follows what is learned.
    pub(in crate::scheduler) among: DeviceSet,
    /// The tasks with which it learns; `None`: its estimate does not change while it waits.
    pub(in crate::scheduler) family: Option<u64>,
}

/// Tells which devices tasks fit, by what is known of their memory now.
#[derive(Debug, Clone, Copy)]
pub(in crate::scheduler) struct Fitting<'a> {
    pub(in crate::scheduler) devices: &'a Devices,
    pub(in crate::scheduler) memory: &'a TaskMemory,
}

impl Demand {
    /// What a task of such a queue fits; `None` if the task itself must be asked.
    pub(in crate::scheduler) fn fit(self) -> Option<Fit> {
        let Self { devices, among, family } = self;
        family.is_none().then_some(Fit { devices, among })
    }
}

impl Fitting<'_> {
    /// What a task asks for, given the card to which its process is tied.
    pub(in crate::scheduler) fn demand(self, task: &ScheduledTask, card: Option<Device>) -> Demand {
        let family = self.memory.follows(task).filter(|_| card.is_none());
        match family {
            Some(_) => {
                Demand { devices: task.needs().devices, among: self.devices.allowed(task.pin()), family }
            }
            None => {
                let Fit { devices, among } = self.fit(task, card);
                Demand { devices, among, family }
            }
        }
    }

    /// What a task fits, given the card to which its process is tied.
    pub(in crate::scheduler) fn fit(self, task: &ScheduledTask, card: Option<Device>) -> Fit {
        let among = match card.filter(|_| task.pin().is_none()) {
            Some(card) => self.devices.only(card),
            None => self.devices.fitting(task.pin(), self.memory.card(task).size),
        };
        Fit { devices: task.needs().devices, among }
    }

    /// What a task takes of its devices while it trains.
    pub(in crate::scheduler) fn part(self, task: &ScheduledTask, max_per_device: u32) -> Part {
        let Estimate { size, source } = self.memory.card(task);
        let takes = match source {
            _ if task.needs().exclusive => Takes::Whole,
            // No more of them share a card, whatever they need.
            EstimateSource::Default => Takes::OneOf(max_per_device),
            EstimateSource::Given | EstimateSource::Learned => Takes::Memory(size),
        };
        let (own, whole) = self.devices.part(self.fit(task, None), takes);
        Part { own, whole }
    }
}
