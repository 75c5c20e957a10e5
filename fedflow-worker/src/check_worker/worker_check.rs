//! `WorkerCheck`: tries a worker program, one group of steps after the other.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tempfile::TempDir;

use super::conversation::Conversation;
use super::step_fault::{LAST_WORDS, RUST, SCRIPT, START, StepFault, clipped};
use super::steps::{self, UNKNOWN_KIND};
use super::trial::{CheckedStep, Trial, Verdict};
use crate::describe::describe;
use crate::host::setup::context::HostContext;
use crate::host::{HostError, HostOptions, LeaseHooks, Protocol, WorkerProgram};
use crate::pausable_clock::Clock;

/// How long a program may take to list its task kinds before it is taken for a worker in another language.
const DESCRIBE_LIMIT: Duration = Duration::from_secs(10);

/// The steps between the hello and those that need processes of their own.
const MIDDLE: &str = "load, train, a second task, exit";

/// A worker program, and how it is to be tried.
#[derive(Debug, Clone)]
pub struct WorkerCheck {
    /// Program and arguments. A program with a separator is relative to `base_dir`, another one is looked up in
    /// `PATH`.
    pub command: Vec<String>,
    /// Its protocol; `None` has it found out.
    pub protocol: Option<Protocol>,
    /// What a relative program path is relative to; an absolute path.
    pub base_dir: PathBuf,
    /// A task for it to do; without one, only the steps that need none are checked.
    pub trial: Option<Trial>,
    /// How long each answer may take.
    pub limit: Duration,
}

impl WorkerCheck {
    /// Checks the program and calls `tell` for every step as it is done; true if none failed. Blocks until all are done, each
    /// for the limit at most; every process that was started has ended then.
    ///
    /// # Errors
    /// The system gives no private directory, or the base directory is relative.
    pub fn run(&self, tell: &mut dyn FnMut(CheckedStep)) -> Result<bool, HostError> {
        let mut options = HostOptions::new(&self.base_dir, LeaseHooks::none());
        // A late answer is noticed by the check first, which can then still hear it.
        options.start_timeout = self.limit + 10 * LAST_WORDS;
        let context = HostContext::new(options, Clock::start())?;
        let root = tempfile::Builder::new().prefix("fedflow-check-").tempdir();
        let root = root.map_err(HostError::PrivateDirectory)?;
        let mut run =
            CheckRun { check: self, context, root, protocol: Protocol::Json, started: 0, tell, passed: true };
        run.recognise();
        if let Some(loads) = run.first_process() {
            run.further_processes(loads);
        }
        Ok(run.passed)
    }
}

/// A check that is going on.
struct CheckRun<'a> {
    check: &'a WorkerCheck,
    context: Arc<HostContext>,
    root: TempDir,
    protocol: Protocol,
    started: u64,
    tell: &'a mut dyn FnMut(CheckedStep),
    passed: bool,
}

impl CheckRun<'_> {
    /// Finds out which protocol the program speaks.
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
        let listed = listed.map_err(|error| StepFault::early(error.to_string(), RUST)).and_then(|kinds| {
            let names = if kinds.is_empty() { "none".into() } else { clipped(kinds.join(", ")) };
            match &self.check.trial {
                Some(trial) if !kinds.contains(&trial.kind) => {
                    Err(StepFault::early(format!("{:?} is not among them: {names}", trial.kind), ""))
                }
                _ => Ok(names),
            }
        });
        self.told("lists its task kinds", listed);
    }

    /// From the start to the exit, with the trial in between. Returns whether the trial could be loaded; `None` if
    /// the program does not start or does not greet.
    fn first_process(&mut self) -> Option<bool> {
        let kind = self.check.trial.as_ref().map_or(UNKNOWN_KIND, |trial| &trial.kind);
        let begun = self.begin(kind);
        let mut conversation = match begun {
            Ok(conversation) => conversation,
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
        let greeted = steps::await_hello(&mut conversation, self.start_hint()).map(|()| note.to_owned());
        if self.told("answers hello", greeted).is_none() {
            self.skip(MIDDLE, "nothing more can be tried");
            return None;
        }
        let Some(trial) = &self.check.trial else {
            self.skip(MIDDLE, "no task was given to try");
            return Some(false);
        };
        let mut loads = false;
        if self.whole_life(&mut conversation, trial, &mut loads).is_none() {
            self.skip("what would follow", "the step before it failed");
        }
        Some(loads)
    }

    /// From a task to the exit; `None` if a step failed.
    fn whole_life(&mut self, conversation: &mut Conversation, trial: &Trial, loads: &mut bool) -> Option<()> {
        if self.protocol == Protocol::Ipc {
            self.told("takes a task", steps::await_task(conversation))?;
        }
        self.told("loads it", steps::do_load(conversation))?;
        *loads = true;
        self.told("trains and returns a result", steps::do_train(conversation, trial))?;
        self.told("does another task in the same process", steps::do_another(conversation, trial))?;
        self.told("leaves when it is told to exit", steps::leave(conversation))
    }

    /// The steps that each take a process of their own.
    fn further_processes(&mut self, loads: bool) {
        let refused = self
            .begin_greeted(UNKNOWN_KIND)
            .and_then(|mut conversation| steps::refuse_unknown_kind(&mut conversation));
        let refuses = self.told("refuses a task kind that it does not know", refused).is_some();
        let trial = self.check.trial.as_ref().filter(|_| loads);
        let kind = trial.map_or(UNKNOWN_KIND, |trial| &trial.kind);
        if self.protocol == Protocol::Json {
            let name = "ignores commands and keys that it does not know";
            if loads || refuses {
                let ignored = self
                    .begin_greeted(kind)
                    .and_then(|mut conversation| steps::ignore_the_unknown(&mut conversation, kind));
                self.told(name, ignored);
            } else {
                self.skip(name, "it answers nothing that could show it");
            }
        }
        let left = self
            .begin_greeted(kind)
            .and_then(|mut conversation| steps::leave_closed_channel(&mut conversation));
        self.told("leaves when its channel is closed", left);
    }

    fn begin_greeted(&mut self, kind: &str) -> Result<Conversation, StepFault> {
        let mut conversation = self.begin(kind)?;
        steps::await_hello(&mut conversation, self.start_hint())?;
        Ok(conversation)
    }

    fn begin(&mut self, kind: &str) -> Result<Conversation, StepFault> {
        self.started += 1;
        let place = self.root.path().join(self.started.to_string());
        let trial = self.check.trial.as_ref().filter(|trial| trial.kind == kind);
        let params = trial.map(|trial| trial.params.clone()).unwrap_or_default();
        let program =
            WorkerProgram { command: self.check.command.clone(), protocol: self.protocol, env: Vec::new() };
        Conversation::begin(&self.context, &program, (place, self.started), (kind, params), self.check.limit)
            .map_err(|cause| StepFault::early(cause.message, ""))
    }

    /// What may be wrong with a program that does not say hello.
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

    /// Reports what came of a step; `None` if it failed.
    fn told(&mut self, name: &'static str, result: Result<String, StepFault>) -> Option<()> {
        let verdict = match result {
            Ok(note) => Verdict::Passed { note },
            Err(StepFault { problem, hint, last_lines }) => {
                self.passed = false;
                Verdict::Failed { problem, hint, last_lines }
            }
        };
        let passed = matches!(verdict, Verdict::Passed { .. });
        (self.tell)(CheckedStep { name, verdict });
        passed.then_some(())
    }

    /// Reports that a step is left out.
    fn skip(&mut self, name: &'static str, reason: &'static str) {
        (self.tell)(CheckedStep { name, verdict: Verdict::Skipped { reason } });
    }
}
