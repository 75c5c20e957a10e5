//! What a lease hands out: the environment that shows its holder these devices and no others.

use fedflow_core::{Device, Lease};

const VISIBLE: &str = "CUDA_VISIBLE_DEVICES";

/// Fills in a lease's environment and the name of its device as a process started for it sees it.
pub(super) fn equip(lease: &mut Lease) {
    let uuids: Vec<&str> = lease.shares.iter().filter_map(|share| share.info.uuid.as_deref()).collect();
    let run_device = lease.device();
    (lease.environment, lease.device_seen) = match run_device {
        // It sees nothing but its cards, so it counts them from zero.
        Device::Cuda(_) => (cards(uuids), Device::Cuda(0)),
        Device::Cpu | Device::Sim(_) => (no_cards(), run_device),
    };
    let names: Vec<String> = lease.shares.iter().map(|share| share.info.device.to_string()).collect();
    lease.environment.push(("FEDFLOW_DEVICE".into(), lease.device_seen.to_string()));
    lease.environment.push(("FEDFLOW_CARD".into(), names.join(",")));
}

/// The environment in which CUDA finds these cards, in this order.
pub(super) fn cards<S: AsRef<str>>(uuids: impl IntoIterator<Item = S>) -> Vec<(String, String)> {
    let uuids: Vec<S> = uuids.into_iter().collect();
    let list = uuids.iter().map(AsRef::as_ref).collect::<Vec<_>>().join(",");
    vec![(VISIBLE.into(), list), ("CUDA_DEVICE_ORDER".into(), "PCI_BUS_ID".into())]
}

/// The environment in which CUDA finds no card.
pub(super) fn no_cards() -> Vec<(String, String)> {
    cards::<&str>([])
}
