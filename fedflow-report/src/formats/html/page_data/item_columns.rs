//! `ItemColumn`: the values that tasks gave to an item while they trained, at equal steps of time.

use indexmap::IndexMap;
use serde::Serialize;

use crate::report::item_series::{ItemPoint, ItemSeries};
use crate::report::{GroupReport, TaskReport};
use crate::text::visible_text::visible;

/// The most items.
const MAX_ITEMS: usize = 12;
/// The most steps of a curve, the fewest, and how many values there may be in all.
const MAX_STEPS: usize = 60;
const MIN_STEPS: usize = 8;
const MAX_VALUES: usize = 150_000;
/// Beyond this, the difference of two numbers may overflow.
const MAX_NUMBER: f64 = 1e300;

/// An item of many tasks: all curves have their values at the same times, so that they can be averaged.
#[derive(Serialize)]
pub(super) struct ItemColumn {
    name: String,
    /// The time of a training between two values.
    step: f64,
    rows: Vec<usize>,
    /// The values of each row, from the beginning of its training to the end of the longest one; null where it had none.
    values: Vec<Vec<Option<f64>>>,
}

/// The items of some tasks, each in its row.
pub(super) fn item_columns(rows: &[(&GroupReport, &TaskReport)]) -> Vec<ItemColumn> {
    let mut items: IndexMap<&str, Vec<(usize, &[ItemPoint])>> = IndexMap::new();
    for (row, (_, task)) in rows.iter().enumerate() {
        for series in task.items.iter().filter(|series| series.points().len() > 1) {
            if items.len() < MAX_ITEMS || items.contains_key(series.key()) {
                items.entry(series.key()).or_default().push((row, ItemSeries::points(series)));
            }
        }
    }
    let all: usize = items.values().map(Vec::len).sum();
    let steps = (MAX_VALUES / all.max(1)).clamp(MIN_STEPS, MAX_STEPS);
    items.into_iter().map(|(name, series)| ItemColumn::new(name, &series, steps)).collect()
}

impl ItemColumn {
    fn new(name: &str, series: &[(usize, &[ItemPoint])], steps: usize) -> Self {
        // A sample, if even the fewest steps are too many.
        let every = (series.len() * steps / MAX_VALUES).max(1);
        let end = series.iter().filter_map(|(_, points)| points.last()).map(since).fold(0.0, f64::max);
        let step = end.max(1e-3) / steps as f64;
        let (rows, values) =
            series.iter().step_by(every).map(|(row, points)| (*row, at_steps(points, step, steps))).unzip();
        Self { name: visible(name).into_owned(), step, rows, values }
    }
}

/// The values at each step. A value holds until the next one; behind the last one there is none.
fn at_steps(points: &[ItemPoint], step: f64, steps: usize) -> Vec<Option<f64>> {
    let last = points.last().map_or(0.0, since);
    let mut points = points.iter().filter(|point| point.value.abs() < MAX_NUMBER).peekable();
    let mut holds = None;
    let values = (0..=steps).map(|place| {
        let at = place as f64 * step;
        while let Some(point) = points.next_if(|point| since(point) <= at * (1.0 + 1e-9)) {
            holds = Some(rounded(point.value));
        }
        holds.filter(|_| at <= last + step)
    });
    values.collect()
}

fn since(point: &ItemPoint) -> f64 {
    point.since_train.as_secs_f64()
}

/// A number with the five digits that a curve shows.
fn rounded(number: f64) -> f64 {
    format!("{number:.4e}").parse().unwrap_or(number)
}
