//! `FlowRun`: one run of `fedflow`, with a check that every task finished.

use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::Duration;

use serde_json::Value;

use crate::bench::bench_setup::BenchSetup;
use crate::bench::runs::processes::{self, ProcessOutput};
use crate::bench::runs::run_directory::RunDirectory;
use crate::bench::runs::supervisor_usage::{self, SupervisorUsage};
use crate::step::Failure;

/// Part of the message with which `fedflow check` refuses an unknown key.
const NO_KEY: &str = " has no key ";

/// A flow file and the directory of its run.
#[derive(Debug)]
pub(in crate::bench) struct FlowRun<'a> {
    setup: &'a BenchSetup,
    directory: RunDirectory,
    flow: PathBuf,
    devices: String,
    tasks: usize,
}

impl<'a> FlowRun<'a> {
    /// Writes a flow that has `tasks` tasks.
    pub(in crate::bench) fn new(
        setup: &'a BenchSetup,
        flow: &str,
        devices: &str,
        tasks: u32,
    ) -> Result<Self, Failure> {
        let directory = setup.new_run_directory()?;
        let flow = directory.write("flow.toml", flow)?;
        Ok(Self { setup, directory, flow, devices: devices.to_owned(), tasks: tasks as usize })
    }

    /// The message of `fedflow check` if this build does not know a key of the flow.
    pub(in crate::bench) fn unknown_key(&self) -> Result<Option<String>, Failure> {
        let mut check = processes::command(&self.setup.fedflow);
        check.arg("check").arg(&self.flow).args(["--devices", &self.devices]);
        let ran = processes::run(&mut check)?;
        match ran.code {
            Some(0) => Ok(None),
            Some(2) if ran.stderr.contains(NO_KEY) => {
                let first = ran.stderr.lines().find(|line| line.contains(NO_KEY));
                Ok(Some(first.unwrap_or_default().trim_start_matches("error: ").to_owned()))
            }
            _ => {
                Err(Failure::Other(format!("fedflow check refuses a flow of the benchmark\n{}", ran.stderr)))
            }
        }
    }

    /// Runs it as a user would and checks every result; returns how long that took.
    pub(in crate::bench) fn time(&self) -> Result<Duration, Failure> {
        let ran = processes::run_well(&mut self.run_command())?;
        self.check_results()?;
        Ok(ran.wall)
    }

    /// Runs it and returns its progress stream.
    pub(in crate::bench) fn events(&self) -> Result<Vec<Value>, Failure> {
        let ran = processes::run_well(self.run_command().args(["--progress", "json"]))?;
        self.check_results()?;
        let parse = |line: &str| {
            serde_json::from_str(line)
                .map_err(|error| Failure::Other(format!("a progress line: {error}: {line}")))
        };
        ran.stdout.lines().map(parse).collect()
    }

    /// Runs it and measures the supervisor.
    pub(in crate::bench) fn usage(&self) -> Result<SupervisorUsage, Failure> {
        let mut command = self.run_command();
        command.stdout(Stdio::null()).stderr(Stdio::null());
        let usage = supervisor_usage::watch(&mut command)?;
        self.check_results()?;
        Ok(usage)
    }

    /// How long it takes until the first task has started; then the run is stopped.
    pub(in crate::bench) fn until_first_task(&self) -> Result<Duration, Failure> {
        supervisor_usage::until_line(
            self.run_command().args(["--progress", "json"]),
            "\"event\":\"task-started\"",
        )
    }

    /// Resumes the run, which must have ended; every result must still be there.
    pub(in crate::bench) fn resume(&self) -> Result<Duration, Failure> {
        let wall = self.other("resume")?.wall;
        self.check_results()?;
        Ok(wall)
    }

    /// Renders the reports of the run anew.
    pub(in crate::bench) fn report(&self) -> Result<Duration, Failure> {
        let report = self.run_dir().join("report.html");
        std::fs::remove_file(&report).map_err(|error| Failure::at(&report, &error))?;
        let wall = self.other("report")?.wall;
        self.check_results()?;
        if report.exists() { Ok(wall) } else { Err(Failure::Other("fedflow report wrote no report".into())) }
    }

    fn other(&self, command: &str) -> Result<ProcessOutput, Failure> {
        processes::run_well(processes::command(&self.setup.fedflow).arg(command).arg(self.run_dir()))
    }

    fn run_command(&self) -> Command {
        let mut command = processes::command(&self.setup.fedflow);
        command
            .arg("run")
            .arg(&self.flow)
            .args(["--devices", &self.devices, "--workdir"])
            .arg(self.run_dir());
        command.current_dir(self.directory.path());
        command
    }

    fn run_dir(&self) -> PathBuf {
        self.directory.path().join("res")
    }

    /// Every task must have finished.
    fn check_results(&self) -> Result<(), Failure> {
        let path = self.run_dir().join("results.json");
        let text = std::fs::read_to_string(&path).map_err(|error| Failure::at(&path, &error))?;
        let results: Value = serde_json::from_str(&text).map_err(|error| Failure::at(&path, &error))?;
        let groups = results["groups"].as_array().into_iter().flatten();
        let tasks = groups.flat_map(|group| group["tasks"].as_array().into_iter().flatten());
        let finished = tasks.filter(|task| task["status"] == "finished").count();
        if finished == self.tasks {
            return Ok(());
        }
        Err(Failure::Other(format!("{finished} of {} tasks have finished", self.tasks)))
    }
}
