//! What the store's tests share: a sample run, any event, and child processes.

use std::collections::BTreeMap;
use std::env;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::mpsc::channel;
use std::time::Duration;

use fedflow_core::{
    Device, DeviceInfo, Dict, EstimateSource, Failure, FailureKind, MemoryUse, Name, Observer as _, Pin,
    RunEvent, RunOutcome, SessionSetup, Size, Stage, Time, Value,
};
use proptest::prelude::*;
use tempfile::TempDir;

use super::journal::seal;
use super::{Head, JournalNotice, JournalWriter, Notify, Recovered, RunDir, RunLock, create_run_dir};

/// The fingerprint of the sample's group `train`.
pub(in crate::store) const FINGERPRINT: u64 = u64::MAX - 1;
const CHILD_ARGUMENT: &str = "FEDFLOW_TEST_CHILD";

/// A directory on which a sync costs nothing, if there is one.
pub(in crate::store) fn fast_dir() -> TempDir {
    tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap()
}

pub(in crate::store) fn head() -> Head {
    Head {
        flow: "sample".into(),
        base_dir: "/flows".into(),
        flow_file: None,
        flow_crc: Some(super::flow_checksum("name = \"sample\"")),
        config: Dict::from([("scheduler.max-process", 3_i64)]),
        devices: "cpu:2".into(),
        seed: u64::MAX,
        created: 1_700_000_000.25,
        run_token: "token".into(),
    }
}

/// What a session of the sample may have been started with.
pub(in crate::store) fn setup() -> SessionSetup {
    SessionSetup {
        devices: "cuda:1".into(),
        config: Dict::from([("scheduler.max-process", 2_i64)]),
        config_file: Some("/flows/fedflow.toml".into()),
        environment: Some(BTreeMap::from([("PATH".into(), "/usr/bin".into())])),
        vars: Dict::from([("lr", 0.5)]),
    }
}

/// A journal with nothing but a head of version 3.
pub(in crate::store) fn newer_journal() -> Vec<u8> {
    let mut text = b"{\"fedflow\":3,\"all\":\"new\"".to_vec();
    seal(&mut text, 0);
    text
}

pub(in crate::store) fn finished(task: &str, result: Dict) -> RunEvent {
    RunEvent::TaskFinished {
        group: name("train"),
        task: name(task),
        attempt: 1,
        device: Device::Cpu,
        load_time: Duration::from_millis(250),
        train_time: Duration::from_nanos(333_333_333),
        result,
    }
}

/// A run that was stopped in its second group.
pub(in crate::store) fn events() -> Vec<RunEvent> {
    let started = |group: &str, task: &str, attempt| RunEvent::TaskStarted {
        group: name(group),
        task: name(task),
        attempt,
        workdir: format!("/res/{group}/{task}"),
        reused: false,
    };
    let began = |group: &str, index, fingerprint, tasks: &[&str]| RunEvent::GroupStarted {
        group: name(group),
        index,
        workdir: format!("/res/{group}"),
        fingerprint,
        tasks: tasks.iter().map(|task| name(task)).collect(),
        fingerprints: Vec::new(),
        order: None,
        params: Vec::new(),
    };
    let outcome = |group: &str, task: &str, attempt, result| RunEvent::TaskFinished {
        group: name(group),
        task: name(task),
        attempt,
        device: Device::Cuda(1),
        load_time: Duration::from_millis(500),
        train_time: Duration::from_millis(1500),
        result,
    };
    let failure = Failure::new(Stage::Train, FailureKind::Killed, "killed by signal 9");
    let devices = vec![DeviceInfo { device: Device::Cpu, uuid: None, name: "CPU".into(), memory: None }];
    vec![
        RunEvent::RunStarted {
            flow: "sample".into(),
            workdir: "/res".into(),
            session: 1,
            devices,
            seed: 7,
            reopened: BTreeMap::new(),
            setup: None,
        },
        began("split", 1, 1, &["split"]),
        started("split", "split", 1),
        outcome("split", "split", 1, Dict::new()),
        RunEvent::GroupFinished { group: name("split"), finished: 1, failed: 0, cancelled: 0, skipped: 0 },
        began("train", 2, FINGERPRINT, &["client-1", "client-2", "client-3"]),
        started("train", "client-1", 1),
        RunEvent::TaskRetried {
            group: name("train"),
            task: name("client-1"),
            attempt: 1,
            device: None,
            error: failure.clone(),
            data_kept: false,
            delay: Duration::ZERO,
        },
        started("train", "client-1", 2),
        outcome("train", "client-1", 2, Dict::from([("accuracy", 0.5)])),
        started("train", "client-2", 1),
        RunEvent::TaskFailed {
            group: name("train"),
            task: name("client-2"),
            attempt: 1,
            device: Some(Device::Cpu),
            load_time: Some(Duration::from_millis(500)),
            train_time: None,
            error: failure,
        },
        RunEvent::RunFinished { outcome: RunOutcome::Stopped },
    ]
}

/// Any event that is kept.
pub(in crate::store) fn any_event() -> impl Strategy<Value = RunEvent> {
    let names = || "[a-zé0-9_(][a-zé0-9._-]{0,8}".prop_filter_map("no name", |text| Name::new(text).ok());
    // Within 48 days, a double tells every nanosecond.
    let time = || (0.0..4e6_f64).prop_map(Duration::from_secs_f64);
    let device = || prop_oneof![Just(Device::Cpu), any::<u32>().prop_map(Device::Cuda)];
    let of_task = || (names(), names(), 1_u32..);
    prop_oneof![
        ("\\PC{0,20}", any::<u32>(), any::<u64>()).prop_map(|(text, session, seed)| RunEvent::RunStarted {
            flow: text.clone(),
            workdir: text,
            session,
            devices: vec![DeviceInfo {
                device: Device::Cuda(1),
                uuid: Some("GPU-1".into()),
                name: "a \"card\"".into(),
                memory: Some(Size::from_bytes(seed)),
            }],
            seed,
            reopened: (seed % 2 == 0).then(|| (name("g"), vec![name("t")])).into_iter().collect(),
            setup: (seed % 3 == 0).then(|| Box::new(setup())),
        }),
        (names(), any::<u32>(), any::<u64>(), prop::collection::vec((names(), any_dict()), 0..5)).prop_map(
            |(group, index, fingerprint, tasks)| {
                let (tasks, params) = tasks.into_iter().unzip();
                RunEvent::GroupStarted {
                    group,
                    index,
                    workdir: "/res".into(),
                    fingerprint,
                    tasks,
                    fingerprints: Vec::new(),
                    params,
                    order: None,
                }
            }
        ),
        (of_task(), device(), any::<u32>(), prop::option::of(any::<u64>())).prop_map(
            |((group, task, attempt), device, slot, memory)| RunEvent::TaskTraining {
                group,
                task,
                attempt,
                device,
                slot,
                devices: vec![device; slot as usize % 3],
                memory: memory.map(Size::from_bytes),
                pin: (slot % 2 == 1).then(|| Box::new(Pin::Device(device))),
            }
        ),
        (of_task(), any::<String>(), any::<u64>(), prop::option::of(any::<u64>()), any::<bool>()).prop_map(
            |((group, task, attempt), family, asked, peak, on_card)| {
                let source = if on_card { EstimateSource::Learned } else { EstimateSource::Default };
                let memory =
                    MemoryUse { asked: Size::from_bytes(asked), source, peak: peak.map(Size::from_bytes) };
                let cuda_memory = on_card.then_some(memory);
                RunEvent::TaskMemory { group, task, attempt, family, memory, cuda_memory }
            }
        ),
        (of_task(), any::<String>(), any_value()).prop_map(|((group, task, attempt), key, value)| {
            RunEvent::TaskItem { group, task, attempt, key, value }
        }),
        (of_task(), device(), time(), time(), any_dict()).prop_map(
            |((group, task, attempt), device, load_time, train_time, result)| {
                RunEvent::TaskFinished { group, task, attempt, device, load_time, train_time, result }
            }
        ),
        (of_task(), prop::option::of(device()), prop::option::of(time()), any::<String>()).prop_map(
            |((group, task, attempt), device, load_time, text)| RunEvent::TaskFailed {
                group,
                task,
                attempt,
                device,
                load_time,
                train_time: load_time,
                error: Failure {
                    stderr_tail: text.clone(),
                    ..Failure::new(Stage::Load, FailureKind::Oom, text)
                },
            }
        ),
        (names(), any::<u64>()).prop_map(|(group, finished)| RunEvent::GroupFinished {
            group,
            finished,
            failed: 1,
            cancelled: 0,
            skipped: finished % 3,
        }),
        (names(), names(), any::<String>()).prop_map(|(group, task, reason)| RunEvent::TaskSkipped {
            group,
            task,
            reason
        }),
        Just(RunEvent::RunFinished { outcome: RunOutcome::Complete }),
    ]
}

fn any_dict() -> impl Strategy<Value = Dict> {
    let key = prop_oneof![any::<String>(), Just("$float".to_owned()), Just("crc".to_owned())];
    prop::collection::vec((key, any_value()), 0..4).prop_map(|pairs| pairs.into_iter().collect())
}

fn any_value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        Just(Value::Float(f64::NAN)),
        any::<String>().prop_map(Value::from),
        any::<Vec<u8>>().prop_map(Value::from),
    ];
    leaf.prop_recursive(3, 16, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::vec((any::<String>(), inner), 0..3)
                .prop_map(|pairs| Value::Dict(pairs.into_iter().collect())),
        ]
    })
}

pub(in crate::store) fn new_run(path: &Path) -> RunDir {
    create_run_dir(path).unwrap()
}

/// Writes a journal with the sample's head and these events.
pub(in crate::store) fn write_run(run: &RunDir, events: &[RunEvent]) {
    let lock = RunLock::acquire(run).unwrap();
    write(|notify| JournalWriter::create(&lock, &head(), notify).unwrap(), events);
}

/// Goes on with a journal that was read.
pub(in crate::store) fn append_to(run: &RunDir, recovered: &Recovered, events: &[RunEvent]) {
    let lock = RunLock::acquire(run).unwrap();
    write(|notify| JournalWriter::append(&lock, recovered, notify).unwrap(), events);
}

/// Writes events, and waits after each that must be durable until it is.
fn write(open: impl FnOnce(Notify) -> JournalWriter, events: &[RunEvent]) {
    let (told, notices) = channel();
    let mut writer = open(Box::new(move |notice| told.send(notice).unwrap()));
    for (number, event) in (1..).zip(events) {
        writer.record(number, Time::ZERO, event);
        if event.needs_durability() {
            writer.flush();
            while notices.recv().unwrap() != JournalNotice::Durable(number) {}
        }
    }
    // Until the thread has ended, which may have more to say.
    writer.finish().unwrap();
}

pub(in crate::store) fn edit_journal(run: &RunDir, edit: impl FnOnce(&mut Vec<u8>)) {
    let mut bytes = std::fs::read(run.journal()).unwrap();
    edit(&mut bytes);
    std::fs::write(run.journal(), bytes).unwrap();
}

#[expect(clippy::disallowed_methods, reason = "the tests' one place that creates processes")]
pub(in crate::store) fn command(program: impl AsRef<std::ffi::OsStr>) -> Command {
    Command::new(program)
}

/// This test binary, to run one test that plays a process of its own and is given a path.
pub(in crate::store) fn child(test: &str, argument: &Path) -> Command {
    let mut command = command(env::current_exe().unwrap());
    command.args(["--exact", test, "--nocapture"]).env(CHILD_ARGUMENT, argument);
    command
}

/// The same, run by the command that a given one ends with.
pub(in crate::store) fn pass_child(mut through: Command, test: &str, argument: &Path) -> Command {
    let child = child(test, argument);
    through.arg(child.get_program()).args(child.get_args()).env(CHILD_ARGUMENT, argument);
    through
}

/// The path that a test was given which plays a process of its own; `None` in an ordinary run.
#[expect(clippy::disallowed_methods, reason = "the tests' one place that reads the environment")]
pub(in crate::store) fn child_argument() -> Option<PathBuf> {
    env::var_os(CHILD_ARGUMENT).map(PathBuf::from)
}

fn name(text: &str) -> Name {
    Name::new(text).unwrap()
}
