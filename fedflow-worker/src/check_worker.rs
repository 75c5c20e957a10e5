//! Tries a worker program against the protocol, step by step, and says in plain words what it does wrong.
//!
//! It talks over the sessions that a run uses, so whatever passes here is understood there. Every group of steps
//! has a process of its own, so that a fault is told where it belongs.

mod conversation;
mod step_fault;
mod steps;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use fedflow_core::{Device, Dict};
use tempfile::TempDir;

use crate::describe::describe;
use crate::host::context::HostContext;
use crate::host::{HostError, HostOptions, LeaseHooks, Protocol, WorkerProgram};
use crate::pausable_clock::Clock;
use conversation::Conversation;
use step_fault::{Fault, LAST_WORDS, RUST, SCRIPT, START, clipped};
use steps::UNKNOWN_KIND;

/// How long a program may take to list its task kinds before it is taken for a worker in another language.
const DESCRIBE_LIMIT: Duration = Duration::from_secs(10);

/// What comes between hello and what needs processes of their own.
const MIDDLE: &str = "load, train, a second task, exit";

/// A worker program, and how it is to be tried.
#[derive(Debug, Clone)]
pub struct WorkerCheck {
    /// Program and arguments. A program with a separator is relative to `base_dir`, another one is looked up in
    /// `PATH`.
    pub command: Vec<String>,
    /// How it talks; `None` finds out.
    pub protocol: Option<Protocol>,
    /// What a relative program path is relative to; an absolute path.
    pub base_dir: PathBuf,
    /// A task that it is to do; without one, only what needs none is checked.
    pub trial: Option<Trial>,
    /// How long each answer may take.
    pub limit: Duration,
}

/// A task that a worker is to do, twice.
#[derive(Debug, Clone)]
pub struct Trial {
    /// Its kind.
    pub kind: String,
    /// Its parameters.
    pub params: Dict,
    /// Its parameters for `train`.
    pub train_params: Dict,
    /// The device that it is told.
    pub device: Device,
}

/// One thing that was checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CheckedStep {
    /// What a worker has to do: a phrase such as `leaves when it is told to exit`.
    pub name: &'static str,
    /// What came of it.
    pub verdict: Verdict,
}

/// What came of a step. Texts of the worker's are clipped, but not escaped for a terminal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// It does.
    Passed {
        /// What there is to tell; may be empty.
        note: String,
    },
    /// It does not.
    Failed {
        /// What was expected and what came.
        problem: String,
        /// What to do about it; may be empty.
        hint: &'static str,
        /// The last lines that it wrote to stderr.
        stderr_tail: String,
    },
    /// It was not tried.
    Skipped {
        /// Why not.
        reason: &'static str,
    },
}

impl WorkerCheck {
    /// Checks the program and tells every step as it is done; true if none failed. Blocks until all are done, each
    /// for the limit at most; every process that was started has ended then.
    ///
    /// # Errors
    /// The system gives no private directory, or the base directory is relative.
    pub fn run(&self, tell: &mut dyn FnMut(CheckedStep)) -> Result<bool, HostError> {
        let mut options = HostOptions::new(&self.base_dir, LeaseHooks::none());
        // What is late is noticed here first, and can then still be heard.
        options.start_timeout = self.limit + 10 * LAST_WORDS;
        let context = HostContext::new(options, Clock::start())?;
        let root = tempfile::Builder::new().prefix("fedflow-check-").tempdir();
        let root = root.map_err(HostError::PrivateDirectory)?;
        let mut run =
            Run { check: self, context, root, protocol: Protocol::Json, started: 0, tell, passed: true };
        run.recognise();
        if let Some(loads) = run.first_process() {
            run.further_processes(loads);
        }
        Ok(run.passed)
    }
}

/// A check that is going on.
struct Run<'a> {
    check: &'a WorkerCheck,
    context: Arc<HostContext>,
    root: TempDir,
    protocol: Protocol,
    started: u64,
    tell: &'a mut dyn FnMut(CheckedStep),
    passed: bool,
}

impl Run<'_> {
    /// Finds out how the program talks.
    fn recognise(&mut self) {
        if self.check.protocol == Some(Protocol::Json) {
            return;
        }
        let limit = self.check.limit.min(DESCRIBE_LIMIT);
        let listed = match describe(&self.check.command, &self.check.base_dir, &[], limit) {
            // Only a Rust worker lists them.
            Err(_) if self.check.protocol.is_none() => return,
            listed => listed,
        };
        self.protocol = Protocol::Ipc;
        let listed = listed.map_err(|error| Fault::early(error.to_string(), RUST)).and_then(|kinds| {
            let names = clipped(kinds.join(", "));
            match &self.check.trial {
                Some(trial) if !kinds.contains(&trial.kind) => {
                    Err(Fault::early(format!("{:?} is not among them: {names}", trial.kind), ""))
                }
                _ => Ok(names),
            }
        });
        self.told("lists its task kinds", listed);
    }

    /// From the start to the exit, with the trial in between. Returns whether the trial could be loaded; `None` if
    /// there is nobody to talk to.
    fn first_process(&mut self) -> Option<bool> {
        let kind = self.check.trial.as_ref().map_or(UNKNOWN_KIND, |trial| &trial.kind);
        let begun = self.begin(kind);
        let mut talk = match begun {
            Ok(talk) => talk,
            Err(fault) => {
                self.told("starts", Err(fault));
                self.skip(MIDDLE, "nothing can be tried");
                return None;
            }
        };
        self.told("starts", Ok(String::new()));
        let note = match self.protocol {
            Protocol::Json => "`ready`, version 1; it speaks JSON lines",
            Protocol::Ipc => "it speaks ipc-channel",
        };
        let greeted = talk.await_hello(self.start_hint()).map(|()| note.to_owned());
        if self.told("answers hello", greeted).is_none() {
            self.skip(MIDDLE, "nothing more can be tried");
            return None;
        }
        let Some(trial) = &self.check.trial else {
            self.skip(MIDDLE, "no task was given to try");
            return Some(false);
        };
        let mut loads = false;
        if self.whole_life(&mut talk, trial, &mut loads).is_none() {
            self.skip("what would follow", "the step before it failed");
        }
        Some(loads)
    }

    /// From a task to the exit; `None` if a step failed.
    fn whole_life(&mut self, talk: &mut Conversation, trial: &Trial, loads: &mut bool) -> Option<()> {
        if self.protocol == Protocol::Ipc {
            self.told("takes a task", talk.await_task())?;
        }
        self.told("loads it", talk.do_load())?;
        *loads = true;
        self.told("trains and returns a result", talk.do_train(trial))?;
        self.told("does another task in the same process", talk.do_another(trial))?;
        self.told("leaves when it is told to exit", talk.leave())
    }

    /// What each takes a process of its own.
    fn further_processes(&mut self, loads: bool) {
        let refused = self.begin_greeted(UNKNOWN_KIND).and_then(|mut talk| talk.refuse_unknown_kind());
        let refuses = self.told("refuses a task kind that it does not know", refused).is_some();
        let trial = self.check.trial.as_ref().filter(|_| loads);
        let kind = trial.map_or(UNKNOWN_KIND, |trial| &trial.kind);
        if self.protocol == Protocol::Json {
            let name = "ignores commands and keys that it does not know";
            if loads || refuses {
                let ignored = self.begin_greeted(kind).and_then(|mut talk| talk.ignore_the_unknown(kind));
                self.told(name, ignored);
            } else {
                self.skip(name, "it answers nothing that could show it");
            }
        }
        let left = self.begin_greeted(kind).and_then(|mut talk| talk.leave_closed_channel());
        self.told("leaves when its channel is closed", left);
    }

    fn begin_greeted(&mut self, kind: &str) -> Result<Conversation, Fault> {
        let mut talk = self.begin(kind)?;
        talk.await_hello(self.start_hint())?;
        Ok(talk)
    }

    fn begin(&mut self, kind: &str) -> Result<Conversation, Fault> {
        self.started += 1;
        let place = self.root.path().join(self.started.to_string());
        let trial = self.check.trial.as_ref().filter(|trial| trial.kind == kind);
        let params = trial.map(|trial| trial.params.clone()).unwrap_or_default();
        let program =
            WorkerProgram { command: self.check.command.clone(), protocol: self.protocol, env: Vec::new() };
        Conversation::begin(&self.context, &program, (place, self.started), (kind, params), self.check.limit)
            .map_err(|cause| Fault::early(cause.message, ""))
    }

    /// What may be wrong with a program that does not even say hello.
    fn start_hint(&self) -> &'static str {
        let is_script = |argument: &String| {
            !argument.starts_with(['-', '/']) && self.check.base_dir.join(argument).is_file()
        };
        match self.protocol {
            _ if self.check.command.iter().skip(1).any(is_script) => SCRIPT,
            Protocol::Ipc => RUST,
            Protocol::Json => START,
        }
    }

    /// Tells what came of a step; `None` if it failed.
    fn told(&mut self, name: &'static str, result: Result<String, Fault>) -> Option<()> {
        let verdict = match result {
            Ok(note) => Verdict::Passed { note },
            Err(Fault { problem, hint, stderr_tail }) => {
                self.passed = false;
                Verdict::Failed { problem, hint, stderr_tail }
            }
        };
        let passed = matches!(verdict, Verdict::Passed { .. });
        (self.tell)(CheckedStep { name, verdict });
        passed.then_some(())
    }

    /// Tells that something is left out.
    fn skip(&mut self, name: &'static str, reason: &'static str) {
        (self.tell)(CheckedStep { name, verdict: Verdict::Skipped { reason } });
    }
}
