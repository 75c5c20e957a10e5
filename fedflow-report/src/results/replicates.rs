//! `MeanTable`: mean and deviation over the tasks that differ only in a seed or the like.

use std::collections::{HashMap, HashSet};
use std::fmt::Write as _;

use fedflow_core::{OutcomeKind, PlainValue, Value};

use super::columns::{Column, ResultColumns, ResultValue};
use super::moments::Moments;
use super::result_rows::ResultRow;
use super::row_order::number;
use super::unknown_name::UnknownName;

/// The parameters that tell replicates apart if none is named.
pub const USUAL_REPLICATES: [&str; 4] = ["seed", "fold", "repeat", "trial"];

/// What a mean is taken over, and what stays apart.
#[derive(Debug, Clone)]
pub struct Replicates {
    /// What tells replicates apart.
    over: Vec<Column>,
    /// What has a column.
    by: Vec<Column>,
    /// Whether `by` was named: then nothing else keeps tasks apart.
    is_by_named: bool,
}

/// A table with a row for each point: the tasks that agree in all that is not averaged over.
#[derive(Debug)]
#[non_exhaustive]
pub struct MeanTable {
    /// The points, in the order in which their first tasks were added.
    pub rows: Vec<MeanRow>,
    by: Vec<Column>,
    values: Vec<ResultValue>,
}

/// A point with the means over its replicates.
#[derive(Debug)]
#[non_exhaustive]
pub struct MeanRow {
    /// Where it is, by the columns of [`MeanTable::by`].
    pub point: Vec<Value>,
    /// How many tasks have a result with one of the values.
    pub finished: u64,
    /// How many failed for good.
    pub failed: u64,
    /// The numbers of each value.
    pub moments: Vec<Moments>,
}

/// Why there is no table of means.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ReplicatesError {
    /// A name is unknown.
    #[error(transparent)]
    Unknown(#[from] UnknownName),
    /// Nothing was named to average over, and no parameter has a usual name.
    #[error("no parameter is named seed, fold, repeat or trial")]
    NoneUsual,
    /// A value was named that is a number in no task.
    #[error("{0} is a number in no task, so it has no mean")]
    NoNumber(String),
}

impl Replicates {
    /// What the names mean. Without `over`, it is everything but `by` or, without that either, the parameters with
    /// usual names; without `by`, it is every parameter but `over`.
    ///
    /// # Errors
    /// A name is unknown, or nothing was named and no parameter has a usual name.
    pub fn named(columns: &ResultColumns, over: &[String], by: &[String]) -> Result<Self, ReplicatesError> {
        let found =
            |names: &[String]| names.iter().map(|name| columns.variable(name)).collect::<Result<Vec<_>, _>>();
        let (mut over, mut by) = (found(over)?, found(by)?);
        let params = || columns.params().map(|name| Column::Param(name.to_owned()));
        let is_by_named = !by.is_empty();
        if over.is_empty() && is_by_named {
            over = params().filter(|param| !by.contains(param)).collect();
        } else if over.is_empty() {
            let usual = params().filter(|param| matches!(param, Column::Param(name) if is_usual(name)));
            over = usual.collect();
            if over.is_empty() {
                return Err(ReplicatesError::NoneUsual);
            }
        }
        if !is_by_named {
            by = params().filter(|param| !over.contains(param)).collect();
        }
        Ok(Self { over, by, is_by_named })
    }
}

/// Whether a parameter of this name tells replicates apart.
fn is_usual(name: &str) -> bool {
    USUAL_REPLICATES.contains(&name)
}

impl MeanTable {
    /// The means of the values that are numbers; those that were `chosen` must be.
    ///
    /// Where two tasks of a point are the same replicate, they are no replicates of each other: their groups, else their
    /// runs, else their names keep them apart, unless it was said by what the table goes.
    ///
    /// # Errors
    /// A chosen value is a number in no task.
    pub fn new(
        rows: &[ResultRow],
        columns: &ResultColumns,
        replicates: &Replicates,
        chosen: bool,
    ) -> Result<Self, ReplicatesError> {
        let mut values = Vec::new();
        for value in columns.values() {
            if value.is_number_in(rows) {
                values.push(value.clone());
            } else if chosen {
                return Err(ReplicatesError::NoNumber(value.name().to_owned()));
            }
        }
        let counted: Vec<&ResultRow> = rows.iter().filter(|row| counts(row, &values)).collect();
        let Replicates { over, by, is_by_named } = replicates;
        let mut points = Points::of(&counted, over, by);
        let mut by = by.clone();
        if !is_by_named {
            for column in [Column::Group, Column::Run, Column::Task] {
                if !over.contains(&column) && points.keep_apart(&counted, over, &column) {
                    by.push(column);
                }
            }
        }
        // What keeps points apart comes first, as in the other tables.
        by.sort_by_key(|column| matches!(column, Column::Param(_)));
        let mut means: Vec<MeanRow> = Vec::new();
        let mut places: HashMap<&str, usize> = HashMap::new();
        for (row, point) in counted.iter().zip(&points.0) {
            let place = *places.entry(&point.key).or_insert_with(|| {
                means.push(MeanRow::new(row, &by, point, values.len()));
                means.len() - 1
            });
            means[place].take(row, &values);
        }
        Ok(Self { rows: means, by, values })
    }

    /// The columns that say which point a row is.
    #[must_use]
    pub fn by(&self) -> &[Column] {
        &self.by
    }

    /// The values of which there are means.
    pub fn values(&self) -> impl ExactSizeIterator<Item = &str> {
        self.values.iter().map(ResultValue::name)
    }

    /// The names of all columns in the formats for programs.
    #[must_use]
    pub fn columns(&self) -> Vec<String> {
        let values = self.values().flat_map(|name| [format!("{name}.mean"), format!("{name}.sd")]);
        let counts = ["n", "failed"].map(String::from);
        self.by.iter().map(Column::name).chain(counts).chain(values).collect()
    }

    /// What a row has in these columns; null for nothing.
    #[must_use]
    pub fn cells(&self, row: &MeanRow) -> Vec<Value> {
        let count = |count: u64| Value::from(i64::try_from(count).unwrap_or(i64::MAX));
        let float = |number: Option<f64>| number.map_or(Value::Null, Value::from);
        let means = row.moments.iter().flat_map(|it| [float(it.mean()), float(it.deviation())]);
        let counts = [count(row.finished), count(row.failed)];
        row.point.iter().cloned().chain(counts).chain(means).collect()
    }

    /// The values that are no number in some tasks of a point where they are one in others, with the number of these tasks:
    /// the means are without them.
    pub fn left_out(&self) -> impl Iterator<Item = (&str, u64)> {
        self.values().enumerate().filter_map(|(place, name)| {
            let lacking = |row: &MeanRow| match row.moments[place].count() {
                0 => 0,
                count => row.finished - count,
            };
            let tasks: u64 = self.rows.iter().map(lacking).sum();
            (tasks > 0).then_some((name, tasks))
        })
    }
}

impl MeanRow {
    fn new(row: &ResultRow, by: &[Column], point: &Point, values: usize) -> Self {
        let shown = |column: &Column| match column {
            Column::Group | Column::Run | Column::Task if !point.shows(column) => Value::Null,
            column => column.value(row).into_owned(),
        };
        Self {
            point: by.iter().map(shown).collect(),
            finished: 0,
            failed: 0,
            moments: vec![Moments::default(); values],
        }
    }

    fn take(&mut self, row: &ResultRow, values: &[ResultValue]) {
        let Some(result) = &row.result else {
            self.failed += 1;
            return;
        };
        self.finished += 1;
        for (moments, value) in self.moments.iter_mut().zip(values) {
            moments.extend(value.of(result).and_then(number));
        }
    }
}

/// Whether a task counts: one that failed, and one whose result has any of the values. Tasks of other groups have none.
fn counts(row: &ResultRow, values: &[ResultValue]) -> bool {
    match &row.result {
        Some(result) => values.iter().any(|value| value.of(result).is_some()),
        None => row.kind == OutcomeKind::Exception,
    }
}

/// The point that each row belongs to.
struct Points(Vec<Point>);

struct Point {
    /// Rows with one key belong together.
    key: String,
    /// What keeps its tasks apart beside the parameters, or was asked for.
    shown: Vec<Column>,
}

impl Points {
    fn of(rows: &[&ResultRow], over: &[Column], by: &[Column]) -> Self {
        let point = |row: &&ResultRow| {
            let mut key = String::new();
            by.iter().for_each(|column| push_value(&mut key, row, column));
            // A task without a seed is no replicate of those that have one.
            key.extend(over.iter().map(|column| if *column.value(row) == Value::Null { '0' } else { '1' }));
            Point { key, shown: by.to_vec() }
        };
        Self(rows.iter().map(point).collect())
    }

    /// Where a replicate comes twice at a point, with different values in this column, the point becomes several. Returns
    /// whether that was so anywhere.
    fn keep_apart(&mut self, rows: &[&ResultRow], over: &[Column], column: &Column) -> bool {
        let mut first: HashMap<String, String> = HashMap::new();
        let mut mixed: HashSet<String> = HashSet::new();
        for (row, point) in rows.iter().zip(&self.0) {
            let mut replicate = point.key.clone();
            over.iter().for_each(|variable| push_value(&mut replicate, row, variable));
            let mut value = String::new();
            push_value(&mut value, row, column);
            let known = first.entry(replicate).or_insert_with(|| value.clone());
            if *known != value {
                mixed.insert(point.key.clone());
            }
        }
        for (row, point) in rows.iter().zip(&mut self.0) {
            if mixed.contains(&point.key) {
                push_value(&mut point.key, row, column);
                point.shown.push(column.clone());
            }
        }
        !mixed.is_empty()
    }
}

impl Point {
    fn shows(&self, column: &Column) -> bool {
        self.shown.contains(column)
    }
}

/// Adds a row's value to a key, so that different values make different keys.
fn push_value(key: &mut String, row: &ResultRow, column: &Column) {
    match serde_json::to_string(&PlainValue(&column.value(row))) {
        Ok(text) => key.push_str(&text),
        Err(error) => drop(write!(key, "{error}")),
    }
    key.push('\n');
}
