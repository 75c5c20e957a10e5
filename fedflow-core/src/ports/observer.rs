//! The port to whoever is told what happens in a run.

use crate::model::run_event::RunEvent;
use crate::model::time::Time;

/// Told every [`RunEvent`].
pub trait Observer {
    /// Writes it down. Called at once, with the record's number from 1; must not block on a disk. A record that
    /// [needs durability](RunEvent::needs_durability) is answered through the [`Workers`](crate::Workers) by
    /// [`Input::Durable`](crate::Input::Durable) when it and all before it are safe.
    fn record(&mut self, number: u64, time: Time, event: &RunEvent) {
        let _ = (number, time, event);
    }

    /// Whether its records are answered by [`Input::Durable`](crate::Input::Durable). Without one such observer nothing is waited for.
    fn answers_durable(&self) -> bool {
        false
    }

    /// The engine waits for the answer to what it has recorded: whatever is held back, so that one sync serves many
    /// records, is written now. Must not block on a disk.
    fn flush(&mut self) {}

    /// Tells people. An event that needs durability is announced only when it is durable.
    fn announce(&mut self, time: Time, event: &RunEvent) {
        let _ = (time, event);
    }
}

impl<O: Observer + ?Sized> Observer for Box<O> {
    fn record(&mut self, number: u64, time: Time, event: &RunEvent) {
        (**self).record(number, time, event);
    }

    fn answers_durable(&self) -> bool {
        (**self).answers_durable()
    }

    fn flush(&mut self) {
        (**self).flush();
    }

    fn announce(&mut self, time: Time, event: &RunEvent) {
        (**self).announce(time, event);
    }
}

/// Several observers, told one after the other.
impl<O: Observer> Observer for Vec<O> {
    fn record(&mut self, number: u64, time: Time, event: &RunEvent) {
        for observer in self {
            observer.record(number, time, event);
        }
    }

    fn answers_durable(&self) -> bool {
        self.iter().any(Observer::answers_durable)
    }

    fn flush(&mut self) {
        self.iter_mut().for_each(Observer::flush);
    }

    fn announce(&mut self, time: Time, event: &RunEvent) {
        for observer in self {
            observer.announce(time, event);
        }
    }
}
