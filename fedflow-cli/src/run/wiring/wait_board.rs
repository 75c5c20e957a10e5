//! `WaitBoard`: what a run waits for now, for `fedflow status`; people are told when it is news.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use fedflow_core::{Time, Wait};
use fedflow_worker::store::ToldWait;

use crate::run::notice::Notices;

/// Shows what a run waits for. Clones show the same.
#[derive(Clone)]
pub(in crate::run) struct WaitBoard {
    /// When the session began, in Unix seconds.
    started_unix: f64,
    notices: Notices,
    now: Arc<Mutex<Option<ToldWait>>>,
}

impl WaitBoard {
    pub(super) fn new(started_unix: f64, notices: Notices) -> Self {
        Self { started_unix, notices, now: Arc::default() }
    }

    /// The run waits since some seconds, or goes on.
    pub(super) fn show(&self, wait: Option<&Wait>) {
        let since = |time: Time| self.started_unix + time.since_start().as_secs_f64();
        *self.lock() = wait.map(|wait| ToldWait { text: wait.to_string(), since: since(wait.since) });
        if let Some(wait) = wait.filter(|wait| wait.is_news) {
            self.notices.note(wait);
        }
    }

    /// What it waits for now.
    pub(super) fn now(&self) -> Option<ToldWait> {
        self.lock().clone()
    }

    fn lock(&self) -> MutexGuard<'_, Option<ToldWait>> {
        self.now.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
