//! Draws a chart of curves as SVG.
//!
//! No chart library is used: `plotters`, the best maintained one, writes fixed colours and font sizes into every element
//! and no classes, so that a page could not follow light and dark mode. A curve needs no more than an axis with round
//! numbers and a path for each line.

use minijinja::Environment;
use minijinja::value::Value;
use serde::Serialize;

use crate::analysis::chart_series::{Axis, ChartData, Line};
use crate::formats::render_error::RenderError;
use crate::text::wording::{count, duration, number, number_by, tick};

const WIDTH: f64 = 420.0;
const HEIGHT: f64 = 240.0;
/// The room for the labels of the vertical axis, unless they need more.
const LEFT: f64 = 56.0;
const RIGHT: f64 = 22.0;
const TOP: f64 = 10.0;
const BOTTOM: f64 = 30.0;
/// The width of a digit of a label.
const DIGIT: f64 = 7.0;
/// The most steps of an axis.
const MAX_TICKS: usize = 6;
/// A line with more points has no dots, as they would touch.
const MAX_DOTS: usize = 60;
/// The most places at which the pointer shows values.
const MAX_READINGS: usize = 240;

/// Renders a chart.
pub(super) fn render(
    environment: &Environment<'_>,
    chart: &ChartData,
    place: usize,
) -> Result<Value, RenderError> {
    let drawing = Drawing::new(chart, place);
    // Safe, as the template escapes its values.
    Ok(Value::from_safe_string(
        environment.get_template("curve.html")?.render(minijinja::value::Serde(drawing))?,
    ))
}

#[derive(Serialize)]
struct Drawing<'a> {
    title: &'a str,
    axis: &'static str,
    id: String,
    description: String,
    width: f64,
    height: f64,
    left: f64,
    right: f64,
    bottom: f64,
    x_ticks: Vec<Tick>,
    y_ticks: Vec<Tick>,
    lines: Vec<DrawnLine<'a>>,
    readings: Vec<Reading>,
    more_lines: usize,
}

#[derive(Serialize)]
struct Tick {
    at: String,
    label: String,
}

#[derive(Serialize)]
struct DrawnLine<'a> {
    label: &'a str,
    last: String,
    path: Option<String>,
    band: Option<String>,
    dots: Vec<(String, String)>,
}

#[derive(Serialize)]
struct Reading {
    x: String,
    width: String,
    text: String,
}

impl<'a> Drawing<'a> {
    fn new(chart: &'a ChartData, place: usize) -> Self {
        let points = || chart.lines.iter().flat_map(|line| &line.points);
        let whole = chart.axis != Axis::Seconds;
        let margin = if whole { Margin::WholeTicks } else { Margin::None };
        let values = points().flat_map(|point| [point.min, point.max]);
        let y = Scale::new(values, (HEIGHT - BOTTOM, TOP), Margin::RoundNumbers);
        let y_ticks = y.ticks(&|value| number_by(value, y.step, y.first.abs().max(y.last.abs())));
        let longest = y_ticks.iter().map(|tick| tick.label.chars().count()).max().unwrap_or(0);
        let left = (DIGIT * longest as f64 + 14.0).clamp(LEFT, WIDTH / 3.0);
        let x = Scale::new(points().map(|point| point.x), (left, WIDTH - RIGHT), margin);
        let x_labels: fn(f64) -> String = match chart.axis {
            Axis::Seconds => tick,
            Axis::Round | Axis::Task => |x| format!("{x}"),
        };
        Self {
            title: &chart.title,
            axis: match chart.axis {
                Axis::Round => "by round",
                Axis::Task => "by task",
                Axis::Seconds => "by time in train",
            },
            id: format!("chart-{place}"),
            description: description(chart),
            width: WIDTH,
            height: HEIGHT,
            left,
            right: WIDTH - RIGHT,
            bottom: HEIGHT - BOTTOM,
            x_ticks: x.ticks(&x_labels),
            y_ticks,
            lines: chart.lines.iter().map(|line| DrawnLine::new(line, chart.axis, &x, &y)).collect(),
            readings: readings(chart, &x),
            more_lines: chart.more_lines,
        }
    }
}

impl<'a> DrawnLine<'a> {
    fn new(line: &'a Line, axis: Axis, x: &Scale, y: &Scale) -> Self {
        let points = || line.points.iter();
        let joined = axis != Axis::Task;
        let path = joined.then(|| path(points().map(|point| (x.at(point.x), y.at(point.mean)))));
        let has_band = joined && points().any(|point| point.count > 1 && point.max > point.min);
        let band = has_band.then(|| {
            let there = points().map(|point| (x.at(point.x), y.at(point.max)));
            let back = points().rev().map(|point| (x.at(point.x), y.at(point.min)));
            format!("{}Z", self::path(there.chain(back)))
        });
        let with_dots = !joined || line.points.len() <= MAX_DOTS;
        let dots = points()
            .filter(|_| with_dots)
            .map(|point| (format!("{:.1}", x.at(point.x)), format!("{:.1}", y.at(point.mean))))
            .collect();
        let last = line.points.last().map_or(0.0, |point| point.mean);
        Self { label: &line.label, last: number(last), path, band, dots }
    }
}

fn path(points: impl Iterator<Item = (f64, f64)>) -> String {
    let mut path = String::new();
    for (place, (x, y)) in points.enumerate() {
        path.push_str(&format!("{}{x:.1},{y:.1}", if place == 0 { "M" } else { "L" }));
    }
    path
}

fn description(chart: &ChartData) -> String {
    let lines = chart.lines.iter().filter_map(|line| {
        let (first, last) = (line.points.first()?, line.points.last()?);
        Some(format!("{} goes from {} to {}", line.label, number(first.mean), number(last.mean)))
    });
    lines.collect::<Vec<_>>().join("; ")
}

/// The text that the pointer shows at each place of the horizontal axis.
fn readings(chart: &ChartData, x: &Scale) -> Vec<Reading> {
    let mut places: Vec<f64> = chart.lines.iter().flat_map(|line| &line.points).map(|p| p.x).collect();
    places.sort_by(f64::total_cmp);
    places.dedup();
    if places.len() > MAX_READINGS {
        return Vec::new();
    }
    let edge = |a: f64, b: f64| f64::midpoint(x.at(a), x.at(b));
    (0..places.len())
        .map(|place| {
            let from = if place > 0 { edge(places[place - 1], places[place]) } else { x.from };
            let to = places.get(place + 1).map_or(WIDTH - RIGHT, |&next| edge(places[place], next));
            Reading {
                x: format!("{from:.1}"),
                width: format!("{:.1}", (to - from).max(0.0)),
                text: reading(chart, places[place]),
            }
        })
        .collect()
}

fn reading(chart: &ChartData, x: f64) -> String {
    let mut text = match chart.axis {
        Axis::Round => format!("round {x}"),
        Axis::Task => format!("task {x}"),
        Axis::Seconds => format!("after {}", duration(x)),
    };
    for line in &chart.lines {
        let Ok(place) = line.points.binary_search_by(|point| point.x.total_cmp(&x)) else { continue };
        let point = line.points[place];
        text.push_str(&format!("\n{}: {}", line.label, number(point.mean)));
        if point.count > 1 {
            let values = count(point.count, "value", "values");
            text.push_str(&format!(" ({} to {}, {values})", number(point.min), number(point.max)));
        }
    }
    text
}

/// Where an axis ends.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Margin {
    /// Where the data end.
    None,
    /// Where the data end; its ticks are whole numbers.
    WholeTicks,
    /// At the next round number.
    RoundNumbers,
}

/// Maps values to places in the drawing.
struct Scale {
    first: f64,
    last: f64,
    from: f64,
    to: f64,
    /// The distance between ticks.
    step: f64,
}

impl Scale {
    fn new(values: impl Iterator<Item = f64>, (from, to): (f64, f64), margin: Margin) -> Self {
        let (mut first, mut last) = values.fold((f64::INFINITY, f64::NEG_INFINITY), |range, value| {
            (range.0.min(value), range.1.max(value))
        });
        if first > last {
            (first, last) = (0.0, 1.0);
        }
        if last - first <= f64::EPSILON * last.abs().max(first.abs()) {
            let room = if first == 0.0 { 1.0 } else { first.abs() * 0.1 };
            (first, last) = (first - room, last + room);
        }
        if margin == Margin::RoundNumbers && first > 0.0 && first < 0.4 * last {
            // If the values begin near zero, the axis begins at zero.
            first = 0.0;
        }
        let mut step = round_step(last - first, MAX_TICKS);
        match margin {
            Margin::None => {}
            Margin::WholeTicks => step = step.max(1.0),
            Margin::RoundNumbers => {
                (first, last) = ((first / step).floor() * step, (last / step).ceil() * step);
            }
        }
        Self { first, last, from, to, step }
    }

    fn at(&self, value: f64) -> f64 {
        self.from + (value - self.first) / (self.last - self.first) * (self.to - self.from)
    }

    fn ticks(&self, label: &dyn Fn(f64) -> String) -> Vec<Tick> {
        let step = self.step;
        let begin = (self.first / step - 1e-6).ceil();
        (0..=2 * MAX_TICKS)
            .map(|place| (begin + place as f64) * step)
            .take_while(|value| *value <= self.last + step * 1e-6)
            // A tick at 0.30000000000000004 is labelled 0.3.
            .map(|value| if value.abs() < step * 1e-6 { 0.0 } else { value })
            .map(|value| Tick { at: format!("{:.1}", self.at(value)), label: label(value) })
            .collect()
    }
}

/// The smallest of 1, 2, 5, 10, … (times a power of ten) that divides a range into at most `max_steps` steps.
pub(super) fn round_step(range: f64, max_steps: usize) -> f64 {
    let raw = range / max_steps.max(1) as f64;
    if !raw.is_finite() || raw <= f64::MIN_POSITIVE {
        return 1.0;
    }
    let power = 10_f64.powf(raw.log10().floor());
    [1.0, 2.0, 5.0, 10.0]
        .map(|factor| factor * power)
        .into_iter()
        .find(|step| *step >= raw * 0.999)
        .unwrap_or(raw)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn ticks_are_round() {
        let scale = Scale::new([0.62, 0.97].into_iter(), (0.0, 100.0), Margin::RoundNumbers);
        let labels: Vec<_> = scale.ticks(&number).into_iter().map(|tick| tick.label).collect();
        assert_eq!(labels, ["0.6", "0.7", "0.8", "0.9", "1"]);
        let scale = Scale::new([1.0, 30.0].into_iter(), (0.0, 100.0), Margin::WholeTicks);
        let labels: Vec<_> = scale.ticks(&number).into_iter().map(|tick| tick.label).collect();
        assert_eq!(labels, ["5", "10", "15", "20", "25", "30"]);
    }

    #[test]
    fn ticks_of_large_values_that_differ_little_differ() {
        for values in [[1_795_012_340.0, 1_795_012_410.0], [1e15, 1e15 + 40.0], [0.123_456_1, 0.123_456_9]] {
            let scale = Scale::new(values.into_iter(), (0.0, 100.0), Margin::RoundNumbers);
            let ticks = scale.ticks(&|value| number_by(value, scale.step, scale.last));
            let labels: std::collections::BTreeSet<_> = ticks.iter().map(|tick| &tick.label).collect();
            assert!(labels.len() == ticks.len() && labels.len() > 2, "{labels:?}");
        }
    }

    proptest! {
        #[test]
        fn every_value_lies_in_the_drawing(values in prop::collection::vec(-1e300_f64..1e300, 1..6)) {
            for margin in [Margin::None, Margin::WholeTicks, Margin::RoundNumbers] {
                let scale = Scale::new(values.iter().copied(), (10.0, 110.0), margin);
                for value in &values {
                    prop_assert!((9.9..110.1).contains(&scale.at(*value)), "{} of {:?}", value, values);
                }
                prop_assert!(scale.ticks(&number).len() < 12);
            }
        }

        #[test]
        fn tiny_ranges_are_drawn_too(value in any::<f64>().prop_filter("", |v| v.abs() < 1e300), ulps in 0_u64..4) {
            let other = f64::from_bits(value.to_bits() + ulps);
            let scale = Scale::new([value, other].into_iter(), (0.0, 1.0), Margin::RoundNumbers);
            prop_assert!(scale.at(value).is_finite());
            prop_assert!(scale.ticks(&number).len() < 12);
        }
    }
}
