//! `Planned`: a flow with everything that is simulated of it.

use std::rc::Rc;
use std::time::Duration;

use fedflow_core::{
    Config, Device, DeviceInfo, DevicePool, FlowError, Forecast, LeaseTable, PlannedTimes, Scenario,
    TaskGroup,
};
use fedflow_gpu::DeviceChoice;

use super::earlier::EarlierDurations;
use super::limits::LoadingLimits;
use crate::commands::command_error::CommandError;
use crate::commands::flow_setup::{open_devices, say_note};

/// A flow with everything that is simulated of it.
pub(super) struct Planned {
    /// The flow's name.
    pub(super) flow: String,
    pub(super) groups: Vec<TaskGroup>,
    /// How long each task is expected to take.
    pub(super) times: Rc<PlannedTimes>,
    /// Whether the run knows that beforehand.
    pub(super) foreseen: bool,
    /// The earlier run that `--from` names.
    pub(super) earlier: Option<EarlierDurations>,
    pub(super) cases: Vec<Case>,
    /// What one more device of each size would bring.
    pub(super) one_more: Vec<OneMore>,
}

/// Devices to simulate.
pub(super) struct PlannedDevices {
    /// What they are called.
    pub(super) label: String,
    pub(super) infos: Vec<DeviceInfo>,
    /// How many CPU slots there are beside cards.
    pub(super) slots_beside: u32,
}

/// One way to run the flow, with its forecast.
pub(super) struct Case {
    pub(super) devices: String,
    /// The start order.
    pub(super) order: String,
    /// Whether tasks load while others train.
    pub(super) overlap: bool,
    /// The forecast, or why the flow cannot run so.
    pub(super) forecast: Result<Forecast, FlowError>,
    /// Limits of the configuration that keep tasks from loading while devices idle; none if there are none.
    pub(super) limited: Option<LoadingLimits>,
}

/// What one more device would bring.
pub(super) struct OneMore {
    /// The devices beside it.
    pub(super) devices: String,
    /// What it is called: `80GB card`, `slot`.
    pub(super) what: String,
    /// The start order, the best of those that were compared.
    pub(super) order: String,
    /// How long the flow takes without it, and with it.
    pub(super) makespan: (Duration, Duration),
}

impl Planned {
    /// The devices to simulate: those of `--devices`, else those of the earlier run, else those of this machine.
    pub(super) fn devices(
        &self,
        asked: &[String],
        config: &Config,
    ) -> Result<Vec<PlannedDevices>, CommandError> {
        if asked.is_empty()
            && let Some(earlier) = self.earlier.as_ref().filter(|earlier| !earlier.devices.is_empty())
        {
            let (infos, slots_beside) = (earlier.devices.clone(), earlier.slots_beside);
            return Ok(vec![PlannedDevices { label: label(&infos), infos, slots_beside }]);
        }
        let auto = ["auto".to_owned()];
        let asked = if asked.is_empty() { &auto } else { asked };
        let open = |text: &String| {
            let opened = open_devices(text, config)?;
            say_note(&opened);
            let (infos, slots_beside) = (opened.pool().devices(), opened.pool().slots_beside());
            let label = if text == "auto" { label(&infos) } else { text.clone() };
            Ok(PlannedDevices { label, infos, slots_beside })
        };
        asked.iter().map(open).collect()
    }

    /// Simulates the flow.
    pub(super) fn simulate(
        &self,
        devices: &PlannedDevices,
        config: &Config,
        seed: u64,
        overlap: bool,
    ) -> Result<Forecast, FlowError> {
        let scenario = Scenario {
            flow: format!("{} (simulated)", self.flow),
            devices: LeaseTable::of_devices(&devices.infos, config).with_slots_beside(devices.slots_beside),
            config: config.clone(),
            seed,
            overlap,
            foreseen: self.foreseen,
        };
        Forecast::of(scenario, self.groups.clone(), &self.times)
    }

    /// Simulates one more way to run the flow.
    pub(super) fn add_case(
        &mut self,
        devices: &PlannedDevices,
        (order, config): &(String, Config),
        seed: u64,
        overlap: bool,
    ) {
        let simulate = |config: &Config| self.simulate(devices, config, seed, overlap);
        let forecast = simulate(config);
        let limited = forecast.as_ref().ok().filter(|_| overlap).and_then(|forecast| {
            let makespan = |config: &Config| Some(simulate(config).ok()?.makespan);
            LoadingLimits::find(forecast, self.times.len(), config, makespan)
        });
        let (devices, order) = (devices.label.clone(), order.clone());
        self.cases.push(Case { devices, order, overlap, forecast, limited });
    }
}

/// A short name of devices: `cpu:4`, `sim:1x24GB+1x8GB`, `cuda:0,cuda:1`, `8 cards`.
pub(super) fn label(infos: &[DeviceInfo]) -> String {
    const NAMED: usize = 4;
    if infos.iter().all(|info| info.device == Device::Cpu) {
        return format!("cpu:{}", infos.len());
    }
    let simulated = |info: &DeviceInfo| info.memory.filter(|_| matches!(info.device, Device::Sim(_)));
    if let Some(sizes) = infos.iter().map(simulated).collect::<Option<Vec<_>>>()
        && sizes.chunk_by(|a, b| a == b).count() <= NAMED
    {
        return DeviceChoice::Sim(sizes).to_string();
    }
    if infos.len() > NAMED {
        return format!("{} cards", infos.len());
    }
    infos.iter().map(|info| info.device.to_string()).collect::<Vec<_>>().join(",")
}

#[cfg(test)]
mod tests {
    use fedflow_core::Size;

    use super::*;

    #[test]
    fn simulated_cards_are_called_what_can_be_typed_back() {
        let cards = |sizes: &[u64]| -> Vec<DeviceInfo> {
            let card = |(place, &gb): (u32, &u64)| DeviceInfo {
                device: Device::Sim(place),
                uuid: None,
                name: String::new(),
                memory: Some(Size::from_gb(gb)),
            };
            (0..).zip(sizes).map(card).collect()
        };
        assert_eq!(label(&cards(&[24, 12])), "sim:1x24GB+1x12GB");
        assert_eq!(label(&cards(&[24; 8])), "sim:8x24GB");
        assert_eq!(label(&cards(&[1, 2, 3, 4, 5])), "5 cards");
    }
}
