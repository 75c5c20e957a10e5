//! `ResultColumns`: which parameters and values the tasks of a table have, and how a column is called.

use std::borrow::Cow;

use fedflow_core::{Dict, Value};
use indexmap::IndexSet;

use super::result_rows::ResultRow;
use super::row_order::number;
use super::shape::{Shape, Step, value_at};
use super::unknown_name::UnknownName;

/// The most columns for parameters.
const MAX_PARAMS: usize = 1_000;

/// The parameters and the values of results that tasks have, in order of appearance and in a limited number.
#[derive(Debug, Default)]
pub struct ResultColumns {
    params: IndexSet<String>,
    values: Vec<ResultValue>,
    is_cut: bool,
    has_long_lists: bool,
}

/// A value in the results: a part of a list or a dictionary has a name with dots, such as `loss.0` or `per_class.cat`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ResultValue {
    name: String,
    path: Vec<Step>,
}

/// A column of a table in which a task has a row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Column {
    /// The run.
    Run,
    /// The task's group.
    Group,
    /// The task.
    Task,
    /// How it ended, in one word.
    Status,
    /// One of its parameters.
    Param(String),
    /// A value of its result.
    Result(ResultValue),
}

impl ResultColumns {
    /// The columns for tasks, each given by its parameters and its result.
    pub fn of<'a>(tasks: impl IntoIterator<Item = (&'a Dict, Option<&'a Dict>)>) -> Self {
        let mut columns = Self::default();
        let mut shape = Shape::default();
        for (params, result) in tasks {
            for (name, _) in params.iter() {
                if columns.params.len() >= MAX_PARAMS {
                    columns.is_cut |= !columns.params.contains(name);
                } else if !columns.params.contains(name) {
                    columns.params.insert(name.to_owned());
                }
            }
            result.into_iter().for_each(|result| shape.add(result));
        }
        columns.is_cut |= shape.is_cut;
        columns.has_long_lists = shape.has_long_lists;
        // A key with a dot in it may be called like a part of a dictionary: the first one has the name.
        let mut names = IndexSet::new();
        let values = shape.values().into_iter().filter(|(name, _)| names.insert(name.clone()));
        columns.values = values.map(|(name, path)| ResultValue { name, path }).collect();
        columns
    }

    /// The columns for these rows.
    #[must_use]
    pub fn of_rows(rows: &[ResultRow]) -> Self {
        Self::of(rows.iter().map(|row| (&row.params, row.result.as_ref())))
    }

    /// The names of the parameters.
    pub fn params(&self) -> impl ExactSizeIterator<Item = &str> {
        self.params.iter().map(String::as_str)
    }

    /// The values of results.
    #[must_use]
    pub fn values(&self) -> &[ResultValue] {
        &self.values
    }

    /// What of the results has no column, in words; `None` if nothing was left out.
    #[must_use]
    pub fn left_out(&self) -> Option<&'static str> {
        match (self.is_cut, self.has_long_lists) {
            (false, false) => None,
            (false, true) => Some("of a list, the first 100 items have columns; all are in results.json"),
            (true, _) => Some("of very many values, the first 1,000 have columns; all are in results.json"),
        }
    }

    /// Keeps only the values of these names, in this order. The name of a list or a dictionary means all that is in it.
    ///
    /// # Errors
    /// No value has one of the names.
    pub fn keep_values(&mut self, names: &[String]) -> Result<(), UnknownName> {
        let mut kept = Vec::new();
        for name in names {
            let name = name.strip_prefix("result.").unwrap_or(name);
            let is_meant = |value: &&ResultValue| {
                let inner = value.name.strip_prefix(name);
                inner.is_some_and(|inner| inner.is_empty() || inner.starts_with('.'))
            };
            let mut meant = self.values.iter().filter(is_meant).peekable();
            if meant.peek().is_none() {
                let known = self.values.iter().map(|value| value.name.clone()).collect();
                return Err(UnknownName { what: "value", name: name.to_owned(), known });
            }
            for value in meant {
                if !kept.contains(value) {
                    kept.push(value.clone());
                }
            }
        }
        self.values = kept;
        Ok(())
    }

    /// The columns of a table with a row for each task.
    #[must_use]
    pub fn columns(&self) -> Vec<Column> {
        let params = self.params.iter().cloned().map(Column::Param);
        let values = self.values.iter().cloned().map(Column::Result);
        [Column::Run, Column::Group, Column::Task, Column::Status]
            .into_iter()
            .chain(params)
            .chain(values)
            .collect()
    }

    /// The parameter of this name, or else what tells the tasks of one point apart: the run, the group, the task.
    ///
    /// # Errors
    /// Nothing is called so.
    pub fn variable(&self, name: &str) -> Result<Column, UnknownName> {
        let param = name.strip_prefix("param.").unwrap_or(name);
        if self.params.contains(param) {
            return Ok(Column::Param(param.to_owned()));
        }
        match name {
            "run" => Ok(Column::Run),
            "group" => Ok(Column::Group),
            "task" => Ok(Column::Task),
            _ => {
                let known = self.params.iter().cloned().collect();
                Err(UnknownName { what: "parameter", name: param.to_owned(), known })
            }
        }
    }
}

impl ResultValue {
    /// Its name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The value in a result; `None` if it has none there.
    #[must_use]
    pub fn of<'a>(&self, result: &'a Dict) -> Option<&'a Value> {
        value_at(result, &self.path)
    }

    /// Whether it is a number, or a boolean, in the result of any of these tasks.
    pub(super) fn is_number_in(&self, rows: &[ResultRow]) -> bool {
        let mut results = rows.iter().filter_map(|row| row.result.as_ref());
        results.any(|result| self.of(result).is_some_and(|value| number(value).is_some()))
    }
}

impl Column {
    /// Its name in the formats for programs.
    #[must_use]
    pub fn name(&self) -> String {
        match self {
            Self::Run => "run".into(),
            Self::Group => "group".into(),
            Self::Task => "task".into(),
            Self::Status => "status".into(),
            Self::Param(name) => format!("param.{name}"),
            Self::Result(value) => format!("result.{}", value.name),
        }
    }

    /// What a task has in it; null if nothing.
    #[must_use]
    pub fn value<'a>(&self, row: &'a ResultRow) -> Cow<'a, Value> {
        let owned = |text: &str| Cow::Owned(Value::from(text));
        let found = match self {
            Self::Run => return owned(&row.run),
            Self::Group => return owned(row.group.as_str()),
            Self::Task => return owned(row.task.as_str()),
            Self::Status => return Cow::Owned(Value::from(row.kind.to_string())),
            Self::Param(name) => row.params.get(name),
            Self::Result(value) => row.result.as_ref().and_then(|result| value.of(result)),
        };
        found.map_or(Cow::Owned(Value::Null), Cow::Borrowed)
    }
}

/// The place of the column that is meant by a name: by its whole name, as a value, as a mean, as a parameter.
///
/// # Errors
/// None is.
pub fn find_column(names: &[String], wanted: &str) -> Result<usize, UnknownName> {
    let spellings =
        [wanted.to_owned(), format!("result.{wanted}"), format!("{wanted}.mean"), format!("param.{wanted}")];
    let found = spellings.iter().find_map(|spelling| names.iter().position(|name| name == spelling));
    found.ok_or_else(|| {
        let short = |name: &String| name.strip_prefix("result.").unwrap_or(name).to_owned();
        UnknownName { what: "column", name: wanted.to_owned(), known: names.iter().map(short).collect() }
    })
}
