//! `RunProgress`: how far a run has come, by its events.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::model::device::DeviceInfo;
use crate::model::name::Name;
use crate::model::name_index::NameIndex;
use crate::model::run_event::{RunEvent, RunOutcome};
use crate::model::session_setup::SessionSetup;
use crate::progress::group_progress::{GroupProgress, TaskCounts};
use crate::progress::task_progress::{Moment, TaskNotes, TaskProgress};

/// How far a run has come. It starts empty; [`RunProgress::apply`] takes one event after the other.
///
/// ```
/// use std::time::Duration;
///
/// use fedflow_core::{Dict, Device, Name, OutcomeKind, RunEvent, RunProgress};
///
/// let (group, task) = (Name::new("train-1")?, Name::new("client-3")?);
/// let mut run = RunProgress::<()>::default();
/// run.apply(0.0, &RunEvent::GroupStarted {
///     group: group.clone(),
///     index: 1,
///     workdir: "/res/train-1".into(),
///     fingerprint: 7,
///     tasks: vec![task.clone()],
///     fingerprints: vec![8],
///     params: Vec::new(),
///     order: None,
/// });
/// run.apply(8.0, &RunEvent::TaskFinished {
///     group: group.clone(),
///     task: task.clone(),
///     attempt: 1,
///     device: Device::Cuda(0),
///     load_time: Duration::from_millis(1500),
///     train_time: Duration::from_secs(6),
///     result: Dict::from([("accuracy", 0.96)]),
/// });
/// let task = run.group(&group).and_then(|group| group.task(&task)).ok_or("no such task")?;
/// assert_eq!(task.kind(), OutcomeKind::Finished);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone)]
pub struct RunProgress<N = ()> {
    flow: String,
    workdir: String,
    seed: Option<u64>,
    first_seed: Option<u64>,
    setup: Option<Box<SessionSetup>>,
    devices: Vec<DeviceInfo>,
    sessions: Vec<SessionProgress>,
    groups: Vec<GroupProgress<N>>,
    /// Invariant: each group's place in `groups`.
    places: NameIndex,
}

/// A session of a run: from its start, or from a resume, until it ended or was cut off.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct SessionProgress {
    /// Its number, from 1.
    pub number: u32,
    /// When it began, in seconds since the Unix epoch.
    pub started: f64,
    /// When the last thing happened in it, in seconds since the Unix epoch.
    pub last: f64,
    /// How it ended; `None` while it goes on, and if it was cut off.
    pub outcome: Option<RunOutcome>,
}

/// An event speaks of a group or a task that was not announced.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Unannounced {
    /// The group has not begun.
    #[error("it speaks of group {0:?}, which has not begun")]
    Group(Name),
    /// The group has no such task.
    #[error("group {group:?} has no task {task:?}")]
    Task {
        /// The group.
        group: Name,
        /// The task.
        task: Name,
    },
}

impl<N> Default for RunProgress<N> {
    fn default() -> Self {
        Self {
            flow: String::new(),
            workdir: String::new(),
            seed: None,
            first_seed: None,
            setup: None,
            devices: Vec::new(),
            sessions: Vec::new(),
            groups: Vec::new(),
            places: NameIndex::default(),
        }
    }
}

impl<N> RunProgress<N> {
    /// The flow's name.
    #[must_use]
    pub fn flow(&self) -> &str {
        &self.flow
    }

    /// The run directory, an absolute path.
    #[must_use]
    pub fn workdir(&self) -> &str {
        &self.workdir
    }

    /// The seed of every random choice of the latest session; `None` until the run has begun.
    #[must_use]
    pub fn seed(&self) -> Option<u64> {
        self.seed
    }

    /// The seed of the first session, on which the samples of a flow depend; `None` until the run has begun.
    #[must_use]
    pub fn first_seed(&self) -> Option<u64> {
        self.first_seed
    }

    /// What the latest session was started with; `None` if no session tells.
    #[must_use]
    pub fn setup(&self) -> Option<&SessionSetup> {
        self.setup.as_deref()
    }

    /// The devices that the latest session could lease.
    #[must_use]
    pub fn devices(&self) -> &[DeviceInfo] {
        &self.devices
    }

    /// The sessions, in order.
    #[must_use]
    pub fn sessions(&self) -> &[SessionProgress] {
        &self.sessions
    }

    /// How the latest session ended; `None` while it goes on, and if it was cut off.
    #[must_use]
    pub fn outcome(&self) -> Option<&RunOutcome> {
        self.sessions.last().and_then(|session| session.outcome.as_ref())
    }

    /// The groups that have begun, in order of execution.
    #[must_use]
    pub fn groups(&self) -> &[GroupProgress<N>] {
        &self.groups
    }

    /// A group by name.
    #[must_use]
    pub fn group(&self, name: &Name) -> Option<&GroupProgress<N>> {
        self.groups.get(self.places.find(name.as_str(), &self.groups)?)
    }

    /// Whether a group has begun in the latest session and is not over.
    #[must_use]
    pub fn is_active(&self, group: &GroupProgress<N>) -> bool {
        !group.is_over() && group.session.is_some_and(|session| session + 1 == self.sessions.len())
    }

    /// Every task beside its group, in order.
    pub fn tasks(&self) -> impl Iterator<Item = (&GroupProgress<N>, &TaskProgress<N>)> {
        self.groups.iter().flat_map(|group| group.tasks().iter().map(move |task| (group, task)))
    }

    /// How many tasks of all groups came to what.
    #[must_use]
    pub fn counts(&self) -> TaskCounts {
        TaskCounts::of(self.tasks().map(|(_, task)| task))
    }

    /// Checks that the group and the task of which an event speaks were announced.
    ///
    /// # Errors
    /// One of them was not.
    pub fn check_announced(&self, event: &RunEvent) -> Result<(), Unannounced> {
        let find = |name: &Name| self.group(name).ok_or_else(|| Unannounced::Group(name.clone()));
        if let RunEvent::GroupFinished { group, .. } = event {
            find(group)?;
        }
        let Some((group, task, _)) = event.task() else { return Ok(()) };
        let unannounced = || Unannounced::Task { group: group.clone(), task: task.clone() };
        find(group)?.task(task).map(|_| ()).ok_or_else(unannounced)
    }
}

impl<N: TaskNotes> RunProgress<N> {
    /// Takes one event. `unix_time` is when it happened, in seconds since the Unix epoch.
    ///
    /// The events may be those of several sessions, one after the other, as after a resume. None is refused: a group
    /// or a task that was not announced is added, and what contradicts itself does no harm.
    pub fn apply(&mut self, unix_time: f64, event: &RunEvent) {
        if let RunEvent::RunStarted { flow, workdir, session, devices, seed, reopened, setup } = event {
            let started = self.plausible(unix_time);
            self.end_session();
            self.flow.clone_from(flow);
            self.workdir.clone_from(workdir);
            self.devices.clone_from(devices);
            self.seed = Some(*seed);
            self.first_seed = self.first_seed.or(Some(*seed));
            if setup.is_some() {
                self.setup.clone_from(setup);
            }
            self.sessions.push(SessionProgress { number: *session, started, last: started, outcome: None });
            self.reopen(reopened);
            return;
        }
        let moment = self.moment(unix_time);
        match event {
            RunEvent::GroupStarted {
                group,
                index,
                workdir,
                fingerprint,
                tasks,
                fingerprints,
                params,
                order,
            } => {
                self.make_room(group, *index, moment.session);
                let group = self.group_mut(group);
                group.begin(*fingerprint, fingerprints, tasks, params);
                (group.index, group.session) = (*index, Some(moment.session));
                group.workdir.clone_from(workdir);
                group.order = order.or(group.order);
                group.started = group.started.or(Some(moment.time));
                self.put_in_order();
            }
            RunEvent::GroupFinished { group, .. } => self.group_mut(group).finished = Some(moment.time),
            RunEvent::RunFinished { outcome } => {
                if let Some(session) = self.sessions.last_mut() {
                    session.outcome = Some(outcome.clone());
                }
                if *outcome == RunOutcome::Stopped {
                    self.groups.iter_mut().for_each(GroupProgress::stop);
                }
            }
            event => {
                if let Some((group, task, attempt)) = event.task() {
                    self.group_mut(group).apply(moment, task, attempt, event);
                }
            }
        }
    }

    /// Opens groups again, and of their tasks these: what is recorded of the tasks does not count any more, and the
    /// groups may be made of something else when they begin. Groups and tasks that are not known are left out.
    pub fn reopen(&mut self, reopened: &BTreeMap<Name, Vec<Name>>) {
        for (group, tasks) in reopened {
            if let Some(place) = self.places.find(group.as_str(), &self.groups) {
                self.groups[place].reopen(tasks);
            }
        }
    }

    /// The moment of an event, in the current session. A session begins if none was announced.
    fn moment(&mut self, unix_time: f64) -> Moment {
        let time = self.plausible(unix_time);
        if self.sessions.is_empty() {
            self.sessions.push(SessionProgress { number: 1, started: time, last: time, outcome: None });
        }
        let Some(session) = self.sessions.last_mut() else { return Moment { session: 0, time } };
        let time = time.max(session.started);
        session.last = session.last.max(time);
        Moment { session: self.sessions.len() - 1, time }
    }

    /// A time that is no number, or outside any calendar, is replaced by the last one.
    fn plausible(&self, unix_time: f64) -> f64 {
        if unix_time.is_finite() && (0.0..1e11).contains(&unix_time) {
            unix_time
        } else {
            self.sessions.last().map_or(0.0, |session| session.last)
        }
    }

    /// What was under way when a session was cut off ended with it.
    fn end_session(&mut self) {
        let Some(last) = self.sessions.last().map(|session| session.last) else { return };
        self.groups.iter_mut().for_each(|group| group.end_session(last));
    }

    /// Has a group's place in the order of execution to itself. Groups that an earlier session executed come later if
    /// groups have been put before them since, and they are not told again.
    fn make_room(&mut self, name: &Name, index: u32, session: usize) {
        let mut taken = index;
        // In their order, so that one makes room for the other.
        for group in &mut self.groups {
            if group.index == taken && group.name != *name && group.session != Some(session) {
                taken = taken.saturating_add(1);
                group.index = taken;
            }
        }
    }

    fn put_in_order(&mut self) {
        if self.groups.is_sorted_by_key(|group| group.order()) {
            return;
        }
        self.groups.sort_by_key(GroupProgress::order);
        self.places = NameIndex::of(&self.groups);
    }

    fn group_mut(&mut self, name: &Name) -> &mut GroupProgress<N> {
        let place = self.places.find(name.as_str(), &self.groups).unwrap_or_else(|| {
            self.groups.push(GroupProgress::new(name.clone()));
            self.places.add_last(&self.groups);
            self.groups.len() - 1
        });
        &mut self.groups[place]
    }
}

impl SessionProgress {
    /// How long it lasted, or has lasted so far.
    #[must_use]
    pub fn duration(&self) -> Duration {
        Duration::try_from_secs_f64(self.last - self.started).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_group_that_is_put_before_others_takes_the_place_of_none() {
        let name = |text: &str| Name::new(text).unwrap();
        let mut run = RunProgress::<()>::default();
        let session = |run: &mut RunProgress, groups: &[(&str, u32)]| {
            run.apply(
                0.0,
                &RunEvent::RunStarted {
                    flow: "f".into(),
                    workdir: "/".into(),
                    session: 1,
                    devices: Vec::new(),
                    seed: 0,
                    reopened: BTreeMap::new(),
                    setup: None,
                },
            );
            for (group, index) in groups {
                run.apply(
                    0.0,
                    &RunEvent::GroupStarted {
                        group: name(group),
                        index: *index,
                        workdir: "/".into(),
                        fingerprint: 1,
                        tasks: Vec::new(),
                        fingerprints: Vec::new(),
                        order: None,
                        params: Vec::new(),
                    },
                );
            }
            let groups = run.groups().iter().map(|group| format!("{}{}", group.name, group.index));
            groups.collect::<Vec<_>>().join(" ")
        };
        assert_eq!(session(&mut run, &[("a", 1), ("b", 2), ("last", 3)]), "a1 b2 last3");
        // The groups that are over are not told again.
        assert_eq!(session(&mut run, &[("c", 3), ("d", 4)]), "a1 b2 c3 d4 last5");
        assert_eq!(session(&mut run, &[("first", 1), ("last", 6)]), "first1 a2 b3 c4 d5 last6");
        assert_eq!(session(&mut run, &[("a", 2)]), "first1 a2 b3 c4 d5 last6", "its place is its own");
    }
}
