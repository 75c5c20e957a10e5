//! The exported C functions, under the names and with the signatures of `nvml.h`.

use std::ffi::{CStr, c_char, c_int, c_uint, c_ulonglong};

use crate::answer::{answer, tell, tell_text, write, write_text};
use crate::handle::{Device, Handle, handles};
use crate::layout::{MemoryV1, MemoryV2, PciInfo, ProcessInfo, Utilization};
use crate::script::{Card, Code, Memory};

const NOT_AVAILABLE: c_ulonglong = c_ulonglong::MAX;
const NO_INSTANCE: c_uint = c_uint::MAX;

fn memory(card: &Card) -> Result<Memory, Code> {
    card.memory.ok_or(Code::NotSupported)
}

/// Initialises the library.
#[unsafe(no_mangle)]
pub(crate) extern "C" fn nvmlInit_v2() -> c_uint {
    answer(|script| script.init_error.map_or(Ok(()), Err))
}

/// Ends what [`nvmlInit_v2`] started.
#[unsafe(no_mangle)]
pub(crate) extern "C" fn nvmlShutdown() -> c_uint {
    0
}

/// The driver's version.
///
/// # Safety
/// `version` is null or `length` characters long.
#[unsafe(no_mangle)]
pub(crate) unsafe extern "C" fn nvmlSystemGetDriverVersion(version: *mut c_char, length: c_uint) -> c_uint {
    // SAFETY: the caller's promise.
    answer(|script| unsafe { write_text(version, length, &script.driver) })
}

/// The version of CUDA.
///
/// # Safety
/// `version` is null or can be written.
#[unsafe(no_mangle)]
pub(crate) unsafe extern "C" fn nvmlSystemGetCudaDriverVersion_v2(version: *mut c_int) -> c_uint {
    // SAFETY: the caller's promise.
    answer(|script| unsafe { write(version, script.cuda) })
}

/// The number of cards.
///
/// # Safety
/// `count` is null or can be written.
#[unsafe(no_mangle)]
pub(crate) unsafe extern "C" fn nvmlDeviceGetCount_v2(count: *mut c_uint) -> c_uint {
    answer(|script| {
        let cards = c_uint::try_from(script.cards.len()).map_err(|_| Code::Unknown)?;
        // SAFETY: the caller's promise.
        unsafe { write(count, cards) }
    })
}

/// A card by its place.
///
/// # Safety
/// `device` is null or can be written.
#[unsafe(no_mangle)]
pub(crate) unsafe extern "C" fn nvmlDeviceGetHandleByIndex_v2(index: c_uint, device: *mut Device) -> c_uint {
    answer(|script| {
        let handle = Handle { card: index as usize, instance: None };
        handle.find(script)?.check("nvmlDeviceGetHandleByIndex")?;
        // SAFETY: the caller's promise.
        unsafe { write(device, handle.to_device()) }
    })
}

/// A card or an instance by its UUID.
///
/// # Safety
/// `uuid` is a C string, `device` is null or can be written.
#[unsafe(no_mangle)]
pub(crate) unsafe extern "C" fn nvmlDeviceGetHandleByUUID(
    uuid: *const c_char,
    device: *mut Device,
) -> c_uint {
    answer(|script| {
        // SAFETY: the caller's promise.
        let wanted = unsafe { CStr::from_ptr(uuid) }.to_str().map_err(|_| Code::InvalidArgument)?;
        let handle = handles(script)
            .find(|handle| handle.find(script).is_ok_and(|card| card.uuid == wanted))
            .ok_or(Code::NotFound)?;
        handle.find(script)?.check("nvmlDeviceGetHandleByUUID")?;
        // SAFETY: the caller's promise.
        unsafe { write(device, handle.to_device()) }
    })
}

/// A card's UUID.
///
/// # Safety
/// `buffer` is null or `length` characters long.
#[unsafe(no_mangle)]
pub(crate) unsafe extern "C" fn nvmlDeviceGetUUID(
    device: Device,
    buffer: *mut c_char,
    length: c_uint,
) -> c_uint {
    // SAFETY: the caller's promise.
    unsafe { tell_text("nvmlDeviceGetUUID", device, buffer, length, |card| &card.uuid) }
}

/// A card's name.
///
/// # Safety
/// `buffer` is null or `length` characters long.
#[unsafe(no_mangle)]
pub(crate) unsafe extern "C" fn nvmlDeviceGetName(
    device: Device,
    buffer: *mut c_char,
    length: c_uint,
) -> c_uint {
    // SAFETY: the caller's promise.
    unsafe { tell_text("nvmlDeviceGetName", device, buffer, length, |card| &card.name) }
}

/// A card's place on the PCI bus.
///
/// # Safety
/// `info` is null or can be written.
#[unsafe(no_mangle)]
pub(crate) unsafe extern "C" fn nvmlDeviceGetPciInfo_v3(device: Device, info: *mut PciInfo) -> c_uint {
    // SAFETY: the caller's promise.
    unsafe { tell("nvmlDeviceGetPciInfo", device, info, pci_info) }
}

fn pci_info(card: &Card) -> Result<PciInfo, Code> {
    let number = |from: usize, to: usize| {
        let digits = card.pci_bus_id.get(from..to).ok_or(Code::NotSupported)?;
        c_uint::from_str_radix(digits, 16).map_err(|_| Code::NotSupported)
    };
    let mut info = PciInfo {
        bus_id_legacy: [0; 16],
        domain: number(0, 8)?,
        bus: number(9, 11)?,
        device: number(12, 14)?,
        pci_device_id: 0,
        pci_sub_system_id: 0,
        bus_id: [0; 32],
    };
    // The last place stays zero, which ends a C string.
    for (place, byte) in info.bus_id[..31].iter_mut().zip(card.pci_bus_id.bytes()) {
        *place = byte as c_char;
    }
    Ok(info)
}

/// A card's memory by the first version of the function: what the driver reserves counts as used.
///
/// # Safety
/// `target` is null or can be written.
#[unsafe(no_mangle)]
pub(crate) unsafe extern "C" fn nvmlDeviceGetMemoryInfo(device: Device, target: *mut MemoryV1) -> c_uint {
    let value = |card: &Card| {
        let Memory { total, used, reserved } = memory(card)?;
        let used = used + reserved;
        Ok(MemoryV1 { total, used, free: total.saturating_sub(used) })
    };
    // SAFETY: the caller's promise.
    unsafe { tell("nvmlDeviceGetMemoryInfo", device, target, value) }
}

/// A card's memory.
///
/// # Safety
/// `target` is null or holds a value of its type, and can be written.
#[unsafe(no_mangle)]
pub(crate) unsafe extern "C" fn nvmlDeviceGetMemoryInfo_v2(device: Device, target: *mut MemoryV2) -> c_uint {
    // SAFETY: the caller's promise.
    let version = unsafe { target.as_ref() }.map_or(0, |target| target.version);
    let value = move |card: &Card| {
        if version as usize != MemoryV2::VERSION {
            return Err(Code::ArgumentVersionMismatch);
        }
        let Memory { total, used, reserved } = memory(card)?;
        Ok(MemoryV2 { version, total, reserved, used, free: total.saturating_sub(used + reserved) })
    };
    // SAFETY: the caller's promise.
    unsafe { tell("nvmlDeviceGetMemoryInfo", device, target, value) }
}

/// A card's utilization.
///
/// # Safety
/// `target` is null or can be written.
#[unsafe(no_mangle)]
pub(crate) unsafe extern "C" fn nvmlDeviceGetUtilizationRates(
    device: Device,
    target: *mut Utilization,
) -> c_uint {
    let value = |card: &Card| {
        let gpu = card.utilization.ok_or(Code::NotSupported)?;
        Ok(Utilization { gpu, memory: 0 })
    };
    // SAFETY: the caller's promise.
    unsafe { tell("nvmlDeviceGetUtilizationRates", device, target, value) }
}

/// A card's temperature.
///
/// # Safety
/// `target` is null or can be written.
#[unsafe(no_mangle)]
pub(crate) unsafe extern "C" fn nvmlDeviceGetTemperature(
    device: Device,
    _sensor: c_uint,
    target: *mut c_uint,
) -> c_uint {
    let value = |card: &Card| card.temperature.ok_or(Code::NotSupported);
    // SAFETY: the caller's promise.
    unsafe { tell("nvmlDeviceGetTemperature", device, target, value) }
}

/// A card's power, in milliwatts.
///
/// # Safety
/// `target` is null or can be written.
#[unsafe(no_mangle)]
pub(crate) unsafe extern "C" fn nvmlDeviceGetPowerUsage(device: Device, target: *mut c_uint) -> c_uint {
    // SAFETY: the caller's promise.
    unsafe { tell("nvmlDeviceGetPowerUsage", device, target, |card| card.power.ok_or(Code::NotSupported)) }
}

/// The number of a card's cores.
///
/// # Safety
/// `target` is null or can be written.
#[unsafe(no_mangle)]
pub(crate) unsafe extern "C" fn nvmlDeviceGetNumGpuCores(device: Device, target: *mut c_uint) -> c_uint {
    // SAFETY: the caller's promise.
    unsafe { tell("nvmlDeviceGetNumGpuCores", device, target, |card| card.cores.ok_or(Code::NotSupported)) }
}

/// A card's highest clock, in MHz; the same for all its parts.
///
/// # Safety
/// `target` is null or can be written.
#[unsafe(no_mangle)]
pub(crate) unsafe extern "C" fn nvmlDeviceGetMaxClockInfo(
    device: Device,
    _part: c_uint,
    target: *mut c_uint,
) -> c_uint {
    // SAFETY: the caller's promise.
    unsafe { tell("nvmlDeviceGetMaxClockInfo", device, target, |card| card.clock.ok_or(Code::NotSupported)) }
}

/// The processes that compute on a card.
///
/// # Safety
/// `count` is null or can be read and written; `rows` is null or holds as many places as `count` says.
#[unsafe(no_mangle)]
pub(crate) unsafe extern "C" fn nvmlDeviceGetComputeRunningProcesses_v3(
    device: Device,
    count: *mut c_uint,
    rows: *mut ProcessInfo,
) -> c_uint {
    answer(|script| {
        let card = Handle::from_device(device).ok_or(Code::InvalidArgument)?.find(script)?;
        card.check("nvmlDeviceGetComputeRunningProcesses")?;
        // SAFETY: the caller's promise.
        let room = *unsafe { count.as_ref() }.ok_or(Code::InvalidArgument)? as usize;
        let needed = c_uint::try_from(card.processes.len()).map_err(|_| Code::Unknown)?;
        // SAFETY: the caller's promise.
        unsafe { write(count, needed)? };
        if card.processes.len() > room {
            return Err(Code::InsufficientSize);
        }
        for (place, process) in card.processes.iter().enumerate() {
            let row = ProcessInfo {
                pid: process.pid,
                used_gpu_memory: process.memory.unwrap_or(NOT_AVAILABLE),
                gpu_instance_id: NO_INSTANCE,
                compute_instance_id: NO_INSTANCE,
            };
            // SAFETY: `place` is below `count`, and the caller's promise.
            unsafe { write(rows.wrapping_add(place), row)? };
        }
        Ok(())
    })
}

/// The processes that draw on a card: none.
///
/// # Safety
/// `count` is null or can be written.
#[unsafe(no_mangle)]
pub(crate) unsafe extern "C" fn nvmlDeviceGetGraphicsRunningProcesses_v3(
    device: Device,
    count: *mut c_uint,
    _rows: *mut ProcessInfo,
) -> c_uint {
    // SAFETY: the caller's promise.
    unsafe { tell("nvmlDeviceGetGraphicsRunningProcesses", device, count, |_| Ok(0)) }
}

/// Whether a card is divided into instances now, and after the next reset.
///
/// # Safety
/// `current` and `pending` are null or can be written.
#[unsafe(no_mangle)]
pub(crate) unsafe extern "C" fn nvmlDeviceGetMigMode(
    device: Device,
    current: *mut c_uint,
    pending: *mut c_uint,
) -> c_uint {
    let value = |card: &Card| Ok(c_uint::from(card.instances.is_some()));
    // SAFETY: the caller's promise.
    unsafe {
        match tell("nvmlDeviceGetMigMode", device, current, value) {
            0 => tell("nvmlDeviceGetMigMode", device, pending, value),
            code => code,
        }
    }
}

/// The number of a card's places for instances.
///
/// # Safety
/// `count` is null or can be written.
#[unsafe(no_mangle)]
pub(crate) unsafe extern "C" fn nvmlDeviceGetMaxMigDeviceCount(device: Device, count: *mut c_uint) -> c_uint {
    let value = |card: &Card| {
        let places = card.instances.as_ref().map_or(0, Vec::len);
        c_uint::try_from(places).map_err(|_| Code::Unknown)
    };
    // SAFETY: the caller's promise.
    unsafe { tell("nvmlDeviceGetMaxMigDeviceCount", device, count, value) }
}

/// The instance at a place.
///
/// # Safety
/// `instance` is null or can be written.
#[unsafe(no_mangle)]
pub(crate) unsafe extern "C" fn nvmlDeviceGetMigDeviceHandleByIndex(
    device: Device,
    place: c_uint,
    instance: *mut Device,
) -> c_uint {
    answer(|script| {
        let parent = Handle::from_device(device).ok_or(Code::InvalidArgument)?;
        parent.find(script)?.check("nvmlDeviceGetMigDeviceHandleByIndex")?;
        let handle = Handle { instance: Some(place as usize), ..parent };
        handle.find(script).map_err(|_| Code::NotFound)?.check("nvmlDeviceGetMigDeviceHandleByIndex")?;
        // SAFETY: the caller's promise.
        unsafe { write(instance, handle.to_device()) }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_on_the_bus_is_taken_apart() {
        let card = Card { pci_bus_id: "00000001:C1:1F.0".into(), ..Card::new("GPU-a", 8) };
        let info = pci_info(&card).unwrap();
        assert_eq!((info.domain, info.bus, info.device), (1, 0xc1, 0x1f));
        assert_eq!(pci_info(&Card::new("MIG-a", 8)).err(), Some(Code::NotSupported));
    }
}
