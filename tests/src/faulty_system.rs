//! A library that `LD_PRELOAD` puts between a program and the system. It kills the program at a chosen write, makes a
//! write or a sync fail, or makes the wall clock jump. The product knows nothing of it.
//!
//! `FAULTY_DISK="NAME OPERATION NUMBER FAULT"` concerns the files whose path ends with NAME or `NAME.new`. FAULT happens
//! at the NUMBER-th OPERATION (`write` or `sync`, from 1): `kill` kills the program before the operation, `tear` after
//! half of it, `after` after it; `hold` never returns; an error number makes it and all later ones fail with that error.
//! `FAULTY_CLOCK=1` makes the wall clock jump ten days forward or back each time that it is read.

use std::ffi::{c_int, c_long, c_void};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};

use libc::{CLOCK_REALTIME, SYS_clock_gettime, SYS_fdatasync, SYS_fsync, SYS_write, clockid_t, timespec};

/// The jump of the wall clock in seconds.
const JUMP: i64 = 10 * 24 * 3600;

#[derive(Clone, Copy, PartialEq)]
enum Operation {
    Write,
    Sync,
}

#[derive(Clone, Copy)]
enum DiskFault {
    Kill,
    Tear,
    KillAfter,
    Hold,
    Error(c_int),
}

struct DiskSetting {
    name: String,
    operation: Operation,
    number: u64,
    fault: DiskFault,
}

/// The fault that happens at this operation.
fn fault(descriptor: c_int, operation: Operation) -> Option<DiskFault> {
    static PLAN: OnceLock<Option<DiskSetting>> = OnceLock::new();
    static DONE: AtomicU64 = AtomicU64::new(0);
    let setting = PLAN.get_or_init(|| setting(&variable("FAULTY_DISK")?)).as_ref()?;
    if setting.operation != operation || !is_named(descriptor, &setting.name) {
        return None;
    }
    let number = DONE.fetch_add(1, Ordering::SeqCst) + 1;
    let lasts = matches!(setting.fault, DiskFault::Error(_)) && number > setting.number;
    (number == setting.number || lasts).then_some(setting.fault)
}

fn setting(text: &str) -> Option<DiskSetting> {
    let mut words = text.split(' ');
    let name = words.next()?.to_owned();
    let operation = if words.next()? == "write" { Operation::Write } else { Operation::Sync };
    let number = words.next()?.parse().ok()?;
    let fault = match words.next()? {
        "kill" => DiskFault::Kill,
        "tear" => DiskFault::Tear,
        "after" => DiskFault::KillAfter,
        "hold" => DiskFault::Hold,
        error => DiskFault::Error(error.parse().ok()?),
    };
    Some(DiskSetting { name, operation, number, fault })
}

fn variable(name: &str) -> Option<String> {
    #[expect(clippy::disallowed_methods, reason = "the one place of this library that is told what to do")]
    std::env::var(name).ok()
}

fn is_named(descriptor: c_int, name: &str) -> bool {
    let path = std::fs::read_link(format!("/proc/self/fd/{descriptor}")).unwrap_or_default();
    let path = path.to_string_lossy();
    path.strip_suffix(".new").unwrap_or(&path).ends_with(name)
}

fn die() {
    // SAFETY: both calls take numbers only.
    unsafe { libc::kill(libc::getpid(), libc::SIGKILL) };
}

/// Only the calling thread blocks.
fn hold() -> ! {
    loop {
        // SAFETY: the call takes nothing.
        unsafe { libc::pause() };
    }
}

fn refuse(error: c_int) -> c_int {
    // SAFETY: the location of `errno` is this thread's own and always there.
    unsafe { *libc::__errno_location() = error };
    -1
}

/// The C library's `write`.
///
/// # Safety
/// As there.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn write(descriptor: c_int, bytes: *const c_void, length: usize) -> isize {
    let through = |length: usize| {
        // SAFETY: the caller keeps to the rules of `write`, and not more is written than it said.
        let written = unsafe { libc::syscall(SYS_write, descriptor, bytes, length) };
        isize::try_from(written).unwrap_or(-1)
    };
    match fault(descriptor, Operation::Write) {
        None => return through(length),
        Some(DiskFault::Error(error)) => return refuse(error) as isize,
        Some(DiskFault::Kill) => {}
        Some(DiskFault::Tear) => drop(through(length / 2)),
        Some(DiskFault::KillAfter) => drop(through(length)),
        Some(DiskFault::Hold) => hold(),
    }
    die();
    -1
}

fn sync(descriptor: c_int, call: c_long) -> c_int {
    let through = || {
        // SAFETY: the call takes a number only.
        c_int::try_from(unsafe { libc::syscall(call, descriptor) }).unwrap_or(-1)
    };
    match fault(descriptor, Operation::Sync) {
        None => return through(),
        Some(DiskFault::Error(error)) => return refuse(error),
        Some(DiskFault::Kill | DiskFault::Tear) => {}
        Some(DiskFault::KillAfter) => drop(through()),
        Some(DiskFault::Hold) => hold(),
    }
    die();
    -1
}

/// The C library's `fsync`.
#[unsafe(no_mangle)]
pub extern "C" fn fsync(descriptor: c_int) -> c_int {
    sync(descriptor, SYS_fsync)
}

/// The C library's `fdatasync`.
#[unsafe(no_mangle)]
pub extern "C" fn fdatasync(descriptor: c_int) -> c_int {
    sync(descriptor, SYS_fdatasync)
}

/// The C library's `clock_gettime`.
///
/// # Safety
/// As there.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn clock_gettime(clock: clockid_t, time: *mut timespec) -> c_int {
    static JUMPS: OnceLock<bool> = OnceLock::new();
    static LOOKS: AtomicI64 = AtomicI64::new(0);
    // SAFETY: the caller keeps to the rules of `clock_gettime`.
    let status = unsafe { libc::syscall(SYS_clock_gettime, clock, time) };
    if clock == CLOCK_REALTIME && status == 0 && *JUMPS.get_or_init(|| variable("FAULTY_CLOCK").is_some()) {
        let looks = LOOKS.fetch_add(1, Ordering::SeqCst);
        // SAFETY: the system has just written there.
        unsafe { (*time).tv_sec += JUMP * [1, -1, 2, 0, -2][(looks % 5).unsigned_abs() as usize] };
    }
    c_int::try_from(status).unwrap_or(-1)
}
