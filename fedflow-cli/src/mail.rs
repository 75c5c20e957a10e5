//! Mail about a run: one when groups end and one when the run ends, as far as `smtp.*` allows.
//!
//! The [`Mailer`] observes the run and only hands on what there is to tell; a [`Postman`] with a thread of its own
//! waits, connects and sends. No mail ever delays or fails a run: what cannot be sent is a warning.

mod account;
mod letter;
mod postman;
mod schedule;

use std::path::{Path, PathBuf};

use fedflow_core::{Config, Observer, RunEvent, RunOutcome, Time};
use fedflow_report::{Report, ReportSender, render_group_markdown, render_markdown};

use crate::view::Messages;

pub(crate) use account::{Account, AccountError};
pub(crate) use letter::Letter;
use letter::{GroupNews, bounded};
use postman::Postman;
use schedule::Schedule;

/// Looks for what would keep all mail from being sent; nothing is connected to.
///
/// # Errors
/// Mail is wanted, and the configuration names no server or nobody to send to.
pub(crate) fn check_mail(config: &Config) -> Result<(), AccountError> {
    if config.smtp.enable {
        Account::read(&config.smtp)?;
    }
    Ok(())
}

/// An observer that has mails sent.
pub(crate) struct Mailer {
    flow: String,
    run_dir: PathBuf,
    report: ReportSender,
    postman: Postman,
}

impl Mailer {
    /// Starts the thread that sends. None if no mail is wanted, or if there is no thread: then that is said.
    ///
    /// `report` is asked for the text of each mail.
    ///
    /// # Errors
    /// The configuration names no server or nobody to send to.
    pub(crate) fn start(
        config: &Config,
        flow: &str,
        run_dir: &Path,
        report: ReportSender,
        messages: &Messages,
    ) -> Result<Option<Self>, AccountError> {
        if !config.smtp.enable {
            return Ok(None);
        }
        let account = Account::read(&config.smtp)?;
        let schedule = Schedule::new(config.smtp.min_interval, config.smtp.max_numbers);
        let warnings = messages.clone();
        let warn = move |text: String| warnings.say(&format!("warning: {text}"));
        let postman = Postman::start(move |letter| account.send(letter), schedule, flow.to_owned(), warn);
        Ok(postman.map(|postman| Self {
            flow: flow.to_owned(),
            run_dir: run_dir.to_path_buf(),
            report,
            postman,
        }))
    }

    /// Sends the last mail, after the run's files were written. Waits for it, but not long.
    pub(crate) fn finish(self, report: &Report, outcome: &RunOutcome) {
        let mut text = Vec::new();
        // A report that cannot be rendered leaves its outcome and its path to be told.
        let _ = render_markdown(report, &mut text);
        let page = self.run_dir.join("report.html");
        let letter =
            Letter::of_run(&self.flow, &self.run_dir, outcome, report.counts(), &bounded(&text), &page);
        self.postman.finish(letter);
    }
}

impl Observer for Mailer {
    fn announce(&mut self, _time: Time, event: &RunEvent) {
        let RunEvent::GroupFinished { group, finished, failed, cancelled } = event else { return };
        let (group, counts) = (group.clone(), [*finished, *failed, *cancelled]);
        let page = self.run_dir.join("reports").join(format!("{group}.html"));
        let post = self.postman.slot();
        self.report.look(move |report| {
            let mut text = Vec::new();
            let _ = render_group_markdown(report, &group, &mut text);
            post.add(GroupNews { group, counts, text: bounded(&text), page });
        });
    }
}
