//! `Sandbox`: a directory and a clean environment for one test, in which the built `fedflow` runs.

use std::ffi::OsStr;
use std::fs;
use std::io::{BufRead, BufReader};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use fedflow_worker::store::{LockHolder, LockState, RunDir, RunLock};
use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, kill_process, kill_process_group, waitid};
use tempfile::TempDir;

use crate::binaries::{binary, scripted_worker};
use crate::held::Held;
use crate::terminal::Terminal;

/// A directory in which commands run. Dropping it removes the directory.
pub struct Sandbox {
    directory: TempDir,
    variables: Vec<(String, String)>,
}

/// The outcome of a command.
#[derive(Debug)]
pub struct Outcome {
    /// The exit code; 128 + n if signal n ended it.
    pub code: i32,
    /// Its stdout.
    pub stdout: String,
    /// Its stderr.
    pub stderr: String,
}

/// A command that is still running.
pub struct Running {
    child: Child,
    lines: std::io::Lines<BufReader<std::process::ChildStdout>>,
    /// Events that came while another one was waited for.
    passed: Vec<serde_json::Value>,
}

/// Prints that a test is skipped, and why, although the test passes.
pub fn skip(reason: &str) {
    use std::io::Write;
    let test = std::thread::current().name().unwrap_or_default().to_owned();
    let _ = writeln!(std::io::stderr(), "skipped: {test}: {reason}");
}

impl Default for Sandbox {
    fn default() -> Self {
        Self::new()
    }
}

impl Sandbox {
    /// An empty sandbox.
    ///
    /// # Panics
    /// There is no temporary directory.
    #[must_use]
    pub fn new() -> Self {
        let directory = tempfile::tempdir().expect("a temporary directory");
        Self { directory, variables: Vec::new() }
    }

    /// Sets a variable for the commands that run here.
    #[must_use]
    pub fn with_variable(mut self, name: &str, value: impl Into<String>) -> Self {
        self.variables.push((name.into(), value.into()));
        self
    }

    /// The directory.
    #[must_use]
    pub fn path(&self) -> &Path {
        self.directory.path()
    }

    /// Writes a file. `{scripted}` in its text is the path of the scripted worker.
    ///
    /// # Panics
    /// It cannot be written.
    pub fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.path().join(name);
        let text = text.replace("{scripted}", &scripted_worker().display().to_string());
        fs::write(&path, text).expect("a file in the sandbox");
        path
    }

    /// Reads a file.
    ///
    /// # Panics
    /// It cannot be read.
    #[must_use]
    pub fn read(&self, name: &str) -> String {
        fs::read_to_string(self.path().join(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
    }

    /// Reads the run's `results.json`.
    ///
    /// # Panics
    /// It is not there, or is no JSON.
    #[must_use]
    pub fn results(&self) -> serde_json::Value {
        serde_json::from_str(&self.read("res/results.json")).expect("results.json is JSON")
    }

    /// The supervisor of the run in `res`.
    ///
    /// # Panics
    /// The run has no supervisor.
    #[must_use]
    pub fn supervisor(&self) -> LockHolder {
        self.supervisor_of("res")
    }

    /// The supervisor of a run.
    ///
    /// # Panics
    /// The run has no supervisor.
    #[must_use]
    pub fn supervisor_of(&self, run: &str) -> LockHolder {
        let run_dir = RunDir::open(self.path().join(run)).expect("a run directory");
        match RunLock::probe(&run_dir).expect("a lock") {
            LockState::Held(Some(holder)) => holder,
            state => panic!("no supervisor: {state:?}"),
        }
    }

    /// Runs `fedflow` with arguments separated by spaces, to its end.
    ///
    /// # Panics
    /// It cannot be started.
    #[must_use]
    pub fn fedflow(&self, arguments: &str) -> Outcome {
        self.outcome(self.command(arguments), arguments)
    }

    /// Runs a program to its end.
    ///
    /// # Panics
    /// It cannot be started.
    #[must_use]
    pub fn program(&self, program: &Path, arguments: &[&str]) -> Outcome {
        let mut command = self.prepared(program);
        command.args(arguments);
        self.outcome(command, &program.display().to_string())
    }

    /// Starts a program, to read what it prints line by line.
    ///
    /// # Panics
    /// It cannot be started.
    #[must_use]
    pub fn begin_program(&self, program: &Path, arguments: &[&str]) -> Running {
        let mut command = self.prepared(program);
        command.args(arguments);
        Running::start(command)
    }

    /// Waits until the journal of a run has so many events of this name.
    ///
    /// # Panics
    /// It has fewer after a minute, or cannot be read.
    pub fn wait_for_records(&self, run: &str, event: &str, count: usize) {
        let journal = self.path().join(run).join(".fedflow/journal.jsonl");
        let wanted = format!("\"event\":\"{event}\"");
        let watch = Held::of(std::process::id());
        let found = (0..60_000).any(|_| {
            let is_there =
                fs::read_to_string(&journal).is_ok_and(|text| text.matches(&wanted).count() >= count);
            is_there || watch.ends_within(std::time::Duration::from_millis(1))
        });
        assert!(found, "the run {run} has not recorded {event} {count} times");
    }

    /// Runs `fedflow` as [`Self::fedflow`] does, but from a line of shell that has `"$@"` in its place.
    ///
    /// # Panics
    /// It cannot be started.
    #[must_use]
    pub fn fedflow_in_shell(&self, line: &str, arguments: &str) -> Outcome {
        self.outcome(self.in_shell(line, arguments), arguments)
    }

    /// Starts `fedflow` as [`Self::begin`] does, but from such a line of shell.
    ///
    /// # Panics
    /// It cannot be started.
    #[must_use]
    pub fn begin_in_shell(&self, line: &str, arguments: &str) -> Running {
        Running::start(self.in_shell(line, arguments))
    }

    fn in_shell(&self, line: &str, arguments: &str) -> Command {
        let mut command = self.prepared("sh");
        command.args(["-c", line, "sh"]).arg(binary("fedflow")).args(arguments.split_whitespace());
        command
    }

    /// Runs `fedflow` as the foreground job of a terminal on which background groups may not write. All that it writes is
    /// in [`Outcome::stderr`]. One that has not ended after a minute is killed.
    ///
    /// # Panics
    /// It cannot be started, or there is no terminal.
    #[must_use]
    pub fn fedflow_on_terminal(&self, arguments: &str) -> Outcome {
        let terminal = Terminal::open();
        let mut command = self.prepared("setsid");
        command.arg("--ctty").arg(binary("fedflow")).args(arguments.split_whitespace());
        command.env("TERM", "xterm");
        command.stdin(terminal.stream()).stdout(terminal.stream()).stderr(terminal.stream());
        let mut child = command.spawn().expect("fedflow starts");
        drop(command);
        let held = Held::of(child.id());
        if !held.ends_within(std::time::Duration::from_secs(60)) {
            held.try_signal(Signal::KILL);
        }
        let code = exit_code(child.wait().expect("fedflow can be waited for"));
        let outcome = Outcome { code, stdout: String::new(), stderr: terminal.text() };
        println!("$ fedflow {arguments}\n{}-> {code}", outcome.stderr);
        outcome
    }

    fn outcome(&self, mut command: Command, arguments: &str) -> Outcome {
        let output = command.output().expect("fedflow starts");
        let outcome = Outcome {
            code: exit_code(output.status),
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        };
        // Shown only if the test fails.
        println!("$ fedflow {arguments}\n{}{}-> {}", outcome.stdout, outcome.stderr, outcome.code);
        outcome
    }

    /// Starts `fedflow` with `--progress json`, to watch its events.
    ///
    /// # Panics
    /// It cannot be started.
    #[must_use]
    pub fn start(&self, arguments: &str) -> Running {
        self.begin(&format!("{arguments} --progress json"))
    }

    /// Starts `fedflow`, to read what it prints line by line.
    ///
    /// # Panics
    /// It cannot be started.
    #[must_use]
    pub fn begin(&self, arguments: &str) -> Running {
        Running::start(self.command(arguments))
    }

    fn command(&self, arguments: &str) -> Command {
        let mut command = self.prepared(binary("fedflow"));
        command.args(arguments.split_whitespace());
        command
    }

    fn prepared(&self, program: impl AsRef<OsStr>) -> Command {
        #[expect(clippy::disallowed_methods, reason = "the one place that runs what is tested")]
        let mut command = Command::new(program);
        command.current_dir(self.path()).stdin(Stdio::null());
        // Of the test's own environment, programs get only what they need.
        command.env_clear();
        for name in ["PATH", "HOME", "TMPDIR", "LLVM_PROFILE_FILE"] {
            #[expect(clippy::disallowed_methods, reason = "the one place that passes the environment on")]
            if let Some(value) = std::env::var_os(name) {
                command.env(name, value);
            }
        }
        command.env("NO_COLOR", "1").env("COLUMNS", "100");
        command.envs(self.variables.iter().map(|(name, value)| (name, value)));
        command
    }
}

fn exit_code(status: std::process::ExitStatus) -> i32 {
    use std::os::unix::process::ExitStatusExt;
    status.code().or_else(|| status.signal().map(|signal| 128 + signal)).unwrap_or(-1)
}

impl Drop for Running {
    /// A test that fails leaves nothing behind.
    fn drop(&mut self) {
        // Both calls do nothing if it has ended and was waited for.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Running {
    fn start(mut command: Command) -> Self {
        // A process group of its own, as a shell gives a job.
        let mut child = command.stdout(Stdio::piped()).process_group(0).spawn().expect("a program starts");
        let lines = BufReader::new(child.stdout.take().expect("a piped stdout")).lines();
        Self { child, lines, passed: Vec::new() }
    }

    /// Waits for an event of this name, and of this task if one is named. Returns the event.
    ///
    /// # Panics
    /// The run ends before.
    pub fn wait_for(&mut self, event: &str, task: Option<&str>) -> serde_json::Value {
        let is_it = |value: &serde_json::Value| {
            value["event"] == event && task.is_none_or(|task| value["task"] == task)
        };
        // Two things that happen side by side may come in either order.
        if let Some(place) = self.passed.iter().position(is_it) {
            return self.passed.remove(place);
        }
        for line in self.lines.by_ref() {
            let line = line.expect("stdout can be read");
            let value: serde_json::Value = serde_json::from_str(&line).expect("each line is JSON");
            if is_it(&value) {
                return value;
            }
            self.passed.push(value);
        }
        panic!("the run ended without {event} of {task:?}");
    }

    /// Whether an event of a task came while another one was waited for.
    #[must_use]
    pub fn has_told(&self, event: &str, task: &str) -> bool {
        self.passed.iter().any(|value| value["event"] == event && value["task"] == task)
    }

    /// Waits for the next line that it prints; `None` if it ends.
    ///
    /// # Panics
    /// It prints what is no text.
    pub fn line(&mut self) -> Option<String> {
        self.lines.next().map(|line| line.expect("stdout can be read"))
    }

    /// The process that was started: the guard, if the command runs a flow.
    #[must_use]
    pub fn guard(&self) -> Held {
        Held::of(self.child.id())
    }

    /// Sends a signal to the process that was started, as a shell or a terminal would.
    ///
    /// # Panics
    /// It is gone.
    pub fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).expect("the command lives");
    }

    /// Sends a signal to the whole process group of the command, as a terminal would.
    ///
    /// # Panics
    /// It is gone.
    pub fn signal_group(&self, signal: Signal) {
        kill_process_group(Pid::from_child(&self.child), signal).expect("the command lives");
    }

    /// Waits until the process that was started is stopped.
    ///
    /// # Panics
    /// It ends before.
    pub fn wait_until_stopped(&self) {
        let options = WaitIdOptions::STOPPED | WaitIdOptions::EXITED | WaitIdOptions::NOWAIT;
        let status = waitid(WaitId::Pid(Pid::from_child(&self.child)), options).expect("a child");
        assert!(status.is_some_and(|status| status.stopped()), "the command ended instead of stopping");
    }

    /// Waits for the end of the process that was started, whatever else writes to its stdout. Returns the exit code.
    ///
    /// # Panics
    /// It cannot be waited for.
    #[must_use]
    pub fn leave(mut self) -> i32 {
        exit_code(self.child.wait().expect("fedflow can be waited for"))
    }

    /// Waits for its end. Returns the exit code.
    ///
    /// # Panics
    /// It cannot be waited for.
    #[must_use]
    pub fn finish(mut self) -> i32 {
        for line in self.lines.by_ref() {
            println!("{}", line.expect("stdout can be read"));
        }
        exit_code(self.child.wait().expect("fedflow can be waited for"))
    }
}
