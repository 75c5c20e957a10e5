//! The two CUDA tasks: one lists the cards that CUDA shows, one allocates memory. They load the driver's library
//! themselves, so that the build needs nothing of CUDA.

use std::ffi::{c_int, c_uint, c_void};
use std::ptr;
use std::sync::mpsc::channel;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use libloading::{Library, Symbol};

const LIBRARY: &str = "libcuda.so.1";
const OUT_OF_MEMORY: c_int = 2;

type Init = unsafe extern "C" fn(c_uint) -> c_int;
type GetCount = unsafe extern "C" fn(*mut c_int) -> c_int;
type GetDevice = unsafe extern "C" fn(*mut c_int, c_int) -> c_int;
type GetUuid = unsafe extern "C" fn(*mut [u8; 16], c_int) -> c_int;
type Retain = unsafe extern "C" fn(*mut *mut c_void, c_int) -> c_int;
type SetCurrent = unsafe extern "C" fn(*mut c_void) -> c_int;
type Allocate = unsafe extern "C" fn(*mut u64, usize) -> c_int;
type Fill = unsafe extern "C" fn(u64, u8, usize) -> c_int;
type Synchronize = unsafe extern "C" fn() -> c_int;

/// Writes the UUIDs of the cards that CUDA shows, as the task's result.
pub(crate) fn list() -> Result<(), String> {
    let cuda = Cuda::start()?;
    let uuids: Result<Vec<String>, String> =
        (0..cuda.count()?).map(|ordinal| cuda.device(ordinal).and_then(|device| cuda.uuid(device))).collect();
    write_result(&serde_json::json!({ "uuids": uuids? }))
}

/// Allocates memory of the first card, writes to all of it, holds it, and prints when it has it and when it ends.
pub(crate) fn hold(bytes: usize, seconds: f64) -> Result<(), String> {
    let cuda = Cuda::start()?;
    cuda.make_current(cuda.device(0)?)?;
    cuda.allocate(bytes)?;
    let held_at = unix_now();
    let (_sender, nothing) = channel::<()>();
    let _ = nothing.recv_timeout(Duration::from_secs_f64(seconds));
    write_result(&serde_json::json!({ "held_at": held_at, "ended_at": unix_now() }))
}

fn write_result(result: &serde_json::Value) -> Result<(), String> {
    #[expect(clippy::disallowed_methods, reason = "a task that looks where its result goes")]
    match std::env::var_os("FEDFLOW_RESULT") {
        Some(path) => std::fs::write(path, result.to_string()).map_err(|error| error.to_string()),
        None => {
            println!("{result}");
            Ok(())
        }
    }
}

/// The time in Unix seconds.
pub(crate) fn unix_now() -> f64 {
    #[expect(clippy::disallowed_methods, reason = "the one place of this program that asks for the time")]
    let now = SystemTime::now();
    now.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs_f64()
}

/// The loaded and started driver.
struct Cuda {
    library: Library,
}

impl Cuda {
    fn start() -> Result<Self, String> {
        // SAFETY: NVIDIA's driver library may be loaded at any time; it runs no code of this program.
        let library = unsafe { Library::new(LIBRARY) }.map_err(|error| error.to_string())?;
        let cuda = Self { library };
        let init = cuda.function::<Init>("cuInit")?;
        // SAFETY: the signature of `cuda.h`; flags must be 0.
        named("cuInit", unsafe { init(0) })?;
        Ok(cuda)
    }

    /// A function of the library. `F` must be its signature in `cuda.h`.
    fn function<F>(&self, name: &str) -> Result<Symbol<'_, F>, String> {
        // SAFETY: the types above are those of `cuda.h`, each used with its name.
        unsafe { self.library.get(name.as_bytes()) }.map_err(|error| format!("{name}: {error}"))
    }

    fn count(&self) -> Result<c_int, String> {
        let (function, mut count) = (self.function::<GetCount>("cuDeviceGetCount")?, 0);
        // SAFETY: the signature of `cuda.h`, and a place to write to.
        named("cuDeviceGetCount", unsafe { function(&raw mut count) })?;
        Ok(count)
    }

    fn device(&self, ordinal: c_int) -> Result<c_int, String> {
        let (function, mut device) = (self.function::<GetDevice>("cuDeviceGet")?, 0);
        // SAFETY: as above.
        named("cuDeviceGet", unsafe { function(&raw mut device, ordinal) })?;
        Ok(device)
    }

    fn uuid(&self, device: c_int) -> Result<String, String> {
        // The second version gives the instance's UUID under MIG; old drivers have only the first.
        let name = ["cuDeviceGetUuid_v2", "cuDeviceGetUuid"]
            .into_iter()
            .find(|name| self.function::<GetUuid>(name).is_ok())
            .ok_or("the driver tells no UUIDs")?;
        let (function, mut uuid) = (self.function::<GetUuid>(name)?, [0; 16]);
        // SAFETY: as above; `CUuuid` is 16 bytes.
        named(name, unsafe { function(&raw mut uuid, device) })?;
        let hex: String = uuid.iter().map(|byte| format!("{byte:02x}")).collect();
        let parts = [&hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..]];
        Ok(parts.join("-"))
    }

    fn make_current(&self, device: c_int) -> Result<(), String> {
        let mut context = ptr::null_mut();
        let retain = self.function::<Retain>("cuDevicePrimaryCtxRetain")?;
        // SAFETY: as above.
        named("cuDevicePrimaryCtxRetain", unsafe { retain(&raw mut context, device) })?;
        let set = self.function::<SetCurrent>("cuCtxSetCurrent")?;
        // SAFETY: the context was created just now and is never released.
        named("cuCtxSetCurrent", unsafe { set(context) })
    }

    fn allocate(&self, bytes: usize) -> Result<(), String> {
        let mut address = 0;
        let allocate = self.function::<Allocate>("cuMemAlloc_v2")?;
        // SAFETY: as above; the memory is the process's until it ends.
        named("cuMemAlloc", unsafe { allocate(&raw mut address, bytes) })?;
        let fill = self.function::<Fill>("cuMemsetD8_v2")?;
        // SAFETY: the memory was allocated just now, with this length.
        named("cuMemsetD8", unsafe { fill(address, 1, bytes) })?;
        let synchronize = self.function::<Synchronize>("cuCtxSynchronize")?;
        // SAFETY: it takes nothing.
        named("cuCtxSynchronize", unsafe { synchronize() })
    }
}

fn named(call: &str, code: c_int) -> Result<(), String> {
    match code {
        0 => Ok(()),
        // Fedflow recognises out of memory by these words.
        OUT_OF_MEMORY => Err(format!("{call}: CUDA_ERROR_OUT_OF_MEMORY")),
        code => Err(format!("{call} failed with CUDA's code {code}")),
    }
}
