//! `Timeline`: the time axis of a run, without the time between its sessions.

use std::time::Duration;

use crate::report::attempt::{Attempt, PhaseSpan};
use crate::report::{GroupReport, Report, Session};

/// From when to when, in seconds since the run began.
pub(crate) type Stretch = (f64, f64);

/// The time axis of a run: its sessions one after the other, without the time between them.
pub(crate) struct Timeline<'a> {
    sessions: &'a [Session],
    /// How long the sessions before each one lasted.
    before: Vec<f64>,
    total: f64,
}

impl<'a> Timeline<'a> {
    pub(crate) fn new(report: &'a Report) -> Self {
        let mut total = 0.0;
        let before = report
            .sessions()
            .iter()
            .map(|session| {
                let before = total;
                total += seconds(session);
                before
            })
            .collect();
        Self { sessions: report.sessions(), before, total }
    }

    /// The length of all sessions, in seconds.
    pub(crate) fn total(&self) -> f64 {
        self.total
    }

    /// The number of each session after the first and where it begins.
    pub(crate) fn resumes(&self) -> impl Iterator<Item = (u32, f64)> {
        self.sessions.iter().zip(&self.before).skip(1).map(|(session, &before)| (session.number, before))
    }

    /// The place of a time in a session.
    pub(crate) fn at(&self, session: usize, unix: f64) -> f64 {
        match (self.sessions.get(session), self.before.get(session)) {
            (Some(of), Some(before)) => before + (unix - of.started).clamp(0.0, seconds(of)),
            _ => 0.0,
        }
    }

    /// The place of a time in the last session that had begun by then.
    pub(crate) fn at_unix(&self, unix: f64) -> f64 {
        let session = self.sessions.iter().rposition(|session| session.started <= unix).unwrap_or(0);
        self.at(session, unix)
    }

    /// When a session ended, in seconds since the Unix epoch.
    pub(crate) fn end_of(&self, session: usize) -> f64 {
        self.sessions.get(session).map_or(0.0, |session| session.last)
    }

    /// The phases of an attempt, placed on the axis.
    pub(crate) fn spans(&self, attempt: &Attempt) -> impl Iterator<Item = PhaseSpan> {
        let session = attempt.session;
        attempt.spans(self.end_of(session)).map(move |span| PhaseSpan {
            phase: span.phase,
            from: self.at(session, span.from),
            to: self.at(session, span.to),
        })
    }

    /// The stretch in which an attempt held a lease and still loaded, if there is one.
    pub(crate) fn loading_on_a_lease(&self, attempt: &Attempt) -> impl Iterator<Item = (f64, f64)> {
        let until = attempt.ended.unwrap_or(self.end_of(attempt.session));
        let leased = attempt.training.map(|from| (from, attempt.released.unwrap_or(until)));
        let loading = attempt.loading.map(|from| (from, attempt.loaded.unwrap_or(from)));
        let both = leased.zip(loading).map(|(a, b)| (a.0.max(b.0), a.1.min(b.1)));
        let place = |unix| self.at(attempt.session, unix);
        both.filter(|(from, to)| to > from).map(|(from, to)| (place(from), place(to))).into_iter()
    }

    /// The part of a stretch of wall time that lies in a session; none if there is none.
    pub(crate) fn stretch(&self, unix: f64, duration: Duration) -> Option<(f64, f64)> {
        let place = self.sessions.iter().rposition(|session| session.started <= unix).unwrap_or(0);
        let session = self.sessions.get(place)?;
        let (from, to) = (unix.max(session.started), (unix + duration.as_secs_f64()).min(session.last));
        (to > from).then(|| (self.at(place, from), self.at(place, to)))
    }

    /// From the first event of some groups' tasks to the last one; none if there are none.
    pub(crate) fn extent<'g>(&self, groups: impl Iterator<Item = &'g GroupReport>) -> Option<(f64, f64)> {
        let mut extent: Option<(f64, f64)> = None;
        for attempt in groups.flat_map(|group| group.tasks()).flat_map(|task| &task.all_attempts) {
            let from = self.at(attempt.session, attempt.started);
            let to = self.at(attempt.session, attempt.last(self.end_of(attempt.session)));
            let (first, last) = extent.unwrap_or((from, to));
            extent = Some((first.min(from), last.max(to)));
        }
        extent
    }
}

/// The length of a session on the axis.
fn seconds(session: &Session) -> f64 {
    (session.last - session.started).max(0.0)
}
