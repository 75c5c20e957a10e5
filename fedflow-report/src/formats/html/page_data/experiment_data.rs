//! `ExperimentData`: the parameters and the numeric results of all tasks, in columns, as the page's scripts read them.

use std::borrow::Cow;
use std::collections::BTreeSet;

use fedflow_core::Value;
use indexmap::{IndexMap, IndexSet};
use serde::Serialize;

use crate::formats::html::page_data::item_columns::{ItemColumn, item_columns};
use crate::report::{GroupReport, OutcomeKind, Report, TaskReport};
use crate::results::replicates::USUAL_REPLICATES;
use crate::text::visible_text::{shortened, visible};
use crate::text::wording;

/// The most parameters, and the most results.
const MAX_PARAMS: usize = 32;
const MAX_METRICS: usize = 24;
/// The most numbers of results in all: a page of a hundred thousand tasks stays below 15 MB.
const MAX_NUMBERS: usize = 500_000;
/// The most different texts of a parameter that are compared.
const MAX_TEXTS: usize = 50;
/// The most characters of a parameter.
const MAX_TEXT: usize = 80;

/// The tasks with parameters, a row each.
#[derive(Serialize)]
pub(in crate::formats::html) struct ExperimentData {
    /// The kinds of tasks: those of one kind have the same parameters, such as all clients of all rounds.
    sets: Vec<String>,
    /// The kind of each row.
    set: Vec<usize>,
    /// 1 for each row that has a result, 0 for one that failed.
    finished: Vec<u8>,
    /// The parameters over which values are averaged, unless they are chosen as an axis.
    replicates: [&'static str; 4],
    params: Vec<ParamColumn>,
    metrics: Vec<MetricColumn>,
    items: Vec<ItemColumn>,
}

/// A parameter: its values, and which of them each row has; -1 for none.
#[derive(Serialize)]
struct ParamColumn {
    name: String,
    values: Vec<ParamValue>,
    of: Vec<i32>,
}

impl ParamColumn {
    /// Whether some rows have different values that can be compared: a text of its own for every task cannot.
    fn varies(&self, rows: impl Iterator<Item = usize>) -> bool {
        let used: BTreeSet<usize> = rows.filter_map(|row| usize::try_from(*self.of.get(row)?).ok()).collect();
        let is_number = |place: &usize| matches!(self.values.get(*place), Some(ParamValue::Number(_)));
        used.len() > 1 && (used.len() <= MAX_TEXTS || used.iter().all(is_number))
    }
}

/// A value of a parameter.
#[derive(Serialize)]
#[serde(untagged)]
enum ParamValue {
    Number(f64),
    Text(String),
}

/// A result by row; null for none.
#[derive(Serialize)]
struct MetricColumn {
    name: String,
    of: Vec<Option<f64>>,
}

impl ExperimentData {
    /// The experiment of a run; none if no parameter varies or nothing was measured.
    pub(in crate::formats::html) fn new(report: &Report) -> Option<Self> {
        // What was skipped, cancelled or never ran came to no result, and did not fail either.
        let ran = |task: &TaskReport| matches!(task.kind(), OutcomeKind::Finished | OutcomeKind::Exception);
        let rows: Vec<_> = report.tasks().filter(|(_, task)| ran(task) && !task.params.is_empty()).collect();
        let mut sets: IndexMap<Vec<&str>, Cow<'_, str>> = IndexMap::new();
        let set: Vec<usize> = rows.iter().map(|(group, task)| set_of(&mut sets, group, task)).collect();
        let params = params(&rows);
        let metrics = metrics(&rows);
        let is_compared = |place| {
            let of_set = || (0..rows.len()).filter(|row| set.get(*row) == Some(&place));
            let varies = params.iter().any(|param| param.varies(of_set()));
            varies
                && metrics
                    .iter()
                    .any(|metric| of_set().any(|row| metric.of.get(row).is_some_and(Option::is_some)))
        };
        let items = item_columns(&rows);
        (0..sets.len()).any(is_compared).then(|| Self {
            sets: distinct(sets.values()),
            set,
            finished: rows.iter().map(|(_, task)| u8::from(task.kind() == OutcomeKind::Finished)).collect(),
            replicates: USUAL_REPLICATES,
            params,
            metrics,
            items,
        })
    }
}

/// The place of the kind of a task. A kind is called after what the names of its groups begin with.
fn set_of<'a>(
    sets: &mut IndexMap<Vec<&'a str>, Cow<'a, str>>,
    group: &'a GroupReport,
    task: &'a TaskReport,
) -> usize {
    let names = task.params.iter().map(|(name, _)| name).collect();
    let entry = sets.entry(names);
    let place = entry.index();
    let label = entry.or_insert(Cow::Borrowed(group.name.as_str()));
    let same = label.chars().zip(group.name.as_str().chars()).take_while(|(a, b)| a == b).count();
    if same < label.chars().count() {
        *label = Cow::Owned(label.chars().take(same).collect());
    }
    place
}

/// The labels without what is cut off in the middle, and no two of them the same.
fn distinct<'a>(labels: impl Iterator<Item = &'a Cow<'a, str>>) -> Vec<String> {
    let mut known = IndexSet::new();
    for (place, label) in labels.enumerate() {
        let label = label.trim_end_matches(|char: char| !char.is_alphabetic());
        let label = if label.is_empty() { "tasks" } else { label };
        let label = visible(label).into_owned();
        let label = if known.contains(&label) { format!("{label} ({})", place + 1) } else { label };
        known.insert(label);
    }
    known.into_iter().collect()
}

/// Whether a value says where something lies: it is another one in each run, and no choice of the experiment.
fn is_path(value: &Value) -> bool {
    value.as_str().is_some_and(|text| text.starts_with('/'))
}

fn params(rows: &[(&GroupReport, &TaskReport)]) -> Vec<ParamColumn> {
    let mut columns: IndexMap<&str, (IndexMap<String, ParamValue>, Vec<i32>)> = IndexMap::new();
    for (row, (_, task)) in rows.iter().enumerate() {
        for (name, value) in task.params.iter().filter(|(_, value)| !is_path(value)) {
            if columns.len() >= MAX_PARAMS && !columns.contains_key(name) {
                continue;
            }
            let (values, of) = columns.entry(name).or_default();
            let entry = values.entry(wording::value(value).into_owned());
            of.resize(row, -1);
            of.push(i32::try_from(entry.index()).unwrap_or(-1));
            entry.or_insert_with_key(|text| ParamValue::new(value, text));
        }
    }
    let column = |(name, (values, mut of)): (&str, (IndexMap<String, ParamValue>, Vec<i32>))| {
        of.resize(rows.len(), -1);
        ParamColumn { name: visible(name).into_owned(), values: values.into_values().collect(), of }
    };
    columns.into_iter().map(column).collect()
}

fn metrics(rows: &[(&GroupReport, &TaskReport)]) -> Vec<MetricColumn> {
    let most = (MAX_NUMBERS / rows.len().max(1)).clamp(1, MAX_METRICS);
    let mut columns: IndexMap<&str, Vec<Option<f64>>> = IndexMap::new();
    for (row, (_, task)) in rows.iter().enumerate() {
        for (name, value) in task.result().into_iter().flat_map(|result| result.iter()) {
            let Some(number) = value.as_f64().filter(|number| number.is_finite()) else { continue };
            if columns.len() >= most && !columns.contains_key(name) {
                continue;
            }
            let of = columns.entry(name).or_default();
            of.resize(row, None);
            of.push(Some(rounded(number)));
        }
    }
    let column = |(name, mut of): (&str, Vec<Option<f64>>)| {
        of.resize(rows.len(), None);
        MetricColumn { name: visible(name).into_owned(), of }
    };
    columns.into_iter().map(column).collect()
}

impl ParamValue {
    fn new(value: &Value, text: &str) -> Self {
        match (value, value.as_f64()) {
            (Value::Int(_) | Value::Float(_), Some(number)) if number.is_finite() => Self::Number(number),
            _ => Self::Text(visible(&shortened(text, MAX_TEXT)).into_owned()),
        }
    }
}

/// A number with the seven digits that a chart may need.
fn rounded(number: f64) -> f64 {
    format!("{number:.6e}").parse().unwrap_or(number)
}
