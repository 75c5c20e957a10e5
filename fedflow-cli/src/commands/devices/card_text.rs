//! What `fedflow devices` says of cards, once or again and again.

use std::io::{self, Write};

use fedflow_core::Device;
use fedflow_gpu::{CardReport, Inventory, LeaseReport};

use crate::commands::printing::plain_table;
use crate::view::escape;

/// The driver and its CUDA version, if there is a driver.
pub(super) fn driver_line(inventory: &Inventory) -> Option<String> {
    let cuda = inventory.cuda.as_ref().map(|cuda| format!(", CUDA {cuda}")).unwrap_or_default();
    inventory.driver.as_ref().map(|driver| format!("driver {driver}{cuda}"))
}

/// The cards, one a row.
pub(super) fn card_table(inventory: &Inventory) -> String {
    let header = ["device", "name", "memory", "used", "busy", "power", "temp", "uuid"];
    plain_table(header, inventory.cards.iter().map(row))
}

/// Cards that cannot be used, and warnings.
pub(super) fn write_notes(out: &mut dyn Write, inventory: &Inventory) -> io::Result<()> {
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
pub(super) fn write_reason(out: &mut dyn Write, inventory: &Inventory) -> io::Result<()> {
    if let Some(reason) = &inventory.reason {
        writeln!(out, "no GPU: {reason}")?;
        writeln!(
            out,
            "hint: without one, `fedflow run` uses CPU slots, one a core; `--devices sim:2x24GB` simulates cards"
        )?;
    }
    Ok(())
}

/// The name of a leased device.
pub(super) fn device_of(lease: &LeaseReport) -> String {
    match lease.device {
        // Slots have one name; the ledger knows which one it is.
        Some(device) if device != Device::Cpu => device.to_string(),
        _ => escape(&lease.card),
    }
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
