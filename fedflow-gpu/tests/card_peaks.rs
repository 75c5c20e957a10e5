//! The peak memory of lease holders, and the configuration's limits on cards, on simulated cards and on cards that a
//! stand-in for NVIDIA's library plays.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use fedflow_core::{Config, DevicePool, Lease, LeaseRequest, Size, TaskKey, Value};
use fedflow_gpu::{DeviceEnvironment, Pool};
use nvml_stand_in::{Card, Script, StandIn};

const GB: u64 = 1_000_000_000;

/// No process has this number, as in a container where numbers are the host's.
const UNKNOWN_PID: u32 = u32::MAX;

fn request(place: u32, gigabytes: u64, estimated: bool) -> LeaseRequest {
    LeaseRequest { estimated, ..LeaseRequest::new(TaskKey { group: 1, place }, Size::from_gb(gigabytes)) }
}

/// One card, a pool of it, and a lease on it whose holder is this process.
struct World {
    stand_in: StandIn,
    pool: Pool,
    first: Lease,
}

fn world() -> World {
    let stand_in = StandIn::install(&Script::of([card(GB)])).unwrap();
    let environment = DeviceEnvironment {
        nvml_library: Some(stand_in.library().into()),
        lease_dir: Some(stand_in.library().with_file_name("leases")),
        ..DeviceEnvironment::default()
    };
    let mut pool = Pool::open(&"cuda:0".parse().unwrap(), &Config::default(), &environment).unwrap().pool;
    let first = pool.try_lease(&request(0, 4, true)).unwrap();
    pool.holders().unwrap().name(first.id, std::process::id(), "g/t");
    World { stand_in, pool, first }
}

fn card(used: u64) -> Card {
    Card::new("GPU-a", 24 * GB).using(used)
}

#[test]
fn a_known_process_is_measured_by_itself() {
    let World { stand_in, pool, first } = world();
    let us = std::process::id();
    assert_eq!(pool.peak(first.id), None, "it uses nothing yet");
    stand_in.play(&Script::of([card(9 * GB).with_process(us, 5 * GB).with_process(1, 3 * GB)])).unwrap();
    assert_eq!(pool.peak(first.id), Some(Size::from_gb(5)));
    stand_in.play(&Script::of([card(5 * GB).with_process(us, GB)])).unwrap();
    assert_eq!(pool.peak(first.id), Some(Size::from_gb(5)), "the most that was measured");
}

#[test]
fn the_growth_of_the_card_counts_where_processes_are_unknown() {
    let World { stand_in, mut pool, first } = world();
    stand_in.play(&Script::of([card(6 * GB).with_process(UNKNOWN_PID, 5 * GB)])).unwrap();
    assert_eq!(pool.peak(first.id), Some(Size::from_gb(5)), "1 GB was used before");
    // From here on the growth belongs to no single lease.
    let second = pool.try_lease(&request(1, 4, true)).unwrap();
    stand_in.play(&Script::of([card(12 * GB).with_process(UNKNOWN_PID, 11 * GB)])).unwrap();
    assert_eq!(pool.peak(first.id), Some(Size::from_gb(5)));
    pool.holders().unwrap().name(second.id, std::process::id(), "g/u");
    assert_eq!(pool.peak(second.id), None);
    pool.release(first.id);
    assert_eq!(pool.peak(first.id), None, "it is forgotten");
}

#[test]
fn a_learned_amount_is_booked_for_all_runs() {
    let directory = tempfile::tempdir().unwrap();
    let environment = DeviceEnvironment {
        lease_dir: Some(directory.path().join("leases")),
        ..DeviceEnvironment::default()
    };
    let open = || Pool::open(&"sim:1x10GB".parse().unwrap(), &Config::default(), &environment).unwrap().pool;
    let (mut ours, mut theirs) = (open(), open());
    let unknown = ours.try_lease(&request(0, 2, false)).unwrap();
    assert!(theirs.try_lease(&request(0, 3, true)).is_none(), "no lease joins one without an estimate");
    assert!(!ours.rebook(unknown.id, Size::from_gb(20)), "the card has less");
    assert!(ours.rebook(unknown.id, Size::from_gb(4)));
    assert!(theirs.try_lease(&request(1, 5, true)).is_none(), "4 of 8 GB are booked");
    let joined = theirs.try_lease(&request(2, 3, true)).unwrap();
    assert!(!ours.rebook(unknown.id, Size::from_gb(6)), "the rest is leased");
    theirs.release(joined.id);
    assert!(ours.rebook(unknown.id, Size::from_gb(6)));
}

fn simulated(keys: &[(&str, Value)]) -> Pool {
    let mut config = Config::default();
    keys.iter().for_each(|(key, value)| config.set(key, value).unwrap());
    Pool::open(&"sim:1x10GB".parse().unwrap(), &config, &DeviceEnvironment::default()).unwrap().pool
}

#[test]
fn utilization_limit_cuda_memory() {
    assert_eq!(simulated(&[]).largest_share(), Some(Size::from_gb(8)));
    let half = simulated(&[("utilization-limit.cuda-memory", 0.5.into())]);
    assert_eq!(half.largest_share(), Some(Size::from_gb(5)));
}

#[test]
fn remain_limit_cuda_memory() {
    let pool = simulated(&[("remain-limit.cuda-memory", "6GB".into())]);
    assert_eq!(pool.largest_share(), Some(Size::from_gb(4)));
}

#[test]
fn max_per_device() {
    let joined = |keys: &[(&str, Value)]| {
        let mut pool = simulated(keys);
        (0..4).filter(|place| pool.try_lease(&request(*place, 1, false)).is_some()).count()
    };
    assert_eq!(joined(&[]), 1);
    assert_eq!(joined(&[("scheduler.max-per-device", 3.into())]), 3);
}
