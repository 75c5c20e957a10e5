//! Open descriptors and blocked signals that a process has inherited and must not pass on.

use std::mem::MaybeUninit;

/// Keeps what this process inherited from the processes that it starts: every open descriptor but standard input, output and
/// error is closed on exec, and this thread blocks no signal any more.
///
/// A program that supervises runs calls it at the beginning of `main`, before it starts a thread: a new thread inherits the
/// blocked signals. On kernels older than 5.11, descriptors stay as they are.
#[cfg(feature = "host")]
pub fn shed_inheritance() {
    // SAFETY: marking a descriptor changes nothing for this process. rustix has no such call.
    unsafe { libc::syscall(libc::SYS_close_range, 3_u32, u32::MAX, libc::CLOSE_RANGE_CLOEXEC) };
    unblock_signals();
}

/// Unblocks every signal in this thread. rustix has no such call.
pub(crate) fn unblock_signals() {
    let mut none = MaybeUninit::uninit();
    // SAFETY: the set is initialised by the first call, which cannot fail, before the second one reads it.
    unsafe {
        libc::sigemptyset(none.as_mut_ptr());
        libc::pthread_sigmask(libc::SIG_SETMASK, none.as_ptr(), std::ptr::null_mut());
    }
}
