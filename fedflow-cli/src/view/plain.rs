//! The plain view, for pipes and logs: one line for each event that matters to a reader.

use std::time::Duration;

use fedflow_core::{Observer, RunEvent, RunOutcome, Time};

use super::failure_text::FailureLimit;
use super::live_tasks::LiveTasks;
use super::palette::{Ink, Palette};
use super::spool::Spool;
use super::terminal_text;
use super::wording;

/// Groups with more tasks than this are shown in counts instead of task by task.
const SHOWN_ONE_BY_ONE: u64 = 100;
/// The shortest time between two lines of counts. It is measured by the times of events: no timer wakes for it.
const BETWEEN_COUNTS: Duration = Duration::from_secs(1);

/// Writes lines with the time since the run started. Lines are dropped while the reader is far behind.
#[derive(Debug)]
pub(super) struct PlainView {
    stream: Spool,
    palette: Palette,
    tasks: LiveTasks,
    failures: FailureLimit,
    counted: Time,
}

impl PlainView {
    pub(super) fn new(stream: Spool, palette: Palette) -> Self {
        Self {
            stream,
            palette,
            tasks: LiveTasks::default(),
            failures: FailureLimit::default(),
            counted: Time::ZERO,
        }
    }

    fn line(&self, time: Time, text: &str) {
        let stamp = format!("[{:>7}]", wording::clock(time.since_start()));
        self.stream.offer(format!("{} {text}\n", self.palette.paint(Ink::Dim, stamp)).as_bytes());
    }

    /// Shows that a task has its outcome: by its name, or in a large group by counts from time to time.
    fn task_over(&mut self, time: Time, event: &RunEvent) {
        let Some(group) = self.tasks.group().filter(|group| group.total > SHOWN_ONE_BY_ONE) else {
            if let RunEvent::TaskFinished { group, task, device, load_time, train_time, .. } = event {
                let (load, train) = (wording::duration(*load_time), wording::duration(*train_time));
                let head = self.palette.paint(Ink::Good, format_args!("{group}/{task} finished"));
                self.line(time, &format!("{head} on {device} (load {load}, train {train})"));
            }
            return;
        };
        if time.since(self.counted.max(group.since)) >= BETWEEN_COUNTS {
            let done = format!("{} of {} done", wording::count(group.done()), wording::count(group.total));
            let mut parts = vec![done];
            parts.extend(exceptions(self.palette, [group.failed, group.cancelled, group.skipped]));
            parts.extend(self.tasks.time_left(time).map(|left| format!("{} left", wording::clock(left))));
            let line = format!("{}: {}", group.name, wording::list(parts));
            self.line(time, &line);
            self.counted = time;
        }
    }
}

impl Observer for PlainView {
    fn announce(&mut self, time: Time, event: &RunEvent) {
        // Applying the end of a group removes its counts.
        let since = self.tasks.group().map_or(time, |group| group.since);
        self.tasks.apply(time, event);
        if let Some(failure) = self.failures.show(self.palette, event) {
            self.line(time, &failure);
        }
        match event {
            RunEvent::RunStarted { flow, workdir, devices, session, .. } => {
                let again = if *session > 1 { "goes on" } else { "starts" };
                let on = wording::counted(devices.len() as u64, "device");
                let (flow, workdir) = (terminal_text::escape(flow), terminal_text::escape(workdir));
                self.line(time, &format!("{flow} {again} in {workdir} on {on}"));
            }
            RunEvent::GroupStarted { group, tasks, order, .. } => {
                let head = self.palette.paint(Ink::Strong, group);
                self.line(time, &format!("{head} started: {}", wording::counted(tasks.len() as u64, "task")));
                if let Some(order) = order {
                    self.line(time, &format!("{head} starts its tasks as {order}"));
                }
            }
            RunEvent::TaskFinished { .. } | RunEvent::TaskFailed { .. } | RunEvent::TaskSkipped { .. } => {
                self.task_over(time, event);
            }
            RunEvent::GroupFinished { .. } => {
                if let Some(line) = render_group_end(self.palette, event, time.since(since)) {
                    self.line(time, &line);
                }
            }
            RunEvent::RunFinished { outcome } => {
                let text = match outcome {
                    RunOutcome::Complete => "run complete",
                    RunOutcome::Stopped => "run stopped",
                    RunOutcome::Failed => "run could not go on",
                };
                self.line(time, text);
            }
            _ => {}
        }
    }
}

/// The line for a group that is over; `None` for other events.
pub(super) fn render_group_end(palette: Palette, event: &RunEvent, took: Duration) -> Option<String> {
    let RunEvent::GroupFinished { group, finished, failed, cancelled, skipped } = event else { return None };
    let mut parts = vec![palette.paint(Ink::Good, format_args!("{} finished", wording::count(*finished)))];
    parts.extend(exceptions(palette, [*failed, *cancelled, *skipped]));
    let (name, took) = (palette.paint(Ink::Strong, group), wording::duration(took));
    Some(format!("{name} over after {took}: {}", wording::list(parts)))
}

/// The numbers of failed, of cancelled and of skipped tasks, each left out if it is 0.
pub(super) fn exceptions(palette: Palette, numbers: [u64; 3]) -> impl Iterator<Item = String> {
    numbers
        .into_iter()
        .zip([(Ink::Bad, "failed"), (Ink::Warn, "cancelled"), (Ink::Dim, "skipped")])
        .map(|(number, (ink, word))| (number, ink, word))
        .filter(|(number, ..)| *number > 0)
        .map(move |(number, ink, word)| palette.paint(ink, format_args!("{} {word}", wording::count(number))))
}

#[cfg(test)]
mod tests {
    use super::super::spool::tests::{PATIENCE, Sink};
    use super::super::test_events::*;
    use super::*;
    use fedflow_core::{Device, FailureKind};

    fn shown(events: impl IntoIterator<Item = (Time, RunEvent)>) -> String {
        let sink = Sink::default();
        let spool = Spool::new("test", sink.clone()).unwrap();
        let mut view = PlainView::new(spool.clone(), Palette::Bare);
        for (time, event) in events {
            view.announce(time, &event);
        }
        spool.close(PATIENCE);
        sink.text()
    }

    #[test]
    fn a_small_run_is_told_task_by_task() {
        let error = failure(FailureKind::Killed, "signal 9", "epoch 3\nepoch 4\n");
        let events = [
            (at(0), run_started()),
            (at(0), group_started("train-1", 3)),
            (at(0), started("train-1", "0", 1)),
            (at(0), loading("train-1", "0", 1)),
            (at(1), loaded("train-1", "0", 1)),
            (at(1), training("train-1", "0", 1, Device::Cpu)),
            (at(1), progress("train-1", "0", 1, 1, 2)),
            (at(1), item("train-1", "0", 0.5)),
            (at(2), finished("train-1", "0", 1)),
            (at(65), retried("train-1", "1", 1, true)),
            (at(66), failed_with("train-1", "1", 2, error)),
            (at(67), failed_with("train-1", "2", 1, failure(FailureKind::Cancelled, "stopped", ""))),
            (at(67), group_finished("train-1", 1, 1, 1)),
            (at(67), run_finished(RunOutcome::Stopped)),
        ];
        insta::assert_snapshot!(shown(events), @r"
        [     0s] digits starts in /res on 2 devices
        [     0s] train-1 started: 3 tasks
        [     2s] train-1/0 finished on cpu (load 250ms, train 1.5s)
        [ 1m 05s] train-1/1 is tried again in 2.0s with its data: attempt 1: out of memory in train on cuda:0: no room for 2GB
        [ 1m 06s] train-1/1 failed: killed in train on cuda:0 (attempt 2): signal 9
            | epoch 3
            | epoch 4
        [ 1m 07s] train-1 over after 1m 07s: 1 finished, 1 failed, 1 cancelled
        [ 1m 07s] run stopped
        ");
    }

    #[test]
    fn a_large_group_is_told_in_counts_by_the_second() {
        let mut events = vec![(at(0), group_started("sweep", 100_000))];
        for task in 0..100_000_u64 {
            let time = Time::after(Duration::from_micros(task * 40));
            events.push((time, finished("sweep", &task.to_string(), 1)));
        }
        events.push((at(4), group_finished("sweep", 100_000, 0, 0)));
        insta::assert_snapshot!(shown(events), @r"
        [     0s] sweep started: 100,000 tasks
        [     1s] sweep: 25,001 of 100,000 done, 2s left
        [     2s] sweep: 50,001 of 100,000 done, 1s left
        [     3s] sweep: 75,001 of 100,000 done, 0s left
        [     4s] sweep over after 4.0s: 100,000 finished
        ");
    }

    #[test]
    fn what_a_worker_sent_cannot_steer_the_terminal() {
        let error = failure(FailureKind::Error, "\u{1b}]0;owned\u{7}\u{202e}", "\u{9b}2J\nok\u{0}");
        let text = shown([(at(0), failed_with("g", "a", 1, error))]);
        assert!(!text.chars().any(|c| c != '\n' && terminal_text::is_hostile(c)), "{text:?}");
        assert!(text.contains("\\u{202e}") && !text.contains("owned"), "{text:?}");
    }
}
