//! NVIDIA's management library: the only file that calls it.
//!
//! Cards are asked for by UUID at each call, never by a number that another card could have got meanwhile.

use std::ffi::OsStr;
use std::path::Path;

use fedflow_core::Size;
use nvml_wrapper::Nvml;
use nvml_wrapper::enum_wrappers::device::{Clock, TemperatureSensor};
use nvml_wrapper::enums::device::UsedGpuMemory;
use nvml_wrapper::error::{NvmlError, nvml_try};
use nvml_wrapper::struct_wrappers::device::ProcessInfo;
use serde::Serialize;

const LIBRARY: &str = "libnvidia-ml.so.1";

/// What an idle card may show as used though no process uses it.
const OVERHEAD: Size = Size::from_bytes(256 << 20);

/// The same where the driver cannot tell apart what it reserved for itself.
const OVERHEAD_WITH_RESERVED: Size = Size::from_bytes(1 << 30);

/// `NVML_ERROR_ARGUMENT_VERSION_MISMATCH`: the library has the call, but not for this version of its argument.
const VERSION_MISMATCH: u32 = 25;

/// `NVML_ERROR_GPU_NOT_FOUND`
const GPU_NOT_FOUND: u32 = 28;

/// Why NVIDIA's driver cannot be asked.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NoDriver {
    /// The library is not there, or cannot be loaded. Holds the loader's words.
    #[error("NVIDIA's management library cannot be loaded; is the driver installed? ({0})")]
    NoLibrary(String),
    /// The library lacks what every driver of the last ten years has. Holds the missing function.
    #[error("NVIDIA's management library is too old or not what it seems ({0})")]
    Unusable(String),
    /// A driver was updated and the kernel still runs the old one.
    #[error("NVIDIA's library and kernel module differ in version; reboot after an update of the driver")]
    VersionMismatch,
    /// The kernel module is not loaded.
    #[error("NVIDIA's kernel module is not loaded")]
    NotLoaded,
    /// The user may not talk to the driver.
    #[error("no permission to talk to NVIDIA's driver; look at the access rights of /dev/nvidia*")]
    NoPermission,
    /// There is a driver, but no card for it.
    #[error("NVIDIA's driver finds no card")]
    NoCard,
    /// Anything else, in NVML's words.
    #[error("NVIDIA's driver fails: {0}")]
    Failed(String),
}

/// Why a card cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, thiserror::Error)]
#[serde(rename_all = "kebab-case")]
pub enum CardError {
    /// It does not answer any more.
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
    /// Anything else, in NVML's words.
    #[error("NVML says: {0}")]
    Failed(String),
}

/// What a card is with regard to MIG.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum CardRole {
    /// An undivided card.
    Whole,
    /// A card that is divided into instances, and cannot be leased itself.
    Divided,
    /// A MIG instance.
    Instance,
}

/// A card, or a MIG instance, as discovery found it. What the driver does not tell is `None`.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Found {
    /// NVML's number of the card, an instance's being that of its card. It follows the order on the PCI bus.
    pub(crate) index: u32,
    pub(crate) role: CardRole,
    pub(crate) uuid: Option<String>,
    pub(crate) name: Option<String>,
    pub(crate) pci_bus_id: Option<String>,
    pub(crate) memory: Option<Memory>,
    /// Cores times clock: a rough measure to order cards by.
    pub(crate) speed: Option<u64>,
    /// Why it cannot be used, if so.
    pub(crate) error: Option<CardError>,
}

impl Found {
    /// A card of which nothing is known yet.
    pub(crate) fn unknown(index: u32, role: CardRole) -> Self {
        Self { index, role, uuid: None, name: None, pci_bus_id: None, memory: None, speed: None, error: None }
    }
}

/// A card's memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Memory {
    pub(crate) total: Size,
    /// What the driver keeps for itself, if it tells.
    pub(crate) reserved: Size,
    pub(crate) used: Size,
    pub(crate) free: Size,
    /// As much of `used` may be there on an idle card.
    pub(crate) overhead: Size,
}

/// A process on a card. Its id is the host's: a hint.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct CardProcess {
    pub(crate) pid: u32,
    pub(crate) memory: Option<Size>,
}

/// What changes all the time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Vitals {
    /// In percent.
    pub(crate) utilization: Option<u32>,
    /// In degrees Celsius.
    pub(crate) temperature: Option<u32>,
    /// In milliwatts.
    pub(crate) power: Option<u32>,
}

/// The loaded library. Its calls take from microseconds to some milliseconds.
#[derive(Debug)]
pub(crate) struct Driver {
    nvml: Nvml,
}

impl Driver {
    /// Loads the library, from `path` if it is given, and starts it.
    pub(crate) fn open(path: Option<&Path>) -> Result<Self, NoDriver> {
        let path = path.map_or(OsStr::new(LIBRARY), Path::as_os_str);
        let nvml = Nvml::builder().lib_path(path).init().map_err(no_driver)?;
        Ok(Self { nvml })
    }

    pub(crate) fn version(&self) -> Option<String> {
        self.nvml.sys_driver_version().ok()
    }

    /// The version of CUDA that the driver speaks, such as `12.4`.
    pub(crate) fn cuda_version(&self) -> Option<String> {
        let version = self.nvml.sys_cuda_driver_version().ok()?;
        Some(format!("{}.{}", version / 1000, version % 1000 / 10))
    }

    /// All cards in PCI order, each followed by its MIG instances. One that fails is there with its error.
    pub(crate) fn find_cards(&self) -> Result<Vec<Found>, NoDriver> {
        let count = self.nvml.device_count().map_err(no_driver)?;
        let mut found = Vec::new();
        for index in 0..count {
            let mut card = Found::unknown(index, CardRole::Whole);
            let instances = self.nvml.device_by_index(index).map_err(card_error).and_then(|device| {
                describe(&device, &mut card)?;
                if told(device.mig_mode())?.is_none_or(|mode| mode.current == 0) {
                    return Ok(Vec::new());
                }
                card.role = CardRole::Divided;
                instances_of(&device, index)
            });
            match instances {
                Ok(instances) => {
                    found.push(card);
                    found.extend(instances);
                }
                Err(error) => found.push(Found { error: Some(error), ..card }),
            }
        }
        Ok(found)
    }

    /// A card's memory; `None` if it has none of its own.
    pub(crate) fn memory(&self, uuid: &str) -> Result<Option<Memory>, CardError> {
        memory_of(&self.device(uuid)?)
    }

    /// Who uses a card; `None` if the driver does not tell.
    pub(crate) fn processes(&self, uuid: &str) -> Result<Option<Vec<CardProcess>>, CardError> {
        let device = self.device(uuid)?;
        let computing = told(device.running_compute_processes())?;
        let drawing = told(device.running_graphics_processes())?;
        if computing.is_none() && drawing.is_none() {
            return Ok(None);
        }
        let rows = computing.into_iter().chain(drawing).flatten();
        Ok(Some(merge(rows)))
    }

    pub(crate) fn vitals(&self, uuid: &str) -> Result<Vitals, CardError> {
        let device = self.device(uuid)?;
        Ok(Vitals {
            utilization: told(device.utilization_rates())?.map(|rates| rates.gpu),
            temperature: told(device.temperature(TemperatureSensor::Gpu))?,
            power: told(device.power_usage())?,
        })
    }

    /// A card's memory and vitals. What it does not tell is left out; only a card that is gone is an error.
    pub(crate) fn observe(&self, uuid: &str) -> Result<(Option<Memory>, Vitals), CardError> {
        let device = self.device(uuid)?;
        let vitals = Vitals {
            utilization: unless_gone(told(device.utilization_rates()))?.map(|rates| rates.gpu),
            temperature: unless_gone(told(device.temperature(TemperatureSensor::Gpu)))?,
            power: unless_gone(told(device.power_usage()))?,
        };
        Ok((unless_gone(memory_of(&device))?, vitals))
    }

    fn device(&self, uuid: &str) -> Result<nvml_wrapper::Device<'_>, CardError> {
        self.nvml.device_by_uuid(uuid).map_err(|error| match error {
            // It was there when the run began.
            NvmlError::NotFound | NvmlError::InvalidArg => CardError::Lost,
            error => card_error(error),
        })
    }
}

/// Fills in what a card tells of itself; stops at the first thing that fails.
fn describe(device: &nvml_wrapper::Device<'_>, card: &mut Found) -> Result<(), CardError> {
    card.uuid = told(device.uuid())?;
    card.name = told(device.name())?;
    card.pci_bus_id = told(device.pci_info())?.map(|pci| pci.bus_id);
    card.memory = memory_of(device)?;
    let cores = told(device.num_cores())?;
    let clock = told(device.max_clock_info(Clock::SM))?;
    card.speed = cores.zip(clock).map(|(cores, clock)| u64::from(cores) * u64::from(clock));
    if card.uuid.is_none() {
        // A card that cannot be named cannot be made the only one that a process sees.
        return Err(CardError::Failed("it has no UUID".into()));
    }
    Ok(())
}

fn instances_of(device: &nvml_wrapper::Device<'_>, index: u32) -> Result<Vec<Found>, CardError> {
    let mut instances = Vec::new();
    for slot in 0..told(device.mig_device_count())?.unwrap_or(0) {
        // Slots without an instance are normal.
        let Some(instance) = told(device.mig_device_by_index(slot))? else { continue };
        let mut card = Found::unknown(index, CardRole::Instance);
        card.error = describe(&instance, &mut card).err();
        instances.push(card);
    }
    Ok(instances)
}

fn memory_of(device: &nvml_wrapper::Device<'_>) -> Result<Option<Memory>, CardError> {
    match device.memory_info() {
        Ok(info) => Ok(Some(Memory {
            total: Size::from_bytes(info.total),
            reserved: Size::from_bytes(info.reserved),
            used: Size::from_bytes(info.used),
            free: Size::from_bytes(info.free),
            overhead: OVERHEAD,
        })),
        Err(
            NvmlError::FailedToLoadSymbol(_)
            | NvmlError::FunctionNotFound
            | NvmlError::UnexpectedVariant(VERSION_MISMATCH),
        ) => old_memory_of(device),
        Err(error) => told(Err(error)),
    }
}

/// The first version of the call, for drivers that lack the second.
fn old_memory_of(device: &nvml_wrapper::Device<'_>) -> Result<Option<Memory>, CardError> {
    let Ok(function) = &device.nvml().lib().nvmlDeviceGetMemoryInfo else { return Ok(None) };
    // SAFETY: the structure is three integers, for which zero is a value. The handle comes from a `Device`, whose
    // library is loaded as long as it lives, and the structure is the one that the function's signature names.
    let (info, code) = unsafe {
        let mut info = std::mem::zeroed();
        let code = function(device.handle(), &raw mut info);
        (info, code)
    };
    let info = told(nvml_try(code).map(|()| info))?;
    Ok(info.map(|info| Memory {
        total: Size::from_bytes(info.total),
        reserved: Size::ZERO,
        used: Size::from_bytes(info.used),
        free: Size::from_bytes(info.free),
        overhead: OVERHEAD_WITH_RESERVED,
    }))
}

/// One row a process: one that computes and draws stands in both lists.
fn merge(rows: impl Iterator<Item = ProcessInfo>) -> Vec<CardProcess> {
    let mut processes: Vec<CardProcess> = Vec::new();
    for row in rows {
        let memory = match row.used_gpu_memory {
            UsedGpuMemory::Used(bytes) => Some(Size::from_bytes(bytes)),
            UsedGpuMemory::Unavailable => None,
        };
        match processes.iter_mut().find(|known| known.pid == row.pid) {
            Some(known) => known.memory = known.memory.max(memory),
            None => processes.push(CardProcess { pid: row.pid, memory }),
        }
    }
    processes
}

/// What a card or its driver cannot tell is `None`; everything else that goes wrong is the card's error.
fn told<T>(answer: Result<T, NvmlError>) -> Result<Option<T>, CardError> {
    match answer {
        Ok(value) => Ok(Some(value)),
        Err(error @ NvmlError::UnexpectedVariant(GPU_NOT_FOUND)) => Err(card_error(error)),
        Err(
            NvmlError::NotSupported
            | NvmlError::NotFound
            | NvmlError::NoData
            | NvmlError::FailedToLoadSymbol(_)
            | NvmlError::FunctionNotFound
            | NvmlError::UnexpectedVariant(_)
            | NvmlError::InsufficientSize(_)
            | NvmlError::Utf8Error(_),
        ) => Ok(None),
        Err(error) => Err(card_error(error)),
    }
}

/// An error of a single value is no error of its card, unless the card is gone.
fn unless_gone<T>(answer: Result<Option<T>, CardError>) -> Result<Option<T>, CardError> {
    match answer {
        Err(CardError::NoPermission | CardError::Divided | CardError::Failed(_)) => Ok(None),
        answer => answer,
    }
}

fn card_error(error: NvmlError) -> CardError {
    match error {
        NvmlError::GpuLost | NvmlError::UnexpectedVariant(GPU_NOT_FOUND) => CardError::Lost,
        NvmlError::ResetRequired => CardError::ResetRequired,
        NvmlError::NoPermission | NvmlError::OperatingSystem => CardError::NoPermission,
        NvmlError::InsufficientPower => CardError::NoPower,
        error => CardError::Failed(error.to_string()),
    }
}

fn no_driver(error: NvmlError) -> NoDriver {
    match error {
        NvmlError::LibloadingError(error) => NoDriver::NoLibrary(error.to_string()),
        NvmlError::FailedToLoadSymbol(symbol) => NoDriver::Unusable(symbol),
        NvmlError::LibRmVersionMismatch => NoDriver::VersionMismatch,
        NvmlError::DriverNotLoaded => NoDriver::NotLoaded,
        NvmlError::UnexpectedVariant(GPU_NOT_FOUND) => NoDriver::NoCard,
        NvmlError::NoPermission | NvmlError::OperatingSystem => NoDriver::NoPermission,
        error => NoDriver::Failed(error.to_string()),
    }
}
