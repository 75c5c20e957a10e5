//! The tables of groups and of tasks.

use std::borrow::Cow;
use std::time::Duration;

use indexmap::IndexMap;
use minijinja::Environment;
use minijinja::value::Value as Html;
use rayon::prelude::*;
use serde::Serialize;

use fedflow_core::Value;

use crate::analysis::timeline::Timeline;
use crate::formats::html::links::group_link;
use crate::formats::render_error::RenderError;
use crate::report::attempt::AttemptPhase;
use crate::report::{Counts, GroupReport, OutcomeKind, Report, TaskReport};
use crate::text::wording::{self, count, duration, grouped};

/// The most rows of a table. If there are more tasks, it has those that did not finish and a sample of the others.
const MAX_ROWS: usize = 2_000;
/// The rows of a table that cannot have all.
const SAMPLE: usize = 1_000;
/// The most columns for results.
const MAX_KEYS: usize = 8;
/// The most names of results that are considered.
const MAX_SEEN: usize = 4_096;
/// How many rows a thread renders at a time.
const CHUNK: usize = 128;

/// A table whose rows are rendered.
#[derive(Serialize)]
pub(super) struct Table {
    rows: Vec<Html>,
    /// The names of the columns that hold results.
    keys: Vec<String>,
    /// A note on what the table leaves out.
    note: Option<String>,
    shown: usize,
}

/// The table of a report's groups.
pub(super) fn group_table(
    environment: &Environment<'_>,
    report: &Report,
    timeline: &Timeline<'_>,
) -> Result<Table, RenderError> {
    let all = report.groups();
    let wanted = sample(all, |group| group.counts().finished < group.tasks().len());
    let note = (wanted.len() < all.len()).then(|| left_out(wanted.len(), all.len(), "group", "groups"));
    let rows: Vec<_> = wanted.iter().map(|group| GroupRow::new(group, timeline)).collect();
    let shown = rows.len();
    Ok(Table { rows: rendered(environment, "group_rows.html", &rows, &())?, keys: Vec::new(), note, shown })
}

/// The table of some groups' tasks.
pub(super) fn task_table(
    environment: &Environment<'_>,
    groups: &[GroupReport],
    timeline: &Timeline<'_>,
    of_one_group: bool,
) -> Result<Table, RenderError> {
    let all: Vec<_> =
        groups.iter().flat_map(|group| group.tasks().iter().map(move |task| (group, task))).collect();
    let (keys, more_keys) = result_keys(all.iter().map(|(_, task)| *task));
    let wanted = sample(&all, |(_, task)| task.kind() != OutcomeKind::Finished);
    let mut notes = Vec::new();
    if wanted.len() < all.len() {
        notes.push(left_out(wanted.len(), all.len(), "task", "tasks"));
    }
    if more_keys > 0 {
        notes.push(format!("{} in results.json.", count(more_keys, "further result", "further results")));
    }
    let rows: Vec<_> =
        wanted.par_iter().map(|(group, task)| TaskRow::new(group, task, &keys, timeline)).collect();
    let shown = rows.len();
    let keys: Vec<String> = keys.into_iter().map(str::to_owned).collect();
    let rows = rendered(environment, "task_rows.html", &rows, &of_one_group)?;
    let note = (!notes.is_empty()).then(|| notes.join(" "));
    Ok(Table { rows, keys, note, shown })
}

/// The label of an outcome in a table.
pub(super) fn status_label(kind: OutcomeKind) -> &'static str {
    match kind {
        OutcomeKind::Finished => "finished",
        OutcomeKind::Exception => "failed",
        OutcomeKind::Cancelled => "cancelled",
        OutcomeKind::Skipped => "skipped",
        OutcomeKind::Open => "not ended",
    }
}

/// All items, or if there are too many, those that matter and an even sample of the others, in order.
fn sample<T>(all: &[T], matters: impl Fn(&T) -> bool) -> Vec<&T> {
    if all.len() <= MAX_ROWS {
        return all.iter().collect();
    }
    let important = all.iter().filter(|row| matters(row)).count().min(SAMPLE);
    let others = SAMPLE - important;
    let rest = all.len() - important;
    let (mut seen, mut taken, mut important_left) = (0_usize, 0_usize, important);
    let wanted = all.iter().filter(|row| {
        if important_left > 0 && matters(row) {
            important_left -= 1;
            return true;
        }
        seen += 1;
        let due = seen * others / rest.max(1) > taken;
        taken += usize::from(due);
        due
    });
    wanted.collect()
}

fn left_out(shown: usize, all: usize, one: &str, many: &str) -> String {
    format!(
        "{} of {} are shown: what did not finish, and a sample of the rest. All of them are in results.csv.",
        grouped(shown),
        count(all, one, many)
    )
}

/// The names of results that most tasks have, in order of appearance, and how many are left out.
fn result_keys<'a>(tasks: impl Iterator<Item = &'a TaskReport>) -> (Vec<&'a str>, usize) {
    let mut seen: IndexMap<&str, usize> = IndexMap::new();
    for (key, _) in tasks.filter_map(TaskReport::result).flat_map(|result| result.iter()) {
        if seen.len() < MAX_SEEN || seen.contains_key(key) {
            *seen.entry(key).or_default() += 1;
        }
    }
    let mut most: Vec<(usize, usize)> = seen.values().copied().enumerate().collect();
    most.sort_by_key(|(_, tasks)| std::cmp::Reverse(*tasks));
    most.truncate(MAX_KEYS);
    most.sort_by_key(|(place, _)| *place);
    let keys = most.iter().filter_map(|(place, _)| seen.get_index(*place)).map(|(key, _)| *key).collect();
    (keys, seen.len().saturating_sub(MAX_KEYS))
}

/// Renders the rows in parallel, in chunks.
fn rendered<R: Serialize + Sync>(
    environment: &Environment<'_>,
    template: &str,
    rows: &[R],
    shared: &(impl Serialize + Sync),
) -> Result<Vec<Html>, RenderError> {
    let template = environment.get_template(template)?;
    rows.par_chunks(CHUNK)
        .map(|rows| {
            let context = minijinja::context! { rows => minijinja::value::Serde(rows), shared => minijinja::value::Serde(shared) };
            // Safe, as the template escapes its values.
            Ok(Html::from_safe_string(template.render(context)?))
        })
        .collect()
}

#[derive(Serialize)]
struct GroupRow<'a> {
    index: u32,
    name: &'a str,
    link: String,
    counts: CountCells,
    shares: Vec<Share>,
    makespan: Cell<'a>,
    train: Cell<'a>,
}

#[derive(Serialize)]
struct CountCells {
    tasks: usize,
    finished: usize,
    failed: usize,
    unfinished: usize,
    retried: usize,
}

/// A part of the bar that shows the outcomes of tasks.
#[derive(Serialize)]
pub(super) struct Share {
    class: &'static str,
    label: String,
    percent: String,
}

#[derive(Serialize)]
struct TaskRow<'a> {
    group: &'a str,
    link: String,
    id: &'a str,
    status: String,
    label: &'static str,
    device: Option<String>,
    attempts: u32,
    load: Cell<'a>,
    reused: bool,
    wait: Cell<'a>,
    train: Cell<'a>,
    results: Vec<Cell<'a>>,
    error: Option<String>,
}

#[derive(Serialize)]
struct Cell<'a> {
    text: Cow<'a, str>,
    /// The number that the column is sorted by; none for text.
    sort: Option<String>,
}

impl<'a> GroupRow<'a> {
    fn new(group: &'a GroupReport, timeline: &Timeline<'_>) -> Self {
        let counts = group.counts();
        let extent = timeline.extent(std::iter::once(group));
        let train: f64 =
            group.tasks().iter().filter_map(|task| task.train_time).map(|time| time.as_secs_f64()).sum();
        Self {
            index: group.index,
            name: group.name.as_str(),
            link: group_link(group),
            shares: shares(&counts),
            counts: CountCells {
                tasks: counts.tasks,
                finished: counts.finished,
                failed: counts.failed,
                unfinished: counts.cancelled + counts.open,
                retried: counts.retried,
            },
            makespan: Cell::seconds(extent.map(|(from, to)| to - from)),
            train: Cell::seconds(Some(train)),
        }
    }
}

impl<'a> TaskRow<'a> {
    fn new(group: &'a GroupReport, task: &'a TaskReport, keys: &[&str], timeline: &Timeline<'_>) -> Self {
        let spans = task.all_attempts.iter().flat_map(|attempt| timeline.spans(attempt));
        let waits = spans.filter(|span| span.phase == AttemptPhase::Wait).map(|span| span.to - span.from);
        let wait = task.all_attempts.iter().any(|attempt| attempt.loaded.is_some()).then(|| waits.sum());
        let results = keys.iter().map(|key| Cell::value(task.result().and_then(|result| result.get(key))));
        Self {
            group: group.name.as_str(),
            link: group_link(group),
            id: task.id.as_str(),
            status: task.kind().to_string(),
            label: status_label(task.kind()),
            device: task.device.map(|device| device.to_string()),
            attempts: task.attempts,
            load: Cell::time(task.load_time),
            reused: task.all_attempts.last().is_some_and(|attempt| attempt.reused),
            wait: Cell::seconds(wait),
            train: Cell::time(task.train_time),
            results: results.collect(),
            error: task.failure().map(|failure| {
                let message = crate::text::visible_text::shortened(&failure.message, 160);
                format!("{} in {}: {message}", failure.kind, failure.stage)
            }),
        }
    }
}

impl<'a> Cell<'a> {
    fn time(time: Option<Duration>) -> Self {
        Self::seconds(time.map(|time| time.as_secs_f64()))
    }

    fn seconds(seconds: Option<f64>) -> Self {
        match seconds {
            Some(seconds) => Self { text: duration(seconds).into(), sort: Some(format!("{seconds:?}")) },
            None => Self { text: "–".into(), sort: Some(String::new()) },
        }
    }

    fn value(value: Option<&'a Value>) -> Self {
        let Some(value) = value else { return Self { text: "".into(), sort: None } };
        Self { text: wording::value(value), sort: value.as_f64().map(|number| format!("{number:?}")) }
    }
}

/// The outcomes of tasks as parts of a bar.
pub(super) fn shares(counts: &Counts) -> Vec<Share> {
    let all = counts.tasks.max(1) as f64;
    let parts = [
        ("finished", counts.finished),
        ("exception", counts.failed),
        ("cancelled", counts.cancelled),
        ("skipped", counts.skipped),
        ("open", counts.open),
    ];
    let parts = parts.into_iter().filter(|(_, count)| *count > 0);
    let labels = |class| match class {
        "finished" => "finished",
        "exception" => "failed",
        "cancelled" => "cancelled",
        "skipped" => "skipped",
        _ => "not ended",
    };
    parts
        .map(|(class, count)| Share {
            class,
            label: format!("{} {}", grouped(count), labels(class)),
            percent: format!("{:.0}", count as f64 / all * 100.0),
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sample_keeps_failures_and_the_order() {
        let all: Vec<u32> = (0..10_000).collect();
        let wanted = sample(&all, |row| row % 100 == 7);
        assert_eq!(wanted.len(), SAMPLE);
        assert!(wanted.is_sorted());
        assert_eq!(wanted.iter().filter(|row| **row % 100 == 7).count(), 100);
        assert_eq!(sample(&all, |_| true).len(), SAMPLE);
        assert_eq!(sample(&all[..MAX_ROWS], |_| false).len(), MAX_ROWS);
    }
}
