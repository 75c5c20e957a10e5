//! The live view: the active group's bar with the running tasks below it, and finished groups above it.

mod terminal;

use std::fmt::Write;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use fedflow_core::{Name, Observer, RunEvent, TaskPhase, Time, Wait};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressState, ProgressStyle};

pub(super) use terminal::{Screen, SpooledTerminal, TerminalSize};

use super::failure_text::FailureLimit;
use super::live_tasks::{LiveTask, LiveTasks};
use super::palette::{Ink, Palette};
use super::plain::{exceptions, render_group_end};
use super::spool::Spool;
use super::terminal_text;
use super::wording;

/// How often the clocks on the screen advance while nothing happens. The thread that does it only draws.
const TICK: Duration = Duration::from_secs(1);
/// The most lines for running tasks, whatever the height of the terminal.
const TASK_LINES: usize = 24;

/// Draws at most twenty times a second; between drawings, events are only counted.
#[derive(Debug)]
pub(super) struct LiveView {
    bar: ProgressBar,
    stream: Spool,
    palette: Palette,
    screen: Arc<Mutex<ScreenContent>>,
    failures: FailureLimit,
}

/// What the next drawing shows.
#[derive(Debug, Default)]
struct ScreenContent {
    tasks: LiveTasks,
    /// What the run waits for, while it does.
    wait: Option<Wait>,
    /// The time of the latest event by the run's clock.
    latest: Time,
    /// The same time by the bar's clock.
    latest_by_bar: Duration,
}

/// What moves the clocks on the screen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Clocks {
    /// The bar's own clock and a thread that draws once a second.
    Running,
    /// Events alone.
    #[cfg(test)]
    Events,
}

impl LiveView {
    /// A view that draws on a target. The target writes to `stream`; while that stream's reader is behind, nothing is
    /// drawn.
    pub(super) fn new(
        target: ProgressDrawTarget,
        screen: Screen,
        stream: Spool,
        palette: Palette,
        clocks: Clocks,
    ) -> Self {
        let content = Arc::new(Mutex::new(ScreenContent::default()));
        let drawn = Arc::clone(&content);
        let draw = move |state: &ProgressState, out: &mut dyn Write| {
            let shown = lock(&drawn);
            let now = match clocks {
                Clocks::Running => shown.latest + state.elapsed().saturating_sub(shown.latest_by_bar),
                #[cfg(test)]
                Clocks::Events => shown.latest,
            };
            let _ = out.write_str(&render_screen(palette, &shown, now, screen.size()));
        };
        // The template is the closure alone, which renders the lines only when they are drawn.
        let style = ProgressStyle::with_template("{screen}")
            .unwrap_or_else(|_| ProgressStyle::default_bar())
            .with_key("screen", draw);
        let bar = ProgressBar::with_draw_target(None, target).with_style(style);
        if clocks == Clocks::Running {
            bar.enable_steady_tick(TICK);
        }
        Self { bar, stream, palette, screen: content, failures: FailureLimit::default() }
    }

    /// The bar, above which messages can be printed.
    pub(super) fn bar(&self) -> &ProgressBar {
        &self.bar
    }
}

impl Observer for LiveView {
    fn announce(&mut self, time: Time, event: &RunEvent) {
        let by_bar = self.bar.elapsed();
        let mut shown = lock(&self.screen);
        let took = shown.tasks.group().map_or(Duration::ZERO, |group| time.since(group.since));
        shown.tasks.apply(time, event);
        shown.latest = time;
        shown.latest_by_bar = by_bar;
        // A drawing takes this lock while it holds the bar's.
        drop(shown);

        let mut lines = self.failures.show(self.palette, event);
        if let RunEvent::RunFinished { .. } = event {
            self.bar.finish_and_clear();
        } else if let Some(line) = render_group_end(self.palette, event, took) {
            lines = Some(line);
        } else if let RunEvent::GroupStarted { group, order: Some(order), .. } = event {
            lines = Some(format!("{group} starts its tasks as {order}"));
        }
        if let Some(lines) = lines {
            self.bar.println(lines);
        } else if !self.stream.is_behind() {
            // This call draws, but not too often and also while the thread ticks, and changes nothing else.
            self.bar.unset_length();
            if let RunEvent::GroupStarted { .. } = event {
                self.bar.force_draw();
            }
        }
    }

    fn waits(&mut self, time: Time, wait: Option<&Wait>) {
        let by_bar = self.bar.elapsed();
        let mut shown = lock(&self.screen);
        shown.wait = wait.cloned();
        (shown.latest, shown.latest_by_bar) = (time, by_bar);
        drop(shown);
        if !self.stream.is_behind() {
            self.bar.unset_length();
        }
    }
}

fn lock(content: &Mutex<ScreenContent>) -> MutexGuard<'_, ScreenContent> {
    content.lock().unwrap_or_else(PoisonError::into_inner)
}

/// All lines of the screen: the group with its bar, what the run waits for, the running tasks, and the number of those left
/// out.
fn render_screen(palette: Palette, shown: &ScreenContent, now: Time, size: TerminalSize) -> String {
    let ScreenContent { tasks, wait, .. } = shown;
    let mut lines = Vec::new();
    lines.extend(render_group(palette, tasks, now, size.columns));
    if let Some(wait) = wait {
        let text = format!(
            "{}: {}",
            wording::clock(now.since(wait.since)),
            terminal_text::escape(&wait.to_string())
        );
        lines.push(palette.paint(Ink::Warn, text));
    }
    let running = tasks.running();
    // One line for the group, one for the number left out, one for the cursor.
    let room = size.rows.saturating_sub(3 + usize::from(wait.is_some())).clamp(1, TASK_LINES);
    let names: Vec<String> =
        running.iter().take(room).map(|(group, task, _)| label(tasks, group, task)).collect();
    let widest = names.iter().map(|name| console::measure_text_width(name)).max().unwrap_or(0);
    let column = widest.min(size.columns / 3);
    for (name, (_, _, task)) in names.iter().zip(&running) {
        lines.push(render_task(
            palette,
            &terminal_text::pad(&terminal_text::clip(name, column), column),
            task,
            now,
        ));
    }
    if running.len() > room {
        lines.push(palette.paint(Ink::Dim, format_args!("  … and {} more", running.len() - room)));
    }
    let clipped: Vec<_> = lines.iter().map(|line| terminal_text::clip(line, size.columns)).collect();
    clipped.join("\n")
}

/// A task's name, with its group's name if the group is not the active one.
fn label(tasks: &LiveTasks, group: &Name, task: &Name) -> String {
    match tasks.group() {
        Some(active) if active.name == *group => task.to_string(),
        _ => format!("{group}/{task}"),
    }
}

fn render_group(palette: Palette, tasks: &LiveTasks, now: Time, columns: usize) -> Option<String> {
    let group = tasks.group()?;
    #[expect(clippy::cast_precision_loss, reason = "the length of a bar")]
    let fraction = group.done() as f64 / group.total.max(1) as f64;
    let bar = palette.bar(fraction, (columns / 4).clamp(8, 40));
    let mut parts = vec![format!("{}/{}", wording::count(group.done()), wording::count(group.total))];
    parts.extend(exceptions(palette, [group.failed, group.cancelled, group.skipped]));
    if group.retried > 0 {
        let retried = format!("{} tried again", wording::count(group.retried));
        parts.push(palette.paint(Ink::Warn, retried));
    }
    parts.push(wording::clock(now.since(group.since)));
    parts.extend(tasks.time_left(now).map(|left| format!("about {} left", wording::clock(left))));
    Some(format!("{} {bar} {}", palette.paint(Ink::Strong, &group.name), wording::list(parts)))
}

fn render_task(palette: Palette, name: &str, task: &LiveTask, now: Time) -> String {
    let ink = if task.phase == TaskPhase::Training { Ink::Good } else { Ink::Dim };
    let phase = palette.paint(ink, terminal_text::pad(task.phase.name(), 8));
    let mut line = format!("  {name}  {phase}  {:>7}", wording::clock(now.since(task.since)));
    if task.phase == TaskPhase::Training {
        let _ = write!(line, "  {}", task.device_list());
    }
    if let Some((done, total)) = task.progress {
        let bar = palette.bar(task.fraction(), 12);
        let _ = write!(line, "  {bar} {}/{}", wording::count(done), wording::count(total));
    }
    line
}

#[cfg(test)]
pub(super) mod tests {
    use super::super::spool::tests::{PATIENCE, Sink};
    use super::super::test_events::*;
    use super::*;
    use fedflow_core::{Device, FailureKind, RunOutcome, WaitCause};
    use indicatif::InMemoryTerm;

    struct World {
        terminal: InMemoryTerm,
        view: LiveView,
    }

    fn world(rows: u16, columns: u16) -> World {
        let terminal = InMemoryTerm::new(rows, columns);
        let target = ProgressDrawTarget::term_like(Box::new(terminal.clone()));
        let size = TerminalSize { rows: rows.into(), columns: columns.into() };
        let stream = Spool::new("test", Sink::default()).unwrap();
        let view = LiveView::new(target, Screen::Fixed(size), stream, Palette::Bare, Clocks::Events);
        World { terminal, view }
    }

    impl World {
        fn see(&mut self, events: impl IntoIterator<Item = (Time, RunEvent)>) -> String {
            for (time, event) in events {
                self.view.announce(time, &event);
            }
            self.terminal.contents()
        }
    }

    /// The lines that a terminal shows at the end.
    pub(in super::super) fn remaining(written: &str) -> Vec<String> {
        let mut terminal = vt100::Parser::new(24, 80, 0);
        terminal.process(written.replace('\n', "\r\n").as_bytes());
        let rows = terminal.screen().rows(0, 80).map(|row| row.trim_end().to_owned());
        rows.filter(|row| !row.is_empty()).collect()
    }

    #[test]
    fn a_group_shows_its_bar_and_its_running_tasks() {
        let mut world = world(24, 80);
        let text = world.see([
            (at(0), run_started()),
            (at(0), group_started("train-1", 5)),
            (at(0), started("train-1", "client-0", 1)),
            (at(1), finished("train-1", "client-0", 1)),
            (at(1), started("train-1", "client-1", 1)),
            (at(2), started("train-1", "client-2", 1)),
            (at(3), started("train-1", "client-10", 1)),
            (at(5), loading("train-1", "client-1", 1)),
            (at(6), loaded("train-1", "client-1", 1)),
            (at(7), training("train-1", "client-2", 1, Device::Cuda(1))),
            (at(20), progress("train-1", "client-2", 1, 6, 12)),
            (at(80), started("next", "early", 1)),
        ]);
        insta::assert_snapshot!(text, @r"
        train-1 ━━━━╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌ 1/5, 1m 20s, about 3m 06s left
          client-2    training   1m 13s  cuda:1  ━━━━━━╌╌╌╌╌╌ 6/12
          client-1    waiting    1m 14s
          client-10   starting   1m 17s
          next/early  starting       0s
        ");
    }

    #[test]
    fn what_the_run_waits_for_is_shown_as_long_as_it_waits() {
        let mut world = world(24, 80);
        world.see([(at(0), group_started("g", 1)), (at(0), started("g", "t", 1))]);
        let cause = WaitCause::Devices { number: 1, memory: None, obstacles: Vec::new() };
        let (group, task) = (Name::new("g").unwrap(), Name::new("t").unwrap());
        world.view.waits(at(7), Some(&Wait { group, task, since: at(2), cause, is_news: true }));
        let text = world.see([(at(9), loaded("g", "t", 1))]);
        assert!(text.contains("7s: waiting for a device for g/t: none has room"), "{text}");
        world.view.waits(at(10), None);
        let text = world.see([(at(10), training("g", "t", 1, Device::Cpu))]);
        assert!(!text.contains("none has room"), "{text}");
    }

    #[test]
    fn failures_and_finished_groups_remain_above() {
        let mut world = world(24, 80);
        let error = failure(FailureKind::Exit, "exit code 1", "Traceback\nValueError: \u{1b}[2Jx\n");
        let text = world.see([
            (at(0), group_started("split", 1)),
            (at(2), finished("split", "0", 1)),
            (at(2), group_finished("split", 1, 0, 0)),
            (at(2), group_started("train-1", 3)),
            (at(2), started("train-1", "a", 1)),
            (at(3), retried("train-1", "a", 1, false)),
            (at(4), failed_with("train-1", "a", 2, error)),
            (at(4), started("train-1", "b", 1)),
        ]);
        insta::assert_snapshot!(text, @r"
        split over after 2.0s: 1 finished
        train-1/a is tried again in 2.0s: attempt 1: out of memory in train on cuda:0: n
        o room for 2GB
        train-1/a failed: exit without a result in train on cuda:0 (attempt 2): exit cod
        e 1
            | Traceback
            | ValueError: x
        train-1 ━━━━━━╌╌╌╌╌╌╌╌╌╌╌╌╌╌ 1/3, 1 failed, 1 tried again, 2s, about 4s left
          b  starting       0s
        ");
        let text = world.see([
            (at(5), finished("train-1", "b", 1)),
            (at(5), group_finished("train-1", 2, 1, 0)),
            (at(5), run_finished(RunOutcome::Complete)),
        ]);
        insta::assert_snapshot!(text, @r"
        split over after 2.0s: 1 finished
        train-1/a is tried again in 2.0s: attempt 1: out of memory in train on cuda:0: n
        o room for 2GB
        train-1/a failed: exit without a result in train on cuda:0 (attempt 2): exit cod
        e 1
            | Traceback
            | ValueError: x
        train-1 over after 3.0s: 2 finished, 1 failed
        ");
    }

    #[test]
    fn a_small_terminal_is_never_overfilled() {
        let mut world = world(6, 30);
        let mut events = vec![(at(0), group_started("a-group-with-a-long-name", 50))];
        for task in 0..50 {
            let task = format!("客户端-with-a-long-name-{task}");
            events.push((at(0), started("a-group-with-a-long-name", &task, 1)));
        }
        let text = world.see(events);
        insta::assert_snapshot!(text, @r"
        a-group-with-a-long-name ╌╌╌╌…
          客户端-wi…  starting       …
          客户端-wi…  starting       …
          客户端-wi…  starting       …
          … and 47 more
        ");
    }

    #[test]
    fn nothing_is_drawn_for_a_reader_that_is_behind() {
        let (_reader, writer) = std::io::pipe().unwrap();
        let stream = Spool::new("test", writer).unwrap();
        stream.push(&vec![b'x'; 1 << 20]);
        let mut world = world(24, 80);
        world.view.stream = stream;
        assert_eq!(world.see([(at(0), group_started("g", 1))]), "");
    }

    #[test]
    fn a_terminal_gets_whole_drawings_through_the_spool() {
        let sink = Sink::default();
        let stream = Spool::new("test", sink.clone()).unwrap();
        let screen = Screen::Fixed(TerminalSize { rows: 24, columns: 80 });
        let target = SpooledTerminal::target(stream.clone(), screen.clone());
        let mut view = LiveView::new(target, screen, stream.clone(), Palette::Bare, Clocks::Events);
        view.announce(at(0), &group_started("g", 2));
        view.announce(at(1), &finished("g", "0", 1));
        view.announce(at(1), &group_finished("g", 2, 0, 0));
        view.announce(at(1), &run_finished(RunOutcome::Complete));
        stream.close(PATIENCE);

        assert_eq!(remaining(&sink.text()), ["g over after 1.0s: 2 finished"]);
    }
}
