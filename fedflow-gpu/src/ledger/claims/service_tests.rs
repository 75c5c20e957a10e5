//! Many runs that share a few cards, in virtual time and without files. They decide as `LockedCards` does.

mod world;

use std::time::Duration;

use fedflow_core::{LeaseRequest, Size, TaskKey, Time};
use proptest::prelude::*;

use world::{Health, Job, World, job, jobs};

/// More than any claim is waited for that could be met.
const BOUND: Duration = Duration::from_millis(2100);

/// How many grants in a row one run was given at most while `other` waited.
fn most_in_a_row(world: &World, other: usize) -> usize {
    let (mut most, mut row, mut before) = (0, 0, None);
    for (of, _, waiting) in &world.grants {
        let counts = *of != other && waiting.contains(&other);
        row = if !counts {
            0
        } else if before == Some(*of) {
            row + 1
        } else {
            1
        };
        before = counts.then_some(*of);
        most = most.max(row);
    }
    most
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Equal runs are served in turn, however many places the cards have.
    #[test]
    fn equal_runs_are_served_one_after_the_other(
        runs in 2_usize..6, cards in 1_usize..4, gigabytes in 2_u64..7, trains in 10_u64..400, jitter in 0_u64..7,
    ) {
        let sizes = vec![8; cards];
        let mut world = World::new(&sizes);
        for run in 0..runs {
            let tasks = (0..30).map(|place| job(place, gigabytes, trains + (u64::from(place) * 7 + run as u64) % (1 + jitter)));
            world.add(&sizes, Health::Well, tasks.collect());
        }
        world.run();
        for run in 0..runs {
            prop_assert!(most_in_a_row(&world, run) <= 2, "{:?}", world.grants);
        }
        // Between two grants of a run that waits, each other run has two at most.
        for run in 0..runs {
            let mut since = vec![0; runs];
            for (of, _, waiting) in &world.grants {
                if *of == run || !waiting.contains(&run) {
                    since.fill(0);
                } else {
                    since[*of] += 1;
                    prop_assert!(since[*of] <= 2, "run {run} waits: {:?}", world.grants);
                }
            }
        }
    }

    /// A run of many tasks keeps another one waiting no longer than its tasks last that train then.
    #[test]
    fn the_next_free_card_goes_to_the_run_that_waits(
        cards in 1_usize..4, gigabytes in 1_u64..7, trains in 10_u64..300, after in 1_usize..60, wants in 1_u64..8,
        exclusive: bool, devices in 1_u32..4,
    ) {
        let sizes = vec![8; cards];
        let mut world = World::new(&sizes);
        let many = world.add(&sizes, Health::Well, jobs(1000, gigabytes, trains));
        world.pass(many);
        for _ in 0..after {
            world.step();
        }
        let request = LeaseRequest {
            exclusive,
            devices: devices.min(cards as u32),
            ..LeaseRequest::new(TaskKey { group: 1, place: 0 }, Size::from_gb(wants.min(7)))
        };
        let held: Vec<u64> = world.runs[many].bookings.iter().map(|booking| booking.lease).collect();
        let late = world.add(&sizes, Health::Well, vec![Job { request, ..job(0, 1, 5) }]);
        let before = world.grants.len();
        world.settle(late);
        while !world.grants[before..].iter().any(|(of, ..)| *of == late) {
            prop_assert!(world.step());
            let still = world.runs[many].bookings.iter().filter(|booking| held.contains(&booking.lease)).count();
            let is_served = world.grants[before..].iter().any(|(of, ..)| *of == late);
            prop_assert!(is_served || still > 0, "all that trained have ended, and it still waits");
        }
        if request_fits_one_place(gigabytes, wants, exclusive, devices.min(cards as u32)) {
            let others = world.grants[before..].iter().take_while(|(of, ..)| *of != late).count();
            prop_assert_eq!(others, 0, "it is not given the next card");
        }
    }

    /// Runs of all kinds, some of which hang: no card is overbooked, all others are served to their end, and none of them
    /// waits for one that hangs for longer than the bound.
    #[test]
    fn all_runs_are_served_whatever_they_ask_for(
        runs in prop::collection::vec((health(), prop::collection::vec(any_job(), 1..12)), 2..5),
        sizes in prop::collection::vec(prop::sample::select(vec![8_u64, 12, 24]), 1..4),
    ) {
        let mut world = World::new(&sizes);
        for (health, tasks) in runs {
            let tasks = tasks.into_iter().zip(0..).map(|(mut job, place)| {
                job.request.holder.place = place;
                job.request.devices = job.request.devices.min(sizes.len() as u32);
                job
            });
            world.add(&sizes, health, tasks.collect());
        }
        world.run();
    }
}

/// Whether a request is no larger than the place that one end of a task leaves.
fn request_fits_one_place(gigabytes: u64, wants: u64, exclusive: bool, devices: u32) -> bool {
    !exclusive && devices == 1 && wants <= gigabytes && wants <= 6
}

fn health() -> impl Strategy<Value = Health> {
    prop_oneof![4 => Just(Health::Well), 1 => Just(Health::Hangs), 1 => Just(Health::Stopped)]
}

prop_compose! {
    fn any_job()(
        gigabytes in 1_u64..7, trains in 1_u64..3000, stays in prop_oneof![2 => Just(0_u64), 1 => 0_u64..9000],
        exclusive in prop::bool::weighted(0.2), estimated in prop::bool::weighted(0.8), devices in prop_oneof![4 => Just(1_u32), 1 => Just(2)],
    ) -> Job {
        let mut job = job(0, gigabytes, trains);
        job.stays = Duration::from_millis(stays);
        job.request = LeaseRequest { exclusive, estimated, devices, ..job.request };
        job
    }
}

/// One that hangs, or no longer wants what it asked for, is waited for once.
#[test]
fn a_claim_that_is_not_taken_is_passed_over() {
    let mut world = World::new(&[8]);
    let first = world.add(&[8], Health::Well, jobs(1, 6, 100));
    world.settle(first);
    let hangs = world.add(&[8], Health::Hangs, jobs(5, 6, 100));
    world.pass(hangs);
    let other = world.add(&[8], Health::Well, jobs(20, 6, 100));
    world.settle(other);
    while world.step() {}
    assert_eq!(world.grants.len(), 21);
    assert!(world.now < Time::after(BOUND + Duration::from_millis(100 + 20 * 100)), "{:?}", world.now);
    assert!(world.now > Time::after(BOUND), "it had its chance");
}

#[test]
fn a_run_that_is_stopped_is_not_waited_for() {
    let mut world = World::new(&[8]);
    let first = world.add(&[8], Health::Well, jobs(1, 3, 100));
    world.settle(first);
    // It wants the whole card, for which it would be kept free.
    let stopped = world.add(&[8], Health::Stopped, jobs(5, 6, 100));
    world.pass(stopped);
    let other = world.add(&[8], Health::Well, jobs(20, 3, 100));
    world.settle(other);
    assert_eq!(world.grants.len(), 2, "there is room beside the first");
    // It goes on, and is served in its turn.
    world.runs[stopped].health = Health::Well;
    world.settle(other);
    while world.step() {}
    assert_eq!(world.grants.len(), 26);
    assert!(most_in_a_row(&world, stopped) <= 2, "{:?}", world.grants);
}

/// A large request is not passed by small ones of other runs, nor put back by those of its own.
#[test]
fn a_large_request_is_served_although_its_run_is_served_elsewhere() {
    let mut world = World::new(&[8, 8]);
    let small = world.add(&[8, 8], Health::Well, jobs(200, 2, 70));
    world.settle(small);
    let mut tasks = jobs(100, 2, 10);
    tasks[0].request.exclusive = true;
    tasks[0].request.pin = Some("sim:1".parse().expect("a pin"));
    let mixed = world.add(&[8, 8], Health::Well, tasks);
    world.settle(mixed);
    // What trains on the other card ends sooner, and its places are shared again and again.
    let before = world.grants.len();
    while !world.runs[mixed].bookings.iter().any(|booking| booking.exclusive) {
        assert!(world.step());
    }
    let on_second = |(_, card, _): &&(usize, usize, _)| *card == 1;
    let (of, ..) = world.grants[before..].iter().find(on_second).expect("it was leased");
    assert_eq!(*of, mixed, "{:?}", world.grants);
}
