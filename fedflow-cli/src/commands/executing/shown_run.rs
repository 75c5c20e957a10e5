//! A run as the command line shows it: with a view and with mail, its notices on stderr, and its end as an exit code.

use std::io;
use std::path::Path;
use std::sync::{Arc, OnceLock};

use fedflow_core::{FlowError, Observer, RunEvent, RunOutcome, Time, Wait};
use signal_hook::consts::SIGTERM;

use crate::commands::command_error::{CHANGED_HINT, CommandError};
use crate::commands::printing::stderr;
use crate::debug::log_filter::log_filter;
use crate::debug::log_lines::write_traces;
use crate::mail::Mailer;
use crate::run::{FinishError, Notice, Notices, Run, RunBuilder, RunEnd, log_variable, short_path};
use crate::view::{Messages, ProgressMode, View};

/// Shows a run to people, on the terminal and by mail.
pub(super) struct Shown {
    view: View,
    mailer: Option<Mailer>,
}

impl Observer for Shown {
    fn announce(&mut self, time: Time, event: &RunEvent) {
        if let Some(mailer) = &mut self.mailer {
            mailer.announce(time, event);
        }
        self.view.announce(time, event);
    }

    fn waits(&mut self, time: Time, wait: Option<&Wait>) {
        self.view.waits(time, wait);
    }
}

/// Has a run shown.
pub(super) fn shown(builder: RunBuilder, progress: ProgressMode) -> RunBuilder<Shown> {
    // Until the view is open, notices go to stderr directly.
    let messages: Arc<OnceLock<Messages>> = Arc::default();
    let opened = Arc::clone(&messages);
    builder.on_notice(move |notice| say(messages.get(), &notice)).observer(move |opening| {
        let view = View::open(progress, opening.started)?;
        let messages = opened.get_or_init(|| view.messages());
        if let Some(filter) =
            log_filter(log_variable().as_deref(), opening.config.debug).map_err(io::Error::other)?
        {
            let traced = messages.clone();
            write_traces(filter, move |line| traced.say(line));
        }
        let report = opening.report.clone();
        let mailer = Mailer::start(opening.config, opening.flow, opening.run_dir, report, messages);
        Ok(Shown { mailer: mailer.map_err(io::Error::other)?, view })
    })
}

/// Takes the notices of a run that has no view yet to stderr.
pub(super) fn spoken() -> Notices {
    Notices::Callback(Arc::new(|notice| say(None, &notice)))
}

fn say(messages: Option<&Messages>, notice: &Notice) {
    let text = notice.to_string();
    match messages {
        Some(messages) => messages.say(&text),
        None => stderr::say(&text),
    }
}

/// Whether `fedflow resume` can go on with a run.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Resumable {
    /// Its flow is in its directory.
    Yes,
    /// A program builds its groups.
    No,
}

/// What is not on the disk at the end of a run, and how to mend it.
fn unwritten(error: &FinishError, resume: &str, run_dir: &Path) -> CommandError {
    let hint = match error {
        FinishError::Results(_) => {
            format!("when the cause is mended, `fedflow report {}` writes them", short_path(run_dir))
        }
        _ => format!("when the cause is mended, {resume}"),
    };
    CommandError::failed(error).hint(hint)
}

/// Finishes a run and prints its summary. `ended` is how the execution of its groups ended.
///
/// # Errors
/// How the run ended, if not every task finished.
pub(super) fn close(
    mut run: Run<Shown>,
    ended: Result<(), FlowError>,
    resumable: Resumable,
) -> Result<(), CommandError> {
    let outcome = match &ended {
        Ok(()) | Err(FlowError::EarlierFailure) => RunOutcome::Complete,
        Err(FlowError::Stopped) => RunOutcome::Stopped,
        Err(_) => RunOutcome::Failed,
    };
    let Some((end, recorded)) = run.close(outcome.clone()) else { return Ok(()) };
    // The rest of `end` holds the run directory's lock until this function returns.
    let RunEnd { observer: Shown { view, mailer }, report, any_failed, signal, .. } = end;
    let messages = view.messages();
    let page = run.directory().report();
    messages.say(&view.render_summary(page.exists().then_some(page.as_path())));
    let resume = format!("go on with `fedflow resume {}`", short_path(run.path()));
    let run_again = format!(
        "hint: when the cause is mended, `fedflow resume --failed {}` runs again what failed, and what used it",
        short_path(run.path())
    );
    let unwritten = recorded.err().map(|error| unwritten(&error, &resume, run.path()));
    let result = match (ended, unwritten) {
        // Whatever became of the tasks: what is not on the disk cannot be counted on.
        (Ok(()) | Err(FlowError::EarlierFailure), Some(unwritten)) => Err(unwritten),
        (Ok(()), None) if any_failed => {
            if resumable == Resumable::Yes {
                messages.say(&run_again);
            }
            Err(CommandError::TasksFailed)
        }
        (Ok(()), None) => Ok(()),
        (Err(FlowError::EarlierFailure), None) => {
            messages
                .say("stopped after the first group with a failed task, as task.on-failure = \"stop\" says");
            if resumable == Resumable::Yes {
                messages.say(&run_again);
            }
            Err(CommandError::TasksFailed)
        }
        (Err(FlowError::Stopped), unwritten) => {
            if let Some(text) = unwritten.as_ref().and_then(CommandError::text) {
                messages.say(&text);
            } else if resumable == Resumable::Yes {
                messages.say(&format!("hint: {resume}"));
            }
            Err(CommandError::Stopped { signal: signal.unwrap_or(SIGTERM) })
        }
        (Err(error @ FlowError::Unleasable { .. }), _) => Err(CommandError::refused(error)),
        (Err(error @ FlowError::Changed(_)), _) => Err(CommandError::refused(error).hint(CHANGED_HINT)),
        (Err(error), _) => {
            Err(CommandError::failed(error).hint(format!("when the cause is mended, {resume}")))
        }
    };
    // Last, and after the summary: a mail server may take its time.
    if let Some(mailer) = mailer {
        mailer.finish(&report, &outcome);
    }
    drop(view);
    result
}
