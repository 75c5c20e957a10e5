//! `OrderChooser`: chooses the start order of each group, with `scheduler.order = "auto"`.

use fedflow_core::{
    ChosenOrder, Config, DevicePool, Durations, Estimates, Known, LeaseTable, Scenario, StartOrder,
    TaskGroup, choose_order,
};

/// The devices and the configuration that a group is tried out with.
pub(super) struct OrderChooser {
    scenario: Scenario,
}

impl OrderChooser {
    /// For a run on these devices; `None` if its order is not to be chosen.
    pub(super) fn new(pool: &impl DevicePool, config: &Config, seed: u64) -> Option<Self> {
        if config.scheduler.order != StartOrder::Auto {
            return None;
        }
        let mut devices = LeaseTable::new(config.scheduler.max_per_device);
        for info in pool.devices() {
            let limits = pool.limits(info.device);
            devices.add_card(info, limits);
        }
        let devices = devices.with_slots_beside(pool.slots_beside());
        let flow = "an order that is tried out".into();
        let config = config.clone();
        Some(Self { scenario: Scenario { flow, devices, config, seed, overlap: true, foreseen: true } })
    }

    /// The order for a group that is about to start, by what is known now.
    pub(super) fn choose(
        &self,
        group: &TaskGroup,
        durations: &Durations,
        estimates: &Estimates,
    ) -> Option<ChosenOrder> {
        choose_order(group, Known { durations, estimates }, &self.scenario)
    }
}
