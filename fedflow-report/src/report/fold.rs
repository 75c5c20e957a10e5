//! The fold: how each event changes a report.

use std::collections::HashMap;

use fedflow_core::{Device, Dict, Failure, Name, RunEvent, Value};

use crate::report::attempt::{Attempt, Lane, Measured, Retry};
use crate::report::item_series::push_item;
use crate::report::task_index::TaskPlaces;
use crate::report::{GroupReport, Outcome, Report, Session, TaskReport, Workdir};

impl Report {
    /// Takes one event. `unix_time` is when it happened, in seconds since the Unix epoch.
    ///
    /// The events may be those of several sessions, one after the other, as after a resume. Nothing that is told
    /// can be wrong: a group or a task that nobody announced is added, and what contradicts itself does no harm.
    pub fn apply(&mut self, unix_time: f64, event: &RunEvent) {
        if let RunEvent::RunStarted { flow, workdir, session, devices, seed } = event {
            let started = self.plausible(unix_time);
            self.close_session();
            self.flow.clone_from(flow);
            self.workdir.clone_from(workdir);
            self.devices.clone_from(devices);
            self.seed = Some(*seed);
            self.sessions.push(Session { number: *session, started, last: started, outcome: None });
            return;
        }
        let time = self.in_session(unix_time);
        match event {
            RunEvent::GroupStarted { group, index, workdir, fingerprint, tasks } => {
                self.on_group_started(group, *index, workdir, *fingerprint, tasks, time);
            }
            RunEvent::GroupFinished { group, .. } => self.group_mut(group).finished = Some(time),
            RunEvent::RunFinished { outcome } => {
                if let Some(session) = self.sessions.last_mut() {
                    session.outcome = Some(outcome.clone());
                }
            }
            event => {
                if let Some((group, task, number)) = event.task() {
                    let session = self.sessions.len() - 1;
                    let group = self.group_mut(group);
                    if let RunEvent::TaskStarted { workdir, .. } = event {
                        group.starts_in(task, workdir);
                    }
                    group.task_mut(task).apply(session, time, number, event);
                }
            }
        }
    }

    /// A time that is no number, or none that a calendar has, is taken to be the last one that was told.
    fn plausible(&self, unix_time: f64) -> f64 {
        if unix_time.is_finite() && (0.0..1e11).contains(&unix_time) {
            unix_time
        } else {
            self.sessions.last().map_or(0.0, |session| session.last)
        }
    }

    /// Notes that something happened in the current session; begins one if nobody did.
    fn in_session(&mut self, unix_time: f64) -> f64 {
        let time = self.plausible(unix_time);
        if self.sessions.is_empty() {
            self.sessions.push(Session { number: 1, started: time, last: time, outcome: None });
        }
        let Some(session) = self.sessions.last_mut() else { return time };
        let time = time.max(session.started);
        session.last = session.last.max(time);
        time
    }

    /// What was under way when a session was cut off ended with it.
    fn close_session(&mut self) {
        let Some(last) = self.sessions.last().map(|session| session.last) else { return };
        let tries =
            self.groups.iter_mut().flat_map(|group| &mut group.tasks).flat_map(|task| &mut task.tries);
        for attempt in tries.filter(|attempt| attempt.ended.is_none()) {
            attempt.ended = Some(last);
        }
    }

    fn on_group_started(
        &mut self,
        name: &Name,
        index: u32,
        workdir: &str,
        fingerprint: u64,
        tasks: &[Name],
        time: f64,
    ) {
        let group = self.group_mut(name);
        if group.fingerprint.is_some_and(|recorded| recorded != fingerprint) {
            // Another group under the same name: what was recorded does not stand for it.
            *group = GroupReport::new(name.clone());
        }
        group.index = index;
        group.workdir = workdir.to_owned();
        group.fingerprint = Some(fingerprint);
        group.started = group.started.or(Some(time));
        group.finished = None;
        group.put_in_order(tasks);
        if !self.groups.is_sorted_by_key(|group| group.order()) {
            self.groups.sort_by_key(GroupReport::order);
            self.places =
                self.groups.iter().enumerate().map(|(place, group)| (group.name.clone(), place)).collect();
        }
    }

    fn group_mut(&mut self, name: &Name) -> &mut GroupReport {
        let place = *self.places.entry(name.clone()).or_insert_with(|| {
            self.groups.push(GroupReport::new(name.clone()));
            self.groups.len() - 1
        });
        &mut self.groups[place]
    }
}

impl GroupReport {
    /// A group that was never announced comes last.
    fn order(&self) -> u32 {
        if self.index == 0 { u32::MAX } else { self.index }
    }

    /// The tasks in the order in which they were added; those that nobody announced come last.
    fn put_in_order(&mut self, tasks: &[Name]) {
        let mut known: HashMap<Name, TaskReport> = HashMap::with_capacity(self.tasks.len());
        let mut order = Vec::with_capacity(self.tasks.len());
        for task in self.tasks.drain(..) {
            order.push(task.id.clone());
            known.insert(task.id.clone(), task);
        }
        self.places = TaskPlaces::with_capacity(tasks.len());
        self.tasks.reserve_exact(tasks.len().max(order.len()));
        for id in tasks.iter().chain(&order) {
            self.places.find_or_push(&mut self.tasks, id, |id| {
                known.remove(id).unwrap_or_else(|| TaskReport::new(id.clone()))
            });
        }
    }

    fn task_mut(&mut self, id: &Name) -> &mut TaskReport {
        let place = self.places.find_or_push(&mut self.tasks, id, |id| TaskReport::new(id.clone()));
        &mut self.tasks[place]
    }

    fn starts_in(&mut self, id: &Name, workdir: &str) {
        let inside = workdir.strip_prefix(self.workdir.as_str()).and_then(|inside| inside.strip_prefix('/'));
        let workdir =
            if inside == Some(id.as_str()) { Workdir::InGroup } else { Workdir::Elsewhere(workdir.into()) };
        self.task_mut(id).workdir = workdir;
    }
}

impl TaskReport {
    fn apply(&mut self, session: usize, time: f64, number: u32, event: &RunEvent) {
        self.attempts = self.attempts.max(number);
        match event {
            RunEvent::TaskStarted { reused, .. } => self.on_started(session, time, number, *reused),
            RunEvent::TaskLoading { .. } => {
                self.running(session, time, number, |attempt| attempt.loading).loading = Some(time);
            }
            RunEvent::TaskLoaded { load_seconds, .. } => {
                self.load_seconds = Some(*load_seconds);
                self.running(session, time, number, |attempt| attempt.loaded).loaded = Some(time);
            }
            RunEvent::TaskTraining { device, slot, devices, memory, .. } => {
                self.device = Some(*device);
                let attempt = self.running(session, time, number, |attempt| attempt.training);
                attempt.training = Some(time);
                attempt.lane = Some(Lane { device: *device, slot: *slot });
                attempt.devices = devices.as_slice().into();
                attempt.memory = *memory;
            }
            RunEvent::TaskItem { key, value, .. } => self.on_item(time, key, value),
            RunEvent::TaskReleased { train_seconds, .. } => {
                self.train_seconds = Some(*train_seconds);
                if let Some(attempt) = self.told_of(number) {
                    attempt.released = attempt.training.map(|training| training.max(time));
                }
            }
            RunEvent::TaskFinished { device, load_seconds, train_seconds, result, .. } => {
                self.on_finished(time, number, *device, (*load_seconds, *train_seconds), result);
            }
            RunEvent::TaskFailed { device, load_seconds, train_seconds, error, .. } => {
                self.device = device.or(self.device);
                self.load_seconds = load_seconds.or(self.load_seconds);
                self.train_seconds = train_seconds.or(self.train_seconds);
                self.outcome = Some(Outcome::Failed(Box::new(error.clone())));
                self.on_ended(time, number, Some(error));
            }
            RunEvent::TaskRetried { error, data_kept, delay_seconds, .. } => {
                self.on_ended(time, number, Some(error));
                let retry = Retry { at: time, data_kept: *data_kept, delay_seconds: *delay_seconds };
                if let Some(attempt) = self.told_of(number) {
                    attempt.retry = Some(retry);
                }
            }
            RunEvent::TaskMemory { family, memory, cuda_memory, .. } => {
                if let Some(attempt) = self.told_of(number) {
                    let measured = Measured { family: family.clone(), host: *memory, card: *cuda_memory };
                    attempt.measured = Some(Box::new(measured));
                }
            }
            RunEvent::TaskExited { .. } => self.on_ended(time, number, None),
            // A report has no use for how far a training was.
            RunEvent::TaskProgress { .. }
            | RunEvent::RunStarted { .. }
            | RunEvent::GroupStarted { .. }
            | RunEvent::GroupFinished { .. }
            | RunEvent::RunFinished { .. } => {}
        }
    }

    fn on_started(&mut self, session: usize, time: f64, number: u32, reused: bool) {
        // It had an outcome in an earlier session and is done again: the old outcome does not count.
        self.outcome = None;
        self.device = None;
        self.load_seconds = None;
        self.train_seconds = None;
        self.items.clear();
        if let Some(attempt) = self.tries.last_mut() {
            attempt.ended = attempt.ended.or(Some(time));
        }
        self.begin(Attempt { reused, ..Attempt::new(number, session, time) });
    }

    fn begin(&mut self, attempt: Attempt) {
        // Nearly all tasks have one try: a vector that grows would make room for four.
        self.tries.reserve_exact(1);
        self.tries.push(attempt);
    }

    fn on_item(&mut self, time: f64, key: &str, value: &Value) {
        let since = self.tries.last().map(|attempt| attempt.training.unwrap_or(attempt.started));
        push_item(&mut self.items, key, since.map_or(0.0, |since| (time - since).max(0.0)), value);
    }

    fn on_finished(&mut self, time: f64, number: u32, device: Device, seconds: (f64, f64), result: &Dict) {
        self.device = Some(device);
        self.load_seconds = Some(seconds.0);
        self.train_seconds = Some(seconds.1);
        self.outcome = Some(Outcome::Finished(result.clone()));
        self.on_ended(time, number, None);
    }

    fn on_ended(&mut self, time: f64, number: u32, failure: Option<&Failure>) {
        if let Some(attempt) = self.told_of(number) {
            attempt.ended = attempt.ended.or(Some(time));
            if failure.is_some() {
                attempt.failure = failure.cloned().map(Box::new);
            }
        }
    }

    /// The latest try with this number.
    fn told_of(&mut self, number: u32) -> Option<&mut Attempt> {
        self.tries.iter_mut().rev().find(|attempt| attempt.number == number)
    }

    /// The try that a phase begins in: the latest one, unless it is over, has another number or has had this
    /// phase already. A task that kept its data trains again in the same process: its next try begins loaded.
    fn running(
        &mut self,
        session: usize,
        time: f64,
        number: u32,
        had_phase: fn(&Attempt) -> Option<f64>,
    ) -> &mut Attempt {
        let goes_on = self.tries.last().is_some_and(|attempt| {
            attempt.number == number
                && attempt.session == session
                && attempt.ended.is_none()
                && had_phase(attempt).is_none()
        });
        if !goes_on {
            let kept = self.tries.last().and_then(|attempt| {
                attempt.retry.filter(|retry| retry.data_kept && attempt.session == session)
            });
            let since = kept.map_or(time, |retry| (retry.at + retry.delay_seconds.max(0.0)).min(time));
            let mut attempt = Attempt::new(number, session, since);
            attempt.loaded = kept.map(|_| since);
            self.begin(attempt);
        }
        let last = self.tries.len() - 1;
        &mut self.tries[last]
    }
}
