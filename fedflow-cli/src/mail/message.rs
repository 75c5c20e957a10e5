//! `MailMessage`: the subject and the text of a mail. What tasks and flows say is data: bounded, and on one line in a
//! header.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use fedflow_core::{Name, RunOutcome};
use fedflow_report::Counts;

use crate::view::{clip, counted, escape};

/// The most columns of a name in a subject.
const MAX_NAME: usize = 80;
/// The most bytes of a mail's text.
const MAX_TEXT: usize = 128 << 10;

/// A mail.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct MailMessage {
    /// The subject, one line.
    pub(crate) subject: String,
    /// The body, plain text.
    pub(crate) body: String,
}

/// A group that ended.
#[derive(Debug, Clone)]
pub(super) struct GroupNotice {
    /// The name of the group.
    pub(super) group: Name,
    /// The numbers of tasks that finished, failed, were cancelled, were skipped.
    pub(super) counts: [u64; 4],
    /// The report of the group, bounded.
    pub(super) text: String,
    /// The HTML page of the group.
    pub(super) page: PathBuf,
}

/// The groups that no mail has reported yet.
#[derive(Debug, Default)]
pub(super) struct PendingGroups {
    first: Option<Name>,
    groups: u64,
    counts: [u64; 4],
    text: String,
    /// The number of groups that are not in the text.
    left_out: u64,
}

impl MailMessage {
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
        let numbers = [counts.finished, counts.failed, counts.cancelled, counts.skipped];
        let counts = numbers.map(|count| u64::try_from(count).unwrap_or(u64::MAX));
        let mut body = format!("Run directory: {}\n", shown(run_dir));
        if page.exists() {
            let _ = writeln!(body, "Report: {}", shown(page));
        }
        Self { subject: subject(flow, &format!("run {ended}"), counts), body: format!("{body}\n{text}") }
    }

    /// A mail that shows that mail arrives.
    pub(crate) fn of_test() -> Self {
        Self {
            subject: "[fedflow] a test".into(),
            body: "Mail from Fedflow arrives here: smtp.server-host, smtp.server-port, smtp.user, smtp.password and \
                   smtp.receiver are right.\n"
                .into(),
        }
    }
}

impl PendingGroups {
    pub(super) fn add(&mut self, notice: &GroupNotice) {
        self.first.get_or_insert_with(|| notice.group.clone());
        self.groups += 1;
        for (sum, count) in self.counts.iter_mut().zip(notice.counts) {
            *sum += count;
        }
        if self.text.len() + notice.text.len() > MAX_TEXT && !self.text.is_empty() {
            self.left_out += 1;
            return;
        }
        if notice.page.exists() {
            let _ = writeln!(self.text, "Report: {}\n", shown(&notice.page));
        }
        let _ = writeln!(self.text, "{}", notice.text);
    }

    /// One mail about all of them.
    pub(super) fn message(&self, flow: &str) -> MailMessage {
        let what = match (&self.first, self.groups) {
            (Some(group), 1) => format!("{} over", clip(&escape(group.as_str()), MAX_NAME)),
            (_, groups) => format!("{} over", counted(groups, "group")),
        };
        let mut body = self.text.clone();
        if self.left_out > 0 {
            let _ = writeln!(body, "And {} more, in the run's report.", counted(self.left_out, "group"));
        }
        MailMessage { subject: subject(flow, &what, self.counts), body }
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

fn subject(flow: &str, what: &str, [finished, failed, cancelled, skipped]: [u64; 4]) -> String {
    let mut subject = format!("[fedflow] {}: {what}, {} finished", clip(&escape(flow), MAX_NAME), finished);
    if failed > 0 {
        let _ = write!(subject, ", {failed} failed");
    }
    if cancelled > 0 {
        let _ = write!(subject, ", {cancelled} cancelled");
    }
    if skipped > 0 {
        let _ = write!(subject, ", {skipped} skipped");
    }
    subject
}

fn shown(path: &Path) -> String {
    escape(&path.display().to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn notice(group: &str, text: &str) -> GroupNotice {
        let group = Name::new(group).unwrap();
        GroupNotice { group, counts: [3, 1, 0, 0], text: text.into(), page: PathBuf::from("/nowhere/g.html") }
    }

    #[test]
    fn groups_that_are_told_together_are_counted() {
        let mut pending = PendingGroups::default();
        pending.add(&notice("a", "text of a"));
        assert_eq!(pending.message("sweep").subject, "[fedflow] sweep: a over, 3 finished, 1 failed");
        pending.add(&notice("b", "text of b"));
        let message = pending.message("sweep");
        assert_eq!(message.subject, "[fedflow] sweep: 2 groups over, 6 finished, 2 failed");
        assert_eq!(message.body, "text of a\ntext of b\n");
    }

    #[test]
    fn a_subject_is_one_line_and_bounded() {
        let subject =
            subject(&format!("a\r\nBcc: eve@example.org{}", "x".repeat(1000)), "run complete", [1, 0, 2, 0]);
        assert!(
            subject.starts_with("[fedflow] a\\r\\nBcc: eve") && subject.chars().count() < 200,
            "{subject}"
        );
        assert!(!subject.contains(['\r', '\n']) && subject.ends_with("1 finished, 2 cancelled"), "{subject}");
    }

    #[test]
    fn a_mail_is_bounded() {
        let long = "ä line\n".repeat(MAX_TEXT);
        let text = bounded(long.as_bytes());
        assert!(text.len() < MAX_TEXT + 100 && text.ends_with("ä line\n\n(cut: the report has the rest)\n"));
        let mut pending = PendingGroups::default();
        for _ in 0..1000 {
            pending.add(&notice("a", &text));
        }
        let message = pending.message("sweep");
        assert!(message.body.len() < 2 * MAX_TEXT, "{}", message.body.len());
        assert!(message.body.ends_with("And 999 groups more, in the run's report.\n"));
        assert!(message.subject.contains("1,000 groups over"), "{}", message.subject);
    }
}
