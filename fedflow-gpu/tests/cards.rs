//! Real cards, played by a stand-in for NVIDIA's library that is called through nvml-wrapper.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::path::PathBuf;

use fedflow_core::{Config, Device, DevicePool, GpuStrategy, Lease, LeaseRequest, Size, TaskKey, Unleasable};
use fedflow_gpu::{
    CardError, CardRole, DeviceChoice, DeviceEnvironment, NoCards, NoDriver, OpenError, Opened, Pool,
    Warning, inventory,
};
use nvml_stand_in::{Card, Code, Memory, Script, StandIn};

const GB: u64 = 1_000_000_000;

/// No process has this number, as in a container where numbers are the host's.
const UNKNOWN_PID: u32 = u32::MAX;

fn install(cards: impl IntoIterator<Item = Card>) -> StandIn {
    StandIn::install(&Script::of(cards)).unwrap()
}

fn environment(stand_in: &StandIn) -> DeviceEnvironment {
    // A ledger of the test's own: a test must not touch the machine's.
    let lease_dir = stand_in.library().with_file_name("leases");
    DeviceEnvironment {
        nvml_library: Some(stand_in.library().into()),
        lease_dir: Some(lease_dir),
        ..DeviceEnvironment::default()
    }
}

fn visible(stand_in: &StandIn, value: &str) -> DeviceEnvironment {
    DeviceEnvironment { cuda_visible_devices: Some(value.into()), ..environment(stand_in) }
}

fn try_open(choice: &str, environment: &DeviceEnvironment) -> Result<Opened, OpenError> {
    Pool::open(&choice.parse::<DeviceChoice>().unwrap(), &Config::default(), environment)
}

fn open(choice: &str, environment: &DeviceEnvironment) -> Pool {
    let Opened { pool, note } = try_open(choice, environment).unwrap();
    assert_eq!(note, None);
    pool
}

/// The note when `auto` finds no card.
fn fallback(environment: &DeviceEnvironment) -> String {
    let Opened { pool, note } = try_open("auto", environment).unwrap();
    assert!(pool.devices().iter().all(|info| info.device == Device::Cpu));
    let note = note.unwrap();
    let slots = pool.devices().len();
    assert!(note.starts_with(&format!("using {slots} CPU slot")) && !note.contains('\n'), "{note}");
    note
}

fn request(gigabytes: u64) -> LeaseRequest {
    LeaseRequest::new(TaskKey { group: 1, place: 0 }, Size::from_gb(gigabytes))
}

fn pinned(gigabytes: u64, pin: &str) -> LeaseRequest {
    LeaseRequest { pin: Some(pin.parse().unwrap()), ..request(gigabytes) }
}

fn exclusive(gigabytes: u64) -> LeaseRequest {
    LeaseRequest { exclusive: true, ..request(gigabytes) }
}

fn uuids(pool: &Pool) -> Vec<(String, String)> {
    let devices = pool.devices().into_iter();
    devices.map(|info| (info.device.to_string(), info.uuid.unwrap())).collect()
}

fn uuid(lease: &Lease) -> &str {
    lease.shares[0].info.uuid.as_deref().unwrap()
}

fn variable<'a>(variables: &'a [(String, String)], name: &str) -> &'a str {
    &variables.iter().find(|(known, _)| known == name).unwrap().1
}

#[test]
fn cards_are_found_with_what_is_known_of_them() {
    let stand_in = install([Card::new("GPU-a", 24 * GB), Card::new("GPU-b", 8 * GB)]);
    let pool = open("auto", &environment(&stand_in));
    let devices = pool.devices();
    assert_eq!(devices[1].device, Device::Cuda(1));
    assert_eq!(devices[1].uuid.as_deref(), Some("GPU-b"));
    assert_eq!(devices[1].name, "NVIDIA Stand-In");
    assert_eq!(devices[1].memory, Some(Size::from_gb(8)));
    assert!(pool.warnings().is_empty());
}

#[test]
fn a_process_started_for_a_lease_sees_its_card_alone() {
    let stand_in = install(["GPU-a", "GPU-b", "GPU-c"].map(|uuid| Card::new(uuid, 10 * GB)));
    let mut pool = open("cuda:0,cuda:2", &environment(&stand_in));
    let lease = pool.try_lease(&pinned(2, "cuda:2")).unwrap();
    assert_eq!(variable(&lease.environment, "CUDA_VISIBLE_DEVICES"), "GPU-c");
    assert_eq!(variable(&lease.environment, "CUDA_DEVICE_ORDER"), "PCI_BUS_ID");
    assert_eq!(variable(&lease.environment, "FEDFLOW_DEVICE"), "cuda:0");
    assert_eq!(variable(&lease.environment, "FEDFLOW_CARD"), "cuda:2");
    assert_eq!((lease.device(), lease.device_seen), (Device::Cuda(2), Device::Cuda(0)));

    // A process that loads first counts all visible cards, leased by this run or not.
    let base = pool.base_environment();
    assert_eq!(variable(&base, "CUDA_VISIBLE_DEVICES"), "GPU-a,GPU-b,GPU-c");
    assert_eq!(variable(&base, "CUDA_DEVICE_ORDER"), "PCI_BUS_ID");

    let both = pool.try_lease(&LeaseRequest { devices: 2, ..request(2) }).unwrap();
    assert_eq!(variable(&both.environment, "CUDA_VISIBLE_DEVICES"), "GPU-a,GPU-c");
    assert_eq!(variable(&both.environment, "FEDFLOW_CARD"), "cuda:0,cuda:2");
}

#[test]
fn without_a_library_there_are_cpu_slots() {
    let missing = DeviceEnvironment {
        nvml_library: Some(PathBuf::from("/nonexistent/nvml.so")),
        ..DeviceEnvironment::default()
    };
    let note = fallback(&missing);
    assert!(note.contains("is the driver installed") && note.contains("/nonexistent/nvml.so"), "{note}");
    let error = try_open("cuda:0", &missing).unwrap_err();
    let OpenError::NoneOfCards { pins, reason: NoCards::NoDriver(NoDriver::NoLibrary(_)) } = error else {
        panic!("{error}");
    };
    assert_eq!(pins, "cuda:0");
    assert!(try_open("cuda", &missing).is_err());
    let inventory = inventory(&missing);
    assert!(inventory.cards.is_empty());
    assert!(inventory.reason.is_some_and(|reason| reason.contains("/nonexistent/nvml.so")));
}

#[test]
fn a_driver_that_does_not_start_says_why() {
    for (code, reason, words) in [
        (Code::LibRmVersionMismatch, NoDriver::VersionMismatch, "differ in version"),
        (Code::NoPermission, NoDriver::NoPermission, "no permission"),
        (Code::DriverNotLoaded, NoDriver::NotLoaded, "not loaded"),
        (
            Code::Unknown,
            NoDriver::Failed("an internal driver error occurred".into()),
            "internal driver error",
        ),
    ] {
        let stand_in = StandIn::install(&Script::failing(code)).unwrap();
        let environment = environment(&stand_in);
        let note = fallback(&environment);
        assert!(note.contains(words), "{note}");
        let told = OpenError::NoneOfCards { pins: "cuda:0".into(), reason: NoCards::NoDriver(reason) };
        assert_eq!(try_open("cuda:0", &environment).unwrap_err(), told);
        assert!(inventory(&environment).reason.is_some_and(|said| said.contains(words)));
    }
}

#[test]
fn a_library_that_is_something_else_says_so() {
    let stand_in = install([]).without("nvmlInit_v2").unwrap();
    assert!(fallback(&environment(&stand_in)).contains("nvmlInit_v2"));
}

#[test]
fn a_machine_without_cards_says_so() {
    let stand_in = install([]);
    assert!(fallback(&environment(&stand_in)).contains("no card"));
    assert!(inventory(&environment(&stand_in)).reason.is_some());
}

#[test]
fn the_entry_that_hides_cards_is_named() {
    let stand_in = install([Card::new("GPU-a", 8 * GB)]);
    assert!(fallback(&visible(&stand_in, "")).contains("CUDA_VISIBLE_DEVICES is empty"));
    for hiding in ["-1", "GPU-x", "7,0"] {
        let note = fallback(&visible(&stand_in, hiding));
        assert!(note.contains(hiding), "{note}");
        assert!(matches!(
            try_open("cuda:0", &visible(&stand_in, hiding)),
            Err(OpenError::NoneOfCards { reason: NoCards::Hidden(_), .. })
        ));
    }
}

#[test]
fn an_inherited_list_restricts_and_numbers() {
    let stand_in = install(["GPU-aa", "GPU-ab", "GPU-b"].map(|uuid| Card::new(uuid, 8 * GB)));
    for (value, list) in
        [("2,0", "GPU-b,GPU-aa"), ("GPU-ab", "GPU-ab"), ("GPU-b,1", "GPU-b,GPU-ab"), ("1,9,0", "GPU-ab")]
    {
        let environment = visible(&stand_in, value);
        let mut pool = open("auto", &environment);
        assert_eq!(variable(&pool.base_environment(), "CUDA_VISIBLE_DEVICES"), list, "{value}");
        let first = pool.try_lease(&pinned(1, "cuda:0")).unwrap();
        assert_eq!(uuid(&first), list.split(',').next().unwrap());
        assert_eq!(pool.warnings().len(), usize::from(value == "1,9,0"));
        let shown = inventory(&environment);
        assert_eq!(shown.cards.len(), 3, "hidden cards are shown, without a name");
        assert_eq!(shown.cards.iter().filter(|card| card.device.is_some()).count(), list.split(',').count());
    }
    let error = try_open("cuda:2", &visible(&stand_in, "2,0")).unwrap_err();
    assert!(error.to_string().contains("cuda:0 (GPU-b), cuda:1 (GPU-aa)"), "{error}");
    let error = try_open("GPU-ab", &visible(&stand_in, "2,0")).unwrap_err();
    assert!(matches!(error, OpenError::NoSuchCard { .. }), "a hidden card is not used: {error}");
}

#[test]
fn the_same_card_is_not_chosen_twice() {
    let stand_in = install([Card::new("GPU-a", 8 * GB)]);
    let error = try_open("cuda:0,GPU-a", &environment(&stand_in)).unwrap_err();
    assert_eq!(error.to_string(), "GPU-a and cuda:0 are the same card");
}

#[test]
fn a_card_that_fails_is_left_out_and_the_others_go_on() {
    let stand_in = install([
        Card::new("GPU-a", 8 * GB),
        Card::new("GPU-b", 8 * GB).failing("*", Code::GpuIsLost),
        Card::new("GPU-c", 8 * GB),
    ]);
    let environment = environment(&stand_in);
    let mut pool = open("auto", &environment);
    assert_eq!(uuids(&pool), [("cuda:0", "GPU-a"), ("cuda:1", "GPU-c")].map(|(n, u)| (n.into(), u.into())));
    let said: Vec<String> = pool.warnings().iter().map(ToString::to_string).collect();
    assert!(said[0].contains("number 1") && said[0].contains("fallen off the bus"), "{said:?}");
    assert!(said[1].contains("cuda:1") && said[1].contains("UUID"), "{said:?}");

    // `cuda:1` was card b when the flow was written: c must not be leased in its place.
    assert_eq!(pool.try_lease(&pinned(1, "cuda:1")), None);
    let error = pool.check(&pinned(1, "cuda:1")).unwrap_err().to_string();
    assert!(error.contains("cuda:0") && error.contains("GPU-c (by its UUID"), "{error}");
    assert_eq!(uuid(&pool.try_lease(&pinned(1, "cuda:0")).unwrap()), "GPU-a");
    assert_eq!(uuid(&pool.try_lease(&pinned(1, "GPU-c")).unwrap()), "GPU-c");
    assert!(matches!(try_open("cuda:1", &environment), Err(OpenError::NoSuchCard { .. })));
    assert!(try_open("GPU-c", &environment).is_ok());

    let inventory = inventory(&environment);
    assert_eq!(inventory.cards.len(), 3);
    assert!(inventory.cards[1].error.as_deref().is_some_and(|error| error.contains("fallen off")));
    assert_eq!((inventory.cards[2].device, inventory.reason), (Some(Device::Cuda(1)), None));
}

#[test]
fn a_card_without_permission_does_not_count() {
    let stand_in = install([
        Card::new("GPU-a", 8 * GB).failing("nvmlDeviceGetHandleByIndex", Code::NoPermission),
        Card::new("GPU-b", 8 * GB),
    ]);
    let mut pool = open("auto", &environment(&stand_in));
    assert_eq!(uuid(&pool.try_lease(&pinned(1, "cuda:0")).unwrap()), "GPU-b");
    assert!(pool.warnings().is_empty());
}

#[test]
fn the_reason_is_the_cards_errors_if_all_fail() {
    let stand_in =
        install([Card::new("GPU-a", 8 * GB).failing("nvmlDeviceGetMemoryInfo", Code::ResetRequired)]);
    let note = fallback(&environment(&stand_in));
    assert!(note.contains("GPU-a") && note.contains("must be reset"), "{note}");
    let error = try_open("GPU-a", &environment(&stand_in)).unwrap_err();
    assert!(matches!(error, OpenError::NoneOfCards { reason: NoCards::AllFailed { .. }, .. }), "{error}");
}

#[test]
fn a_failing_card_that_was_asked_for_is_an_error() {
    let cards = [
        Card::new("GPU-a", GB),
        Card::new("GPU-b", GB).failing("nvmlDeviceGetName", Code::InsufficientPower),
    ];
    let error = try_open("GPU-b", &environment(&install(cards))).unwrap_err();
    let OpenError::CardFailed { error, .. } = error else { panic!("{error}") };
    assert_eq!(error, CardError::NoPower);
}

#[test]
fn a_driver_without_the_second_memory_function_is_enough() {
    let mut card = Card::new("GPU-a", 20 * GB);
    card.memory = Some(Memory { total: 20 * GB, used: 0, reserved: GB / 2 });
    let stand_in = install([card.clone()]).without("nvmlDeviceGetMemoryInfo_v2").unwrap();
    let mut pool = open("auto", &environment(&stand_in));
    assert_eq!(pool.devices()[0].memory, Some(Size::from_gb(20)));
    // Half a gigabyte is reported as used and belongs to the driver.
    let lease = pool.try_lease(&exclusive(16)).unwrap();
    pool.release(lease.id);
    // This is more than the driver reserves.
    stand_in.play(&Script::of([card.using(3 * GB)])).unwrap();
    assert_eq!(pool.try_lease(&request(16)), None);
    let first = pool.try_lease(&request(14)).unwrap();
    pool.release(first.id);
    pool.try_lease(&request(1)).unwrap();
    assert_eq!(pool.try_lease(&request(13)), None, "16 GB may be used beside each other");
    assert!(pool.try_lease(&request(11)).is_some());
}

#[test]
fn a_card_without_memory_of_its_own_has_one_lease_at_a_time() {
    let card = Card { memory: None, ..Card::new("GPU-a", 0) };
    let stand_in = install([card]);
    let mut pool = open("auto", &environment(&stand_in));
    assert_eq!(pool.devices()[0].memory, None);
    let lease = pool.try_lease(&request(500)).unwrap();
    assert_eq!(lease.shares[0].memory, None);
    assert_eq!(pool.try_lease(&request(0)), None);
    pool.end_train(lease.id);
    assert!(pool.try_lease(&request(0)).is_some());
}

#[test]
fn a_value_that_the_driver_lacks_is_not_an_error() {
    let bare = Card {
        utilization: None,
        temperature: None,
        power: None,
        cores: None,
        clock: None,
        ..Card::new("GPU-a", 8 * GB)
    };
    let stand_in = install([bare]).without("nvmlDeviceGetComputeRunningProcesses_v3").unwrap();
    let stand_in = stand_in.without("nvmlDeviceGetGraphicsRunningProcesses_v3").unwrap();
    let stand_in = stand_in.without("nvmlDeviceGetMigMode").unwrap();
    let card = inventory(&environment(&stand_in)).cards.remove(0);
    assert_eq!((card.utilization, card.temperature, card.power), (None, None, None));
    assert_eq!((card.processes, card.error, card.mig), (None, None, CardRole::Whole));
    assert!(open("auto", &environment(&stand_in)).try_lease(&exclusive(1)).is_some());
}

#[test]
fn tasks_share_a_card_by_memory() {
    let stand_in = install([Card::new("GPU-a", 10 * GB)]);
    let mut pool = open("auto", &environment(&stand_in));
    let leases: Vec<Lease> = std::iter::from_fn(|| pool.try_lease(&request(3))).collect();
    assert_eq!(leases.len(), 2, "8 GB of the card may be booked");
    assert_eq!(leases.iter().map(|lease| lease.shares[0].slot).collect::<Vec<_>>(), [0, 1]);
    assert!(pool.try_lease(&request(2)).is_some());
    pool.end_train(leases[0].id);
    assert_eq!(pool.try_lease(&request(3)), None, "the process still has its memory");
    pool.release(leases[0].id);
    assert!(pool.try_lease(&request(3)).is_some());
    assert!(pool.check(&request(9)).is_ok(), "alone on the card");
    let error = pool.check(&request(10)).unwrap_err();
    let remain_limit = Some(Size::ZERO);
    assert_eq!(
        error,
        Unleasable::TooLarge { needed: Size::from_gb(10), largest: Size::from_gb(9), remain_limit }
    );
}

#[test]
fn limits_of_the_configuration_hold() {
    let stand_in = install([Card::new("GPU-a", 10 * GB)]);
    let choice = DeviceChoice::Auto;
    let mut config = Config::default();
    let mut largest = |change: &dyn Fn(&mut Config)| {
        change(&mut config);
        let mut pool = Pool::open(&choice, &config, &environment(&stand_in)).unwrap().pool;
        Some(std::iter::from_fn(|| pool.try_lease(&request(1))).count())
    };
    assert_eq!(largest(&|_| {}), Some(8));
    assert_eq!(largest(&|config| config.utilization_limit.cuda_memory = 0.5), Some(5));
    assert_eq!(largest(&|config| config.remain_limit.cuda_memory = Some(Size::from_gb(7))), Some(3));
}

#[test]
fn memory_of_a_lease_is_not_counted_twice() {
    let card = Card::new("GPU-a", 10 * GB);
    let stand_in = install([card.clone()]);
    let mut pool = open("auto", &environment(&stand_in));
    pool.try_lease(&request(4)).unwrap();
    stand_in.play(&Script::of([card.clone().using(4 * GB)])).unwrap();
    pool.try_lease(&request(2)).unwrap();
    // They use 7 GB and have booked 6: another 2 GB would overfill the card.
    stand_in.play(&Script::of([card.using(7 * GB)])).unwrap();
    assert_eq!(pool.try_lease(&request(2)), None);
    assert!(pool.try_lease(&request(1)).is_some());
}

#[test]
fn a_foreign_program_is_seen_before_leases_have_filled_their_shares() {
    let card = Card::new("GPU-a", 10 * GB);
    let stand_in = install([card.clone()]);
    let mut pool = open("auto", &environment(&stand_in));
    pool.try_lease(&request(4)).unwrap();
    // The first process of the machine certainly belongs to no run.
    stand_in.play(&Script::of([card.using(3 * GB).with_process(1, 3 * GB)])).unwrap();
    assert_eq!(pool.try_lease(&request(2)), None);
    assert!(pool.try_lease(&request(1)).is_some());
}

#[test]
fn a_display_server_takes_its_memory_and_keeps_no_exclusive_lease_away() {
    let card = Card::new("GPU-a", 10 * GB);
    let used = 4 << 20;
    let stand_in = install([card.clone().using(used).with_process(UNKNOWN_PID, used)]);
    let mut pool = open("auto", &environment(&stand_in));
    // 9 GB of the card may be leased, and 4 MiB of them are in use.
    let holder = TaskKey { group: 1, place: 7 };
    let never = LeaseRequest { holder, hold: true, ..exclusive(9) };
    assert_eq!(pool.try_lease(&never), None);
    let shared = pool.try_lease(&request(1)).unwrap();
    assert_eq!(pool.try_lease(&LeaseRequest { hold: true, ..exclusive(1) }), None, "another lease is there");
    pool.release(shared.id);
    let alone = pool.try_lease(&exclusive(8)).unwrap();
    pool.release(alone.id);
    // The last try after running out of memory.
    let last_try = LeaseRequest { roomy: true, ..exclusive(8) };
    let alone = pool.try_lease(&last_try).unwrap();
    pool.release(alone.id);

    // A task of this run that touched the card while it loaded is not a foreign program.
    let ours = card.clone().using(GB).with_process(std::process::id(), GB);
    stand_in.play(&Script::of([ours])).unwrap();
    let alone = pool.try_lease(&exclusive(1)).unwrap();
    assert_eq!(pool.try_lease(&request(1)), None);
    pool.release(alone.id);
    assert!(pool.try_lease(&request(1)).is_some());
}

#[test]
fn a_pin_by_number_or_uuid_means_one_card() {
    let stand_in = install(["GPU-a", "GPU-b"].map(|uuid| Card::new(uuid, 10 * GB)));
    let mut pool = open("auto", &environment(&stand_in));
    assert_eq!(uuid(&pool.try_lease(&pinned(5, "cuda:1")).unwrap()), "GPU-b");
    assert_eq!(pool.try_lease(&pinned(5, "GPU-b")), None);
    assert_eq!(uuid(&pool.try_lease(&pinned(5, "GPU-a")).unwrap()), "GPU-a");
    for missing in ["cuda:2", "GPU-c", "sim:0"] {
        assert!(matches!(pool.check(&pinned(1, missing)), Err(Unleasable::NoSuchDevice { .. })), "{missing}");
        assert_eq!(pool.try_lease(&pinned(1, missing)), None);
    }
}

#[test]
fn what_is_pinned_to_the_cpu_gets_a_slot_beside_the_cards_and_sees_none() {
    let stand_in = install([Card::new("GPU-a", 10 * GB)]);
    let mut pool = open("auto,cpu:1", &environment(&stand_in));
    assert_eq!((pool.devices().len(), pool.slots_beside()), (1, 1));
    assert_eq!(pool.check(&pinned(900, "cpu")), Ok(()));
    let lease = pool.try_lease(&pinned(900, "cpu")).unwrap();
    assert_eq!((lease.device(), lease.shares[0].memory), (Device::Cpu, None));
    for (name, value) in [("CUDA_VISIBLE_DEVICES", ""), ("FEDFLOW_DEVICE", "cpu"), ("FEDFLOW_CARD", "cpu")] {
        assert!(lease.environment.contains(&(name.to_owned(), value.to_owned())), "{name}: {lease:?}");
    }
    assert_eq!(pool.try_lease(&pinned(1, "cpu")), None);
    assert_eq!(uuid(&pool.try_lease(&request(1)).unwrap()), "GPU-a");
    pool.end_train(lease.id);
    let again = pool.try_lease(&pinned(1, "cpu")).unwrap();
    pool.release(again.id);
    let default = open("cuda", &environment(&stand_in));
    let cores = std::thread::available_parallelism().unwrap().get();
    assert_eq!(default.slots_beside() as usize, cores);
}

#[test]
fn the_strategy_orders_cards_that_fit_equally_well() {
    let fast = Card { cores: Some(9_000), ..Card::new("GPU-fast", 10 * GB) };
    let stand_in = install([Card::new("GPU-a", 10 * GB), fast, Card::new("GPU-c", 10 * GB)]);
    let mut config = Config::default();
    let mut first = |strategy, reverse| {
        config.gpu_priority.strategy = strategy;
        config.gpu_priority.reverse = reverse;
        let opened = Pool::open(&DeviceChoice::Auto, &config, &environment(&stand_in)).unwrap();
        let mut pool = opened.pool;
        uuid(&pool.try_lease(&request(1)).unwrap()).to_owned()
    };
    assert_eq!(first(GpuStrategy::Pci, false), "GPU-a");
    assert_eq!(first(GpuStrategy::Pci, true), "GPU-c");
    assert_eq!(first(GpuStrategy::Performance, false), "GPU-fast");
    assert_eq!(first(GpuStrategy::Performance, true), "GPU-c");
}

#[test]
fn instances_are_leased_in_place_of_a_divided_card() {
    let instances = ["MIG-a", "MIG-b"].map(|uuid| Card::new(uuid, 10 * GB));
    let mut divided = Card::new("GPU-a", 40 * GB).divided(instances);
    // A place without an instance lies between the two.
    divided.instances.as_mut().unwrap().insert(1, None);
    let stand_in = install([divided, Card::new("GPU-b", 8 * GB)]);
    let environment = environment(&stand_in);
    let mut pool = open("auto", &environment);
    let named: Vec<String> = uuids(&pool).into_iter().map(|(_, uuid)| uuid).collect();
    assert_eq!(named, ["MIG-a", "MIG-b", "GPU-b"]);
    assert_eq!(pool.warnings(), [Warning::Instances]);
    let lease = pool.try_lease(&pinned(8, "MIG-b")).unwrap();
    assert_eq!(variable(&lease.environment, "CUDA_VISIBLE_DEVICES"), "MIG-b");
    assert_eq!(variable(&lease.environment, "FEDFLOW_CARD"), "cuda:1");

    let error = try_open("GPU-a", &environment).unwrap_err();
    assert!(matches!(error, OpenError::CardFailed { error: CardError::Divided, .. }), "{error}");
    let roles: Vec<CardRole> = inventory(&environment).cards.iter().map(|card| card.mig).collect();
    assert_eq!(roles, [CardRole::Divided, CardRole::Instance, CardRole::Instance, CardRole::Whole]);
}

#[test]
fn a_divided_card_without_instances_is_no_card() {
    let stand_in = install([Card::new("GPU-a", 40 * GB).divided([])]);
    assert!(fallback(&environment(&stand_in)).contains("have no instances"));
    assert!(fallback(&visible(&stand_in, "0")).contains("divided into MIG instances"));
}

#[test]
fn the_inventory_lists_all_that_is_known() {
    let card = Card::new("GPU-a", 10 * GB)
        .using(4 * GB)
        .with_process(std::process::id(), 3 * GB)
        .with_process(UNKNOWN_PID, GB);
    let stand_in = install([card]);
    let inventory = inventory(&environment(&stand_in));
    assert_eq!((inventory.driver.as_deref(), inventory.cuda.as_deref()), (Some("550.54.15"), Some("12.4")));
    let card = &inventory.cards[0];
    assert_eq!((card.device, card.index), (Some(Device::Cuda(0)), 0));
    assert_eq!(card.pci_bus_id.as_deref(), Some("00000000:01:00.0"));
    let memory = card.memory.unwrap();
    assert_eq!([memory.total, memory.used, memory.free], [10, 4, 6].map(Size::from_gb));
    assert_eq!((card.utilization, card.temperature, card.power), (Some(0), Some(30), Some(50_000)));
    let [ours, unknown] = card.processes.as_deref().unwrap() else { panic!("two processes") };
    assert_eq!((ours.pid, ours.memory), (std::process::id(), Some(Size::from_gb(3))));
    assert!(ours.name.is_some() && ours.user.is_some());
    assert_eq!((unknown.name.as_ref(), unknown.user.as_ref()), (None, None));

    let json = serde_json::to_value(&inventory).unwrap();
    assert_eq!(json["cards"][0]["device"], "cuda:0");
    assert_eq!(json["cards"][0]["memory"]["total"], 10 * GB);
    assert_eq!(json["cards"][0]["mig"], "whole");
}
