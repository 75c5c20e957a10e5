//! `SupervisorUsage`: the memory and processor time of a supervisor from `/proc`, and how long its first line takes.

use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::process::{Command, Stdio};
use std::time::Duration;

use crate::bench::runs::processes;
use crate::step::Failure;

/// Between two looks at the supervisor. What it does after the last look is not counted.
const LOOK: Duration = Duration::from_millis(10);
/// What Linux counts processor time in, whatever the kernel's own tick is.
const TICKS_PER_SECOND: f64 = 100.0;

/// The memory and the processor time of a supervisor.
#[derive(Debug, Clone, Copy, Default)]
pub(in crate::bench) struct SupervisorUsage {
    /// Its peak memory, in bytes.
    pub(in crate::bench) peak: f64,
    /// Its processor time in seconds, without that of its children.
    pub(in crate::bench) cpu: f64,
}

/// Runs `fedflow run` to its end and watches the supervisor, which is the only child of the guard.
pub(in crate::bench) fn watch(command: &mut Command) -> Result<SupervisorUsage, Failure> {
    let mut guard = processes::spawn(command)?;
    let mut supervisor = None;
    let mut usage = SupervisorUsage::default();
    loop {
        let ended = guard.try_wait().map_err(|error| Failure::Other(format!("cannot wait: {error}")))?;
        if let Some(status) = ended {
            return match (status.success(), usage.peak > 0.0) {
                (true, true) => Ok(usage),
                (true, false) => Err(Failure::Other("the supervisor was not seen".into())),
                (false, _) => Err(Failure::Other(format!("fedflow run failed ({status})"))),
            };
        }
        supervisor = supervisor.or_else(|| only_child(guard.id()));
        if let Some(seen) = supervisor.and_then(look) {
            usage = SupervisorUsage { peak: usage.peak.max(seen.peak), cpu: usage.cpu.max(seen.cpu) };
        }
        processes::pause(LOOK);
    }
}

/// Runs a command until it writes a line that has a text, then asks it to end; returns how long that line took.
pub(in crate::bench) fn until_line(command: &mut Command, text: &str) -> Result<Duration, Failure> {
    let start = processes::now();
    let mut child = processes::spawn(command.stdout(Stdio::piped()).stderr(Stdio::null()))?;
    let mut lines = BufReader::new(
        child
            .stdout
            .take()
            .into_iter()
            .fold(Box::new(std::io::empty()) as Box<dyn Read>, |_, stdout| Box::new(stdout)),
    );
    let mut line = String::new();
    let found = loop {
        line.clear();
        match lines.read_line(&mut line) {
            Ok(0) | Err(_) => break None,
            Ok(_) if line.contains(text) => break Some(start.elapsed()),
            Ok(_) => {}
        }
    };
    processes::run(processes::command("kill").arg(child.id().to_string()))?;
    // A full pipe would block the command.
    let _ = std::io::copy(&mut lines, &mut std::io::sink());
    let _ = child.wait();
    found.ok_or_else(|| Failure::Other(format!("no line with {text} came")))
}

fn only_child(pid: u32) -> Option<u32> {
    fs::read_to_string(format!("/proc/{pid}/task/{pid}/children"))
        .ok()?
        .split_whitespace()
        .next()?
        .parse()
        .ok()
}

fn look(pid: u32) -> Option<SupervisorUsage> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    let peak: f64 = peak.split_whitespace().next()?.parse().ok()?;
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // After the name, which may have any characters, the 12th and 13th field are the ticks in user and kernel mode.
    let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_whitespace().collect();
    let ticks = |at: usize| fields.get(at)?.parse::<f64>().ok();
    Some(SupervisorUsage { peak: peak * 1024.0, cpu: (ticks(11)? + ticks(12)?) / TICKS_PER_SECOND })
}
