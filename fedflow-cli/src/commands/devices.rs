//! `fedflow devices`: the GPUs of this machine, their memory, and the leases on them.

mod card_text;
mod watch;

use std::io::{self, Write};

use fedflow_core::Size;
use fedflow_gpu::{DeviceEnvironment, Inventory, LeaseReport, WaitReport, inventory};

use self::card_text::{card_table, device_of, driver_line, write_notes, write_reason};
use crate::args::DevicesArgs;
use crate::commands::command_error::CommandError;
use crate::commands::printing::stdout;
use crate::view::escape;

/// Prints the inventory.
pub(crate) fn cmd_devices(args: &DevicesArgs) -> Result<(), CommandError> {
    if args.watch {
        return watch::cmd_watch(args);
    }
    let inventory = inventory(&DeviceEnvironment::from_process());
    if args.json {
        let text = serde_json::to_string_pretty(&inventory).map_err(CommandError::failed)?;
        return stdout::print(|out| writeln!(out, "{text}"));
    }
    stdout::print(|out| write_table(out, &inventory))
}

/// The driver, a table of cards, the processes on them, the leases of all users, and the requests that wait.
fn write_table(out: &mut dyn Write, inventory: &Inventory) -> io::Result<()> {
    if let Some(line) = driver_line(inventory) {
        writeln!(out, "{line}")?;
    }
    if !inventory.cards.is_empty() {
        writeln!(out, "{}", card_table(inventory))?;
    }
    for card in &inventory.cards {
        let name = card.device.map_or_else(|| format!("card {}", card.index), |device| device.to_string());
        for process in card.processes.iter().flatten() {
            let user = process.user.as_deref().unwrap_or("?");
            let program = process.name.as_deref().unwrap_or("?");
            let memory = process.memory.map_or_else(|| "?".into(), |memory| memory.to_string());
            writeln!(
                out,
                "{name}: process {} ({}, {}) uses {memory}",
                process.pid,
                escape(program),
                escape(user)
            )?;
        }
    }
    for lease in &inventory.leases {
        writeln!(out, "{}", lease_line(lease))?;
    }
    for waiting in &inventory.waiting {
        writeln!(out, "{}", waiting_line(waiting))?;
    }
    write_notes(out, inventory)?;
    write_reason(out, inventory)
}

/// One lease. What other users have written is escaped: every user may write in the ledger's directory.
fn lease_line(lease: &LeaseReport) -> String {
    let device = device_of(lease);
    if lease.quarantined {
        return format!(
            "{device}: {} is quarantined, as a process that has ended did not give it back (run of process {})",
            lease.memory, lease.supervisor
        );
    }
    let what = match (lease.exclusive, lease.memory) {
        (true, _) => "the whole card".to_owned(),
        (false, Size::ZERO) => "a turn".into(),
        (false, memory) => memory.to_string(),
    };
    let task = lease.task.as_deref().map(|task| format!(" for {}", escape(task))).unwrap_or_default();
    let state = match (lease.training, lease.supervised) {
        (true, true) => "",
        (false, true) => ", its turn is over",
        (_, false) => ", its supervisor is gone",
    };
    let process = lease.worker.map(|worker| format!(", process {worker}")).unwrap_or_default();
    let (user, supervisor) = (escape(&lease.user), lease.supervisor);
    format!("{device}: {user} has leased {what}{task} (run of process {supervisor}{process}{state})")
}

fn waiting_line(waiting: &WaitReport) -> String {
    let WaitReport { user, supervisor, devices, memory, exclusive, .. } = waiting;
    let plural = if *devices == 1 { "" } else { "s" };
    let whole = if *exclusive { " whole" } else { "" };
    format!(
        "waiting: {} (run of process {supervisor}) for {devices}{whole} device{plural} of {memory}",
        escape(user)
    )
}
