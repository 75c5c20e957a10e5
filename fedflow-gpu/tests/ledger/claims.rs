//! Runs take their turns: a request that was refused before goes first.

use std::fs;

use fedflow_core::{DevicePool, LeaseRequest, TaskKey};
use fedflow_gpu::inventory;

use super::remote::Remote;
use crate::{lease_when_woken, open, place, request, supervisors, watch};

#[test]
fn a_request_that_was_refused_before_goes_first() {
    let (_root, environment) = place();
    let mut first = open("sim:1x10GB", &environment);
    let mut second = open("sim:1x10GB", &environment);
    let (_watch, first_is_woken) = watch(&first);
    let (_watch, second_is_woken) = watch(&second);
    let lease = first.try_lease(&request(6)).unwrap();
    assert_eq!(second.try_lease(&request(6)), None);
    first.release(lease.id);
    assert_eq!(first.try_lease(&request(6)), None, "the other run has waited");
    let mut lease = lease_when_woken(&mut second, &second_is_woken, &request(6));
    for _ in 0..10 {
        second.release(lease.id);
        assert_eq!(second.try_lease(&request(6)), None, "it is the first run's turn");
        lease = lease_when_woken(&mut first, &first_is_woken, &request(6));
        first.release(lease.id);
        assert_eq!(first.try_lease(&request(6)), None, "it is the second run's turn");
        lease = lease_when_woken(&mut second, &second_is_woken, &request(6));
    }
    assert!(first.try_lease(&request(2)).is_some(), "there is room beside it");
}

#[test]
fn a_card_is_kept_free_for_a_request_of_another_run_that_needs_all_of_it() {
    let (_root, environment) = place();
    let mut many = open("sim:1x10GB", &environment);
    let mut other = open("sim:1x10GB", &environment);
    let (_watch, woken) = watch(&other);
    let leases = [many.try_lease(&request(2)).unwrap(), many.try_lease(&request(2)).unwrap()];
    let exclusive = LeaseRequest { exclusive: true, ..request(1) };
    assert_eq!(other.try_lease(&exclusive), None);
    for lease in leases {
        assert_eq!(many.try_lease(&request(2)), None, "the card is to be empty for the other run");
        many.release(lease.id);
    }
    assert_eq!(many.try_lease(&request(2)), None);
    let lease = lease_when_woken(&mut other, &woken, &exclusive);
    other.release(lease.id);
    assert!(many.try_lease(&request(2)).is_some());
}

#[test]
fn several_cards_are_kept_free_together() {
    let (_root, environment) = place();
    let mut many = open("sim:3x10GB", &environment);
    let mut other = open("sim:3x10GB", &environment);
    let (_watch, woken) = watch(&other);
    let leases: Vec<_> = (0..3).map(|_| many.try_lease(&request(6)).unwrap()).collect();
    let two = LeaseRequest { devices: 2, ..request(6) };
    assert_eq!(other.try_lease(&two), None);
    many.release(leases[0].id);
    assert_eq!(many.try_lease(&request(6)), None, "one of the two is free");
    many.release(leases[1].id);
    assert_eq!(many.try_lease(&request(6)), None, "both are free");
    let lease = lease_when_woken(&mut other, &woken, &two);
    assert_eq!(many.try_lease(&request(6)), None, "no card is free");
    many.release(leases[2].id);
    assert!(many.try_lease(&request(6)).is_some());
    other.release(lease.id);
}

#[test]
fn a_cpu_slot_goes_to_the_run_that_waits() {
    let (_root, environment) = place();
    let mut many = open("cpu:3", &environment);
    // It uses fewer of the machine's slots.
    let mut other = open("cpu:1", &environment);
    let (_watch, woken) = watch(&other);
    let leases: Vec<_> = (0..3).map(|_| many.try_lease(&request(0)).unwrap()).collect();
    assert_eq!(other.try_lease(&request(0)), None);
    let at = |slot| leases.iter().find(|lease| lease.shares[0].slot == slot).unwrap().id;
    many.end_train(at(2));
    assert!(many.try_lease(&request(0)).is_some(), "the other run does not use this slot");
    many.end_train(at(0));
    assert_eq!(many.try_lease(&request(0)), None);
    lease_when_woken(&mut other, &woken, &request(0));
}

#[test]
fn a_card_of_another_run_is_no_reason_to_wait() {
    let (_root, environment) = place();
    let mut wide = open("sim:2x10GB", &environment);
    let mut narrow = open("sim:1x10GB", &environment);
    let (_watch, woken) = watch(&wide);
    let leases: Vec<_> = (0..2).map(|_| wide.try_lease(&request(6)).unwrap()).collect();
    assert_eq!(narrow.try_lease(&request(6)), None);
    let on = |device: &str| leases.iter().find(|lease| lease.device().to_string() == device).unwrap();
    let (on_first, on_second) = (on("sim:0"), on("sim:1"));
    wide.release(on_second.id);
    let again = wide.try_lease(&request(6)).unwrap();
    wide.release(on_first.id);
    assert_eq!(wide.try_lease(&request(6)), None, "the other run waits for this one");
    let lease = narrow.try_lease(&request(6)).unwrap();
    narrow.release(lease.id);
    lease_when_woken(&mut wide, &woken, &request(6));
    wide.release(again.id);
}

#[test]
fn a_stopped_run_keeps_no_card_free() {
    let (_root, environment) = place();
    let mut pool = open("sim:1x10GB", &environment);
    let (_watch, woken) = watch(&pool);
    let mut remote = Remote::start(&environment, None);
    let lease = pool.try_lease(&request(2)).unwrap();
    // It wants the whole card, so that nothing more would be leased before the task on it has ended.
    assert_eq!(remote.ask("lease 8"), "refused");
    assert_eq!(pool.try_lease(&request(2)), None);
    remote.pause();
    let beside = lease_when_woken(&mut pool, &woken, &request(2));
    pool.release(beside.id);
    pool.release(lease.id);
    let lease = pool.try_lease(&request(6)).unwrap();
    remote.go_on();
    assert_eq!(remote.ask("lease 8"), "refused");
    pool.release(lease.id);
    assert_eq!(pool.try_lease(&request(6)), None, "it is well again, and has waited");
    assert_eq!(remote.ask("lease 8"), "leased");
}

#[test]
fn a_run_that_does_not_take_what_is_free_is_passed_over() {
    let (_root, environment) = place();
    let mut pool = open("sim:1x10GB", &environment);
    let (_watch, woken) = watch(&pool);
    let mut remote = Remote::start(&environment, None);
    let lease = pool.try_lease(&request(6)).unwrap();
    assert_eq!(remote.ask("lease 6"), "refused");
    pool.release(lease.id);
    // The remote does not ask again by itself.
    assert_eq!(pool.try_lease(&request(6)), None);
    for _ in 0..3 {
        let lease = lease_when_woken(&mut pool, &woken, &request(6));
        pool.release(lease.id);
        assert_eq!(pool.try_lease(&request(6)).map(|lease| pool.release(lease.id)), Some(()));
        let lease = pool.try_lease(&request(6)).unwrap();
        assert_eq!(remote.ask("lease 6"), "refused");
        pool.release(lease.id);
        assert_eq!(pool.try_lease(&request(6)), None, "it has asked again");
    }
    assert_eq!(remote.ask("lease 6"), "leased");
}

#[test]
fn a_claim_ends_with_its_run_and_when_it_is_withdrawn() {
    let (_root, environment) = place();
    let mut pool = open("sim:1x10GB", &environment);
    let (_watch, woken) = watch(&pool);
    let mut remote = Remote::start(&environment, None);
    let lease = pool.try_lease(&request(6)).unwrap();
    assert_eq!(remote.ask("lease 6"), "refused");
    pool.release(lease.id);
    assert_eq!(pool.try_lease(&request(6)), None);
    remote.kill();
    let lease = lease_when_woken(&mut pool, &woken, &request(6));

    let mut other = open("sim:1x10GB", &environment);
    assert_eq!(other.try_lease(&request(6)), None);
    pool.release(lease.id);
    assert_eq!(pool.try_lease(&request(6)), None);
    other.withdraw(request(6).holder);
    lease_when_woken(&mut pool, &woken, &request(6));
}

#[test]
fn a_claim_comes_back_with_its_file() {
    let (_root, environment) = place();
    let mut first = open("sim:1x10GB", &environment);
    let mut second = open("sim:1x10GB", &environment);
    let lease = first.try_lease(&request(6)).unwrap();
    let (_watch, woken) = watch(&second);
    assert_eq!(second.try_lease(&request(6)), None);
    // The run that watches may make its file again before all are gone.
    let _ = fs::remove_dir_all(environment.lease_dir.as_ref().unwrap());
    woken.recv_timeout(crate::PATIENCE).unwrap();
    while supervisors(&environment).is_empty() || inventory(&environment).waiting.is_empty() {
        woken.recv_timeout(crate::PATIENCE).unwrap();
    }
    first.release(lease.id);
    assert_eq!(first.try_lease(&request(6)), None);
    assert!(second.try_lease(&request(6)).is_some());
}

/// A run may wait for more kinds of devices than fit into the line of its file.
#[test]
fn a_run_may_wait_for_anything_at_once() {
    let (_root, environment) = place();
    let mut first = open("sim:1x24GB", &environment);
    let mut second = open("sim:1x24GB", &environment);
    let (_watch, woken) = watch(&second);
    let lease = first.try_lease(&request(19)).unwrap();
    let nth = |place: u32| LeaseRequest {
        holder: TaskKey { group: 1, place },
        ..request(u64::from(place % 15) + 1)
    };
    for place in 0..100 {
        assert_eq!(second.try_lease(&nth(place)), None);
    }
    first.release(lease.id);
    assert_eq!(first.try_lease(&request(19)), None);
    woken.recv_timeout(crate::PATIENCE).unwrap();
    let lease = second.try_lease(&nth(0)).unwrap();
    second.release(lease.id);
    assert_eq!(second.try_lease(&nth(1)), None, "it is the first run's turn");
    let lease = first.try_lease(&request(19)).unwrap();
    first.release(lease.id);
    for place in 1..100 {
        let lease = second.try_lease(&nth(place)).unwrap();
        second.release(lease.id);
    }
}

/// A version without claims shares the machine: its files are read, and it is waited for no longer than before.
#[test]
fn a_file_without_claims_is_read() {
    let (_root, environment) = place();
    let mut pool = open("sim:1x10GB", &environment);
    let (_watch, _) = watch(&pool);
    let path = environment.lease_dir.as_ref().unwrap().join("supervisor-1-1-0");
    let line = |text: &str| {
        let body = format!("{text:<1015}");
        format!("{body}{:08x}\n", crc32fast::hash(body.as_bytes()))
    };
    let header = r#"{"fedflow_ledger":1,"world":"","supervisor":{"pid":1,"start":1},"waiting":{"devices":1,"memory":6000000000,"exclusive":false,"since":5}}"#;
    let booking = r#"{"lease":1,"card":"sim-0","memory":4000000000,"exclusive":false,"estimated":true,"training":true,"since":5}"#;
    fs::write(&path, line(header) + &line(booking)).unwrap();
    let held = fs::File::open(&path).unwrap();
    held.lock().unwrap();
    assert_eq!(pool.try_lease(&request(6)), None);
    assert!(pool.try_lease(&request(4)).is_some());
    assert_eq!(pool.warnings(), []);
}
