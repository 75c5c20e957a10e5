//! Made-up events for the tests of the views.

use std::time::Duration;

use fedflow_core::{
    Device, DeviceInfo, Dict, Failure, FailureKind, Name, RunEvent, RunOutcome, Stage, Time, Value,
};

pub(super) fn at(seconds: u64) -> Time {
    Time::after(Duration::from_secs(seconds))
}

pub(super) fn name(text: &str) -> Name {
    Name::new(text).unwrap()
}

pub(super) fn run_started() -> RunEvent {
    let slot = DeviceInfo { device: Device::Cpu, uuid: None, name: "CPU slot".into(), memory: None };
    RunEvent::RunStarted {
        flow: "digits".into(),
        workdir: "/res".into(),
        session: 1,
        devices: vec![slot.clone(), slot],
        seed: 7,
        reopened: std::collections::BTreeMap::new(),
        setup: None,
    }
}

pub(super) fn group_started(group: &str, tasks: u64) -> RunEvent {
    RunEvent::GroupStarted {
        group: name(group),
        index: 1,
        workdir: format!("/res/{group}"),
        fingerprint: 5,
        tasks: (0..tasks).map(Name::from).collect(),
        fingerprints: Vec::new(),
        params: Vec::new(),
        order: None,
    }
}

pub(super) fn started(group: &str, task: &str, attempt: u32) -> RunEvent {
    let workdir = format!("/res/{group}/{task}");
    RunEvent::TaskStarted { group: name(group), task: name(task), attempt, workdir, reused: false }
}

pub(super) fn loading(group: &str, task: &str, attempt: u32) -> RunEvent {
    RunEvent::TaskLoading { group: name(group), task: name(task), attempt, startup_time: None }
}

pub(super) fn loaded(group: &str, task: &str, attempt: u32) -> RunEvent {
    RunEvent::TaskLoaded {
        group: name(group),
        task: name(task),
        attempt,
        load_time: Duration::from_millis(250),
    }
}

pub(super) fn training(group: &str, task: &str, attempt: u32, device: Device) -> RunEvent {
    RunEvent::TaskTraining {
        group: name(group),
        task: name(task),
        attempt,
        device,
        slot: 0,
        devices: Vec::new(),
        memory: None,
        pin: None,
    }
}

pub(super) fn progress(group: &str, task: &str, attempt: u32, done: u64, total: u64) -> RunEvent {
    RunEvent::TaskProgress { group: name(group), task: name(task), attempt, done, total }
}

pub(super) fn item(group: &str, task: &str, value: impl Into<Value>) -> RunEvent {
    let (key, value) = ("loss".into(), value.into());
    RunEvent::TaskItem { group: name(group), task: name(task), attempt: 1, key, value }
}

pub(super) fn finished(group: &str, task: &str, attempt: u32) -> RunEvent {
    finished_with(group, task, attempt, Dict::from([("accuracy", 0.5)]))
}

pub(super) fn finished_with(group: &str, task: &str, attempt: u32, result: Dict) -> RunEvent {
    RunEvent::TaskFinished {
        group: name(group),
        task: name(task),
        attempt,
        device: Device::Cpu,
        load_time: Duration::from_millis(250),
        train_time: Duration::from_millis(1500),
        result,
    }
}

pub(super) fn failure(kind: FailureKind, message: &str, stderr_tail: &str) -> Failure {
    Failure { stderr_tail: stderr_tail.into(), ..Failure::new(Stage::Train, kind, message) }
}

pub(super) fn failed(group: &str, task: &str, attempt: u32, message: &str) -> RunEvent {
    failed_with(group, task, attempt, failure(FailureKind::Error, message, ""))
}

pub(super) fn failed_with(group: &str, task: &str, attempt: u32, error: Failure) -> RunEvent {
    RunEvent::TaskFailed {
        group: name(group),
        task: name(task),
        attempt,
        device: Some(Device::Cuda(0)),
        load_time: Some(Duration::from_millis(250)),
        train_time: Some(Duration::from_secs(3)),
        error,
    }
}

pub(super) fn retried(group: &str, task: &str, attempt: u32, data_kept: bool) -> RunEvent {
    RunEvent::TaskRetried {
        group: name(group),
        task: name(task),
        attempt,
        device: Some(Device::Cuda(0)),
        error: failure(FailureKind::Oom, "no room for 2GB", ""),
        data_kept,
        delay: Duration::from_secs(2),
    }
}

pub(super) fn group_finished(group: &str, finished: u64, failed: u64, cancelled: u64) -> RunEvent {
    RunEvent::GroupFinished { group: name(group), finished, failed, cancelled, skipped: 0 }
}

pub(super) fn run_finished(outcome: RunOutcome) -> RunEvent {
    RunEvent::RunFinished { outcome }
}
