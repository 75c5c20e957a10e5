//! `Letter`: subject and text of a mail. What tasks and flows say is data: on one line where a header is, and bounded.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use fedflow_core::{Name, RunOutcome};
use fedflow_report::Counts;

use crate::view::{clip, counted, escape};

/// The most columns of a name in a subject.
const MAX_NAME: usize = 80;
/// The most bytes of text that a mail brings.
const MAX_TEXT: usize = 128 << 10;

/// A mail.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Letter {
    /// One line.
    pub(crate) subject: String,
    /// Plain text.
    pub(crate) body: String,
}

/// A group that ended.
#[derive(Debug, Clone)]
pub(super) struct GroupNews {
    /// Its name.
    pub(super) group: Name,
    /// How many tasks finished, failed, were cancelled.
    pub(super) counts: [u64; 3],
    /// Its report, bounded.
    pub(super) text: String,
    /// Its page.
    pub(super) page: PathBuf,
}

/// The groups that no mail has told yet.
#[derive(Debug, Default)]
pub(super) struct Pending {
    first: Option<Name>,
    groups: u64,
    counts: [u64; 3],
    text: String,
    /// How many of the groups are not in the text.
    left_out: u64,
}

impl Letter {
    /// The mail at the end of a run.
    pub(super) fn of_run(
        flow: &str,
        run_dir: &Path,
        outcome: &RunOutcome,
        counts: Counts,
        text: &str,
        page: &Path,
    ) -> Self {
        let ended = match outcome {
            RunOutcome::Complete => "complete",
            RunOutcome::Stopped => "stopped",
            RunOutcome::Failed => "failed",
        };
        let numbers = [counts.finished, counts.failed, counts.cancelled];
        let counts = numbers.map(|count| u64::try_from(count).unwrap_or(u64::MAX));
        let mut body = format!("Run directory: {}\n", shown(run_dir));
        if page.exists() {
            let _ = writeln!(body, "Report: {}", shown(page));
        }
        Self { subject: subject(flow, &format!("run {ended}"), counts), body: format!("{body}\n{text}") }
    }

    /// A mail that only shows that mail arrives.
    pub(crate) fn of_test() -> Self {
        Self {
            subject: "[fedflow] a test".into(),
            body: "Mail from Fedflow arrives here: smtp.server-host, smtp.server-port, smtp.user, smtp.password and \
                   smtp.receiver are right.\n"
                .into(),
        }
    }
}

impl Pending {
    pub(super) fn add(&mut self, news: &GroupNews) {
        self.first.get_or_insert_with(|| news.group.clone());
        self.groups += 1;
        for (sum, count) in self.counts.iter_mut().zip(news.counts) {
            *sum += count;
        }
        if self.text.len() + news.text.len() > MAX_TEXT && !self.text.is_empty() {
            self.left_out += 1;
            return;
        }
        if news.page.exists() {
            let _ = writeln!(self.text, "Report: {}\n", shown(&news.page));
        }
        let _ = writeln!(self.text, "{}", news.text);
    }

    /// One mail about all of them.
    pub(super) fn letter(&self, flow: &str) -> Letter {
        let what = match (&self.first, self.groups) {
            (Some(group), 1) => format!("{} over", clip(&escape(group.as_str()), MAX_NAME)),
            (_, groups) => format!("{} over", counted(groups, "group")),
        };
        let mut body = self.text.clone();
        if self.left_out > 0 {
            let _ = writeln!(body, "And {} more, in the run's report.", counted(self.left_out, "group"));
        }
        Letter { subject: subject(flow, &what, self.counts), body }
    }
}

/// A rendered report as the text of a mail; a longer one is cut at the end of a line.
pub(super) fn bounded(text: &[u8]) -> String {
    let text = String::from_utf8_lossy(text);
    if text.len() <= MAX_TEXT {
        return text.into_owned();
    }
    let end = text.floor_char_boundary(MAX_TEXT);
    let end = text[..end].rfind('\n').map_or(end, |line| line + 1);
    format!("{}\n(cut: the report has the rest)\n", &text[..end])
}

fn subject(flow: &str, what: &str, [finished, failed, cancelled]: [u64; 3]) -> String {
    let mut subject = format!("[fedflow] {}: {what}, {} finished", clip(&escape(flow), MAX_NAME), finished);
    if failed > 0 {
        let _ = write!(subject, ", {failed} failed");
    }
    if cancelled > 0 {
        let _ = write!(subject, ", {cancelled} cancelled");
    }
    subject
}

fn shown(path: &Path) -> String {
    escape(&path.display().to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn news(group: &str, text: &str) -> GroupNews {
        let group = Name::new(group).unwrap();
        GroupNews { group, counts: [3, 1, 0], text: text.into(), page: PathBuf::from("/nowhere/g.html") }
    }

    #[test]
    fn groups_that_are_told_together_are_counted() {
        let mut pending = Pending::default();
        pending.add(&news("a", "text of a"));
        assert_eq!(pending.letter("sweep").subject, "[fedflow] sweep: a over, 3 finished, 1 failed");
        pending.add(&news("b", "text of b"));
        let letter = pending.letter("sweep");
        assert_eq!(letter.subject, "[fedflow] sweep: 2 groups over, 6 finished, 2 failed");
        assert_eq!(letter.body, "text of a\ntext of b\n");
    }

    #[test]
    fn a_subject_is_one_line_and_bounded() {
        let subject =
            subject(&format!("a\r\nBcc: eve@example.org{}", "x".repeat(1000)), "run complete", [1, 0, 2]);
        assert!(
            subject.starts_with("[fedflow] a\\r\\nBcc: eve") && subject.chars().count() < 200,
            "{subject}"
        );
        assert!(!subject.contains(['\r', '\n']) && subject.ends_with("1 finished, 2 cancelled"), "{subject}");
    }

    #[test]
    fn what_nobody_reads_in_a_mail_is_left_out() {
        let long = "ä line\n".repeat(MAX_TEXT);
        let text = bounded(long.as_bytes());
        assert!(text.len() < MAX_TEXT + 100 && text.ends_with("ä line\n\n(cut: the report has the rest)\n"));
        let mut pending = Pending::default();
        for _ in 0..1000 {
            pending.add(&news("a", &text));
        }
        let letter = pending.letter("sweep");
        assert!(letter.body.len() < 2 * MAX_TEXT, "{}", letter.body.len());
        assert!(letter.body.ends_with("And 999 groups more, in the run's report.\n"));
        assert!(letter.subject.contains("1,000 groups over"), "{}", letter.subject);
    }
}
