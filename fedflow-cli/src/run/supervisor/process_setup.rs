//! What a supervisor sets for its whole process, before it starts a thread.

use std::mem::MaybeUninit;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Once};

use fedflow_worker::own_processes::shed_inheritance;
use signal_hook::consts::SIGXFSZ;
use signal_hook::flag;

/// Prepares the process: workers inherit nothing, a file that grows too large is an error instead of a deadly signal,
/// and the allocator gives memory back. Calls after the first one do nothing.
pub(crate) fn prepare_process() {
    static PREPARED: Once = Once::new();
    PREPARED.call_once(|| {
        shed_inheritance();
        // A handler, as programs that are started inherit what is ignored. Without it, such a write ends the program,
        // as it would have without this call.
        let _ = flag::register(SIGXFSZ, Arc::new(AtomicBool::new(false)));
        give_memory_back();
    });
}

/// Has the C library's allocator give large blocks back to the system as soon as they are free. Left to itself it keeps
/// what each of many threads has once used: after a few large messages the supervisor would stay large for ever.
fn give_memory_back() {
    #[cfg(target_env = "gnu")]
    // SAFETY: the call sets two numbers of the allocator; it is made before other threads are there.
    unsafe {
        libc::mallopt(libc::M_MMAP_THRESHOLD, LARGE_BLOCK);
        libc::mallopt(libc::M_TRIM_THRESHOLD, LARGE_BLOCK);
    }
}

/// Blocks of this size and more are given back, in bytes.
#[cfg(target_env = "gnu")]
const LARGE_BLOCK: libc::c_int = 512 << 10;

/// Lets a process in a background group write to its terminal, also where `stty tostop` would stop it for that: this
/// thread, and those that it starts, block SIGTTOU. Workers do not inherit it.
pub(super) fn allow_background_output() {
    let mut set = MaybeUninit::<libc::sigset_t>::uninit();
    // SAFETY: `sigemptyset` initialises the set that it is given, and the other calls use it then; they only fail for
    // arguments that are not these. Neither std nor rustix nor signal-hook has such a call.
    unsafe {
        libc::sigemptyset(set.as_mut_ptr());
        libc::sigaddset(set.as_mut_ptr(), libc::SIGTTOU);
        libc::pthread_sigmask(libc::SIG_BLOCK, set.as_ptr(), std::ptr::null_mut());
    }
}
