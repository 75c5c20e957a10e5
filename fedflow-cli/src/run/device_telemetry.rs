//! Device telemetry: samples of the devices while a run goes on, kept in the run directory and told to the report.

use fedflow_core::{Config, TelemetrySample};
use fedflow_gpu::{Pool, TelemetrySampler};
use fedflow_report::{Report, ReportSender};
use fedflow_worker::HostHandle;
use fedflow_worker::store::{RunDir, RunLock, TelemetryWriter, read_telemetry};

use crate::notice::Notices;

/// Where samples go, and the session's clock.
pub(super) struct SampleTargets {
    /// When the session began, in Unix seconds.
    pub(super) started_unix: f64,
    /// Has the session's clock.
    pub(super) clock: HostHandle,
    /// Takes every sample.
    pub(super) report: ReportSender,
    /// Is warned once if samples cannot be kept.
    pub(super) notices: Notices,
}

/// Begins to sample the devices every `telemetry.interval`; `None` if nothing can be seen of them or the configuration
/// has no interval. A run goes on without telemetry, whatever goes wrong with it.
pub(super) fn start_telemetry(
    pool: &Pool,
    lock: &RunLock,
    config: &Config,
    targets: SampleTargets,
) -> Option<TelemetrySampler> {
    let (source, interval) = (pool.telemetry()?, config.telemetry.interval?);
    let devices: Vec<_> = source.devices().cloned().collect();
    let SampleTargets { started_unix, clock, report, notices } = targets;
    let warn = |notices: &Notices, why: String| notices.warn(format_args!("no telemetry is kept: {why}"));
    let kept = TelemetryWriter::open(lock, interval, &devices);
    let mut kept = kept.map_err(|error| warn(&notices, error.to_string())).ok();
    let told = notices.clone();
    let started = TelemetrySampler::start(source, interval, move |devices| {
        let time = started_unix + clock.now().since_start().as_secs_f64();
        let sample = TelemetrySample { time, seconds: interval.as_secs_f64(), devices };
        report.add_telemetry(sample.clone());
        if let Some(Err(error)) = kept.as_mut().map(|kept| kept.write(sample)) {
            warn(&told, error.to_string());
            kept = None;
        }
    });
    started.map_err(|error| warn(&notices, error.to_string())).ok()
}

/// Reads what earlier sessions have kept into their report. Returns what to say of samples that cannot be read; the
/// report does without them.
pub(super) fn add_kept_telemetry(run_dir: &RunDir, report: &mut Report) -> Option<String> {
    match read_telemetry(run_dir, |sample| report.add_telemetry(sample)) {
        Ok(0) => None,
        Ok(1) => Some("left out of telemetry.jsonl: 1 damaged line".into()),
        Ok(damaged) => Some(format!("left out of telemetry.jsonl: {damaged} damaged lines")),
        Err(error) => Some(format!("telemetry is left out: {error}")),
    }
}
