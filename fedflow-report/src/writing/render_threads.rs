//! The threads on which reports are rendered.

use rayon::ThreadPoolBuilder;

/// Does work on threads of its own, or without any if the system gives none: rayon's common threads would panic then.
pub(crate) fn with_threads<R: Send>(work: impl FnOnce() -> R + Send) -> R {
    if let Ok(threads) = ThreadPoolBuilder::new().build() {
        return threads.install(work);
    }
    // The calling thread is all there is from now on. An error: it was so before.
    let _ = ThreadPoolBuilder::new().num_threads(1).use_current_thread().build();
    work()
}
