//! `ShownTable`: a table for people, on a terminal or in Markdown.

use std::borrow::Cow;
use std::fmt::Write as _;
use std::io::IsTerminal as _;

use console::{Alignment, measure_text_width, pad_str};
use fedflow_core::Value;
use fedflow_report::{MeanRow, MeanTable};

use super::shown_value::{shown_exactly, shown_mean, shown_result};
use crate::args::ResultsFormat;
use crate::commands::command_error::CommandError;
use crate::commands::printing::{stderr, stdout};
use crate::view::{clip, counted, escape, list};

/// The most columns of the terminal that a text takes.
const MAX_TEXT: usize = 40;
/// What stands between two columns.
const GAP: usize = 2;
/// How many columns that do not fit are named.
const NAMED: usize = 6;

/// A table of texts.
pub(super) struct ShownTable {
    heads: Vec<Head>,
    rows: Vec<Vec<String>>,
}

struct Head {
    name: String,
    /// Whether all its values are numbers, which are aligned at the right.
    is_number: bool,
    /// Whether it says which task or point a row is about: said once if it is the same in all rows.
    tells_apart: bool,
}

impl ShownTable {
    /// A table with a row for each task or value, whose columns have these names.
    pub(super) fn of_tasks(names: &[String]) -> Self {
        let is_result = |name: &str| name.starts_with("result.") || ["key", "step", "value"].contains(&name);
        Self::with(names.iter().map(|name| (name.clone(), !is_result(name))).collect())
    }

    /// A table with a row for each point.
    pub(super) fn of_means(table: &MeanTable) -> Self {
        let by = table.by().iter().map(|column| (column.name(), true));
        let counts = ["n", "failed"].map(|name| (name.to_owned(), false));
        let values = table.values().map(|name| (format!("result.{name}"), false));
        Self::with(by.chain(counts).chain(values).collect())
    }

    fn with(names: Vec<(String, bool)>) -> Self {
        let short = |name: &str| {
            let short = name.strip_prefix("param.").or_else(|| name.strip_prefix("result."));
            short.unwrap_or(name).to_owned()
        };
        let mut uses = std::collections::HashMap::new();
        names.iter().for_each(|(name, _)| *uses.entry(short(name)).or_insert(0_u32) += 1);
        let head = |(name, tells_apart): (String, bool)| {
            // What two columns would be called has its whole name.
            let plain = Some(short(&name)).filter(|short| uses.get(short) == Some(&1));
            Head { name: escape(&plain.unwrap_or(name)), is_number: true, tells_apart }
        };
        Self { heads: names.into_iter().map(head).collect(), rows: Vec::new() }
    }

    /// Adds a row.
    pub(super) fn push(&mut self, cells: &[Cow<'_, Value>]) {
        let mut row = Vec::with_capacity(cells.len());
        for (head, value) in self.heads.iter_mut().zip(cells) {
            head.is_number &= matches!(**value, Value::Null | Value::Int(_) | Value::Float(_));
            row.push(if head.tells_apart { shown_exactly(value) } else { shown_result(value) });
        }
        self.rows.push(row);
    }

    /// Adds a row of means.
    pub(super) fn push_means(&mut self, row: &MeanRow) {
        let mut shown = Vec::with_capacity(self.heads.len());
        for (head, value) in self.heads.iter_mut().zip(&row.point) {
            head.is_number &= matches!(value, Value::Null | Value::Int(_) | Value::Float(_));
            shown.push(shown_exactly(value));
        }
        shown.extend([row.finished, row.failed].map(|count| count.to_string()));
        shown.extend(row.moments.iter().map(shown_mean));
        self.rows.push(shown);
    }

    /// Prints it. On a terminal, what does not fit is left out, and that is said.
    pub(super) fn print(mut self, format: ResultsFormat) -> Result<(), CommandError> {
        let same = self.take_what_is_the_same();
        let terminal =
            std::io::stdout().is_terminal().then(|| console::Term::stdout().size_checked()).flatten();
        let (text, left_out) = match (format, terminal) {
            (ResultsFormat::Md, _) => (self.markdown(), Vec::new()),
            (_, None) => (self.aligned(), Vec::new()),
            (_, Some((_, width))) => {
                let left_out = self.fit(usize::from(width));
                (self.aligned(), left_out)
            }
        };
        stdout::print(|out| {
            if !same.is_empty() {
                writeln!(out, "{same}\n")?;
            }
            out.write_all(text.as_bytes())
        })?;
        if !left_out.is_empty() {
            let named = list(left_out.iter().take(NAMED));
            let more = if left_out.len() > NAMED { ", …" } else { "" };
            let columns = counted(left_out.len() as u64, "column");
            stderr::say(&format!(
                "note: {columns} did not fit: {named}{more}; --value chooses, --format csv has all"
            ));
        }
        Ok(())
    }

    /// Removes the columns that only say the same in every row, and returns what that is.
    fn take_what_is_the_same(&mut self) -> String {
        let mut same = Vec::new();
        let mut place = 0;
        while place < self.heads.len() {
            let first = self.rows.first().map_or("", |row| &row[place]);
            let is_same = self.rows.len() > 1 && self.rows.iter().all(|row| row[place] == first);
            if is_same && self.heads[place].tells_apart && self.heads[place].name != "task" {
                if !first.is_empty() {
                    same.push(format!("{} = {}", self.heads[place].name, clip(first, MAX_TEXT)));
                }
                self.remove(place);
            } else {
                place += 1;
            }
        }
        if same.is_empty() { String::new() } else { format!("all: {}", list(same)) }
    }

    fn remove(&mut self, place: usize) -> String {
        self.rows.iter_mut().for_each(|row| drop(row.remove(place)));
        self.heads.remove(place).name
    }

    /// Cuts long texts and, from the right, leaves out columns until the table is no wider than this. Returns their names.
    fn fit(&mut self, width: usize) -> Vec<String> {
        self.rows.iter_mut().flatten().for_each(|cell| {
            if measure_text_width(cell) > MAX_TEXT {
                *cell = clip(cell, MAX_TEXT);
            }
        });
        let mut left_out = Vec::new();
        let mut widths = self.widths();
        while self.heads.len() > 1 && widths.iter().sum::<usize>() + GAP * (widths.len() - 1) > width {
            widths.pop();
            left_out.insert(0, self.remove(self.heads.len() - 1));
        }
        left_out
    }

    fn widths(&self) -> Vec<usize> {
        let cells = |place: usize| self.rows.iter().map(move |row| measure_text_width(&row[place]));
        let head = |head: &Head| measure_text_width(&head.name);
        let widest = |(place, it)| cells(place).fold(head(it), usize::max);
        self.heads.iter().enumerate().map(widest).collect()
    }

    /// Columns in line, numbers at the right.
    fn aligned(&self) -> String {
        let widths = self.widths();
        let mut text = String::new();
        let names: Vec<String> = self.heads.iter().map(|head| head.name.clone()).collect();
        for row in std::iter::once(&names).chain(&self.rows) {
            let mut line = String::new();
            for ((cell, head), width) in row.iter().zip(&self.heads).zip(&widths) {
                let alignment = if head.is_number { Alignment::Right } else { Alignment::Left };
                line.push_str(&pad_str(cell, *width, alignment, None));
                line.push_str(&" ".repeat(GAP));
            }
            let _ = writeln!(text, "{}", line.trim_end());
        }
        text
    }

    fn markdown(&self) -> String {
        let mut text = String::new();
        let line = |cells: &mut dyn Iterator<Item = String>| {
            cells.fold("|".to_owned(), |line, it| line + " " + &it + " |")
        };
        let _ = writeln!(text, "{}", line(&mut self.heads.iter().map(|head| in_markdown(&head.name))));
        let rule = |head: &Head| if head.is_number { "---:" } else { "---" }.to_owned();
        let _ = writeln!(text, "{}", line(&mut self.heads.iter().map(rule)));
        for row in &self.rows {
            let _ = writeln!(text, "{}", line(&mut row.iter().map(|cell| in_markdown(cell))));
        }
        text
    }
}

/// A text in a cell of a Markdown table, where it formats nothing.
fn in_markdown(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    for char in text.chars() {
        match char {
            '<' => shown.push_str("&lt;"),
            '&' => shown.push_str("&amp;"),
            '|' | '\\' | '`' | '*' | '_' | '[' | ']' => shown.extend(['\\', char]),
            char => shown.push(char),
        }
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table() -> ShownTable {
        let names =
            ["run", "task", "param.lr", "param.alg", "result.accuracy", "result.note"].map(String::from);
        let mut table = ShownTable::of_tasks(&names);
        let row = |task: &str, lr: f64, accuracy: Value, note: &str| {
            let text = |text: &str| Cow::Owned(Value::from(text));
            [text("res"), text(task), Cow::Owned(lr.into()), text("sgd"), Cow::Owned(accuracy), text(note)]
        };
        table.push(&row("a", 0.001, 0.93456.into(), "a|b"));
        table.push(&row("bc", 1.0, Value::Null, "客户端"));
        table
    }

    #[test]
    fn numbers_are_at_the_right_and_what_is_the_same_is_said_once() {
        let mut shown = table();
        assert_eq!(shown.take_what_is_the_same(), "all: run = res, alg = sgd");
        assert_eq!(
            shown.aligned(),
            "task     lr  accuracy  note\na     0.001    0.9346  a|b\nbc        1            客户端\n"
        );
        assert_eq!(
            shown.markdown(),
            "| task | lr | accuracy | note |\n| --- | ---: | ---: | --- |\n| a | 0.001 | 0.9346 | a\\|b |\n\
             | bc | 1 |  | 客户端 |\n"
        );
    }

    #[test]
    fn a_table_fits_the_terminal() {
        let mut shown = table();
        let _ = shown.take_what_is_the_same();
        assert_eq!(shown.fit(21), ["note"]);
        assert!(shown.aligned().lines().all(|line| measure_text_width(line) <= 21));
        assert_eq!(shown.fit(1), ["lr", "accuracy"]);
    }

    #[test]
    fn what_two_columns_would_be_called_has_its_whole_name() {
        let names = ["task", "param.lr", "result.lr", "result.task"].map(String::from);
        let heads: Vec<_> = ShownTable::of_tasks(&names).heads.into_iter().map(|head| head.name).collect();
        assert_eq!(heads, ["task", "param.lr", "result.lr", "result.task"]);
    }
}
