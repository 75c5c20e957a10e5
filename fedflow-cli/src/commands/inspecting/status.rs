//! `fedflow status`: the state of a run, from its journal and its lock.

use std::fmt::Write as _;

use fedflow_core::{Failure, FailureKind, FailureKinds, OutcomeKind, RunOutcome, TaskPhase};
use fedflow_worker::store::{LockHolder, LockState, RunDir, RunLock, ToldWait, ask_for_wait, unix_now};
use serde_json::{Value, json};

use super::overview::{GroupOverview, GroupState, Overview, TaskOverview};
use super::run_access::RunAccess;
use crate::args::StatusArgs;
use crate::commands::command_error::CommandError;
use crate::commands::printing::plain_table;
use crate::commands::printing::stdout;
use crate::run::short_path;
use crate::view::{count, counted, escape, one_line, seconds};

/// How many kinds of failures are listed for people.
const LISTED: usize = 10;

/// Prints the state of the run.
pub(crate) fn cmd_status(args: &StatusArgs) -> Result<(), CommandError> {
    let run_dir = RunDir::open(&args.run_dir).map_err(CommandError::no_run)?;
    // The lock is looked at before the journal: if the run ends in between, the journal says how.
    let lock = RunLock::probe(&run_dir).map_err(CommandError::failed)?;
    let access = RunAccess::open(&args.run_dir)?;
    // A supervisor that does not say is shown without it.
    let wait = matches!(lock, LockState::Held(_)).then(|| ask_for_wait(&run_dir).ok().flatten()).flatten();
    let now = unix_now();
    if args.json {
        let text = serde_json::to_string_pretty(&to_json(&access.overview, &lock, wait.as_ref(), now));
        let text = text.map_err(CommandError::failed)?;
        return stdout::print(|out| writeln!(out, "{text}"));
    }
    let mut text = render(&access.overview, &lock, wait.as_ref(), &short_path(run_dir.path()), now);
    let unread = access.journal.unread_bytes().unwrap_or(0);
    if lock == LockState::Free && unread > 0 {
        let _ = writeln!(text, "note: the journal ends with {unread} bytes that are no record");
    }
    stdout::print(|out| out.write_all(text.as_bytes()))
}

fn render(overview: &Overview, lock: &LockState, wait: Option<&ToldWait>, run_dir: &str, now: f64) -> String {
    let mut text = format!("{}: {}\n", escape(overview.flow()), state_line(overview, lock, now));
    if let Some((time, event)) = overview.last_event {
        let _ = writeln!(text, "last event: {event}, {} ago", seconds(now - time));
    }
    if let Some(ToldWait { text: wait, since }) = wait {
        let _ = writeln!(text, "for {}: {}", seconds(now - since), escape(wait));
    }
    if !overview.groups().is_empty() {
        let header = ["group", "tasks", "finished", "failed", "cancelled", "skipped", "running", "state"];
        let rows = overview.groups().iter().map(|group| {
            let counts = group.counts();
            let numbers = [counts.tasks, counts.finished, counts.failed, counts.cancelled];
            let [all, finished, failed, cancelled] = numbers.map(|number| number.to_string());
            let [skipped, running] = [counts.skipped, counts.running].map(|number| number.to_string());
            let state = group_state(overview, group, lock).into();
            [group.name.to_string(), all, finished, failed, cancelled, skipped, running, state]
        });
        let _ = writeln!(text, "\n{}", plain_table(header, rows));
    }
    // Without a supervisor, times are counted up to the journal's end.
    let held = matches!(lock, LockState::Held(_));
    let until = if held { now } else { overview.last_event.map_or(now, |(time, _)| time) };
    let running: Vec<_> = running(overview, until).collect();
    if !running.is_empty() {
        let header = ["task", "attempt", "stage", "device", if held { "for" } else { "had been so for" }];
        let _ = writeln!(text, "\n{}", plain_table(header, running));
    }
    push_failures(&mut text, overview);
    if *lock == LockState::Free && overview.outcome() != Some(&RunOutcome::Complete) {
        let _ = writeln!(text, "\nhint: go on with `fedflow resume {run_dir}`");
    }
    text
}

/// Whether it runs, since when, and how it ended if it does not.
fn state_line(overview: &Overview, lock: &LockState, now: f64) -> String {
    let session = overview.session();
    match (lock, overview.outcome()) {
        (LockState::Held(holder), outcome) => {
            let state = if outcome.is_some() { "ending" } else { "running" };
            match holder {
                Some(LockHolder { process, since, .. }) => {
                    let for_so_long = seconds(now - since);
                    format!("{state} for {for_so_long} in process {}, session {session}", process.pid)
                }
                None => format!("{state}, session {session}"),
            }
        }
        (LockState::Free, Some(RunOutcome::Complete)) => format!("complete after {}", sessions(session)),
        (LockState::Free, Some(RunOutcome::Stopped)) => format!("stopped in session {session}"),
        (LockState::Free, Some(RunOutcome::Failed)) => format!("could not go on in session {session}"),
        (LockState::Free, None) => format!("not running; session {session} broke off"),
    }
}

fn sessions(number: u32) -> String {
    counted(u64::from(number), "session")
}

fn group_state(overview: &Overview, group: &GroupOverview, lock: &LockState) -> &'static str {
    let is_running = |other: &GroupOverview| overview.state_of(other) == GroupState::Running;
    let waits = || overview.groups().iter().any(|other| is_running(other) && other.index < group.index);
    match (overview.state_of(group), lock) {
        (GroupState::Over, _) => "over",
        (GroupState::Running, LockState::Held(_)) if waits() => "loading ahead",
        (GroupState::Running, LockState::Held(_)) => "running",
        (GroupState::Running | GroupState::Interrupted, _) => "interrupted",
    }
}

/// A row for each task that has a process, as far as the journal knows.
fn running(overview: &Overview, until: f64) -> impl Iterator<Item = [String; 5]> {
    overview.running().map(move |(group, task, phase)| {
        let devices: Vec<String> = task.devices.iter().map(ToString::to_string).collect();
        let devices = if devices.is_empty() { "-".into() } else { devices.join(",") };
        let time = seconds(until - task.since);
        let stage = match phase {
            TaskPhase::Starting => "starting or waiting for room",
            phase => phase.name(),
        };
        [format!("{}/{}", group.name, task.id), task.attempts.to_string(), stage.into(), devices, time]
    })
}

fn failures(overview: &Overview) -> impl Iterator<Item = (&GroupOverview, &TaskOverview, &Failure)> {
    let failed = overview.tasks().filter(|(_, task)| task.kind() != OutcomeKind::Skipped);
    failed.filter_map(|(group, task)| Some((group, task, task.failure()?)))
}

fn push_failures(text: &mut String, overview: &Overview) {
    let mut kinds: FailureKinds<String, LISTED, 1> = FailureKinds::default();
    for (group, task, failure) in failures(overview).filter(|(.., told)| told.kind != FailureKind::Cancelled)
    {
        let name = format!("{}/{}", group.name, task.id);
        kinds.add(failure, &task.id, group.workdir_of(task).as_deref(), name);
    }
    let mut rows = kinds
        .iter()
        .map(|alike| {
            let others = match alike.others() {
                0 => String::new(),
                others => format!(" and {} more", count(others)),
            };
            [format!("{}{others}", alike.named.concat()), one_line(&alike.failure)]
        })
        .peekable();
    if rows.peek().is_none() {
        return;
    }
    let _ = writeln!(text, "\n{}", plain_table(["failed", "why"], rows));
    if kinds.left_out() > 0 {
        let _ = writeln!(text, "… and {} more", count(kinds.left_out()));
    }
}

fn to_json(overview: &Overview, lock: &LockState, wait: Option<&ToldWait>, now: f64) -> Value {
    let holder = match lock {
        LockState::Held(Some(holder)) => json!({"pid": holder.process.pid, "since": holder.since}),
        _ => Value::Null,
    };
    let groups = overview.groups().iter().map(|group| {
        let counts = group.counts();
        json!({
            "index": group.index, "name": group.name.as_str(), "state": group_state(overview, group, lock),
            "tasks": counts.tasks, "finished": counts.finished, "failed": counts.failed,
            "cancelled": counts.cancelled, "skipped": counts.skipped, "running": counts.running,
        })
    });
    let running = overview.running().map(|(group, task, phase)| {
        let devices: Vec<String> = task.devices.iter().map(ToString::to_string).collect();
        json!({
            "group": group.name.as_str(), "task": task.id.as_str(), "attempt": task.attempts,
            "stage": phase.name(), "devices": devices, "since": task.since,
            "seconds": (now - task.since).max(0.0),
        })
    });
    let failures = failures(overview).map(|(group, task, failure)| {
        json!({
            "group": group.name.as_str(), "task": task.id.as_str(), "attempt": task.attempts,
            "error": {"stage": failure.stage, "kind": failure.kind, "message": failure.message},
        })
    });
    json!({
        "schema": 1,
        "flow": overview.flow(),
        "running": matches!(lock, LockState::Held(_)),
        "supervisor": holder,
        "session": overview.session(),
        "outcome": overview.outcome(),
        "last_event": overview.last_event.map(|(time, event)| json!({"time": time, "event": event})),
        "waiting": wait.map(|wait| json!({"text": wait.text, "since": wait.since, "seconds": now - wait.since})),
        "groups": groups.collect::<Vec<_>>(),
        "running_tasks": running.collect::<Vec<_>>(),
        "failures": failures.collect::<Vec<_>>(),
    })
}

#[cfg(test)]
mod tests {
    use fedflow_core::{ProcessId, RunEvent};

    use super::*;
    use crate::commands::inspecting::overview::tests::*;

    fn held() -> LockState {
        let process = ProcessId { pid: 4321, start_ticks: 7 };
        LockState::Held(Some(LockHolder { process, since: 1000.0, run_token: None }))
    }

    fn events() -> Vec<RunEvent> {
        vec![
            started(1),
            group("train", 1, &["a", "b", "c", "d"]),
            start("train", "a", 1),
            finished("train", "a"),
            exited("train", "a"),
            start("train", "b", 2),
            training("train", "b", 2),
            failed("train", "c", FailureKind::Error, "no \u{1b}[31mluck\nat all"),
            failed("train", "d", FailureKind::Cancelled, "it was cancelled"),
        ]
    }

    #[test]
    fn a_run_that_is_going_on() {
        let text = render(&overview(events()), &held(), None, "res", 1090.0);
        assert_eq!(
            text,
            "sweep: running for 1m 30s in process 4321, session 1\n\
             last event: task-failed, 1m 22s ago\n\
             \n\
             group  tasks  finished  failed  cancelled  skipped  running  state\n\
             train  4      1         1       1          0        1        running\n\
             \n\
             task     attempt  stage     device  for\n\
             train/b  2        training  cuda:1  1m 24s\n\
             \n\
             failed   why\n\
             train/c  error in train: no luck\n"
        );
    }

    #[test]
    fn what_a_run_waits_for_is_said() {
        let wait =
            ToldWait { text: "waiting for a device for \u{1b}g/t: none has room".into(), since: 1000.0 };
        let text = render(&overview(events()), &held(), Some(&wait), "res", 1090.0);
        assert!(
            text.contains("\nfor 1m 30s: waiting for a device for \\u{1b}g/t: none has room\n"),
            "{text}"
        );
        let json = to_json(&overview(events()), &held(), Some(&wait), 1090.0);
        assert_eq!(json["waiting"]["seconds"], 90.0);
    }

    #[test]
    fn a_run_that_broke_off_or_ended() {
        let text = render(&overview(events()), &LockState::Free, None, "res", 1090.0);
        assert!(text.starts_with("sweep: not running; session 1 broke off\n"), "{text}");
        assert!(text.contains("had been so for\ntrain/b  2        training  cuda:1  2.0s\n"), "{text}");
        assert!(text.contains("1        interrupted\n"), "{text}");
        assert!(text.ends_with("\nhint: go on with `fedflow resume res`\n"), "{text}");
        let complete = events().into_iter().chain([RunEvent::RunFinished { outcome: RunOutcome::Complete }]);
        let text = render(&overview(complete), &LockState::Free, None, "res", 1090.0);
        assert!(text.starts_with("sweep: complete after 1 session\n") && !text.contains("hint"), "{text}");
    }

    #[test]
    fn the_json_says_the_same() {
        let json = to_json(&overview(events()), &held(), None, 1090.0);
        assert_eq!(json["supervisor"]["pid"], 4321);
        assert_eq!((&json["running"], &json["outcome"]), (&json!(true), &Value::Null));
        assert_eq!(json["groups"][0]["failed"], 1);
        let running = &json["running_tasks"][0];
        assert_eq!((&running["stage"], &running["seconds"]), (&json!("training"), &json!(84.0)));
        assert_eq!(json["failures"][0]["error"]["message"], "no \u{1b}[31mluck\nat all");
        assert_eq!(json["failures"][1]["error"]["kind"], "cancelled");
    }
}
