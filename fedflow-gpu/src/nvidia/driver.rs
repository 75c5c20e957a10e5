//! `Driver`: NVIDIA's management library (NVML). No other file calls it.
//!
//! Each call names its card by UUID, never by a number that may have passed to another card.

use std::ffi::OsStr;
use std::path::Path;

use fedflow_core::Size;
use nvml_wrapper::Nvml;
use nvml_wrapper::enum_wrappers::device::{Clock, TemperatureSensor};
use nvml_wrapper::enums::device::UsedGpuMemory;
use nvml_wrapper::error::{NvmlError, nvml_try};
use nvml_wrapper::struct_wrappers::device::ProcessInfo;

use super::card_facts::{CardError, CardMemory, CardProcess, CardRole, CardVitals, FoundCard, NoDriver};

const LIBRARY: &str = "libnvidia-ml.so.1";

/// Memory that an idle card may report as used though no process uses it.
const OVERHEAD: Size = Size::from_bytes(256 << 20);

/// The same for a driver that does not tell what it reserves for itself.
const OVERHEAD_WITH_RESERVED: Size = Size::from_bytes(1 << 30);

/// `NVML_ERROR_ARGUMENT_VERSION_MISMATCH`: the library has the function, but not for this version of its argument.
const VERSION_MISMATCH: u32 = 25;

/// `NVML_ERROR_GPU_NOT_FOUND`
const GPU_NOT_FOUND: u32 = 28;

/// The loaded library. A call takes from microseconds to a few milliseconds.
#[derive(Debug)]
pub(crate) struct Driver {
    nvml: Nvml,
}

impl Driver {
    /// Loads the library, from `path` if one is given, and initialises it.
    pub(crate) fn open(path: Option<&Path>) -> Result<Self, NoDriver> {
        let path = path.map_or(OsStr::new(LIBRARY), Path::as_os_str);
        let nvml = Nvml::builder().lib_path(path).init().map_err(no_driver)?;
        Ok(Self { nvml })
    }

    pub(crate) fn version(&self) -> Option<String> {
        self.nvml.sys_driver_version().ok()
    }

    /// The version of CUDA that the driver supports, such as `12.4`.
    pub(crate) fn cuda_version(&self) -> Option<String> {
        let version = self.nvml.sys_cuda_driver_version().ok()?;
        Some(format!("{}.{}", version / 1000, version % 1000 / 10))
    }

    /// All cards in PCI order, each followed by its MIG instances. A card that fails is listed with its error.
    pub(crate) fn find_cards(&self) -> Result<Vec<FoundCard>, NoDriver> {
        let count = self.nvml.device_count().map_err(no_driver)?;
        let mut found = Vec::new();
        for index in 0..count {
            let mut card = FoundCard::unknown(index, CardRole::Whole);
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
                Err(error) => found.push(FoundCard { error: Some(error), ..card }),
            }
        }
        Ok(found)
    }

    /// A card's memory; `None` if the card has no memory of its own.
    pub(crate) fn memory(&self, uuid: &str) -> Result<Option<CardMemory>, CardError> {
        memory_of(&self.device(uuid)?)
    }

    /// The processes that use a card; `None` if the driver does not tell.
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

    pub(crate) fn vitals(&self, uuid: &str) -> Result<CardVitals, CardError> {
        let device = self.device(uuid)?;
        Ok(CardVitals {
            utilization: told(device.utilization_rates())?.map(|rates| rates.gpu),
            temperature: told(device.temperature(TemperatureSensor::Gpu))?,
            power: told(device.power_usage())?,
        })
    }

    /// A card's memory and vitals. A value that cannot be read is left out; only a card that is gone is an error.
    pub(crate) fn observe(&self, uuid: &str) -> Result<(Option<CardMemory>, CardVitals), CardError> {
        let device = self.device(uuid)?;
        let vitals = CardVitals {
            utilization: unless_gone(told(device.utilization_rates()))?.map(|rates| rates.gpu),
            temperature: unless_gone(told(device.temperature(TemperatureSensor::Gpu)))?,
            power: unless_gone(told(device.power_usage()))?,
        };
        Ok((unless_gone(memory_of(&device))?, vitals))
    }

    fn device(&self, uuid: &str) -> Result<nvml_wrapper::Device<'_>, CardError> {
        self.nvml.device_by_uuid(uuid).map_err(|error| match error {
            // The card was there when the run began.
            NvmlError::NotFound | NvmlError::InvalidArg => CardError::Lost,
            error => card_error(error),
        })
    }
}

/// Fills in what a card tells of itself; stops at the first call that fails.
fn describe(device: &nvml_wrapper::Device<'_>, card: &mut FoundCard) -> Result<(), CardError> {
    card.uuid = told(device.uuid())?;
    card.name = told(device.name())?;
    card.pci_bus_id = told(device.pci_info())?.map(|pci| pci.bus_id);
    card.memory = memory_of(device)?;
    let cores = told(device.num_cores())?;
    let clock = told(device.max_clock_info(Clock::SM))?;
    card.speed = cores.zip(clock).map(|(cores, clock)| u64::from(cores) * u64::from(clock));
    if card.uuid.is_none() {
        // Without a UUID there is no way to make it the only card that a process sees.
        return Err(CardError::Failed("it has no UUID".into()));
    }
    Ok(())
}

fn instances_of(device: &nvml_wrapper::Device<'_>, index: u32) -> Result<Vec<FoundCard>, CardError> {
    let mut instances = Vec::new();
    for place in 0..told(device.mig_device_count())?.unwrap_or(0) {
        // Places without an instance are normal.
        let Some(instance) = told(device.mig_device_by_index(place))? else { continue };
        let mut card = FoundCard::unknown(index, CardRole::Instance);
        card.error = describe(&instance, &mut card).err();
        instances.push(card);
    }
    Ok(instances)
}

fn memory_of(device: &nvml_wrapper::Device<'_>) -> Result<Option<CardMemory>, CardError> {
    match device.memory_info() {
        Ok(info) => Ok(Some(CardMemory {
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

/// The first version of the function, for drivers that lack the second.
fn old_memory_of(device: &nvml_wrapper::Device<'_>) -> Result<Option<CardMemory>, CardError> {
    let Ok(function) = &device.nvml().lib().nvmlDeviceGetMemoryInfo else { return Ok(None) };
    // SAFETY: the structure is three integers, for which zero is a valid value, and it is the one that the function's
    // signature names. The handle comes from a `Device`, which keeps its library loaded as long as it lives.
    let (info, code) = unsafe {
        let mut info = std::mem::zeroed();
        let code = function(device.handle(), &raw mut info);
        (info, code)
    };
    let info = told(nvml_try(code).map(|()| info))?;
    Ok(info.map(|info| CardMemory {
        total: Size::from_bytes(info.total),
        reserved: Size::ZERO,
        used: Size::from_bytes(info.used),
        free: Size::from_bytes(info.free),
        overhead: OVERHEAD_WITH_RESERVED,
    }))
}

/// One row for each process: a process that computes and draws is in both lists.
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

/// A value that the card or its driver does not have is `None`; every other failure is the card's error.
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

/// Drops the error of a single value, unless it says that the card is gone.
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
