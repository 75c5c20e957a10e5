//! Unreleased memory of real cards, played by a stand-in for NVIDIA's library.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::time::Duration;

use fedflow_core::{Config, Device, DevicePool, Lease, LeaseRequest, Size, TaskKey};
use fedflow_gpu::{DeviceEnvironment, Pool, Warning, inventory};
use nvml_stand_in::{Card, Script, StandIn};

const GB: u64 = 1_000_000_000;
const HOUR: Duration = Duration::from_secs(3600);

struct World {
    stand_in: StandIn,
    environment: DeviceEnvironment,
}

impl World {
    fn new() -> Self {
        let stand_in = StandIn::install(&Script::of([Card::new("GPU-a", 20 * GB)])).unwrap();
        let environment = DeviceEnvironment {
            nvml_library: Some(stand_in.library().into()),
            lease_dir: Some(stand_in.library().with_file_name("leases")),
            ..DeviceEnvironment::default()
        };
        Self { stand_in, environment }
    }

    fn pool(&self, bound: Duration) -> Pool {
        let mut pool =
            Pool::open(&"cuda:0".parse().unwrap(), &Config::default(), &self.environment).unwrap().pool;
        pool.set_unreleased_bound(bound);
        pool
    }

    fn using(&self, gigabytes: u64) {
        let card = Card::new("GPU-a", 20 * GB).using(gigabytes * GB);
        self.stand_in.play(&Script::of([card])).unwrap();
    }
}

fn request(gigabytes: u64) -> LeaseRequest {
    LeaseRequest::new(TaskKey { group: 1, place: 0 }, Size::from_gb(gigabytes))
}

fn lease(pool: &mut Pool, gigabytes: u64) -> Option<Lease> {
    pool.try_lease(&request(gigabytes))
}

fn end(pool: &mut Pool, lease: &Lease) {
    pool.end_train(lease.id);
    pool.release(lease.id);
}

#[test]
fn memory_that_is_still_used_is_not_leased_again_and_is_quarantined_in_the_end() {
    let world = World::new();
    let device = Device::Cuda(0);
    let mut pool = world.pool(HOUR);
    let first = lease(&mut pool, 10).unwrap();
    world.using(9);
    end(&mut pool, &first);
    // 18 GB may be leased of 20 by one; its process has ended and 9 GB are still used.
    assert_eq!(lease(&mut pool, 10), None, "the card is read before the share is leased again");
    assert!(lease(&mut pool, 7).is_some_and(|lease| {
        end(&mut pool, &lease);
        true
    }));
    assert!(pool.warnings().is_empty(), "it is not unreleased for too long yet");

    pool.set_unreleased_bound(Duration::ZERO);
    assert_eq!(lease(&mut pool, 10), None);
    let quarantined = Warning::Quarantined { device, memory: Size::from_gb(9) };
    assert_eq!(pool.warnings(), std::slice::from_ref(&quarantined));
    assert_eq!(
        quarantined.to_string(),
        "9GB of cuda:0 did not come back when the process that used it ended; it is not leased until it does"
    );
    // The card counts as smaller, and can still be leased exclusively.
    let alone = pool.try_lease(&LeaseRequest { exclusive: true, ..request(7) }).unwrap();
    end(&mut pool, &alone);

    // Other runs see it, and do not count it twice.
    let shown = inventory(&world.environment);
    let lost: Vec<_> = shown.leases.iter().filter(|lease| lease.quarantined).collect();
    assert_eq!((lost.len(), lost[0].device, lost[0].memory), (1, Some(device), Size::from_gb(9)));
    let mut other = world.pool(HOUR);
    assert_eq!(lease(&mut other, 10), None);
    let theirs = lease(&mut other, 7).unwrap();
    end(&mut other, &theirs);

    // Some of it is released, then all.
    world.using(4);
    let more = lease(&mut pool, 12).unwrap();
    end(&mut pool, &more);
    world.using(0);
    let whole = lease(&mut pool, 16).unwrap();
    end(&mut pool, &whole);
    assert_eq!(pool.warnings()[1..], [Warning::Returned { device }]);
    assert!(inventory(&world.environment).leases.is_empty());
}

#[test]
fn memory_that_is_released_in_time_causes_no_warning() {
    let world = World::new();
    let mut pool = world.pool(Duration::ZERO);
    for _ in 0..3 {
        let whole = lease(&mut pool, 16).unwrap();
        world.using(15);
        pool.end_train(whole.id);
        world.using(0);
        pool.release(whole.id);
    }
    assert!(pool.warnings().is_empty());
}

#[test]
fn foreign_memory_is_not_taken_for_unreleased_memory() {
    let world = World::new();
    world.using(5);
    let mut pool = world.pool(Duration::ZERO);
    let first = lease(&mut pool, 8).unwrap();
    world.using(12);
    world.using(5);
    end(&mut pool, &first);
    assert_eq!(lease(&mut pool, 14), None, "18 GB, of which 5 are used");
    assert!(lease(&mut pool, 13).is_some());
    assert!(pool.warnings().is_empty());
}
