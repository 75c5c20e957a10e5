//! An allocator that measures how much memory a piece of code takes.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

/// Make it a test's `#[global_allocator]`, then call [`peak_of`].
pub struct PeakAllocator;

thread_local! {
    // Signed, as a thread may free what another thread allocated.
    static TAKEN: Cell<isize> = const { Cell::new(0) };
    static PEAK: Cell<isize> = const { Cell::new(0) };
}

/// Calls a function. Returns its result, and the most bytes that this thread had allocated during the call beyond those
/// before it.
pub fn peak_of<R>(call: impl FnOnce() -> R) -> (R, usize) {
    let before = TAKEN.get();
    PEAK.set(before);
    let result = call();
    (result, PEAK.get().saturating_sub(before).unsigned_abs())
}

fn count(bytes: isize) {
    // While a thread ends, its variables are gone and it is not measured.
    let _ = TAKEN.try_with(|taken| {
        taken.set(taken.get() + bytes);
        let _ = PEAK.try_with(|peak| peak.set(peak.get().max(taken.get())));
    });
}

// SAFETY: every call is passed on to the system's allocator; counting neither allocates nor panics.
unsafe impl GlobalAlloc for PeakAllocator {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(layout.size().cast_signed());
        // SAFETY: the caller keeps to the rules of `alloc`.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        count(-layout.size().cast_signed());
        // SAFETY: the caller keeps to the rules of `dealloc`.
        unsafe { System.dealloc(pointer, layout) }
    }
}
