//! What is known of a card, and why a card or the driver cannot be used. Nothing here calls the driver.

use fedflow_core::Size;
use serde::Serialize;

/// Why NVIDIA's driver cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NoDriver {
    /// The library is missing or cannot be loaded. Holds the loader's message.
    #[error("NVIDIA's management library cannot be loaded; is the driver installed? ({0})")]
    NoLibrary(String),
    /// The library lacks a function that every driver of the last ten years has. Holds the function's name.
    #[error("NVIDIA's management library is too old or not what it seems ({0})")]
    Unusable(String),
    /// The driver was updated and the kernel still runs the old one.
    #[error("NVIDIA's library and kernel module differ in version; reboot after an update of the driver")]
    VersionMismatch,
    /// The kernel module is not loaded.
    #[error("NVIDIA's kernel module is not loaded")]
    NotLoaded,
    /// The user may not use the driver.
    #[error("no permission to talk to NVIDIA's driver; look at the access rights of /dev/nvidia*")]
    NoPermission,
    /// The driver works and finds no card.
    #[error("NVIDIA's driver finds no card")]
    NoCard,
    /// Any other failure, in NVML's words.
    #[error("NVIDIA's driver fails: {0}")]
    Failed(String),
}

/// Why a card cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, thiserror::Error)]
#[serde(rename_all = "kebab-case")]
pub enum CardError {
    /// It no longer answers.
    #[error("it has fallen off the bus or does not answer any more")]
    Lost,
    /// It must be reset.
    #[error("it must be reset before it can be used again")]
    ResetRequired,
    /// The user may not use it.
    #[error("no permission to use it")]
    NoPermission,
    /// It has no power.
    #[error("its power cables are not attached properly")]
    NoPower,
    /// It is divided into MIG instances, which are leased in its place.
    #[error("it is divided into MIG instances; name one of them by its UUID")]
    Divided,
    /// Any other failure, in NVML's words.
    #[error("NVML says: {0}")]
    Failed(String),
}

/// Whether a card is whole, divided, or an instance of a divided one (NVIDIA's MIG).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum CardRole {
    /// An undivided card.
    Whole,
    /// A card that is divided into instances and cannot be leased itself.
    Divided,
    /// A MIG instance.
    Instance,
}

/// A card or a MIG instance as discovery found it. `None` means that the driver does not tell.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct FoundCard {
    /// NVML's number of the card, in the order of the PCI bus. An instance has the number of its card.
    pub(crate) index: u32,
    pub(crate) role: CardRole,
    pub(crate) uuid: Option<String>,
    pub(crate) name: Option<String>,
    pub(crate) pci_bus_id: Option<String>,
    pub(crate) memory: Option<CardMemory>,
    /// Cores times clock: a rough measure to order cards by.
    pub(crate) speed: Option<u64>,
    /// Why it cannot be used, if so.
    pub(crate) error: Option<CardError>,
}

impl FoundCard {
    /// A card of which nothing is known yet.
    pub(crate) fn unknown(index: u32, role: CardRole) -> Self {
        Self { index, role, uuid: None, name: None, pci_bus_id: None, memory: None, speed: None, error: None }
    }

    /// The card's UUID, else its place on the bus, else its number.
    pub(crate) fn label(&self) -> String {
        let known = self.uuid.as_ref().or(self.pci_bus_id.as_ref());
        known.cloned().unwrap_or_else(|| format!("number {}", self.index))
    }
}

/// A card's memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct CardMemory {
    pub(crate) total: Size,
    /// What the driver keeps for itself; zero if it does not tell.
    pub(crate) reserved: Size,
    pub(crate) used: Size,
    pub(crate) free: Size,
    /// How much of `used` may be there on an idle card.
    pub(crate) overhead: Size,
}

/// A process on a card. Its number is the host's: inside a container it is only a hint.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct CardProcess {
    pub(crate) pid: u32,
    pub(crate) memory: Option<Size>,
}

/// The measurements of a card that change all the time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct CardVitals {
    /// In percent.
    pub(crate) utilization: Option<u32>,
    /// In degrees Celsius.
    pub(crate) temperature: Option<u32>,
    /// In milliwatts.
    pub(crate) power: Option<u32>,
}
