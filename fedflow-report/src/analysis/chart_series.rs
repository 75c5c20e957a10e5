//! The curves that a report shows: numeric results over rounds or tasks, and items over time.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use fedflow_core::Name;
use indexmap::IndexMap;

use crate::report::item_series::ItemPoint;
use crate::report::{GroupReport, TaskReport};

/// The most charts of one kind.
const MAX_CHARTS: usize = 12;
/// The most lines in one chart: there are no more colours that can be told apart.
const MAX_LINES: usize = 6;
/// The most names of results or items that are considered.
const MAX_KEYS: usize = 200;
/// The number of parts of the time axis where several tasks share a line.
const TIME_BINS: usize = 48;
/// Beyond this, the difference of two numbers may overflow.
const MAX_NUMBER: f64 = 1e300;

/// The charts of one kind.
#[derive(Debug, Default)]
pub(crate) struct Charts {
    pub(crate) charts: Vec<ChartData>,
    /// How many charts are left out.
    pub(crate) left_out: usize,
}

/// One chart: the values of one name.
#[derive(Debug)]
pub(crate) struct ChartData {
    /// The name of the result or of the item.
    pub(crate) title: String,
    pub(crate) axis: Axis,
    pub(crate) lines: Vec<Line>,
    /// How many lines are left out.
    pub(crate) more_lines: usize,
}

/// What the horizontal axis shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Axis {
    /// The number at the end of the group's name.
    Round,
    /// The number at the end of the task's identifier.
    Task,
    /// Seconds since the task began to train.
    Seconds,
}

/// One line of a chart.
#[derive(Debug)]
pub(crate) struct Line {
    pub(crate) label: String,
    /// In order of `x`.
    pub(crate) points: Vec<Point>,
}

/// The values at one place of the axis.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Point {
    pub(crate) x: f64,
    pub(crate) mean: f64,
    pub(crate) min: f64,
    pub(crate) max: f64,
    pub(crate) count: usize,
}

/// A task with its group and the points of one of its items.
type TaskItem<'a> = (&'a GroupReport, &'a TaskReport, &'a [ItemPoint]);

/// Curves of numeric results.
///
/// Groups whose names differ only in the number at the end (`train-1` to `train-30`) are rounds: a line shows the mean
/// of each round's tasks and their range. In other groups, tasks whose identifiers differ only in the number at the
/// end (`seed-0` to `seed-9`) are shown side by side.
pub(crate) fn result_charts(groups: &[GroupReport]) -> Charts {
    let names = Names::new(groups);
    let mut charts: IndexMap<(Axis, &str), IndexMap<String, Values>> = IndexMap::new();
    for group in groups {
        let round = names.round(group);
        for task in group.tasks() {
            let Some(result) = task.result() else { continue };
            let (axis, x) = match (round, numbered(&task.id)) {
                (Some(round), _) => (Axis::Round, round),
                (None, Some((stem, number))) if names.peers(group, stem) > 2 => (Axis::Task, number),
                _ => continue,
            };
            let numbers = result.iter().filter_map(|(key, value)| Some((key, drawable(value.as_f64()?)?)));
            for (key, value) in numbers {
                if let Some(lines) = entry(&mut charts, (axis, key)) {
                    // Exact, as a number at the end of a name has at most 15 digits.
                    lines.entry(names.label(group, task)).or_default().push(x, x as f64, value);
                }
            }
        }
    }
    let drawn = charts.into_iter().map(|((axis, key), lines)| chart(key, axis, lines));
    limited(drawn.collect())
}

/// Curves of items over the time of training.
pub(crate) fn item_charts(groups: &[GroupReport]) -> Charts {
    let names = Names::new(groups);
    let mut items: IndexMap<&str, Vec<TaskItem<'_>>> = IndexMap::new();
    for group in groups {
        for task in group.tasks() {
            for series in task.items.iter().filter(|series| series.points().len() > 1) {
                if let Some(of_key) = entry(&mut items, series.key()) {
                    of_key.push((group, task, series.points()));
                }
            }
        }
    }
    let drawn = items.into_iter().map(|(key, series)| {
        let mut lines: IndexMap<String, Values> = IndexMap::new();
        let each = series.len() <= MAX_LINES;
        let last = series
            .iter()
            .flat_map(|(_, _, points)| points.last())
            .map(|point| point.since_train.as_secs_f64());
        let bin_seconds = last.fold(0.0, f64::max).max(1e-3) / TIME_BINS as f64;
        for (group, task, points) in series {
            let label = if each { format!("{} / {}", group.name, task.id) } else { names.label(group, task) };
            let values = lines.entry(label).or_default();
            let mut points = points
                .iter()
                .filter_map(|point| Some((point.since_train.as_secs_f64(), drawable(point.value)?)));
            if each {
                points.enumerate().for_each(|(place, (at, value))| values.push(place as u64, at, value));
                continue;
            }
            // A value holds until the next one, and the last one to the end. Otherwise the mean would jump whenever a
            // task sets no value for a while or ends before the others.
            let (mut next, mut holds) = (points.next(), None);
            for bin in 0..=TIME_BINS {
                let at = bin as f64 * bin_seconds;
                while let Some((since, value)) = next.filter(|(since, _)| *since <= at * (1.0 + 1e-9)) {
                    holds = Some((since, value));
                    next = points.next();
                }
                if let Some((_, value)) = holds {
                    values.push(bin as u64, at, value);
                }
            }
        }
        chart(key, Axis::Seconds, lines)
    });
    limited(drawn.collect())
}

fn entry<K: std::hash::Hash + Eq, V: Default>(map: &mut IndexMap<K, V>, key: K) -> Option<&mut V> {
    if map.len() >= MAX_KEYS && !map.contains_key(&key) {
        return None;
    }
    Some(map.entry(key).or_default())
}

fn drawable(value: f64) -> Option<f64> {
    (value.abs() < MAX_NUMBER).then_some(value)
}

/// Values at their places.
#[derive(Default)]
struct Values(BTreeMap<u64, Point>);

impl Values {
    fn push(&mut self, place: u64, x: f64, value: f64) {
        let point = self.0.entry(place).or_insert(Point { x, mean: 0.0, min: value, max: value, count: 0 });
        point.count += 1;
        point.mean += (value - point.mean) / point.count as f64;
        point.min = point.min.min(value);
        point.max = point.max.max(value);
    }
}

fn chart(key: &str, axis: Axis, lines: IndexMap<String, Values>) -> ChartData {
    let mut lines: Vec<Line> = lines
        .into_iter()
        .filter(|(_, values)| values.0.len() > 1)
        .map(|(label, values)| Line { label, points: values.0.into_values().collect() })
        .collect();
    let more_lines = lines.len().saturating_sub(MAX_LINES);
    lines.truncate(MAX_LINES);
    ChartData { title: key.to_owned(), axis, lines, more_lines }
}

fn limited(mut charts: Vec<ChartData>) -> Charts {
    charts.retain(|chart| !chart.lines.is_empty());
    // Charts that never change come last.
    charts.sort_by_key(|chart| (chart.is_flat(), chart.axis));
    let left_out = charts.len().saturating_sub(MAX_CHARTS);
    charts.truncate(MAX_CHARTS);
    Charts { charts, left_out }
}

impl ChartData {
    fn is_flat(&self) -> bool {
        let mut points = self.lines.iter().flat_map(|line| &line.points);
        let first = points.next().map(|point| point.mean);
        points.all(|point| Some(point.mean) == first && point.min == point.max)
    }
}

/// The names that differ only in the number at their end.
struct Names<'a> {
    /// The stems of groups that repeat.
    repeated: BTreeSet<&'a str>,
    /// The names of the tasks by their group's stem or name, without the numbers.
    tasks: HashMap<&'a str, BTreeSet<&'a str>>,
    /// How many tasks of a group share a stem.
    peers: HashMap<(&'a str, &'a str), usize>,
}

impl<'a> Names<'a> {
    fn new(groups: &'a [GroupReport]) -> Self {
        let mut members: BTreeMap<&str, usize> = BTreeMap::new();
        for (stem, _) in groups.iter().filter_map(|group| numbered(&group.name)) {
            *members.entry(stem).or_default() += 1;
        }
        let repeated = members.into_iter().filter(|(_, count)| *count > 1).map(|(stem, _)| stem).collect();
        let mut names = Self { repeated, tasks: HashMap::new(), peers: HashMap::new() };
        for group in groups {
            let family = names.family(group);
            let tasks = names.tasks.entry(family).or_default();
            for task in group.tasks() {
                let stem = numbered(&task.id).map_or(task.id.as_str(), |(stem, _)| stem);
                tasks.insert(stem);
                *names.peers.entry((group.name.as_str(), stem)).or_default() += 1;
            }
        }
        names
    }

    fn family(&self, group: &'a GroupReport) -> &'a str {
        match numbered(&group.name) {
            Some((stem, _)) if self.repeated.contains(stem) => stem,
            _ => group.name.as_str(),
        }
    }

    /// The number of the round that a group is; none if the group is not repeated.
    fn round(&self, group: &GroupReport) -> Option<u64> {
        numbered(&group.name).filter(|(stem, _)| self.repeated.contains(stem)).map(|(_, number)| number)
    }

    fn peers(&self, group: &GroupReport, stem: &str) -> usize {
        self.peers.get(&(group.name.as_str(), stem)).copied().unwrap_or_default()
    }

    /// The label of a task's line: its group, and its own name if the group has tasks of other names.
    fn label(&self, group: &'a GroupReport, task: &TaskReport) -> String {
        let family = self.family(group);
        let star = if family.len() < group.name.as_str().len() { "*" } else { "" };
        if self.tasks.get(family).is_some_and(|stems| stems.len() == 1) {
            return format!("{family}{star}");
        }
        match numbered(&task.id) {
            Some((stem, _)) => format!("{family}{star} / {stem}*"),
            None => format!("{family}{star} / {}", task.id),
        }
    }
}

/// Splits a name that ends in a number into its stem and the number.
fn numbered(name: &Name) -> Option<(&str, u64)> {
    let text = name.as_str();
    let stem = text.trim_end_matches(|char: char| char.is_ascii_digit());
    let digits = &text[stem.len()..];
    if digits.len() > 15 {
        return None;
    }
    digits.parse().ok().map(|number| (stem, number))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::report::Report;
    use fedflow_core::{Device, Dict, RunEvent, Value};

    fn name(text: &str) -> Name {
        Name::new(text).unwrap()
    }

    fn finished(group: &str, task: &str, result: Dict) -> RunEvent {
        RunEvent::TaskFinished {
            group: name(group),
            task: name(task),
            attempt: 1,
            device: Device::Cpu,
            load_time: Duration::ZERO,
            train_time: Duration::ZERO,
            result,
        }
    }

    #[test]
    fn rounds_are_lines_with_bands() {
        let mut report = Report::new();
        for round in 1..=3_i32 {
            for client in 0..4_i32 {
                let loss = Dict::from([("loss", Value::from(round * 10 + client)), ("note", "x".into())]);
                report.apply(0.0, &finished(&format!("train-{round}"), &format!("client-{client}"), loss));
            }
            let loss = Dict::from([("loss", f64::from(round))]);
            report.apply(0.0, &finished(&format!("aggregate-{round}"), "aggregate", loss));
        }
        let charts = result_charts(report.groups());
        assert_eq!(charts.charts.len(), 1);
        let chart = &charts.charts[0];
        assert_eq!((chart.title.as_str(), chart.axis), ("loss", Axis::Round));
        assert_eq!(
            chart.lines.iter().map(|line| line.label.as_str()).collect::<Vec<_>>(),
            ["train-*", "aggregate-*"]
        );
        let third = chart.lines[0].points[2];
        assert_eq!(third, Point { x: 3.0, mean: 31.5, min: 30.0, max: 33.0, count: 4 });
    }

    #[test]
    fn a_sweep_is_put_side_by_side_and_nan_left_out() {
        let mut report = Report::new();
        for seed in 0..5_i32 {
            let value = if seed == 2 { f64::NAN } else { f64::from(seed) };
            report.apply(0.0, &finished("sweep", &format!("seed-{seed}"), Dict::from([("accuracy", value)])));
        }
        let charts = result_charts(report.groups());
        assert_eq!(charts.charts[0].axis, Axis::Task);
        assert_eq!(charts.charts[0].lines[0].points.len(), 4);
    }

    #[test]
    fn a_name_without_a_number_or_with_a_huge_one_is_not_a_round() {
        assert_eq!(numbered(&name("train-007")), Some(("train-", 7)));
        assert_eq!(numbered(&name("12")), Some(("", 12)));
        assert_eq!(numbered(&name("split")), None);
        assert_eq!(numbered(&name(&format!("a{}", "9".repeat(40)))), None);
    }

    #[test]
    fn a_worker_that_invents_names_does_not_bloat_the_report() {
        let mut report = Report::new();
        for round in 1..=2 {
            let keys = (0..1_000).map(|key| (format!("k{key}"), Value::from(f64::from(key * round))));
            report.apply(0.0, &finished(&format!("r-{round}"), "t", keys.collect()));
        }
        let charts = result_charts(report.groups());
        assert_eq!((charts.charts.len(), charts.left_out), (MAX_CHARTS, MAX_KEYS - MAX_CHARTS));
    }
}
