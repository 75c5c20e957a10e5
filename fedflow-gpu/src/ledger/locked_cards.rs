//! `LockedCards`: cards that are locked, with what other runs have booked on them. While they are locked, a request is
//! booked or refused.

use fedflow_core::{Lease, LeaseId, LeaseRequest, LeaseTable, OtherRuns, ProcessId, Size};

use super::alarm::Alarm;
use super::booking::Booking;
use super::card_key::CardKey;
use super::claims::{Courtesy, InTheWay, LimitedCards, Onlooker, OwnClaims, Rank, Refused};
use super::own_bookings::{Announced, OwnBookings};
use super::survey::Survey;
use crate::lease_directory::{CardLock, Directory, DirectoryState, HeldLock, NotLocked};
use crate::machine::{is_stopped, monotonic_now, unix_now};

/// Locked cards. Dropping it unlocks them.
pub(crate) struct LockedCards<'a> {
    _announced: Announced<'a>,
    locks: Vec<HeldLock<'a>>,
    survey: Survey,
    supervisor: Supervisor<'a>,
    /// The claims of other runs that come before the request.
    in_the_way: Vec<InTheWay>,
}

/// What a supervisor uses to book and to wait.
pub(super) struct Supervisor<'a> {
    /// The keys of its devices, by place in the pool's table.
    pub(super) cards: &'a [CardKey],
    pub(super) own: &'a OwnBookings,
    pub(super) alarm: &'a Alarm,
    /// The requests that were refused and have not been granted since.
    pub(super) claims: &'a mut OwnClaims,
    pub(super) courtesy: &'a mut Courtesy,
    /// How many releases the alarm had seen before the cards were locked.
    pub(super) seen: u64,
    pub(super) world: String,
    /// Which files the directory had when they were last seen to show every supervisor that has booked.
    pub(super) complete: &'a mut Option<DirectoryState>,
}

impl<'a> LockedCards<'a> {
    /// Locks the cards at some places and reads what other runs have booked there.
    pub(super) fn lock(
        directory: &Directory,
        locks: &'a mut [CardLock],
        places: &[usize],
        supervisor: Supervisor<'a>,
    ) -> Result<Self, NotLocked> {
        let announced = supervisor.own.announce();
        supervisor.own.restore().map_err(NotLocked::Error)?;
        let named: Vec<&CardKey> = places.iter().filter_map(|place| supervisor.cards.get(*place)).collect();
        let mut held = Vec::new();
        for lock in locks.iter_mut().filter(|lock| named.iter().any(|card| card.lock == lock.card())) {
            held.push(lock.lock()?);
        }
        // All of it must be in the one directory in which other runs look.
        if !(supervisor.own.is_current() && held.iter().all(HeldLock::is_current)) {
            return Err(NotLocked::Removed);
        }
        let own = supervisor.own.name();
        // The kernel's list of sockets is long to read. It is asked only if files were made or removed since.
        let state = directory.state();
        let is_known = state.is_some() && *supervisor.complete == state;
        let lit = if is_known { Vec::new() } else { supervisor.own.other_beacons() };
        let mut survey = Survey::take(directory, Some(&own), &supervisor.world).map_err(NotLocked::Error)?;
        // An unreadable file that no process holds is void. A process that holds one might have booked anything.
        match survey.unreadable.iter().position(|file| file.held) {
            Some(at) => Err(NotLocked::Error(survey.unreadable.swap_remove(at).error)),
            None if misses_any(&survey, lit, supervisor.own) => Err(NotLocked::Removed),
            // Files were removed while the others were read.
            None if is_known && directory.state() != state => Err(NotLocked::Removed),
            None => {
                *supervisor.complete = state.filter(|state| state.is_settled());
                let in_the_way = Vec::new();
                Ok(Self { _announced: announced, locks: held, survey, supervisor, in_the_way })
            }
        }
    }

    /// What other runs have booked of the device at a place.
    pub(crate) fn others(&self, place: usize) -> OtherRuns {
        self.supervisor.cards.get(place).map(|card| self.survey.on(&card.card)).unwrap_or_default()
    }

    /// The processes whose memory other runs have booked.
    pub(crate) fn processes(&self) -> Vec<u32> {
        self.survey.processes()
    }

    /// Sets aside in the table what claims of other runs get that come before a request.
    pub(crate) fn give_way(&mut self, table: &mut LeaseTable, request: &LeaseRequest) {
        if request.roomy && request.replaces.is_some() {
            // It has run out of memory and goes on with its data: it has been served, and is not done.
            return table.aside().clear();
        }
        let rank = self.rank(request);
        let Supervisor { cards, claims, courtesy, world, .. } = &mut self.supervisor;
        let sees = Onlooker {
            cards,
            survey: &self.survey,
            world,
            first_ticket: claims.first_ticket(),
            now: monotonic_now(),
            is_stopped: &is_stopped,
        };
        self.in_the_way = courtesy.give_way(table, &sees, &rank);
    }

    /// The place of a request among those of all runs.
    fn rank(&self, request: &LeaseRequest) -> Rank {
        let Supervisor { claims, own, .. } = &self.supervisor;
        claims.rank(request.holder, self.survey.latest_ticket(), unix_now(), own.name())
    }

    /// Books a lease's shares, all or none; `places` are those of its devices.
    ///
    /// # Errors
    /// It cannot be written, or the directory was removed since the cards were locked. The alarm is set then.
    pub(crate) fn book(
        self,
        lease: &Lease,
        places: &[usize],
        request: &LeaseRequest,
    ) -> Result<(), NotLocked> {
        let (rank, latest) = (self.rank(request), self.survey.latest_ticket());
        let Supervisor { cards, own, claims, alarm, seen, .. } = self.supervisor;
        let ticket = claims.latest().max(rank.ticket).max(latest);
        let memory = lease.shares.first().and_then(|share| share.memory).unwrap_or(Size::ZERO);
        let cards = places.iter().filter_map(|place| cards.get(*place));
        let bookings = cards.map(|card| Booking::of_share(lease.id, &card.card, memory, request, ticket));
        let has_booked = own
            .book(lease.id, bookings, || self.locks.iter().all(HeldLock::is_current))
            .map_err(NotLocked::Error)?;
        if !has_booked {
            alarm.arm(seen, [None]);
            return Err(NotLocked::Removed);
        }
        if claims.granted(request.holder, ticket) {
            own.update_claims(claims);
        }
        Ok(())
    }

    /// Books another amount for a lease that is booked at some of these places.
    pub(crate) fn rebook(self, lease: LeaseId, memory: Size) {
        let change = |booking| Some(Booking { memory, estimated: true, ..booking });
        self.supervisor.own.change(lease, change);
    }

    /// Notes that a request was refused, and sets the alarm. Returns whether the request waits for other runs, which have
    /// booked some of the devices at `places` or claim them, although no thread waits for the alarm.
    pub(crate) fn refuse(self, places: &[usize], request: &LeaseRequest, table: &LeaseTable) -> bool {
        let latest = self.survey.latest_ticket();
        let Supervisor { cards, own, alarm, claims, courtesy, seen, world, complete: _ } = self.supervisor;
        let names: Vec<&str> =
            places.iter().filter_map(|place| Some(cards.get(*place)?.card.as_str())).collect();
        let mut holders = self.survey.holders(&names);
        let gives_way = !self.in_the_way.is_empty() && table.fits_beside_claims(request);
        if gives_way {
            let claimants = self.in_the_way.iter().map(|claim| (claim.world.as_str(), claim.claimant));
            holders.extend(claimants);
            let here = self.in_the_way.iter().filter(|claim| claim.world == world);
            alarm.give_way_until(
                courtesy.begin(&self.in_the_way, monotonic_now()),
                here.map(|claim| claim.claimant).collect(),
            );
        }
        let waits_for_others = !holders.is_empty();
        let of_this_world = |(of_world, holder): (&str, ProcessId)| (of_world == world).then_some(holder);
        alarm.arm(seen, holders.into_iter().map(of_this_world));
        let on = if waits_for_others { suiting(places, request, cards, table) } else { Vec::new() };
        let replaced = request.replaces.and_then(|lease| table.memory_of(lease));
        let asked =
            Refused { request: request.clone(), on, max_per_device: table.max_per_device(), replaced };
        claims.refused(asked, latest, unix_now());
        if waits_for_others {
            own.show_claims(claims);
        }
        waits_for_others && !alarm.is_watched()
    }
}

/// The devices that could meet a request, in groups of equal limits.
fn suiting(
    places: &[usize],
    request: &LeaseRequest,
    cards: &[CardKey],
    table: &LeaseTable,
) -> Vec<LimitedCards> {
    let suiting = places.iter().filter_map(|place| Some((cards.get(*place)?, table.limits_at(*place))));
    LimitedCards::group(
        suiting.filter(|(_, limits)| limits.is_none_or(|limits| limits.alone >= request.memory)),
    )
}

/// Whether a survey misses another supervisor that has booked, of those whose beacons were lit before it was taken. When
/// the directory was removed it does, until they have booked again in a new one.
fn misses_any(survey: &Survey, mut lit: Vec<String>, own: &OwnBookings) -> bool {
    let shown = |beacon: &String| {
        survey.supervisors.iter().any(|supervisor| supervisor.header.beacon.as_ref() == Some(beacon))
    };
    lit.retain(|beacon| !shown(beacon));
    // One that has given everything back and ended meanwhile has neither a beacon nor a file.
    !lit.is_empty() && own.other_beacons().iter().any(|beacon| lit.contains(beacon))
}
