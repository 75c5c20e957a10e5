//! `TelemetrySampler`: the thread that samples devices until it is dropped.

use std::io;
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::thread;
use std::time::Duration;

use fedflow_core::DeviceSample;

use super::telemetry_source::TelemetrySource;

/// How long the end of a run waits for a sample that is being taken. A card that is being lost may take long to answer.
const PATIENCE: Duration = Duration::from_secs(2);

/// A thread that samples devices until the value is dropped.
#[derive(Debug)]
pub struct TelemetrySampler {
    stop: Option<Sender<()>>,
    /// Disconnected when the thread has ended.
    ended: Receiver<()>,
}

impl TelemetrySampler {
    /// Starts the thread. It samples at once, then each `interval`, and a last time when the value is dropped.
    /// `on_sample` is called on the thread.
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
            // Dropped last, even if the thread panics.
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
    /// Waits for the last sample, but not for long if NVIDIA's library hangs.
    fn drop(&mut self) {
        drop(self.stop.take());
        // Nothing is ever sent: this returns when the thread has ended, or when the time is up.
        let _ = self.ended.recv_timeout(PATIENCE);
    }
}
