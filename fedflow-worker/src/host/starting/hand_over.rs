//! `HandOver`: prepares a kept process for its next task. Processes that its last task left behind are ended, and the
//! directory and the logs of the next task are made.

use std::io;
use std::sync::Arc;

use fedflow_core::{Assignment, WorkerId};

use crate::host::attempt_span::attempt_span;
use crate::host::cause::Cause;
use crate::host::logs::task_logs::Logs;
use crate::host::setup::context::HostContext;
use crate::host::starting::task_directory::{make_logs, make_workdir, no_directory};
use crate::host::supervision::ending::sweep::Sweep;

/// A process between two tasks.
pub(crate) struct HandOver {
    /// The first id of its worker.
    pub(crate) first_id: WorkerId,
    /// Its next task.
    pub(crate) assignment: Arc<Assignment>,
    /// The logs that it goes on to write to, and the task that it wrote them for; `None` if it opens new ones itself.
    pub(crate) relay: Option<(Logs, Arc<Assignment>)>,
    /// What its last task may have left behind; `None` if that is not looked for.
    pub(crate) sweep: Option<Sweep>,
}

/// Copying longer logs, in bytes, takes long.
const LONG_LOGS: u64 = 1 << 20;

impl HandOver {
    /// Whether the preparation may take so long that it must hold up no other job: there is something to sweep, or the
    /// logs are long.
    pub(crate) fn is_slow(&self) -> bool {
        self.sweep.as_ref().is_some_and(Sweep::is_needed)
            || self.relay.as_ref().is_some_and(|(logs, _)| logs.size() > LONG_LOGS)
    }

    /// Prepares it; returns the logs of the next task. Blocks on the file system, and until what is swept has ended.
    ///
    /// # Errors
    /// The system refuses a directory or a log.
    pub(crate) fn prepare(self, context: &HostContext) -> Result<Logs, Cause> {
        let _attempt = attempt_span(&context.run_span, &self.assignment).entered();
        if let Some(sweep) = self.sweep.filter(Sweep::is_needed) {
            sweep.run();
        }
        let assignment = &self.assignment;
        let logs = make_workdir(context, assignment).and_then(|()| match self.relay {
            Some((logs, earlier)) => relay(context, &logs, &earlier, assignment),
            None => make_logs(context, assignment),
        });
        logs.map_err(|error| no_directory(assignment, &error))
    }
}

/// The files that the process writes to move on to the next task; the last task keeps a copy of what was written for it.
/// If a worker has removed its logs, what it writes from now on is lost.
fn relay(context: &HostContext, logs: &Logs, earlier: &Assignment, next: &Assignment) -> io::Result<Logs> {
    match logs.move_on(&earlier.workdir, &next.workdir) {
        Ok(()) => Ok(logs.clone()),
        Err(_) => make_logs(context, next),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::processes::identify;
    use fedflow_core::{Dict, Name, ProcessId, Program};
    use std::io::Write;
    use std::path::Path;

    fn assignment(workdir: &Path) -> Arc<Assignment> {
        Arc::new(Assignment {
            group: Name::new("group").unwrap(),
            task_id: Name::new("task").unwrap(),
            attempt: 1,
            workdir: workdir.into(),
            cwd: None,
            on_cpu: false,
            checkpoint_dir: workdir.join("checkpoint"),
            program: Arc::new(Program::Worker { worker: "w".into(), kind: "k".into() }),
            params: Dict::new(),
            keep: None,
            oom_signs: Default::default(),
        })
    }

    #[test]
    fn long_logs_and_what_was_left_behind_make_it_slow() {
        let root = tempfile::tempdir().unwrap();
        let assignment = assignment(root.path());
        let logs = Logs::create(root.path(), 64 << 20).unwrap();
        let hand_over = |offspring: Option<Vec<ProcessId>>| {
            let sweep = offspring.map(|offspring| {
                let assignment = Arc::clone(&assignment);
                Sweep { offspring, assignment, others: Vec::new(), adopting: false }
            });
            let relay = Some((logs.clone(), Arc::clone(&assignment)));
            HandOver { first_id: WorkerId(1), assignment: Arc::clone(&assignment), relay, sweep }
        };
        assert!(!hand_over(None).is_slow() && !hand_over(Some(Vec::new())).is_slow());
        let this = identify(std::process::id()).unwrap();
        assert!(hand_over(Some(vec![this])).is_slow());
        let mut stdout = std::fs::File::from(logs.for_process().0.try_clone_to_owned().unwrap());
        stdout.write_all(&vec![b'x'; 1 << 20]).unwrap();
        assert!(!hand_over(None).is_slow());
        stdout.write_all(b"x").unwrap();
        assert!(hand_over(None).is_slow());
    }
}
