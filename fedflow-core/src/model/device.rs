//! Devices: their names, what is known of them, and how a task is pinned to one.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::model::quantity::Size;

/// The name of a device: `cpu`, `cuda:1`, or `sim:0` for a simulated card.
///
/// The number is the card's ordinal among the cards that the run sees, in PCI order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Device {
    /// A CPU slot.
    Cpu,
    /// A CUDA card, by ordinal.
    Cuda(u32),
    /// A simulated card, by ordinal.
    Sim(u32),
}

/// A text does not name a device.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no device; write \"cpu\", \"cuda:0\" or a card's UUID (\"GPU-…\" or \"MIG-…\")")]
pub struct DeviceError(String);

impl FromStr for Device {
    type Err = DeviceError;

    fn from_str(text: &str) -> Result<Self, DeviceError> {
        let error = || DeviceError(text.into());
        match text.split_once(':') {
            None if text == "cpu" => Ok(Self::Cpu),
            Some(("cuda", ordinal)) => ordinal.parse().map(Self::Cuda).map_err(|_| error()),
            Some(("sim", ordinal)) => ordinal.parse().map(Self::Sim).map_err(|_| error()),
            _ => Err(error()),
        }
    }
}

impl fmt::Display for Device {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Cpu => f.pad("cpu"),
            Self::Cuda(ordinal) => f.pad(&format!("cuda:{ordinal}")),
            Self::Sim(ordinal) => f.pad(&format!("sim:{ordinal}")),
        }
    }
}

impl TryFrom<String> for Device {
    type Error = DeviceError;

    fn try_from(text: String) -> Result<Self, DeviceError> {
        text.parse()
    }
}

impl From<Device> for String {
    fn from(device: Device) -> Self {
        device.to_string()
    }
}

/// The device that a task is pinned to.
///
/// On simulated cards `cuda:N` means `sim:N`, so that a flow for real cards can be tried without them.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Pin {
    /// By name.
    Device(Device),
    /// By the UUID of a card or of a MIG instance.
    Uuid(String),
}

impl Pin {
    /// Whether the CPU is meant, so that no card is needed.
    #[must_use]
    pub fn is_cpu(&self) -> bool {
        *self == Self::Device(Device::Cpu)
    }

    /// Whether a device is the one that is meant.
    #[must_use]
    pub fn matches(&self, device: Device, uuid: Option<&str>) -> bool {
        match (self, device) {
            (Self::Device(Device::Cuda(pinned)), Device::Sim(ordinal)) => *pinned == ordinal,
            (Self::Device(pinned), device) => *pinned == device,
            (Self::Uuid(pinned), _) => uuid == Some(pinned),
        }
    }
}

impl FromStr for Pin {
    type Err = DeviceError;

    fn from_str(text: &str) -> Result<Self, DeviceError> {
        if text.starts_with("GPU-") || text.starts_with("MIG-") {
            return Ok(Self::Uuid(text.into()));
        }
        text.parse().map(Self::Device)
    }
}

impl fmt::Display for Pin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Device(device) => device.fmt(f),
            Self::Uuid(uuid) => f.pad(uuid),
        }
    }
}

impl TryFrom<String> for Pin {
    type Error = DeviceError;

    fn try_from(text: String) -> Result<Self, DeviceError> {
        text.parse()
    }
}

impl From<Pin> for String {
    fn from(pin: Pin) -> Self {
        pin.to_string()
    }
}

/// What a run knows of one of its devices.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeviceInfo {
    /// Its name in this run.
    pub device: Device,
    /// The UUID of a card; `None` for a CPU slot and a simulated card.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub uuid: Option<String>,
    /// The product's name, such as `NVIDIA H100`.
    pub name: String,
    /// Its memory; `None` for a CPU slot.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub memory: Option<Size>,
}

impl DeviceInfo {
    /// A CPU slot.
    #[must_use]
    pub fn cpu_slot() -> Self {
        Self { device: Device::Cpu, uuid: None, name: "CPU slot".into(), memory: None }
    }

    /// A simulated card: `sim:N` with so much memory.
    #[must_use]
    pub fn simulated(ordinal: u32, memory: Size) -> Self {
        Self { device: Device::Sim(ordinal), uuid: None, name: "simulated card".into(), memory: Some(memory) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_come_back_as_they_were() {
        for text in ["cpu", "cuda:0", "cuda:13", "sim:2"] {
            assert_eq!(text.parse::<Device>().unwrap().to_string(), text);
        }
        for text in ["gpu", "cuda", "cuda:", "cuda:x", "cpu:1", "CUDA:0", ""] {
            assert!(text.parse::<Device>().is_err(), "{text}");
        }
    }

    #[test]
    fn a_pin_means_one_card() {
        let pin: Pin = "cuda:1".parse().unwrap();
        assert!(pin.matches(Device::Cuda(1), None));
        assert!(pin.matches(Device::Sim(1), None));
        assert!(!pin.matches(Device::Cuda(0), None));
        let uuid: Pin = "GPU-5".parse().unwrap();
        assert!(uuid.matches(Device::Cuda(7), Some("GPU-5")));
        assert!(!uuid.matches(Device::Cuda(5), None));
    }
}
