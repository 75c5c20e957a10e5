//! Device telemetry: samples the devices while a run goes on, for the run directory and the report.

use fedflow_core::{Config, TelemetrySample};
use fedflow_gpu::{Pool, TelemetrySampler};
use fedflow_report::ReportSender;
use fedflow_worker::HostHandle;
use fedflow_worker::store::{RunLock, TelemetryWriter};

use crate::run::notice::Notices;

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
        let sample = TelemetrySample { time, duration: interval, devices };
        report.add_telemetry(sample.clone());
        if let Some(Err(error)) = kept.as_mut().map(|kept| kept.write(sample)) {
            warn(&told, error.to_string());
            kept = None;
        }
    });
    started.map_err(|error| warn(&notices, error.to_string())).ok()
}
