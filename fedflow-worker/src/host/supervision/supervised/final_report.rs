//! A worker's last event: how it ended, told when its logs are in their final form.

use std::sync::Arc;
use std::thread;

use fedflow_core::{Severity, WorkerEvent};
use rustix::net::{Shutdown, shutdown};

use super::{Supervised, WorkerKind};
use crate::host::cause::Cause;
use crate::host::logs::task_logs::Logs;
use crate::host::supervision::end_description::describe_end;
use crate::host::supervision::oom_attribution::OomCheck;
use crate::host::supervision::result_file;

impl Supervised {
    /// Tells the engine that every process of the worker is gone, and how it ended.
    pub(crate) fn report_end(self) -> Cause {
        self.listener.close();
        let mut greeted = true;
        let signs = self.context.options.oom_signs.with(&self.assignment.oom_signs);
        let check = OomCheck::of(signs, self.stage(), self.cause.as_ref(), self.ending, self.asked);
        let is_command = matches!(self.kind, WorkerKind::Command { .. });
        let result = is_command.then(|| self.result_path());
        if let WorkerKind::Session { link, socket, .. } = self.kind {
            greeted = link.is_some();
            // Threads that still wait for a worker which left others behind are let go.
            if let Some(socket) = socket {
                let _ = shutdown(&socket, Shutdown::Both);
            }
        }
        let killed_for_memory = self.killed_for_memory;
        let before_first_word = self.died.is_some_and(|died| self.listener.is_unheard(died));
        let in_order = self.cause.is_none() && self.asked == Some(Severity::Asked);
        let cause = describe_end(self.cause, self.ending, self.asked, greeted);
        let Cause { kind, message } = cause.clone();
        let (listener, logs, left) = (self.listener, self.logs, result.unwrap_or(self.private));
        // In memory, so this takes no time. A directory is not empty only if something went wrong.
        let clean = if is_command { result_file::remove(&left) } else { std::fs::remove_dir(&left).is_ok() };
        // A task that failed was told to exit in order, too: its last words count.
        let nothing_left = |logs: &Logs| in_order && clean && logs.no_stderr() && !logs.are_too_large();
        let logs = logs.filter(|logs| !nothing_left(logs));
        if in_order && clean && logs.is_none() {
            listener.tell(WorkerEvent::Gone {
                kind,
                message,
                stderr_tail: String::new(),
                killed_for_memory,
                before_first_word,
            });
            return cause;
        }
        // The disk may be slow: it holds up this worker's end only.
        let (told, last_listener) = (cause.clone(), Arc::clone(&listener));
        let workdir = self.assignment.workdir.clone();
        let tell = move || {
            let mut stderr_tail = String::new();
            let mut cause = told;
            if let Some(logs) = logs {
                stderr_tail = logs.stderr_tail();
                if let Some(check) = check {
                    cause = check.judge(cause, &logs.stderr_end());
                }
                // Before the end is told: then the next attempt may put the directory aside.
                logs.finish(&workdir);
            }
            let Cause { kind, message } = cause;
            listener.tell(WorkerEvent::Gone {
                kind,
                message,
                stderr_tail,
                killed_for_memory,
                before_first_word,
            });
            let _ = std::fs::remove_dir_all(&left);
        };
        if thread::Builder::new().name("fedflow-end".into()).spawn(tell).is_err() {
            let Cause { kind, message } = cause.clone();
            last_listener.tell(WorkerEvent::Gone {
                kind,
                message,
                stderr_tail: String::new(),
                killed_for_memory,
                before_first_word,
            });
        }
        cause
    }
}
