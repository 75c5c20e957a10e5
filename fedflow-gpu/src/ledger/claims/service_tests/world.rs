//! `World`: runs that share simulated cards in virtual time.

use std::collections::{BTreeSet, VecDeque};
use std::time::Duration;

use fedflow_core::{
    Config, DeviceInfo, Lease, LeaseId, LeaseRequest, LeaseTable, ProcessId, Size, TaskKey, Time,
};

use super::super::courtesy::{Courtesy, Onlooker};
use super::super::own_claims::{OwnClaims, Refused};
use super::super::written_claim::{LimitedCards, WrittenClaim};
use crate::ledger::booking::{BookedProcess, Booking, Header, VERSION};
use crate::ledger::card_key::CardKey;
use crate::ledger::survey::{SupervisorBookings, Survey};

/// As many requests of a run wait at once as with the default of `scheduler.max-waiting`.
const MAX_WAITING: usize = 10;
/// A task: what it asks for, how long it trains, and how long its process stays after that.
#[derive(Debug, Clone)]
pub(super) struct Job {
    pub(super) request: LeaseRequest,
    pub(super) trains: Duration,
    pub(super) stays: Duration,
}

/// How a supervisor behaves once it has asked for the first time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Health {
    Well,
    /// It asks no more.
    Hangs,
    /// The same, because it was stopped.
    Stopped,
}

#[derive(Debug)]
pub(super) struct Run {
    name: String,
    process: BookedProcess,
    pub(super) health: Health,
    table: LeaseTable,
    claims: OwnClaims,
    courtesy: Courtesy,
    shown: (u64, Vec<WrittenClaim>),
    pub(super) bookings: Vec<Booking>,
    /// The tasks that wait for a card, and those that come after them.
    waiting: VecDeque<Job>,
    to_come: VecDeque<Job>,
    look_at: Option<Time>,
}

#[derive(Debug)]
pub(super) struct World {
    pub(super) now: Time,
    keys: Vec<CardKey>,
    pub(super) runs: Vec<Run>,
    /// What ends when: a training, or (true) a process.
    ends: BTreeSet<(Time, usize, u64, bool)>,
    /// Each grant: the run, its card, and which runs waited then.
    pub(super) grants: Vec<(usize, usize, BTreeSet<usize>)>,
}

impl World {
    pub(super) fn new(sizes: &[u64]) -> Self {
        let infos = devices(sizes);
        let keys = infos.iter().enumerate().map(|(place, info)| CardKey::of(info, place)).collect();
        let (runs, ends, grants) = (Vec::new(), BTreeSet::new(), Vec::new());
        Self { now: Time::default(), keys, runs, ends, grants }
    }

    pub(super) fn add(&mut self, sizes: &[u64], health: Health, jobs: Vec<Job>) -> usize {
        let at = self.runs.len();
        self.runs.push(Run {
            name: format!("supervisor-{at}"),
            process: BookedProcess { pid: at as u32, start: 1 },
            health,
            table: LeaseTable::of_devices(&devices(sizes), &Config::default()),
            claims: OwnClaims::default(),
            courtesy: Courtesy::default(),
            shown: (0, Vec::new()),
            bookings: Vec::new(),
            waiting: VecDeque::new(),
            to_come: jobs.into(),
            look_at: None,
        });
        at
    }

    /// What a run finds in the files of the others.
    fn survey(&self, of: usize) -> Survey {
        let others = self.runs.iter().enumerate().filter(|(at, _)| *at != of);
        let supervisors = others.map(|(_, run)| SupervisorBookings {
            name: run.name.clone(),
            user: 0,
            header: Header {
                fedflow_ledger: VERSION,
                world: "here".into(),
                supervisor: run.process,
                run: None,
                waiting: None,
                beacon: None,
                ticket: run.shown.0,
                claims: run.shown.1.clone(),
            },
            alive: true,
            bookings: run.bookings.clone(),
        });
        Survey { supervisors: supervisors.collect(), unreadable: Vec::new() }
    }

    fn ask(&mut self, of: usize, request: &LeaseRequest) -> Option<Lease> {
        let survey = self.survey(of);
        let stopped: Vec<u32> =
            self.runs.iter().filter(|run| run.health == Health::Stopped).map(|run| run.process.pid).collect();
        let (now, keys) = (self.now, self.keys.clone());
        let run = &mut self.runs[of];
        for (place, key) in keys.iter().enumerate() {
            run.table.set_others(place, survey.on(&key.card));
        }
        let latest = survey.latest_ticket();
        let rank = run.claims.rank(request.holder, latest, 0, run.name.clone());
        let sees = Onlooker {
            cards: &keys,
            survey: &survey,
            world: "here",
            first_ticket: run.claims.first_ticket(),
            now,
            is_stopped: &|process: ProcessId| stopped.contains(&process.pid),
        };
        let in_the_way = run.courtesy.give_way(&mut run.table, &sees, &rank);
        let Some(lease) = run.table.try_lease(request) else {
            let gives_way = !in_the_way.is_empty() && run.table.fits_beside_claims(request);
            if gives_way {
                run.look_at = run.courtesy.begin(&in_the_way, now);
            }
            let devices = run.table.devices();
            let suits = |place: usize| {
                request.pin.as_ref().is_none_or(|pin| pin.matches(devices[place].device, None))
            };
            let suiting = keys.iter().enumerate().filter(|(place, _)| suits(*place));
            let suiting = suiting.map(|(place, key)| (key, run.table.limits_at(place)));
            let on = LimitedCards::group(suiting);
            let asked = Refused { request: request.clone(), on, max_per_device: 1, replaced: None };
            run.claims.refused(asked, latest, 0);
            if gives_way || survey.supervisors.iter().any(|other| !other.bookings.is_empty()) {
                run.shown = (run.claims.latest(), run.claims.written());
            }
            return None;
        };
        let ticket = run.claims.latest().max(rank.ticket).max(latest);
        for place in run.table.places(lease.id) {
            let card = &keys[place].card;
            run.bookings.push(Booking::of_share(lease.id, card, request.memory, request, ticket));
        }
        if run.claims.granted(request.holder, ticket) && !run.shown.1.is_empty() {
            run.shown = (run.claims.latest(), run.claims.written());
        }
        Some(lease)
    }

    /// Lets a run ask for all that its tasks wait for, as the scheduler does. Says whether it was given anything.
    pub(super) fn pass(&mut self, of: usize) -> bool {
        let mut refused: Vec<LeaseRequest> = Vec::new();
        let mut any = false;
        let mut at = 0;
        loop {
            let run = &mut self.runs[of];
            while run.waiting.len() < MAX_WAITING
                && let Some(job) = run.to_come.pop_front()
            {
                run.waiting.push_back(job);
            }
            let Some(job) = run.waiting.get(at).cloned() else { break };
            let like = |asked: &LeaseRequest| LeaseRequest {
                holder: asked.holder,
                hold: false,
                ..job.request.clone()
            };
            if refused.iter().any(|asked| LeaseRequest { hold: false, ..asked.clone() } == like(asked)) {
                at += 1;
                continue;
            }
            let request = LeaseRequest { hold: at == 0, ..job.request.clone() };
            let waiting: BTreeSet<usize> = (0..self.runs.len())
                .filter(|other| *other != of && self.runs[*other].health == Health::Well)
                .filter(|other| !self.runs[*other].shown.1.is_empty())
                .collect();
            let Some(lease) = self.ask(of, &request) else {
                refused.push(request);
                at += 1;
                continue;
            };
            self.runs[of].waiting.remove(at);
            self.grants.push((of, self.runs[of].table.places(lease.id)[0], waiting));
            self.ends.insert((self.now + job.trains, of, lease.id.0, false));
            self.ends.insert((self.now + job.trains + job.stays, of, lease.id.0, true));
            any = true;
        }
        any
    }

    /// Lets all runs ask, the given one first, until none is given anything.
    pub(super) fn settle(&mut self, first: usize) {
        loop {
            let mut any = false;
            for step in 0..self.runs.len() {
                let of = (first + step) % self.runs.len();
                if self.runs[of].health == Health::Well {
                    any |= self.pass(of);
                }
            }
            self.check();
            if !any {
                return;
            }
        }
    }

    /// No card is overbooked.
    fn check(&self) {
        for (place, key) in self.keys.iter().enumerate() {
            let on = self.survey(usize::MAX).on(&key.card);
            let limits = self.runs[0].table.limits_at(place).expect("a card");
            let limit = if on.training + on.resident <= 1 { limits.alone } else { limits.shared };
            assert!(on.memory <= limit, "{} of {limit} on {}", on.memory, key.card);
            assert!(!on.exclusive || on.training == 1, "not alone on {}", key.card);
        }
    }

    /// Goes on to the next event. False if there is none.
    pub(super) fn step(&mut self) -> bool {
        let looks = self.runs.iter().enumerate().filter(|(_, run)| !run.waiting.is_empty());
        let look = looks.filter_map(|(at, run)| Some((run.look_at?, at))).min();
        let end = self.ends.first().copied();
        match (end, look) {
            (None, None) => return false,
            (Some((time, ..)), Some((at, of))) if at < time => self.look(at, of),
            (None, Some((at, of))) => self.look(at, of),
            (Some(end), _) => {
                self.ends.remove(&end);
                let (time, of, lease, is_exit) = end;
                self.now = time;
                let run = &mut self.runs[of];
                if is_exit {
                    run.table.release(LeaseId(lease));
                    run.bookings.retain(|booking| booking.lease != lease);
                } else {
                    run.table.end_train(LeaseId(lease));
                    let of_lease = run.bookings.iter_mut().filter(|booking| booking.lease == lease);
                    of_lease.for_each(|booking| booking.training = false);
                }
                self.settle(of);
            }
        }
        true
    }

    fn look(&mut self, at: Time, of: usize) {
        self.now = self.now.max(at);
        self.runs[of].look_at = None;
        self.settle(of);
    }

    /// Lets one run after the other ask for the first time, and then goes on to the end.
    pub(super) fn run(&mut self) {
        for of in 0..self.runs.len() {
            self.pass(of);
            self.settle(of);
        }
        let mut steps = 0;
        while self.step() {
            steps += 1;
            assert!(steps < 100_000, "it does not end");
        }
        for run in self.runs.iter().filter(|run| run.health == Health::Well) {
            assert!(
                run.waiting.is_empty() && run.to_come.is_empty(),
                "{} was not served: {run:#?}",
                run.name
            );
        }
    }
}

fn devices(sizes: &[u64]) -> Vec<DeviceInfo> {
    let cards = sizes.iter().zip(0..);
    cards.map(|(size, ordinal)| DeviceInfo::simulated(ordinal, Size::from_gb(*size))).collect()
}

pub(super) fn job(place: u32, gigabytes: u64, trains: u64) -> Job {
    let holder = TaskKey { group: 1, place };
    let request = LeaseRequest::new(holder, Size::from_gb(gigabytes));
    Job { request, trains: Duration::from_millis(trains), stays: Duration::ZERO }
}

pub(super) fn jobs(count: u32, gigabytes: u64, trains: u64) -> Vec<Job> {
    (0..count).map(|place| job(place, gigabytes, trains)).collect()
}
