//! The memory of simulated cards: what tasks use is checked against the card, whatever they leased.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use fedflow_core::{Config, Device, DevicePool, Lease, LeaseRequest, Size, TaskKey};
use fedflow_gpu::{DeviceEnvironment, Pool};
use proptest::prelude::*;

fn open(choice: &str, environment: &DeviceEnvironment) -> Pool {
    Pool::open(&choice.parse().unwrap(), &Config::default(), environment).unwrap().pool
}

fn key(place: u32) -> TaskKey {
    TaskKey { group: 1, place }
}

fn lease(pool: &mut Pool, place: u32, gigabytes: u64, pin: Option<&str>) -> Lease {
    let request = LeaseRequest {
        pin: pin.map(|pin| pin.parse().unwrap()),
        ..LeaseRequest::new(key(place), Size::from_gb(gigabytes))
    };
    pool.try_lease(&request).unwrap()
}

#[test]
fn an_overbooked_card_is_out_of_memory() {
    let mut pool = open("sim:1x24GB+1x8GB", &DeviceEnvironment::default());
    let memory = pool.simulated_memory().unwrap();
    let gb = Size::from_gb;
    // Both use more than they leased.
    let (first, second) = (lease(&mut pool, 0, 2, Some("sim:0")), lease(&mut pool, 1, 2, Some("sim:0")));
    assert_eq!(memory.occupy(&first, gb(16)), Ok(()));
    let refusal = memory.occupy(&second, gb(10)).unwrap_err();
    assert_eq!((refusal.device, refusal.free, refusal.size), (Device::Sim(0), gb(8), gb(24)));
    assert_eq!(
        refusal.to_string(),
        "sim:0 is out of memory: 10GB are used, 8GB of 24GB are free (a simulated card)"
    );
    assert_eq!(pool.used_by(key(0)), Some(gb(16)));
    assert_eq!(pool.used_by(key(1)), Some(gb(8)), "it has used what was left");
    assert_eq!(pool.used_by(key(2)), None);

    // After the failure it uses nothing, and the card can be filled to the byte.
    assert_eq!(memory.occupy(&second, gb(8)), Ok(()));
    // The other card is smaller.
    let third = lease(&mut pool, 2, 2, Some("sim:1"));
    assert!(memory.occupy(&third, gb(9)).is_err());
    assert_eq!(memory.occupy(&third, gb(8)), Ok(()));

    // The end of `train` frees nothing, the end of the process everything.
    pool.end_train(first.id);
    let fourth = lease(&mut pool, 3, 2, Some("sim:0"));
    assert!(memory.occupy(&fourth, gb(16)).is_err());
    pool.release(first.id);
    assert_eq!(memory.occupy(&fourth, gb(16)), Ok(()));
    assert_eq!(pool.used_by(key(0)), Some(gb(16)), "a peak is remembered");
}

#[test]
fn each_of_several_cards_must_have_the_memory() {
    let mut pool = open("sim:1x24GB+1x8GB", &DeviceEnvironment::default());
    let memory = pool.simulated_memory().unwrap();
    let request = LeaseRequest { devices: 2, ..LeaseRequest::new(key(0), Size::from_gb(2)) };
    let both = pool.try_lease(&request).unwrap();
    assert_eq!(memory.occupy(&both, Size::from_gb(9)).unwrap_err().device, Device::Sim(1));
    assert_eq!(memory.occupy(&both, Size::from_gb(8)), Ok(()));
}

#[test]
fn runs_of_one_lease_directory_fill_the_same_cards() {
    let directory = tempfile::tempdir().unwrap();
    let environment = DeviceEnvironment {
        lease_dir: Some(directory.path().join("leases")),
        ..DeviceEnvironment::default()
    };
    let (mut one, mut other) = (open("sim:1x24GB", &environment), open("sim:1x24GB", &environment));
    let gb = Size::from_gb;
    let (ours, theirs) = (lease(&mut one, 0, 2, None), lease(&mut other, 0, 2, None));
    assert_eq!(one.simulated_memory().unwrap().occupy(&ours, gb(20)), Ok(()));
    let refusal = other.simulated_memory().unwrap().occupy(&theirs, gb(5)).unwrap_err();
    assert_eq!(refusal.free, gb(4));
    assert_eq!(other.simulated_memory().unwrap().occupy(&theirs, gb(4)), Ok(()));
    other.release(theirs.id);
    // A run that has ended uses nothing.
    one.release(ours.id);
    drop(one);
    let theirs = lease(&mut other, 1, 2, None);
    assert_eq!(other.simulated_memory().unwrap().occupy(&theirs, gb(24)), Ok(()));
}

#[test]
fn other_devices_have_no_simulated_memory() {
    assert!(open("cpu:2", &DeviceEnvironment::default()).simulated_memory().is_none());
}

proptest! {
    /// However leases come and go: use never exceeds the card, and memory that is free is never refused.
    #[test]
    fn a_card_is_filled_to_the_byte_and_never_over(
        steps in proptest::collection::vec((any::<bool>(), 0..30_u64, any::<prop::sample::Index>()), 1..40),
    ) {
        let mut pool = open("sim:1x24GB", &DeviceEnvironment::default());
        let memory = pool.simulated_memory().unwrap();
        let mut held: Vec<(Lease, u64)> = Vec::new();
        for (place, (comes, gigabytes, which)) in (0..).zip(steps) {
            if !comes && !held.is_empty() {
                let (lease, _) = held.swap_remove(which.index(held.len()));
                pool.release(lease.id);
                continue;
            }
            let lease = lease(&mut pool, place, 0, None);
            let used: u64 = held.iter().map(|(_, size)| size).sum();
            let outcome = memory.occupy(&lease, Size::from_gb(gigabytes));
            prop_assert_eq!(outcome.is_ok(), used + gigabytes <= 24, "{} beside {}", gigabytes, used);
            if outcome.is_ok() {
                held.push((lease, gigabytes));
            } else {
                pool.release(lease.id);
            }
        }
    }
}
