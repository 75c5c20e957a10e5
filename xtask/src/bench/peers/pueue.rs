//! pueue: a queue with a daemon, one client process for each task.

use std::process::Stdio;
use std::time::Duration;

use crate::bench::bench_setup::BenchSetup;
use crate::bench::peers::peer::{Peer, bounded, version_of};
use crate::bench::peers::workload::Workload;
use crate::bench::runs::processes;
use crate::bench::runs::run_directory::RunDirectory;
use crate::step::Failure;

pub(super) const PUEUE: Peer = Peer {
    name: "pueue",
    lacks: "leases (by slots only), results, ending of what tasks leave behind; holds a slot during load",
    install: "cargo install --locked pueue",
    does: Workload::is_one_program_a_task,
    find: |_| processes::find("pueued").and_then(|_| version_of("pueue", "--version")),
    run,
};

/// How often a client tries to reach a daemon that has just started.
const TRIES: u32 = 200;

fn run(setup: &BenchSetup, workload: &Workload) -> Result<Duration, Failure> {
    let (program, tasks) = workload.as_programs(setup);
    let directory = setup.new_run_directory()?;
    let start = processes::now();
    let mut daemon = Daemon::start(&directory)?;
    daemon.client(&["parallel", &workload.at_once().to_string()])?;
    for _ in 0..tasks {
        let mut arguments = vec!["add", "--"];
        arguments.extend(program.iter().map(String::as_str));
        daemon.client(&arguments)?;
    }
    daemon.client(&["wait", "--all", "--quiet"])?;
    let wall = start.elapsed();
    let status = daemon.client(&["status", "--json"])?;
    let finished = status.matches("\"Success\"").count();
    if finished == tasks as usize {
        return Ok(wall);
    }
    Err(Failure::Other(format!("pueue finished {finished} of {tasks} tasks")))
}

/// A daemon with settings of its own; it is killed when this is dropped.
struct Daemon<'a> {
    directory: &'a RunDirectory,
    process: std::process::Child,
}

impl<'a> Daemon<'a> {
    fn start(directory: &'a RunDirectory) -> Result<Self, Failure> {
        let own = directory.path().display();
        // The path of a socket is limited in length, so it lies in the temporary directory.
        let socket = std::env::temp_dir().join(format!("fedflow-bench-pueue-{}", std::process::id()));
        let settings = format!(
            "client: {{}}\ndaemon: {{}}\nshared:\n  pueue_directory: {own}/data\n  runtime_directory: {own}\n  \
             use_unix_socket: true\n  unix_socket_path: {}\n",
            socket.display()
        );
        directory.write("pueue.yml", &settings)?;
        let mut command = processes::command("pueued");
        command.arg("--config").arg(directory.path().join("pueue.yml"));
        command.stdout(Stdio::null()).stderr(Stdio::null());
        let process = processes::spawn(&mut command)?;
        let daemon = Self { directory, process };
        for _ in 0..TRIES {
            if processes::run(&mut daemon.command(&["status"]))?.code == Some(0) {
                return Ok(daemon);
            }
            processes::pause(Duration::from_millis(10));
        }
        Err(Failure::Other("pueued does not answer".into()))
    }

    fn command(&self, arguments: &[&str]) -> std::process::Command {
        let mut command = bounded("pueue");
        command.arg("--config").arg(self.directory.path().join("pueue.yml")).args(arguments);
        command
    }

    fn client(&mut self, arguments: &[&str]) -> Result<String, Failure> {
        Ok(processes::run_well(&mut self.command(arguments))?.stdout)
    }
}

impl Drop for Daemon<'_> {
    fn drop(&mut self) {
        let _ = processes::run(&mut self.command(&["shutdown"]));
        // In case it did not shut down.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
