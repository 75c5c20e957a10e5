//! `DeviceCurves`: what was measured of a device within a window of time, as curves of few points and as figures.

use std::collections::BTreeMap;

use fedflow_core::{Device, DeviceSample, Size};

use crate::analysis::timeline::{Stretch, Timeline};
use crate::report::Report;

/// What was measured of each device within a window of the timeline.
pub(crate) fn device_curves(
    report: &Report,
    timeline: &Timeline<'_>,
    window: Stretch,
) -> BTreeMap<Device, DeviceCurves> {
    let mut curves: BTreeMap<Device, DeviceCurves> = BTreeMap::new();
    report.telemetry.for_each(|sample| {
        let Some((from, to)) = timeline.stretch(sample.time, sample.duration) else { return };
        let stretch = (from.max(window.0), to.min(window.1));
        if stretch.1 > stretch.0 {
            for device in &sample.devices {
                curves.entry(device.device).or_default().push(stretch, device);
            }
        }
    });
    // A wall clock that was set back has samples out of order.
    for device in curves.values_mut() {
        device.points.sort_by(|a, b| a.stretch.0.total_cmp(&b.stretch.0));
    }
    curves
}

/// A measured quantity of a device.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Metric {
    /// How busy the device is, in percent.
    Utilization,
    /// Memory in use, in bytes.
    Used,
    /// Memory that leases have booked, in bytes.
    Booked,
    /// The power that it draws, in watts.
    Power,
    /// In degrees Celsius.
    Temperature,
}

const METRICS: [Metric; 5] =
    [Metric::Utilization, Metric::Used, Metric::Booked, Metric::Power, Metric::Temperature];

impl Metric {
    #[expect(clippy::cast_precision_loss, reason = "for charts")]
    fn of(self, sample: &DeviceSample) -> Option<f64> {
        let bytes = |size: Option<Size>| size.map(|size| size.bytes() as f64);
        let (value, possible) = match self {
            Self::Utilization => (sample.utilization, 0.0..=100.0),
            Self::Used => (bytes(sample.memory_used), 0.0..=1e18),
            Self::Booked => (bytes(sample.memory_booked), 0.0..=1e18),
            Self::Power => (sample.power, 0.0..=1e6),
            Self::Temperature => (sample.temperature, -273.0..=1e3),
        };
        value.filter(|value| possible.contains(value))
    }
}

/// What was measured of one device within a window of the timeline.
#[derive(Debug, Clone, Default)]
pub(crate) struct DeviceCurves {
    /// In order of time.
    pub(crate) points: Vec<Point>,
    /// The size of its memory, if it is known.
    pub(crate) total: Option<Size>,
    /// When the device was lost, on the timeline, and why; none if it was not.
    pub(crate) lost: Option<(f64, String)>,
}

/// What was measured during a stretch of time.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Point {
    pub(crate) stretch: Stretch,
    ranges: [Option<Range>; METRICS.len()],
}

/// The range of the values in a stretch of time.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Range {
    pub(crate) min: f64,
    pub(crate) mean: f64,
    pub(crate) max: f64,
    /// For how long there are samples, in seconds.
    seconds: f64,
}

/// The telemetry of a device as a few figures; none for what was not measured.
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub struct DeviceTelemetry {
    /// How busy it was on average, in percent.
    pub mean_utilization: Option<f64>,
    /// The peak of the memory in use, foreign processes included.
    pub peak_memory: Option<Size>,
    /// The peak of the memory that the run's leases booked.
    pub peak_booked: Option<Size>,
    /// The mean power, in watts.
    pub mean_power: Option<f64>,
    /// The energy that it used while there are samples, in watt hours.
    pub energy: Option<f64>,
    /// The highest temperature, in degrees Celsius.
    pub peak_temperature: Option<f64>,
}

impl DeviceCurves {
    fn push(&mut self, stretch: Stretch, sample: &DeviceSample) {
        let seconds = stretch.1 - stretch.0;
        let range = |value: f64| Range { min: value, mean: value, max: value, seconds };
        self.points.push(Point { stretch, ranges: METRICS.map(|metric| metric.of(sample).map(range)) });
        self.total = sample.memory_total.or(self.total);
        if let Some(reason) = &sample.lost {
            self.lost = Some((stretch.0, reason.clone()));
        }
    }

    pub(crate) fn figures(&self) -> DeviceTelemetry {
        let over_all = |metric| {
            let ranges = self.points.iter().filter_map(|point| point.range(metric));
            ranges.reduce(Range::join)
        };
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "a size, and not negative"
        )]
        let peak_size = |metric| over_all(metric).map(|range: Range| Size::from_bytes(range.max as u64));
        let power = over_all(Metric::Power);
        DeviceTelemetry {
            mean_utilization: over_all(Metric::Utilization).map(|range| range.mean),
            peak_memory: peak_size(Metric::Used),
            peak_booked: peak_size(Metric::Booked),
            mean_power: power.map(|range| range.mean),
            energy: power.map(|range| range.mean * range.seconds / 3600.0),
            peak_temperature: over_all(Metric::Temperature).map(|range| range.max),
        }
    }
}

impl Point {
    pub(crate) fn range(&self, metric: Metric) -> Option<Range> {
        self.ranges[metric as usize]
    }

    fn join(self, later: Self) -> Self {
        let mut ranges = self.ranges;
        for (range, later) in ranges.iter_mut().zip(later.ranges) {
            *range = match (*range, later) {
                (Some(range), Some(later)) => Some(range.join(later)),
                (range, later) => range.or(later),
            };
        }
        Self { stretch: (self.stretch.0, self.stretch.1.max(later.stretch.1)), ranges }
    }
}

impl Range {
    fn join(self, other: Self) -> Self {
        let seconds = self.seconds + other.seconds;
        let mean = (self.mean * self.seconds + other.mean * other.seconds) / seconds;
        let (min, max) = (self.min.min(other.min), self.max.max(other.max));
        // Rounding must not move the mean out of the range.
        Self { min, mean: mean.clamp(min, max), max, seconds }
    }
}

/// Thins points to at most `most`. If there are more, the window is divided into that many equal parts, and the points
/// in a part become one with their lowest, mean and highest values.
pub(crate) fn thinned(points: &[Point], window: Stretch, most: usize) -> Vec<Point> {
    if points.len() <= most {
        return points.to_vec();
    }
    let part = |point: &Point| {
        let share = (f64::midpoint(point.stretch.0, point.stretch.1) - window.0) / (window.1 - window.0);
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "a float's cast saturates"
        )]
        ((share * most as f64) as usize).min(most.saturating_sub(1))
    };
    let mut thinned: Vec<(usize, Point)> = Vec::with_capacity(most);
    for point in points {
        match thinned.last_mut() {
            // Only overlapping points can lie before the last part.
            Some((last, joined)) if part(point) <= *last => *joined = joined.join(*point),
            _ => thinned.push((part(point), *point)),
        }
    }
    thinned.into_iter().map(|(_, point)| point).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn busy(utilization: f64) -> DeviceSample {
        DeviceSample { utilization: Some(utilization), ..DeviceSample::unknown(Device::Cuda(0)) }
    }

    fn point(from: f64, seconds: f64, utilization: f64) -> Point {
        let mut seen = DeviceCurves::default();
        seen.push((from, from + seconds), &busy(utilization));
        seen.points[0]
    }

    #[test]
    fn impossible_values_are_left_out() {
        let odd = DeviceSample {
            utilization: Some(1e9),
            power: Some(f64::NAN),
            temperature: Some(40.0),
            ..DeviceSample::unknown(Device::Cuda(0))
        };
        let mut seen = DeviceCurves::default();
        seen.push((0.0, 1.0), &odd);
        let figures = seen.figures();
        assert_eq!((figures.mean_utilization, figures.mean_power, figures.energy), (None, None, None));
        assert_eq!(figures.peak_temperature, Some(40.0));
    }

    #[test]
    fn energy_is_power_over_time() {
        let mut seen = DeviceCurves::default();
        for (from, watts) in [(0.0, 100.0), (1800.0, 300.0)] {
            let power = DeviceSample { power: Some(watts), ..busy(0.0) };
            seen.push((from, from + 1800.0), &power);
        }
        assert_eq!((seen.figures().energy, seen.figures().mean_power), (Some(200.0), Some(200.0)));
    }

    proptest! {
        #[test]
        fn thinned_points_keep_the_range_and_the_mean(
            values in prop::collection::vec((0_u32..=100, 1_u32..40, 0_u32..200), 1..600),
            most in 1_usize..50,
        ) {
            let mut at = 10.0;
            let points: Vec<Point> = values.iter().map(|(busy, tenths, gap)| {
                // Most points follow without a gap.
                at += f64::from(gap.saturating_sub(190));
                let point = point(at, f64::from(*tenths) / 10.0, f64::from(*busy));
                at = point.stretch.1;
                point
            }).collect();
            let window = (10.0, at);
            let thin = thinned(&points, window, most);
            prop_assert!(!thin.is_empty() && thin.len() <= most);
            prop_assert!(thin.is_sorted_by(|a, b| a.stretch.0 < b.stretch.0 && a.stretch.1 <= b.stretch.0 + 1e-9));
            prop_assert_eq!((thin[0].stretch.0, thin[thin.len() - 1].stretch.1), (points[0].stretch.0, at));
            let all = |points: &[Point]| {
                points.iter().filter_map(|p| p.range(Metric::Utilization)).reduce(Range::join).unwrap()
            };
            let (before, after) = (all(&points), all(&thin));
            prop_assert_eq!((before.min, before.max), (after.min, after.max));
            prop_assert!((before.mean - after.mean).abs() < 1e-6);
            for range in thin.iter().filter_map(|point| point.range(Metric::Utilization)) {
                prop_assert!(range.min <= range.mean && range.mean <= range.max);
            }
        }
    }
}
