//! `Courtesy`: gives way to claims of other runs that come before a request, for as long as their supervisors take what is
//! free.

use std::collections::BTreeMap;
use std::time::Duration;

use fedflow_core::{CardLimits, DeviceInfo, Foreseen, LeaseTable, ProcessId, Size, Time};

use super::written_claim::{LimitedCards, Rank, WrittenClaim};
use crate::ledger::card_key::CardKey;
use crate::ledger::survey::{SupervisorBookings, Survey};

/// For how long a claim is waited for that could be met. A supervisor that lives takes what it can have within a
/// millisecond.
const TAKES_WITHIN: Duration = Duration::from_secs(2);

/// Which claims have had their chance.
#[derive(Debug, Default)]
pub(in crate::ledger) struct Courtesy(BTreeMap<(String, u64), Chance>);

/// What a run sees of the others while cards are locked.
pub(in crate::ledger) struct Onlooker<'a> {
    /// The keys of its devices, by place in its table.
    pub(in crate::ledger) cards: &'a [CardKey],
    pub(in crate::ledger) survey: &'a Survey,
    /// The world of process numbers that it lives in.
    pub(in crate::ledger) world: &'a str,
    /// The ticket of its own request that has waited longest.
    pub(in crate::ledger) first_ticket: Option<u64>,
    pub(in crate::ledger) now: Time,
    pub(in crate::ledger) is_stopped: &'a dyn Fn(ProcessId) -> bool,
}

/// A claim that comes before a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::ledger) struct InTheWay {
    /// The name of its supervisor's file, and the claim's number there.
    claim: (String, u64),
    refusals: u64,
    /// For what it has a chance now; `None` if tasks have to end first.
    waited_for: Option<WaitedFor>,
    /// The world of its supervisor.
    pub(in crate::ledger) world: String,
    pub(in crate::ledger) claimant: ProcessId,
}

/// What is waited for so that a claim is met.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum WaitedFor {
    /// That its supervisor takes what is free.
    Supervisor,
    /// That processes exit which have trained. They may stay.
    Exits,
}

/// A claim's chance.
#[derive(Debug)]
struct Chance {
    waited_for: WaitedFor,
    since: Time,
    /// When it last kept a request waiting.
    until: Time,
    /// How often it had been refused then.
    refusals: u64,
    /// Whether it was not used; `Some(true)` if its supervisor has looked meanwhile, and so cannot use it.
    missed: Option<bool>,
}

impl Courtesy {
    /// Sets aside in the table what claims get that come before a request. Returns those claims.
    pub(in crate::ledger) fn give_way(
        &mut self,
        table: &mut LeaseTable,
        sees: &Onlooker<'_>,
        rank: &Rank,
    ) -> Vec<InTheWay> {
        table.aside().clear();
        if !self.0.is_empty() {
            self.0.retain(|(supervisor, number), _| sees.survey.has_claim(supervisor, *number));
        }
        let living = sees.survey.supervisors.iter().filter(|supervisor| supervisor.alive);
        let claims = living.flat_map(|supervisor| {
            supervisor.header.claims.iter().map(move |claim| (rank_of(supervisor, claim), supervisor, claim))
        });
        let mut before: Vec<(Rank, &SupervisorBookings, &WrittenClaim)> =
            claims.filter(|(of_claim, ..)| of_claim < rank).collect();
        if before.is_empty() {
            return Vec::new();
        }
        before.sort_by(|(one, ..), (other, ..)| one.cmp(other));
        let mut cards = KnownCards::of(table, sees);
        let mut in_the_way = Vec::new();
        for (of_claim, supervisor, written) in before {
            let claimant = ProcessId::from(supervisor.header.supervisor);
            let is_here = supervisor.header.world == sees.world;
            if is_here && (sees.is_stopped)(claimant) {
                continue;
            }
            let claim = written.on_cards(cards.of_claim(written, sees.survey));
            let foreseen = cards
                .table
                .aside()
                .foresee(&claim, sees.first_ticket.is_some_and(|ticket| ticket < of_claim.ticket));
            let waited_for = match foreseen {
                Foreseen::Never => continue,
                // Of a process elsewhere it is not known whether it is stopped.
                Foreseen::Later(_) if !is_here => continue,
                Foreseen::Later(_) => None,
                Foreseen::Now(_) => Some(WaitedFor::Supervisor),
                Foreseen::Unclear(_) => Some(WaitedFor::Exits),
            };
            let named = (supervisor.name.clone(), written.number);
            if self.has_missed(&named, waited_for, written.refusals, sees.now) {
                continue;
            }
            cards.table.aside().add(&claim, &foreseen);
            let world = supervisor.header.world.clone();
            in_the_way.push(InTheWay {
                claim: named,
                refusals: written.refusals,
                waited_for,
                world,
                claimant,
            });
        }
        table.aside().copy(&cards.table.aside());
        in_the_way
    }

    /// Notes that claims alone keep a request waiting. Returns when the first of them has had its chance, if it takes no
    /// event.
    pub(in crate::ledger) fn begin(&mut self, claims: &[InTheWay], now: Time) -> Option<Time> {
        let mut first: Option<Time> = None;
        for InTheWay { claim, refusals, waited_for, .. } in claims {
            let Some(waited_for) = *waited_for else { continue };
            let new = Chance { waited_for, since: now, until: now, refusals: *refusals, missed: None };
            let chance = self.0.entry(claim.clone()).or_insert(new);
            chance.until = now;
            first = first.into_iter().chain([chance.since + TAKES_WITHIN]).min();
        }
        first
    }

    /// Whether a claim has had its chance. Forgets a chance that has nothing to do with this one.
    fn has_missed(
        &mut self,
        claim: &(String, u64),
        waited_for: Option<WaitedFor>,
        refusals: u64,
        now: Time,
    ) -> bool {
        let Some(chance) = self.0.get_mut(claim) else { return false };
        let is_over = now.since(chance.since) >= TAKES_WITHIN;
        // Nothing was kept waiting for a while, so nothing is known of that time.
        let is_old = now.since(chance.until) > TAKES_WITHIN * 2;
        if chance.missed.is_none() && waited_for == Some(chance.waited_for) && is_over && !is_old {
            chance.missed = Some(chance.refusals != refusals);
        }
        let stays = match chance.missed {
            None => waited_for == Some(chance.waited_for) && !is_old,
            // It was slow, and looks again.
            Some(false) if chance.refusals != refusals => false,
            // The processes that were in its way have exited after all.
            Some(_) => {
                chance.waited_for == WaitedFor::Supervisor || waited_for != Some(WaitedFor::Supervisor)
            }
        };
        let has_missed = stays && chance.missed.is_some();
        if !stays {
            self.0.remove(claim);
        }
        has_missed
    }
}

fn rank_of(supervisor: &SupervisorBookings, claim: &WrittenClaim) -> Rank {
    Rank { ticket: claim.ticket, since: claim.since, supervisor: supervisor.name.clone() }
}

/// The table of this run, with the cards at its end that only claims of other runs name.
struct KnownCards<'a> {
    table: LeaseTable,
    own: &'a [CardKey],
    beyond: Vec<LimitedCards>,
}

impl<'a> KnownCards<'a> {
    fn of(table: &LeaseTable, sees: &Onlooker<'a>) -> Self {
        let mut table = table.clone();
        // Those of which nothing is asked now are not locked: what is booked there may change, and only the order of
        // runs depends on it.
        for (place, key) in sees.cards.iter().enumerate() {
            table.set_others(place, sees.survey.on(&key.card));
        }
        Self { table, own: sees.cards, beyond: Vec::new() }
    }

    /// The devices that suit a claim, by place.
    fn of_claim(&mut self, claim: &WrittenClaim, survey: &Survey) -> Vec<(usize, Option<CardLimits>)> {
        let mut found = Vec::new();
        for group in &claim.on {
            let limits = group.card_limits();
            let own = self.own.iter().enumerate().filter(|(_, key)| group.contain(&key.card));
            let before = found.len();
            found.extend(own.map(|(place, _)| (place, limits)));
            if found.len() - before < group.count() {
                let places = self.beyond(group, survey);
                found.extend(places.into_iter().map(|place| (place, limits)));
            }
        }
        found
    }

    /// The places of those cards of a group that this run does not have.
    fn beyond(&mut self, group: &LimitedCards, survey: &Survey) -> Vec<usize> {
        let mut places = Vec::new();
        for one in group.each() {
            if self.own.iter().any(|key| one.contain(&key.card)) {
                continue;
            }
            let known = self.beyond.iter().position(|card| card.cards == one.cards);
            let at = known.unwrap_or_else(|| {
                let place = self.own.len() + self.beyond.len();
                self.table.add_card(DeviceInfo::simulated(u32::MAX, Size::ZERO), one.card_limits());
                self.table.set_others(place, survey.on_one(|booked| one.contain(booked)));
                self.beyond.push(one);
                self.beyond.len() - 1
            });
            places.push(self.own.len() + at);
        }
        places
    }
}
