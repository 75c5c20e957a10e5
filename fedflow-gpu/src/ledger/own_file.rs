//! `OwnFile`: the file in which one supervisor books its leases, and whose lock is the proof that it lives.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

use fedflow_core::{LeaseId, ProcessId, Size};
use rustix::fs::Mode;

use super::directory::{Directory, next_number};
use super::fault::{Fault, LedgerError};
use super::record::{
    BookedProcess, Booking, EMPTY, Header, MAX_SLOTS, SLOT, VERSION, Waiting, encode, shortened,
};
use crate::machine::{probe_world, this_process, unix_now};

/// What the names of supervisors' files begin with.
pub(super) const PREFIX: &str = "supervisor-";
/// So many slots are there from the beginning: room for them is not missing when it is needed.
const FIRST_SLOTS: usize = 32;

/// A supervisor's file, locked as long as the supervisor lives.
///
/// Its name is never used a second time, so once nobody holds its lock it can be removed by anybody.
#[derive(Debug)]
pub(super) struct OwnFile {
    directory: Directory,
    name: String,
    file: File,
    header: Header,
    /// What stands in the slots behind the header's.
    slots: Vec<Option<Booking>>,
}

impl OwnFile {
    /// Makes the file and locks it.
    pub(super) fn create(directory: &Directory) -> Result<Self, LedgerError> {
        let supervisor = this_process().map_err(|error| LedgerError::file("/proc", error))?.into();
        let header = Header { fedflow_ledger: VERSION, world: probe_world(), supervisor, waiting: None };
        let slots = vec![None; FIRST_SLOTS - 1];
        let (name, file) = publish(directory, &header, &slots)?;
        Ok(Self { directory: directory.clone(), name, file, header, slots })
    }

    pub(super) fn name(&self) -> &str {
        &self.name
    }

    pub(super) fn world(&self) -> &str {
        &self.header.world
    }

    /// Books shares, all or none. To be called while the cards are locked.
    pub(super) fn book(&mut self, bookings: impl IntoIterator<Item = Booking>) -> Result<(), LedgerError> {
        self.restore()?;
        let mut written = Vec::new();
        for booking in bookings {
            let place = self.slots.iter().position(Option::is_none).unwrap_or(self.slots.len());
            let result =
                if place + 1 < MAX_SLOTS { self.write(place, Some(booking)) } else { Err(Fault::TooLarge) };
            if let Err(fault) = result {
                for place in written {
                    let _ = self.write(place, None);
                }
                return Err(LedgerError::file(self.directory.path().join(&self.name), fault));
            }
            written.push(place);
        }
        Ok(())
    }

    /// Changes the bookings of a lease, or with `None` ends them; then tells those who wait.
    pub(super) fn change(&mut self, lease: LeaseId, change: impl Fn(Booking) -> Option<Booking>) {
        let mut any = false;
        for place in 0..self.slots.len() {
            let Some(booking) = self.slots[place].as_ref().filter(|booking| booking.lease == lease.0) else {
                continue;
            };
            let changed = change(booking.clone());
            any |= changed.as_ref() != self.slots[place].as_ref();
            // Its own slot is there already: nothing but the end of the world keeps it from being written.
            let _ = self.write(place, changed);
        }
        if any {
            self.tell();
        }
    }

    /// Names the process and the task that a lease is for.
    pub(super) fn name_holder(&mut self, lease: LeaseId, worker: ProcessId, task: &str) {
        for place in 0..self.slots.len() {
            if let Some(booking) = self.slots[place].as_ref().filter(|booking| booking.lease == lease.0) {
                let task = Some(shortened(task));
                let _ =
                    self.write(place, Some(Booking { worker: Some(worker.into()), task, ..booking.clone() }));
            }
        }
    }

    /// Says what the holder of a lease uses. Wakes nobody, as no booking is smaller for it.
    pub(super) fn set_used(&mut self, lease: LeaseId, used: Option<Size>) {
        for place in 0..self.slots.len() {
            if let Some(booking) = self.slots[place].as_ref().filter(|booking| booking.lease == lease.0) {
                let _ = self.write(place, Some(Booking { used, ..booking.clone() }));
            }
        }
    }

    /// Has so much of a card quarantined, in place of what was.
    pub(super) fn set_quarantine(&mut self, card: &str, memory: Size) -> Result<(), LedgerError> {
        let ours = |booking: &Booking| booking.quarantined && booking.card == card;
        let was = self.slots.iter().position(|slot| slot.as_ref().is_some_and(ours));
        let Some(place) = was else { return self.book([quarantine(card, memory)]) };
        let booking = (memory > Size::ZERO).then(|| quarantine(card, memory));
        let _ = self.write(place, booking);
        self.tell();
        Ok(())
    }

    /// Says what the supervisor waits for.
    pub(super) fn set_waiting(&mut self, waiting: Option<Waiting>) {
        if self.header.waiting != waiting {
            self.header.waiting = waiting;
            // For people only.
            let _ = write_at(&self.file, 0, encode(&self.header));
        }
    }

    /// Puts the file back if somebody has removed it, as a session manager does when a user logs out.
    pub(super) fn restore(&mut self) -> Result<(), LedgerError> {
        if self.directory.is_current(&self.name, &self.file) {
            return Ok(());
        }
        (self.name, self.file) = publish(&self.directory, &self.header, &self.slots)?;
        Ok(())
    }

    fn write(&mut self, place: usize, booking: Option<Booking>) -> Result<(), Fault> {
        let slot = match &booking {
            Some(booking) => encode(booking),
            None => Some(EMPTY),
        };
        write_at(&self.file, place + 1, slot)?;
        if place == self.slots.len() {
            self.slots.push(None);
        }
        self.slots[place] = booking;
        Ok(())
    }

    /// Wakes those who wait: they watch for changes of a file's attributes, as bookings need wake nobody.
    fn tell(&self) {
        let _ = rustix::fs::fchmod(&self.file, MODE);
    }
}

impl Drop for OwnFile {
    fn drop(&mut self) {
        // What a worker still holds stays booked until the worker ends, though nobody supervises it any more.
        if self.slots.iter().all(Option::is_none) && self.directory.is_current(&self.name, &self.file) {
            self.directory.remove(&self.name);
        }
    }
}

const MODE: Mode = Mode::RUSR.union(Mode::WUSR).union(Mode::RGRP).union(Mode::ROTH);

fn publish(
    directory: &Directory,
    header: &Header,
    slots: &[Option<Booking>],
) -> Result<(String, File), LedgerError> {
    let BookedProcess { pid, start } = header.supervisor;
    loop {
        let name = format!("{PREFIX}{pid}-{start}-{}", next_number());
        let prepare = |file: &File| {
            // Nobody else can know of it yet.
            file.lock()?;
            write_at(file, 0, encode(header)).map_err(to_io)?;
            for (place, booking) in slots.iter().enumerate() {
                let slot = booking.as_ref().map_or_else(|| Some(EMPTY), encode);
                write_at(file, place + 1, slot).map_err(to_io)?;
            }
            Ok(())
        };
        // A name that is taken is one of another world of process numbers.
        if let Some(file) = directory.publish(&name, prepare)? {
            return Ok((name, file));
        }
    }
}

fn write_at(file: &File, place: usize, slot: Option<[u8; SLOT]>) -> Result<(), Fault> {
    let slot = slot.ok_or(Fault::TooLarge)?;
    Ok(file.write_all_at(&slot, (place * SLOT) as u64)?)
}

fn to_io(fault: Fault) -> io::Error {
    io::Error::other(fault.to_string())
}

/// A new share for a lease.
pub(super) fn booking(
    lease: LeaseId,
    card: &str,
    memory: Size,
    request: &fedflow_core::LeaseRequest,
) -> Booking {
    Booking {
        lease: lease.0,
        card: card.to_owned(),
        memory,
        used: None,
        exclusive: request.exclusive,
        estimated: request.estimated,
        training: true,
        quarantined: false,
        since: unix_now(),
        worker: None,
        task: None,
    }
}

/// Memory of a card that nobody gave back.
pub(super) fn quarantine(card: &str, memory: Size) -> Booking {
    Booking {
        // No pool grants so many.
        lease: u64::MAX,
        card: card.to_owned(),
        memory,
        used: None,
        exclusive: false,
        estimated: true,
        training: false,
        quarantined: true,
        since: unix_now(),
        worker: None,
        task: None,
    }
}
