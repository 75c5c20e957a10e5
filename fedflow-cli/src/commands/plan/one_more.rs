//! What one more device of each size would bring.

use fedflow_core::{Config, Device, DeviceInfo};

use super::planned::{Case, OneMore, Planned, PlannedDevices};

/// Simulates the flow with one more device of each size that there is, in the order that was best without it.
pub(super) fn forecasts(
    planned: &Planned,
    devices: &PlannedDevices,
    orders: &[(String, Config)],
    seed: u64,
    overlap: bool,
) -> Vec<OneMore> {
    let of_choice = planned.cases.iter().filter(|case| case.devices == devices.label);
    let best = of_choice.filter_map(|case: &Case| Some((case.forecast.as_ref().ok()?.makespan, &case.order)));
    let Some((without, order)) = best.min_by_key(|(makespan, _)| *makespan) else { return Vec::new() };
    let Some((_, config)) = orders.iter().find(|(name, _)| name == order) else { return Vec::new() };
    let mut kinds: Vec<&DeviceInfo> = Vec::new();
    for info in &devices.infos {
        if kinds.iter().all(|kind| kind.memory != info.memory) {
            kinds.push(info);
        }
    }
    let one_more = kinds.into_iter().filter_map(|kind| {
        let mut infos = devices.infos.clone();
        infos.push(another(kind, &devices.infos));
        let more = PlannedDevices { label: String::new(), infos, slots_beside: devices.slots_beside };
        let with = planned.simulate(&more, config, seed, overlap).ok()?.makespan;
        let what = kind.memory.map_or_else(|| "slot".to_owned(), |memory| format!("{memory} card"));
        Some(OneMore {
            devices: devices.label.clone(),
            what,
            order: order.clone(),
            makespan: (without, with),
        })
    });
    one_more.collect()
}

/// One more of a kind, under a name that none has.
fn another(kind: &DeviceInfo, all: &[DeviceInfo]) -> DeviceInfo {
    let is_free = |device: &Device| all.iter().all(|info| info.device != *device);
    let device = match kind.device {
        Device::Cpu => Device::Cpu,
        _ => (0..=u32::MAX).map(Device::Sim).find(is_free).unwrap_or(kind.device),
    };
    DeviceInfo { device, uuid: None, ..kind.clone() }
}
