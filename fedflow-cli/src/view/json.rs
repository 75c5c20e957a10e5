//! The progress stream: one strict JSON object a line, for programs that watch a run.

use std::collections::HashMap;
use std::io::{self, Write};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use fedflow_core::{
    ChosenOrder, Device, DeviceInfo, Failure, LeftProcess, Name, Observer, PlainDict, RunEvent, RunOutcome,
    Size, Time,
};
use serde::Serialize;

use super::spool::{Fate, Spool};
use super::terminal_text;

/// The longest line in bytes. A result that would make a line longer is left out of it; `results.json` has it.
const LONGEST_LINE: usize = 256 << 10;

/// Writes the progress stream without ever blocking. A reader that is behind first misses `task-progress` lines; when
/// it is too far behind, the stream is cut. A reader that went away is ignored.
#[derive(Debug)]
pub(super) struct JsonView {
    stream: Spool,
    messages: Spool,
    started_at: Duration,
    /// The device on which each task trains, for the lines of `task-progress`.
    devices: HashMap<(Name, Name), Device>,
    line: Vec<u8>,
}

/// One line. Every line has the first six keys; they are null where they do not apply.
#[derive(Serialize)]
struct Line<'a> {
    event: &'static str,
    /// Unix time in seconds, exact to the millisecond.
    time: f64,
    group: Option<&'a Name>,
    task: Option<&'a Name>,
    attempt: Option<u32>,
    device: Option<Device>,
    #[serde(flatten)]
    details: Details<'a>,
}

/// The keys of a line beside the first six.
#[derive(Serialize)]
#[serde(untagged)]
enum Details<'a> {
    RunStarted {
        flow: &'a str,
        workdir: &'a str,
        session: u32,
        seed: u64,
        devices: &'a [DeviceInfo],
    },
    GroupStarted {
        index: u32,
        workdir: &'a str,
        tasks: usize,
        #[serde(skip_serializing_if = "Option::is_none")]
        order: Option<ChosenOrder>,
    },
    Started {
        workdir: &'a str,
        reused: bool,
    },
    Loaded {
        load_seconds: f64,
    },
    Training {
        slot: u32,
        devices: &'a [Device],
        memory: Option<Size>,
    },
    Progress {
        done: u64,
        total: u64,
    },
    Finished {
        load_seconds: f64,
        train_seconds: f64,
        result: PlainDict<'a>,
    },
    FinishedWithoutResult {
        load_seconds: f64,
        train_seconds: f64,
        result_left_out: bool,
    },
    Failed {
        load_seconds: Option<f64>,
        train_seconds: Option<f64>,
        error: &'a Failure,
    },
    Retried {
        error: &'a Failure,
        data_kept: bool,
        delay_seconds: f64,
    },
    LeftRunning {
        processes: &'a [LeftProcess],
        others: u64,
        killed: bool,
    },
    Skipped {
        reason: &'a str,
    },
    GroupFinished {
        finished: u64,
        failed: u64,
        cancelled: u64,
        skipped: u64,
    },
    RunFinished {
        outcome: &'a RunOutcome,
    },
}

impl JsonView {
    /// A view on `stream`. `started_at` is the wall-clock time of the run's start. A warning about the stream itself
    /// goes to `messages`.
    pub(super) fn new(stream: Spool, messages: Spool, started_at: SystemTime) -> Self {
        let started_at = started_at.duration_since(UNIX_EPOCH).unwrap_or_default();
        Self { stream, messages, started_at, devices: HashMap::new(), line: Vec::new() }
    }

    fn write(&mut self, line: &Line<'_>) -> io::Result<()> {
        self.line.clear();
        let mut bounded = Bounded { bytes: &mut self.line, left: LONGEST_LINE };
        line.serialize(&mut serde_json::Serializer::with_formatter(&mut bounded, TerminalSafe))?;
        self.line.push(b'\n');
        Ok(())
    }

    /// Keeps track of which task trains where; gives the device of the event's task.
    fn device(&mut self, event: &RunEvent) -> Option<Device> {
        let (group, task, _) = event.task()?;
        let key = (group.clone(), task.clone());
        match event {
            RunEvent::TaskTraining { device, .. } => {
                self.devices.insert(key, *device);
                Some(*device)
            }
            RunEvent::TaskFinished { device, .. } => {
                self.devices.remove(&key);
                Some(*device)
            }
            RunEvent::TaskFailed { device, .. } | RunEvent::TaskRetried { device, .. } => {
                self.devices.remove(&key);
                *device
            }
            RunEvent::TaskProgress { .. } => self.devices.get(&key).copied(),
            _ => None,
        }
    }
}

impl Observer for JsonView {
    fn announce(&mut self, time: Time, event: &RunEvent) {
        let Some(details) = Details::of(event) else { return };
        let millis = (self.started_at + time.since_start()).as_millis();
        #[expect(clippy::cast_precision_loss, reason = "milliseconds since 1970 are far below 2^53")]
        let time = millis as f64 / 1_000.0;
        let (group, task, attempt) = match event.task() {
            // A task that was skipped had no attempt.
            Some((group, task, attempt)) => (Some(group), Some(task), (attempt > 0).then_some(attempt)),
            None => (group_of(event), None, None),
        };
        let device = self.device(event);
        let mut line = Line { event: event.name(), time, group, task, attempt, device, details };
        if self.write(&line).is_err() {
            // Only a result can be that long: everything else is bounded where it comes in.
            line.details = line.details.without_result();
            if self.write(&line).is_err() {
                return;
            }
        }
        let fate = match event {
            RunEvent::TaskProgress { .. } => self.stream.offer(&self.line),
            _ => self.stream.push(&self.line),
        };
        if fate == Fate::Cut {
            self.messages.push(
                b"warning: the reader of the progress stream does not keep up; the stream ends here, the run goes on\n",
            );
        }
    }
}

fn group_of(event: &RunEvent) -> Option<&Name> {
    match event {
        RunEvent::GroupStarted { group, .. } | RunEvent::GroupFinished { group, .. } => Some(group),
        _ => None,
    }
}

impl<'a> Details<'a> {
    /// The details of an event; `None` if the event has no line.
    fn of(event: &'a RunEvent) -> Option<Self> {
        Some(match event {
            RunEvent::RunStarted { flow, workdir, session, devices, seed, .. } => {
                Self::RunStarted { flow, workdir, session: *session, seed: *seed, devices }
            }
            RunEvent::GroupStarted { index, workdir, tasks, order, .. } => {
                Self::GroupStarted { index: *index, workdir, tasks: tasks.len(), order: *order }
            }
            RunEvent::TaskStarted { workdir, reused, .. } => Self::Started { workdir, reused: *reused },
            RunEvent::TaskLoaded { load_time, .. } => Self::Loaded { load_seconds: load_time.as_secs_f64() },
            RunEvent::TaskTraining { device, slot, devices, memory, .. } => {
                let devices = if devices.is_empty() { std::slice::from_ref(device) } else { devices };
                Self::Training { slot: *slot, devices, memory: *memory }
            }
            RunEvent::TaskProgress { done, total, .. } => Self::Progress { done: *done, total: *total },
            RunEvent::TaskFinished { load_time, train_time, result, .. } => Self::Finished {
                load_seconds: load_time.as_secs_f64(),
                train_seconds: train_time.as_secs_f64(),
                result: PlainDict(result),
            },
            RunEvent::TaskFailed { load_time, train_time, error, .. } => Self::Failed {
                load_seconds: load_time.map(|time| time.as_secs_f64()),
                train_seconds: train_time.map(|time| time.as_secs_f64()),
                error,
            },
            RunEvent::TaskRetried { error, data_kept, delay, .. } => {
                Self::Retried { error, data_kept: *data_kept, delay_seconds: delay.as_secs_f64() }
            }
            RunEvent::TaskLeftRunning { left, .. } => {
                Self::LeftRunning { processes: &left.processes, others: left.others, killed: left.killed }
            }
            RunEvent::TaskSkipped { reason, .. } => Self::Skipped { reason },
            RunEvent::GroupFinished { finished, failed, cancelled, skipped, .. } => Self::GroupFinished {
                finished: *finished,
                failed: *failed,
                cancelled: *cancelled,
                skipped: *skipped,
            },
            RunEvent::RunFinished { outcome } => Self::RunFinished { outcome },
            RunEvent::TaskLoading { .. }
            | RunEvent::TaskItem { .. }
            | RunEvent::TaskReleased { .. }
            | RunEvent::TaskMemory { .. }
            | RunEvent::TaskExited { .. } => return None,
        })
    }

    fn without_result(self) -> Self {
        match self {
            Self::Finished { load_seconds, train_seconds, .. } => {
                Self::FinishedWithoutResult { load_seconds, train_seconds, result_left_out: true }
            }
            other => other,
        }
    }
}

/// Writes characters that could steer a terminal as JSON escapes, as the stream may be read on a terminal.
struct TerminalSafe;

impl serde_json::ser::Formatter for TerminalSafe {
    fn write_string_fragment<W: ?Sized + Write>(&mut self, writer: &mut W, fragment: &str) -> io::Result<()> {
        let mut safe = fragment;
        while let Some((place, hostile)) = safe.char_indices().find(|(_, c)| terminal_text::is_hostile(*c)) {
            writer.write_all(&safe.as_bytes()[..place])?;
            for unit in hostile.encode_utf16(&mut [0; 2]) {
                write!(writer, "\\u{unit:04x}")?;
            }
            safe = &safe[place + hostile.len_utf8()..];
        }
        writer.write_all(safe.as_bytes())
    }
}

/// Takes a number of bytes and refuses more.
struct Bounded<'a> {
    bytes: &'a mut Vec<u8>,
    left: usize,
}

impl Write for Bounded<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.left = self.left.checked_sub(bytes.len()).ok_or(io::ErrorKind::FileTooLarge)?;
        self.bytes.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::super::spool::tests::{PATIENCE, Sink};
    use super::super::test_events::*;
    use fedflow_core::{Dict, Value};

    use super::*;
    use fedflow_core::FailureKind;

    fn view(stream: Spool, messages: Spool) -> JsonView {
        JsonView::new(stream, messages, UNIX_EPOCH + Duration::from_millis(1_700_000_000_123))
    }

    fn shown(events: impl IntoIterator<Item = (Time, RunEvent)>) -> String {
        let sink = Sink::default();
        let spool = Spool::new("test", sink.clone()).unwrap();
        let mut view = view(spool.clone(), spool.clone());
        for (time, event) in events {
            view.announce(time, &event);
        }
        spool.close(PATIENCE);
        sink.text()
    }

    #[test]
    fn the_listed_events_are_lines_and_the_others_are_not() {
        let error = failure(FailureKind::Killed, "signal 9", "last words");
        let text = shown([
            (at(0), run_started()),
            (at(0), group_started("g", 2)),
            (at(0), started("g", "0", 1)),
            (at(0), loading("g", "0", 1)),
            (at(1), loaded("g", "0", 1)),
            (at(1), training("g", "0", 1, Device::Cuda(1))),
            (at(2), item("g", "0", 0.5)),
            (at(2), progress("g", "0", 1, 1, 2)),
            (
                at(3),
                RunEvent::TaskReleased {
                    group: name("g"),
                    task: name("0"),
                    attempt: 1,
                    train_time: Duration::from_millis(1500),
                },
            ),
            (at(3), finished("g", "0", 1)),
            (at(3), RunEvent::TaskExited { group: name("g"), task: name("0"), attempt: 1 }),
            (at(4), retried("g", "1", 1, true)),
            (at(4), failed_with("g", "1", 2, error)),
            (at(4), group_finished("g", 1, 1, 0)),
            (at(4), run_finished(RunOutcome::Complete)),
        ]);
        insta::assert_snapshot!(text, @r#"
        {"event":"run-started","time":1700000000.123,"group":null,"task":null,"attempt":null,"device":null,"flow":"digits","workdir":"/res","session":1,"seed":7,"devices":[{"device":"cpu","name":"CPU slot"},{"device":"cpu","name":"CPU slot"}]}
        {"event":"group-started","time":1700000000.123,"group":"g","task":null,"attempt":null,"device":null,"index":1,"workdir":"/res/g","tasks":2}
        {"event":"task-started","time":1700000000.123,"group":"g","task":"0","attempt":1,"device":null,"workdir":"/res/g/0","reused":false}
        {"event":"task-loaded","time":1700000001.123,"group":"g","task":"0","attempt":1,"device":null,"load_seconds":0.25}
        {"event":"task-training","time":1700000001.123,"group":"g","task":"0","attempt":1,"device":"cuda:1","slot":0,"devices":["cuda:1"],"memory":null}
        {"event":"task-progress","time":1700000002.123,"group":"g","task":"0","attempt":1,"device":"cuda:1","done":1,"total":2}
        {"event":"task-finished","time":1700000003.123,"group":"g","task":"0","attempt":1,"device":"cpu","load_seconds":0.25,"train_seconds":1.5,"result":{"accuracy":0.5}}
        {"event":"task-retried","time":1700000004.123,"group":"g","task":"1","attempt":1,"device":"cuda:0","error":{"stage":"train","kind":"oom","message":"no room for 2GB","stderr_tail":""},"data_kept":true,"delay_seconds":2.0}
        {"event":"task-failed","time":1700000004.123,"group":"g","task":"1","attempt":2,"device":"cuda:0","load_seconds":0.25,"train_seconds":3.0,"error":{"stage":"train","kind":"killed","message":"signal 9","stderr_tail":"last words"}}
        {"event":"group-finished","time":1700000004.123,"group":"g","task":null,"attempt":null,"device":null,"finished":1,"failed":1,"cancelled":0,"skipped":0}
        {"event":"run-finished","time":1700000004.123,"group":null,"task":null,"attempt":null,"device":null,"outcome":"complete"}
        "#);
    }

    #[test]
    fn every_line_is_strict_json_with_the_six_keys_first() {
        let result = Dict::from([
            ("nan", Value::from(f64::NAN)),
            ("down", f64::NEG_INFINITY.into()),
            ("bytes", vec![1_u8, 2].into()),
            ("list", vec![Value::Null, true.into(), 7_i64.into()].into()),
            ("hostile \u{1b}[2J", "\u{9b}31m \u{202e} \u{e0041} \n".into()),
        ]);
        let text = shown([(at(0), finished_with("g", "a", 1, result))]);
        assert!(!text.trim_end().chars().any(terminal_text::is_hostile), "{text:?}");
        assert!(text.starts_with(r#"{"event":"task-finished","time":1700000000.123,"group":"g","task":"a","attempt":1,"device":"cpu","#));
        let line: serde_json::Value = serde_json::from_str(&text).unwrap();
        let result = &line["result"];
        assert_eq!(result["nan"], "NaN");
        assert_eq!(result["down"], "-Infinity");
        assert_eq!(result["bytes"]["$bytes"], "AQI=");
        assert_eq!(result["list"], serde_json::json!([null, true, 7]));
        assert_eq!(result["hostile \u{1b}[2J"], "\u{9b}31m \u{202e} \u{e0041} \n");
    }

    #[test]
    fn a_result_that_is_too_long_for_a_line_is_left_out() {
        let result = Dict::from([("weights", "x".repeat(LONGEST_LINE))]);
        let line: serde_json::Value =
            serde_json::from_str(&shown([(at(0), finished_with("g", "a", 1, result))])).unwrap();
        assert_eq!(line["result_left_out"], true);
        assert_eq!(line["train_seconds"], 1.5);
        assert_eq!(line.get("result"), None);
    }

    #[test]
    fn a_reader_that_went_away_is_no_matter() {
        let (reader, writer) = io::pipe().unwrap();
        drop(reader);
        let stream = Spool::new("test", writer).unwrap();
        let mut view = view(stream.clone(), stream.clone());
        view.announce(at(0), &run_started());
        stream.close(PATIENCE);
        view.announce(at(0), &group_started("g", 1));
    }

    #[test]
    fn a_reader_that_never_reads_misses_progress_first_and_is_then_given_up() {
        let (_reader, writer) = io::pipe().unwrap();
        let messages = Sink::default();
        let told = Spool::new("test", messages.clone()).unwrap();
        let mut view = view(Spool::new("test", writer).unwrap(), told.clone());
        let large = Dict::from([("weights", "x".repeat(LONGEST_LINE - 1_000))]);
        for _ in 0..8 {
            view.announce(at(0), &finished_with("g", "a", 1, large.clone()));
        }
        assert_eq!(view.stream.offer(b"progress\n"), Fate::Dropped);
        assert_eq!(view.stream.push(b"\n"), Fate::Taken);
        assert_eq!(view.stream.push(&vec![b'\n'; 61 << 20]), Fate::Taken);
        for _ in 0..10 {
            view.announce(at(0), &finished_with("g", "a", 1, large.clone()));
        }
        told.close(PATIENCE);
        assert_eq!(messages.text().lines().count(), 1, "told once: {}", messages.text());
    }
}
