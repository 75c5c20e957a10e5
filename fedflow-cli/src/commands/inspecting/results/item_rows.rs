//! `ItemTable`: the values that items had, as long rows. The journal is read again for them, so that none need be kept.

use std::borrow::Cow;
use std::collections::HashMap;
use std::io::Write;

use fedflow_core::{Name, RunEvent, Value};
use fedflow_report::{Column, RenderError, ResultColumns, ResultRow, TableWriter, UnknownName};
use fedflow_worker::store::{JournalError, JournalFollower};

use super::program_table::{program_format, written};
use super::refusals::unknown;
use super::shown_table::ShownTable;
use crate::args::ResultsFormat;
use crate::commands::command_error::CommandError;
use crate::commands::inspecting::run_access::RunAccess;
use crate::commands::printing::stdout;

/// The items of tasks.
pub(super) struct ItemTable<'a> {
    /// The tasks whose items are meant, by run, group and name.
    tasks: HashMap<(&'a str, &'a Name, &'a Name), &'a ResultRow>,
    runs: &'a [(String, RunAccess)],
    /// The items that are meant; all if it is empty.
    keys: &'a [String],
    heads: Vec<Column>,
}

/// Why the items could not be written.
enum ItemsError {
    Journal(JournalError),
    Render(RenderError),
}

/// What the journals told beside the rows that were written.
#[derive(Default)]
struct Seen {
    /// Whether there was a row.
    any: bool,
    /// The keys of items that were not meant.
    others: Vec<String>,
}

/// The most keys that are told.
const MAX_OTHERS: usize = 100;

impl<'a> ItemTable<'a> {
    pub(super) fn new(rows: &'a [ResultRow], runs: &'a [(String, RunAccess)], keys: &'a [String]) -> Self {
        let columns = ResultColumns::of(rows.iter().map(|row| (&row.params, None)));
        let params = columns.params().map(|name| Column::Param(name.to_owned()));
        let heads = [Column::Run, Column::Group, Column::Task].into_iter().chain(params).collect();
        let tasks = rows.iter().map(|row| ((&*row.run, &row.group, &row.task), row)).collect();
        Self { tasks, runs, keys, heads }
    }

    /// Prints a row for each value, in the order in which the values came.
    pub(super) fn print(&self, format: ResultsFormat) -> Result<(), CommandError> {
        let names = self.names();
        let mut failed = None;
        let mut seen = Seen::default();
        let mut shown = ShownTable::of_tasks(&names);
        if let Some(format) = program_format(format) {
            stdout::print(|out| {
                let ended = self.write(format, &names, out, &mut seen);
                match ended {
                    Ok(()) => Ok(()),
                    Err(ItemsError::Render(error)) => written(Err(error)),
                    Err(ItemsError::Journal(error)) => {
                        failed = Some(error);
                        Ok(())
                    }
                }
            })?;
        } else if let Err(ItemsError::Journal(error)) = self.visit(&mut seen, |row| {
            shown.push(&row);
            Ok(())
        }) {
            failed = Some(error);
        }
        if let Some(error) = failed {
            return Err(CommandError::failed(error));
        }
        if let Some(key) = self.keys.first().filter(|_| !seen.any) {
            return Err(unknown(&UnknownName { what: "item", name: key.clone(), known: seen.others }));
        }
        if program_format(format).is_none() { shown.print(format) } else { Ok(()) }
    }

    fn names(&self) -> Vec<String> {
        let mut names: Vec<String> = self.heads.iter().map(Column::name).collect();
        names.insert(3, "attempt".into());
        names.extend(["key", "step", "value"].map(String::from));
        names
    }

    fn write(
        &self,
        format: fedflow_report::TableFormat,
        names: &[String],
        out: &mut dyn Write,
        seen: &mut Seen,
    ) -> Result<(), ItemsError> {
        let mut table = TableWriter::new(format, names, out).map_err(ItemsError::Render)?;
        self.visit(seen, |row| table.write_row(row))?;
        table.finish().map_err(ItemsError::Render)
    }

    /// Visits the rows, in the order of the journals.
    fn visit<'r>(
        &'r self,
        seen: &mut Seen,
        mut visit: impl FnMut(Vec<Cow<'_, Value>>) -> Result<(), RenderError>,
    ) -> Result<(), ItemsError> {
        for (run, access) in self.runs {
            let mut steps: HashMap<(&'r Name, &'r Name), HashMap<String, i64>> = HashMap::new();
            let mut ended = Ok(());
            let mut journal = JournalFollower::open(&access.run_dir).map_err(ItemsError::Journal)?;
            let read = journal.read_new(|record| {
                let RunEvent::TaskItem { group, task, attempt, key, value } = record.event else { return };
                let Some(row) = self.tasks.get(&(run.as_str(), &group, &task)) else { return };
                // Of a task that is tried again while this is read, there are other values by now.
                if attempt != row.attempt || ended.is_err() {
                    return;
                }
                if !self.keys.is_empty() && !self.keys.contains(&key) {
                    if seen.others.len() < MAX_OTHERS && !seen.others.contains(&key) {
                        seen.others.push(key);
                    }
                    return;
                }
                seen.any = true;
                let counted = steps.entry((&row.group, &row.task)).or_default();
                let step = match counted.get_mut(&key) {
                    Some(step) => {
                        *step += 1;
                        *step
                    }
                    None => *counted.entry(key.clone()).or_insert(0),
                };
                let mut cells: Vec<Cow<'_, Value>> = self.heads.iter().map(|head| head.value(row)).collect();
                cells.insert(3, Cow::Owned(Value::from(attempt)));
                cells.extend([Value::from(key), Value::from(step), value].map(Cow::Owned));
                ended = visit(cells);
            });
            read.map_err(ItemsError::Journal)?;
            ended.map_err(ItemsError::Render)?;
        }
        Ok(())
    }
}
