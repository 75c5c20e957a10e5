//! `results.json`: the exact results, for programs.

use std::borrow::Cow;
use std::io::Write;

use fedflow_core::{Device, FailureKind, MemoryUse, PlainDict, Size, Stage};
use serde::Serialize;

use crate::analysis::device_use::DeviceUse;
use crate::analysis::summary::Summary;
use crate::formats::render_error::RenderError;
use crate::report::{GroupReport, OutcomeKind, Report, TaskReport};

/// The version of the format.
const SCHEMA: u32 = 2;
/// The error message of a task that has not ended.
pub(crate) const DID_NOT_END: &str = "it did not run to its end";

/// Writes `results.json`, schema 2, with a line for each task. What schema 1 had is there as it was.
///
/// It is strict JSON. A float that is not finite is the text `"NaN"`, `"Infinity"` or `"-Infinity"`; bytes are
/// `{"$bytes": base64}`. A task that has not ended is reported as cancelled.
///
/// # Errors
/// The writer fails.
pub fn render_json(report: &Report, mut out: impl Write) -> Result<(), RenderError> {
    render_groups(report, &mut out)?;
    writeln!(out, "}}")?;
    out.flush()?;
    Ok(())
}

/// Writes `results.json` with a list `devices`: how each device was used, and its telemetry. Each CPU slot is a device
/// of its own.
///
/// # Errors
/// The writer fails.
pub fn render_json_with_devices(report: &Report, mut out: impl Write) -> Result<(), RenderError> {
    render_groups(report, &mut out)?;
    render_devices(report, &mut out)?;
    writeln!(out, "}}")?;
    out.flush()?;
    Ok(())
}

fn render_groups(report: &Report, out: &mut impl Write) -> Result<(), RenderError> {
    let flow = serde_json::to_string(report.flow())?;
    write!(out, "{{\"schema\":{SCHEMA},\"flow\":{flow},\"groups\":[")?;
    for (place, group) in report.groups().iter().enumerate() {
        let name = serde_json::to_string(group.name.as_str())?;
        let workdir = serde_json::to_string(&group.workdir)?;
        let comma = if place > 0 { "," } else { "" };
        write!(out, "{comma}\n  {{\"index\":{},\"name\":{name},\"workdir\":{workdir},", group.index)?;
        write!(out, "\"tasks\":[")?;
        // In one thread: writing a task takes less time than passing it to another thread and back.
        for (place, task) in group.tasks().iter().enumerate() {
            out.write_all(if place > 0 { b",\n    " } else { b"\n    " })?;
            serde_json::to_writer(&mut *out, &TaskRow::new(group, task))?;
        }
        write!(out, "]}}")?;
    }
    write!(out, "]")?;
    Ok(())
}

/// How each device was used, a line for each; nothing if no device is known.
fn render_devices(report: &Report, out: &mut impl Write) -> Result<(), RenderError> {
    let devices = Summary::of_run(report).devices;
    if devices.is_empty() {
        return Ok(());
    }
    write!(out, ",\"devices\":[")?;
    for (place, device) in devices.iter().enumerate() {
        out.write_all(if place > 0 { b",\n  " } else { b"\n  " })?;
        serde_json::to_writer(&mut *out, &DeviceRow::new(device))?;
    }
    write!(out, "]")?;
    Ok(())
}

#[derive(Serialize)]
struct TaskRow<'a> {
    id: &'a str,
    params: PlainDict<'a>,
    status: &'static str,
    device: Option<Device>,
    workdir: Option<Cow<'a, str>>,
    attempts: u32,
    load_seconds: Option<f64>,
    train_seconds: Option<f64>,
    result: Option<PlainDict<'a>>,
    error: Option<ErrorRow<'a>>,
    /// Estimate and peak of the last attempt whose memory was measured.
    #[serde(skip_serializing_if = "Option::is_none")]
    memory: Option<MemoryRow>,
}

#[derive(Serialize)]
struct MemoryRow {
    host: Option<MemoryUse>,
    card: Option<MemoryUse>,
}

#[derive(Serialize)]
struct ErrorRow<'a> {
    stage: Stage,
    kind: FailureKind,
    message: &'a str,
}

/// How a device was used. Seconds are wall time; tasks that share a card count once.
#[derive(Serialize)]
struct DeviceRow<'a> {
    device: Device,
    slot: u32,
    name: &'a str,
    trained: usize,
    training_seconds: f64,
    training_share: f64,
    leased_loading_seconds: f64,
    idle_seconds: f64,
    idle_while_work_waited_seconds: f64,
    #[serde(skip_serializing_if = "Option::is_none")]
    telemetry: Option<TelemetryRow>,
}

/// The telemetry of a device; null for what was not measured.
#[derive(Serialize)]
struct TelemetryRow {
    mean_utilization_percent: Option<f64>,
    peak_memory: Option<Size>,
    peak_booked_memory: Option<Size>,
    mean_power_watts: Option<f64>,
    energy_watt_hours: Option<f64>,
    peak_temperature_celsius: Option<f64>,
}

impl<'a> DeviceRow<'a> {
    fn new(device: &'a DeviceUse) -> Self {
        let round = |number: f64| (number * 1e3).round() / 1e3;
        Self {
            device: device.row.device,
            slot: device.row.slot,
            name: &device.name,
            trained: device.trained,
            training_seconds: round(device.busy.as_secs_f64()),
            training_share: round(device.busy_share()),
            leased_loading_seconds: round(device.loading.as_secs_f64()),
            idle_seconds: round(device.idle.as_secs_f64()),
            idle_while_work_waited_seconds: round(device.starved.as_secs_f64()),
            telemetry: device.telemetry.map(|seen| TelemetryRow {
                mean_utilization_percent: seen.mean_utilization.map(round),
                peak_memory: seen.peak_memory,
                peak_booked_memory: seen.peak_booked,
                mean_power_watts: seen.mean_power.map(round),
                energy_watt_hours: seen.energy.map(round),
                peak_temperature_celsius: seen.peak_temperature,
            }),
        }
    }
}

impl<'a> TaskRow<'a> {
    fn new(group: &GroupReport, task: &'a TaskReport) -> Self {
        let kind = task.kind();
        let error = match task.failure() {
            Some(failure) => {
                Some(ErrorRow { stage: failure.stage, kind: failure.kind, message: &failure.message })
            }
            None if kind == OutcomeKind::Open => {
                Some(ErrorRow { stage: task.stage(), kind: FailureKind::Cancelled, message: DID_NOT_END })
            }
            None => None,
        };
        Self {
            id: task.id.as_str(),
            params: PlainDict(&task.params),
            status: recorded_status(kind),
            device: task.device,
            workdir: group.workdir_of(task),
            attempts: task.attempts,
            load_seconds: task.load_time.map(|time| time.as_secs_f64()),
            train_seconds: task.train_time.map(|time| time.as_secs_f64()),
            result: task.result().map(PlainDict),
            error,
            memory: task
                .measured()
                .map(|measured| MemoryRow { host: Some(measured.host), card: measured.card }),
        }
    }
}

/// The status in the formats for programs, in which an open task is cancelled.
pub(crate) fn recorded_status(kind: OutcomeKind) -> &'static str {
    match kind {
        OutcomeKind::Finished => "finished",
        OutcomeKind::Exception => "exception",
        OutcomeKind::Skipped => "skipped",
        OutcomeKind::Cancelled | OutcomeKind::Open => "cancelled",
    }
}
