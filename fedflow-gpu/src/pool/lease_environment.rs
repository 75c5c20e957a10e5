//! The lease environment: the variables that show a process its devices and no others.

use fedflow_core::{Device, Lease};

const VISIBLE: &str = "CUDA_VISIBLE_DEVICES";

/// Fills in a lease's environment, and the name of its device as a process started for it sees the device.
pub(super) fn fill_in(lease: &mut Lease) {
    let uuids: Vec<&str> = lease.shares.iter().filter_map(|share| share.info.uuid.as_deref()).collect();
    let run_device = lease.device();
    (lease.environment, lease.device_seen) = match run_device {
        // The process sees only the cards of its lease, and CUDA numbers them from zero.
        Device::Cuda(_) => (these_cards(uuids), Device::Cuda(0)),
        Device::Cpu | Device::Sim(_) => (no_cards(), run_device),
    };
    let names: Vec<String> = lease.shares.iter().map(|share| share.info.device.to_string()).collect();
    lease.environment.push(("FEDFLOW_DEVICE".into(), lease.device_seen.to_string()));
    lease.environment.push(("FEDFLOW_CARD".into(), names.join(",")));
}

/// The environment in which CUDA finds these cards, in this order.
pub(super) fn these_cards<S: AsRef<str>>(uuids: impl IntoIterator<Item = S>) -> Vec<(String, String)> {
    let uuids: Vec<S> = uuids.into_iter().collect();
    let list = uuids.iter().map(AsRef::as_ref).collect::<Vec<_>>().join(",");
    vec![(VISIBLE.into(), list), ("CUDA_DEVICE_ORDER".into(), "PCI_BUS_ID".into())]
}

/// The environment in which CUDA finds no card.
pub(super) fn no_cards() -> Vec<(String, String)> {
    these_cards::<&str>([])
}
