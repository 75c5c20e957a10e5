//! `AtWork`: how many of the spawner, a sweeper and a finisher are at work for a worker.

/// Counts those that are at work for a worker.
#[derive(Debug, Default)]
pub(super) struct AtWork(u32);

impl AtWork {
    /// One more is at work.
    pub(super) fn begin(&mut self) {
        self.0 += 1;
    }

    /// One of them is done. Each is done once.
    pub(super) fn done(&mut self) {
        debug_assert!(self.0 > 0, "what is done was begun");
        self.0 = self.0.saturating_sub(1);
    }

    /// Whether any is at work.
    pub(super) fn any(&self) -> bool {
        self.0 > 0
    }
}
