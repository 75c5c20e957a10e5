//! A worker's last event, sent when its logs are in their final form.

use std::path::PathBuf;
use std::sync::Arc;
use std::thread;

use fedflow_core::{LastLines, Severity, WorkerEvent};

use crate::host::cause::Cause;
use crate::host::logs::task_logs::Logs;
use crate::host::memory::oom_attribution::OomCheck;
use crate::host::sessions::listener::Listener;
use crate::host::supervision::ending::end_description::describe_end;
use crate::host::supervision::supervised::Supervised;

/// Reports to the engine that every process of the worker is gone, and how it ended. Returns the cause as far as it
/// is known without its logs.
pub(crate) fn report_end(worker: Supervised) -> Cause {
    worker.listener.close();
    worker.kind.hang_up();
    let options = &worker.context().options;
    let signs = options.oom_signs.with(&worker.assignment.oom_signs);
    let stage = worker.kind.stage(worker.listener.phase());
    let (ending, asked) = (worker.process.ending(), worker.asked);
    let cause = describe_end(worker.cause.clone(), ending, asked, worker.kind.has_greeted());
    FinalReport {
        cause: cause.clone(),
        check: OomCheck::of(signs, stage, worker.cause.as_ref(), ending, asked),
        is_done: worker.cause.is_none()
            && asked == Some(Severity::Asked)
            && worker.kind.has_result(worker.listener.phase()),
        killed_for_memory: worker.process.is_killed_for_memory(),
        before_first_word: worker.process.died().is_some_and(|died| worker.listener.is_unheard(died)),
        private: worker.kind.private_directory().cloned(),
        workdir: worker.assignment.workdir.clone(),
        logs: worker.logs,
        listener: worker.listener,
    }
    .send();
    cause
}

/// What is left to do and to report when every process of a worker is gone.
struct FinalReport {
    listener: Arc<Listener>,
    cause: Cause,
    /// The question whether it was out of memory, answered by the ends of its logs.
    check: Option<OomCheck>,
    /// Whether its task has its result, and it ended as it was asked to.
    is_done: bool,
    killed_for_memory: bool,
    before_first_word: bool,
    logs: Option<Logs>,
    workdir: PathBuf,
    /// The directory that was made for a Rust worker.
    private: Option<PathBuf>,
}

impl FinalReport {
    /// Tells the engine, at once or from a thread that may wait for the disk.
    fn send(mut self) {
        // The directory lies in memory, so this takes no time. It is not empty only if something went wrong.
        let is_clean = self.private.as_ref().is_none_or(|private| std::fs::remove_dir(private).is_ok());
        let event = self.gone(self.cause.clone(), LastLines::default());
        // A task that failed was told to exit, too: what it printed last counts.
        if self.is_done && is_clean && !self.logs.as_ref().is_some_and(Logs::are_too_large) {
            return self.listener.tell(event);
        }
        let listener = Arc::clone(&self.listener);
        // The disk may be slow: only this worker's end waits for it.
        let told = thread::Builder::new().name("fedflow-end".into()).spawn(move || self.finish());
        if told.is_err() {
            listener.tell(event);
        }
    }

    fn finish(&mut self) {
        let mut cause = self.cause.clone();
        let mut last_lines = LastLines::default();
        if let Some(logs) = &self.logs {
            if !self.is_done {
                let ends = logs.ends();
                last_lines = ends.last_lines();
                if let Some(check) = self.check.take() {
                    cause = check.judge(cause, ends.searched());
                }
            }
            // Before the end is reported: then the next attempt may move the directory away.
            logs.finish(&self.workdir);
        }
        self.listener.tell(self.gone(cause, last_lines));
        if let Some(private) = &self.private {
            // What cannot be removed goes with the host's private directory.
            let _ = std::fs::remove_dir_all(private);
        }
    }

    fn gone(&self, cause: Cause, last_lines: LastLines) -> WorkerEvent {
        WorkerEvent::Gone {
            kind: cause.kind,
            message: cause.message,
            last_lines,
            killed_for_memory: self.killed_for_memory,
            before_first_word: self.before_first_word,
        }
    }
}
