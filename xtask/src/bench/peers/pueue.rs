//! pueue: a queue with a daemon, one client process for each task.

use std::process::Stdio;
use std::time::Duration;

use super::shell::is_of_processes;
use super::{Peer, Workload, bounded, process, version_of};
use crate::bench::ground::{Ground, Place};
use crate::step::Failure;

pub(super) const PUEUE: Peer = Peer {
    name: "pueue",
    lacks: "leases (by slots only), results, ending of what tasks leave behind; holds a slot during load",
    install: "cargo install --locked pueue",
    does: is_of_processes,
    find: |_| process::find("pueued").and_then(|_| version_of("pueue", "--version")),
    run,
};

/// How often a client tries to reach a daemon that has just been started.
const TRIES: u32 = 200;

fn run(ground: &Ground, workload: &Workload) -> Result<Duration, Failure> {
    let (program, tasks) = workload.as_programs(ground);
    let place = ground.directory()?;
    let start = process::now();
    let mut daemon = Daemon::start(&place)?;
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

/// A daemon of our own, with its own settings; killed when it is dropped.
struct Daemon<'a> {
    place: &'a Place,
    process: std::process::Child,
}

impl<'a> Daemon<'a> {
    fn start(place: &'a Place) -> Result<Self, Failure> {
        let own = place.path().display();
        // A socket's path has little room: it lies in the temporary directory.
        let socket = std::env::temp_dir().join(format!("fedflow-bench-pueue-{}", std::process::id()));
        let settings = format!(
            "client: {{}}\ndaemon: {{}}\nshared:\n  pueue_directory: {own}/data\n  runtime_directory: {own}\n  \
             use_unix_socket: true\n  unix_socket_path: {}\n",
            socket.display()
        );
        place.write("pueue.yml", &settings)?;
        let mut command = process::command("pueued");
        command.arg("--config").arg(place.path().join("pueue.yml"));
        command.stdout(Stdio::null()).stderr(Stdio::null());
        let process = process::spawn(&mut command)?;
        let daemon = Self { place, process };
        for _ in 0..TRIES {
            if process::run(&mut daemon.command(&["status"]))?.code == Some(0) {
                return Ok(daemon);
            }
            process::pause(Duration::from_millis(10));
        }
        Err(Failure::Other("pueued does not answer".into()))
    }

    fn command(&self, arguments: &[&str]) -> std::process::Command {
        let mut command = bounded("pueue");
        command.arg("--config").arg(self.place.path().join("pueue.yml")).args(arguments);
        command
    }

    fn client(&mut self, arguments: &[&str]) -> Result<String, Failure> {
        Ok(process::run_well(&mut self.command(arguments))?.stdout)
    }
}

impl Drop for Daemon<'_> {
    fn drop(&mut self) {
        let _ = process::run(&mut self.command(&["shutdown"]));
        // What does not end by itself is ended.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
