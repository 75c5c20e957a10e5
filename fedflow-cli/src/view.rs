//! How a run is shown: on a terminal, as plain lines, as a stream of JSON, or not at all.

mod board;
mod incident;
mod json;
mod live;
#[cfg(test)]
mod made_up;
mod plain;
mod spool;
mod summary;
mod text;

use std::fmt;
use std::io;
use std::path::Path;
use std::time::{Duration, SystemTime};

use console::Term;
use fedflow_core::{Observer, RunEvent, Time};
use indicatif::{ProgressBar, ProgressDrawTarget};

use json::JsonView;
use live::{Clocks, LiveView, Screen, SpooledTerminal};
use plain::PlainView;
use spool::Spool;
pub use summary::{Counts, RunSummary};
use text::Palette;

/// How long the end of a run waits for a reader that reads nothing.
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
    /// Nothing.
    None,
}

/// The view of a run.
///
/// It is an [`Observer`] that writes from threads of its own: no reader, terminal or pipe, ever holds up the run.
/// Dropping it clears the live view and writes what is left; that waits for a reader as long as it reads.
pub struct View {
    shown: Shown,
    summary: RunSummary,
    palette: Palette,
    messages: Messages,
    streams: Vec<Spool>,
}

enum Shown {
    Live(LiveView),
    Plain(PlainView),
    Json(JsonView),
    Nothing,
}

/// Prints messages for people to stderr without disturbing the live view. A clone prints to the same place.
#[derive(Debug, Clone)]
pub struct Messages {
    stream: Spool,
    bar: Option<ProgressBar>,
}

impl View {
    /// Opens a view. `started_at` is the wall-clock time of [`Time::ZERO`].
    ///
    /// # Errors
    /// A stream could not be duplicated or a thread not be started.
    pub fn open(mode: ProgressMode, started_at: SystemTime) -> io::Result<Self> {
        let palette = Palette::of_stderr();
        let stderr = Spool::to_stderr()?;
        let mut streams = vec![stderr.clone()];
        let shown = match mode {
            ProgressMode::Auto | ProgressMode::Bar if stderr_can_be_drawn_on() => {
                let screen = Screen::Terminal(Term::stderr());
                let target = SpooledTerminal::target(stderr.clone(), screen.clone());
                Shown::Live(LiveView::new(target, screen, stderr.clone(), palette, Clocks::Running))
            }
            ProgressMode::Auto | ProgressMode::Bar | ProgressMode::Plain => {
                Shown::Plain(PlainView::new(stderr.clone(), palette))
            }
            ProgressMode::Json => {
                let stdout = Spool::to_stdout()?;
                streams.push(stdout.clone());
                Shown::Json(JsonView::new(stdout, stderr.clone(), started_at))
            }
            ProgressMode::None => Shown::Nothing,
        };
        let bar = match &shown {
            Shown::Live(live) => Some(live.bar().clone()),
            _ => None,
        };
        let messages = Messages { stream: stderr, bar };
        Ok(Self { shown, summary: RunSummary::default(), palette, messages, streams })
    }

    /// Where messages go while the view is open.
    #[must_use]
    pub fn messages(&self) -> Messages {
        self.messages.clone()
    }

    /// What is known of the run so far.
    #[must_use]
    pub fn summary(&self) -> &RunSummary {
        &self.summary
    }

    /// The text that ends a run, several lines: counts, the first failed tasks with cause and logs, the report.
    #[must_use]
    pub fn render_summary(&self, report: Option<&Path>) -> String {
        summary::render_summary(self.palette, &self.summary, report)
    }
}

impl Observer for View {
    fn announce(&mut self, time: Time, event: &RunEvent) {
        self.summary.announce(time, event);
        match &mut self.shown {
            Shown::Live(live) => live.announce(time, event),
            Shown::Plain(plain) => plain.announce(time, event),
            Shown::Json(json) => json.announce(time, event),
            Shown::Nothing => {}
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
    /// Prints one message, a line or several. What comes from a worker must have been escaped. Does not block.
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

/// Whether stderr is a terminal that can be drawn on; `TERM=dumb` cannot.
fn stderr_can_be_drawn_on() -> bool {
    !ProgressDrawTarget::stderr().is_hidden()
}

#[cfg(test)]
mod tests {
    use super::made_up::*;
    use super::*;
    use clap::ValueEnum;
    use fedflow_core::RunOutcome;

    #[test]
    fn every_mode_opens_and_follows_a_run() {
        for mode in [ProgressMode::Plain, ProgressMode::None, ProgressMode::Auto] {
            let mut view = View::open(mode, SystemTime::UNIX_EPOCH).unwrap();
            view.announce(at(0), &run_started());
            view.announce(at(0), &group_started("g", 1));
            view.announce(at(1), &finished("g", "0", 1));
            view.messages().say("a message\n");
            view.announce(at(1), &group_finished("g", 1, 0, 0));
            view.announce(at(1), &run_finished(RunOutcome::Complete));
            assert_eq!(view.summary().counts(), Counts { finished: 1, failed: 0, cancelled: 0 });
            assert!(view.render_summary(None).contains("1 task finished"));
        }
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
