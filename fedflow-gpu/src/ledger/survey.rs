//! Reads what all supervisors have booked, and tells which of it still holds.

use std::fs::{File, TryLockError};
use std::os::unix::fs::{FileExt, MetadataExt};

use fedflow_core::{Others, ProcessId, Size};
use rustix::process::geteuid;

use super::directory::{Directory, read_whole};
use super::fault::{Fault, LedgerError};
use super::own_file::PREFIX;
use super::record::{Booking, Header, MAX_SLOTS, SLOT, Slot, VERSION, decode, version_of};
use crate::machine::is_alive;

/// How often a record is read again that is being written. Writing one takes microseconds.
const READS: u32 = 100;

/// Everything that is booked on this machine by others.
#[derive(Debug, Default)]
pub(crate) struct Survey {
    pub(crate) supervisors: Vec<Standing>,
    /// Files that should be supervisors' and are not.
    pub(crate) faults: Vec<Faulty>,
}

/// What one supervisor has booked, as far as it holds.
#[derive(Debug)]
pub(crate) struct Standing {
    /// The number of the user whose file it is.
    pub(crate) user: u32,
    pub(crate) header: Header,
    /// Whether the supervisor lives.
    pub(crate) alive: bool,
    /// Of a supervisor that has ended only those whose worker lives on.
    pub(crate) bookings: Vec<Booking>,
}

/// A file that cannot be understood.
#[derive(Debug)]
pub(crate) struct Faulty {
    pub(crate) error: LedgerError,
    /// Whether somebody holds it, and so might have booked anything.
    pub(crate) held: bool,
}

impl Survey {
    /// Reads all files but one's `own`. `world` is where process numbers mean the same as here.
    ///
    /// Files of this user that are void are removed.
    pub(crate) fn take(directory: &Directory, own: Option<&str>, world: &str) -> Result<Self, LedgerError> {
        let mut survey = Self::default();
        for name in directory.names(PREFIX)? {
            if own == Some(name.as_str()) {
                continue;
            }
            match read(directory, &name, world) {
                Ok(Some(standing)) if !standing.alive && standing.bookings.is_empty() => {
                    // Dead is dead: nobody locks it again, and no other file will have its name.
                    if standing.user == geteuid().as_raw() {
                        directory.remove(&name);
                    }
                }
                Ok(Some(standing)) => survey.supervisors.push(standing),
                // It went meanwhile.
                Ok(None) => {}
                Err(faulty) => survey.faults.push(faulty),
            }
        }
        Ok(survey)
    }

    /// What is booked on a card.
    pub(crate) fn on(&self, card: &str) -> Others {
        let mut others = Others::default();
        for booking in self.bookings().filter(|booking| booking.card == card) {
            others.memory = others.memory + booking.memory;
            if booking.training {
                others.training += 1;
                others.exclusive |= booking.exclusive;
                others.unestimated += usize::from(!booking.estimated);
            } else if !booking.quarantined {
                others.resident += 1;
            }
        }
        others
    }

    /// What holders of leases say that they use of a card.
    pub(super) fn used_of(&self, card: &str) -> Size {
        self.bookings().filter(|booking| booking.card == card).filter_map(|booking| booking.used).sum()
    }

    fn bookings(&self) -> impl Iterator<Item = &Booking> {
        self.supervisors.iter().flat_map(|standing| &standing.bookings)
    }

    /// The processes that were named, as numbers: supervisors and workers.
    pub(crate) fn processes(&self) -> Vec<u32> {
        let supervisors = self.supervisors.iter().map(|standing| standing.header.supervisor.pid);
        supervisors.chain(self.bookings().filter_map(|b| Some(b.worker?.pid))).collect()
    }

    /// The processes whose end would free something of these cards, and the worlds they are in.
    pub(super) fn holders<'a>(&'a self, cards: &[&str]) -> Vec<(&'a str, ProcessId)> {
        let mut holders = Vec::new();
        for standing in &self.supervisors {
            let here = standing.bookings.iter().filter(|booking| cards.contains(&booking.card.as_str()));
            let world = standing.header.world.as_str();
            if standing.alive {
                holders.extend(here.take(1).map(|_| (world, standing.header.supervisor.into())));
            } else {
                holders.extend(here.filter_map(|booking| Some((world, booking.worker?.into()))));
            }
        }
        holders
    }
}

fn read(directory: &Directory, name: &str, world: &str) -> Result<Option<Standing>, Faulty> {
    // What cannot be opened as a file holds no lock and so no booking, unless it was closed on purpose.
    let not_opened = |error: LedgerError| Faulty {
        held: matches!(error, LedgerError::File { fault: Fault::System(_), .. }),
        error,
    };
    let Some(file) = directory.read(name).map_err(not_opened)? else { return Ok(None) };
    // Looked at before it is read: what a supervisor that ends frees meanwhile counts as booked, not the reverse.
    let held = is_held(&file);
    let failed = |fault| Faulty { error: LedgerError::file(directory.path().join(name), fault), held };
    let user = file.metadata().map_err(|error| failed(error.into()))?.uid();
    let bytes = read_whole(&file, MAX_SLOTS * SLOT).map_err(failed)?;
    let mut slots = bytes.chunks(SLOT).enumerate();
    let header = match slots.next().map_or(Slot::Unreadable, |(_, slot)| reread(&file, 0, slot, held)) {
        Slot::Record(header @ Header { fedflow_ledger: VERSION, .. }) => header,
        Slot::Record(_) | Slot::Empty | Slot::Unreadable => {
            let version = version_of(bytes.get(..SLOT).unwrap_or_default());
            return Err(failed(version.map_or(Fault::NotALedger, Fault::Version)));
        }
    };
    let mut bookings: Vec<Booking> = Vec::new();
    for (place, slot) in slots {
        match reread(&file, place, slot, held) {
            Slot::Empty => {}
            Slot::Record(booking) => bookings.push(booking),
            Slot::Unreadable if held => return Err(failed(Fault::NotALedger)),
            // Its writer died while it wrote.
            Slot::Unreadable => {}
        }
    }
    if !held {
        let survives = |worker: ProcessId| header.world == world && is_alive(worker);
        bookings.retain(|booking| booking.worker.is_some_and(|worker| survives(worker.into())));
    }
    Ok(Some(Standing { user, header, alive: held, bookings }))
}

/// A record, read again while it is being written.
fn reread<T: serde::de::DeserializeOwned>(file: &File, place: usize, slot: &[u8], held: bool) -> Slot<T> {
    let mut record = decode(slot);
    for _ in 0..READS {
        if !held || !matches!(record, Slot::Unreadable) {
            break;
        }
        std::thread::yield_now();
        let mut bytes = [0; SLOT];
        if file.read_exact_at(&mut bytes, (place * SLOT) as u64).is_ok() {
            record = decode(&bytes);
        }
    }
    record
}

fn is_held(file: &File) -> bool {
    // What cannot be told is taken for held: rather too little is leased than too much.
    match file.try_lock_shared() {
        Ok(()) => false,
        Err(TryLockError::WouldBlock | TryLockError::Error(_)) => true,
    }
}
