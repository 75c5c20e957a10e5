//! Events of invented runs.

use std::time::Duration;

use fedflow_core::{Device, DeviceInfo, Dict, Failure, FailureKind, Name, RunEvent, Size, Stage, Value};

pub(crate) fn name(text: &str) -> Name {
    Name::new(text).unwrap()
}

pub(crate) fn card(ordinal: u32) -> DeviceInfo {
    DeviceInfo {
        device: Device::Cuda(ordinal),
        uuid: None,
        name: format!("Card {ordinal}"),
        memory: Some(Size::from_gb(24)),
    }
}

pub(crate) fn run_started(session: u32) -> RunEvent {
    RunEvent::RunStarted {
        flow: "flow".into(),
        workdir: "/res".into(),
        session,
        devices: vec![card(0), card(1)],
        seed: 7,
        reopened: std::collections::BTreeMap::new(),
        setup: None,
    }
}

pub(crate) fn group_started(group: &str, index: u32, tasks: &[&str]) -> RunEvent {
    RunEvent::GroupStarted {
        group: name(group),
        index,
        workdir: format!("/res/{group}"),
        fingerprint: 1,
        tasks: tasks.iter().map(|task| name(task)).collect(),
        fingerprints: Vec::new(),
        order: None,
        params: Vec::new(),
    }
}

pub(crate) fn started(group: &str, task: &str, attempt: u32) -> RunEvent {
    let workdir = format!("/res/{group}/{task}");
    RunEvent::TaskStarted { group: name(group), task: name(task), attempt, workdir, reused: false }
}

pub(crate) fn loading(group: &str, task: &str, attempt: u32) -> RunEvent {
    RunEvent::TaskLoading { group: name(group), task: name(task), attempt, startup_time: None }
}

pub(crate) fn loaded(group: &str, task: &str, attempt: u32, seconds: f64) -> RunEvent {
    let load_time = Duration::from_secs_f64(seconds);
    RunEvent::TaskLoaded { group: name(group), task: name(task), attempt, load_time }
}

pub(crate) fn training(group: &str, task: &str, attempt: u32, card: u32) -> RunEvent {
    RunEvent::TaskTraining {
        group: name(group),
        task: name(task),
        attempt,
        device: Device::Cuda(card),
        slot: 0,
        devices: Vec::new(),
        memory: None,
        pin: None,
    }
}

pub(crate) fn item(group: &str, task: &str, key: &str, value: impl Into<Value>) -> RunEvent {
    let (key, value) = (key.into(), value.into());
    RunEvent::TaskItem { group: name(group), task: name(task), attempt: 1, key, value }
}

pub(crate) fn released(group: &str, task: &str, attempt: u32, seconds: f64) -> RunEvent {
    let train_time = Duration::from_secs_f64(seconds);
    RunEvent::TaskReleased { group: name(group), task: name(task), attempt, train_time }
}

pub(crate) fn finished(group: &str, task: &str, attempt: u32, result: Dict) -> RunEvent {
    RunEvent::TaskFinished {
        group: name(group),
        task: name(task),
        attempt,
        device: Device::Cuda(0),
        load_time: Duration::from_millis(500),
        train_time: Duration::from_millis(2250),
        result,
    }
}

pub(crate) fn failed(group: &str, task: &str, error: Failure) -> RunEvent {
    RunEvent::TaskFailed {
        group: name(group),
        task: name(task),
        attempt: 1,
        device: None,
        load_time: None,
        train_time: None,
        error,
    }
}

pub(crate) fn cancelled(group: &str, task: &str) -> RunEvent {
    failed(group, task, Failure::new(Stage::Train, FailureKind::Cancelled, "the run was stopped"))
}

pub(crate) fn retried(group: &str, task: &str, attempt: u32, data_kept: bool) -> RunEvent {
    RunEvent::TaskRetried {
        group: name(group),
        task: name(task),
        attempt,
        device: Some(Device::Cuda(0)),
        error: Failure::new(Stage::Train, FailureKind::Oom, "out of memory"),
        data_kept,
        delay: Duration::ZERO,
    }
}

pub(crate) fn exited(group: &str, task: &str, attempt: u32) -> RunEvent {
    RunEvent::TaskExited { group: name(group), task: name(task), attempt }
}

pub(crate) fn group_finished(group: &str) -> RunEvent {
    RunEvent::GroupFinished { group: name(group), finished: 0, failed: 0, cancelled: 0, skipped: 0 }
}
