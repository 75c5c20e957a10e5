//! `Survey`: what all supervisors have booked, as far as it still holds.

use std::fs::{File, TryLockError};
use std::os::unix::fs::{FileExt, MetadataExt};

use fedflow_core::{OtherRuns, ProcessId, Size};
use rustix::process::geteuid;

use super::booking::{Booking, Header, MAX_LINES, VERSION, version_of};
use super::booking_file::PREFIX;
use crate::lease_directory::{Directory, LINE, LedgerError, LedgerFault, Line, decode, read_whole};
use crate::machine::is_alive;

/// How often an entry that is being written is read again. Writing one takes microseconds.
const READS: u32 = 100;

/// Everything that other supervisors have booked on this machine.
#[derive(Debug, Default)]
pub(crate) struct Survey {
    pub(crate) supervisors: Vec<SupervisorBookings>,
    /// Files that have a supervisor's name and cannot be read.
    pub(crate) unreadable: Vec<UnreadableFile>,
}

/// What one supervisor has booked, as far as it holds.
#[derive(Debug)]
pub(crate) struct SupervisorBookings {
    /// The name of its file.
    pub(crate) name: String,
    /// The number of the user that owns its file.
    pub(crate) user: u32,
    pub(crate) header: Header,
    /// Whether the supervisor lives.
    pub(crate) alive: bool,
    /// All its bookings. If it has ended: only those whose worker lives on.
    pub(crate) bookings: Vec<Booking>,
}

/// A file that cannot be read as a supervisor's.
#[derive(Debug)]
pub(crate) struct UnreadableFile {
    pub(crate) error: LedgerError,
    /// Whether a process holds its lock, and so might have booked anything.
    pub(crate) held: bool,
}

impl Survey {
    /// Reads the files of all supervisors except `own`. `world` is the world of process numbers of this process.
    ///
    /// Void files of this user are removed.
    pub(crate) fn take(directory: &Directory, own: Option<&str>, world: &str) -> Result<Self, LedgerError> {
        let mut survey = Self::default();
        for name in directory.names(PREFIX)? {
            if own == Some(name.as_str()) {
                continue;
            }
            match read(directory, &name, world) {
                Ok(Some(supervisor)) if !supervisor.alive && supervisor.bookings.is_empty() => {
                    // No process can lock it again, and no other file will have its name.
                    if supervisor.user == geteuid().as_raw() {
                        directory.remove(&name);
                    }
                }
                Ok(Some(supervisor)) => survey.supervisors.push(supervisor),
                // It was removed meanwhile.
                Ok(None) => {}
                Err(unreadable) => survey.unreadable.push(unreadable),
            }
        }
        Ok(survey)
    }

    /// What is booked on a card.
    pub(crate) fn on(&self, card: &str) -> OtherRuns {
        self.on_one(|booked| booked == card)
    }

    /// What is booked on the card that this is true of.
    pub(super) fn on_one(&self, is_it: impl Fn(&str) -> bool) -> OtherRuns {
        let mut others = OtherRuns::default();
        for booking in self.bookings().filter(|booking| is_it(&booking.card)) {
            others.memory = others.memory + booking.memory;
            if booking.quarantined {
                others.quarantined = others.quarantined + booking.memory;
            }
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

    /// What lease holders report to use of a card.
    pub(super) fn used_of(&self, card: &str) -> Size {
        self.bookings().filter(|booking| booking.card == card).filter_map(|booking| booking.used).sum()
    }

    /// The latest ticket at which a run was leased something, of those that hold or claim something.
    pub(super) fn latest_ticket(&self) -> u64 {
        let of_claimants = self.supervisors.iter().map(|supervisor| supervisor.header.ticket);
        self.bookings().map(|booking| booking.ticket).chain(of_claimants).max().unwrap_or(0)
    }

    /// Whether a supervisor claims something by this number.
    pub(super) fn has_claim(&self, supervisor: &str, number: u64) -> bool {
        let claims =
            self.supervisors.iter().filter(|of| of.name == supervisor).flat_map(|of| &of.header.claims);
        claims.into_iter().any(|claim| claim.number == number)
    }

    fn bookings(&self) -> impl Iterator<Item = &Booking> {
        self.supervisors.iter().flat_map(|supervisor| &supervisor.bookings)
    }

    /// The numbers of all supervisors and named workers.
    pub(crate) fn processes(&self) -> Vec<u32> {
        let supervisors = self.supervisors.iter().map(|supervisor| supervisor.header.supervisor.pid);
        supervisors.chain(self.bookings().filter_map(|b| Some(b.worker?.pid))).collect()
    }

    /// The processes whose end would free memory of these cards, each with its world of process numbers.
    pub(super) fn holders<'a>(&'a self, cards: &[&str]) -> Vec<(&'a str, ProcessId)> {
        let mut holders = Vec::new();
        for supervisor in &self.supervisors {
            let here = supervisor.bookings.iter().filter(|booking| cards.contains(&booking.card.as_str()));
            let world = supervisor.header.world.as_str();
            if supervisor.alive {
                holders.extend(here.take(1).map(|_| (world, supervisor.header.supervisor.into())));
            } else {
                holders.extend(here.filter_map(|booking| Some((world, booking.worker?.into()))));
            }
        }
        holders
    }
}

fn read(
    directory: &Directory,
    name: &str,
    world: &str,
) -> Result<Option<SupervisorBookings>, UnreadableFile> {
    // An entry that is not a file has no lock and so no bookings. A file that may not be opened may have some.
    let not_opened = |error: LedgerError| UnreadableFile {
        held: matches!(error, LedgerError::File { fault: LedgerFault::System(_), .. }),
        error,
    };
    let Some(file) = directory.read(name).map_err(not_opened)? else { return Ok(None) };
    // Checked before the file is read: if the supervisor ends meanwhile, its bookings count, not the reverse.
    let held = is_held(&file);
    let failed =
        |fault| UnreadableFile { error: LedgerError::file(directory.path().join(name), fault), held };
    let user = file.metadata().map_err(|error| failed(error.into()))?.uid();
    let bytes = read_whole(&file, MAX_LINES * LINE).map_err(failed)?;
    let mut lines = bytes.chunks(LINE).enumerate();
    let header = match lines.next().map_or(Line::Unreadable, |(_, line)| reread(&file, 0, line, held)) {
        Line::Entry(header @ Header { fedflow_ledger: VERSION, .. }) => header,
        Line::Entry(_) | Line::Empty | Line::Unreadable => {
            let version = version_of(bytes.get(..LINE).unwrap_or_default());
            return Err(failed(version.map_or(LedgerFault::NotALedger, LedgerFault::Version)));
        }
    };
    let mut bookings: Vec<Booking> = Vec::new();
    for (place, line) in lines {
        match reread(&file, place, line, held) {
            Line::Empty => {}
            Line::Entry(booking) => bookings.push(booking),
            Line::Unreadable if held => return Err(failed(LedgerFault::NotALedger)),
            // Its supervisor died while it wrote.
            Line::Unreadable => {}
        }
    }
    if !held {
        let survives = |worker: ProcessId| header.world == world && is_alive(worker);
        bookings.retain(|booking| booking.worker.is_some_and(|worker| survives(worker.into())));
    }
    Ok(Some(SupervisorBookings { name: name.to_owned(), user, header, alive: held, bookings }))
}

/// An entry, read again while it is being written.
fn reread<T: serde::de::DeserializeOwned>(file: &File, place: usize, line: &[u8], held: bool) -> Line<T> {
    let mut entry = decode(line);
    for _ in 0..READS {
        if !held || !matches!(entry, Line::Unreadable) {
            break;
        }
        std::thread::yield_now();
        let mut bytes = [0; LINE];
        if file.read_exact_at(&mut bytes, (place * LINE) as u64).is_ok() {
            entry = decode(&bytes);
        }
    }
    entry
}

fn is_held(file: &File) -> bool {
    // If in doubt it counts as held: leasing too little is better than leasing too much.
    match file.try_lock_shared() {
        Ok(()) => false,
        Err(TryLockError::WouldBlock | TryLockError::Error(_)) => true,
    }
}
