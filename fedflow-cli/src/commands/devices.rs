//! `fedflow devices`: what GPUs there are, their memory, and who holds them.

mod watch;

use std::io::{self, Write};

use fedflow_core::{Device, Size};
use fedflow_gpu::{CardReport, DeviceEnvironment, Inventory, LeaseReport, WaitReport, inventory};

use crate::args::DevicesArgs;
use crate::command_error::CommandError;
use crate::plain_table::plain_table;
use crate::stdout;
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

/// A line that tells the driver, a table of cards, below it the processes, the leases of all users, and who waits.
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

fn driver_line(inventory: &Inventory) -> Option<String> {
    let cuda = inventory.cuda.as_ref().map(|cuda| format!(", CUDA {cuda}")).unwrap_or_default();
    inventory.driver.as_ref().map(|driver| format!("driver {driver}{cuda}"))
}

fn card_table(inventory: &Inventory) -> String {
    let header = ["device", "name", "memory", "used", "busy", "power", "temp", "uuid"];
    plain_table(header, inventory.cards.iter().map(row))
}

/// What cannot be used, and what else a person should know.
fn write_notes(out: &mut dyn Write, inventory: &Inventory) -> io::Result<()> {
    for card in &inventory.cards {
        if let Some(error) = &card.error {
            let name =
                card.device.map_or_else(|| format!("card {}", card.index), |device| device.to_string());
            writeln!(out, "{name}: cannot be used: {error}")?;
        }
    }
    for warning in &inventory.warnings {
        writeln!(out, "note: {warning}")?;
    }
    Ok(())
}

/// Why there is no card, if there is none, and what then.
fn write_reason(out: &mut dyn Write, inventory: &Inventory) -> io::Result<()> {
    if let Some(reason) = &inventory.reason {
        writeln!(out, "no GPU: {reason}")?;
        writeln!(
            out,
            "hint: without one, `fedflow run` uses CPU slots, one a core; `--devices sim:2x24GB` simulates cards"
        )?;
    }
    Ok(())
}

/// Who has leased what. What other users have written is escaped, as anybody may write in the ledger's directory.
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

fn device_of(lease: &LeaseReport) -> String {
    match lease.device {
        // Slots have one name; the ledger knows which one it is.
        Some(device) if device != Device::Cpu => device.to_string(),
        _ => escape(&lease.card),
    }
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

fn row(card: &CardReport) -> [String; 8] {
    let unknown = || "-".to_owned();
    let percent = |percent: u32| format!("{percent}%");
    [
        card.device.map_or_else(unknown, |device| device.to_string()),
        card.name.clone().unwrap_or_else(unknown),
        card.memory.map_or_else(unknown, |memory| memory.total.to_string()),
        card.memory.map_or_else(unknown, |memory| memory.used.to_string()),
        card.utilization.map_or_else(unknown, percent),
        card.power.map_or_else(unknown, |milliwatts| format!("{:.0}W", f64::from(milliwatts) / 1e3)),
        card.temperature.map_or_else(unknown, |degrees| format!("{degrees}°C")),
        card.uuid.clone().unwrap_or_else(unknown),
    ]
}
