//! `Notice`: what a person should know of a run; the caller decides where it is shown.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

/// How many notices are collected at most; what comes later is dropped.
const MOST_COLLECTED: usize = 1000;

/// What a person should know of a run beside its events, displayed as one message.
///
/// A text may repeat a command or a name as the flow gives it: escape it before you print it to a terminal.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Notice {
    /// Something is wrong, and the run goes on.
    Warning(String),
    /// Something is not as one might expect.
    Note(String),
    /// The run stops; the text says why.
    Stopping(String),
}

impl fmt::Display for Notice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Warning(text) => write!(f, "warning: {text}"),
            Self::Note(text) => write!(f, "note: {text}"),
            Self::Stopping(text) => f.write_str(text),
        }
    }
}

/// Takes the notices of a run. Clones take them to the same place.
#[derive(Clone)]
pub(crate) enum Notices {
    /// Kept until the caller asks for them.
    Collected(Arc<Mutex<Vec<Notice>>>),
    /// Handed on at once.
    Callback(Arc<dyn Fn(Notice) + Send + Sync>),
}

impl Default for Notices {
    fn default() -> Self {
        Self::Collected(Arc::default())
    }
}

impl Notices {
    pub(crate) fn warn(&self, text: impl fmt::Display) {
        self.give(Notice::Warning(text.to_string()));
    }

    pub(crate) fn note(&self, text: impl fmt::Display) {
        self.give(Notice::Note(text.to_string()));
    }

    pub(crate) fn stopping(&self, text: impl fmt::Display) {
        self.give(Notice::Stopping(text.to_string()));
    }

    fn give(&self, notice: Notice) {
        match self {
            Self::Callback(callback) => callback(notice),
            Self::Collected(collected) => {
                let mut collected = collected.lock().unwrap_or_else(PoisonError::into_inner);
                if collected.len() < MOST_COLLECTED {
                    collected.push(notice);
                }
            }
        }
    }

    /// Removes what was collected; nothing with a callback.
    pub(crate) fn take(&self) -> Vec<Notice> {
        match self {
            Self::Callback(_) => Vec::new(),
            Self::Collected(collected) => {
                std::mem::take(&mut *collected.lock().unwrap_or_else(PoisonError::into_inner))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn notices_are_collected_up_to_a_limit_unless_there_is_a_callback() {
        let notices = Notices::default();
        (0..=MOST_COLLECTED).for_each(|number| notices.warn(number));
        let taken = notices.take();
        assert_eq!(taken.len(), MOST_COLLECTED);
        assert_eq!(taken[1].to_string(), "warning: 1");
        assert_eq!(notices.take(), []);

        let seen = Arc::new(Mutex::new(Vec::new()));
        let sink = Arc::clone(&seen);
        let notices = Notices::Callback(Arc::new(move |notice| sink.lock().unwrap().push(notice)));
        notices.clone().note("here");
        assert_eq!(notices.take(), []);
        assert_eq!(*seen.lock().unwrap(), [Notice::Note("here".into())]);
    }
}
