//! `HostTalk`: who is told, in words, what the host does with processes and directories.

use std::fmt;
use std::sync::Arc;

use fedflow_core::Assignment;

type Tell = dyn Fn(&str) + Send + Sync;

/// A function that is told each process that is started, each signal that is sent, each end, and what is cleaned up, one
/// line each, with process numbers. For people who look for a mistake: the words may change.
///
/// It is called from the threads that supervise, so it must not block. A line may repeat a task's command as it is.
#[derive(Clone)]
pub struct HostTalk(Arc<Tell>);

impl HostTalk {
    /// Tells a function.
    pub fn new(tell: impl Fn(&str) + Send + Sync + 'static) -> Self {
        Self(Arc::new(tell))
    }

    pub(crate) fn tell(&self, assignment: &Assignment, text: &str) {
        let Assignment { group, task_id, attempt, .. } = assignment;
        (self.0)(&format!("{group}/{task_id}, attempt {attempt}: {text}"));
    }
}

impl fmt::Debug for HostTalk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("HostTalk")
    }
}
