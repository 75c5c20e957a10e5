//! What is seen of the devices while a run goes on: from the sampler into the run directory and the report.

use fedflow_core::{Config, TelemetrySample};
use fedflow_gpu::{Pool, TelemetrySampler};
use fedflow_report::{Report, ReportSender};
use fedflow_worker::HostHandle;
use fedflow_worker::store::{RunDir, RunLock, TelemetryWriter, read_telemetry};

use crate::view::{Messages, counted};

/// Who is told of a sample, and when the session began.
pub(crate) struct TelemetryListeners {
    /// In Unix seconds.
    pub(crate) started_unix: f64,
    /// It has the run's clock.
    pub(crate) clock: HostHandle,
    /// Takes every sample.
    pub(crate) report: ReportSender,
    /// Told once if the samples cannot be kept.
    pub(crate) messages: Messages,
}

/// Begins to look at the devices, each `telemetry.interval`; `None` if nothing can be seen of them, or nobody wants to.
/// A run goes on without telemetry, whatever goes wrong with it.
pub(crate) fn start_telemetry(
    pool: &Pool,
    lock: &RunLock,
    config: &Config,
    listeners: TelemetryListeners,
) -> Option<TelemetrySampler> {
    let (source, interval) = (pool.telemetry()?, config.telemetry.interval?);
    let devices: Vec<_> = source.devices().cloned().collect();
    let TelemetryListeners { started_unix, clock, report, messages } = listeners;
    let warn =
        |messages: &Messages, why: String| messages.say(&format!("warning: no telemetry is kept: {why}"));
    let kept = TelemetryWriter::open(lock, interval, &devices);
    let mut kept = kept.map_err(|error| warn(&messages, error.to_string())).ok();
    let say = messages.clone();
    let started = TelemetrySampler::start(source, interval, move |devices| {
        let time = started_unix + clock.now().since_start().as_secs_f64();
        let sample = TelemetrySample { time, seconds: interval.as_secs_f64(), devices };
        report.add_telemetry(sample.clone());
        if let Some(Err(error)) = kept.as_mut().map(|kept| kept.write(sample)) {
            warn(&say, error.to_string());
            kept = None;
        }
    });
    started.map_err(|error| warn(&messages, error.to_string())).ok()
}

/// Reads what earlier sessions have kept into their report. What cannot be read is left out, with a note.
pub(crate) fn add_kept_telemetry(run_dir: &RunDir, report: &mut Report) {
    let note = match read_telemetry(run_dir, |sample| report.add_telemetry(sample)) {
        Ok(0) => return,
        Ok(damaged) => format!("left out of telemetry.jsonl: {}", counted(damaged as u64, "damaged line")),
        Err(error) => format!("telemetry is left out: {error}"),
    };
    crate::stderr::say(&format!("note: {note}"));
}
