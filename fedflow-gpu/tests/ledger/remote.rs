//! A supervisor in a separate process, which a test commands line by line.

use std::env;
use std::io::{BufRead, BufReader, Lines, Write};
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio, exit};
use std::sync::mpsc::{Receiver, channel};

use fedflow_core::{Config, DevicePool, Lease};
use fedflow_gpu::{DeviceEnvironment, Opened, Pool};
use rustix::process::{Pid, Signal, WaitOptions, geteuid, kill_process, waitpid};

use super::crowd;
use crate::{NEVER, PATIENCE, request};

/// The user and group `nobody` on most systems; any but root would serve.
pub(crate) const NOBODY: u32 = 65534;

const ROLE: &str = "FEDFLOW_TEST_ROLE";
const LEASES: &str = "FEDFLOW_TEST_LEASES";
/// Answers begin so, because the test harness prints lines of its own.
const ANSWER: &str = "> ";

/// What this process does in place of the tests.
pub(crate) struct Role {
    words: Vec<String>,
    environment: DeviceEnvironment,
}

/// The role that this process was started for; `None` in an ordinary run.
pub(crate) fn role() -> Option<Role> {
    let words = variable(ROLE)?.split(' ').map(str::to_owned).collect();
    let lease_dir = variable(LEASES).map(PathBuf::from);
    Some(Role { words, environment: DeviceEnvironment { lease_dir, ..DeviceEnvironment::default() } })
}

impl Role {
    /// Plays it, and ends the process.
    pub(crate) fn play(self) {
        match self.words[0].as_str() {
            "remote" => play_remote(&self.environment),
            "crowd" => crowd::play_member(&self.words[1..], &self.environment),
            role => panic!("there is no role {role}"),
        }
        exit(0);
    }
}

/// A command that starts this program in a role.
pub(crate) fn play(role: &str, environment: &DeviceEnvironment) -> Command {
    let mut command = command(env::current_exe().unwrap().to_str().unwrap());
    command.args(["--exact", "child", "--nocapture"]).env(ROLE, role);
    command.env(LEASES, environment.lease_dir.as_ref().unwrap());
    command.stdin(Stdio::piped()).stdout(Stdio::piped());
    command
}

#[expect(clippy::disallowed_methods, reason = "the tests' one place that creates processes")]
pub(crate) fn command(program: &str) -> Command {
    Command::new(program)
}

#[expect(clippy::disallowed_methods, reason = "the tests' one place that reads the environment")]
pub(crate) fn variable(name: &str) -> Option<String> {
    env::var(name).ok()
}

pub(crate) fn is_root() -> bool {
    geteuid().is_root()
}

/// A supervisor that takes commands. It is killed when the value is dropped.
pub(crate) struct Remote {
    child: Child,
    commands: Option<ChildStdin>,
    answers: Lines<BufReader<ChildStdout>>,
}

impl Remote {
    /// Starts a process that opens `sim:1x10GB`, as another user if one is given.
    pub(crate) fn start(environment: &DeviceEnvironment, user: Option<u32>) -> Self {
        let (remote, answer) = Self::try_start(environment, user);
        assert_eq!(answer, "open");
        remote
    }

    /// Why another user's process cannot open its pool.
    pub(crate) fn refusal(environment: &DeviceEnvironment, user: u32) -> String {
        Self::try_start(environment, Some(user)).1
    }

    fn try_start(environment: &DeviceEnvironment, user: Option<u32>) -> (Self, String) {
        let mut command = play("remote", environment);
        if let Some(user) = user {
            command.uid(user).gid(user);
        }
        let mut child = command.spawn().unwrap();
        let commands = child.stdin.take();
        let answers = BufReader::new(child.stdout.take().unwrap()).lines();
        let mut remote = Self { child, commands, answers };
        let answer = remote.answer();
        (remote, answer)
    }

    /// Sends a command; blocks until it is answered.
    pub(crate) fn ask(&mut self, command: &str) -> String {
        writeln!(self.commands.as_mut().unwrap(), "{command}").unwrap();
        self.answer()
    }

    /// Kills it, and waits until it is gone.
    pub(crate) fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Stops it until it shall go on; returns when none of its threads runs.
    pub(crate) fn pause(&self) {
        self.signal(Signal::STOP);
        let stopped = waitpid(Some(Pid::from_child(&self.child)), WaitOptions::UNTRACED).unwrap();
        assert!(stopped.is_some_and(|(_, status)| status.stopped()));
    }

    pub(crate) fn go_on(&self) {
        self.signal(Signal::CONT);
    }

    fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).unwrap();
    }

    /// Lets it close its pool and end.
    pub(crate) fn close(&mut self) {
        self.commands = None;
        assert!(self.child.wait().unwrap().success());
    }

    fn answer(&mut self) -> String {
        let mut lines = self.answers.by_ref().map(Result::unwrap);
        let line = lines.find(|line| line.starts_with(ANSWER)).expect("an answer");
        line[ANSWER.len()..].to_owned()
    }
}

impl Drop for Remote {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn play_remote(environment: &DeviceEnvironment) {
    let answer = |text: &str| println!("\n{ANSWER}{text}");
    let mut pool = match Pool::open(&"sim:1x10GB".parse().unwrap(), &Config::default(), environment) {
        Ok(Opened { pool, .. }) => pool,
        Err(error) => return answer(&error.to_string()),
    };
    let (sender, woken) = channel();
    let _watch = pool
        .start_watch(NEVER, move || {
            let _ = sender.send(());
        })
        .unwrap();
    answer("open");
    let mut lease = None;
    for line in std::io::stdin().lines() {
        let line = line.unwrap();
        let mut words = line.split(' ');
        let word = words.next().unwrap();
        let gigabytes = words.next().map_or(0, |word| word.parse().unwrap());
        match word {
            "lease" => {
                lease = pool.try_lease(&request(gigabytes));
                answer(if lease.is_some() { "leased" } else { "refused" });
            }
            "wait" => {
                lease = Some(wait(&mut pool, &woken, gigabytes));
                answer("leased");
            }
            "release" => {
                pool.release(lease.take().unwrap().id);
                answer("released");
            }
            "worker" => {
                let worker = command("sleep").arg("3600").stdin(Stdio::null()).stdout(Stdio::null()).spawn();
                let pid = worker.unwrap().id();
                pool.holders().unwrap().name(lease.as_ref().unwrap().id, pid, "group/task");
                answer(&pid.to_string());
            }
            _ => panic!("there is no command {word}"),
        }
    }
}

fn wait(pool: &mut Pool, woken: &Receiver<()>, gigabytes: u64) -> Lease {
    loop {
        match pool.try_lease(&request(gigabytes)) {
            Some(lease) => return lease,
            None => woken.recv_timeout(PATIENCE).unwrap(),
        }
    }
}

/// A worker that outlives the supervisor that started it. It is killed when the value is dropped.
pub(crate) struct Sleeper(Pid);

impl Sleeper {
    pub(crate) fn named_by(answer: &str) -> Self {
        Self(Pid::from_raw(answer.parse().unwrap()).unwrap())
    }

    pub(crate) fn pid(&self) -> u32 {
        self.0.as_raw_pid().unsigned_abs()
    }
}

impl Drop for Sleeper {
    fn drop(&mut self) {
        let _ = kill_process(self.0, Signal::KILL);
        // The ledger counts a zombie as ended, so waiting for that state is enough.
        let stat = format!("/proc/{}/stat", self.pid());
        while std::fs::read_to_string(&stat).is_ok_and(|stat| !stat.contains(") Z ")) {
            std::thread::yield_now();
        }
    }
}
