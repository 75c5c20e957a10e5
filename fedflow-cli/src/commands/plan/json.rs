//! A forecast for programs: one JSON object. Seconds are of virtual time.

use std::io::{self, Write};

use fedflow_core::{Basis, Forecast};
use serde::Serialize;

use super::limits::{LoadingLimit, LoadingLimits};
use super::planned::{Case, OneMore, Planned};

/// The version of the format, which only gains members.
const SCHEMA: u32 = 1;

/// Writes the forecasts.
pub(super) fn write(out: &mut dyn Write, planned: &Planned) -> io::Result<()> {
    let bases = planned.times.bases();
    let count = |basis| bases.get(&basis).copied().unwrap_or_default();
    let document = Document {
        schema: SCHEMA,
        flow: &planned.flow,
        groups: planned.groups.len(),
        tasks: planned.times.len(),
        durations: DurationCounts {
            recorded: count(Basis::Recorded),
            declared: count(Basis::Declared),
            alike: count(Basis::Alike),
            failed: count(Basis::Failed),
            group_mean: count(Basis::Group),
            unknown: count(Basis::Unknown),
        },
        recorded: planned.earlier.as_ref().map(|earlier| {
            let recorded = earlier.durations.totals();
            RecordedRun {
                run_dir: &earlier.name,
                makespan_seconds: recorded.makespan.as_secs_f64(),
                sessions: recorded.sessions,
                complete: recorded.complete,
                failed_attempts: recorded.failed_attempts,
                failed_training_seconds: recorded.failed_training.as_secs_f64(),
            }
        }),
        plans: planned.cases.iter().map(Plan::of).collect(),
        one_more: planned.one_more.iter().map(OneMoreDevice::of).collect(),
    };
    serde_json::to_writer_pretty(&mut *out, &document)?;
    writeln!(out)
}

#[derive(Serialize)]
struct Document<'a> {
    schema: u32,
    flow: &'a str,
    groups: usize,
    tasks: usize,
    durations: DurationCounts,
    recorded: Option<RecordedRun<'a>>,
    plans: Vec<Plan<'a>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    one_more: Vec<OneMoreDevice<'a>>,
}

/// What one more device would bring.
#[derive(Serialize)]
struct OneMoreDevice<'a> {
    devices: &'a str,
    one_more: &'a str,
    order: &'a str,
    makespan_seconds: f64,
}

/// How many tasks' durations come from where.
#[derive(Serialize)]
struct DurationCounts {
    recorded: usize,
    declared: usize,
    alike: usize,
    failed: usize,
    group_mean: usize,
    unknown: usize,
}

#[derive(Serialize)]
struct RecordedRun<'a> {
    run_dir: &'a str,
    makespan_seconds: f64,
    sessions: u32,
    complete: bool,
    failed_attempts: u64,
    failed_training_seconds: f64,
}

#[derive(Serialize)]
struct Plan<'a> {
    devices: &'a str,
    order: &'a str,
    overlap: bool,
    error: Option<String>,
    limited_by: Option<LimitedBy>,
    #[serde(flatten)]
    figures: Option<Figures>,
}

/// Limits that keep devices idle although tasks wait to load, and the makespan with higher ones.
#[derive(Serialize)]
struct LimitedBy {
    limits: Vec<Limit>,
    makespan_seconds: f64,
}

#[derive(Serialize)]
struct Limit {
    key: &'static str,
    value: u32,
    enough: u32,
}

#[derive(Serialize)]
struct Figures {
    makespan_seconds: f64,
    lower_bound_seconds: f64,
    idle_seconds: f64,
    idle_share: f64,
    #[serde(rename = "lanes")]
    devices: Vec<DeviceForecast>,
    groups: Vec<Group>,
    would_fail: Vec<Failed>,
}

#[derive(Serialize)]
struct DeviceForecast {
    device: String,
    slot: u32,
    trains: usize,
    busy_seconds: f64,
    waiting_seconds: f64,
    tail_seconds: f64,
}

#[derive(Serialize)]
struct Group {
    name: String,
    from_seconds: f64,
    to_seconds: f64,
}

#[derive(Serialize)]
struct Failed {
    group: String,
    task: String,
    stage: String,
    kind: String,
    message: String,
}

impl<'a> OneMoreDevice<'a> {
    fn of(one_more: &'a OneMore) -> Self {
        let OneMore { devices, what, order, makespan: (_, with) } = one_more;
        Self { devices, one_more: what, order, makespan_seconds: with.as_secs_f64() }
    }
}

impl<'a> Plan<'a> {
    fn of(case: &'a Case) -> Self {
        let Case { devices, order, overlap, forecast, limited } = case;
        Self {
            devices,
            order,
            overlap: *overlap,
            error: forecast.as_ref().err().map(ToString::to_string),
            limited_by: limited.as_ref().map(LimitedBy::of),
            figures: forecast.as_ref().ok().map(Figures::of),
        }
    }
}

impl LimitedBy {
    fn of(limited: &LoadingLimits) -> Self {
        let limit = |limit: &LoadingLimit| Limit { key: limit.key, value: limit.value, enough: limit.enough };
        Self {
            limits: limited.limits.iter().map(limit).collect(),
            makespan_seconds: limited.makespan.as_secs_f64(),
        }
    }
}

impl Figures {
    fn of(forecast: &Forecast) -> Self {
        let devices = forecast.devices.iter().map(|device| DeviceForecast {
            device: device.device.to_string(),
            slot: device.slot,
            trains: device.trainings,
            busy_seconds: device.busy.as_secs_f64(),
            waiting_seconds: device.waiting.as_secs_f64(),
            tail_seconds: device.tail.as_secs_f64(),
        });
        let groups = forecast.groups.iter().map(|group| Group {
            name: group.name.to_string(),
            from_seconds: group.from.as_secs_f64(),
            to_seconds: group.to.as_secs_f64(),
        });
        let would_fail = forecast.failed.iter().map(|(group, task, failure)| Failed {
            group: group.to_string(),
            task: task.to_string(),
            stage: failure.stage.to_string(),
            kind: failure.kind.to_string(),
            message: failure.message.clone(),
        });
        Self {
            makespan_seconds: forecast.makespan.as_secs_f64(),
            lower_bound_seconds: forecast.lower_bound.as_secs_f64(),
            idle_seconds: forecast.idle().as_secs_f64(),
            idle_share: forecast.idle_share(),
            devices: devices.collect(),
            groups: groups.collect(),
            would_fail: would_fail.collect(),
        }
    }
}
