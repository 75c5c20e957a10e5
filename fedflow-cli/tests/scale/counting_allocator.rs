//! `CountingAllocator`: the system's allocator, which counts what is in use and the most that ever was.

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

pub(crate) struct CountingAllocator;

static IN_USE: AtomicUsize = AtomicUsize::new(0);
static MOST: AtomicUsize = AtomicUsize::new(0);
static CALLS: AtomicUsize = AtomicUsize::new(0);

impl CountingAllocator {
    /// Bytes that are in use now.
    pub(crate) fn in_use() -> usize {
        IN_USE.load(Relaxed)
    }

    /// The most bytes that were in use since this was asked last.
    pub(crate) fn take_most() -> usize {
        MOST.swap(Self::in_use(), Relaxed)
    }

    /// How often memory was asked for.
    pub(crate) fn calls() -> usize {
        CALLS.load(Relaxed)
    }

    fn add(layout: Layout) {
        CALLS.fetch_add(1, Relaxed);
        MOST.fetch_max(IN_USE.fetch_add(booked(layout), Relaxed) + booked(layout), Relaxed);
    }

    fn remove(layout: Layout) {
        IN_USE.fetch_sub(booked(layout), Relaxed);
    }
}

/// What the usual allocator of a Linux machine takes for it: a word of its own, and a multiple of 16 bytes, 32 at
/// least.
fn booked(layout: Layout) -> usize {
    (layout.size() + 8).next_multiple_of(16).max(32)
}

// SAFETY: every call goes on to the system's allocator as it came; what is counted beside it is no memory.
unsafe impl GlobalAlloc for CountingAllocator {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        Self::add(layout);
        // SAFETY: the caller keeps the contract of `alloc`.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, memory: *mut u8, layout: Layout) {
        Self::remove(layout);
        // SAFETY: the caller keeps the contract of `dealloc`, and the memory came from the same allocator.
        unsafe { System.dealloc(memory, layout) }
    }

    unsafe fn realloc(&self, memory: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        Self::remove(layout);
        // A large block grows in place or moves by its pages: it is never there twice.
        if let Ok(grown) = Layout::from_size_align(size, layout.align()) {
            Self::add(grown);
        }
        // SAFETY: the caller keeps the contract of `realloc`, and the memory came from the same allocator.
        unsafe { System.realloc(memory, layout, size) }
    }
}
