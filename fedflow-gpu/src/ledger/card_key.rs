//! `CardKey`: how a device is named in the ledger, and which lock covers it.

use fedflow_core::{Device, DeviceInfo};

/// The names of a device in the ledger.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct CardKey {
    /// The name in bookings.
    pub(super) card: String,
    /// The name of its lock. All CPU slots have one lock together.
    pub(super) lock: String,
}

impl CardKey {
    /// The key of a pool's device. Cards are named by UUID; simulated cards and CPU slots by number. `number` is that of a
    /// CPU slot.
    pub(crate) fn of(info: &DeviceInfo, number: usize) -> Self {
        match (&info.uuid, info.device) {
            (Some(uuid), _) => Self::locked_alone(Self::of_uuid(uuid)),
            (None, Device::Cpu) => Self { card: format!("cpu-{number}"), lock: "cpu".into() },
            (None, Device::Sim(ordinal)) => Self::locked_alone(format!("sim-{ordinal}")),
            (None, Device::Cuda(ordinal)) => Self::locked_alone(format!("cuda-{ordinal}")),
        }
    }

    /// The name of a card or instance with this UUID, with only characters that a file's name may have.
    pub(crate) fn of_uuid(uuid: &str) -> String {
        let plain = |c: char| if c.is_ascii_alphanumeric() || c == '-' { c } else { '_' };
        uuid.chars().map(plain).take(100).collect()
    }

    /// The device that a name stands for on any machine; `None` if the name is a UUID.
    pub(crate) fn device(card: &str) -> Option<Device> {
        let (kind, number) = card.split_once('-')?;
        match kind {
            "sim" => number.parse().ok().map(Device::Sim),
            "cpu" => number.parse::<u32>().ok().map(|_| Device::Cpu),
            _ => None,
        }
    }

    fn locked_alone(card: String) -> Self {
        Self { lock: card.clone(), card }
    }
}
