//! `TaskReport`: what is known of a task, and its outcome.

use std::fmt;

use fedflow_core::{Device, Dict, Failure, FailureKind, Name, Stage};

use crate::report::attempt::{Attempt, Measured};
use crate::report::item_series::ItemSeries;

/// What is known of a task.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct TaskReport {
    /// Its identifier.
    pub id: Name,
    /// The highest number of an attempt that was told; 0 if it was never started.
    pub attempts: u32,
    /// The device that it trained on, last.
    pub device: Option<Device>,
    /// How long `load` took.
    pub load_seconds: Option<f64>,
    /// How long `train` took.
    pub train_seconds: Option<f64>,
    /// How it ended; none if it did not.
    pub outcome: Option<Outcome>,
    /// Every try at it, those of earlier sessions included.
    pub tries: Vec<Attempt>,
    /// What it told while it trained, in the latest try.
    pub items: Vec<ItemSeries>,
    pub(crate) workdir: Workdir,
}

/// Where a task works. Nearly all work in the directory of their group that has their name: it is not kept.
#[derive(Debug, Clone, Default)]
pub(crate) enum Workdir {
    /// Nowhere yet.
    #[default]
    None,
    /// In its group's directory, under its own name.
    InGroup,
    /// Somewhere else.
    Elsewhere(Box<str>),
}

// There may be a million of them.
const _: () = assert!(size_of::<TaskReport>() <= 160, "what is kept of a task grows: box what is rare");

/// How a task ended.
#[derive(Debug, Clone, PartialEq)]
pub enum Outcome {
    /// With a result.
    Finished(Dict),
    /// Without one: it failed for good or was cancelled.
    Failed(Box<Failure>),
}

/// How a task ended, in one word.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum OutcomeKind {
    /// It failed for good.
    Exception,
    /// It was cancelled.
    Cancelled,
    /// It has not ended.
    Open,
    /// It has its result.
    Finished,
}

impl fmt::Display for OutcomeKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Exception => "exception",
            Self::Cancelled => "cancelled",
            Self::Open => "open",
            Self::Finished => "finished",
        })
    }
}

impl TaskReport {
    pub(crate) fn new(id: Name) -> Self {
        Self {
            id,
            workdir: Workdir::None,
            attempts: 0,
            device: None,
            load_seconds: None,
            train_seconds: None,
            outcome: None,
            tries: Vec::new(),
            items: Vec::new(),
        }
    }

    /// How it ended, in one word.
    #[must_use]
    pub fn kind(&self) -> OutcomeKind {
        match &self.outcome {
            None => OutcomeKind::Open,
            Some(Outcome::Finished(_)) => OutcomeKind::Finished,
            Some(Outcome::Failed(failure)) if failure.kind == FailureKind::Cancelled => {
                OutcomeKind::Cancelled
            }
            Some(Outcome::Failed(_)) => OutcomeKind::Exception,
        }
    }

    /// Its result, if it has one.
    #[must_use]
    pub fn result(&self) -> Option<&Dict> {
        if let Some(Outcome::Finished(result)) = &self.outcome { Some(result) } else { None }
    }

    /// Why it failed, if it did.
    #[must_use]
    pub fn failure(&self) -> Option<&Failure> {
        if let Some(Outcome::Failed(failure)) = &self.outcome { Some(failure) } else { None }
    }

    /// The tries that failed and after which another one followed. One that only made room for another task before
    /// it could train did not fail.
    pub fn retries(&self) -> impl Iterator<Item = &Attempt> {
        let made_room = |attempt: &Attempt| {
            attempt.failure.as_ref().is_some_and(|failure| failure.kind == FailureKind::Cancelled)
        };
        self.tries.iter().filter(move |attempt| attempt.retry.is_some() && !made_room(attempt))
    }

    /// What was measured of the last try of which any use of memory was.
    #[must_use]
    pub fn measured(&self) -> Option<&Measured> {
        self.tries.iter().rev().find_map(|attempt| attempt.measured.as_deref())
    }

    /// The stage that a task without an outcome had reached.
    #[must_use]
    pub fn stage(&self) -> Stage {
        match self.tries.last() {
            Some(attempt) if attempt.training.is_some() => Stage::Train,
            Some(attempt) if attempt.loaded.is_some() => Stage::Wait,
            Some(attempt) if attempt.loading.is_some() => Stage::Load,
            _ => Stage::Start,
        }
    }
}
