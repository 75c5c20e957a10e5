//! Looks at a pool's devices now and then, from a thread of its own: how busy, full, hungry and warm they are.
//!
//! It shares nothing with leasing but one number for each device, which leasing writes and it reads, and NVIDIA's
//! library. Nobody waits for it.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::thread;
use std::time::Duration;

use fedflow_core::{Device, DeviceInfo, DeviceSample, LeaseTable, Size};

use crate::nvml::{Driver, Vitals};
use crate::pool::SimulatedMemory;

/// How long the end of a run waits for a look that is under way. A card that is being lost may take its time.
const PATIENCE: Duration = Duration::from_secs(2);

/// Looks at the devices of a pool each time it is told to. It has no thread of its own.
///
/// What a device does not tell is absent. A real card tells what NVML knows of it, and what this run has booked on
/// it; a simulated card what is booked, and what tasks say that they use. CPU slots tell nothing and are left out.
#[derive(Debug)]
pub struct TelemetrySource {
    driver: Option<Arc<Driver>>,
    devices: Vec<Watched>,
    booked: BookedMemory,
    simulated: Option<SimulatedMemory>,
}

#[derive(Debug)]
struct Watched {
    info: DeviceInfo,
    /// Whether it has been told that it is lost.
    lost: bool,
}

impl TelemetrySource {
    /// `None` if there is nothing that could be seen of any device.
    pub(crate) fn new(
        driver: Option<Arc<Driver>>,
        devices: Vec<DeviceInfo>,
        booked: BookedMemory,
        simulated: Option<SimulatedMemory>,
    ) -> Option<Self> {
        let devices: Vec<_> = devices
            .into_iter()
            .filter(|info| info.device != Device::Cpu)
            .map(|info| Watched { info, lost: false })
            .collect();
        (!devices.is_empty()).then_some(Self { driver, devices, booked, simulated })
    }

    /// The devices that it looks at.
    pub fn devices(&self) -> impl Iterator<Item = &DeviceInfo> {
        self.devices.iter().map(|watched| &watched.info)
    }

    /// Looks at all devices; blocks for some calls of NVIDIA's library. A card that is lost is told so once, and not
    /// looked at again; the others go on.
    #[must_use]
    pub fn sample(&mut self) -> Vec<DeviceSample> {
        let (driver, booked, simulated) = (self.driver.as_deref(), &self.booked, self.simulated.as_ref());
        let seen = self.devices.iter_mut().filter(|watched| !watched.lost);
        seen.map(|watched| watched.sample(driver, booked, simulated)).collect()
    }
}

impl Watched {
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
            Ok((memory, Vitals { utilization, temperature, power })) => {
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

/// The memory that a run's leases have booked of each device. Leasing writes it, telemetry reads it; neither waits
/// for the other. Clones are the same numbers.
#[derive(Debug, Clone, Default)]
pub(crate) struct BookedMemory(Arc<[(Device, AtomicU64)]>);

impl BookedMemory {
    /// Of the devices of a table that have memory.
    pub(crate) fn of_table(table: &LeaseTable) -> Self {
        let devices = table.devices().into_iter().filter(|info| info.memory.is_some());
        Self(devices.map(|info| (info.device, AtomicU64::new(0))).collect())
    }

    /// Notes what the table has booked now.
    pub(crate) fn note(&self, table: &LeaseTable) {
        for (device, bytes) in self.0.iter() {
            bytes.store(table.booked(*device).bytes(), Ordering::Relaxed);
        }
    }

    fn of(&self, device: Device) -> Option<Size> {
        let (_, bytes) = self.0.iter().find(|(known, _)| *known == device)?;
        Some(Size::from_bytes(bytes.load(Ordering::Relaxed)))
    }
}

/// A thread that looks at the devices until it is dropped.
#[derive(Debug)]
pub struct TelemetrySampler {
    stop: Option<Sender<()>>,
    /// Disconnected when the thread has ended.
    ended: Receiver<()>,
}

impl TelemetrySampler {
    /// Starts the thread: it looks at once, then each `interval`, and a last time when this is dropped. `on_sample`
    /// is called on the thread.
    ///
    /// # Errors
    /// The system gives no thread.
    pub fn start(
        mut source: TelemetrySource,
        interval: Duration,
        mut on_sample: impl FnMut(Vec<DeviceSample>) + Send + 'static,
    ) -> io::Result<Self> {
        let (stop, stopped) = mpsc::channel::<()>();
        let (running, ended) = mpsc::channel::<()>();
        thread::Builder::new().name("fedflow-telemetry".into()).spawn(move || {
            // Dropped last, whichever way this ends.
            let _running = running;
            let mut on_sample = move |samples: Vec<DeviceSample>| {
                if !samples.is_empty() {
                    on_sample(samples);
                }
            };
            loop {
                on_sample(source.sample());
                if stopped.recv_timeout(interval) != Err(RecvTimeoutError::Timeout) {
                    break;
                }
            }
            on_sample(source.sample());
        })?;
        Ok(Self { stop: Some(stop), ended })
    }
}

impl Drop for TelemetrySampler {
    /// Waits for the last look; but if NVIDIA's library hangs, not for long.
    fn drop(&mut self) {
        drop(self.stop.take());
        // Nothing is ever sent: it returns when the thread has ended, or late.
        let _ = self.ended.recv_timeout(PATIENCE);
    }
}
