//! `PageData`: what the scripts of a report draw, as JSON within the page.

mod card_data;
mod curve_data;
mod experiment_data;
mod item_columns;
mod timeline_data;

use std::io::{self, Write};

use minijinja::value::Value as Html;
use serde::Serialize;

pub(super) use self::card_data::Measured;
use self::curve_data::CurveData;
pub(super) use self::experiment_data::ExperimentData;
use self::timeline_data::TimelineData;
use crate::analysis::chart_series::Charts;
use crate::analysis::summary::Summary;
use crate::analysis::timeline::Timeline;
use crate::formats::render_error::RenderError;
use crate::report::Report;

/// The data of a report's charts. `templates/scripts/start.js` reads it.
#[derive(Serialize)]
pub(super) struct PageData {
    /// The results by parameters; none if no parameter varies.
    experiment: Option<ExperimentData>,
    /// The curves of results, in the order of the page's figures.
    results: Vec<CurveData>,
    /// The curves of items.
    items: Vec<CurveData>,
    /// What ran when; none if no task was started.
    timeline: Option<TimelineData>,
}

impl PageData {
    pub(super) fn new(
        report: &Report,
        summary: &Summary,
        timeline: &Timeline<'_>,
        experiment: Option<ExperimentData>,
        results: &Charts,
        items: &Charts,
    ) -> Self {
        let curves = |charts: &Charts| charts.charts.iter().map(CurveData::new).collect();
        Self {
            experiment,
            results: curves(results),
            items: curves(items),
            timeline: (!summary.makespan.is_zero()).then(|| TimelineData::new(report, summary, timeline)),
        }
    }

    /// Whether results are shown by parameters.
    pub(super) fn has_experiment(&self) -> bool {
        self.experiment.is_some()
    }

    /// Whether nothing is drawn.
    pub(super) fn is_empty(&self) -> bool {
        self.experiment.is_none()
            && self.results.is_empty()
            && self.items.is_empty()
            && self.timeline.is_none()
    }

    /// Which curves the telemetry of the cards has.
    pub(super) fn measured(&self) -> Measured {
        self.timeline.as_ref().map(TimelineData::measured).unwrap_or_default()
    }

    /// The data as JSON that may stand in a `script` element: nothing in it ends the element or begins a comment.
    pub(super) fn embedded(&self) -> Result<Html, RenderError> {
        // Of many tasks it is large: its length is counted first, so that it is never there twice.
        let mut length = Escaped(Length(0));
        serde_json::to_writer(&mut length, self)?;
        let mut json = Escaped(Vec::with_capacity(length.0.0));
        serde_json::to_writer(&mut json, self)?;
        Ok(Html::from_safe_string(String::from_utf8(json.0).map_err(io::Error::other)?))
    }
}

/// Writes JSON without the character that could end a `script` element. JSON has it only within texts, where it may be
/// written as an escape.
struct Escaped<W>(W);

impl<W: Write> Write for Escaped<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        for (place, part) in bytes.split(|byte| *byte == b'<').enumerate() {
            if place > 0 {
                self.0.write_all(b"\\u003c")?;
            }
            self.0.write_all(part)?;
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

/// Counts what is written.
struct Length(usize);

impl Write for Length {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0 += bytes.len();
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
