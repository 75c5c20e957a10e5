//! `Table`: all rows as one table in Markdown.

use std::fmt::Write;

use super::outcome::Outcome;
use super::rows::Row;

/// What was measured.
#[derive(Debug, Default)]
pub(super) struct Table {
    rows: Vec<(&'static str, &'static str, Vec<Outcome>)>,
}

impl Table {
    pub(super) fn push(&mut self, row: &Row, outcomes: Vec<Outcome>) {
        self.rows.push((row.name, row.what, outcomes));
    }

    /// The table, then what each row is.
    pub(super) fn render(&self) -> String {
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
    use super::super::outcome::{Figure, Unit};
    use super::*;

    #[test]
    fn a_row_says_what_it_is_and_whether_its_limit_is_reached() {
        let figure = |value| Figure::Judged { value, limit: 1.3, unit: Unit::Times };
        let line =
            |value| Outcome::new("2 at once", "fedflow", "1.9 s".into(), figure(value)).with_note("a|b");
        let mut table = Table::default();
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
