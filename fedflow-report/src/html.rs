//! The HTML report: one self-contained page for the run, and one for each group.

mod bar;
mod curve;
mod failures;
mod gantt;
mod meters;
mod page;
mod table;

use std::borrow::Cow;
use std::io::Write;

use fedflow_core::Name;
use minijinja::value::Value;
use minijinja::{Environment, UndefinedBehavior, escape_formatter};

use crate::figure::{count, grouped};
use crate::render::RenderError;
use crate::report::{Counts, Report};
use crate::visible::visible;

/// Writes the report of the whole run.
///
/// # Errors
/// The writer fails.
pub fn render_html(report: &Report, out: impl Write) -> Result<(), RenderError> {
    page::render(report, None, out)
}

/// Writes the report of one group, with links to the report of the whole run.
///
/// # Errors
/// There is no such group, or the writer fails.
pub fn render_group_html(report: &Report, group: &Name, out: impl Write) -> Result<(), RenderError> {
    let of = report.group(group).ok_or_else(|| RenderError::NoSuchGroup(group.to_string()))?;
    page::render(report, Some(of), out)
}

/// The templates. All that they print is escaped, and what hides in it is made visible, whatever template
/// prints it and wherever it comes from.
pub(crate) fn environment() -> Result<Environment<'static>, RenderError> {
    let mut environment = Environment::new();
    environment.set_undefined_behavior(UndefinedBehavior::Strict);
    environment.set_formatter(|out, state, value| {
        if let Some(text) = value.as_str()
            && !value.is_safe()
            && let Cow::Owned(shown) = visible(text)
        {
            return escape_formatter(out, state, &Value::from(shown));
        }
        escape_formatter(out, state, value)
    });
    for (name, source) in [
        ("page.html", include_str!("../templates/page.html")),
        ("curve.html", include_str!("../templates/curve.html")),
        ("gantt.html", include_str!("../templates/gantt.html")),
        ("gantt_rects.html", include_str!("../templates/gantt_rects.html")),
        ("meters.html", include_str!("../templates/meters.html")),
        ("group_rows.html", include_str!("../templates/group_rows.html")),
        ("task_rows.html", include_str!("../templates/task_rows.html")),
        ("junit.xml", include_str!("../templates/junit.xml")),
    ] {
        environment.add_template(name, source)?;
    }
    // Our own files; nothing in them comes from a run.
    environment.add_global("style", Value::from_safe_string(include_str!("../templates/style.css").into()));
    environment.add_global("script", Value::from_safe_string(include_str!("../templates/script.js").into()));
    Ok(environment)
}

/// How the tasks ended, in one sentence.
pub(crate) fn outcome_text(counts: &Counts) -> String {
    let mut text = if counts.finished == counts.tasks {
        match counts.tasks {
            0 => "No task".into(),
            1 => "The task finished".into(),
            tasks => format!("All {} tasks finished", grouped(tasks)),
        }
    } else {
        format!("{} of {} finished", grouped(counts.finished), count(counts.tasks, "task", "tasks"))
    };
    for (number, one, many) in [
        (counts.failed, "failed", "failed"),
        (counts.cancelled, "was cancelled", "were cancelled"),
        (counts.open, "has not ended", "have not ended"),
    ] {
        if number > 0 {
            text.push_str(", ");
            text.push_str(&count(number, one, many));
        }
    }
    text
}

/// A path as the reference of a link: what means something in a reference is percent-encoded.
fn reference(path: &str) -> String {
    let mut encoded = String::with_capacity(path.len());
    for byte in path.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' | b'/' => {
                encoded.push(char::from(byte));
            }
            byte => encoded.push_str(&format!("%{byte:02X}")),
        }
    }
    encoded
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_outcome_in_one_sentence() {
        let counts = Counts { tasks: 1302, finished: 1299, failed: 2, open: 1, ..Counts::default() };
        assert_eq!(outcome_text(&counts), "1,299 of 1,302 tasks finished, 2 failed, 1 has not ended");
        let counts = Counts { tasks: 3, finished: 3, ..Counts::default() };
        assert_eq!(outcome_text(&counts), "All 3 tasks finished");
    }

    #[test]
    fn a_reference_never_has_a_scheme() {
        assert_eq!(reference("javascript:alert(1)"), "javascript%3Aalert%281%29");
        assert_eq!(reference("a+b/é\"<"), "a%2Bb/%C3%A9%22%3C");
    }
}
