//! `TaskProgress`: how far a task has come.

use std::fmt;
use std::ops::Deref;

use crate::model::device::Device;
use crate::model::name::Name;
use crate::model::name_index::Named;
use crate::model::outcome::failure::{Failure, FailureKind, Stage};
use crate::model::run_event::RunEvent;
use crate::model::value::Dict;

/// How far a task has come. What the user of the fold keeps of it beside this, its notes `N`, is read as if it stood
/// in here.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct TaskProgress<N = ()> {
    /// Its identifier.
    pub id: Name,
    /// Its parameters, as far as they are told: where it stands in an experiment. Empty in journals of earlier versions.
    pub params: Dict,
    /// The highest number of an attempt so far; 0 if there was none.
    pub attempts: u32,
    /// Where its process is; `None` if it has no process.
    pub phase: Option<TaskPhase>,
    /// When it came to this phase, in seconds since the Unix epoch. It means nothing without a phase.
    pub since: f64,
    /// The device of its latest training; `None` if its latest attempt has not trained.
    pub device: Option<Device>,
    /// How it ended; `None` if it has not. The first outcome stands, until the task is opened again or
    /// started anew.
    pub outcome: Option<TaskOutcome>,
    was_retried: bool,
    /// Whether its latest attempt began in this session, and has neither trained nor come to an end.
    only_waits: bool,
    has_only_waited: bool,
    workdir: Workdir,
    notes: N,
}

/// What a user of [`RunProgress`](crate::RunProgress) keeps of each task, beside its progress.
pub trait TaskNotes: Default {
    /// Takes an event of the task.
    fn apply(&mut self, moment: Moment, event: &RunEvent);

    /// The session that was going on has ended, or was cut off, at `time`; another one begins. No process is left.
    fn end_session(&mut self, time: f64) {
        let _ = time;
    }
}

/// When something happened.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Moment {
    /// The session's place among those of the run, from 0.
    pub session: usize,
    /// Seconds since the Unix epoch.
    pub time: f64,
}

/// Where the process of a task is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum TaskPhase {
    /// It is being started, or waits until it may load. Events do not tell one from the other.
    Starting,
    /// It reads its data.
    Loading,
    /// It has loaded and waits for a device.
    Waiting,
    /// It trains.
    Training,
    /// It has trained, and its process is still there.
    Ending,
}

/// How a task ended.
#[derive(Debug, Clone, PartialEq)]
pub enum TaskOutcome {
    /// With a result.
    Finished(Dict),
    /// Without a result: it failed for good, was cancelled or skipped.
    Failed(Box<Failure>),
}

/// How a task ended, in one word.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum OutcomeKind {
    /// It failed for good.
    Exception,
    /// It was cancelled.
    Cancelled,
    /// It was not to be run, which is no failure.
    Skipped,
    /// It has not ended.
    Open,
    /// It has its result.
    Finished,
}

/// The directory of a task. Nearly all tasks work in the directory of their group that has their name, which takes no
/// memory.
#[derive(Debug, Clone, Default)]
pub(super) enum Workdir {
    #[default]
    None,
    InGroup,
    Elsewhere(Box<str>),
}

impl<N: TaskNotes> TaskProgress<N> {
    pub(super) fn new(id: Name) -> Self {
        Self {
            id,
            params: Dict::new(),
            attempts: 0,
            phase: None,
            since: 0.0,
            device: None,
            outcome: None,
            was_retried: false,
            only_waits: false,
            has_only_waited: false,
            workdir: Workdir::None,
            notes: N::default(),
        }
    }

    /// The task of this name in a group that is made of something else. The attempts are counted on, as their
    /// directories are there.
    pub(super) fn begin_anew(self) -> Self {
        Self { attempts: self.attempts, ..Self::new(self.id) }
    }

    /// Takes an event of this task, whose group lies in a directory.
    pub(super) fn apply(&mut self, moment: Moment, attempt: u32, event: &RunEvent, group_workdir: &str) {
        self.attempts = self.attempts.max(attempt);
        self.only_waits &= !is_more_than_waiting(event);
        let mut enter = |phase| (self.phase, self.since) = (Some(phase), moment.time);
        match event {
            RunEvent::TaskStarted { workdir, .. } => {
                enter(TaskPhase::Starting);
                self.workdir = Workdir::of(&self.id, workdir, group_workdir);
                // An outcome of an earlier session does not count for a task that is done again.
                (self.outcome, self.device) = (None, None);
                (self.only_waits, self.has_only_waited) = (true, false);
            }
            RunEvent::TaskLoading { .. } => enter(TaskPhase::Loading),
            RunEvent::TaskLoaded { .. } => enter(TaskPhase::Waiting),
            RunEvent::TaskTraining { device, .. } => {
                enter(TaskPhase::Training);
                self.device = Some(*device);
            }
            RunEvent::TaskReleased { .. } => enter(TaskPhase::Ending),
            RunEvent::TaskRetried { data_kept, error, .. } => {
                if *data_kept {
                    enter(TaskPhase::Waiting);
                }
                // One that only made room for another task has not failed.
                self.was_retried |= error.kind != FailureKind::Cancelled;
            }
            RunEvent::TaskFinished { device, result, .. } if self.outcome.is_none() => {
                self.device = Some(*device);
                self.outcome = Some(TaskOutcome::Finished(result.clone()));
            }
            RunEvent::TaskFailed { device, error, .. } if self.outcome.is_none() => {
                self.device = device.or(self.device);
                self.outcome = Some(TaskOutcome::Failed(Box::new(error.clone())));
            }
            RunEvent::TaskSkipped { reason, .. } if self.outcome.is_none() => {
                // What had loaded ahead counts no attempt.
                self.attempts = self.attempts.saturating_sub(u32::from(self.only_waits));
                (self.only_waits, self.phase) = (false, None);
                let skipped = Failure::new(Stage::Start, FailureKind::Skipped, reason);
                self.outcome = Some(TaskOutcome::Failed(Box::new(skipped)));
            }
            // The process of an earlier attempt may be gone late.
            RunEvent::TaskExited { .. } if attempt == self.attempts => self.phase = None,
            _ => {}
        }
        self.notes.apply(moment, event);
    }

    /// The run was stopped in order. An attempt that had neither trained nor failed does not count.
    pub(super) fn stop(&mut self) {
        self.has_only_waited |= self.only_waits;
    }

    /// No process of an earlier session is left when another one begins.
    pub(super) fn end_session(&mut self, time: f64) {
        self.phase = None;
        self.only_waits = false;
        self.notes.end_session(time);
    }
}

impl<N> TaskProgress<N> {
    /// Whether it has its outcome and its process is gone, so that nothing more comes of it.
    #[must_use]
    pub fn is_over(&self) -> bool {
        self.outcome.is_some() && self.phase.is_none()
    }

    /// Whether it failed at least once and was tried again.
    #[must_use]
    pub fn was_retried(&self) -> bool {
        self.was_retried
    }

    /// Whether its latest attempt had neither trained nor failed when the run was stopped in order: the next one has the
    /// same number.
    #[must_use]
    pub fn has_only_waited(&self) -> bool {
        self.has_only_waited
    }

    /// How many attempts count when another session begins.
    #[must_use]
    pub fn counted_attempts(&self) -> u32 {
        self.attempts.saturating_sub(u32::from(self.has_only_waited))
    }

    /// How it ended, in one word.
    #[must_use]
    pub fn kind(&self) -> OutcomeKind {
        match &self.outcome {
            None => OutcomeKind::Open,
            Some(TaskOutcome::Finished(_)) => OutcomeKind::Finished,
            Some(TaskOutcome::Failed(failure)) if failure.kind == FailureKind::Cancelled => {
                OutcomeKind::Cancelled
            }
            Some(TaskOutcome::Failed(failure)) if failure.kind == FailureKind::Skipped => {
                OutcomeKind::Skipped
            }
            Some(TaskOutcome::Failed(_)) => OutcomeKind::Exception,
        }
    }

    /// Its result; `None` if it has none.
    #[must_use]
    pub fn result(&self) -> Option<&Dict> {
        if let Some(TaskOutcome::Finished(result)) = &self.outcome { Some(result) } else { None }
    }

    /// Why it failed, was cancelled or skipped; `None` if it was not.
    #[must_use]
    pub fn failure(&self) -> Option<&Failure> {
        if let Some(TaskOutcome::Failed(failure)) = &self.outcome { Some(failure) } else { None }
    }

    pub(super) fn workdir(&self) -> &Workdir {
        &self.workdir
    }
}

impl<N> Deref for TaskProgress<N> {
    type Target = N;

    fn deref(&self) -> &N {
        &self.notes
    }
}

impl<N> Named for TaskProgress<N> {
    fn name(&self) -> &Name {
        &self.id
    }
}

/// Whether an attempt of which an event tells has done more than to load and to wait. One that made room for another task
/// has not.
fn is_more_than_waiting(event: &RunEvent) -> bool {
    match event {
        RunEvent::TaskRetried { error, .. } => error.kind != FailureKind::Cancelled,
        RunEvent::TaskTraining { .. } | RunEvent::TaskFinished { .. } | RunEvent::TaskFailed { .. } => true,
        _ => false,
    }
}

impl TaskNotes for () {
    fn apply(&mut self, _: Moment, _: &RunEvent) {}
}

impl Workdir {
    fn of(id: &Name, workdir: &str, group_workdir: &str) -> Self {
        let inside = workdir.strip_prefix(group_workdir).and_then(|inside| inside.strip_prefix('/'));
        if inside == Some(id.as_str()) { Self::InGroup } else { Self::Elsewhere(workdir.into()) }
    }
}

impl TaskPhase {
    /// Its name, in one word.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Starting => "starting",
            Self::Loading => "loading",
            Self::Waiting => "waiting",
            Self::Training => "training",
            Self::Ending => "ending",
        }
    }
}

impl fmt::Display for TaskPhase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl fmt::Display for OutcomeKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Exception => "exception",
            Self::Cancelled => "cancelled",
            Self::Skipped => "skipped",
            Self::Open => "open",
            Self::Finished => "finished",
        })
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::time::Duration;

    use super::*;
    use crate::model::run_event::RunOutcome;
    use crate::progress::run_progress::RunProgress;

    fn name(text: &str) -> Name {
        Name::new(text).unwrap()
    }

    fn begin(run: &mut RunProgress, fingerprint: u64) {
        let reopened = BTreeMap::new();
        let workdir = "/res".to_owned();
        let (flow, devices) = (String::new(), Vec::new());
        run.apply(
            0.0,
            &RunEvent::RunStarted { flow, workdir, session: 1, devices, seed: 0, reopened, setup: None },
        );
        let (group, tasks, workdir) = (name("g"), vec![name("t")], "/res/g".to_owned());
        run.apply(
            0.0,
            &RunEvent::GroupStarted {
                group,
                index: 1,
                workdir,
                fingerprint,
                tasks,
                fingerprints: Vec::new(),
                order: None,
                params: Vec::new(),
            },
        );
    }

    fn start(run: &mut RunProgress, attempt: u32) {
        let (group, task, workdir) = (name("g"), name("t"), "/res/g/t".into());
        run.apply(1.0, &RunEvent::TaskStarted { group, task, attempt, workdir, reused: false });
        let (group, task) = (name("g"), name("t"));
        run.apply(1.0, &RunEvent::TaskLoaded { group, task, attempt, load_time: Duration::ZERO });
    }

    fn stop(run: &mut RunProgress) {
        run.apply(2.0, &RunEvent::RunFinished { outcome: RunOutcome::Stopped });
    }

    /// How many attempts count, and whether the last one had only waited.
    fn counted(run: &RunProgress) -> (u32, bool) {
        let task = run.group(&name("g")).unwrap().task(&name("t")).unwrap();
        (task.counted_attempts(), task.has_only_waited())
    }

    #[test]
    fn an_attempt_that_only_waited_at_a_stop_does_not_count_until_the_next_one() {
        let mut run = RunProgress::default();
        begin(&mut run, 7);
        start(&mut run, 1);
        assert_eq!(counted(&run), (1, false), "it is under way");
        stop(&mut run);
        assert_eq!(counted(&run), (0, true));
        // A session that does not come to it changes nothing.
        begin(&mut run, 7);
        stop(&mut run);
        assert_eq!(counted(&run), (0, true));
        begin(&mut run, 7);
        start(&mut run, 1);
        assert_eq!(counted(&run), (1, false));
    }

    #[test]
    fn an_attempt_that_failed_trained_or_was_cut_off_counts() {
        let failure = |kind| Failure::new(crate::model::outcome::failure::Stage::Load, kind, "no data");
        let (group, task, attempt) = (name("g"), name("t"), 1);
        let retried = |kind| RunEvent::TaskRetried {
            group: name("g"),
            task: name("t"),
            attempt: 1,
            device: None,
            error: failure(kind),
            data_kept: false,
            delay: Duration::ZERO,
        };
        let trains = RunEvent::TaskTraining {
            group: group.clone(),
            task: task.clone(),
            attempt,
            device: Device::Cpu,
            slot: 0,
            devices: Vec::new(),
            memory: None,
            pin: None,
        };
        for (event, expected) in [
            (retried(FailureKind::Exit), (1, false)),
            (retried(FailureKind::Cancelled), (0, true)),
            (trains, (1, false)),
        ] {
            let mut run = RunProgress::default();
            begin(&mut run, 7);
            start(&mut run, 1);
            run.apply(1.0, &event);
            stop(&mut run);
            assert_eq!(counted(&run), expected, "{event:?}");
        }
        // What a session left that was cut off counts, also if a later one is stopped before it comes to the task.
        let mut run = RunProgress::default();
        begin(&mut run, 7);
        start(&mut run, 1);
        begin(&mut run, 7);
        stop(&mut run);
        assert_eq!(counted(&run), (1, false));
    }

    #[test]
    fn what_is_opened_again_or_made_of_something_else_keeps_its_attempts() {
        let mut run = RunProgress::default();
        begin(&mut run, 7);
        start(&mut run, 1);
        let error =
            Failure::new(crate::model::outcome::failure::Stage::Load, FailureKind::Exit, "exit code 1");
        let (group, task) = (name("g"), name("t"));
        let (load_time, train_time, device) = (None, None, None);
        run.apply(
            1.0,
            &RunEvent::TaskFailed { group, task, attempt: 1, device, load_time, train_time, error },
        );
        run.reopen(&BTreeMap::from([(name("g"), vec![name("t")])]));
        stop(&mut run);
        assert_eq!(counted(&run), (1, false), "its directory has what it failed of");
        begin(&mut run, 8);
        stop(&mut run);
        assert_eq!(counted(&run), (1, false));
    }
}
