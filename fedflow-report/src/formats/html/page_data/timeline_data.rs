//! `TimelineData`: which task was where and when, in columns, as the page's scripts read it.

use std::collections::BTreeMap;

use fedflow_core::Device;
use serde::Serialize;

use crate::analysis::device_use::{chart_rows, row_label, unit};
use crate::analysis::summary::Summary;
use crate::analysis::timeline::Timeline;
use crate::formats::html::links::inside_run;
use crate::formats::html::page_data::card_data::{CardData, Measured, cards};
use crate::report::attempt::{Attempt, ChartRow};
use crate::report::{GroupReport, Report, TaskReport};
use crate::text::visible_text::visible;
use crate::text::wording::percent;

/// The unit of the columns' times, as so many a second.
const TICKS: f64 = 10_000.0;
/// The most lines of tasks that load or wait, in one row of the chart.
const MAX_QUEUE_LINES: usize = 6;

/// Which task was where and when. A run may have a hundred thousand tasks, so it is in columns of small numbers, which
/// take about 40 bytes a task.
#[derive(Serialize)]
pub(super) struct TimelineData {
    /// The length of the axis.
    seconds: f64,
    ticks: f64,
    rows: Vec<RowData>,
    groups: Vec<String>,
    /// From when to when each group ran; null if none of its tasks was started.
    bands: Vec<Option<(f64, f64)>>,
    tasks: TaskColumns,
    attempts: AttemptColumns,
    /// The stretches in which a row was idle while work waited: row, from, to.
    starved: Vec<(usize, f64, f64)>,
    /// Where a session resumed the run, with its number.
    resumes: Vec<(f64, u32)>,
    cards: Vec<CardData>,
}

/// A row of the chart.
#[derive(Serialize)]
struct RowData {
    label: String,
    note: String,
    /// Whether it is a device; attempts that never trained have a row that is none.
    device: bool,
    /// How many lines of tasks that load or wait are below it.
    lines: usize,
}

/// The tasks that were started.
#[derive(Default, Serialize)]
struct TaskColumns {
    group: Vec<usize>,
    id: Vec<String>,
    /// The tasks whose directory is not `GROUP/TASK`, with a link to it; null if it lies outside the run directory.
    elsewhere: Vec<(usize, Option<String>)>,
}

/// The attempts, in order of their beginning.
#[derive(Default, Serialize)]
struct AttemptColumns {
    task: Vec<usize>,
    row: Vec<usize>,
    /// The line below the row in which it loads and waits.
    line: Vec<usize>,
    /// How long after the attempt before it, in ticks.
    begin: Vec<u64>,
    /// The lengths of start, load, wait and train, in ticks.
    phases: [Vec<u64>; 4],
    /// Those that failed, those in a process that had served other tasks, and those with another number than 1.
    failed: Vec<usize>,
    reused: Vec<usize>,
    again: Vec<(usize, u32)>,
    /// The further rows of those that trained on several cards.
    also: Vec<(usize, usize)>,
}

/// An attempt with its task's place in the columns.
struct Placed<'a> {
    begin: f64,
    task: usize,
    attempt: &'a Attempt,
}

impl TimelineData {
    pub(super) fn new(report: &Report, summary: &Summary, timeline: &Timeline<'_>) -> Self {
        let since = summary.window.0;
        let groups = report.groups();
        let started = groups.iter().enumerate().flat_map(|(place, group)| {
            group
                .tasks()
                .iter()
                .filter(|task| !task.all_attempts.is_empty())
                .map(move |task| (place, group, task))
        });
        let mut tasks = TaskColumns::default();
        let mut placed: Vec<Placed<'_>> = Vec::new();
        for (group, of, task) in started {
            let number = tasks.push(report, group, of, task);
            placed.extend(task.all_attempts.iter().map(|attempt| Placed {
                begin: timeline.at(attempt.session, attempt.started) - since,
                task: number,
                attempt,
            }));
        }
        placed.sort_by(|a, b| a.begin.total_cmp(&b.begin));
        let mut rows = Rows::new(summary, &placed);
        let mut attempts = AttemptColumns::default();
        let mut before = 0;
        for of in &placed {
            before = attempts.push(of, before, &mut rows, timeline);
        }
        let starved = summary.devices.iter().flat_map(|device| {
            let row = rows.place(Some(device.row));
            device
                .starved_stretches
                .iter()
                .map(move |(from, to)| (row, rounded(from - since), rounded(to - since)))
        });
        let band = |group: &GroupReport| {
            let (from, to) = timeline.extent(std::iter::once(group))?;
            Some((rounded(from - since), rounded(to - since)))
        };
        let (from, to) = summary.window;
        let resumes = timeline.resumes().filter(|(_, at)| (from..=to).contains(at));
        Self {
            seconds: summary.seconds(),
            ticks: TICKS,
            starved: starved.collect(),
            rows: rows.described(summary),
            groups: groups.iter().map(|group| visible(group.name.as_str()).into_owned()).collect(),
            bands: groups.iter().map(band).collect(),
            tasks,
            attempts,
            resumes: resumes.map(|(number, at)| (rounded(at - since), number)).collect(),
            cards: cards(report, summary, timeline),
        }
    }

    pub(super) fn measured(&self) -> Measured {
        Measured::of(&self.cards)
    }
}

impl TaskColumns {
    /// Adds a task and returns its place.
    fn push(&mut self, report: &Report, place: usize, group: &GroupReport, task: &TaskReport) -> usize {
        let number = self.id.len();
        self.group.push(place);
        self.id.push(visible(task.id.as_str()).into_owned());
        let usual = format!("{}/{}/{}", report.workdir(), group.name, task.id);
        match group.workdir_of(task) {
            Some(workdir) if workdir == usual && !report.workdir().is_empty() => {}
            workdir => {
                let link = workdir.and_then(|workdir| inside_run(report, &workdir));
                self.elsewhere.push((number, link));
            }
        }
        number
    }
}

impl AttemptColumns {
    /// Adds an attempt that begins after the one at `before`, in ticks, and returns when it begins.
    fn push(&mut self, of: &Placed<'_>, before: u64, rows: &mut Rows, timeline: &Timeline<'_>) -> u64 {
        let number = self.task.len();
        let begin = ticks(of.begin).max(before);
        let mut lengths = [0.0; 4];
        for span in timeline.spans(of.attempt) {
            lengths[span.phase as usize] += span.to - span.from;
        }
        let queued: f64 = lengths[..3].iter().sum();
        let row = rows.place(of.attempt.row);
        self.task.push(of.task);
        self.row.push(row);
        self.line.push(if queued > 0.0 { rows.line(row, of.begin, of.begin + queued) } else { 0 });
        self.begin.push(begin - before);
        for (column, length) in self.phases.iter_mut().zip(lengths) {
            // What took any time is seen.
            column.push(if length > 0.0 { ticks(length).max(1) } else { 0 });
        }
        if of.attempt.failure.is_some() {
            self.failed.push(number);
        }
        if of.attempt.reused {
            self.reused.push(number);
        }
        if of.attempt.number != 1 {
            self.again.push((number, of.attempt.number));
        }
        self.also.extend(chart_rows(of.attempt).skip(1).map(|row| (number, rows.place(Some(row)))));
        begin
    }
}

/// The rows of the chart in their order: the devices, and last the attempts that never trained.
struct Rows {
    places: BTreeMap<Option<ChartRow>, usize>,
    order: Vec<Option<ChartRow>>,
    /// For each row the end of each line below it.
    ends: Vec<Vec<f64>>,
}

impl Rows {
    fn new(summary: &Summary, placed: &[Placed<'_>]) -> Self {
        let devices = summary.devices.iter().map(|device| device.row);
        let used = placed.iter().flat_map(|of| chart_rows(of.attempt));
        let with_device: std::collections::BTreeSet<ChartRow> = devices.chain(used).collect();
        let mut order: Vec<_> = with_device.into_iter().map(Some).collect();
        if placed.iter().any(|of| of.attempt.row.is_none()) {
            order.push(None);
        }
        let places = order.iter().enumerate().map(|(place, row)| (*row, place)).collect();
        Self { places, ends: vec![Vec::new(); order.len()], order }
    }

    fn place(&self, row: Option<ChartRow>) -> usize {
        self.places.get(&row).copied().unwrap_or_default()
    }

    /// The first line of a row that is free from `begin` on, or the one that is free first; it is taken until `end`.
    fn line(&mut self, row: usize, begin: f64, end: f64) -> usize {
        let Some(ends) = self.ends.get_mut(row) else { return 0 };
        let free = ends.iter().position(|free| *free <= begin + 1e-9);
        let line = match free {
            Some(line) => line,
            None if ends.len() < MAX_QUEUE_LINES => {
                ends.push(0.0);
                ends.len() - 1
            }
            None => {
                let first = ends.iter().enumerate().min_by(|a, b| a.1.total_cmp(b.1));
                first.map_or(0, |(line, _)| line)
            }
        };
        if let Some(taken) = ends.get_mut(line) {
            *taken = taken.max(end);
        }
        line
    }

    fn described(&self, summary: &Summary) -> Vec<RowData> {
        let mut slots: BTreeMap<ChartRow, u32> = BTreeMap::new();
        for row in self.order.iter().flatten() {
            let last = slots.entry(unit(*row)).or_default();
            *last = (*last).max(row.slot);
        }
        let described = self.order.iter().zip(&self.ends).map(|(row, ends)| {
            let of_unit = row.and_then(|row| summary.devices.iter().find(|device| device.row == row));
            RowData {
                label: match row {
                    None => "no device".into(),
                    Some(row) if row.device == Device::Cpu => row_label(*row),
                    Some(row) if slots.get(&unit(*row)).is_none_or(|last| *last == 0) => row_label(*row),
                    Some(row) => format!("{} slot {}", row.device, row.slot),
                },
                note: match (of_unit, row) {
                    (Some(device), _) => format!("idle {}", percent(1.0 - device.busy_share())),
                    (None, Some(_)) => "shared".into(),
                    (None, None) => "never trained".into(),
                },
                device: row.is_some(),
                lines: ends.len(),
            }
        });
        described.collect()
    }
}

fn ticks(seconds: f64) -> u64 {
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a float's cast saturates")]
    let ticks = (seconds * TICKS).round() as u64;
    ticks
}

fn rounded(seconds: f64) -> f64 {
    (seconds * TICKS).round() / TICKS
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tasks_that_load_at_once_have_lines_of_their_own() {
        let mut rows = Rows { places: BTreeMap::new(), order: vec![None], ends: vec![Vec::new()] };
        let lines = [0.0, 0.1, 0.2, 0.35].map(|start| rows.line(0, start, start + 0.15));
        assert_eq!(lines, [0, 1, 0, 0]);
        let many: Vec<_> = (0..20).map(|_| rows.line(0, 1.0, 2.0)).collect();
        assert_eq!(many.iter().max(), Some(&(MAX_QUEUE_LINES - 1)));
    }
}
