//! `MarkdownTable`: all rows as one table.

use std::fmt::Write;

use crate::bench::result_table::table_line::TableLine;
use crate::bench::rows::TableRow;

/// The lines of each row, and what the row measures.
#[derive(Debug, Default)]
pub(in crate::bench) struct MarkdownTable {
    rows: Vec<(&'static str, &'static str, Vec<TableLine>)>,
}

impl MarkdownTable {
    pub(in crate::bench) fn push(&mut self, row: &TableRow, outcomes: Vec<TableLine>) {
        self.rows.push((row.name, row.what, outcomes));
    }

    /// The table, followed by what each row measures.
    pub(in crate::bench) fn render(&self) -> String {
        let mut text = String::from(
            "| row | case | runner | measured | against the base | at most | reached | what it does not do |\n\
             |---|---|---|---|---|---|---|---|\n",
        );
        for (name, _, outcomes) in &self.rows {
            for outcome in outcomes {
                let figure = &outcome.figure;
                let reached =
                    figure.is_reached().map_or("", |reached| if reached { "yes" } else { "**no**" });
                let _ = writeln!(
                    text,
                    "| {name} | {} | {} | {} | {} | {} | {reached} | {} |",
                    outcome.case,
                    outcome.runner,
                    outcome.measured,
                    figure.value().unwrap_or_default(),
                    figure.limit().unwrap_or_default(),
                    outcome.note.replace('|', "\\|"),
                );
            }
        }
        text.push('\n');
        for (name, what, _) in &self.rows {
            let _ = writeln!(text, "- **{name}**: {what}");
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::result_table::table_line::{Figure, Unit};

    #[test]
    fn a_row_says_what_it_is_and_whether_its_limit_is_reached() {
        let figure = |value| Figure::Judged { value, limit: 1.3, unit: Unit::Times };
        let line =
            |value| TableLine::new("2 at once", "fedflow", "1.9 s".into(), figure(value)).with_note("a|b");
        let mut table = MarkdownTable::default();
        table.rows.push(("A", "tasks that do nothing.", vec![line(1.2), line(1.4)]));
        let text = table.render();
        assert!(
            text.contains("| A | 2 at once | fedflow | 1.9 s | 1.200 × | 1.300 × | yes | a\\|b |\n"),
            "{text}"
        );
        assert!(text.contains("| **no** |"));
        assert!(text.ends_with("- **A**: tasks that do nothing.\n"));
    }
}
