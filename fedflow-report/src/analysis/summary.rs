//! `Summary`: the figures at the top of a report.

use std::time::Duration;

use crate::analysis::device_telemetry::{DeviceCurves, device_curves};
use crate::analysis::device_use::{DeviceUse, device_uses};
use crate::analysis::timeline::Timeline;
use crate::report::{Counts, GroupReport, Report};

/// The figures of a run or of one of its groups. Lengths of time are wall time without the time between the sessions of a
/// resumed run.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Summary {
    /// How many tasks have which outcome.
    pub counts: Counts,
    /// From the start of the first task to the end of the last one.
    pub makespan: Duration,
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
        let mut devices = device_uses(report.devices(), report.setup(), groups, &timeline, window);
        let curves = device_curves(report, &timeline, window);
        for device in &mut devices {
            device.telemetry = curves.get(&device.row.device).map(DeviceCurves::figures);
        }
        let makespan = Duration::try_from_secs_f64(window.1 - window.0).unwrap_or_default();
        Self { counts, makespan, devices, window }
    }

    /// The mean share of the makespan in which a device was busy, from 0 to 1.
    #[must_use]
    pub fn busy_share(&self) -> f64 {
        let busy: Duration = self.devices.iter().map(|device| device.busy).sum();
        let idle: Duration = self.devices.iter().map(|device| device.idle).sum();
        let all = busy + idle;
        if all.is_zero() { 0.0 } else { busy.div_duration_f64(all) }
    }

    /// How long devices were idle while a task was loaded or ready to start, summed over all devices.
    #[must_use]
    pub fn starved(&self) -> Duration {
        self.devices.iter().map(|device| device.starved).sum()
    }

    /// The length of the window, in seconds.
    pub(crate) fn seconds(&self) -> f64 {
        self.window.1 - self.window.0
    }
}
