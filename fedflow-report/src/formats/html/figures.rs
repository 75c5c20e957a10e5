//! What the page says of its charts in words, for titles and for those who cannot see them.

use serde::Serialize;

use crate::analysis::chart_series::{Axis, ChartData};
use crate::analysis::summary::Summary;
use crate::text::wording::{duration, number};

/// The place of a chart in the page.
#[derive(Serialize)]
pub(super) struct Figure {
    title: String,
    axis: &'static str,
    description: String,
    more_lines: usize,
}

impl Figure {
    pub(super) fn new(chart: &ChartData) -> Self {
        let lines = chart.lines.iter().filter_map(|line| {
            let (first, last) = (line.points.first()?, line.points.last()?);
            Some(format!("{} goes from {} to {}", line.label, number(first.mean), number(last.mean)))
        });
        Self {
            title: chart.title.clone(),
            axis: match chart.axis {
                Axis::Round => "by round",
                Axis::Task => "by task",
                Axis::Seconds => "by time in train",
            },
            description: lines.collect::<Vec<_>>().join("; "),
            more_lines: chart.more_lines,
        }
    }
}

/// How long each device was busy.
pub(super) fn timeline_description(summary: &Summary) -> String {
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
