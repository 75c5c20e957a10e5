//! `Summary`: the figures at the top of a report.

use crate::analysis::device_telemetry::{DeviceCurves, device_curves};
use crate::analysis::device_use::{DeviceUse, device_uses};
use crate::analysis::timeline::Timeline;
use crate::report::{Counts, GroupReport, Report};

/// The figures of a run or of one of its groups. Seconds are wall time without the time between the sessions of a
/// resumed run.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Summary {
    /// How many tasks have which outcome.
    pub counts: Counts,
    /// From the start of the first task to the end of the last one.
    pub makespan_seconds: f64,
    /// How each device was used in that time.
    pub devices: Vec<DeviceUse>,
    /// From when to when on the timeline.
    pub(crate) window: (f64, f64),
}

impl Summary {
    /// The figures of a whole run.
    #[must_use]
    pub fn of_run(report: &Report) -> Self {
        Self::new(report, report.groups(), report.counts())
    }

    /// The figures of one group.
    #[must_use]
    pub fn of_group(report: &Report, group: &GroupReport) -> Self {
        Self::new(report, std::slice::from_ref(group), group.counts())
    }

    fn new(report: &Report, groups: &[GroupReport], counts: Counts) -> Self {
        let timeline = Timeline::new(report);
        let window = timeline.extent(groups.iter()).unwrap_or((0.0, 0.0));
        let mut devices = device_uses(report.devices(), groups, &timeline, window);
        let curves = device_curves(report, &timeline, window);
        for device in &mut devices {
            device.telemetry = curves.get(&device.row.device).map(DeviceCurves::figures);
        }
        Self { counts, makespan_seconds: window.1 - window.0, devices, window }
    }

    /// The mean share of the makespan in which a device was busy, from 0 to 1.
    #[must_use]
    pub fn busy_share(&self) -> f64 {
        let busy: f64 = self.devices.iter().map(|device| device.busy_seconds).sum();
        let idle: f64 = self.devices.iter().map(|device| device.idle_seconds).sum();
        if busy + idle > 0.0 { busy / (busy + idle) } else { 0.0 }
    }

    /// How long devices were idle while a task was loaded or ready to start, summed over all devices.
    #[must_use]
    pub fn starved_seconds(&self) -> f64 {
        self.devices.iter().map(|device| device.starved_seconds).sum()
    }
}
