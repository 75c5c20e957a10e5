//! How a run is shown: on a terminal, as plain lines, as a stream of JSON, or not at all.

mod failure_text;
mod json;
mod live;
mod live_tasks;
mod palette;
mod plain;
mod spool;
mod summary;
mod terminal_text;
#[cfg(test)]
mod test_events;
mod wording;

use std::fmt;
use std::io;
use std::path::Path;
use std::time::{Duration, SystemTime};

use console::Term;
use fedflow_core::{Observer, RunEvent, Time, Wait};
use indicatif::{ProgressBar, ProgressDrawTarget};

pub(crate) use failure_text::{one_line, told_once};
use json::JsonView;
use live::{Clocks, LiveView, Screen, SpooledTerminal};
pub(crate) use palette::Palette;
use plain::PlainView;
use spool::Spool;
pub use summary::RunSummary;
pub(crate) use terminal_text::{TerminalText, clip, escape, shown_lines};
pub(crate) use wording::{count, counted, list, seconds};

/// How long the end of a run waits for a reader that does not read.
const PATIENCE: Duration = Duration::from_secs(2);

/// How a run's progress is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, clap::ValueEnum)]
pub enum ProgressMode {
    /// A live view if stderr is a terminal, plain lines if not.
    #[default]
    Auto,
    /// A live view on stderr; plain lines if stderr cannot show one.
    Bar,
    /// Plain lines on stderr.
    Plain,
    /// One JSON object a line on stdout.
    Json,
    /// No progress at all.
    None,
}

/// The view of a run.
///
/// It is an [`Observer`] that writes from threads of its own: no terminal or pipe ever holds up the run. Dropping it
/// clears the live view and writes what is left, and blocks for as long as the reader goes on reading.
pub struct View {
    mode: OpenView,
    summary: RunSummary,
    palette: Palette,
    messages: Messages,
    streams: Vec<Spool>,
}

/// The view of each mode.
enum OpenView {
    Live(LiveView),
    Plain(PlainView),
    Json(JsonView),
    Nothing,
}

/// Prints messages to stderr without disturbing the live view. A clone prints to the same place.
#[derive(Debug, Clone)]
pub struct Messages {
    stream: Spool,
    bar: Option<ProgressBar>,
}

impl View {
    /// Opens a view. `started_at` is the wall-clock time of [`Time::ZERO`].
    ///
    /// # Errors
    /// A stream cannot be duplicated, or a thread cannot be started.
    pub fn open(mode: ProgressMode, started_at: SystemTime) -> io::Result<Self> {
        // A terminal that cannot be drawn on, as with `TERM=dumb`, cannot be asked for its size either.
        let drawable = !ProgressDrawTarget::stderr().is_hidden();
        let screen = drawable.then(|| Screen::Terminal(Term::stderr()));
        Self::on(Spool::to_stderr()?, screen, Spool::to_stdout, mode, started_at)
    }

    fn on(
        stderr: Spool,
        screen: Option<Screen>,
        open_stdout: impl FnOnce() -> io::Result<Spool>,
        mode: ProgressMode,
        started_at: SystemTime,
    ) -> io::Result<Self> {
        let palette = Palette::of_stderr();
        let mut streams = vec![stderr.clone()];
        let open = match (mode, screen) {
            (ProgressMode::Auto | ProgressMode::Bar, Some(screen)) => {
                let target = SpooledTerminal::target(stderr.clone(), screen.clone());
                OpenView::Live(LiveView::new(target, screen, stderr.clone(), palette, Clocks::Running))
            }
            (ProgressMode::Auto | ProgressMode::Bar | ProgressMode::Plain, _) => {
                OpenView::Plain(PlainView::new(stderr.clone(), palette))
            }
            (ProgressMode::Json, _) => {
                let stdout = open_stdout()?;
                streams.push(stdout.clone());
                OpenView::Json(JsonView::new(stdout, stderr.clone(), started_at))
            }
            (ProgressMode::None, _) => OpenView::Nothing,
        };
        let bar = match &open {
            OpenView::Live(live) => Some(live.bar().clone()),
            _ => None,
        };
        let messages = Messages { stream: stderr, bar };
        Ok(Self { mode: open, summary: RunSummary::default(), palette, messages, streams })
    }

    /// Prints messages while the view is open.
    #[must_use]
    pub fn messages(&self) -> Messages {
        self.messages.clone()
    }

    /// The summary of the run so far.
    #[must_use]
    pub fn summary(&self) -> &RunSummary {
        &self.summary
    }

    /// The text at the end of a run, several lines: counts, the first failed tasks with cause and logs, the report.
    #[must_use]
    pub fn render_summary(&self, report: Option<&Path>) -> String {
        summary::render_summary(self.palette, &self.summary, report)
    }
}

impl Observer for View {
    fn announce(&mut self, time: Time, event: &RunEvent) {
        self.summary.announce(time, event);
        match &mut self.mode {
            OpenView::Live(live) => live.announce(time, event),
            OpenView::Plain(plain) => plain.announce(time, event),
            OpenView::Json(json) => json.announce(time, event),
            OpenView::Nothing => {}
        }
    }

    /// The other views leave it to a message.
    fn waits(&mut self, time: Time, wait: Option<&Wait>) {
        if let OpenView::Live(live) = &mut self.mode {
            live.waits(time, wait);
        }
    }
}

impl Drop for View {
    fn drop(&mut self) {
        if let Some(bar) = &self.messages.bar {
            bar.finish_and_clear();
        }
        for stream in &self.streams {
            stream.close(PATIENCE);
        }
    }
}

impl fmt::Debug for View {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("View").field("summary", &self.summary).finish_non_exhaustive()
    }
}

impl Messages {
    /// Prints a message of one or more lines. What comes from a worker must be escaped already. Does not block.
    pub fn say(&self, text: &str) {
        let text = text.trim_end_matches('\n');
        match &self.bar {
            Some(bar) if !bar.is_finished() => bar.println(text),
            _ => {
                self.stream.push(format!("{text}\n").as_bytes());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::live::TerminalSize;
    use super::live::tests::remaining;
    use super::spool::tests::Sink;
    use super::summary::Counts;
    use super::test_events::*;
    use super::*;
    use clap::ValueEnum;
    use fedflow_core::RunOutcome;

    /// What a mode writes to stderr and to stdout.
    fn written(mode: ProgressMode, screen: Option<Screen>) -> (String, String) {
        let (err, out) = (Sink::default(), Sink::default());
        let stderr = Spool::new("test", err.clone()).unwrap();
        let open_stdout = || Spool::new("test", out.clone());
        let mut view = View::on(stderr, screen, open_stdout, mode, SystemTime::UNIX_EPOCH).unwrap();
        view.announce(at(0), &run_started());
        view.announce(at(0), &group_started("g", 1));
        view.announce(at(1), &finished("g", "0", 1));
        view.messages().say("a message\n");
        view.announce(at(1), &group_finished("g", 1, 0, 0));
        view.announce(at(1), &run_finished(RunOutcome::Complete));
        view.messages().say("the end");
        assert_eq!(view.summary().counts(), Counts { finished: 1, failed: 0, cancelled: 0, skipped: 0 });
        assert!(view.render_summary(None).contains("1 task finished"));
        drop(view);
        (err.text(), out.text())
    }

    #[test]
    fn each_mode_writes_to_its_stream_and_messages_go_to_stderr() {
        let (err, out) = written(ProgressMode::Auto, None);
        assert!(err.contains("g started") && err.ends_with("run complete\nthe end\n"), "{err}");
        assert_eq!(out, "");
        let (err, out) = written(ProgressMode::Json, None);
        assert_eq!(err, "a message\nthe end\n");
        assert_eq!(out.lines().count(), 5, "{out}");
        assert_eq!(written(ProgressMode::None, None), (err, String::new()));
    }

    #[test]
    fn what_remains_of_the_live_view_is_text() {
        let screen = Screen::Fixed(TerminalSize { rows: 24, columns: 80 });
        let (err, out) = written(ProgressMode::Bar, Some(screen));
        assert_eq!(out, "");
        assert_eq!(remaining(&err), ["a message", "g over after 1.0s: 1 finished", "the end"]);
    }

    #[test]
    fn modes_have_the_names_of_the_command_line() {
        let names: Vec<_> = ProgressMode::value_variants()
            .iter()
            .filter_map(|mode| Some(mode.to_possible_value()?.get_name().to_owned()))
            .collect();
        assert_eq!(names, ["auto", "bar", "plain", "json", "none"]);
    }
}
