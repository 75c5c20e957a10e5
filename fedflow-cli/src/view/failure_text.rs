//! The text for a task that failed or is retried, and the limit on how many of them are shown.

use std::fmt::{Display, Write as _};
use std::time::Duration;

use fedflow_core::{AlikeTasks, Device, Failure, FailureKind, FailureKinds, Name, RunEvent, Stage};

use super::palette::{Ink, Palette};
use super::terminal_text;
use super::wording;

/// The most failures of a group that are shown one by one: a group in which everything fails must not bury the rest.
const SHOWN: u64 = 20;
/// How many kinds of failures of a group are told apart.
const KINDS: usize = 20;
/// The most lines of a message, and of what the task printed, that are shown.
const SHOWN_LINES: usize = 10;

/// Decides which failures and retries of a group are shown.
#[derive(Debug, Default)]
pub(super) struct FailureLimit {
    seen: u64,
    kinds: FailureKinds<Name, KINDS, 1>,
    /// The number of tasks that made room for others. They did not fail, and have a limit of their own.
    moved: u64,
}

impl FailureLimit {
    /// The text for a failure or a retry, as long as there are not too many. The limit starts anew with each group.
    pub(super) fn show(&mut self, palette: Palette, event: &RunEvent) -> Option<String> {
        if let RunEvent::GroupStarted { .. } = event {
            *self = Self::default();
        }
        let text = self.render_repeated(palette, event).or_else(|| render_failure(palette, event))?;
        if made_room(event) {
            self.moved += 1;
            return (self.moved <= SHOWN).then_some(text);
        }
        self.seen += 1;
        match self.seen {
            ..=SHOWN => Some(text),
            _ if self.seen == SHOWN + 1 => {
                let note = "more tasks of this group failed; from here on they are only counted, and the report lists them";
                Some(palette.paint(Ink::Warn, note))
            }
            _ => None,
        }
    }
}

impl FailureLimit {
    /// The line for a task that failed as another one of its group did.
    fn render_repeated(&mut self, palette: Palette, event: &RunEvent) -> Option<String> {
        let RunEvent::TaskFailed { group, task, error, .. } = event else { return None };
        if error.kind == FailureKind::Cancelled {
            return None;
        }
        let alike = self.kinds.add(error, task, None, task.clone())?;
        let first = alike.named.first().filter(|_| alike.tasks > 1)?;
        let head = palette.paint(Ink::Bad, format_args!("{group}/{task} failed"));
        Some(format!("{head} in the same way as {group}/{first}"))
    }
}

/// The lines for a failure or a retry; `None` for other events.
fn render_failure(palette: Palette, event: &RunEvent) -> Option<String> {
    match event {
        // The user who stops a run knows that the tasks left are cancelled: those are only counted.
        RunEvent::TaskFailed { error, .. } if error.kind == FailureKind::Cancelled => None,
        RunEvent::TaskFailed { group, task, attempt, device, error, .. } => {
            let head = palette.paint(Ink::Bad, format_args!("{group}/{task} failed"));
            let mut text = format!("{head}: {}", cause(error, *device));
            if *attempt > 1 {
                let _ = write!(text, " (attempt {attempt})");
            }
            push_details(&mut text, palette, error);
            Some(text)
        }
        RunEvent::TaskRetried { group, task, .. } if made_room(event) => Some(
            palette
                .paint(Ink::Dim, format_args!("{group}/{task} made room for another task; it starts again")),
        ),
        RunEvent::TaskRetried { group, task, attempt, device, error, delay, data_kept } => {
            let mut when = match *delay {
                Duration::ZERO => "now".into(),
                delay => format!("in {}", wording::duration(delay)),
            };
            if *data_kept {
                when.push_str(" with its data");
            }
            let head = palette.paint(Ink::Warn, format_args!("{group}/{task} is tried again {when}"));
            let mut text = format!("{head}: attempt {attempt}: {}", cause(error, *device));
            if let Some(line) = terminal_text::shown_lines(&error.message).next() {
                let _ = write!(text, ": {line}");
            }
            Some(text)
        }
        _ => None,
    }
}

/// Whether a task that could not train yet made room for another one: it starts anew, and nothing failed.
pub(super) fn made_room(event: &RunEvent) -> bool {
    matches!(event, RunEvent::TaskRetried { error, .. } if error.kind == FailureKind::Cancelled)
}

/// The kind and the stage of a failure, in words.
fn cause(error: &Failure, device: Option<Device>) -> String {
    let kind = match error.kind {
        FailureKind::Error => "error",
        FailureKind::Killed => "killed",
        FailureKind::Exit => "exit without a result",
        FailureKind::Timeout => "timeout",
        FailureKind::Oom => "out of memory",
        FailureKind::Protocol => "protocol broken",
        FailureKind::Spawn => "could not be started",
        FailureKind::Cancelled => "cancelled",
        FailureKind::Skipped => "skipped",
    };
    format!("{kind} in {}", place(error.stage, device))
}

fn place(stage: Stage, device: Option<Device>) -> String {
    match device {
        Some(device) if stage == Stage::Train => format!("{stage} on {device}"),
        _ => stage.to_string(),
    }
}

/// The cause of a failure on one line, for lists.
pub(crate) fn one_line(error: &Failure) -> String {
    let mut line = cause(error, None);
    if error.kind == FailureKind::Cancelled && error.message == "it was cancelled" {
        return line;
    }
    let message = terminal_text::shown_lines(&error.message).next();
    let said = error.last_line().and_then(|said| terminal_text::shown_lines(said).next());
    for part in [message, said].into_iter().flatten() {
        let _ = write!(line, ": {part}");
    }
    line
}

/// The lines for tasks that failed in the same way, indented: the task and the cause, or for several the cause with their
/// number, and their names.
pub(crate) fn told_once<T: Display>(palette: Palette, alike: &AlikeTasks<T>) -> String {
    let cause = one_line(&alike.failure);
    let names = wording::list(&alike.named);
    if alike.tasks == 1 {
        return format!("  {}: {cause}", palette.paint(Ink::Bad, names));
    }
    let tasks = palette.paint(Ink::Bad, wording::counted(alike.tasks, "task"));
    let others = match alike.others() {
        0 => String::new(),
        others => format!(" and {} more", wording::count(others)),
    };
    format!("  {cause}: {tasks}\n      {names}{others}")
}

/// Adds the message, whose first line stands beside the cause, and the last lines that the task printed.
fn push_details(text: &mut String, palette: Palette, error: &Failure) {
    let mut message = terminal_text::shown_lines(&error.message);
    if let Some(first) = message.next() {
        let _ = write!(text, ": {first}");
    }
    for line in message.take(SHOWN_LINES) {
        let _ = write!(text, "\n    {line}");
    }
    let printed = error.last_lines().map_or("", |(_, lines)| lines);
    let mut last: Vec<_> = terminal_text::shown_lines(printed).rev().take(SHOWN_LINES).collect();
    last.reverse();
    for line in last {
        let _ = write!(text, "\n    {} {line}", palette.paint(Ink::Dim, "|"));
    }
}

#[cfg(test)]
mod tests {
    use super::super::test_events::*;
    use super::*;

    #[test]
    fn a_failure_tells_stage_cause_and_the_last_lines() {
        let error =
            failure(FailureKind::Exit, "exit code 1", "Traceback\n  line 3\nValueError: \u{1b}[31mx\n");
        let text = render_failure(Palette::Bare, &failed_with("g", "a", 2, error)).unwrap();
        insta::assert_snapshot!(text, @r"
        g/a failed: exit without a result in train on cuda:0 (attempt 2): exit code 1
            | Traceback
            |   line 3
            | ValueError: x
        ");
    }

    #[test]
    fn an_equal_failure_is_told_in_a_line() {
        let mut limit = FailureLimit::default();
        let mut told = |task, error| limit.show(Palette::Bare, &failed_with("g", task, 1, error)).unwrap();
        let exit = |code| failure(FailureKind::Exit, code, "KeyError: 'rate'");
        assert_eq!(told("a", exit("exit code 1")).lines().count(), 2);
        assert_eq!(told("b", exit("exit code 1")), "g/b failed in the same way as g/a");
        assert_eq!(told("c", exit("exit code 2")).lines().count(), 2, "another failure");
        assert_eq!(told("d", exit("exit code 1")), "g/d failed in the same way as g/a");
    }

    #[test]
    fn what_stands_on_stdout_is_told_too() {
        let error = failure(FailureKind::Exit, "exit code 1", "");
        let error = Failure { stdout_tail: "ValueError: 42".into(), ..error };
        assert_eq!(one_line(&error), "exit without a result in train: exit code 1: ValueError: 42");
        let text = render_failure(Palette::Bare, &failed_with("g", "a", 1, error)).unwrap();
        assert!(text.ends_with(": exit code 1\n    | ValueError: 42"), "{text}");
    }

    #[test]
    fn a_message_of_many_lines_and_a_long_log_are_cut() {
        let many = |word: &str| (0..30).map(|number| format!("{word} {number}\n")).collect::<String>();
        let error = failure(FailureKind::Error, &many("message"), &many("log"));
        let text = render_failure(Palette::Bare, &failed_with("g", "a", 1, error)).unwrap();
        assert_eq!(text.lines().count(), 1 + 2 * SHOWN_LINES);
        assert!(text.ends_with("| log 29"), "the end of a log counts");
    }

    #[test]
    fn a_retry_takes_one_line() {
        let text = render_failure(Palette::Bare, &retried("g", "b", 1, false)).unwrap();
        insta::assert_snapshot!(text, @r"g/b is tried again in 2.0s: attempt 1: out of memory in train on cuda:0: no room for 2GB");
    }

    #[test]
    fn a_retry_that_keeps_its_data_says_so() {
        let text = render_failure(Palette::Bare, &retried("g", "b", 1, true)).unwrap();
        insta::assert_snapshot!(text, @"g/b is tried again in 2.0s with its data: attempt 1: out of memory in train on cuda:0: no room for 2GB");
    }

    #[test]
    fn a_task_that_makes_room_has_not_failed() {
        let mut event = retried("g", "b", 1, false);
        if let RunEvent::TaskRetried { error, .. } = &mut event {
            error.kind = FailureKind::Cancelled;
        }
        let text = render_failure(Palette::Bare, &event).unwrap();
        insta::assert_snapshot!(text, @"g/b made room for another task; it starts again");
        let mut limit = FailureLimit::default();
        let told = (0..1_000).filter_map(|_| limit.show(Palette::Bare, &event)).count();
        assert_eq!(told as u64, SHOWN);
        assert!(
            limit.show(Palette::Bare, &failed("g", "a", 1, "no")).is_some(),
            "failures have their own limit"
        );
    }

    #[test]
    fn a_cancelled_task_is_not_told_twice_that_it_was() {
        assert_eq!(one_line(&failure(FailureKind::Cancelled, "it was cancelled", "")), "cancelled in train");
    }

    #[test]
    fn cancelled_tasks_are_only_counted() {
        let error = failure(FailureKind::Cancelled, "the run was stopped", "noise");
        assert_eq!(render_failure(Palette::Bare, &failed_with("g", "a", 1, error)), None);
    }

    #[test]
    fn a_group_that_fails_altogether_is_told_in_bounds() {
        let mut limit = FailureLimit::default();
        let mut told = |group: &str| {
            let mut texts = Vec::new();
            texts.extend(limit.show(Palette::Bare, &group_started(group, 1_000)));
            for task in 0..1_000 {
                texts.extend(limit.show(Palette::Bare, &failed(group, &task.to_string(), 1, "no")));
            }
            texts
        };
        let first = told("g");
        assert_eq!(first.len() as u64, SHOWN + 1);
        assert!(first.last().unwrap().contains("only counted"));
        assert_eq!(told("h").len() as u64, SHOWN + 1, "a new group is told anew");
    }
}
