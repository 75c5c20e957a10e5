//! `TelemetryLog`: the samples of the devices, kept within bounds.

use fedflow_core::{TelemetryMerger, TelemetrySample, halve_telemetry};

/// How many samples of single devices are kept; beyond it, pairs of neighbours are merged.
const MAX_SAMPLES: usize = 100_000;

/// Samples of the devices, in the order in which they came. Where there are too many, neighbours are merged.
#[derive(Debug, Clone, Default)]
pub(crate) struct TelemetryLog {
    samples: Vec<TelemetrySample>,
    /// How many samples of single devices those are.
    kept: usize,
    merger: TelemetryMerger,
}

impl TelemetryLog {
    /// Adds a sample.
    pub(crate) fn push(&mut self, sample: TelemetrySample) {
        let Some(sample) = self.merger.push(sample) else { return };
        self.kept += sample.devices.len();
        self.samples.push(sample);
        if self.kept > MAX_SAMPLES {
            self.samples = halve_telemetry(std::mem::take(&mut self.samples));
            self.kept = self.samples.iter().map(|sample| sample.devices.len()).sum();
            self.merger.double();
        }
    }

    /// Visits the samples that are kept, in the order in which they came.
    pub(crate) fn for_each(&self, visit: impl FnMut(&TelemetrySample)) {
        let pending = self.merger.clone().take();
        self.samples.iter().chain(&pending).for_each(visit);
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use fedflow_core::{Device, DeviceSample};

    use super::*;

    #[test]
    fn a_very_long_run_is_kept_within_bounds() {
        let mut log = TelemetryLog::default();
        for second in 0..300_000 {
            let utilization = Some(f64::from(second % 2) * 100.0);
            let device = DeviceSample { utilization, ..DeviceSample::unknown(Device::Cuda(0)) };
            log.push(TelemetrySample {
                time: f64::from(second),
                duration: Duration::from_secs(1),
                devices: vec![device],
            });
        }
        assert!(log.samples.len() <= MAX_SAMPLES);
        let mut duration = Duration::ZERO;
        log.for_each(|sample| duration += sample.duration);
        assert_eq!(duration, Duration::from_secs(300_000));
    }
}
