//! Draws which task ran where and when: a row for each device, with the tasks that trained on it and waited for it.

use std::collections::BTreeMap;

use fedflow_core::Device;
use minijinja::Environment;
use minijinja::value::Value;
use rayon::prelude::*;
use serde::Serialize;

use crate::analysis::device_use::{chart_rows, row_label, unit};
use crate::analysis::summary::Summary;
use crate::analysis::timeline::Timeline;
use crate::formats::html::curve_chart::round_step;
use crate::formats::html::device_chart_rows::{Bar, Class, FINEST, RowBars};
use crate::formats::render_error::RenderError;
use crate::report::attempt::{Attempt, AttemptPhase, ChartRow, PhaseSpan};
use crate::report::{GroupReport, TaskReport};
use crate::text::wording::{count, duration, percent, tick};

/// The most rectangles; if there are more, neighbours are merged.
const MAX_RECTS: usize = 6_000;
const BAR: usize = 20;
const LINE_HEIGHT: usize = 6;
const MIN_ROW: usize = 38;
const ROW_GAP: usize = 10;
const HEAD: usize = 22;

/// Renders the chart of some groups; none if no task was started.
pub(super) fn render(
    environment: &Environment<'_>,
    groups: &[GroupReport],
    summary: &Summary,
    timeline: &Timeline<'_>,
    meters: Option<Value>,
) -> Result<Option<Value>, RenderError> {
    if summary.makespan.is_zero() {
        return Ok(None);
    }
    let mut chart = Chart::collect(groups, summary, timeline);
    chart.coarsen();
    let drawing = Drawing { meters, ..chart.draw(environment, groups, summary, timeline)? };
    // Safe, as the template escapes its values.
    Ok(Some(Value::from_safe_string(
        environment.get_template("gantt.html")?.render(minijinja::value::Serde(drawing))?,
    )))
}

/// The bars of every row. Attempts that never trained are in a row of their own.
struct Chart {
    rows: BTreeMap<Option<ChartRow>, RowBars>,
}

impl Chart {
    fn collect(groups: &[GroupReport], summary: &Summary, timeline: &Timeline<'_>) -> Self {
        let share = |seconds: f64| (seconds - summary.window.0) / summary.seconds();
        let mut rows: BTreeMap<Option<ChartRow>, RowBars> = BTreeMap::new();
        for device in &summary.devices {
            let bars = rows.entry(Some(device.row)).or_default();
            for &(from, to) in &device.starved_stretches {
                let title = || format!("idle for {} while work waited", duration(to - from));
                bars.starved.push(Bar::new(Class::Starved, share(from), share(to)), title);
            }
        }
        let tasks = groups.iter().flat_map(|group| group.tasks().iter().map(move |task| (group, task)));
        let mut all_attempts: Vec<_> = tasks
            .flat_map(|(group, task)| task.all_attempts.iter().map(move |attempt| (group, task, attempt)))
            .map(|(group, task, attempt)| {
                (timeline.at(attempt.session, attempt.started), group, task, attempt)
            })
            .collect();
        all_attempts.sort_by(|a, b| a.0.total_cmp(&b.0));
        for (_, group, task, attempt) in all_attempts {
            let mut queue = None;
            for span in timeline.spans(attempt) {
                let title = || title(group, task, attempt, span, summary.window.0);
                let class = match span.phase {
                    AttemptPhase::Start | AttemptPhase::Load => Class::Load,
                    AttemptPhase::Wait => Class::Wait,
                    AttemptPhase::Train if attempt.failure.is_some() => Class::Failed,
                    AttemptPhase::Train => Class::Train,
                };
                let bar = Bar::new(class, share(span.from), share(span.to));
                if span.phase == AttemptPhase::Train {
                    for row in chart_rows(attempt) {
                        rows.entry(Some(row)).or_default().train.push(bar.clone(), title);
                    }
                } else {
                    // All spans of an attempt are in the line that is free when the first one begins.
                    let line =
                        queue.unwrap_or_else(|| rows.entry(attempt.row).or_default().free_line(bar.from));
                    rows.entry(attempt.row).or_default().queue[line].push(bar, title);
                    queue = Some(line);
                }
            }
        }
        Self { rows }
    }

    /// Merges larger bars, too, until there are few enough.
    fn coarsen(&mut self) {
        let mut pixel = FINEST;
        while pixel < 0.05 && self.rows.values().map(RowBars::len).sum::<usize>() > MAX_RECTS {
            pixel *= 2.0;
            self.rows.values_mut().for_each(|row| row.coarsen(pixel));
        }
    }

    fn draw(
        self,
        environment: &Environment<'_>,
        groups: &[GroupReport],
        summary: &Summary,
        timeline: &Timeline<'_>,
    ) -> Result<Drawing, RenderError> {
        let share = |seconds: f64| (seconds - summary.window.0) / summary.seconds();
        let bands = group_bands(groups, &share, timeline);
        // A label needs room.
        let head = if bands.iter().any(|band| band.labelled) { HEAD } else { 2 };
        let mut top = head;
        let mut slots: BTreeMap<ChartRow, u32> = BTreeMap::new();
        for row in self.rows.keys().flatten() {
            let slots = slots.entry(unit(*row)).or_default();
            *slots = (*slots).max(row.slot);
        }
        // Attempts without a device come last.
        let (with_device, without): (Vec<_>, Vec<_>) =
            self.rows.into_iter().partition(|(row, _)| row.is_some());
        let placed: Vec<_> = with_device
            .into_iter()
            .chain(without)
            .map(|(row, bars)| {
                let queue_from = if row.is_some() { BAR + 4 } else { 4 };
                let height = (queue_from + bars.queue.len() * LINE_HEIGHT).max(MIN_ROW);
                let placed = PlacedRow { row, bars, queue_from, top, height };
                top += height + ROW_GAP;
                placed
            })
            .collect();
        // This takes most of the page's time, so the rows are rendered in parallel.
        let rows = placed
            .into_par_iter()
            .map(|row| row.draw(environment, summary, &slots))
            .collect::<Result<_, RenderError>>()?;
        Ok(Drawing {
            rows,
            groups: bands,
            ticks: ticks(summary),
            resumes: resumes(summary, timeline),
            head,
            bottom: top,
            height: top + 20,
            bar: BAR,
            gap: ROW_GAP,
            description: description(summary),
            meters: None,
        })
    }
}

fn title(group: &GroupReport, task: &TaskReport, attempt: &Attempt, span: PhaseSpan, since: f64) -> String {
    let PhaseSpan { phase, from, to } = span;
    let failed = if phase == AttemptPhase::Train && attempt.failure.is_some() { ", then failed" } else { "" };
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

/// A row and its place in the drawing, in pixels.
struct PlacedRow {
    row: Option<ChartRow>,
    bars: RowBars,
    queue_from: usize,
    top: usize,
    height: usize,
}

#[derive(Serialize)]
struct Drawing {
    rows: Vec<DrawnRow>,
    groups: Vec<Band>,
    ticks: Vec<(String, String, &'static str)>,
    resumes: Vec<(String, u32)>,
    head: usize,
    bottom: usize,
    height: usize,
    bar: usize,
    gap: usize,
    description: String,
    /// The telemetry of the cards, drawn on the same axis.
    meters: Option<Value>,
}

#[derive(Serialize)]
struct DrawnRow {
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

impl PlacedRow {
    fn draw(
        self,
        environment: &Environment<'_>,
        summary: &Summary,
        slots: &BTreeMap<ChartRow, u32>,
    ) -> Result<DrawnRow, RenderError> {
        let Self { row, bars, queue_from, top, height } = self;
        let mut rects: Vec<Rect> = Vec::with_capacity(bars.len());
        rects.extend(bars.starved.bars().iter().map(|bar| Rect::new(bar, 0, BAR)));
        let mut train: Vec<&Bar> = bars.train.bars().iter().collect();
        train.sort_by_key(|bar| bar.class);
        rects.extend(train.into_iter().map(|bar| Rect::new(bar, 0, BAR)));
        for (line, bars) in bars.queue.iter().enumerate() {
            let y = queue_from + line * LINE_HEIGHT;
            rects.extend(bars.bars().iter().map(|bar| Rect::new(bar, y, LINE_HEIGHT - 2)));
        }
        let of_unit = row.and_then(|row| summary.devices.iter().find(|device| device.row == row));
        let label = match row {
            None => "no device".into(),
            Some(row) if row.device == Device::Cpu => row_label(row),
            Some(row) if slots.get(&unit(row)).is_none_or(|last| *last == 0) => row_label(row),
            Some(row) => format!("{} slot {}", row.device, row.slot),
        };
        let template = environment.get_template("gantt_rects.html")?;
        // Safe, as the template escapes its values.
        let rects = Value::from_safe_string(
            template.render(minijinja::context! { rects => minijinja::value::Serde(rects) })?,
        );
        Ok(DrawnRow {
            label,
            note: match (of_unit, row) {
                (Some(device), _) => format!("idle {}", percent(1.0 - device.busy_share())),
                (None, Some(_)) => "shared".into(),
                (None, None) => "never trained".into(),
            },
            name: of_unit.map(|device| device.name.clone()).unwrap_or_default(),
            top,
            height,
            has_bar: row.is_some(),
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

/// A share of the width, in percent.
pub(super) fn place(share: f64) -> String {
    format!("{:.3}", share * 100.0)
}

/// The groups as bands behind the rows; none if there are so many that they would hide the rest.
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
            // A letter is seven pixels wide, the drawing nine hundred.
            labelled: (to - from) * 900.0 > letters * 7.0 + 6.0,
        })
    });
    bands.collect()
}

/// The ticks of the time axis: place, label, and the anchor of the label.
pub(super) fn ticks(summary: &Summary) -> Vec<(String, String, &'static str)> {
    let span = summary.seconds();
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

/// Where a session resumed the run: place and number of the session.
pub(super) fn resumes(summary: &Summary, timeline: &Timeline<'_>) -> Vec<(String, u32)> {
    let (from, to) = summary.window;
    let within = timeline.resumes().filter(|(_, at)| to > from && (from..=to).contains(at));
    within.map(|(number, at)| (place((at - from) / (to - from)), number)).collect()
}

fn description(summary: &Summary) -> String {
    let rows = summary.devices.iter().take(16).map(|device| {
        format!(
            "{} was busy for {} and idle for {}",
            device.label(),
            duration(device.busy.as_secs_f64()),
            duration(device.idle.as_secs_f64())
        )
    });
    format!("Over {}: {}.", duration(summary.seconds()), rows.collect::<Vec<_>>().join("; "))
}
