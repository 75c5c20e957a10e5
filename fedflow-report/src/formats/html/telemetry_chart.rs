//! Draws the telemetry of each card below the device chart, on the same time axis.

use std::collections::BTreeMap;

use fedflow_core::{Device, Size};
use minijinja::Environment;
use minijinja::value::Value;
use serde::Serialize;

use crate::analysis::device_telemetry::{DeviceCurves, Metric, Point, Range, thinned, unbroken};
use crate::analysis::summary::Summary;
use crate::analysis::timeline::Timeline;
use crate::formats::html::device_chart;
use crate::formats::render_error::RenderError;
use crate::text::wording::{duration, number};

/// The most points of a curve.
const MAX_POINTS: usize = 240;
/// The most cards that are drawn.
const MAX_CARDS: usize = 32;
/// The width in the drawing's own units; it is stretched to the width of the page.
const WIDTH: f64 = 1_000.0;
const HEIGHT: f64 = 56.0;

/// Renders the curves of all cards; none if there is no telemetry.
pub(super) fn render(
    environment: &Environment<'_>,
    seen: &BTreeMap<Device, DeviceCurves>,
    summary: &Summary,
    timeline: &Timeline<'_>,
) -> Result<Option<Value>, RenderError> {
    let cards: Vec<_> = seen
        .iter()
        .filter(|(_, seen)| !seen.points.is_empty())
        .take(MAX_CARDS)
        .map(|(device, seen)| Card::new(*device, seen, summary))
        .collect();
    if cards.is_empty() || summary.makespan.is_zero() {
        return Ok(None);
    }
    let meters = Meters {
        left_out: seen.len() - cards.len(),
        has_utilization: cards.iter().any(|card| !card.utilization.is_empty()),
        has_used: cards.iter().any(|card| !card.used.is_empty()),
        has_booked: cards.iter().any(|card| !card.booked.is_empty()),
        cards,
        ticks: device_chart::ticks(summary),
        resumes: device_chart::resumes(summary, timeline),
        width: WIDTH,
        height: HEIGHT,
    };
    // Safe, as the template escapes its values.
    Ok(Some(Value::from_safe_string(
        environment.get_template("meters.html")?.render(minijinja::value::Serde(meters))?,
    )))
}

#[derive(Serialize)]
struct Meters {
    cards: Vec<Card>,
    left_out: usize,
    has_utilization: bool,
    has_used: bool,
    has_booked: bool,
    ticks: Vec<(String, String, &'static str)>,
    resumes: Vec<(String, u32)>,
    width: f64,
    height: f64,
}

/// The curves of one card, a path for each stretch without a gap.
#[derive(Serialize)]
struct Card {
    device: String,
    note: String,
    description: String,
    /// The area from the lowest to the highest value, and the area below the mean.
    bands: Vec<String>,
    areas: Vec<String>,
    utilization: Vec<String>,
    used: Vec<String>,
    booked: Vec<String>,
    readings: Vec<Reading>,
    lost: Option<(String, String)>,
}

#[derive(Serialize)]
struct Reading {
    x: String,
    width: String,
    text: String,
}

impl Card {
    fn new(device: Device, seen: &DeviceCurves, summary: &Summary) -> Self {
        let points = thinned(&seen.points, summary.window, MAX_POINTS);
        let axes = Axes { window: summary.window, total: seen.total };
        let share = |at: f64| (at - summary.window.0) / summary.seconds();
        Self {
            device: device.to_string(),
            note: seen.total.map(|total| total.to_string()).unwrap_or_default(),
            description: description(device, seen),
            bands: axes.bands(&points, Metric::Utilization),
            areas: axes.areas(&points, Metric::Utilization),
            utilization: axes.lines(&points, Metric::Utilization, |range| range.mean),
            // For memory the peak counts, as a task fails at the peak.
            used: axes.lines(&points, Metric::Used, |range| range.max),
            booked: axes.steps(&points, Metric::Booked, |range| range.max),
            readings: points
                .iter()
                .map(|point| {
                    let (from, to) = point.stretch;
                    Reading {
                        x: device_chart::place(share(from)),
                        width: device_chart::place(share(to) - share(from)),
                        text: reading(device, point, seen.total, summary.window.0),
                    }
                })
                .collect(),
            lost: seen.lost.as_ref().map(|(at, reason)| {
                let at = (*at).clamp(summary.window.0, summary.window.1);
                let text = format!("{device} was lost after {}: {reason}", duration(at - summary.window.0));
                (device_chart::place(share(at)), text)
            }),
        }
    }
}

/// Maps measured values to places in the drawing.
struct Axes {
    window: (f64, f64),
    total: Option<Size>,
}

impl Axes {
    fn x(&self, at: f64) -> f64 {
        (at - self.window.0) / (self.window.1 - self.window.0) * WIDTH
    }

    /// From 0 at the bottom to the whole at the top; none if the whole is not known.
    fn y(&self, metric: Metric, value: f64) -> Option<f64> {
        #[expect(clippy::cast_precision_loss, reason = "for charts")]
        let all = match metric {
            Metric::Utilization => 100.0,
            Metric::Used | Metric::Booked => self.total?.bytes() as f64,
            Metric::Power | Metric::Temperature => return None,
        };
        // At least half a line's width from the edges, so that the line is not cut.
        (all > 0.0).then(|| HEIGHT - 1.0 - (value / all).clamp(0.0, 1.0) * (HEIGHT - 2.0))
    }

    /// The corners of a line: the middle of each stretch, the start of the first and the end of the last.
    fn corners(&self, points: &[Point], metric: Metric, value: fn(Range) -> f64) -> Vec<(f64, f64)> {
        let measured = points
            .iter()
            .filter_map(|point| Some((point.stretch, self.y(metric, value(point.range(metric)?))?)));
        let measured: Vec<_> = measured.collect();
        let (Some(first), Some(last)) = (measured.first(), measured.last()) else { return Vec::new() };
        let begin = std::iter::once((self.x(first.0.0), first.1));
        let end = std::iter::once((self.x(last.0.1), last.1));
        let middles = measured.iter().map(|((from, to), y)| (self.x(f64::midpoint(*from, *to)), *y));
        begin.chain(middles).chain(end).collect()
    }

    fn lines(&self, points: &[Point], metric: Metric, value: fn(Range) -> f64) -> Vec<String> {
        let lines = unbroken(points).map(|run| path(self.corners(run, metric, value)));
        lines.filter(|path| !path.is_empty()).collect()
    }

    /// Steps, as memory is booked all at once.
    fn steps(&self, points: &[Point], metric: Metric, value: fn(Range) -> f64) -> Vec<String> {
        let lines = unbroken(points).map(|run| {
            let measured = run.iter().filter_map(|point| {
                let y = self.y(metric, value(point.range(metric)?))?;
                Some([(self.x(point.stretch.0), y), (self.x(point.stretch.1), y)])
            });
            path(measured.flatten())
        });
        lines.filter(|path| !path.is_empty()).collect()
    }

    /// The area below the mean.
    fn areas(&self, points: &[Point], metric: Metric) -> Vec<String> {
        let areas = unbroken(points).filter_map(|run| {
            let corners = self.corners(run, metric, |range| range.mean);
            let (from, to) = (corners.first()?.0, corners.last()?.0);
            Some(format!("{}L{to:.1},{HEIGHT}L{from:.1},{HEIGHT}Z", path(corners)))
        });
        areas.collect()
    }

    /// The area between the lowest and the highest value.
    fn bands(&self, points: &[Point], metric: Metric) -> Vec<String> {
        let bands = unbroken(points).filter_map(|run| {
            let differs = |point: &Point| point.range(metric).is_some_and(|range| range.max > range.min);
            run.iter().any(differs).then(|| {
                let there = self.corners(run, metric, |range| range.max);
                let back = self.corners(run, metric, |range| range.min);
                format!("{}Z", path(there.into_iter().chain(back.into_iter().rev())))
            })
        });
        bands.collect()
    }
}

fn path(corners: impl IntoIterator<Item = (f64, f64)>) -> String {
    let mut path = String::new();
    for (place, (x, y)) in corners.into_iter().enumerate() {
        path.push_str(&format!("{}{x:.1},{y:.1}", if place == 0 { "M" } else { "L" }));
    }
    path
}

/// The text that the pointer shows at one place.
fn reading(device: Device, point: &Point, total: Option<Size>, since: f64) -> String {
    let mut text = format!("{device}, after {}", duration(point.stretch.0 - since));
    let of_total = total.map(|total| format!(" of {total}")).unwrap_or_default();
    let spread = |range: Range, unit: &str| {
        let mean = format!("{}{unit}", number(range.mean.round()));
        if range.max - range.min < 1.0 {
            return mean;
        }
        format!("{mean} ({} to {})", number(range.min.round()), number(range.max.round()))
    };
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a size, and not negative")]
    let size = |range: Range| Size::from_bytes(range.max as u64);
    let told = [
        point.range(Metric::Utilization).map(|range| format!("utilisation {}", spread(range, " %"))),
        point.range(Metric::Used).map(|range| format!("memory {}{of_total}", size(range))),
        point.range(Metric::Booked).map(|range| format!("booked {}", size(range))),
        point.range(Metric::Power).map(|range| format!("power {}", spread(range, " W"))),
        point.range(Metric::Temperature).map(|range| spread(range, " °C")),
    ];
    for line in told.into_iter().flatten() {
        text.push('\n');
        text.push_str(&line);
    }
    text
}

fn description(device: Device, seen: &DeviceCurves) -> String {
    let figures = seen.figures();
    let told = [
        figures.mean_utilization.map(|percent| format!("{percent:.0} % busy on average")),
        figures.peak_memory.map(|size| format!("at most {size} in use")),
        figures.peak_booked.map(|size| format!("at most {size} booked")),
    ];
    format!("{device}: {}", told.into_iter().flatten().collect::<Vec<_>>().join(", "))
}
