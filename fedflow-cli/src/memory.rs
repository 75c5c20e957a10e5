//! How the program's allocator is set.

/// Has the C library's allocator give large blocks back to the system as soon as they are free. Left to itself it keeps
/// what each of many threads has once used: a few large messages, and the supervisor stays large for ever.
pub(crate) fn give_memory_back() {
    #[cfg(target_env = "gnu")]
    // SAFETY: the call sets two numbers of the allocator; it is made before other threads are there.
    unsafe {
        libc::mallopt(libc::M_MMAP_THRESHOLD, LARGE_BLOCK);
        libc::mallopt(libc::M_TRIM_THRESHOLD, LARGE_BLOCK);
    }
}

/// From here on a block is given back, in bytes.
#[cfg(target_env = "gnu")]
const LARGE_BLOCK: libc::c_int = 512 << 10;
