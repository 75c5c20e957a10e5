//! Leases on CPU slots and simulated cards.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::collections::BTreeMap;
use std::time::Duration;

use fedflow_core::{
    Config, Device, DevicePool, Lease, LeaseId, LeaseRequest, Pin, Size, TaskKey, Unleasable,
};
use fedflow_gpu::{DeviceChoice, DeviceEnvironment, Opened, Pool};
use proptest::prelude::*;

fn open_with(choice: &str, config: &Config) -> Pool {
    let choice: DeviceChoice = choice.parse().unwrap();
    let Opened { pool, note } = Pool::open(&choice, config, &DeviceEnvironment::default()).unwrap();
    assert_eq!(note, None);
    pool
}

fn open(choice: &str) -> Pool {
    open_with(choice, &Config::default())
}

fn request(gigabytes: u64) -> LeaseRequest {
    LeaseRequest::new(TaskKey { group: 1, place: 0 }, Size::from_gb(gigabytes))
}

fn pinned(gigabytes: u64, pin: &str) -> LeaseRequest {
    LeaseRequest { pin: Some(pin.parse().unwrap()), ..request(gigabytes) }
}

fn variables(lease: &Lease) -> BTreeMap<&str, &str> {
    lease.environment.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect()
}

#[test]
fn a_cpu_slot_runs_one_task_and_sees_no_card() {
    let mut pool = open("cpu:2");
    let first = pool.try_lease(&request(1)).unwrap();
    assert_eq!((first.device(), first.device_seen), (Device::Cpu, Device::Cpu));
    assert_eq!(first.shares[0].memory, None);
    let expected = [
        ("CUDA_DEVICE_ORDER", "PCI_BUS_ID"),
        ("CUDA_VISIBLE_DEVICES", ""),
        ("FEDFLOW_CARD", "cpu"),
        ("FEDFLOW_DEVICE", "cpu"),
    ];
    assert_eq!(variables(&first), expected.into());
    assert_eq!(
        pool.base_environment(),
        [("CUDA_VISIBLE_DEVICES".into(), String::new()), ("CUDA_DEVICE_ORDER".into(), "PCI_BUS_ID".into())]
    );

    // The memory of a request does not count here, however large.
    let second = pool.try_lease(&pinned(1_000, "cpu")).unwrap();
    assert_ne!(first.shares[0].slot, second.shares[0].slot);
    assert_eq!(pool.try_lease(&request(0)), None);
    pool.end_train(first.id);
    let third = pool.try_lease(&request(0)).unwrap();
    assert_eq!(third.shares[0].slot, first.shares[0].slot);
    assert!(pool.start_watch(Duration::from_secs(1), || {}).unwrap().is_none());
}

#[test]
fn as_many_cpu_slots_as_cores() {
    let cores = std::thread::available_parallelism().unwrap().get();
    assert_eq!(open("cpu").devices().len(), cores);
}

#[test]
fn simulated_cards_have_names_memory_and_limits() {
    let mut pool = open("sim:1x24GB+1x10GB");
    let devices: Vec<(Device, Option<Size>)> =
        pool.devices().into_iter().map(|info| (info.device, info.memory)).collect();
    let gb = |n| Some(Size::from_gb(n));
    assert_eq!(devices, [(Device::Sim(0), gb(24)), (Device::Sim(1), gb(10))]);

    // Of the small card 9 GB may be leased, so 10 GB goes to the large one; 6 GB fits best on the small one.
    let large = pool.try_lease(&request(10)).unwrap();
    assert_eq!(large.device(), Device::Sim(0));
    let small = pool.try_lease(&request(6)).unwrap();
    assert_eq!((small.device(), small.device_seen), (Device::Sim(1), Device::Sim(1)));
    assert_eq!(small.shares[0].memory, gb(6));
    let expected = [
        ("CUDA_DEVICE_ORDER", "PCI_BUS_ID"),
        ("CUDA_VISIBLE_DEVICES", ""),
        ("FEDFLOW_CARD", "sim:1"),
        ("FEDFLOW_DEVICE", "sim:1"),
    ];
    assert_eq!(variables(&small), expected.into());
    let error = pool.check(&request(23)).unwrap_err();
    assert!(matches!(error, Unleasable::TooLarge { largest, .. } if largest == Size::from_gb(22)));
}

#[test]
fn a_pin_means_its_card_and_never_another() {
    let mut pool = open("sim:2x10GB");
    let lease = pool.try_lease(&pinned(5, "cuda:1")).unwrap();
    assert_eq!(lease.device(), Device::Sim(1), "a flow for real cards runs on simulated ones");
    assert_eq!(pool.try_lease(&pinned(5, "sim:1")), None, "only the other card has room");
    for missing in ["sim:2", "GPU-5"] {
        let error = pool.check(&pinned(5, missing)).unwrap_err();
        let Unleasable::NoSuchDevice { pin, available } = error else { panic!("{error}") };
        assert_eq!((pin.to_string().as_str(), available.as_str()), (missing, "sim:0, sim:1"));
        assert_eq!(pool.try_lease(&pinned(5, missing)), None);
    }
}

#[test]
fn max_per_device_limits_how_many_unestimated_tasks_share_a_card() {
    let unestimated = LeaseRequest { estimated: false, ..request(1) };
    let mut config = Config::default();
    for most in [1, 3] {
        config.scheduler.max_per_device = most;
        let mut pool = open_with("sim:1x24GB", &config);
        let granted = std::iter::from_fn(|| pool.try_lease(&unestimated)).count();
        assert_eq!(granted, most as usize);
    }
}

#[test]
fn an_exclusive_lease_is_alone_and_several_cards_are_given_at_once() {
    let mut pool = open("sim:2x10GB");
    let exclusive = LeaseRequest { exclusive: true, ..request(1) };
    let alone = pool.try_lease(&exclusive).unwrap();
    let beside = pool.try_lease(&request(1)).unwrap();
    assert_ne!(alone.device(), beside.device());
    assert_eq!(pool.try_lease(&exclusive), None);
    let both = LeaseRequest { devices: 2, ..request(1) };
    assert_eq!(pool.try_lease(&both), None);
    pool.release(alone.id);
    let lease = pool.try_lease(&both).unwrap();
    assert_eq!(lease.shares.len(), 2);
    assert_eq!(variables(&lease)["FEDFLOW_CARD"], "sim:0,sim:1");
}

#[test]
fn memory_stays_booked_until_the_process_is_gone() {
    let mut pool = open("sim:1x10GB");
    let lease = pool.try_lease(&request(5)).unwrap();
    pool.end_train(lease.id);
    assert_eq!(pool.try_lease(&request(5)), None);
    pool.release(lease.id);
    assert!(pool.try_lease(&request(5)).is_some());
}

#[test]
fn a_card_is_held_back_for_a_waiting_request() {
    let mut pool = open("sim:1x10GB");
    let small = pool.try_lease(&request(2)).unwrap();
    let holder = TaskKey { group: 1, place: 9 };
    let whole = LeaseRequest { holder, exclusive: true, hold: true, ..request(2) };
    assert_eq!(pool.try_lease(&whole), None);
    assert_eq!(pool.try_lease(&request(2)), None, "it would fit, but a request waits for the whole card");
    pool.withdraw(holder);
    let other = pool.try_lease(&request(2)).unwrap();
    assert_eq!(pool.try_lease(&whole), None);
    pool.release(small.id);
    pool.release(other.id);
    assert!(pool.try_lease(&whole).is_some());
}

#[test]
fn a_reversed_order_takes_the_last_of_equal_cards_first() {
    let mut config = Config::default();
    assert_eq!(open_with("sim:3x8GB", &config).try_lease(&request(1)).unwrap().device(), Device::Sim(0));
    config.gpu_priority.reverse = true;
    assert_eq!(open_with("sim:3x8GB", &config).try_lease(&request(1)).unwrap().device(), Device::Sim(2));
}

/// What is done to a pool. A number chooses among its leases.
#[derive(Debug, Clone)]
enum Step {
    Lease(LeaseRequest),
    EndTrain(usize),
    Release(usize),
}

fn any_step() -> impl Strategy<Value = Step> {
    let pin = prop_oneof![
        3 => Just(None),
        1 => (0..3_u32).prop_map(|ordinal| Some(Pin::Device(Device::Sim(ordinal)))),
    ];
    let lease = (0..14_u64, 1..3_u32, any::<bool>(), proptest::bool::weighted(0.2), pin).prop_map(
        |(gigabytes, devices, estimated, exclusive, pin)| {
            Step::Lease(LeaseRequest { devices, estimated, exclusive, pin, ..request(gigabytes) })
        },
    );
    prop_oneof![
        3 => lease,
        1 => any::<usize>().prop_map(Step::EndTrain),
        1 => any::<usize>().prop_map(Step::Release),
    ]
}

/// A naive account of all leases, written from the rules alone.
struct Account {
    capacity: BTreeMap<Device, Size>,
    holders: Vec<(LeaseId, LeaseRequest, Vec<Device>, bool)>,
    max_per_device: usize,
}

impl Account {
    fn on(&self, device: Device) -> impl Iterator<Item = (&LeaseRequest, bool)> {
        self.holders
            .iter()
            .filter(move |(_, _, devices, _)| devices.contains(&device))
            .map(|(_, request, _, training)| (request, *training))
    }

    fn booked(&self, device: Device) -> Size {
        self.on(device).map(|(request, _)| request.memory).sum()
    }

    fn fits(&self, request: &LeaseRequest, device: Device) -> bool {
        let pinned_elsewhere = request.pin.as_ref().is_some_and(|pin| !pin.matches(device, None));
        let training: Vec<&LeaseRequest> =
            self.on(device).filter(|(_, training)| *training).map(|(request, _)| request).collect();
        let taken_whole = training.iter().any(|other| other.exclusive);
        let not_empty = request.exclusive && self.on(device).next().is_some();
        let unsure = !request.estimated || training.iter().any(|other| !other.estimated);
        let crowded = unsure && training.len() >= self.max_per_device;
        // Alone on a card, a tenth of it remains at least.
        let capacity = self.capacity[&device];
        let limit = if self.on(device).next().is_none() { capacity.scaled(1.125) } else { capacity };
        let room = self.booked(device) + request.memory <= limit;
        !pinned_elsewhere && !taken_whole && !not_empty && !crowded && room
    }
}

proptest! {
    /// No card is overbooked or shared against the rules, and no request is refused a card on which it fits.
    #[test]
    fn leases_keep_the_rules(
        steps in proptest::collection::vec(any_step(), 1..60),
        max_per_device in 1..4_u32,
    ) {
        let mut config = Config::default();
        config.scheduler.max_per_device = max_per_device;
        let mut pool = open_with("sim:2x10GB+1x15GB", &config);
        let gb = Size::from_gb;
        let mut account = Account {
            capacity: [(0, gb(8)), (1, gb(8)), (2, gb(12))].map(|(n, size)| (Device::Sim(n), size)).into(),
            holders: Vec::new(),
            max_per_device: max_per_device as usize,
        };
        for step in steps {
            match step {
                Step::Lease(request) => {
                    let fitting: Vec<Device> = account
                        .capacity
                        .keys()
                        .copied()
                        .filter(|device| account.fits(&request, *device))
                        .collect();
                    match pool.try_lease(&request) {
                        None => prop_assert!(fitting.len() < request.devices as usize, "idles {fitting:?}"),
                        Some(lease) => {
                            let devices: Vec<Device> =
                                lease.shares.iter().map(|share| share.info.device).collect();
                            prop_assert_eq!(devices.len(), request.devices as usize);
                            for (place, device) in devices.iter().enumerate() {
                                prop_assert!(fitting.contains(device), "{device} does not suit");
                                prop_assert!(!devices[..place].contains(device));
                            }
                            prop_assert!(pool.check(&request).is_ok());
                            account.holders.push((lease.id, request, devices, true));
                        }
                    }
                }
                Step::EndTrain(number) if !account.holders.is_empty() => {
                    let number = number % account.holders.len();
                    account.holders[number].3 = false;
                    pool.end_train(account.holders[number].0);
                }
                Step::Release(number) if !account.holders.is_empty() => {
                    let (id, ..) = account.holders.swap_remove(number % account.holders.len());
                    pool.release(id);
                }
                Step::EndTrain(_) | Step::Release(_) => {}
            }
            for (device, capacity) in &account.capacity {
                let limit =
                    if account.on(*device).count() == 1 { capacity.scaled(1.125) } else { *capacity };
                prop_assert!(account.booked(*device) <= limit);
            }
        }
    }
}
