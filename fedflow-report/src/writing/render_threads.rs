//! The threads that render reports.

use rayon::ThreadPoolBuilder;

/// Does work on a new pool of threads, or on the calling thread if the system has none left: rayon's global pool would
/// panic in that case.
pub(crate) fn with_threads<R: Send>(work: impl FnOnce() -> R + Send) -> R {
    if let Ok(threads) = ThreadPoolBuilder::new().build() {
        return threads.install(work);
    }
    // From now on there is the calling thread only. An error means that it was set up before.
    let _ = ThreadPoolBuilder::new().num_threads(1).use_current_thread().build();
    work()
}
