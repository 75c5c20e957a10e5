//! `HostHandle`: tells the engine what the host itself does not know of.

use fedflow_core::{Input, Name, StopLevel, Time};

use crate::host::input_queue::Post;
use crate::host::supervision::worker_table::Notice;
use crate::pausable_clock::Clock;

/// Puts into the [`HostInbox`](super::HostInbox) what the host itself does not know of. Cheap to clone; may be used from any thread.
#[derive(Debug, Clone)]
pub struct HostHandle {
    pub(crate) post: Post,
    pub(crate) clock: Clock,
}

impl HostHandle {
    /// The run shall stop.
    pub fn stop(&self, level: StopLevel) {
        self.post.put(Input::Stop(level));
    }

    /// Stops every worker, with all that descends from it, and the run's clock. Blocks until they stand still, which
    /// takes a moment once somebody waits in the [`HostInbox`](super::HostInbox); not to be called by that thread.
    pub fn pause(&self) {
        let (done, paused) = crossbeam_channel::bounded(1);
        self.post.notify(Notice::Pause(done));
        // An error is a host that has ended: there is nothing left to stop.
        let _ = paused.recv();
    }

    /// Has everything go on after [`pause`](Self::pause).
    pub fn resume(&self) {
        self.post.notify(Notice::Resume);
    }

    /// The run's time.
    #[must_use]
    pub fn now(&self) -> Time {
        self.clock.now()
    }

    /// One task shall be cancelled.
    pub fn cancel(&self, group: Name, task: Name) {
        self.post.put(Input::Cancel { group, task });
    }

    /// All records up to this number are durable.
    pub fn durable(&self, number: u64) {
        self.post.put(Input::Durable(number));
    }

    /// Records cannot be written any more.
    pub fn recording_failed(&self, cause: impl Into<String>) {
        self.post.put(Input::RecordingFailed(cause.into()));
    }

    /// Leases may succeed that did not before.
    pub fn devices_changed(&self) {
        self.post.put(Input::DevicesChanged);
    }
}
