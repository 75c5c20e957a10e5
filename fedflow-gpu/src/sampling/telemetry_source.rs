//! `TelemetrySource`: reads the devices of a pool each time it is asked to. It has no thread of its own.

use std::sync::Arc;

use fedflow_core::{Device, DeviceInfo, DeviceSample};

use super::booked_memory::BookedMemory;
use crate::cards::SimulatedMemory;
use crate::nvidia::{CardVitals, Driver};

/// What telemetry reads of a pool.
///
/// A real card has what NVML reports of it and what this run has booked on it. A simulated card has what is booked and
/// what tasks report to use. CPU slots report nothing and are left out. A value that a device does not report is absent.
#[derive(Debug)]
pub struct TelemetrySource {
    driver: Option<Arc<Driver>>,
    devices: Vec<SampledDevice>,
    booked: BookedMemory,
    simulated: Option<SimulatedMemory>,
}

#[derive(Debug)]
struct SampledDevice {
    info: DeviceInfo,
    /// Whether a sample has said that it is lost.
    lost: bool,
}

impl TelemetrySource {
    /// `None` if no device reports anything.
    pub(crate) fn new(
        driver: Option<Arc<Driver>>,
        devices: Vec<DeviceInfo>,
        booked: BookedMemory,
        simulated: Option<SimulatedMemory>,
    ) -> Option<Self> {
        let devices: Vec<_> = devices
            .into_iter()
            .filter(|info| info.device != Device::Cpu)
            .map(|info| SampledDevice { info, lost: false })
            .collect();
        (!devices.is_empty()).then_some(Self { driver, devices, booked, simulated })
    }

    /// The devices that it samples.
    pub fn devices(&self) -> impl Iterator<Item = &DeviceInfo> {
        self.devices.iter().map(|sampled| &sampled.info)
    }

    /// Samples all devices; blocks for some calls of NVIDIA's library. A card that is lost is reported so once and not
    /// read again.
    #[must_use]
    pub fn sample(&mut self) -> Vec<DeviceSample> {
        let (driver, booked, simulated) = (self.driver.as_deref(), &self.booked, self.simulated.as_ref());
        let usable = self.devices.iter_mut().filter(|sampled| !sampled.lost);
        usable.map(|sampled| sampled.sample(driver, booked, simulated)).collect()
    }
}

impl SampledDevice {
    fn sample(
        &mut self,
        driver: Option<&Driver>,
        booked: &BookedMemory,
        simulated: Option<&SimulatedMemory>,
    ) -> DeviceSample {
        let mut sample = DeviceSample {
            memory_booked: self.info.memory.and_then(|_| booked.of(self.info.device)),
            memory_used: simulated.and_then(|memory| memory.used_on(self.info.device)),
            memory_total: self.info.memory,
            ..DeviceSample::unknown(self.info.device)
        };
        let (Some(driver), Some(uuid)) = (driver, self.info.uuid.as_deref()) else { return sample };
        match driver.observe(uuid) {
            Ok((memory, CardVitals { utilization, temperature, power })) => {
                sample.memory_used = memory.map(|memory| memory.used);
                sample.memory_total = memory.map(|memory| memory.total).or(sample.memory_total);
                sample.utilization = utilization.map(f64::from);
                sample.temperature = temperature.map(f64::from);
                sample.power = power.map(|milliwatts| f64::from(milliwatts) / 1e3);
            }
            Err(error) => {
                self.lost = true;
                sample.lost = Some(error.to_string());
            }
        }
        sample
    }
}
