//! `KnownNeeds`: what a run shows of the devices that a task fits, and `DeviceRoom`: what a device has for it.

use fedflow_core::{Config, Device, DeviceInfo, Pin, SessionSetup, Size};

use crate::report::TaskReport;

/// What is known of the devices that a task fits. It is known from its attempts that trained: a task that has not trained
/// yet might fit any device.
#[derive(Debug, Clone, Copy)]
pub(crate) struct KnownNeeds<'a> {
    /// The least memory that it leased on a card.
    memory: Option<Size>,
    /// The device that it is pinned to.
    pin: Option<&'a Pin>,
    /// Whether it trains on CPU slots, and not on cards.
    on_slots: Option<bool>,
}

impl<'a> KnownNeeds<'a> {
    /// What the attempts of a task show.
    pub(crate) fn of(task: &'a TaskReport) -> Self {
        let attempts = || task.all_attempts.iter();
        Self {
            memory: attempts().filter_map(|attempt| attempt.memory).min(),
            pin: attempts().find_map(|attempt| attempt.pin.as_deref()),
            on_slots: attempts().find_map(|attempt| Some(attempt.row?.device == Device::Cpu)),
        }
    }

    /// The device that it is pinned to.
    pub(crate) fn pin(&self) -> Option<&'a Pin> {
        self.pin
    }
}

/// What a device has for a task that is alone on it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct DeviceRoom {
    is_slot: bool,
    /// How much of its memory may be leased; `None` if that is not known or does not count.
    memory: Option<Size>,
    /// Which device it is, if a task is pinned to it.
    pinned: Option<(Device, Option<String>)>,
}

impl DeviceRoom {
    /// The room on a device, by the configuration that the run was started with. Devices that no task is pinned to are
    /// alike if they have the same room.
    pub(crate) fn of(
        device: Device,
        info: Option<&DeviceInfo>,
        setup: Option<&SessionSetup>,
        is_pin: impl Fn(Device, Option<&str>) -> bool,
    ) -> Self {
        let uuid = info.and_then(|info| info.uuid.as_deref());
        let total = info.and_then(|info| info.memory);
        let memory = total.map(|total| match setup {
            Some(setup) => configuration(setup).card_limits(total, Size::ZERO).alone,
            None => total,
        });
        let pinned = is_pin(device, uuid).then(|| (device, uuid.map(str::to_owned)));
        Self { is_slot: device == Device::Cpu, memory, pinned }
    }

    /// Whether the task could train there, as far as is known.
    pub(crate) fn fits(&self, needs: &KnownNeeds<'_>) -> bool {
        let is_pinned_here = |pin: &Pin| {
            self.pinned.as_ref().is_some_and(|(device, uuid)| pin.matches(*device, uuid.as_deref()))
        };
        needs.pin.is_none_or(is_pinned_here)
            && needs.on_slots.is_none_or(|on_slots| on_slots == self.is_slot)
            && needs.memory.zip(self.memory).is_none_or(|(needed, room)| needed <= room)
    }
}

/// The configuration of a session, as far as this version knows its keys.
fn configuration(setup: &SessionSetup) -> Config {
    let mut config = Config::default();
    for (key, value) in setup.config.iter() {
        // A key that cannot be read keeps its default: a report is shown all the same.
        let _ = config.set(key, value);
    }
    config
}
