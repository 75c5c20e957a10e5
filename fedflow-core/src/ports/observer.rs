//! The port to the observers of a run.

use super::wait::Wait;
use crate::model::run_event::RunEvent;
use crate::model::time::Time;

/// Is told every [`RunEvent`], for records and for people.
pub trait Observer {
    /// Records an event. Called as soon as it happens, with the record's number from 1; must not block on a disk. A record
    /// that [needs durability](RunEvent::needs_durability) is answered through the port to the workers, by
    /// [`Input::Durable`](crate::Input::Durable), once it and all records before it are on the disk.
    fn record(&mut self, number: u64, time: Time, event: &RunEvent) {
        let _ = (number, time, event);
    }

    /// Whether records are answered by [`Input::Durable`](crate::Input::Durable). Without one such observer, the engine
    /// waits for no record.
    fn answers_durable(&self) -> bool {
        false
    }

    /// Writes what is held back so that one sync serves many records: the engine now waits for the answer. Must not block
    /// on a disk.
    fn flush(&mut self) {}

    /// Shows an event to people. One that needs durability is announced only once it is durable.
    fn announce(&mut self, time: Time, event: &RunEvent) {
        let _ = (time, event);
    }

    /// Shows that the run waits while devices of it are idle, and for what; `None` when it goes on.
    fn waits(&mut self, time: Time, wait: Option<&Wait>) {
        let _ = (time, wait);
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

    fn waits(&mut self, time: Time, wait: Option<&Wait>) {
        (**self).waits(time, wait);
    }
}

/// Several observers, which are told one after the other.
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

    fn waits(&mut self, time: Time, wait: Option<&Wait>) {
        for observer in self {
            observer.waits(time, wait);
        }
    }
}
