//! Leases for a program of one's own: they block with a limit, are released on drop, and hold between processes.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::collections::BTreeMap;
use std::io::Read;
use std::process::{Command, Stdio};
use std::sync::mpsc::channel;
use std::thread;
use std::time::Duration;

use fedflow_gpu::{
    Config, Device, DeviceEnvironment, DeviceRequest, Devices, HeldLease, LeaseError, LeaseScope, Size,
    Unleasable, Warning, inventory,
};
use nvml_stand_in::{Card, Script, StandIn};
use tempfile::TempDir;

/// Far longer than anything here takes: only a wake-up that was lost is waited for so long.
const PATIENCE: Duration = Duration::from_secs(30);

/// A lease directory of the test's own, and the environment that names it.
fn place() -> (TempDir, DeviceEnvironment) {
    let root = tempfile::tempdir().unwrap();
    let lease_dir = Some(root.path().join("leases"));
    (root, DeviceEnvironment { lease_dir, ..DeviceEnvironment::default() })
}

fn open(choice: &str, environment: &DeviceEnvironment) -> Devices {
    Devices::open(&choice.parse().unwrap(), &Config::default(), environment).unwrap()
}

fn request(devices: &Devices, gigabytes: u64) -> DeviceRequest {
    devices.request(Size::from_gb(gigabytes))
}

fn try_lease(devices: &Devices, gigabytes: u64) -> Option<HeldLease> {
    request(devices, gigabytes).try_lease().unwrap()
}

#[test]
fn a_lease_is_released_when_it_is_dropped() {
    let devices = open("sim:1x10GB", &DeviceEnvironment::default());
    let lease = request(&devices, 6).lease(PATIENCE).unwrap();
    assert_eq!((lease.device(), lease.memory()), (Device::Sim(0), Some(Size::from_gb(6))));
    assert!(try_lease(&devices, 6).is_none());
    assert!(try_lease(&devices, 2).is_some(), "the rest is shared");
    drop(lease);
    assert!(try_lease(&devices, 6).is_some());
}

#[test]
fn the_limit_holds_and_what_can_never_be_leased_is_refused_at_once() {
    let devices = open("sim:1x10GB", &DeviceEnvironment::default());
    let _lease = try_lease(&devices, 6).unwrap();
    let limit = Duration::from_millis(1);
    let error = request(&devices, 6).lease(limit).unwrap_err();
    assert_eq!(error, LeaseError::TimedOut { memory: Size::from_gb(6), limit });
    assert_eq!(error.to_string(), "no device had 6GB free within 1ms");
    assert_eq!(devices.largest_request(), Some(Size::from_gb(9)));
    let error = request(&devices, 10).lease(PATIENCE).unwrap_err();
    assert!(matches!(error, LeaseError::Unleasable(Unleasable::TooLarge { .. })), "{error}");
    let error = request(&devices, 1).pinned_to("sim:1".parse().unwrap()).try_lease().unwrap_err();
    assert!(matches!(error, LeaseError::Unleasable(Unleasable::NoSuchDevice { .. })), "{error}");
}

#[test]
fn a_waiting_thread_is_woken_by_another_one() {
    let devices = open("sim:1x10GB", &DeviceEnvironment::default());
    for _ in 0..20 {
        let lease = try_lease(&devices, 6).unwrap();
        let waiting = devices.clone();
        let waiting = thread::spawn(move || request(&waiting, 6).lease(PATIENCE).map(|lease| lease.device()));
        drop(lease);
        assert_eq!(waiting.join().unwrap(), Ok(Device::Sim(0)));
    }
}

#[test]
fn a_request_that_waits_is_woken_by_another_process() {
    let (_root, environment) = place();
    // Each has a ledger of its own, as two processes have.
    let (first, second) = (open("sim:1x10GB", &environment), open("sim:1x10GB", &environment));
    assert_eq!(first.lease_scope(), LeaseScope::Machine);
    assert_eq!(first.warnings(), []);
    for _ in 0..20 {
        let lease = try_lease(&first, 6).unwrap();
        assert!(try_lease(&second, 6).is_none());
        let waiting = second.clone();
        let waiting = thread::spawn(move || request(&waiting, 6).lease(PATIENCE).map(drop));
        drop(lease);
        assert_eq!(waiting.join().unwrap(), Ok(()));
    }
}

#[test]
fn devices_are_held_back_for_the_request_that_has_waited_longest() {
    let devices = open("sim:1x10GB", &DeviceEnvironment::default());
    let small = try_lease(&devices, 2).unwrap();
    let (granted, large_is_granted) = channel();
    let waiting = devices.clone();
    let large = thread::spawn(move || {
        let lease = request(&waiting, 1).exclusive().lease(PATIENCE).unwrap();
        granted.send(()).unwrap();
        drop(lease);
    });
    // Once the large request waits, small ones no longer pass it, though there is room for them.
    while try_lease(&devices, 2).is_some() {
        thread::yield_now();
    }
    assert!(large_is_granted.try_recv().is_err());
    drop(small);
    large_is_granted.recv_timeout(PATIENCE).unwrap();
    large.join().unwrap();
    assert!(request(&devices, 2).lease(PATIENCE).is_ok(), "nothing is held back any more");
}

#[test]
fn a_request_that_is_given_up_holds_nothing_back() {
    let devices = open("sim:1x10GB", &DeviceEnvironment::default());
    let small = try_lease(&devices, 2).unwrap();
    assert!(request(&devices, 1).exclusive().lease(Duration::ZERO).is_err());
    assert!(try_lease(&devices, 2).is_some());
    drop(small);
}

#[test]
fn several_devices_are_leased_all_or_none() {
    let devices = open("cpu:3", &DeviceEnvironment::default());
    let two = request(&devices, 0).devices(2).lease(PATIENCE).unwrap();
    assert_eq!((two.details().shares.len(), two.memory()), (2, None));
    assert!(request(&devices, 0).devices(2).try_lease().unwrap().is_none());
    assert!(try_lease(&devices, 0).is_some(), "a slot is left");
}

#[test]
fn the_devices_say_which_processes_see_their_leases() {
    let own = open("cpu:1", &DeviceEnvironment::default());
    assert_eq!((own.lease_scope(), own.warnings()), (LeaseScope::Process, vec![Warning::OwnDevices]));
    assert!(own.warnings()[0].to_string().contains("FEDFLOW_LEASE_DIR"));
    assert_eq!((own.note(), own.list().len()), (None, 1));
}

#[test]
fn a_process_sees_its_card_alone_and_is_named_as_the_lease_holder() {
    let stand_in =
        StandIn::install(&Script::of(["GPU-a", "GPU-b"].map(|uuid| Card::new(uuid, 10_000_000_000))))
            .unwrap();
    let environment = DeviceEnvironment {
        nvml_library: Some(stand_in.library().into()),
        lease_dir: Some(stand_in.library().with_file_name("leases")),
        ..DeviceEnvironment::default()
    };
    let devices = open("auto", &environment);
    let lease = request(&devices, 4).pinned_to("cuda:1".parse().unwrap()).lease(PATIENCE).unwrap();
    let variables: BTreeMap<&str, &str> = lease.environment().collect();
    assert_eq!((variables["CUDA_VISIBLE_DEVICES"], variables["FEDFLOW_CARD"]), ("GPU-b", "cuda:1"));

    #[expect(clippy::disallowed_methods, reason = "this test starts a process")]
    let mut command = Command::new("/bin/sh");
    command.args(["-c", "echo $CUDA_VISIBLE_DEVICES; read line"]);
    let mut child = lease.spawn(command.stdin(Stdio::piped()).stdout(Stdio::piped())).unwrap();
    let leases = inventory(&environment).leases;
    assert_eq!((leases[0].worker, leases[0].task.as_deref()), (Some(child.id()), Some("sh")));
    drop(child.stdin.take());
    let mut seen = String::new();
    child.stdout.take().unwrap().read_to_string(&mut seen).unwrap();
    child.wait().unwrap();
    assert_eq!(seen, "GPU-b\n");
    drop(lease);
    assert_eq!(inventory(&environment).leases, []);
}
