//! `BookingFile`: the file in which one supervisor books its leases. Its lock proves that the supervisor lives.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

use fedflow_core::{LeaseId, ProcessId, Size};

use super::booking::{BookedProcess, Booking, Header, MAX_LINES, VERSION, WaitingRequest, shortened};
use super::claims::WrittenClaim;
use crate::lease_directory::{
    Beacon, Directory, EMPTY, FILE_MODE, LINE, LedgerError, LedgerFault, encode, next_number,
};
use crate::machine::{probe_world, this_process};

/// The names of supervisors' files begin so.
pub(super) const PREFIX: &str = "supervisor-";
/// The lines that a new file has, so that a full disk does not keep the first leases from being booked.
const FIRST_LINES: usize = 32;

/// A supervisor's file, locked as long as the supervisor lives.
///
/// Its name is never used again, so a process that finds it unlocked may remove it.
#[derive(Debug)]
pub(super) struct BookingFile {
    directory: Directory,
    name: String,
    file: File,
    header: Header,
    beacon: Beacon,
    /// What the lines after the header hold.
    bookings: Vec<Option<Booking>>,
}

impl BookingFile {
    /// Makes the file and locks it.
    pub(super) fn create(directory: &Directory) -> Result<Self, LedgerError> {
        let supervisor = this_process().map_err(|error| LedgerError::file("/proc", error))?.into();
        let beacon = Beacon::new(directory.path()).map_err(|error| LedgerError::file("/proc", error))?;
        let header = Header {
            fedflow_ledger: VERSION,
            world: probe_world(),
            supervisor,
            run: None,
            waiting: None,
            beacon: Some(beacon.name().to_owned()),
            ticket: 0,
            claims: Vec::new(),
        };
        let bookings = vec![None; FIRST_LINES - 1];
        let (name, file) = publish(directory, &header, &bookings)?;
        Ok(Self { directory: directory.clone(), name, file, header, beacon, bookings })
    }

    pub(super) fn name(&self) -> &str {
        &self.name
    }

    pub(super) fn world(&self) -> &str {
        &self.header.world
    }

    /// The beacons that are lit beside its own.
    pub(super) fn other_beacons(&self) -> Vec<String> {
        let mut lit = self.beacon.all_lit();
        lit.retain(|beacon| beacon != self.beacon.name());
        lit
    }

    /// Whether the file is where other runs look for it.
    pub(super) fn is_current(&self) -> bool {
        self.directory.is_current(&self.name, &self.file)
    }

    /// Shows that the supervisor is about to book.
    pub(super) fn announce(&mut self) {
        self.beacon.light();
    }

    /// Shows it no longer if nothing is booked.
    pub(super) fn settle(&mut self) {
        if self.bookings.iter().all(Option::is_none) {
            self.beacon.extinguish();
        }
    }

    /// Books shares, all or none. The cards must be locked. The file is not put back here if it was removed: it would be
    /// seen for a moment without the new bookings, by a run that has locked the cards anew.
    pub(super) fn book(&mut self, bookings: impl IntoIterator<Item = Booking>) -> Result<(), LedgerError> {
        self.announce();
        let mut written = Vec::new();
        for booking in bookings {
            let place = self.bookings.iter().position(Option::is_none).unwrap_or(self.bookings.len());
            let result = if place + 1 < MAX_LINES {
                self.write(place, Some(booking))
            } else {
                Err(LedgerFault::TooLarge)
            };
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

    /// Changes the bookings of a lease, or with `None` ends them; then wakes waiting supervisors.
    pub(super) fn change(&mut self, lease: LeaseId, change: impl Fn(Booking) -> Option<Booking>) {
        let mut any = false;
        for place in 0..self.bookings.len() {
            let Some(booking) = self.bookings[place].as_ref().filter(|booking| booking.lease == lease.0)
            else {
                continue;
            };
            let changed = change(booking.clone());
            any |= changed.as_ref() != self.bookings[place].as_ref();
            // Its line exists already, so the disk has room for it.
            let _ = self.write(place, changed);
        }
        self.settle();
        if any {
            // Where other runs look, if the directory was removed. If that fails, the next booking says why.
            let _ = self.restore();
            self.wake_others();
        }
    }

    /// Names the process that holds a lease, and its task.
    pub(super) fn name_holder(&mut self, lease: LeaseId, worker: ProcessId, task: &str) {
        for place in 0..self.bookings.len() {
            if let Some(booking) = self.bookings[place].as_ref().filter(|booking| booking.lease == lease.0) {
                let task = Some(shortened(task));
                let _ =
                    self.write(place, Some(Booking { worker: Some(worker.into()), task, ..booking.clone() }));
            }
        }
    }

    /// Notes what the holder of a lease uses. Bookings do not change, so no supervisor is woken.
    pub(super) fn set_used(&mut self, lease: LeaseId, used: Option<Size>) {
        for place in 0..self.bookings.len() {
            if let Some(booking) = self.bookings[place].as_ref().filter(|booking| booking.lease == lease.0) {
                let _ = self.write(place, Some(Booking { used, ..booking.clone() }));
            }
        }
    }

    /// Sets how much of a card is quarantined.
    pub(super) fn set_quarantine(&mut self, card: &str, memory: Size) -> Result<(), LedgerError> {
        let ours = |booking: &Booking| booking.quarantined && booking.card == card;
        let was = self.bookings.iter().position(|line| line.as_ref().is_some_and(ours));
        let Some(place) = was else {
            self.restore()?;
            return self.book([Booking::quarantine(card, memory)]);
        };
        let booking = (memory > Size::ZERO).then(|| Booking::quarantine(card, memory));
        let _ = self.write(place, booking);
        self.settle();
        self.wake_others();
        Ok(())
    }

    /// Whether other runs see claims here.
    pub(super) fn has_claims(&self) -> bool {
        !self.header.claims.is_empty()
    }

    /// Shows what the supervisor waits for: to people the request that has waited longest, to other runs the claims, as many
    /// as fit into the line. A claim that is there no longer may have kept requests of other runs waiting, which are woken.
    pub(super) fn set_waiting(
        &mut self,
        waiting: Option<WaitingRequest>,
        ticket: u64,
        claims: Vec<WrittenClaim>,
    ) {
        let before = std::mem::replace(&mut self.header.claims, claims);
        (self.header.waiting, self.header.ticket) = (waiting, ticket);
        self.show_header();
        let is_there = |claim: &WrittenClaim| self.header.claims.iter().any(|now| now.number == claim.number);
        if !before.iter().all(is_there) {
            self.wake_others();
        }
    }

    /// Shows which run it supervises.
    pub(super) fn set_run(&mut self, run: &str) {
        self.header.run = Some(shortened(run));
        self.show_header();
    }

    /// Writes the header, with as many claims as fit.
    fn show_header(&mut self) {
        let mut line = encode(&self.header);
        while line.is_none() && self.header.claims.pop().is_some() {
            line = encode(&self.header);
        }
        // Bookings hold without it: if it fails, runs are only served in another order.
        let _ = write_at(&self.file, 0, line);
    }

    /// Puts the file back if it or the directory was removed, as a session manager does when a user logs out.
    pub(super) fn restore(&mut self) -> Result<(), LedgerError> {
        if self.is_current() {
            return Ok(());
        }
        self.directory.renew()?;
        (self.name, self.file) = publish(&self.directory, &self.header, &self.bookings)?;
        Ok(())
    }

    fn write(&mut self, place: usize, booking: Option<Booking>) -> Result<(), LedgerFault> {
        let line = booking.as_ref().map_or(Some(EMPTY), encode);
        write_at(&self.file, place + 1, line)?;
        if place == self.bookings.len() {
            self.bookings.push(None);
        }
        self.bookings[place] = booking;
        Ok(())
    }

    /// Wakes waiting supervisors. They watch for changes of a file's attributes, which a new booking does not change.
    fn wake_others(&self) {
        let _ = rustix::fs::fchmod(&self.file, FILE_MODE);
    }
}

impl Drop for BookingFile {
    fn drop(&mut self) {
        if self.bookings.iter().any(Option::is_some) {
            let _ = self.restore();
        }
        // What a worker still holds stays booked until the worker ends, though its supervisor is gone.
        if self.bookings.iter().all(Option::is_none) && self.is_current() {
            self.directory.remove(&self.name);
        }
    }
}

fn publish(
    directory: &Directory,
    header: &Header,
    bookings: &[Option<Booking>],
) -> Result<(String, File), LedgerError> {
    let BookedProcess { pid, start } = header.supervisor;
    loop {
        let name = format!("{PREFIX}{pid}-{start}-{}", next_number());
        let prepare = |file: &File| {
            // No other process knows of it yet, so this does not wait.
            file.lock()?;
            write_at(file, 0, encode(header)).map_err(to_io)?;
            for (place, booking) in bookings.iter().enumerate() {
                let line = booking.as_ref().map_or(Some(EMPTY), encode);
                write_at(file, place + 1, line).map_err(to_io)?;
            }
            Ok(())
        };
        // A name that is taken belongs to another world of process numbers.
        if let Some(file) = directory.publish(&name, prepare)? {
            return Ok((name, file));
        }
    }
}

fn write_at(file: &File, place: usize, line: Option<[u8; LINE]>) -> Result<(), LedgerFault> {
    let line = line.ok_or(LedgerFault::TooLarge)?;
    Ok(file.write_all_at(&line, (place * LINE) as u64)?)
}

fn to_io(fault: LedgerFault) -> io::Error {
    io::Error::other(fault.to_string())
}
