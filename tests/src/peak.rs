//! An allocator that knows how much memory a piece of code takes.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

/// Put it into a test with `#[global_allocator]`, then ask [`peak_of`].
pub struct PeakAllocator;

thread_local! {
    // Signed: a thread may give back what another one took.
    static TAKEN: Cell<isize> = const { Cell::new(0) };
    static PEAK: Cell<isize> = const { Cell::new(0) };
}

/// Calls a function; returns its result and the most bytes that this thread had allocated meanwhile, beyond what it
/// had before.
pub fn peak_of<R>(call: impl FnOnce() -> R) -> (R, usize) {
    let before = TAKEN.get();
    PEAK.set(before);
    let result = call();
    (result, PEAK.get().saturating_sub(before).unsigned_abs())
}

fn count(bytes: isize) {
    // While a thread ends its variables are gone, and it is not measured any more.
    let _ = TAKEN.try_with(|taken| {
        taken.set(taken.get() + bytes);
        let _ = PEAK.try_with(|peak| peak.set(peak.get().max(taken.get())));
    });
}

// SAFETY: every call is handed on to the system's allocator as it came; counting neither allocates nor panics.
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
