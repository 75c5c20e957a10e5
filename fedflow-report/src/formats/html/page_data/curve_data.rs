//! `CurveData`: a chart of curves, as the page's scripts read it.

use serde::Serialize;

use crate::analysis::chart_series::{Axis, ChartData, Point};
use crate::text::visible_text::visible;

/// A chart of curves.
#[derive(Serialize)]
pub(super) struct CurveData {
    title: String,
    /// What the horizontal axis shows, and of which kind that is.
    name: &'static str,
    kind: &'static str,
    lines: Vec<LineData>,
}

/// A line and its points: place, mean, lowest, highest, and how many values these are of.
#[derive(Serialize)]
struct LineData {
    label: String,
    points: Vec<(f64, f64, f64, f64, usize)>,
}

impl CurveData {
    pub(super) fn new(chart: &ChartData) -> Self {
        let point = |point: &Point| (point.x, point.mean, point.min, point.max, point.count);
        let lines = chart.lines.iter().map(|line| LineData {
            label: visible(&line.label).into_owned(),
            points: line.points.iter().map(point).collect(),
        });
        let (name, kind) = match chart.axis {
            Axis::Round => ("round", "number"),
            Axis::Task => ("task", "place"),
            Axis::Seconds => ("time", "time"),
        };
        Self { title: visible(&chart.title).into_owned(), name, kind, lines: lines.collect() }
    }
}
