//! Draws what ran where and when: a lane for each device, with what it trained and what waited for it.

use std::collections::BTreeMap;

use fedflow_core::Device;
use minijinja::Environment;
use minijinja::value::Value;
use rayon::prelude::*;
use serde::Serialize;

use crate::analysis::device_use::{lane_label, lanes, unit};
use crate::analysis::summary::Summary;
use crate::analysis::timeline::Timeline;
use crate::formats::html::curve_chart::round_step;
use crate::formats::html::device_chart_rows::{Bar, Class, FINEST, LaneBars};
use crate::formats::render_error::RenderError;
use crate::report::attempt::{Attempt, Lane, Phase, Span};
use crate::report::{GroupReport, TaskReport};
use crate::text::wording::{count, duration, percent, tick};

/// The most rectangles; where there are more, neighbours are merged.
const MAX_RECTS: usize = 6_000;
const BAR: usize = 20;
const QUEUE_ROW: usize = 6;
const MIN_LANE: usize = 38;
const LANE_GAP: usize = 10;
const HEAD: usize = 22;

/// Renders the chart of some groups; nothing if no task was started.
pub(super) fn render(
    environment: &Environment<'_>,
    groups: &[GroupReport],
    summary: &Summary,
    timeline: &Timeline<'_>,
    meters: Option<Value>,
) -> Result<Option<Value>, RenderError> {
    if summary.makespan_seconds <= 0.0 {
        return Ok(None);
    }
    let mut chart = Chart::collect(groups, summary, timeline);
    chart.coarsen();
    let drawing = Drawing { meters, ..chart.draw(environment, groups, summary, timeline)? };
    // Safe: it comes out of a template that escapes.
    Ok(Some(Value::from_safe_string(
        environment.get_template("gantt.html")?.render(minijinja::value::Serde(drawing))?,
    )))
}

/// The bars of every lane; tries that never trained are in the lane of no device.
struct Chart {
    lanes: BTreeMap<Option<Lane>, LaneBars>,
}

impl Chart {
    fn collect(groups: &[GroupReport], summary: &Summary, timeline: &Timeline<'_>) -> Self {
        let share = |seconds: f64| (seconds - summary.window.0) / summary.makespan_seconds;
        let mut lanes: BTreeMap<Option<Lane>, LaneBars> = BTreeMap::new();
        for device in &summary.devices {
            let bars = lanes.entry(Some(device.lane)).or_default();
            for &(from, to) in &device.starved {
                let title = || format!("idle for {} while work waited", duration(to - from));
                bars.starved.push(Bar::new(Class::Starved, share(from), share(to)), title);
            }
        }
        let tasks = groups.iter().flat_map(|group| group.tasks().iter().map(move |task| (group, task)));
        let mut tries: Vec<_> = tasks
            .flat_map(|(group, task)| task.tries.iter().map(move |attempt| (group, task, attempt)))
            .map(|(group, task, attempt)| {
                (timeline.at(attempt.session, attempt.started), group, task, attempt)
            })
            .collect();
        tries.sort_by(|a, b| a.0.total_cmp(&b.0));
        for (_, group, task, attempt) in tries {
            let mut queue = None;
            for span in timeline.spans(attempt) {
                let title = || title(group, task, attempt, span, summary.window.0);
                let class = match span.phase {
                    Phase::Start | Phase::Load => Class::Load,
                    Phase::Wait => Class::Wait,
                    Phase::Train if attempt.failure.is_some() => Class::Failed,
                    Phase::Train => Class::Train,
                };
                let bar = Bar::new(class, share(span.from), share(span.to));
                if span.phase == Phase::Train {
                    for lane in self::lanes(attempt) {
                        lanes.entry(Some(lane)).or_default().train.push(bar.clone(), title);
                    }
                } else {
                    // All of them in the row that is free when the first one begins.
                    let row =
                        queue.unwrap_or_else(|| lanes.entry(attempt.lane).or_default().free_row(bar.from));
                    lanes.entry(attempt.lane).or_default().queue[row].push(bar, title);
                    queue = Some(row);
                }
            }
        }
        Self { lanes }
    }

    /// Merges more than what is too small to be seen where there is too much.
    fn coarsen(&mut self) {
        let mut pixel = FINEST;
        while pixel < 0.05 && self.lanes.values().map(LaneBars::len).sum::<usize>() > MAX_RECTS {
            pixel *= 2.0;
            self.lanes.values_mut().for_each(|lane| lane.coarsen(pixel));
        }
    }

    fn draw(
        self,
        environment: &Environment<'_>,
        groups: &[GroupReport],
        summary: &Summary,
        timeline: &Timeline<'_>,
    ) -> Result<Drawing, RenderError> {
        let share = |seconds: f64| (seconds - summary.window.0) / summary.makespan_seconds;
        let bands = group_bands(groups, &share, timeline);
        // Room for names where there is a name.
        let head = if bands.iter().any(|band| band.labelled) { HEAD } else { 2 };
        let mut top = head;
        let mut slots: BTreeMap<Lane, u32> = BTreeMap::new();
        for lane in self.lanes.keys().flatten() {
            let slots = slots.entry(unit(*lane)).or_default();
            *slots = (*slots).max(lane.slot);
        }
        // What never had a device comes last.
        let (with_device, without): (Vec<_>, Vec<_>) =
            self.lanes.into_iter().partition(|(lane, _)| lane.is_some());
        let placed: Vec<_> = with_device
            .into_iter()
            .chain(without)
            .map(|(lane, bars)| {
                let queue_from = if lane.is_some() { BAR + 4 } else { 4 };
                let height = (queue_from + bars.queue.len() * QUEUE_ROW).max(MIN_LANE);
                let placed = PlacedLane { lane, bars, queue_from, top, height };
                top += height + LANE_GAP;
                placed
            })
            .collect();
        // Most of the page's time goes here: the lanes side by side.
        let lanes = placed
            .into_par_iter()
            .map(|lane| lane.draw(environment, summary, &slots))
            .collect::<Result<_, RenderError>>()?;
        Ok(Drawing {
            lanes,
            groups: bands,
            ticks: ticks(summary),
            resumes: resumes(summary, timeline),
            head,
            bottom: top,
            height: top + 20,
            bar: BAR,
            description: description(summary),
            meters: None,
        })
    }
}

fn title(group: &GroupReport, task: &TaskReport, attempt: &Attempt, span: Span, since: f64) -> String {
    let Span { phase, from, to } = span;
    let failed = if phase == Phase::Train && attempt.failure.is_some() { ", then failed" } else { "" };
    let number = attempt.number;
    let number = if number > 1 { format!(", attempt {number}") } else { String::new() };
    let reused = if attempt.reused { ", process reused" } else { "" };
    let took = duration(to - from);
    format!(
        "{} / {}{number}{reused}\n{phase} {took}{failed}, from {}",
        group.name,
        task.id,
        duration(from - since)
    )
}

/// A lane and its place in the drawing, in pixels.
struct PlacedLane {
    lane: Option<Lane>,
    bars: LaneBars,
    queue_from: usize,
    top: usize,
    height: usize,
}

#[derive(Serialize)]
struct Drawing {
    lanes: Vec<DrawnLane>,
    groups: Vec<Band>,
    ticks: Vec<(String, String, &'static str)>,
    resumes: Vec<(String, u32)>,
    head: usize,
    bottom: usize,
    height: usize,
    bar: usize,
    description: String,
    /// What was seen of the cards, drawn on the same axis.
    meters: Option<Value>,
}

#[derive(Serialize)]
struct DrawnLane {
    label: String,
    note: String,
    name: String,
    top: usize,
    height: usize,
    has_bar: bool,
    rects: Value,
}

#[derive(Serialize)]
struct Rect {
    class: &'static str,
    x: String,
    width: String,
    y: usize,
    height: usize,
    opacity: Option<String>,
    title: String,
}

#[derive(Serialize)]
struct Band {
    x: String,
    width: String,
    middle: String,
    name: String,
    labelled: bool,
}

impl PlacedLane {
    fn draw(
        self,
        environment: &Environment<'_>,
        summary: &Summary,
        slots: &BTreeMap<Lane, u32>,
    ) -> Result<DrawnLane, RenderError> {
        let Self { lane, bars, queue_from, top, height } = self;
        let mut rects: Vec<Rect> = Vec::with_capacity(bars.len());
        rects.extend(bars.starved.bars().iter().map(|bar| Rect::new(bar, 0, BAR)));
        let mut train: Vec<&Bar> = bars.train.bars().iter().collect();
        train.sort_by_key(|bar| bar.class);
        rects.extend(train.into_iter().map(|bar| Rect::new(bar, 0, BAR)));
        for (row, bars) in bars.queue.iter().enumerate() {
            let y = queue_from + row * QUEUE_ROW;
            rects.extend(bars.bars().iter().map(|bar| Rect::new(bar, y, QUEUE_ROW - 2)));
        }
        let of_unit = lane.and_then(|lane| summary.devices.iter().find(|device| device.lane == lane));
        let label = match lane {
            None => "no device".into(),
            Some(lane) if lane.device == Device::Cpu => lane_label(lane),
            Some(lane) if slots.get(&unit(lane)).is_none_or(|last| *last == 0) => lane_label(lane),
            Some(lane) => format!("{} slot {}", lane.device, lane.slot),
        };
        let template = environment.get_template("gantt_rects.html")?;
        // Safe: it comes out of a template that escapes.
        let rects = Value::from_safe_string(
            template.render(minijinja::context! { rects => minijinja::value::Serde(rects) })?,
        );
        Ok(DrawnLane {
            label,
            note: match (of_unit, lane) {
                (Some(device), _) => format!("idle {}", percent(1.0 - device.busy_share())),
                (None, Some(_)) => "shared".into(),
                (None, None) => "never trained".into(),
            },
            name: of_unit.map(|device| device.name.clone()).unwrap_or_default(),
            top,
            height,
            has_bar: lane.is_some(),
            rects,
        })
    }
}

impl Rect {
    fn new(bar: &Bar, y: usize, height: usize) -> Self {
        let width = bar.to - bar.from;
        let filled = if width > 0.0 { bar.filled / width } else { 1.0 };
        let title = if bar.merged > 1 {
            let of = count(bar.merged, bar.class.name(), bar.class.name());
            format!("{of}: {} of the time", percent(filled.min(1.0)))
        } else {
            bar.title.clone()
        };
        Self {
            class: bar.class.name(),
            x: place(bar.from),
            width: place(width.max(0.0006)),
            y,
            height,
            opacity: (filled < 0.9).then(|| format!("{:.1}", filled.max(0.2))),
            title,
        }
    }
}

/// A share of the width in percent.
pub(super) fn place(share: f64) -> String {
    format!("{:.3}", share * 100.0)
}

/// The groups as bands behind the lanes; with too many of them there would be nothing else to see.
fn group_bands(groups: &[GroupReport], share: &dyn Fn(f64) -> f64, timeline: &Timeline<'_>) -> Vec<Band> {
    if groups.len() < 2 || groups.len() > 200 {
        return Vec::new();
    }
    let bands = groups.iter().filter_map(|group| {
        let (from, to) = timeline.extent(std::iter::once(group))?;
        let (from, to) = (share(from).clamp(0.0, 1.0), share(to).clamp(0.0, 1.0));
        let letters = group.name.as_str().chars().count() as f64;
        Some(Band {
            x: place(from),
            width: place(to - from),
            middle: place(f64::midpoint(from, to)),
            name: group.name.to_string(),
            // Seven pixels a letter, where the drawing is nine hundred wide.
            labelled: (to - from) * 900.0 > letters * 7.0 + 6.0,
        })
    });
    bands.collect()
}

/// The ticks of the time axis: place, label, and how the label is anchored.
pub(super) fn ticks(summary: &Summary) -> Vec<(String, String, &'static str)> {
    let span = summary.makespan_seconds;
    let clock =
        [10.0, 15.0, 30.0, 60.0, 120.0, 300.0, 600.0, 900.0, 1800.0, 3600.0, 7200.0, 14400.0, 43200.0];
    let step = match clock.into_iter().find(|step| span / step <= 8.0) {
        Some(step) if span > 60.0 => step,
        Some(_) => round_step(span, 8),
        None => (span / 8.0 / 86400.0).ceil() * 86400.0,
    };
    (0..12)
        .map(|tick| f64::from(tick) * step)
        .take_while(|at| *at <= span)
        .map(|at| {
            let share = at / span;
            let anchor = if at == 0.0 {
                "start"
            } else if share > 0.95 {
                "end"
            } else {
                "middle"
            };
            (place(share), tick(at), anchor)
        })
        .collect()
}

/// Where a session began that resumed the run: place and number.
pub(super) fn resumes(summary: &Summary, timeline: &Timeline<'_>) -> Vec<(String, u32)> {
    let (from, to) = summary.window;
    let within = timeline.resumes().filter(|(_, at)| to > from && (from..=to).contains(at));
    within.map(|(number, at)| (place((at - from) / (to - from)), number)).collect()
}

fn description(summary: &Summary) -> String {
    let lanes = summary.devices.iter().take(16).map(|device| {
        format!(
            "{} was busy for {} and idle for {}",
            device.label(),
            duration(device.busy_seconds),
            duration(device.idle_seconds)
        )
    });
    format!("Over {}: {}.", duration(summary.makespan_seconds), lanes.collect::<Vec<_>>().join("; "))
}
