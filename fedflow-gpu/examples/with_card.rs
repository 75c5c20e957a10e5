//! Runs a program on a leased card: it waits until a card has the memory free, and the program sees that card alone.
//!
//! ```console
//! $ cargo run -p fedflow-gpu --example with_card -- 8GB python3 train.py
//! ```
//!
//! Without a GPU it leases a CPU slot.

use std::error::Error;
use std::process::{Command, ExitCode};
use std::time::Duration;

use fedflow_gpu::{Devices, Size};

fn main() -> Result<ExitCode, Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let memory: Size = arguments.next().ok_or("usage: with_card MEMORY COMMAND..")?.parse()?;
    let program = arguments.next().ok_or("usage: with_card MEMORY COMMAND..")?;

    let devices = Devices::of_this_machine()?;
    let lines = devices.note().map(str::to_owned).into_iter();
    lines
        .chain(devices.warnings().iter().map(ToString::to_string))
        .for_each(|line| eprintln!("note: {line}"));
    let lease = devices.request(memory).lease(Duration::from_secs(24 * 3600))?;
    eprintln!("note: leased {}", lease.device());

    #[expect(clippy::disallowed_methods, reason = "an example may start a process")]
    let mut command = Command::new(program);
    let status = lease.spawn(command.args(arguments))?.wait()?;
    // The lease is released here, and would be if this program were killed, once the command has ended.
    Ok(status.code().and_then(|code| u8::try_from(code).ok()).map_or(ExitCode::FAILURE, ExitCode::from))
}
