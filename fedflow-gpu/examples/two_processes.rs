//! A lease between two processes: the second waits until the first gives the card back.
//!
//! ```console
//! $ cargo run -p fedflow-gpu --example two_processes
//! ```
//!
//! The card is simulated, so that the example runs on any machine. On one with GPUs, `Devices::of_this_machine()` opens
//! the real cards, and no lease directory has to be named: all processes of the machine book in the same place.

use std::error::Error;
use std::io::{self, BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use fedflow_gpu::{Config, DeviceEnvironment, Devices, Size};

/// Set for the second process.
const SECOND: &str = "TWO_PROCESSES_SECOND";

fn main() -> Result<(), Box<dyn Error>> {
    #[expect(clippy::disallowed_methods, reason = "an example may read its environment")]
    if let Some(directory) = std::env::var_os(SECOND) {
        return second(Path::new(&directory));
    }
    let directory = tempfile::tempdir()?;
    let devices = open(directory.path())?;
    let lease = devices.request(Size::from_gb(16)).lease(Duration::from_secs(60))?;
    println!("first: leased 16GB of {}", lease.device());

    let mut process = start_second(directory.path())?;
    let mut lines = BufReader::new(process.stdout.take().ok_or("a pipe")?).lines();
    let mut next =
        || -> Result<String, Box<dyn Error>> { Ok(lines.next().ok_or("the second process ended")??) };
    // The card has 24 GB, so the second process waits until the lease is dropped.
    println!("{}", next()?);
    drop(lease);
    println!("first: gave it back");
    println!("{}", next()?);
    assert!(process.wait()?.success());
    Ok(())
}

/// Opens one simulated card of 24 GB. Leases are booked in a directory that both processes know.
fn open(directory: &Path) -> Result<Devices, Box<dyn Error>> {
    let environment =
        DeviceEnvironment { lease_dir: Some(directory.join("leases")), ..DeviceEnvironment::default() };
    Ok(Devices::open(&"sim:1x24GB".parse()?, &Config::default(), &environment)?)
}

/// What the second process does.
fn second(directory: &Path) -> Result<(), Box<dyn Error>> {
    let devices = open(directory)?;
    let request = devices.request(Size::from_gb(16));
    assert!(request.clone().try_lease()?.is_none(), "the first process has the card");
    println!("second: the card is leased; waiting");
    io::stdout().flush()?;
    let lease = request.lease(Duration::from_secs(60))?;
    println!("second: leased 16GB of {}", lease.device());
    Ok(())
}

#[expect(clippy::disallowed_methods, reason = "an example may start a process")]
fn start_second(directory: &Path) -> io::Result<Child> {
    Command::new(std::env::current_exe()?).env(SECOND, directory).stdout(Stdio::piped()).spawn()
}
