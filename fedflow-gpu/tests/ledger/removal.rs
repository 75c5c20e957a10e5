//! The ledger's directory is removed while runs go on, as a session manager does when a user logs out.

use std::fs;
use std::time::Duration;

use fedflow_core::{DevicePool, Unleasable};
use fedflow_gpu::{DeviceEnvironment, Warning};

use super::remote::Remote;
use crate::{lease_when_woken, names, open, place, request, supervisors, watch};

/// Removes the files, and the directory if no run makes a new file meanwhile.
fn remove(environment: &DeviceEnvironment) {
    let _ = fs::remove_dir_all(environment.lease_dir.as_ref().unwrap());
}

#[test]
fn a_run_that_opens_after_the_removal_leases_nothing_that_is_held() {
    let (_root, environment) = place();
    let mut remote = Remote::start(&environment, None);
    assert_eq!(remote.ask("lease 6"), "leased");
    remove(&environment);
    let mut late = open("sim:1x10GB", &environment);
    let (_watch, woken) = watch(&late);
    assert_eq!(late.try_lease(&request(6)), None);
    assert_eq!(remote.ask("release"), "released");
    lease_when_woken(&mut late, &woken, &request(6));
    assert_eq!(remote.ask("lease 6"), "refused", "it books in the new directory");
    assert_eq!(late.warnings(), []);
}

#[test]
fn a_stopped_run_keeps_what_it_holds() {
    let (_root, environment) = place();
    let mut remote = Remote::start(&environment, None);
    assert_eq!(remote.ask("lease 6"), "leased");
    // It cannot book again in the new directory.
    remote.pause();
    remove(&environment);
    let mut late = open("sim:1x10GB", &environment);
    let (_watch, woken) = watch(&late);
    for _ in 0..3 {
        assert_eq!(late.try_lease(&request(1)), None, "what is booked is not known");
        woken.recv_timeout(crate::PATIENCE).unwrap();
    }
    assert_eq!(late.try_lease(&request(1)), None);
    remote.go_on();
    lease_when_woken(&mut late, &woken, &request(2));
    assert_eq!(late.try_lease(&request(6)), None);
    // Its bookings are not missing any more when it has died.
    remote.pause();
    remove(&environment);
    assert_eq!(late.try_lease(&request(1)), None);
    remote.kill();
    lease_when_woken(&mut late, &woken, &request(6));
}

#[test]
fn a_request_that_waits_is_woken_in_the_new_directory() {
    let (_root, environment) = place();
    let mut remote = Remote::start(&environment, None);
    let mut pool = open("sim:1x10GB", &environment);
    let (_watch, woken) = watch(&pool);
    for _ in 0..5 {
        assert_eq!(remote.ask("lease 6"), "leased");
        assert_eq!(pool.try_lease(&request(6)), None);
        remove(&environment);
        assert_eq!(remote.ask("release"), "released");
        let lease = lease_when_woken(&mut pool, &woken, &request(6));
        assert_eq!(remote.ask("lease 6"), "refused");
        remove(&environment);
        pool.release(lease.id);
        assert_eq!(remote.ask("wait 6"), "leased");
        assert_eq!(pool.try_lease(&request(6)), None);
        assert_eq!(remote.ask("release"), "released");
        pool.withdraw(request(6).holder);
    }
    assert_eq!((names(&environment).len(), supervisors(&environment).len()), (3, 2));
    assert_eq!(pool.warnings(), []);
}

#[test]
fn a_run_whose_directory_does_not_come_back_gives_up_with_the_cause() {
    let (_root, environment) = place();
    let path = environment.lease_dir.clone().unwrap();
    let mut pool = open("sim:1x10GB", &environment);
    let (_watch, woken) = watch(&pool);
    remove(&environment);
    // The watch may have made it again already.
    while fs::write(&path, "in the way").is_err() {
        let _ = fs::remove_dir_all(&path);
    }
    assert_eq!(pool.try_lease(&request(1)), None);
    assert!(matches!(pool.warnings(), [Warning::Ledger(_)]), "{:?}", pool.warnings());
    assert_eq!(pool.check(&request(1)), Ok(()), "it may come back");
    woken.recv_timeout(crate::PATIENCE).unwrap();
    assert_eq!(pool.try_lease(&request(1)), None);
    woken.recv_timeout(crate::PATIENCE).unwrap();

    pool.set_ledger_patience(Duration::ZERO);
    let Err(Unleasable::NotBookable { cause }) = pool.check(&request(1)) else { panic!("it waits for ever") };
    assert!(cause.contains(path.to_str().unwrap()) && cause.contains("no directory"), "{cause}");
    fs::remove_file(&path).unwrap();
    assert!(pool.try_lease(&request(1)).is_some());
    assert_eq!(pool.check(&request(1)), Ok(()));
}
