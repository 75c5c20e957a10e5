//! A forecast for people: its figures, where each device's time goes, and a picture.

use std::io::{self, Write};

use fedflow_core::{Basis, Device, DeviceUse, Forecast, TaskGroup};

use super::chart;
use super::limits::{LoadingLimit, LoadingLimits};
use super::planned::{Case, OneMore, Planned, label};
use super::rounded_time::span;
use crate::commands::printing::plain_table;
use crate::view::{count, counted, escape};

/// How many devices are shown one by one.
const SHOWN_DEVICES: usize = 16;
/// How many groups a note names.
const NAMED_GROUPS: usize = 3;
/// How wide the names of figures are, in columns.
const LABEL: usize = 16;

/// One way to run a flow, in full; the second case is the same without overlap.
pub(super) fn write_single(out: &mut dyn Write, planned: &Planned) -> io::Result<()> {
    let Some(Case { devices, order, overlap, forecast: Ok(forecast), .. }) = planned.cases.first() else {
        return Ok(());
    };
    write_head(out, planned)?;
    let count = number(forecast.devices.len(), if devices.starts_with("cpu") { "slot" } else { "card" });
    figure(out, "devices", &format!("{devices} ({count})"))?;
    figure(out, "order", order)?;
    if !overlap {
        figure(out, "overlap", "none: each task holds its device from its start to its end")?;
    }
    figure(out, "makespan", &span(forecast.makespan))?;
    let above = forecast.makespan.as_secs_f64() / forecast.lower_bound.as_secs_f64().max(f64::MIN_POSITIVE);
    let bound = if forecast.lower_bound.is_zero() || above < 1.0005 {
        span(forecast.lower_bound)
    } else {
        format!("{} (the makespan is {above:.3} times that)", span(forecast.lower_bound))
    };
    figure(out, "lower bound", &bound)?;
    let idle = format!("{} ({} of the devices' time)", span(forecast.idle()), percent(forecast.idle_share()));
    figure(out, "device idle", &idle)?;
    if let Some(Case { overlap: false, forecast: Ok(other), .. }) = planned.cases.get(1) {
        let times = other.makespan.as_secs_f64() / forecast.makespan.as_secs_f64().max(f64::MIN_POSITIVE);
        figure(out, "without overlap", &format!("{} ({times:.2} times as long)", span(other.makespan)))?;
    }
    writeln!(out)?;
    write_device_uses(out, forecast)?;
    write_notes(out, planned)
}

/// Several ways to run a flow, a line each.
pub(super) fn write_comparison(out: &mut dyn Write, planned: &Planned) -> io::Result<()> {
    write_head(out, planned)?;
    writeln!(out)?;
    let first = planned.cases.first().and_then(|case| case.forecast.as_ref().ok());
    let rows = planned.cases.iter().map(|case| {
        let Ok(forecast) = &case.forecast else {
            let dash = || "-".to_owned();
            return [case.devices.clone(), case.order.clone(), "cannot run".into(), dash(), dash(), dash()];
        };
        let faster = first.map_or_else(
            || "-".into(),
            |first| {
                let makespan = forecast.makespan.as_secs_f64().max(f64::MIN_POSITIVE);
                format!("{:.2}", first.makespan.as_secs_f64() / makespan)
            },
        );
        [
            case.devices.clone(),
            case.order.clone(),
            span(forecast.makespan),
            span(forecast.lower_bound),
            format!("{} ({})", span(forecast.idle()), percent(forecast.idle_share())),
            faster,
        ]
    });
    let header = ["devices", "order", "makespan", "lower bound", "device idle", "speed-up"];
    writeln!(out, "{}", plain_table(header, rows))?;
    if planned.cases.iter().any(|case| !case.overlap) {
        writeln!(out, "without overlap: each task holds its device from its start to its end")?;
    }
    for OneMore { devices, what, order, makespan: (without, with) } in &planned.one_more {
        let gain = without.saturating_sub(*with);
        writeln!(out, "{devices} and one more {what}, {order}: {} ({} less)", span(*with), span(gain))?;
    }
    for case in &planned.cases {
        if let Err(error) = &case.forecast {
            writeln!(out, "{}: {}", case.devices, escape(&error.to_string()))?;
        }
    }
    write_notes(out, planned)
}

fn write_head(out: &mut dyn Write, planned: &Planned) -> io::Result<()> {
    let groups = number(planned.groups.len(), "group");
    figure(out, "flow", &format!("{} in {groups}", number(planned.times.len(), "task")))?;
    let from = planned.earlier.as_ref().map_or("", |earlier| earlier.name.as_str());
    let bases = planned.times.bases().into_iter().map(|(basis, count)| (basis, thousands(count)));
    let bases = bases.map(|(basis, count)| match basis {
        Basis::Recorded => format!("{count} from {}", escape(from)),
        Basis::Declared => format!("{count} declared"),
        Basis::Alike => format!("{count} as their like in {}", escape(from)),
        Basis::Failed => format!("{count} as far as they came in {}", escape(from)),
        Basis::Group => format!("{count} as their group's others"),
        Basis::Unknown => format!("{count} unknown"),
    });
    figure(out, "durations", &bases.collect::<Vec<_>>().join(", "))?;
    if let Some(earlier) = &planned.earlier {
        let recorded = earlier.durations.totals();
        let end = if recorded.complete { "" } else { ", not to its end" };
        let sessions =
            if recorded.sessions > 1 { format!(" in {} sessions", recorded.sessions) } else { String::new() };
        let text = format!("{} on {}{sessions}{end}", span(recorded.makespan), label(&earlier.devices));
        figure(out, "recorded", &text)?;
    }
    Ok(())
}

fn figure(out: &mut dyn Write, name: &str, value: &str) -> io::Result<()> {
    writeln!(out, "{name:<LABEL$} {value}")
}

/// Where each device's time goes, as a table and as a chart.
fn write_device_uses(out: &mut dyn Write, forecast: &Forecast) -> io::Result<()> {
    let whole = forecast.makespan.as_secs_f64().max(f64::MIN_POSITIVE);
    let rows = forecast.devices.iter().take(SHOWN_DEVICES).map(|device| {
        [
            device_label(device),
            thousands(device.trainings),
            format!("{} ({})", span(device.busy), percent(device.busy.as_secs_f64() / whole)),
            span(device.waiting),
            span(device.tail),
        ]
    });
    let header = ["device", "trains", "busy", "waits for loads", "nothing left to train"];
    writeln!(out, "{}", plain_table(header, rows))?;
    writeln!(out)?;
    let shown = forecast.devices.len().min(SHOWN_DEVICES);
    let labels: Vec<String> = forecast.devices[..shown].iter().map(device_label).collect();
    for line in chart::lines(forecast, &labels, chart::width()) {
        writeln!(out, "{line}")?;
    }
    if forecast.devices.len() > shown {
        writeln!(out, "… and {} more", number(forecast.devices.len() - shown, "device"))?;
    }
    Ok(())
}

fn write_notes(out: &mut dyn Write, planned: &Planned) -> io::Result<()> {
    for (basis, what) in [
        (Basis::Group, "taken to last as long as the others of the group on average"),
        (Basis::Unknown, "taken to last no time at all"),
    ] {
        let groups = planned.times.groups_with(basis);
        if groups.is_empty() {
            continue;
        }
        let in_order =
            planned.groups.iter().map(TaskGroup::group_name).filter(|name| groups.contains_key(name));
        let mut names: Vec<String> = in_order.take(NAMED_GROUPS).map(|name| name.to_string()).collect();
        if groups.len() > NAMED_GROUPS {
            names.push("…".into());
        }
        let tasks = number(groups.values().sum(), "task");
        writeln!(out, "note: {tasks} (in {}) of unknown duration, {what}", names.join(", "))?;
    }
    if let Some(earlier) = &planned.earlier {
        let recorded = earlier.durations.totals();
        if recorded.failed_attempts > 0 {
            writeln!(
                out,
                "note: in {} {} failed and held devices for {}; the plan expects no failures",
                escape(&earlier.name),
                counted(recorded.failed_attempts, "attempt"),
                span(recorded.failed_training)
            )?;
        }
    }
    let several = planned.cases.iter().filter(|case| case.overlap).count() > 1;
    for Case { devices, order, limited, .. } in &planned.cases {
        let Some(limited) = limited else { continue };
        let case = if several { format!("on {devices}, {order}: ") } else { String::new() };
        writeln!(out, "note: {case}{}", limited_by(limited))?;
    }
    for case in &planned.cases {
        let Ok(forecast) = &case.forecast else { continue };
        if let Some((group, task, failure)) = forecast.failed.first() {
            let tasks = number(forecast.failed.len(), "task");
            writeln!(
                out,
                "warning: on {} {tasks} would fail, the first {group}/{task} in {}: {}",
                case.devices,
                failure.stage,
                escape(&failure.message)
            )?;
        }
    }
    Ok(())
}

/// Limits that keep devices idle although tasks wait to load, and the makespan with higher ones.
fn limited_by(limited: &LoadingLimits) -> String {
    let joined =
        |part: fn(&LoadingLimit) -> String| limited.limits.iter().map(part).collect::<Vec<_>>().join(" and ");
    let are = joined(|limit| format!("{} = {}", limit.key, limit.value));
    let enough = joined(|limit| limit.enough.to_string());
    format!("limited by {are}; with {enough} it would take {}", span(limited.makespan))
}

fn device_label(used: &DeviceUse) -> String {
    if used.device == Device::Cpu { format!("cpu slot {}", used.slot) } else { used.device.to_string() }
}

fn thousands(number: usize) -> String {
    count(u64::try_from(number).unwrap_or(u64::MAX))
}

fn number(count: usize, noun: &str) -> String {
    counted(u64::try_from(count).unwrap_or(u64::MAX), noun)
}

fn percent(share: f64) -> String {
    format!("{:.1} %", 100.0 * share)
}
