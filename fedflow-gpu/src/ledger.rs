//! The ledger of the machine: every supervisor of every user books its leases there, so that together they never lease
//! more of a card than there is. It needs no daemon and no privileges.
//!
//! # What lies in the directory
//!
//! * `card-UUID`, one for each card: a file that is locked while somebody looks who has booked what, and books. Its
//!   holder waits for nothing meanwhile. Several cards are locked in the order of their names, so nobody waits for
//!   somebody who waits for him. CPU slots have one such file together.
//! * `supervisor-PID-START-N`, one for each supervisor: what it has booked, written by it alone and readable for all.
//!   Nobody can change what others have booked. It is locked as long as its supervisor lives, and the kernel gives the
//!   lock back however the supervisor ends.
//!
//! # When a booking holds
//!
//! A booking holds while its supervisor's lock is held or the worker that it names lives, a process known by number and
//! start. So a supervisor that is killed frees what it held, and what a surviving worker uses stays booked until the
//! worker ends. Process numbers mean something only on this machine, since its last start, and in one namespace of
//! process numbers; the bookings of a dead supervisor from another one are void.
//!
//! # Who waits
//!
//! One who was refused waits for events alone: a release changes the attributes of its supervisor's file (inotify), and
//! a process that ends makes its pidfd readable. Then it asks again. Who of several waiting supervisors is first is not
//! decided here: devices are kept back for a long waiter only within one supervisor, so a large request can be passed by
//! as long as small ones of other supervisors come.
//!
//! # What is not trusted
//!
//! Other users share the directory. No link in it is followed, no pipe waited for, nothing that somebody else put there
//! is changed; what has a name of the ledger and is none is an error that names it. The user of a booking is the owner of
//! the file. Whoever owns the directory itself can remove what lies in it: where users must be protected from each other,
//! an administrator makes `/run/fedflow`, with mode 1777.

mod alarm;
mod card_lock;
mod directory;
mod fault;
mod own_file;
mod record;
mod survey;
mod usage;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use fedflow_core::{Device, DeviceInfo, Lease, LeaseId, LeaseRequest, Others, Size, TaskKey};

use crate::machine::{identify, probe_world, unix_now};
use card_lock::{CardLock, Held};
use own_file::OwnFile;
use record::{Booking, Waiting};

pub(crate) use alarm::{Alarm, Woken};
pub(crate) use card_lock::NotLocked;
pub(crate) use directory::{Directory, Shared};
pub use fault::{Fault, LedgerError};
pub(crate) use survey::{Standing, Survey};
pub(crate) use usage::Usage;

/// How a device is named in the ledger.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct CardKey {
    card: String,
    lock: String,
}

impl CardKey {
    /// The key of a pool's device: a card by its UUID, a simulated one and a slot by their numbers.
    pub(crate) fn of(info: &DeviceInfo, place: usize) -> Self {
        match (&info.uuid, info.device) {
            (Some(uuid), _) => Self::locked_alone(Self::of_uuid(uuid)),
            (None, Device::Cpu) => Self { card: format!("cpu-{place}"), lock: "cpu".into() },
            (None, Device::Sim(ordinal)) => Self::locked_alone(format!("sim-{ordinal}")),
            (None, Device::Cuda(ordinal)) => Self::locked_alone(format!("cuda-{ordinal}")),
        }
    }

    /// The key of a card's or instance's UUID, which may be text of any kind in a file's name.
    pub(crate) fn of_uuid(uuid: &str) -> String {
        let plain = |c: char| if c.is_ascii_alphanumeric() || c == '-' { c } else { '_' };
        uuid.chars().map(plain).take(100).collect()
    }

    /// The device that a key means without a list of cards.
    pub(crate) fn device(card: &str) -> Option<Device> {
        let (kind, number) = card.split_once('-')?;
        match kind {
            "sim" => number.parse().ok().map(Device::Sim),
            "cpu" => number.parse::<u32>().ok().map(|_| Device::Cpu),
            _ => None,
        }
    }

    fn locked_alone(card: String) -> Self {
        Self { lock: card.clone(), card }
    }
}

/// One supervisor's part in the ledger.
#[derive(Debug)]
pub(crate) struct Ledger {
    directory: Directory,
    /// By place in the pool's table.
    cards: Vec<CardKey>,
    /// Invariant: in the order of their names, each once.
    locks: Vec<CardLock>,
    own: Arc<Own>,
    alarm: Arc<Alarm>,
    /// Who was refused because of others and has not been leased anything since.
    waiting: BTreeMap<TaskKey, Waiting>,
}

/// The supervisor's file, until the ledger is closed.
#[derive(Debug)]
pub(crate) struct Own(Mutex<Option<OwnFile>>);

impl Ledger {
    /// Opens the ledger of a pool's devices.
    ///
    /// # Errors
    /// The directory cannot be used, or something in it is not what its name says.
    pub(crate) fn open(directory: Directory, cards: Vec<CardKey>) -> Result<Self, LedgerError> {
        directory.remove_unfinished();
        let mut names: Vec<&str> = cards.iter().map(|card| card.lock.as_str()).collect();
        names.sort_unstable();
        names.dedup();
        let locks =
            names.into_iter().map(|card| CardLock::open(&directory, card)).collect::<Result<_, _>>()?;
        let survey = Survey::take(&directory, None, &probe_world())?;
        if let Some(faulty) = survey.faults.into_iter().next() {
            return Err(faulty.error);
        }
        let own = OwnFile::create(&directory)?;
        let alarm =
            Alarm::new(&directory).map_err(|error| LedgerError::directory(directory.path(), error))?;
        Ok(Self {
            directory,
            cards,
            locks,
            own: Arc::new(Own(Mutex::new(Some(own)))),
            alarm: Arc::new(alarm),
            waiting: BTreeMap::new(),
        })
    }

    /// Locks the cards at some places and looks who has booked what there. Blocks for a tenth of a second a card at
    /// most, and only if somebody keeps one locked.
    ///
    /// # Errors
    /// Why it cannot be known what is booked. The alarm is set then, to try again soon.
    pub(crate) fn begin(&mut self, places: &[usize]) -> Result<Round<'_>, NotLocked> {
        // Before looking: what is released from here on wakes those who are refused.
        let seen = self.alarm.seen();
        let (name, world) =
            self.own.with(|own| (own.name().to_owned(), own.world().to_owned())).unwrap_or_default();
        let cards: Vec<&CardKey> = places.iter().filter_map(|place| self.cards.get(*place)).collect();
        let looked = look(&self.directory, &mut self.locks, &cards, &name, &world);
        let (held, survey) = looked.inspect_err(|_| self.alarm.arm(seen, [None]))?;
        Ok(Round {
            _held: held,
            seen,
            survey,
            world,
            cards: &self.cards,
            own: &self.own,
            alarm: &self.alarm,
            waiting: &mut self.waiting,
        })
    }

    /// Changes what a lease has booked after its turn: it keeps its memory at `places`, and nothing elsewhere.
    pub(crate) fn end_train(&self, lease: LeaseId, places: &[usize]) {
        let keeps = |card: &str| {
            places.iter().any(|place| self.cards.get(*place).is_some_and(|key| key.card == card))
        };
        self.own.with(|own| {
            own.change(lease, |mut booking| {
                booking.training = false;
                keeps(&booking.card).then_some(booking)
            });
        });
    }

    /// Keeps so much of the device at a place from everybody, as a process that has ended did not give it back.
    pub(crate) fn quarantine(&self, place: usize, memory: Size) -> Result<(), LedgerError> {
        let Some(key) = self.cards.get(place) else { return Ok(()) };
        self.own.with(|own| own.set_quarantine(&key.card, memory)).unwrap_or(Ok(()))
    }

    /// Gives back all that a lease has booked.
    pub(crate) fn release(&self, lease: LeaseId) {
        self.own.with(|own| own.change(lease, |_| None));
    }

    /// Somebody does not wait any more.
    pub(crate) fn withdraw(&mut self, holder: TaskKey) {
        if self.waiting.remove(&holder).is_some() {
            self.own.tell_waiting(&self.waiting);
        }
    }

    pub(crate) fn own(&self) -> Arc<Own> {
        Arc::clone(&self.own)
    }

    /// What holders of leases say that they use.
    pub(crate) fn usage(&self) -> Usage {
        Usage::new(self.directory.clone(), self.own())
    }

    pub(crate) fn alarm(&self) -> Arc<Alarm> {
        Arc::clone(&self.alarm)
    }
}

fn look<'a>(
    directory: &Directory,
    locks: &'a mut [CardLock],
    cards: &[&CardKey],
    own: &str,
    world: &str,
) -> Result<(Vec<Held<'a>>, Survey), NotLocked> {
    let mut held = Vec::new();
    for lock in locks.iter_mut().filter(|lock| cards.iter().any(|card| card.lock == lock.card())) {
        held.push(lock.lock()?);
    }
    let mut survey = Survey::take(directory, Some(own), world).map_err(NotLocked::Error)?;
    // What nobody holds is void, whatever it is. Who holds a file might have booked anything.
    match survey.faults.iter().position(|faulty| faulty.held) {
        Some(at) => Err(NotLocked::Error(survey.faults.swap_remove(at).error)),
        None => Ok((held, survey)),
    }
}

impl Drop for Ledger {
    fn drop(&mut self) {
        self.own.close();
    }
}

/// The cards locked and looked at: now a request can be met, or not.
pub(crate) struct Round<'a> {
    _held: Vec<Held<'a>>,
    seen: u64,
    survey: Survey,
    world: String,
    cards: &'a [CardKey],
    own: &'a Own,
    alarm: &'a Alarm,
    waiting: &'a mut BTreeMap<TaskKey, Waiting>,
}

impl Round<'_> {
    /// What others have booked of the device at a place.
    pub(crate) fn others(&self, place: usize) -> Others {
        self.cards.get(place).map(|card| self.survey.on(&card.card)).unwrap_or_default()
    }

    /// The processes whose memory is booked by others.
    pub(crate) fn processes(&self) -> Vec<u32> {
        self.survey.processes()
    }

    /// Books a lease's shares, all or none; they lie at these places.
    pub(crate) fn book(
        self,
        lease: &Lease,
        places: &[usize],
        request: &LeaseRequest,
    ) -> Result<(), LedgerError> {
        let memory = lease.shares.first().and_then(|share| share.memory).unwrap_or(Size::ZERO);
        let cards = places.iter().filter_map(|place| self.cards.get(*place));
        let bookings = cards.map(|card| own_file::booking(lease.id, &card.card, memory, request));
        self.own.with(|own| own.book(bookings)).unwrap_or(Ok(()))?;
        if self.waiting.remove(&request.holder).is_some() {
            self.own.tell_waiting(self.waiting);
        }
        Ok(())
    }

    /// Books another amount for a lease that is booked at some of these places.
    pub(crate) fn rebook(self, lease: LeaseId, memory: Size) {
        self.own.with(|own| {
            own.change(lease, |booking| Some(Booking { memory, estimated: true, ..booking }));
        });
    }

    /// A request was refused: if others have something of the devices at these places, the alarm is set.
    pub(crate) fn refuse(self, places: &[usize], request: &LeaseRequest) {
        let cards: Vec<&str> =
            places.iter().filter_map(|place| Some(self.cards.get(*place)?.card.as_str())).collect();
        let holders = self.survey.holders(&cards);
        if holders.is_empty() {
            return;
        }
        self.alarm.arm(
            self.seen,
            holders.into_iter().map(|(world, holder)| (world == self.world).then_some(holder)),
        );
        let LeaseRequest { devices, memory, exclusive, .. } = *request;
        self.waiting.entry(request.holder).or_insert_with(|| Waiting {
            devices,
            memory,
            exclusive,
            since: unix_now(),
        });
        self.own.tell_waiting(self.waiting);
    }
}

impl Own {
    /// Names the process that uses a lease, and its task.
    pub(crate) fn name_holder(&self, lease: LeaseId, pid: u32, task: &str) {
        // One that has ended already holds nothing that would have to outlive us.
        if let Ok(worker) = identify(pid) {
            self.with(|own| own.name_holder(lease, worker, task));
        }
    }

    /// The file's name now.
    pub(crate) fn name(&self) -> String {
        self.with(|own| own.name().to_owned()).unwrap_or_default()
    }

    /// Puts the file back that somebody has removed.
    pub(crate) fn restore(&self) {
        // If that fails, the next booking tries again, and tells why it cannot be made.
        let _ = self.with(OwnFile::restore);
    }

    fn tell_waiting(&self, waiting: &BTreeMap<TaskKey, Waiting>) {
        let longest = waiting.values().min_by_key(|waiting| waiting.since).cloned();
        self.with(|own| own.set_waiting(longest));
    }

    /// None if the ledger is closed.
    fn with<R>(&self, act: impl FnOnce(&mut OwnFile) -> R) -> Option<R> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).as_mut().map(act)
    }

    fn close(&self) {
        drop(self.0.lock().unwrap_or_else(PoisonError::into_inner).take());
    }
}
