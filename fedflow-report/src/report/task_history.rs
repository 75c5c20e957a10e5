//! `TaskHistory`: what a report keeps of a task beside its progress: its attempts, its times and its items.

use fedflow_core::{Failure, FailureKind, Moment, RunEvent, Stage, TaskNotes, TaskProgress, Value};

use crate::report::attempt::{Attempt, ChartRow, Measured, Retry};
use crate::report::item_series::{ItemSeries, push_item};

/// What a report keeps of a task beside its progress.
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub struct TaskHistory {
    /// How long `load` took in the latest attempt, in seconds; none if it has not returned.
    pub load_seconds: Option<f64>,
    /// How long `train` took in the latest attempt, in seconds; none if it has not returned.
    pub train_seconds: Option<f64>,
    /// Every attempt at the task, those of earlier sessions included.
    pub all_attempts: Vec<Attempt>,
    /// The items that the task set while it trained, in the latest attempt.
    pub items: Vec<ItemSeries>,
}

// A run may have a million tasks.
const _: () =
    assert!(size_of::<TaskProgress<TaskHistory>>() <= 160, "what is kept of a task grows: box what is rare");

impl TaskNotes for TaskHistory {
    fn apply(&mut self, moment: Moment, event: &RunEvent) {
        let Some((_, _, number)) = event.task() else { return };
        let time = moment.time;
        match event {
            RunEvent::TaskStarted { reused, .. } => self.on_started(moment, number, *reused),
            RunEvent::TaskLoading { .. } => {
                self.running(moment, number, |attempt| attempt.loading).loading = Some(time);
            }
            RunEvent::TaskLoaded { load_seconds, .. } => {
                self.load_seconds = Some(*load_seconds);
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
            RunEvent::TaskReleased { train_seconds, .. } => {
                self.train_seconds = Some(*train_seconds);
                if let Some(attempt) = self.latest(number) {
                    attempt.released = attempt.training.map(|training| training.max(time));
                }
            }
            RunEvent::TaskFinished { load_seconds, train_seconds, .. } => {
                self.load_seconds = Some(*load_seconds);
                self.train_seconds = Some(*train_seconds);
                self.on_ended(time, number, None);
            }
            RunEvent::TaskFailed { load_seconds, train_seconds, error, .. } => {
                self.load_seconds = load_seconds.or(self.load_seconds);
                self.train_seconds = train_seconds.or(self.train_seconds);
                self.on_ended(time, number, Some(error));
            }
            RunEvent::TaskRetried { error, data_kept, delay_seconds, .. } => {
                self.on_ended(time, number, Some(error));
                let retry = Retry { at: time, data_kept: *data_kept, delay_seconds: *delay_seconds };
                if let Some(attempt) = self.latest(number) {
                    attempt.retry = Some(retry);
                }
            }
            RunEvent::TaskMemory { family, memory, cuda_memory, .. } => {
                if let Some(attempt) = self.latest(number) {
                    let measured = Measured { family: family.clone(), host: *memory, card: *cuda_memory };
                    attempt.measured = Some(Box::new(measured));
                }
            }
            RunEvent::TaskExited { .. } => self.on_ended(time, number, None),
            // A report does not show how far a training has come.
            RunEvent::TaskProgress { .. }
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
        self.load_seconds = None;
        self.train_seconds = None;
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
        push_item(&mut self.items, key, since.map_or(0.0, |since| (time - since).max(0.0)), value);
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
                attempt.retry.filter(|retry| retry.data_kept && attempt.session == session)
            });
            let since = kept.map_or(time, |retry| (retry.at + retry.delay_seconds.max(0.0)).min(time));
            let mut attempt = Attempt::new(number, session, since);
            attempt.loaded = kept.map(|_| since);
            self.begin(attempt);
        }
        let last = self.all_attempts.len() - 1;
        &mut self.all_attempts[last]
    }
}
