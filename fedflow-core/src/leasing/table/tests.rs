//! Shares of devices: none is ever overbooked, and what is refused could not be met.

use proptest::prelude::*;

use super::*;
use crate::leasing::claim::{Claim, Foreseen};

fn table() -> LeaseTable {
    let mut table = LeaseTable::new(1);
    let info = DeviceInfo {
        device: Device::Sim(0),
        uuid: None,
        name: "card".into(),
        memory: Some(Size::from_gb(10)),
    };
    table.add(info, Some(Size::from_gb(10)));
    table
}

fn request(gigabytes: u64) -> LeaseRequest {
    LeaseRequest::new(TaskKey { group: 1, place: 0 }, Size::from_gb(gigabytes))
}

#[test]
fn a_limit_in_the_way_is_named_with_the_value_that_would_do() {
    let cards = [DeviceInfo::simulated(0, Size::from_gb(24))];
    let mut config = Config::default();
    let refused = |config: &Config, gigabytes| {
        let error = LeaseTable::of_devices(&cards, config).check(&request(gigabytes));
        error.err().map(|error| error.to_string()).unwrap_or_default()
    };
    assert_eq!(refused(&config, 22), "", "alone on the card");
    assert_eq!(
        refused(&config, 23),
        "23GB on a card is more than any card may lease; the largest share is 22GB, as \
         remain-limit.cuda-memory leaves no more; with \"1GB\" it would fit"
    );
    assert!(refused(&config, 25).ends_with("the largest share is 22GB"));
    config.set("remain-limit.cuda-memory", &"1GB".into()).unwrap();
    assert_eq!(refused(&config, 23), "");
    config.set("utilization-limit.cuda-memory", &0.1.into()).unwrap();
    assert_eq!(refused(&config, 23), "", "no share of it keeps the only task from starting");
}

#[test]
fn a_lease_that_is_alone_may_be_booked_more() {
    let limits = CardLimits { shared: Size::from_gb(8), alone: Size::from_gb(9), whole: Size::from_gb(10) };
    let mut table = LeaseTable::new(1);
    table.add_card(DeviceInfo::simulated(0, Size::from_gb(10)), Some(limits));
    let first = table.try_lease(&request(2)).unwrap();
    assert!(table.rebook(first.id, Size::from_gb(9)));
    assert_eq!(table.try_lease(&request(0)), None, "it has more than leases may have together");
    assert!(table.rebook(first.id, Size::from_gb(2)));
    let second = table.try_lease(&request(2)).unwrap();
    assert!(!table.rebook(first.id, Size::from_gb(7)));
    table.release(second.id);
    assert!(table.rebook(first.id, Size::from_gb(7)));
    assert_eq!(table.sanity_check(), Ok(()));
}

#[test]
fn slots_beside_cards_are_only_for_what_is_pinned_to_the_cpu() {
    let mut table = table().with_slots_beside(2);
    assert_eq!((table.devices().len(), table.slots_beside()), (1, 2));
    let on_cpu = |place| LeaseRequest {
        holder: TaskKey { group: 1, place },
        pin: Some(Pin::Device(Device::Cpu)),
        exclusive: true,
        ..request(900)
    };
    assert_eq!(table.check(&on_cpu(1)), Ok(()));
    let card = table.try_lease(&LeaseRequest { exclusive: true, ..request(1) }).unwrap();
    assert_eq!(table.try_lease(&request(1)), None, "no slot is a card");
    let slots: Vec<Lease> = (1..=2).map(|place| table.try_lease(&on_cpu(place)).unwrap()).collect();
    assert_eq!(slots.iter().map(|lease| lease.shares[0].slot).collect::<Vec<_>>(), [0, 1]);
    assert_eq!((slots[0].device(), slots[0].device_seen), (Device::Cpu, Device::Cpu));
    assert_eq!(table.try_lease(&on_cpu(3)), None, "all slots are taken");
    table.end_train(slots[0].id);
    assert!(table.try_lease(&on_cpu(3)).is_some());
    let two = LeaseRequest { devices: 3, ..on_cpu(4) };
    assert_eq!(table.check(&two), Err(Unleasable::TooMany { needed: 3, available: 2 }));
    // What waits for slots keeps no card free, and the other way round.
    let waits = LeaseRequest { devices: 2, hold: true, ..on_cpu(5) };
    assert_eq!(table.try_lease(&waits), None);
    let large = LeaseRequest { holder: TaskKey { group: 1, place: 6 }, hold: true, ..request(10) };
    assert_eq!(table.try_lease(&large), None);
    table.release(card.id);
    assert_eq!(table.try_lease(&request(1)), None, "the card is kept free");
    assert!(table.try_lease(&large).is_some());
    table.drop_device(Device::Sim(0));
    assert_eq!(table.check(&request(1)), Err(Unleasable::NoneLeft));
    assert_eq!(table.check(&on_cpu(1)), Ok(()));
    assert_eq!(LeaseTable::of_cpu_slots(2).with_slots_beside(4).slots_beside(), 0);
}

#[test]
fn leases_of_other_runs_count_as_own_ones_do() {
    let mut table = table();
    let others = OtherRuns { memory: Size::from_gb(6), training: 1, ..OtherRuns::default() };
    table.set_others(0, others);
    assert_eq!(table.try_lease(&request(5)), None, "no room");
    assert_eq!(table.try_lease(&LeaseRequest { exclusive: true, ..request(1) }), None, "not alone");
    assert_eq!(
        table.try_lease(&LeaseRequest { estimated: false, ..request(1) }),
        None,
        "unknown, and not alone"
    );
    let lease = table.try_lease(&request(4)).unwrap();
    assert_eq!(table.places(lease.id), [0]);
    table.release(lease.id);
    assert!(table.places(lease.id).is_empty());

    table.set_others(0, OtherRuns { unestimated: 1, ..others });
    assert_eq!(table.try_lease(&request(1)), None, "one without an estimate might need anything");
    table.set_others(0, OtherRuns { exclusive: true, ..others });
    assert_eq!(table.try_lease(&request(1)), None);
    table.set_others(0, OtherRuns { training: 0, resident: 1, ..others });
    assert_eq!(table.try_lease(&LeaseRequest { exclusive: true, ..request(1) }), None);
    table.set_others(0, OtherRuns::default());
    assert!(table.try_lease(&LeaseRequest { exclusive: true, ..request(9) }).is_some());
}

#[test]
fn a_slot_that_another_run_has_is_taken() {
    let mut table = LeaseTable::of_cpu_slots(2);
    table.set_others(0, OtherRuns { training: 1, ..OtherRuns::default() });
    let lease = table.try_lease(&request(1)).unwrap();
    assert_eq!((lease.shares[0].slot, table.places(lease.id)), (1, vec![1]));
    assert_eq!(table.try_lease(&request(1)), None);
}

#[test]
fn a_card_full_of_other_runs_leases_can_be_kept_back() {
    let mut table = table();
    table.set_others(0, OtherRuns { memory: Size::from_gb(8), training: 1, ..OtherRuns::default() });
    let waiter = TaskKey { group: 1, place: 7 };
    assert_eq!(table.try_lease(&LeaseRequest { holder: waiter, hold: true, ..request(9) }), None);
    assert_eq!(table.try_lease(&request(1)), None, "it would fit, but another has waited longer");
    table.withdraw(waiter);
    assert!(table.try_lease(&request(1)).is_some());
}

fn claim(request: LeaseRequest, cards: usize) -> Claim {
    let limits = Some(Size::from_gb(10).into());
    Claim {
        request,
        cards: (0..cards).map(|place| (place, limits)).collect(),
        max_per_device: 1,
        replaced: None,
    }
}

#[test]
fn what_is_set_aside_for_a_claim_is_not_leased() {
    let mut table = table();
    let now = claim(request(6), 1);
    let foreseen = table.aside().foresee(&now, true);
    assert_eq!(foreseen, Foreseen::Now(vec![0]));
    table.aside().add(&now, &foreseen);
    assert_eq!(table.try_lease(&request(5)), None);
    assert!(table.fits_beside_claims(&request(5)));
    let lease = table.try_lease(&request(4)).unwrap();
    table.aside().clear();

    let later = claim(request(7), 1);
    let foreseen = table.aside().foresee(&later, true);
    assert_eq!(foreseen, Foreseen::Later(vec![0]));
    table.aside().add(&later, &foreseen);
    assert_eq!(table.try_lease(&request(1)), None, "the card is to be emptied");
    table.end_train(lease.id);
    table.aside().clear();
    assert_eq!(table.aside().foresee(&later, true), Foreseen::Unclear(vec![0]), "its process may stay");
    let replaces = Claim { replaced: Some(Size::from_gb(4)), ..later };
    assert_eq!(table.aside().foresee(&replaces, true), Foreseen::Now(vec![0]), "it is its own process");
    assert_eq!(table.aside().foresee(&claim(request(11), 1), true), Foreseen::Never);
    let two = claim(LeaseRequest { devices: 2, ..request(1) }, 1);
    assert_eq!(table.aside().foresee(&two, true), Foreseen::Never);
}

#[test]
fn a_claim_that_comes_after_the_own_longest_waiter_gets_none_of_its_cards() {
    let mut table = table();
    let lease = table.try_lease(&request(6)).unwrap();
    let waiter = TaskKey { group: 1, place: 7 };
    assert_eq!(table.try_lease(&LeaseRequest { holder: waiter, hold: true, ..request(9) }), None);
    assert_eq!(table.aside().foresee(&claim(request(2), 1), false), Foreseen::Now(vec![0]));
    assert_eq!(table.aside().foresee(&claim(request(2), 1), true), Foreseen::Never);
    table.release(lease.id);
}

proptest! {
    /// What is leased and what is set aside are together never too much, and nothing is set aside for what cannot come.
    #[test]
    fn leases_and_claims_never_overbook_a_card(
        cards in 1_usize..4,
        asked in prop::collection::vec((1_u64..11, 1_u32..3, any::<bool>(), any::<bool>(), 0_u8..3), 1..12),
    ) {
        let mut table = LeaseTable::new(1);
        for ordinal in 0..cards {
            let info = DeviceInfo::simulated(u32::try_from(ordinal).unwrap(), Size::from_gb(10));
            table.add(info, Some(Size::from_gb(10)));
        }
        for (gigabytes, devices, exclusive, estimated, kind) in asked {
            let request = LeaseRequest { devices, exclusive, estimated, ..request(gigabytes) };
            if kind > 0 {
                table.try_lease(&request);
            } else {
                let claim = claim(request, cards);
                let foreseen = table.aside().foresee(&claim, true);
                table.aside().add(&claim, &foreseen);
            }
            for card in &table.cards {
                let all = card.others.and(card.aside);
                prop_assert!(card.booked() + all.memory <= Size::from_gb(10));
                let trains = card.training() + all.training;
                let alone = all.exclusive || card.holders.values().any(|holder| holder.exclusive);
                prop_assert!(!alone || trains == 1, "{:?}", card);
                let unknown = all.unestimated + card.holders.values().filter(|holder| !holder.estimated).count();
                prop_assert!(unknown == 0 || trains == 1, "{:?}", card);
            }
        }
    }
}
