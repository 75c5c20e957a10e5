//! `OwnBookings`: what this supervisor has booked, shared between leasing and the threads that name lease holders.

use std::sync::{Mutex, PoisonError};

use fedflow_core::{LeaseId, LeaseRequest, Size};

use super::booking::{Booking, WaitingRequest};
use super::booking_file::BookingFile;
use super::claims::OwnClaims;
use crate::lease_directory::LedgerError;
use crate::machine::identify;

/// The supervisor's file. All methods do nothing once it is closed.
#[derive(Debug)]
pub(crate) struct OwnBookings(Mutex<Option<BookingFile>>);

impl OwnBookings {
    pub(super) fn new(file: BookingFile) -> Self {
        Self(Mutex::new(Some(file)))
    }

    /// Closes the file; what a living worker holds stays booked until the worker ends.
    pub(super) fn close(&self) {
        drop(self.0.lock().unwrap_or_else(PoisonError::into_inner).take());
    }

    /// The file's name now.
    pub(crate) fn name(&self) -> String {
        self.with(|file| file.name().to_owned()).unwrap_or_default()
    }

    /// The world of process numbers that this supervisor lives in.
    pub(super) fn world(&self) -> String {
        self.with(|file| file.world().to_owned()).unwrap_or_default()
    }

    /// Books the shares of a lease, all or none. Says whether they are booked: not if the file, or as `is_locked` says a
    /// lock, is not where others look for it.
    pub(super) fn book(
        &self,
        lease: LeaseId,
        shares: impl IntoIterator<Item = Booking>,
        is_locked: impl FnOnce() -> bool,
    ) -> Result<bool, LedgerError> {
        self.with(|file| {
            file.book(shares)?;
            // Judged once it is written: a run that locks the cards anew later on finds it.
            let holds = file.is_current() && is_locked();
            if !holds {
                file.change(lease, |_| None);
            }
            Ok(holds)
        })
        .unwrap_or(Ok(true))
    }

    /// Whether the file is where others look for it.
    pub(super) fn is_current(&self) -> bool {
        self.with(|file| file.is_current()).unwrap_or(true)
    }

    /// Changes the bookings of a lease, or with `None` ends them.
    pub(super) fn change(&self, lease: LeaseId, change: impl Fn(Booking) -> Option<Booking>) {
        self.with(|file| file.change(lease, change));
    }

    /// Sets how much of a card is quarantined.
    pub(super) fn set_quarantine(&self, card: &str, memory: Size) -> Result<(), LedgerError> {
        self.with(|file| file.set_quarantine(card, memory)).unwrap_or(Ok(()))
    }

    /// Names the process that holds a lease, and its task.
    pub(crate) fn name_holder(&self, lease: LeaseId, pid: u32, task: &str) {
        // A process that has ended holds nothing that would have to outlive this supervisor.
        if let Ok(worker) = identify(pid) {
            self.with(|file| file.name_holder(lease, worker, task));
        }
    }

    /// Notes what the holder of a lease uses of each of its cards.
    pub(super) fn set_used(&self, lease: LeaseId, used: Option<Size>) {
        self.with(|file| file.set_used(lease, used));
    }

    /// Shows which requests wait for other runs.
    pub(super) fn show_claims(&self, claims: &OwnClaims) {
        let longest = claims.longest().map(|(request, since)| {
            let LeaseRequest { devices, memory, exclusive, .. } = *request;
            WaitingRequest { devices, memory, exclusive, since }
        });
        self.with(|file| file.set_waiting(longest, claims.latest(), claims.written()));
    }

    /// The same, if other runs see any that may have changed. A run that is alone shows none.
    pub(super) fn update_claims(&self, claims: &OwnClaims) {
        if self.with(|file| file.has_claims()).unwrap_or(false) {
            self.show_claims(claims);
        }
    }

    /// Shows other users which run this is.
    pub(super) fn show_run(&self, run: &str) {
        self.with(|file| file.set_run(run));
    }

    /// Puts the file back if it or the directory was removed.
    pub(crate) fn restore(&self) -> Result<(), LedgerError> {
        self.with(BookingFile::restore).unwrap_or(Ok(()))
    }

    /// Shows by the beacon that this supervisor is about to book, until the value is dropped; then only if it has booked.
    pub(super) fn announce(&self) -> Announced<'_> {
        self.with(BookingFile::announce);
        Announced(self)
    }

    /// The beacons that are lit beside its own.
    pub(super) fn other_beacons(&self) -> Vec<String> {
        self.with(|file| file.other_beacons()).unwrap_or_default()
    }

    fn with<R>(&self, act: impl FnOnce(&mut BookingFile) -> R) -> Option<R> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).as_mut().map(act)
    }
}

/// A supervisor that is about to book.
pub(super) struct Announced<'a>(&'a OwnBookings);

impl Drop for Announced<'_> {
    fn drop(&mut self) {
        self.0.with(BookingFile::settle);
    }
}
