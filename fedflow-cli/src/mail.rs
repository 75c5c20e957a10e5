//! Mail about a run: mails when groups end and one when the run ends, within the limits of `smtp.*`.
//!
//! The [`Mailer`] observes the run and only queues what there is to report. A [`MailSender`] waits, connects and sends
//! on a thread of its own. Mail never delays or fails a run: a mail that cannot be sent is a warning.

mod account;
mod message;
mod rate_limit;
mod sender;

use std::path::{Path, PathBuf};

use fedflow_core::{Config, Observer, RunEvent, RunOutcome, Time};
use fedflow_report::{Report, ReportSender, render_group_markdown, render_markdown};

use crate::view::Messages;

pub(crate) use account::{Account, AccountError};
pub(crate) use message::MailMessage;
use message::{GroupNotice, bounded};
use rate_limit::RateLimit;
use sender::MailSender;

/// Checks the configuration of mail if mail is enabled. It connects to no server.
///
/// # Errors
/// The configuration names no server or no receiver.
pub(crate) fn check_mail(config: &Config) -> Result<(), AccountError> {
    if config.smtp.enable {
        Account::read(&config.smtp)?;
    }
    Ok(())
}

/// An observer that queues mails.
pub(crate) struct Mailer {
    flow: String,
    run_dir: PathBuf,
    report: ReportSender,
    sender: MailSender,
}

impl Mailer {
    /// Starts the thread that sends mail. `report` renders the text of each mail. `None` if mail is not enabled, or if
    /// the thread cannot be started, which is a warning.
    ///
    /// # Errors
    /// The configuration names no server or no receiver.
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
        let limit = RateLimit::new(config.smtp.min_interval, config.smtp.max_numbers);
        let warnings = messages.clone();
        let warn = move |text: String| warnings.say(&format!("warning: {text}"));
        let sender = MailSender::start(move |message| account.send(message), limit, flow.to_owned(), warn);
        Ok(sender.map(|sender| Self {
            flow: flow.to_owned(),
            run_dir: run_dir.to_path_buf(),
            report,
            sender,
        }))
    }

    /// Sends the last mail, after the run's files were written. Blocks until it is sent, 10 s at most.
    pub(crate) fn finish(self, report: &Report, outcome: &RunOutcome) {
        let mut text = Vec::new();
        // Without a rendered report, the mail still has the outcome and the path.
        let _ = render_markdown(report, &mut text);
        let page = self.run_dir.join("report.html");
        let message =
            MailMessage::of_run(&self.flow, &self.run_dir, outcome, report.counts(), &bounded(&text), &page);
        self.sender.finish(message);
    }
}

impl Observer for Mailer {
    fn announce(&mut self, _time: Time, event: &RunEvent) {
        let RunEvent::GroupFinished { group, finished, failed, cancelled, skipped } = event else { return };
        let (group, counts) = (group.clone(), [*finished, *failed, *cancelled, *skipped]);
        let page = self.run_dir.join("reports").join(format!("{group}.html"));
        let queue = self.sender.queue();
        self.report.look(move |report| {
            let mut text = Vec::new();
            let _ = render_group_markdown(report, &group, &mut text);
            queue.add(GroupNotice { group, counts, text: bounded(&text), page });
        });
    }
}
