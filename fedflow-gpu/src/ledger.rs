//! The ledger of the machine: every supervisor of every user books its leases there, so that together they never lease
//! more of a card than there is. It needs no daemon and no privileges.
//!
//! # Files of the directory
//!
//! * `card-UUID`, one for each card: a process locks it while it reads what is booked on the card and books. It waits
//!   for nothing meanwhile. Several cards are locked in the order of their names, so no two processes wait for each
//!   other. All CPU slots have one such file together.
//! * `supervisor-PID-START-N`, one for each supervisor: what that supervisor has booked. All users may read it and only
//!   the supervisor writes it, so no process can change what another has booked. It is locked as long as the supervisor
//!   lives; the kernel releases the lock however the supervisor ends.
//!
//! # When a booking holds
//!
//! A booking holds while its supervisor's lock is held, or while the worker that it names lives (a process known by its
//! number and start). So a supervisor that is killed frees what it held, and what a surviving worker uses stays booked
//! until the worker ends. Process numbers mean something only on this machine, since its last start, and in one
//! namespace of process numbers. A dead supervisor's bookings from another one are void.
//!
//! # Waiting
//!
//! A supervisor whose request was refused waits for events: a release changes the attributes of a supervisor's file
//! (inotify), and the end of a process makes its pidfd readable. Then the supervisor asks again.
//!
//! Waiting supervisors are served in turn. A refused request leaves a *claim* in its supervisor's file: what is asked, on
//! which cards, and its *ticket*. Tickets are numbers, and the lowest goes first; [`claims::OwnClaims`] says how they are given.
//! A request is given what is left when all claims of other supervisors that come before it have been set aside: what a
//! claim can have now is taken, and if it cannot be met before tasks end, cards are kept free for it. [`claims::Courtesy`]
//! bounds that: a supervisor that does not take what it can have within two seconds is passed over, and one that is stopped
//! is not waited for at all. A claim that goes wakes the others.
//!
//! # When the directory is removed
//!
//! A session manager may remove it (`RemoveIPC` of systemd-logind) while runs go on. Then each supervisor makes it again
//! under its path and books in the new one what it holds: at once, as its watch sees the removal, and before it leases
//! anything. Until all have done so none leases: a supervisor that has booked, or is about to, has a
//! [`Beacon`](crate::lease_directory::Beacon), and a beacon without a file is one whose bookings are missing.
//!
//! # Trust
//!
//! Users share the directory and need not trust each other (see [`lease_directory`](crate::lease_directory)). The user
//! of a booking is the owner of its file. The owner of the directory can remove what lies in it, and any user can
//! keep the others waiting by a lock or a beacon: where users must be
//! protected from each other, an administrator makes `/run/fedflow` with mode 1777.

mod alarm;
mod booking;
mod booking_file;
mod card_key;
mod claims;
mod locked_cards;
mod own_bookings;
mod reported_use;
mod survey;

use std::sync::Arc;
use std::time::Duration;

use fedflow_core::{LeaseId, Size, TaskKey, Time};

use crate::lease_directory::{CardLock, Directory, DirectoryState, LedgerError, LedgerFault, NotLocked};
use crate::machine::{monotonic_now, probe_world};
use booking::Booking;
use booking_file::BookingFile;
use claims::{Courtesy, OwnClaims};
use locked_cards::Supervisor;

pub(crate) use alarm::{Alarm, Woken};
pub(crate) use card_key::CardKey;
pub(crate) use locked_cards::LockedCards;
pub(crate) use own_bookings::OwnBookings;
pub(crate) use reported_use::ReportedUse;
pub(crate) use survey::{SupervisorBookings, Survey};

/// For how long booking may fail until a run gives up, unless that is set.
const PATIENCE: Duration = Duration::from_secs(30);

/// How often the ledger is opened if its directory is removed meanwhile.
const OPENINGS: u32 = 100;

/// One supervisor's part in the ledger.
#[derive(Debug)]
pub(crate) struct Ledger {
    directory: Directory,
    /// By place in the pool's table.
    cards: Vec<CardKey>,
    /// Invariant: in the order of their names, each once.
    locks: Vec<CardLock>,
    own: Arc<OwnBookings>,
    alarm: Arc<Alarm>,
    /// The requests that were refused and have not been granted since.
    claims: OwnClaims,
    courtesy: Courtesy,
    /// Since when nothing could be booked, and why; `None` if the last try succeeded.
    failing: Option<(Time, LedgerError)>,
    /// For how long booking may fail.
    patience: Duration,
    /// Which files the directory had when they were last seen to show every supervisor that has booked.
    complete: Option<DirectoryState>,
}

impl Ledger {
    /// Opens the ledger of a pool's devices.
    ///
    /// # Errors
    /// The directory cannot be used, or an entry in it is not what its name says.
    pub(crate) fn open(directory: Directory, cards: Vec<CardKey>) -> Result<Self, LedgerError> {
        for _ in 0..OPENINGS {
            match Self::open_in(directory.clone(), cards.clone()) {
                // It was removed meanwhile, perhaps again while it was made.
                Err(_) if !directory.is_in_place() => drop(directory.renew()),
                // A removal takes the files first and then the directory: a file that was just made may be gone.
                Err(LedgerError::File { fault: LedgerFault::System(_), .. }) => {}
                opened => return opened,
            }
        }
        Self::open_in(directory, cards)
    }

    fn open_in(directory: Directory, cards: Vec<CardKey>) -> Result<Self, LedgerError> {
        directory.remove_unfinished();
        let mut names: Vec<&str> = cards.iter().map(|card| card.lock.as_str()).collect();
        names.sort_unstable();
        names.dedup();
        let locks =
            names.into_iter().map(|card| CardLock::open(&directory, card)).collect::<Result<_, _>>()?;
        let survey = Survey::take(&directory, None, &probe_world())?;
        if let Some(file) = survey.unreadable.into_iter().next() {
            return Err(file.error);
        }
        // The directory is watched before the file is there: so its removal causes an event.
        let alarm =
            Alarm::new(&directory).map_err(|error| LedgerError::directory(directory.path(), error))?;
        let own = BookingFile::create(&directory)?;
        Ok(Self {
            directory,
            cards,
            locks,
            own: Arc::new(OwnBookings::new(own)),
            alarm: Arc::new(alarm),
            claims: OwnClaims::default(),
            courtesy: Courtesy::default(),
            failing: None,
            patience: PATIENCE,
            complete: None,
        })
    }

    /// Locks the cards at some places and reads what other runs have booked there. Blocks for a tenth of a second a
    /// card at most, and only if another process keeps one locked.
    ///
    /// # Errors
    /// Why it cannot be known what is booked. The alarm is set then, to try again soon.
    pub(crate) fn lock(&mut self, places: &[usize]) -> Result<LockedCards<'_>, NotLocked> {
        let alarm = &*self.alarm;
        // Before anything is read: a release from here on wakes a request that is refused.
        let seen = alarm.seen();
        let supervisor = Supervisor {
            cards: &self.cards,
            own: &self.own,
            alarm,
            claims: &mut self.claims,
            courtesy: &mut self.courtesy,
            seen,
            world: self.own.world(),
            complete: &mut self.complete,
        };
        LockedCards::lock(&self.directory, &mut self.locks, places, supervisor)
            .inspect_err(|_| alarm.arm(seen, [None]))
    }

    /// Notes whether leases can be booked. If not, the alarm is set, to try again soon.
    pub(crate) fn note<T>(&mut self, tried: &Result<T, LedgerError>) {
        match tried {
            Ok(_) => self.failing = None,
            Err(error) => {
                let since = self.failing.take().map_or_else(monotonic_now, |(since, _)| since);
                self.failing = Some((since, error.clone()));
                self.alarm.arm(self.alarm.seen(), [None]);
            }
        }
    }

    /// Why nothing can be booked, if that has lasted too long to wait any longer.
    pub(crate) fn given_up(&self) -> Option<&LedgerError> {
        let (since, error) = self.failing.as_ref()?;
        (monotonic_now().since(*since) >= self.patience).then_some(error)
    }

    /// Sets for how long booking may fail.
    pub(crate) fn set_patience(&mut self, patience: Duration) {
        self.patience = patience;
    }

    /// Notes that a lease trains no longer: it keeps its memory at `places`, and nothing elsewhere.
    pub(crate) fn end_train(&self, lease: LeaseId, places: &[usize]) {
        let keeps = |card: &str| {
            places.iter().any(|place| self.cards.get(*place).is_some_and(|key| key.card == card))
        };
        let end = |booking| Some(Booking { training: false, ..booking }).filter(|b| keeps(&b.card));
        self.own.change(lease, end);
    }

    /// Books unreleased memory of the device at a place, so that no run leases it.
    pub(crate) fn quarantine(&self, place: usize, memory: Size) -> Result<(), LedgerError> {
        let Some(key) = self.cards.get(place) else { return Ok(()) };
        self.own.set_quarantine(&key.card, memory)
    }

    /// Gives back all that a lease has booked.
    pub(crate) fn release(&self, lease: LeaseId) {
        self.own.change(lease, |_| None);
    }

    /// Notes that a request is no longer made.
    pub(crate) fn withdraw(&mut self, holder: TaskKey) {
        if self.claims.withdrawn(holder) {
            self.own.update_claims(&self.claims);
        }
    }

    /// Shows other users which run this is.
    pub(crate) fn show_run(&self, run: &str) {
        self.own.show_run(run);
    }

    /// What other supervisors have booked, for people: no card is locked.
    ///
    /// # Errors
    /// The directory cannot be read.
    pub(crate) fn survey(&self) -> Result<Survey, LedgerError> {
        Survey::take(&self.directory, Some(&self.own.name()), &self.own.world())
    }

    /// The name in bookings of the device at a place.
    pub(crate) fn card(&self, place: usize) -> Option<&str> {
        self.cards.get(place).map(|key| key.card.as_str())
    }

    pub(crate) fn own(&self) -> Arc<OwnBookings> {
        Arc::clone(&self.own)
    }

    /// What lease holders report to use.
    pub(crate) fn reported_use(&self) -> ReportedUse {
        ReportedUse::new(self.directory.clone(), self.own())
    }

    pub(crate) fn alarm(&self) -> Arc<Alarm> {
        Arc::clone(&self.alarm)
    }
}

impl Drop for Ledger {
    fn drop(&mut self) {
        self.own.close();
    }
}
