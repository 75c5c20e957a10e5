//! Telemetry: samples of a run's devices over time, and how many of them are kept.
//!
//! A long run has too many samples to keep them all. Two neighbours are then merged into one that stands for a longer
//! time. It holds the mean of utilization, power and temperature, and the peak of memory.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::model::device::Device;
use crate::model::quantity::Size;
use crate::model::text::seconds;

/// What was seen of all devices at one time, or over a stretch of time.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TelemetrySample {
    /// When it begins, in Unix seconds.
    pub time: f64,
    /// How long it stands for.
    #[serde(rename = "seconds", with = "seconds")]
    pub duration: Duration,
    /// The devices that could be sampled.
    pub devices: Vec<DeviceSample>,
}

/// What was seen of one device. What it does not tell is absent, never zero.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct DeviceSample {
    /// The device.
    pub device: Device,
    /// How busy it is, in percent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub utilization: Option<f64>,
    /// The memory in use, that of other people's processes included.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub memory_used: Option<Size>,
    /// The memory that leases of this run have booked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub memory_booked: Option<Size>,
    /// All its memory.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub memory_total: Option<Size>,
    /// What it draws, in watts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub power: Option<f64>,
    /// How warm it is, in degrees Celsius.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub temperature: Option<f64>,
    /// Why nothing is seen of it from now on, if so: it was lost.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lost: Option<String>,
}

impl DeviceSample {
    /// A device of which nothing is known.
    #[must_use]
    pub fn unknown(device: Device) -> Self {
        Self {
            device,
            utilization: None,
            memory_used: None,
            memory_booked: None,
            memory_total: None,
            power: None,
            temperature: None,
            lost: None,
        }
    }

    fn merge(self, weight: f64, later: Self, later_weight: f64) -> Self {
        let mean = |a: Option<f64>, b: Option<f64>| match (a, b) {
            // To a tenth: more would be told than was measured.
            (Some(a), Some(b)) if weight + later_weight > 0.0 => {
                Some(((a * weight + b * later_weight) / (weight + later_weight) * 10.0).round() / 10.0)
            }
            (a, b) => b.or(a),
        };
        Self {
            device: self.device,
            utilization: mean(self.utilization, later.utilization),
            memory_used: self.memory_used.max(later.memory_used),
            memory_booked: self.memory_booked.max(later.memory_booked),
            memory_total: later.memory_total.or(self.memory_total),
            power: mean(self.power, later.power),
            temperature: mean(self.temperature, later.temperature),
            lost: later.lost.or(self.lost),
        }
    }
}

impl TelemetrySample {
    /// When the stretch that it stands for ends, in Unix seconds.
    #[must_use]
    pub fn end(&self) -> f64 {
        self.time + self.duration.as_secs_f64()
    }

    /// Whether a later sample follows at once; else the run stood still in between.
    #[must_use]
    pub fn is_followed_by(&self, later: &Self) -> bool {
        let gap = later.time - self.end();
        gap.abs() <= 1.5 * self.duration.max(later.duration).as_secs_f64()
    }

    /// One sample that stands for two.
    #[must_use]
    pub fn merge(self, mut later: Self) -> Self {
        let (weight, later_weight) = (self.duration.as_secs_f64(), later.duration.as_secs_f64());
        let end = later.end().max(self.end());
        let mut devices: Vec<DeviceSample> = Vec::with_capacity(self.devices.len());
        for device in self.devices {
            let same = later.devices.iter().position(|other| other.device == device.device);
            devices.push(match same {
                Some(place) => device.merge(weight, later.devices.remove(place), later_weight),
                None => device,
            });
        }
        devices.append(&mut later.devices);
        // Only a time that is no number has no length.
        let duration = Duration::try_from_secs_f64(end - self.time).unwrap_or_default();
        Self { time: self.time, duration, devices }
    }
}

/// Halves the number of samples by merging them in pairs. A pair between which the run stood still is not merged.
#[must_use]
pub fn halve_telemetry(samples: Vec<TelemetrySample>) -> Vec<TelemetrySample> {
    let mut halved = Vec::with_capacity(samples.len().div_ceil(2));
    let mut samples = samples.into_iter().peekable();
    while let Some(sample) = samples.next() {
        halved.push(match samples.next_if(|later| sample.is_followed_by(later)) {
            Some(later) => sample.merge(later),
            None => sample,
        });
    }
    halved
}

/// Makes one sample of several that come one after the other.
#[derive(Debug, Clone, PartialEq)]
pub struct TelemetryMerger {
    /// How many become one.
    per_sample: u32,
    pending: Option<(TelemetrySample, u32)>,
}

impl Default for TelemetryMerger {
    fn default() -> Self {
        Self { per_sample: 1, pending: None }
    }
}

impl TelemetryMerger {
    /// From now on twice as many become one.
    pub fn double(&mut self) {
        self.per_sample = self.per_sample.saturating_mul(2);
    }

    /// Takes a sample; yields one when enough have come.
    pub fn push(&mut self, sample: TelemetrySample) -> Option<TelemetrySample> {
        let (merged, count) = match self.pending.take() {
            None => (sample, 1),
            Some((earlier, count)) if earlier.is_followed_by(&sample) => (earlier.merge(sample), count + 1),
            Some((earlier, _)) => {
                self.pending = Some((sample, 1));
                return Some(earlier);
            }
        };
        if count >= self.per_sample {
            return Some(merged);
        }
        self.pending = Some((merged, count));
        None
    }

    /// What has come and was not yielded yet.
    pub fn take(&mut self) -> Option<TelemetrySample> {
        self.pending.take().map(|(sample, _)| sample)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn sample(time: f64, utilization: Option<f64>, used: u64) -> TelemetrySample {
        let device = DeviceSample {
            utilization,
            memory_used: Some(Size::from_gb(used)),
            ..DeviceSample::unknown(Device::Cuda(0))
        };
        TelemetrySample { time, duration: Duration::from_secs(1), devices: vec![device] }
    }

    #[test]
    fn two_become_their_mean_and_their_peak() {
        let both = sample(0.0, Some(40.0), 9).merge(sample(1.0, Some(70.0), 3));
        assert_eq!((both.time, both.duration), (0.0, Duration::from_secs(2)));
        let three = both.merge(sample(2.0, Some(100.0), 1));
        assert_eq!(three.devices[0].utilization, Some(70.0), "each second counts the same");
        assert_eq!(three.devices[0].memory_used, Some(Size::from_gb(9)));
        assert_eq!(three.devices[0].power, None, "what nobody told stays absent");
    }

    #[test]
    fn a_pause_stays_a_pause() {
        let (before, after) = (sample(0.0, None, 1), sample(500.0, None, 2));
        assert!(!before.is_followed_by(&after));
        assert_eq!(halve_telemetry(vec![before.clone(), after.clone()]), [before.clone(), after.clone()]);
        let mut merger = TelemetryMerger::default();
        merger.double();
        assert_eq!(merger.push(before.clone()), None);
        assert_eq!(merger.push(after.clone()), Some(before));
        assert_eq!(merger.take(), Some(after));
    }

    #[test]
    fn absent_values_are_not_written() {
        let line = serde_json::to_string(&sample(1.5, None, 2)).unwrap();
        assert_eq!(
            line,
            r#"{"time":1.5,"seconds":1.0,"devices":[{"device":"cuda:0","memory_used":2000000000}]}"#
        );
        assert_eq!(serde_json::from_str::<TelemetrySample>(&line).unwrap(), sample(1.5, None, 2));
    }

    proptest! {
        #[test]
        fn thinning_keeps_time_mean_and_peak(
            values in prop::collection::vec((0_u32..=100, 0_u64..50), 1..200),
            doublings in 0_u32..5,
        ) {
            let samples = values.iter().enumerate().map(|(at, (busy, used))| {
                sample(at as f64, Some(f64::from(*busy)), *used)
            });
            let mut merger = TelemetryMerger::default();
            (0..doublings).for_each(|_| merger.double());
            let mut kept: Vec<_> = samples.filter_map(|sample| merger.push(sample)).collect();
            kept.extend(merger.take());
            kept = halve_telemetry(kept);
            prop_assert!(kept.len() <= values.len().div_ceil(1 << (doublings + 1)));
            let seconds = kept.iter().map(|sample| sample.duration).sum::<Duration>().as_secs_f64();
            prop_assert!((seconds - values.len() as f64).abs() < 1e-6);
            let peak = kept.iter().filter_map(|sample| sample.devices[0].memory_used).max();
            prop_assert_eq!(peak, values.iter().map(|(_, used)| Size::from_gb(*used)).max());
            let weighed = |sample: &TelemetrySample| sample.devices[0].utilization.unwrap() * sample.duration.as_secs_f64();
            let mean = kept.iter().map(weighed).sum::<f64>() / seconds;
            let truth = values.iter().map(|(busy, _)| f64::from(*busy)).sum::<f64>() / values.len() as f64;
            prop_assert!((mean - truth).abs() < 0.6, "{} is not {}", mean, truth);
        }
    }
}
