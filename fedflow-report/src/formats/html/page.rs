//! The content of the HTML page of a run or of one of its groups.

use std::io::Write;

use fedflow_core::{DeviceInfo, EstimateSource, RunOutcome};
use indexmap::IndexMap;
use minijinja::value::Value as Html;
use serde::Serialize;

use crate::analysis::chart_series::{Axis, Charts, item_charts, result_charts};
use crate::analysis::device_use::DeviceUse;
use crate::analysis::family_memory::{Advice, FamilyMemory, MemoryKind, memory_by_family};
use crate::analysis::summary::Summary;
use crate::analysis::timeline::Timeline;
use crate::formats::html::failure_list::{Failures, RetryRow, and_more, retries};
use crate::formats::html::figures::{Figure, timeline_description};
use crate::formats::html::links::{reference, timeline_link};
use crate::formats::html::page_data::{ExperimentData, Measured, PageData};
use crate::formats::html::task_tables::{Share, Table, group_table, shares, task_table};
use crate::formats::html::tiles::{Tile, tiles};
use crate::formats::render_error::RenderError;
use crate::formats::templates::environment;
use crate::report::{GroupReport, Report};
use crate::text::visible_text::visible;
use crate::text::wording::{duration, energy, grouped, moment, outcome_text, percent};

/// Renders the page of one group, or of the whole run.
pub(super) fn render(
    report: &Report,
    group: Option<&GroupReport>,
    mut out: impl Write,
) -> Result<(), RenderError> {
    let environment = environment()?;
    let timeline = Timeline::new(report);
    let (groups, summary) = match group {
        Some(group) => (std::slice::from_ref(group), Summary::of_group(report, group)),
        None => (report.groups(), Summary::of_run(report)),
    };
    let to_root = if group.is_some() { "../" } else { "" };
    // A group's page has tables alone, so that the pages of thousands of rounds stay small.
    let whole = group.is_none();
    let charted = if whole { groups } else { &[] };
    // In a large run these take about as long, so they are made in parallel.
    let (drawn, tables) = rayon::join(
        || {
            let experiment = if whole { ExperimentData::new(report) } else { None };
            // Without parameters, what varies is taken from the names of groups and tasks.
            let named = if experiment.is_some() { &[] } else { charted };
            let (results, items) = (result_charts(named), item_charts(named));
            let data =
                whole.then(|| PageData::new(report, &summary, &timeline, experiment, &results, &items));
            (results, items, data.filter(|data| !data.is_empty()))
        },
        || {
            let of_groups = whole.then(|| group_table(&environment, report, &timeline)).transpose()?;
            Ok::<_, RenderError>((of_groups, task_table(&environment, groups, &timeline, !whole)?))
        },
    );
    let ((results, items, data), (group_table, task_table)) = (drawn, tables?);
    let figures = |charts: &Charts| charts.charts.iter().map(Figure::new).collect();
    let (retries, retries_left_out) = retries(groups, &timeline);
    let page = Page {
        title: match group {
            Some(group) => format!("{} · {}", group.name, report.flow()),
            None => report.flow().to_owned(),
        },
        heading: group.map_or_else(|| report.flow(), |group| group.name.as_str()),
        flow: report.flow(),
        is_group: group.is_some(),
        neighbours: group.map(|group| Neighbours::new(report, group)),
        outcome: outcome_text(&summary.counts),
        state: state(report, group, &summary),
        started: groups_started(report, group).map(moment),
        facts: facts(report, group, &timeline),
        tiles: tiles(&summary),
        shares: shares(&summary.counts),
        failures: Failures::new(report, groups, to_root),
        has_lines: results.charts.iter().any(|chart| chart.axis != Axis::Task),
        experiment: data.as_ref().is_some_and(PageData::has_experiment),
        curves: figures(&results),
        more_curves: and_more(results.left_out, "results"),
        items: figures(&items),
        more_items: and_more(items.left_out, "items"),
        timeline: (data.is_some() && !summary.makespan.is_zero()).then(|| timeline_description(&summary)),
        in_timeline: group.filter(|_| !summary.makespan.is_zero()).map(timeline_link),
        measured: data.as_ref().map(PageData::measured).unwrap_or_default(),
        data: data.as_ref().map(PageData::embedded).transpose()?,
        memory: memory_rows(groups),
        devices: summary.devices.iter().map(DeviceRow::new).collect(),
        seen: summary.devices.iter().any(|device| device.telemetry.is_some()),
        groups: group_table,
        tasks: task_table,
        retries,
        more_retries: and_more(retries_left_out, "retries"),
        to_root,
    };
    environment.get_template("page.html")?.render_captured_to(minijinja::value::Serde(page), &mut out)?;
    out.flush()?;
    Ok(())
}

#[derive(Serialize)]
struct Page<'a> {
    title: String,
    heading: &'a str,
    flow: &'a str,
    is_group: bool,
    neighbours: Option<Neighbours>,
    outcome: String,
    state: &'static str,
    started: Option<String>,
    facts: Vec<(&'static str, String)>,
    tiles: Vec<Tile>,
    shares: Vec<Share>,
    failures: Failures,
    has_lines: bool,
    /// Whether results are shown by parameters.
    experiment: bool,
    curves: Vec<Figure>,
    more_curves: Option<String>,
    items: Vec<Figure>,
    more_items: Option<String>,
    /// What is said of the timeline; none if nothing is drawn.
    timeline: Option<String>,
    /// The link to a group's stretch of the run's timeline.
    in_timeline: Option<String>,
    measured: Measured,
    /// The data of the charts; none if there is no chart.
    data: Option<Html>,
    devices: Vec<DeviceRow>,
    memory: Vec<MemoryRow>,
    /// Whether there is telemetry of the devices.
    seen: bool,
    groups: Option<Table>,
    tasks: Table,
    retries: Vec<RetryRow>,
    more_retries: Option<String>,
    to_root: &'static str,
}

/// The groups before and after a group.
#[derive(Serialize)]
struct Neighbours {
    before: Option<(String, String)>,
    after: Option<(String, String)>,
}

#[derive(Serialize)]
struct DeviceRow {
    label: String,
    name: String,
    trained: usize,
    busy: String,
    busy_share: String,
    loading: String,
    starved: String,
    starved_share: String,
    idle: String,
    utilization: String,
    memory: String,
    power: Option<String>,
    energy: String,
    sort: [String; 7],
}

/// A row of the memory table.
#[derive(Serialize)]
struct MemoryRow {
    family: String,
    of: &'static str,
    tasks: usize,
    asked: String,
    source: &'static str,
    peak: String,
    mean: String,
    advice: Option<String>,
    /// What the columns are sorted by: estimate, peak and mean, in bytes.
    sort: [u64; 3],
    /// The peak as a percentage of the estimate, at most 100, for the bar.
    part: String,
    /// Whether the peak exceeds the estimate.
    over: bool,
}

/// The most families that are shown.
const MAX_FAMILIES: usize = 100;

fn memory_rows(groups: &[GroupReport]) -> Vec<MemoryRow> {
    let mut families = memory_by_family(groups);
    // Families whose estimate should change come first.
    families.sort_by_key(|family| family.advice().is_none());
    families.iter().take(MAX_FAMILIES).map(MemoryRow::new).collect()
}

impl MemoryRow {
    fn new(known: &FamilyMemory) -> Self {
        let (least, most) = known.asked;
        let part = known.peak.gigabytes() / most.gigabytes().max(1e-9);
        Self {
            family: visible(&known.family).into_owned(),
            of: match known.kind {
                MemoryKind::Host => "host",
                MemoryKind::Card => "card",
            },
            tasks: known.tasks,
            asked: {
                let asked = if least == most { most.to_string() } else { format!("{least} to {most}") };
                known.raised.map_or_else(|| asked.clone(), |raised| format!("{asked}, raised to {raised}"))
            },
            source: match known.source {
                EstimateSource::Given => "given",
                EstimateSource::Learned => "learned",
                EstimateSource::Default => "default",
            },
            peak: known.peak.to_string(),
            mean: known.mean.to_string(),
            advice: known.advice().map(|advice| match advice {
                Advice::Lower(size) => format!("{} = \"{size}\" would do", known.kind.key()),
                Advice::Raise(size) => format!("{} = \"{size}\" would suffice", known.kind.key()),
            }),
            sort: [most.bytes(), known.peak.bytes(), known.mean.bytes()],
            part: format!("{:.0}", (part * 100.0).min(100.0)),
            over: known.exceeded > 0,
        }
    }
}

impl Neighbours {
    fn new(report: &Report, group: &GroupReport) -> Self {
        let groups = report.groups();
        let place = groups.iter().position(|other| other.name == group.name);
        let at = |place: Option<usize>| {
            let group = groups.get(place?)?;
            Some((group.name.to_string(), reference(&format!("{}.html", group.name))))
        };
        Self {
            before: at(place.and_then(|place| place.checked_sub(1))),
            after: at(place.map(|place| place + 1)),
        }
    }
}

impl DeviceRow {
    fn new(device: &DeviceUse) -> Self {
        let seen = device.telemetry;
        let memory = seen.and_then(|seen| seen.peak_memory.or(seen.peak_booked));
        let utilization = seen.and_then(|seen| seen.mean_utilization);
        let (power, used) = (seen.and_then(|seen| seen.mean_power), seen.and_then(|seen| seen.energy));
        let seconds =
            [device.busy, device.loading, device.starved, device.idle].map(|time| time.as_secs_f64());
        let told = [utilization, memory.map(fedflow_core::Size::gigabytes), used];
        let number = |number: f64| format!("{number:.3}");
        let absent = || "–".to_owned();
        let mut sort = <[String; 7]>::default();
        for (key, value) in sort.iter_mut().zip(seconds.into_iter().map(Some).chain(told)) {
            *key = value.map(number).unwrap_or_default();
        }
        Self {
            label: device.label(),
            name: device.name.clone(),
            trained: device.trained,
            busy: duration(device.busy.as_secs_f64()),
            busy_share: percent(device.busy_share()),
            loading: duration(device.loading.as_secs_f64()),
            starved: duration(device.starved.as_secs_f64()),
            starved_share: percent(device.share(device.starved)),
            idle: duration(device.idle.as_secs_f64()),
            utilization: utilization.map_or_else(absent, |busy| percent(busy / 100.0)),
            memory: memory.map_or_else(absent, |size| size.to_string()),
            power: power.map(|watts| format!("{watts:.0} W")),
            energy: used.map_or_else(absent, energy),
            sort,
        }
    }
}

/// The state of the run or group, which the page shows as a colour and a badge.
fn state(report: &Report, group: Option<&GroupReport>, summary: &Summary) -> &'static str {
    let counts = &summary.counts;
    let goes_on = match group {
        Some(group) => group.finished.is_none() && report.outcome().is_none(),
        None => report.outcome().is_none(),
    };
    if counts.failed > 0 {
        "failed"
    } else if goes_on {
        "running"
    } else if counts.finished + counts.skipped < counts.tasks || report.outcome() == Some(&RunOutcome::Failed)
    {
        "incomplete"
    } else {
        "complete"
    }
}

fn groups_started(report: &Report, group: Option<&GroupReport>) -> Option<f64> {
    match group {
        Some(group) => group.started,
        None => report.sessions().first().map(|session| session.started),
    }
}

fn facts(
    report: &Report,
    group: Option<&GroupReport>,
    timeline: &Timeline<'_>,
) -> Vec<(&'static str, String)> {
    let mut facts = Vec::new();
    let seconds = match group {
        Some(group) => group.started.map(|started| {
            let until = group.finished.map_or(timeline.total(), |finished| timeline.at_unix(finished));
            until - timeline.at_unix(started)
        }),
        None => Some(timeline.total()),
    };
    facts.extend(seconds.map(|seconds| ("Wall time", duration(seconds))));
    if report.sessions().len() > 1 {
        facts.push(("Sessions", grouped(report.sessions().len())));
    }
    if !report.devices().is_empty() {
        facts.push(("Devices", devices(report.devices())));
    }
    facts.extend(group.and_then(|group| group.order).map(|order| ("Start order", order.to_string())));
    let workdir = group.map_or_else(|| report.workdir(), |group| &group.workdir);
    if !workdir.is_empty() {
        facts.push(("Directory", workdir.to_owned()));
    }
    facts.extend(report.seed().map(|seed| ("Seed", seed.to_string())));
    facts
}

/// The devices, with those of one kind together.
fn devices(devices: &[DeviceInfo]) -> String {
    let mut kinds: IndexMap<String, usize> = IndexMap::new();
    for device in devices {
        let kind = match (device.device, device.memory) {
            (fedflow_core::Device::Cpu, _) => "CPU slot".into(),
            (_, Some(memory)) => format!("{} ({memory})", device.name),
            (_, None) => device.name.clone(),
        };
        *kinds.entry(kind).or_default() += 1;
    }
    let kinds = kinds.into_iter().map(|(kind, count)| {
        let many = if count > 1 && kind == "CPU slot" { "s" } else { "" };
        format!("{} × {kind}{many}", grouped(count))
    });
    kinds.collect::<Vec<_>>().join(", ")
}
