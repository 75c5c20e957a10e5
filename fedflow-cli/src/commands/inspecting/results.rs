//! `fedflow results`: the results of one run or several beside their parameters, or their means over replicates.

mod group_pattern;
mod item_rows;
mod program_table;
mod refusals;
mod shown_table;
mod shown_value;

use std::borrow::Cow;

use fedflow_core::Value;
use fedflow_report::{
    Column, Direction, MeanTable, Replicates, ResultColumns, ResultRow, USUAL_REPLICATES, UnknownName,
    compare_values, find_column,
};

use self::group_pattern::GroupPattern;
use self::item_rows::ItemTable;
use self::program_table::{print_for_programs, program_format};
use self::refusals::{refused, unknown};
use self::shown_table::ShownTable;
use super::run_access::RunAccess;
use crate::args::ResultsArgs;
use crate::commands::command_error::CommandError;
use crate::commands::printing::stderr;
use crate::view::{counted, escape};

/// Prints the table.
pub(crate) fn cmd_results(args: &ResultsArgs) -> Result<(), CommandError> {
    let pattern = args.group.as_deref().map(GroupPattern::new);
    let mut rows = Vec::new();
    let mut runs = Vec::new();
    for run_dir in &args.run_dirs {
        let access = RunAccess::open(run_dir)?;
        let name = run_dir.display().to_string();
        let is_meant = |row: &ResultRow| pattern.as_ref().is_none_or(|it| it.matches(row.group.as_str()));
        rows.extend(ResultRow::of_run(&name, &access.overview).filter(is_meant));
        runs.push((name, access));
    }
    if rows.is_empty()
        && let Some(glob) = &args.group
    {
        let groups = runs.iter().flat_map(|(_, access)| access.overview.groups());
        let known: Vec<String> = groups.map(|group| group.name.to_string()).collect();
        return Err(unknown(&UnknownName { what: "group", name: glob.clone(), known }));
    }
    if args.items {
        return ItemTable::new(&rows, &runs, &args.value).print(args.format);
    }
    let mut columns = ResultColumns::of_rows(&rows);
    if !args.value.is_empty() {
        columns.keep_values(&args.value).map_err(|error| unknown(&error))?;
    }
    let left_out = columns.left_out();
    if args.over.is_some() || !args.by.is_empty() {
        print_means(args, &rows, &columns)?;
    } else {
        print_tasks(args, rows, &columns)?;
    }
    if let Some(left_out) = left_out {
        stderr::say(&format!("note: {left_out}"));
    }
    Ok(())
}

/// A row for each task.
fn print_tasks(
    args: &ResultsArgs,
    mut rows: Vec<ResultRow>,
    columns: &ResultColumns,
) -> Result<(), CommandError> {
    let heads = columns.columns();
    let names: Vec<String> = heads.iter().map(Column::name).collect();
    if let Some((place, direction)) = sorted_by(args, &names)? {
        let by = &heads[place];
        rows.sort_by(|one, other| compare_values(&by.value(one), &by.value(other), direction));
    }
    let cells = rows.iter().map(|row| heads.iter().map(|column| column.value(row)).collect());
    if let Some(format) = program_format(args.format) {
        return print_for_programs(format, &names, cells);
    }
    let mut shown = ShownTable::of_tasks(&names);
    cells.for_each(|row: Vec<Cow<'_, Value>>| shown.push(&row));
    shown.print(args.format)?;
    hint_at_replicates(columns, rows.len());
    Ok(())
}

/// A row for each point, with means over its replicates.
fn print_means(args: &ResultsArgs, rows: &[ResultRow], columns: &ResultColumns) -> Result<(), CommandError> {
    let over = args.over.as_deref().unwrap_or_default();
    let replicates = Replicates::named(columns, over, &args.by).map_err(|error| refused(error, columns))?;
    let is_chosen = !args.value.is_empty();
    let mut table =
        MeanTable::new(rows, columns, &replicates, is_chosen).map_err(|error| refused(error, columns))?;
    let names = table.columns();
    if let Some((place, direction)) = sorted_by(args, &names)? {
        let mut means = std::mem::take(&mut table.rows);
        let key = |row: &_| table.cells(row).swap_remove(place);
        means.sort_by(|one, other| compare_values(&key(one), &key(other), direction));
        table.rows = means;
    }
    if let Some(format) = program_format(args.format) {
        let cells = table.rows.iter().map(|row| table.cells(row).into_iter().map(Cow::Owned).collect());
        print_for_programs(format, &names, cells)?;
    } else {
        let mut shown = ShownTable::of_means(&table);
        table.rows.iter().for_each(|row| shown.push_means(row));
        shown.print(args.format)?;
    }
    for (name, tasks) in table.left_out() {
        let tasks = counted(tasks, "task");
        stderr::say(&format!("note: {} is no number in {tasks}, which its means leave out", escape(name)));
    }
    Ok(())
}

/// Says how the table can be shortened, if a parameter looks like a seed.
fn hint_at_replicates(columns: &ResultColumns, rows: usize) {
    let usual = columns.params().find(|name| USUAL_REPLICATES.contains(name));
    if let Some(name) = usual.filter(|_| rows > 1) {
        stderr::say(&format!("hint: --over {name} gives mean and deviation over {name}"));
    }
}

/// The column to sort by and in which direction.
fn sorted_by(args: &ResultsArgs, names: &[String]) -> Result<Option<(usize, Direction)>, CommandError> {
    let Some(wanted) = &args.sort else { return Ok(None) };
    let (name, direction) = match wanted.strip_prefix('-') {
        Some(name) => (name, Direction::Descending),
        None => (wanted.as_str(), Direction::Ascending),
    };
    let place = find_column(names, name).map_err(|error| unknown(&error))?;
    Ok(Some((place, direction)))
}
