//! The structures of NVML's callers, laid out as in `nvml.h`.

use std::ffi::{c_char, c_uint, c_ulonglong};

/// `nvmlMemory_t`
#[repr(C)]
pub(crate) struct MemoryV1 {
    pub(crate) total: c_ulonglong,
    pub(crate) free: c_ulonglong,
    pub(crate) used: c_ulonglong,
}

/// `nvmlMemory_v2_t`
#[repr(C)]
pub(crate) struct MemoryV2 {
    pub(crate) version: c_uint,
    pub(crate) total: c_ulonglong,
    pub(crate) reserved: c_ulonglong,
    pub(crate) free: c_ulonglong,
    pub(crate) used: c_ulonglong,
}

impl MemoryV2 {
    /// The value of `version` that a caller must write: the size, and 2 in the highest byte.
    pub(crate) const VERSION: usize = size_of::<Self>() | 2 << 24;
}

/// `nvmlPciInfo_t`
#[repr(C)]
pub(crate) struct PciInfo {
    pub(crate) bus_id_legacy: [c_char; 16],
    pub(crate) domain: c_uint,
    pub(crate) bus: c_uint,
    pub(crate) device: c_uint,
    pub(crate) pci_device_id: c_uint,
    pub(crate) pci_sub_system_id: c_uint,
    pub(crate) bus_id: [c_char; 32],
}

/// `nvmlProcessInfo_t`
#[repr(C)]
pub(crate) struct ProcessInfo {
    pub(crate) pid: c_uint,
    pub(crate) used_gpu_memory: c_ulonglong,
    pub(crate) gpu_instance_id: c_uint,
    pub(crate) compute_instance_id: c_uint,
}

/// `nvmlUtilization_t`
#[repr(C)]
pub(crate) struct Utilization {
    pub(crate) gpu: c_uint,
    pub(crate) memory: c_uint,
}

// As `nvml.h` has them on 64-bit machines.
const _: () = {
    assert!(size_of::<MemoryV1>() == 24);
    assert!(size_of::<MemoryV2>() == 40);
    assert!(size_of::<PciInfo>() == 68);
    assert!(size_of::<ProcessInfo>() == 24);
    assert!(size_of::<Utilization>() == 8);
};
