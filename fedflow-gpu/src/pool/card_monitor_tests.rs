//! What a pool's monitor of real cards finds, as a stand-in for NVIDIA's library plays the cards.

use std::time::Duration;

use fedflow_core::{Config, Device, DevicePool, Lease, LeaseRequest, Size, TaskKey, Unleasable};
use nvml_stand_in::{Card, Code, Script, StandIn};

use super::{Opened, Pool};
use crate::machine::DeviceEnvironment;
use crate::nvidia::CardError;
use crate::problems::Warning;

const GB: u64 = 1_000_000_000;

/// No process has this number, as in a container where numbers are the host's.
const UNKNOWN_PID: u32 = u32::MAX;

fn install(cards: impl IntoIterator<Item = Card>) -> StandIn {
    StandIn::install(&Script::of(cards)).unwrap()
}

fn environment(stand_in: &StandIn) -> DeviceEnvironment {
    DeviceEnvironment {
        nvml_library: Some(stand_in.library().into()),
        lease_dir: Some(stand_in.library().with_file_name("leases")),
        ..DeviceEnvironment::default()
    }
}

fn open(choice: &str, environment: &DeviceEnvironment) -> Pool {
    let Opened { pool, note } =
        Pool::open(&choice.parse().unwrap(), &Config::default(), environment).unwrap();
    assert_eq!(note, None);
    pool
}

fn request(gigabytes: u64) -> LeaseRequest {
    LeaseRequest::new(TaskKey { group: 1, place: 0 }, Size::from_gb(gigabytes))
}

fn pinned(gigabytes: u64, pin: &str) -> LeaseRequest {
    LeaseRequest { pin: Some(pin.parse().unwrap()), ..request(gigabytes) }
}

fn uuids(pool: &Pool) -> Vec<(String, String)> {
    let devices = pool.devices().into_iter();
    devices.map(|info| (info.device.to_string(), info.uuid.unwrap())).collect()
}

fn uuid(lease: &Lease) -> &str {
    lease.shares[0].info.uuid.as_deref().unwrap()
}

#[test]
fn a_card_that_is_lost_while_the_run_goes_is_dropped() {
    let healthy = ["GPU-a", "GPU-b"].map(|uuid| Card::new(uuid, 10 * GB));
    let stand_in = install(healthy.clone());
    let mut pool = open("auto", &environment(&stand_in));
    let mut monitor = pool.card_monitor().unwrap();
    assert!(!monitor.poll().matter());
    let before = pool.try_lease(&pinned(1, "cuda:0")).unwrap();

    let [a, b] = healthy;
    stand_in.play(&Script::of([a.failing("*", Code::GpuIsLost), b.clone()])).unwrap();
    let changes = monitor.poll();
    let dropped =
        Warning::CardDropped { device: Some(Device::Cuda(0)), card: "GPU-a".into(), error: CardError::Lost };
    assert_eq!((changes.memory_freed, &changes.failed), (false, &vec![dropped.clone()]));
    assert!(!monitor.poll().matter(), "a failure is reported once");

    assert_eq!(pool.try_lease(&pinned(1, "cuda:0")), None, "never another card");
    assert_eq!(pool.warnings(), [dropped]);
    let error = pool.check(&pinned(1, "cuda:0")).unwrap_err().to_string();
    assert!(error.contains("cuda:0 (not used any more: it has fallen off the bus"), "{error}");
    for gigabytes in [0, 1, 2] {
        assert_eq!(uuid(&pool.try_lease(&request(gigabytes)).unwrap()), "GPU-b");
    }
    assert_eq!(uuids(&pool), [("cuda:1".into(), "GPU-b".into())], "numbers stay");
    pool.end_train(before.id);
    pool.release(before.id);

    // A dropped card stays dropped even if it comes back: its numbers and memory cannot be trusted.
    stand_in.play(&Script::of([])).unwrap();
    assert_eq!(pool.try_lease(&request(0)), None);
    assert_eq!(pool.warnings().len(), 2);
    assert!(pool.devices().is_empty());
    assert_eq!(pool.check(&request(0)), Err(Unleasable::NoneLeft));
    stand_in.play(&Script::of([b])).unwrap();
    assert_eq!(pool.try_lease(&request(0)), None);
}

#[test]
fn foreign_memory_blocks_a_lease_until_it_is_free() {
    let card = Card::new("GPU-a", 10 * GB);
    let stand_in = install([card.clone().using(5 * GB).with_process(UNKNOWN_PID, 5 * GB)]);
    let mut pool = open("auto", &environment(&stand_in));
    let mut monitor = pool.card_monitor().unwrap();
    assert!(!monitor.poll().matter());
    assert_eq!(pool.try_lease(&request(5)), None);
    assert!(pool.check(&request(5)).is_ok(), "it may come to fit");
    let lease = pool.try_lease(&request(4)).unwrap();
    pool.release(lease.id);
    stand_in.play(&Script::of([card.using(GB)])).unwrap();
    assert!(monitor.poll().memory_freed);
    assert!(!monitor.poll().matter());
    assert!(pool.try_lease(&request(5)).is_some());
}

#[test]
fn a_peak_between_two_questions_is_measured() {
    let card = |used: u64| Card::new("GPU-a", 24 * GB).using(used);
    let stand_in = install([card(GB)]);
    let mut pool = open("cuda:0", &environment(&stand_in));
    let first = pool.try_lease(&request(4)).unwrap();
    let us = std::process::id();
    pool.holders().unwrap().name(first.id, us, "g/t");
    let mut monitor = pool.card_monitor().unwrap();
    stand_in.play(&Script::of([card(9 * GB).with_process(us, 8 * GB)])).unwrap();
    let _ = monitor.poll();
    stand_in.play(&Script::of([card(2 * GB).with_process(us, GB)])).unwrap();
    assert_eq!(pool.peak(first.id), Some(Size::from_gb(8)));
}

#[test]
fn unreleased_memory_is_read_when_it_is_due() {
    let stand_in = install([Card::new("GPU-a", 20 * GB)]);
    let using = |gigabytes: u64| {
        stand_in.play(&Script::of([Card::new("GPU-a", 20 * GB).using(gigabytes * GB)])).unwrap();
    };
    let with_bound = |bound| {
        let mut pool = open("cuda:0", &environment(&stand_in));
        pool.set_unreleased_bound(bound);
        pool
    };
    let mut pool = with_bound(Duration::ZERO);
    let mut monitor = pool.card_monitor().unwrap();
    assert!(!monitor.poll().matter());
    let first = pool.try_lease(&request(10)).unwrap();
    using(9);
    pool.end_train(first.id);
    pool.release(first.id);
    let changes = monitor.poll();
    assert!(changes.unreleased_due && changes.matter());
    assert!(!monitor.poll().matter(), "reported once");
    // With a bound that is far away nothing is due yet.
    let mut patient = with_bound(Duration::from_secs(3600));
    let mut monitor = patient.card_monitor().unwrap();
    let second = patient.try_lease(&request(5)).unwrap();
    patient.end_train(second.id);
    patient.release(second.id);
    assert!(!monitor.poll().unreleased_due);
}
