//! One run of `fedflow`: its flow, what it printed, and a check that every task came out.

use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::Duration;

use serde_json::Value;

use super::ground::{Ground, Place, cannot};
use super::process::{self, Ran};
use super::supervisor::{self, Usage};
use crate::step::Failure;

/// How `fedflow check` says that it does not know a key.
const NO_KEY: &str = " has no key ";

/// A flow file and the directory of its run.
#[derive(Debug)]
pub(super) struct FlowRun<'a> {
    ground: &'a Ground,
    place: Place,
    flow: PathBuf,
    devices: String,
    tasks: usize,
}

impl<'a> FlowRun<'a> {
    /// A flow that has so many tasks.
    pub(super) fn new(ground: &'a Ground, flow: &str, devices: &str, tasks: u32) -> Result<Self, Failure> {
        let place = ground.directory()?;
        let flow = place.write("flow.toml", flow)?;
        Ok(Self { ground, place, flow, devices: devices.to_owned(), tasks: tasks as usize })
    }

    /// What `fedflow check` has against the flow: a key that this build does not know.
    pub(super) fn unknown_key(&self) -> Result<Option<String>, Failure> {
        let mut check = process::command(&self.ground.fedflow);
        check.arg("check").arg(&self.flow).args(["--devices", &self.devices]);
        let ran = process::run(&mut check)?;
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

    /// Runs it as a user would, and checks every result.
    pub(super) fn time(&self) -> Result<Duration, Failure> {
        let ran = process::run_well(&mut self.run_command())?;
        self.check_results()?;
        Ok(ran.wall)
    }

    /// Runs it with its progress stream.
    pub(super) fn events(&self) -> Result<Vec<Value>, Failure> {
        let ran = process::run_well(self.run_command().args(["--progress", "json"]))?;
        self.check_results()?;
        let parse = |line: &str| {
            serde_json::from_str(line)
                .map_err(|error| Failure::Other(format!("a progress line: {error}: {line}")))
        };
        ran.stdout.lines().map(parse).collect()
    }

    /// Runs it and looks at what the supervisor takes.
    pub(super) fn usage(&self) -> Result<Usage, Failure> {
        let mut command = self.run_command();
        command.stdout(Stdio::null()).stderr(Stdio::null());
        let usage = supervisor::watch(&mut command)?;
        self.check_results()?;
        Ok(usage)
    }

    /// How long it takes until the first task is told to have started; the run is stopped then.
    pub(super) fn until_first_task(&self) -> Result<Duration, Failure> {
        supervisor::until_line(self.run_command().args(["--progress", "json"]), "\"event\":\"task-started\"")
    }

    /// `fedflow resume` of the run, which must have ended, and all that it did must still be there.
    pub(super) fn resume(&self) -> Result<Duration, Failure> {
        let wall = self.other("resume")?.wall;
        self.check_results()?;
        Ok(wall)
    }

    /// `fedflow report` of the run.
    pub(super) fn report(&self) -> Result<Duration, Failure> {
        let report = self.run_dir().join("report.html");
        std::fs::remove_file(&report).map_err(|error| cannot(&report, &error))?;
        let wall = self.other("report")?.wall;
        self.check_results()?;
        if report.exists() { Ok(wall) } else { Err(Failure::Other("fedflow report wrote no report".into())) }
    }

    fn other(&self, command: &str) -> Result<Ran, Failure> {
        process::run_well(process::command(&self.ground.fedflow).arg(command).arg(self.run_dir()))
    }

    fn run_command(&self) -> Command {
        let mut command = process::command(&self.ground.fedflow);
        command
            .arg("run")
            .arg(&self.flow)
            .args(["--devices", &self.devices, "--workdir"])
            .arg(self.run_dir());
        command.current_dir(self.place.path());
        command
    }

    fn run_dir(&self) -> PathBuf {
        self.place.path().join("res")
    }

    /// Every task must have finished.
    fn check_results(&self) -> Result<(), Failure> {
        let path = self.run_dir().join("results.json");
        let text = std::fs::read_to_string(&path).map_err(|error| cannot(&path, &error))?;
        let results: Value = serde_json::from_str(&text).map_err(|error| cannot(&path, &error))?;
        let groups = results["groups"].as_array().into_iter().flatten();
        let tasks = groups.flat_map(|group| group["tasks"].as_array().into_iter().flatten());
        let finished = tasks.filter(|task| task["status"] == "finished").count();
        if finished == self.tasks {
            return Ok(());
        }
        Err(Failure::Other(format!("{finished} of {} tasks have finished", self.tasks)))
    }
}
