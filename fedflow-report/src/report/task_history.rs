//! `TaskHistory`: what a report keeps of a task beside its progress: its attempts, its times and its items.

use std::time::Duration;

use fedflow_core::{Failure, FailureKind, Moment, RunEvent, Stage, TaskNotes, TaskProgress, Value};

use crate::report::attempt::{Attempt, ChartRow, Measured, Retry};
use crate::report::item_series::{ItemSeries, push_item};

/// What a report keeps of a task beside its progress.
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub struct TaskHistory {
    /// How long `load` took in the latest attempt; none if it has not returned.
    pub load_time: Option<Duration>,
    /// How long `train` took in the latest attempt; none if it has not returned.
    pub train_time: Option<Duration>,
    /// Every attempt at the task, those of earlier sessions included.
    pub all_attempts: Vec<Attempt>,
    /// The items that the task set while it trained, in the latest attempt.
    pub items: Vec<ItemSeries>,
}

// A run may have a million tasks.
const _: () =
    assert!(size_of::<TaskProgress<TaskHistory>>() <= 168, "what is kept of a task grows: box what is rare");

impl TaskNotes for TaskHistory {
    fn apply(&mut self, moment: Moment, event: &RunEvent) {
        let Some((_, _, number)) = event.task() else { return };
        let time = moment.time;
        match event {
            RunEvent::TaskStarted { reused, .. } => self.on_started(moment, number, *reused),
            RunEvent::TaskLoading { .. } => {
                self.running(moment, number, |attempt| attempt.loading).loading = Some(time);
            }
            RunEvent::TaskLoaded { load_time, .. } => {
                self.load_time = Some(*load_time);
                self.running(moment, number, |attempt| attempt.loaded).loaded = Some(time);
            }
            RunEvent::TaskTraining { device, slot, devices, memory, .. } => {
                let attempt = self.running(moment, number, |attempt| attempt.training);
                attempt.training = Some(time);
                attempt.row = Some(ChartRow { device: *device, slot: *slot });
                attempt.devices = devices.as_slice().into();
                attempt.memory = *memory;
            }
            RunEvent::TaskItem { key, value, .. } => self.on_item(time, key, value),
            RunEvent::TaskReleased { train_time, .. } => {
                self.train_time = Some(*train_time);
                if let Some(attempt) = self.latest(number) {
                    attempt.released = attempt.training.map(|training| training.max(time));
                }
            }
            RunEvent::TaskFinished { load_time, train_time, .. } => {
                self.load_time = Some(*load_time);
                self.train_time = Some(*train_time);
                self.on_ended(time, number, None);
            }
            RunEvent::TaskFailed { load_time, train_time, error, .. } => {
                self.load_time = load_time.or(self.load_time);
                self.train_time = train_time.or(self.train_time);
                self.on_ended(time, number, Some(error));
            }
            RunEvent::TaskRetried { error, data_kept, delay, .. } => {
                self.on_ended(time, number, Some(error));
                let retry = Retry { at: time, data_kept: *data_kept, delay: *delay };
                if let Some(attempt) = self.latest(number) {
                    attempt.retry = Some(Box::new(retry));
                }
            }
            RunEvent::TaskMemory { family, memory, cuda_memory, .. } => {
                if let Some(attempt) = self.latest(number) {
                    let measured = Measured { family: family.clone(), host: *memory, card: *cuda_memory };
                    attempt.measured = Some(Box::new(measured));
                }
            }
            RunEvent::TaskLeftRunning { left, .. } => {
                if let Some(attempt) = self.latest(number) {
                    attempt.left_running = Some(Box::new(left.clone()));
                }
            }
            RunEvent::TaskExited { .. } => self.on_ended(time, number, None),
            // A report does not show how far a training has come. What is skipped has no attempt.
            RunEvent::TaskProgress { .. }
            | RunEvent::TaskSkipped { .. }
            | RunEvent::RunStarted { .. }
            | RunEvent::GroupStarted { .. }
            | RunEvent::GroupFinished { .. }
            | RunEvent::RunFinished { .. } => {}
        }
    }

    fn end_session(&mut self, time: f64) {
        for attempt in self.all_attempts.iter_mut().filter(|attempt| attempt.ended.is_none()) {
            attempt.ended = Some(time);
        }
    }
}

impl TaskHistory {
    /// The attempts that failed and were retried. One that only made room for another task before it could train did
    /// not fail.
    pub fn retries(&self) -> impl Iterator<Item = &Attempt> {
        let made_room = |attempt: &Attempt| {
            attempt.failure.as_ref().is_some_and(|failure| failure.kind == FailureKind::Cancelled)
        };
        self.all_attempts.iter().filter(move |attempt| attempt.retry.is_some() && !made_room(attempt))
    }

    /// The memory of the last attempt of which any was measured.
    #[must_use]
    pub fn measured(&self) -> Option<&Measured> {
        self.all_attempts.iter().rev().find_map(|attempt| attempt.measured.as_deref())
    }

    /// The stage that a task without an outcome had reached.
    #[must_use]
    pub fn stage(&self) -> Stage {
        match self.all_attempts.last() {
            Some(attempt) if attempt.training.is_some() => Stage::Train,
            Some(attempt) if attempt.loaded.is_some() => Stage::Wait,
            Some(attempt) if attempt.loading.is_some() => Stage::Load,
            _ => Stage::Start,
        }
    }

    fn on_started(&mut self, moment: Moment, number: u32, reused: bool) {
        // The times and items of an earlier session do not count for a task that is done again.
        self.load_time = None;
        self.train_time = None;
        self.items.clear();
        if let Some(attempt) = self.all_attempts.last_mut() {
            attempt.ended = attempt.ended.or(Some(moment.time));
        }
        self.begin(Attempt { reused, ..Attempt::new(number, moment.session, moment.time) });
    }

    fn begin(&mut self, attempt: Attempt) {
        // Nearly all tasks have one attempt, and a vector that grows makes room for four.
        self.all_attempts.reserve_exact(1);
        self.all_attempts.push(attempt);
    }

    fn on_item(&mut self, time: f64, key: &str, value: &Value) {
        let since = self.all_attempts.last().map(|attempt| attempt.training.unwrap_or(attempt.started));
        let since_train =
            since.and_then(|since| Duration::try_from_secs_f64(time - since).ok()).unwrap_or_default();
        push_item(&mut self.items, key, since_train, value);
    }

    fn on_ended(&mut self, time: f64, number: u32, failure: Option<&Failure>) {
        if let Some(attempt) = self.latest(number) {
            attempt.ended = attempt.ended.or(Some(time));
            if failure.is_some() {
                attempt.failure = failure.cloned().map(Box::new);
            }
        }
    }

    /// The latest attempt with this number.
    fn latest(&mut self, number: u32) -> Option<&mut Attempt> {
        self.all_attempts.iter_mut().rev().find(|attempt| attempt.number == number)
    }

    /// The attempt in which a phase begins: the latest one, or a new one if that has ended, has another number or has had
    /// this phase. A task that kept its data trains again in the same process, so its next attempt begins loaded.
    fn running(
        &mut self,
        Moment { session, time }: Moment,
        number: u32,
        had_phase: fn(&Attempt) -> Option<f64>,
    ) -> &mut Attempt {
        let goes_on = self.all_attempts.last().is_some_and(|attempt| {
            attempt.number == number
                && attempt.session == session
                && attempt.ended.is_none()
                && had_phase(attempt).is_none()
        });
        if !goes_on {
            let kept = self.all_attempts.last().and_then(|attempt| {
                attempt
                    .retry
                    .as_deref()
                    .copied()
                    .filter(|retry| retry.data_kept && attempt.session == session)
            });
            let since = kept.map_or(time, |retry| (retry.at + retry.delay.as_secs_f64()).min(time));
            let mut attempt = Attempt::new(number, session, since);
            attempt.loaded = kept.map(|_| since);
            self.begin(attempt);
        }
        let last = self.all_attempts.len() - 1;
        &mut self.all_attempts[last]
    }
}
