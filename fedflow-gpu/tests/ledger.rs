//! The machine's ledger: supervisors in separate processes share devices, wait for each other and are killed.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod ledger {
    pub(crate) mod checker;
    mod claims;
    pub(crate) mod crowd;
    pub(crate) mod remote;
    mod removal;
}

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use fedflow_core::{Config, Device, DevicePool, Lease, LeaseRequest, Pin, Size, TaskKey};
use fedflow_gpu::{
    DeviceChoice, DeviceEnvironment, LedgerError, OpenError, Opened, Pool, ReleaseWatch, Warning, inventory,
};
use tempfile::TempDir;

use ledger::crowd::Crowd;
use ledger::remote::{NOBODY, Remote, Sleeper, is_root, role};

/// Far longer than anything here takes. A test waits so long only if a wake-up was lost.
const PATIENCE: Duration = Duration::from_secs(30);
/// How often watches read cards: not during these tests.
const NEVER: Duration = Duration::from_secs(3600);

/// A directory that other users may enter, and the environment that names the ledger in it.
fn place() -> (TempDir, DeviceEnvironment) {
    let root = tempfile::tempdir().unwrap();
    fs::set_permissions(root.path(), fs::Permissions::from_mode(0o755)).unwrap();
    let environment =
        DeviceEnvironment { lease_dir: Some(root.path().join("leases")), ..DeviceEnvironment::default() };
    (root, environment)
}

fn try_open(choice: &str, environment: &DeviceEnvironment) -> Result<Pool, OpenError> {
    let choice: DeviceChoice = choice.parse().unwrap();
    Pool::open(&choice, &Config::default(), environment).map(|Opened { pool, .. }| pool)
}

fn open(choice: &str, environment: &DeviceEnvironment) -> Pool {
    try_open(choice, environment).unwrap()
}

fn request(gigabytes: u64) -> LeaseRequest {
    LeaseRequest::new(TaskKey { group: 1, place: 0 }, Size::from_gb(gigabytes))
}

fn watch(pool: &Pool) -> (ReleaseWatch, Receiver<()>) {
    let (sender, receiver) = channel();
    let watch = pool
        .start_watch(NEVER, move || {
            let _ = sender.send(());
        })
        .unwrap()
        .unwrap();
    (watch, receiver)
}

/// Repeats a request each time it is woken, until it is granted.
fn lease_when_woken(pool: &mut Pool, woken: &Receiver<()>, request: &LeaseRequest) -> Lease {
    loop {
        woken.recv_timeout(PATIENCE).unwrap();
        if let Some(lease) = pool.try_lease(request) {
            return lease;
        }
    }
}

/// The names in a ledger's directory.
fn names(environment: &DeviceEnvironment) -> Vec<String> {
    let entries = fs::read_dir(environment.lease_dir.as_ref().unwrap()).unwrap();
    let mut names: Vec<String> =
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

/// The supervisors' files.
fn supervisors(environment: &DeviceEnvironment) -> Vec<PathBuf> {
    let of = |name: String| environment.lease_dir.as_ref().unwrap().join(name);
    names(environment).into_iter().filter(|name| name.starts_with("supervisor-")).map(of).collect()
}

#[test]
fn two_runs_share_a_card_and_never_overbook_it() {
    let (_root, environment) = place();
    let mut first = open("sim:1x10GB", &environment);
    let mut second = open("sim:1x10GB", &environment);
    let lease = first.try_lease(&request(5)).unwrap();
    assert_eq!(second.try_lease(&request(5)), None, "0.8 of 10 GB may be leased");
    let beside = second.try_lease(&request(3)).unwrap();
    assert_eq!(first.try_lease(&request(1)), None);

    // It trains no longer, and its memory is not free.
    first.end_train(lease.id);
    assert_eq!(second.try_lease(&request(5)), None);
    first.release(lease.id);
    let exclusive = LeaseRequest { exclusive: true, ..request(1) };
    assert_eq!(first.try_lease(&exclusive), None, "the other run trains there");
    second.end_train(beside.id);
    assert_eq!(first.try_lease(&exclusive), None, "the other run still has memory there");
    second.release(beside.id);
    let alone = first.try_lease(&exclusive).unwrap();
    assert_eq!(second.try_lease(&request(1)), None);
    first.release(alone.id);
    assert!(second.try_lease(&request(8)).is_some());
}

#[test]
fn tasks_without_an_estimate_keep_apart_across_runs() {
    let (_root, environment) = place();
    let mut first = open("sim:1x10GB", &environment);
    let mut second = open("sim:1x10GB", &environment);
    let unknown = LeaseRequest { estimated: false, ..request(1) };
    let lease = first.try_lease(&unknown).unwrap();
    assert_eq!(second.try_lease(&unknown), None);
    assert_eq!(second.try_lease(&request(1)), None);
    first.end_train(lease.id);
    assert!(second.try_lease(&unknown).is_some());
}

#[test]
fn several_cards_are_booked_all_or_none() {
    let (_root, environment) = place();
    let mut first = open("sim:3x10GB", &environment);
    let mut second = open("sim:3x10GB", &environment);
    let two = LeaseRequest { devices: 2, ..request(6) };
    let lease = first.try_lease(&two).unwrap();
    assert_eq!(second.try_lease(&two), None, "one card is left");
    assert!(second.try_lease(&request(6)).is_some(), "and it is still whole");
    first.release(lease.id);
    assert!(second.try_lease(&two).is_some());
}

#[test]
fn slots_beside_cards_are_shared_in_a_lease_directory_like_other_slots() {
    let (_root, environment) = place();
    let mut beside = open("sim:1x24GB,cpu:2", &environment);
    let mut slots = open("cpu:2", &environment);
    let on_cpu = |place| LeaseRequest {
        pin: Some(Pin::Device(Device::Cpu)),
        ..LeaseRequest::new(TaskKey { group: 1, place }, Size::ZERO)
    };
    let first = beside.try_lease(&on_cpu(0)).unwrap();
    let second = slots.try_lease(&on_cpu(0)).unwrap();
    assert_eq!((first.shares[0].slot, second.shares[0].slot), (0, 1));
    assert_eq!((beside.try_lease(&on_cpu(1)), slots.try_lease(&on_cpu(1))), (None, None));
    slots.release(second.id);
    assert!(beside.try_lease(&on_cpu(1)).is_some());
    assert_eq!(slots.try_lease(&on_cpu(1)), None);
}

#[test]
fn cpu_slots_of_a_lease_directory_are_shared() {
    let (_root, environment) = place();
    let mut first = open("cpu:2", &environment);
    let mut second = open("cpu:2", &environment);
    let (one, two) = (first.try_lease(&request(0)).unwrap(), second.try_lease(&request(0)).unwrap());
    assert_ne!(one.shares[0].slot, two.shares[0].slot);
    assert_eq!(first.try_lease(&request(0)), None);
    second.end_train(two.id);
    assert_eq!(first.try_lease(&request(0)).unwrap().shares[0].slot, two.shares[0].slot);
}

#[test]
fn devices_belong_to_one_run_without_a_lease_directory() {
    let environment = DeviceEnvironment::default();
    let (mut first, mut second) = (open("sim:1x10GB", &environment), open("sim:1x10GB", &environment));
    assert!(first.try_lease(&request(8)).is_some());
    assert!(second.try_lease(&request(8)).is_some());
    assert!(first.start_watch(NEVER, || {}).unwrap().is_none());
    assert!(first.holders().is_none());
}

#[test]
fn a_waiting_run_is_woken_by_a_release() {
    let (_root, environment) = place();
    let mut first = open("sim:1x10GB", &environment);
    let mut second = open("sim:1x10GB", &environment);
    let (_watch, woken) = watch(&second);
    for _ in 0..20 {
        let lease = first.try_lease(&request(6)).unwrap();
        assert_eq!(second.try_lease(&request(6)), None);
        let seen = inventory(&environment);
        assert_eq!(seen.waiting.len(), 1);
        assert_eq!((seen.waiting[0].memory, seen.waiting[0].devices), (Size::from_gb(6), 1));
        first.release(lease.id);
        let lease = lease_when_woken(&mut second, &woken, &request(6));
        assert_eq!(inventory(&environment).waiting, []);
        second.release(lease.id);
    }
}

#[test]
fn a_waiting_run_is_woken_when_an_exclusive_lease_ends_its_training() {
    let (_root, environment) = place();
    let mut first = open("sim:1x10GB", &environment);
    let mut second = open("sim:1x10GB", &environment);
    let (_watch, woken) = watch(&second);
    let lease = first.try_lease(&LeaseRequest { exclusive: true, ..request(1) }).unwrap();
    assert_eq!(second.try_lease(&request(1)), None);
    first.end_train(lease.id);
    lease_when_woken(&mut second, &woken, &request(1));
}

#[test]
fn a_forgotten_watch_is_a_warning() {
    let (_root, environment) = place();
    let mut first = open("sim:1x10GB", &environment);
    let mut second = open("sim:1x10GB", &environment);
    let lease = second.try_lease(&request(6)).unwrap();
    assert_eq!(second.try_lease(&request(6)), None);
    assert_eq!(second.warnings(), [], "it waits for its own lease, which the program releases itself");
    for _ in 0..2 {
        assert_eq!(first.try_lease(&request(6)), None);
        assert_eq!(first.warnings(), [Warning::NotWatched]);
    }
    drop(first);
    let mut first = open("sim:1x10GB", &environment);
    // A watch that was dropped is none; another one can be started.
    drop(watch(&first));
    let (_watch, woken) = watch(&first);
    assert_eq!(first.try_lease(&request(6)), None);
    second.release(lease.id);
    let lease = lease_when_woken(&mut first, &woken, &request(6));
    assert_eq!(second.try_lease(&request(6)), None);
    first.release(lease.id);
    let _lease = second.try_lease(&request(6)).unwrap();
    assert_eq!(first.try_lease(&request(6)), None);
    assert_eq!(first.warnings(), []);
}

#[test]
fn a_withdrawn_request_is_not_listed() {
    let (_root, environment) = place();
    let mut first = open("sim:1x10GB", &environment);
    let mut second = open("sim:1x10GB", &environment);
    first.try_lease(&request(8)).unwrap();
    assert_eq!(second.try_lease(&request(8)), None);
    assert_eq!(inventory(&environment).waiting.len(), 1);
    second.withdraw(request(8).holder);
    assert_eq!(inventory(&environment).waiting, []);
}

#[test]
fn a_killed_supervisor_frees_what_it_held() {
    let (_root, environment) = place();
    let mut pool = open("sim:1x10GB", &environment);
    let (_watch, woken) = watch(&pool);
    let mut remote = Remote::start(&environment, None);
    assert_eq!(remote.ask("lease 6"), "leased");
    assert_eq!(pool.try_lease(&request(6)), None);
    remote.kill();
    lease_when_woken(&mut pool, &woken, &request(6));
    assert_eq!(supervisors(&environment).len(), 1, "nothing is left of it");
}

#[test]
fn a_worker_that_outlives_its_supervisor_keeps_its_lease() {
    let (_root, environment) = place();
    let mut pool = open("sim:1x10GB", &environment);
    let mut remote = Remote::start(&environment, None);
    assert_eq!(remote.ask("lease 6"), "leased");
    let worker = Sleeper::named_by(&remote.ask("worker"));
    let leases = inventory(&environment).leases;
    let [lease] = &leases[..] else { panic!("{leases:?}") };
    assert_eq!(lease.worker, Some(worker.pid()));
    assert_eq!((lease.task.as_deref(), lease.supervised), (Some("group/task"), true));
    assert_eq!((lease.device, lease.memory), ("sim:0".parse().ok(), Size::from_gb(6)));

    remote.kill();
    assert_eq!(pool.try_lease(&request(6)), None, "its worker lives");
    assert!(!inventory(&environment).leases[0].supervised);
    // A run that opens now sees it too, and only the worker's end can wake it.
    let mut late = open("sim:1x10GB", &environment);
    let (_watch, woken) = watch(&late);
    assert_eq!(late.try_lease(&request(6)), None);
    drop(worker);
    lease_when_woken(&mut late, &woken, &request(6));
}

#[test]
fn a_run_that_closes_with_a_worker_left_keeps_its_lease() {
    let (_root, environment) = place();
    let mut remote = Remote::start(&environment, None);
    assert_eq!(remote.ask("lease 6"), "leased");
    let worker = Sleeper::named_by(&remote.ask("worker"));
    remote.close();
    let mut pool = open("sim:1x10GB", &environment);
    assert_eq!(pool.try_lease(&request(6)), None);
    drop(worker);
    assert!(pool.try_lease(&request(6)).is_some());
}

#[test]
fn runs_of_two_users_see_each_other() {
    if !is_root() {
        eprintln!("skipped: only root can play two users");
        return;
    }
    for first_is_root in [true, false] {
        let (root, environment) = place();
        fs::set_permissions(root.path(), fs::Permissions::from_mode(0o1777)).unwrap();
        // The first to open makes the directory and the card's file.
        let early = first_is_root.then(|| open("sim:1x10GB", &environment));
        let mut remote = Remote::start(&environment, Some(NOBODY));
        let mut pool = early.unwrap_or_else(|| open("sim:1x10GB", &environment));
        let (_watch, woken) = watch(&pool);

        assert_eq!(remote.ask("lease 6"), "leased");
        assert_eq!(pool.try_lease(&request(6)), None);
        let leases = inventory(&environment).leases;
        assert_ne!(leases[0].user, "root");
        assert_eq!(remote.ask("release"), "released");
        let lease = lease_when_woken(&mut pool, &woken, &request(6));
        assert_eq!(remote.ask("lease 6"), "refused");
        pool.release(lease.id);
        assert_eq!(remote.ask("wait 6"), "leased");
        remote.kill();
        assert!(pool.try_lease(&request(6)).is_some());
    }
}

#[test]
fn a_directory_that_cannot_be_written_is_an_error() {
    let (root, environment) = place();
    let path = environment.lease_dir.clone().unwrap();
    let refused = |what: &str| {
        let error = try_open("sim:1x10GB", &environment).unwrap_err().to_string();
        assert!(error.contains(path.to_str().unwrap()) && error.contains(what), "{error}");
    };
    fs::write(&path, "precious").unwrap();
    refused("it is no directory");
    assert_eq!(fs::read_to_string(&path).unwrap(), "precious");
    fs::remove_file(&path).unwrap();
    symlink(root.path(), &path).unwrap();
    refused("it is a symbolic link");
    fs::remove_file(&path).unwrap();
    fs::create_dir(&path).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o777)).unwrap();
    refused("sticky bit");
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    drop(try_open("sim:1x10GB", &environment).unwrap());
    if is_root() {
        let error = Remote::refusal(&environment, NOBODY);
        assert!(error.contains("cannot be used: Permission denied"), "{error}");
    }
    let relative = DeviceEnvironment { lease_dir: Some("leases".into()), ..DeviceEnvironment::default() };
    let error = try_open("cpu:1", &relative).unwrap_err().to_string();
    assert!(
        error.starts_with("FEDFLOW_LEASE_DIR=leases cannot be used: it is not an absolute path"),
        "{error}"
    );
    let nowhere =
        DeviceEnvironment { lease_dir: Some(root.path().join("a/b")), ..DeviceEnvironment::default() };
    assert!(matches!(try_open("cpu:1", &nowhere), Err(OpenError::Ledger(LedgerError::Chosen { .. }))));
}

/// Puts something else in the place of a ledger's file.
type Plant = fn(&Path, &Path);

const PLANTS: [(&str, Plant); 6] = [
    ("it is a symbolic link", |path, precious| symlink(precious, path).unwrap()),
    ("it is a symbolic link", |path, _| symlink("/nonexistent/file", path).unwrap()),
    ("it is no regular file", |path, _| fs::create_dir(path).unwrap()),
    ("it is no regular file", |path, _| {
        rustix::fs::mkfifoat(rustix::fs::CWD, path, rustix::fs::Mode::from_raw_mode(0o666)).unwrap();
    }),
    ("it is no regular file", |path, _| drop(std::os::unix::net::UnixListener::bind(path).unwrap())),
    ("it was not written by Fedflow", |path, precious| assert!(fs::copy(precious, path).unwrap() > 0)),
];

#[test]
fn a_planted_file_is_named_and_left_alone() {
    for name in ["card-sim-0", "supervisor-1-1-0"] {
        for (words, plant) in PLANTS {
            let (root, environment) = place();
            let precious = root.path().join("precious");
            fs::write(&precious, "precious").unwrap();
            drop(open("sim:1x10GB", &environment));
            let path = environment.lease_dir.as_ref().unwrap().join(name);
            if path.exists() {
                fs::remove_file(&path).unwrap();
            }
            plant(&path, &precious);
            let before = fs::symlink_metadata(&path).unwrap();
            let error = try_open("sim:1x10GB", &environment).unwrap_err();
            let OpenError::Ledger(LedgerError::File { path: named, .. }) = &error else { panic!("{error}") };
            assert_eq!((named, error.to_string().contains(words)), (&path, true), "{error}");
            let after = fs::symlink_metadata(&path).unwrap();
            assert_eq!((before.len(), before.file_type()), (after.len(), after.file_type()));
            assert_eq!(fs::read_to_string(&precious).unwrap(), "precious");
            let seen = inventory(&environment);
            assert_eq!(seen.leases, []);
        }
    }
}

#[test]
fn a_file_of_any_size_is_not_read_to_its_end() {
    let (_root, environment) = place();
    drop(open("sim:1x10GB", &environment));
    let path = environment.lease_dir.as_ref().unwrap().join("supervisor-1-1-0");
    fs::File::create(&path).unwrap().set_len(1 << 40).unwrap();
    let error = try_open("sim:1x10GB", &environment).unwrap_err().to_string();
    assert!(error.contains("larger than anything"), "{error}");
}

#[test]
fn a_ledger_of_another_version_is_not_passed_over() {
    let (_root, environment) = place();
    let mut pool = open("sim:1x10GB", &environment);
    let later = environment.lease_dir.as_ref().unwrap().join("supervisor-1-1-0");
    let header = r#"{"fedflow_ledger": 2, "more": "than we know"}"#;
    let body = format!("{header:<1015}");
    fs::write(&later, format!("{body}{:08x}\n", crc32fast::hash(body.as_bytes()))).unwrap();
    assert!(pool.try_lease(&request(1)).is_some(), "no process holds it, so it is void");
    let held = fs::File::open(&later).unwrap();
    held.lock().unwrap();
    assert_eq!(pool.try_lease(&request(1)), None, "it might have booked anything");
    assert_eq!(pool.try_lease(&request(1)), None);
    let [warning] = pool.warnings() else { panic!("{:?}", pool.warnings()) };
    assert!(warning.to_string().contains("version 2"), "{warning}");
    drop(held);
    assert!(pool.try_lease(&request(1)).is_some());
}

#[test]
fn a_card_that_is_kept_locked_holds_up_no_other_card() {
    let (_root, environment) = place();
    let mut pool = open("sim:2x10GB", &environment);
    let (_watch, woken) = watch(&pool);
    let other = fs::File::open(environment.lease_dir.as_ref().unwrap().join("card-sim-0")).unwrap();
    other.lock().unwrap();
    assert_eq!(pool.try_lease(&request(1)), None);
    let elsewhere = LeaseRequest { pin: "sim:1".parse().ok(), ..request(1) };
    assert!(pool.try_lease(&elsewhere).is_some(), "the other card is free");
    other.unlock().unwrap();
    lease_when_woken(&mut pool, &woken, &request(1));
}

/// A session manager removes a user's files from `/dev/shm` when the user has logged out.
#[test]
fn removed_files_come_back() {
    let (_root, environment) = place();
    let mut first = open("sim:1x10GB", &environment);
    let mut second = open("sim:1x10GB", &environment);
    let (_watch, _) = watch(&first);
    let lease = first.try_lease(&request(4)).unwrap();
    let own = supervisors(&environment);
    for path in &own {
        fs::remove_file(path).unwrap();
    }
    fs::remove_file(environment.lease_dir.as_ref().unwrap().join("card-sim-0")).unwrap();
    // The run that watches puts its file back at once.
    let deadline = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic).tv_sec + 30;
    while inventory(&environment).leases.is_empty() {
        assert!(rustix::time::clock_gettime(rustix::time::ClockId::Monotonic).tv_sec < deadline);
        std::thread::yield_now();
    }
    assert_eq!(second.try_lease(&request(6)), None);
    assert!(second.try_lease(&request(4)).is_some());
    assert_eq!(supervisors(&environment).len(), 2, "the run that booked put its file back");
    first.release(lease.id);
    assert!(names(&environment).contains(&"card-sim-0".to_owned()));
}

#[test]
fn a_run_that_ends_leaves_no_file_of_its_own() {
    let (_root, environment) = place();
    let mut pool = open("sim:2x10GB", &environment);
    let lease = pool.try_lease(&request(4)).unwrap();
    let (_watch, _) = watch(&pool);
    let _holders = pool.holders();
    pool.release(lease.id);
    drop(pool);
    assert_eq!(names(&environment), ["card-cpu", "card-sim-0", "card-sim-1"]);
}

/// Supervisors are killed at random: no card is ever overbooked, and the survivors get their leases.
#[test]
fn a_crowd_of_supervisors_that_are_killed_at_random() {
    let (root, environment) = place();
    let crowd = Crowd::of_size_for_test(root.path(), &environment);
    let told = crowd.run();
    eprintln!("{told}");
}

/// The directory is removed at random, thirty times while eight supervisors lease.
#[test]
fn a_crowd_of_supervisors_whose_directory_is_removed_at_random() {
    let (root, environment) = place();
    let told = Crowd::of_size_for_test(root.path(), &environment).with_removals().run();
    eprintln!("{told}");
}

/// Plays a process of the tests above; does nothing in an ordinary run.
#[test]
fn child() {
    if let Some(role) = role() {
        role.play();
    }
}
