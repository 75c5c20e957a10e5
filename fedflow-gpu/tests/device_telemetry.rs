//! Telemetry of simulated cards, and of real cards that a stand-in for NVIDIA's library plays.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::sync::mpsc;
use std::time::Duration;

use fedflow_core::{Config, Device, DevicePool, DeviceSample, LeaseRequest, Size, TaskKey};
use fedflow_gpu::{DeviceChoice, DeviceEnvironment, Pool, TelemetrySampler};
use nvml_stand_in::{Card, Code, Script, StandIn};

const GB: u64 = 1_000_000_000;

fn open(choice: &str, environment: &DeviceEnvironment) -> Pool {
    Pool::open(&choice.parse::<DeviceChoice>().unwrap(), &Config::default(), environment).unwrap().pool
}

fn environment(stand_in: &StandIn) -> DeviceEnvironment {
    DeviceEnvironment {
        nvml_library: Some(stand_in.library().into()),
        lease_dir: Some(stand_in.library().with_file_name("leases")),
        ..DeviceEnvironment::default()
    }
}

fn request(gigabytes: u64) -> LeaseRequest {
    LeaseRequest {
        pin: Some("cuda:0".parse().unwrap()),
        ..LeaseRequest::new(TaskKey { group: 1, place: 0 }, Size::from_gb(gigabytes))
    }
}

fn busy(uuid: &str) -> Card {
    Card {
        utilization: Some(87),
        temperature: Some(61),
        power: Some(231_500),
        ..Card::new(uuid, 24 * GB).using(5 * GB)
    }
}

#[test]
fn a_sample_shows_what_a_card_reports() {
    let stand_in = StandIn::install(&Script::of([busy("GPU-a"), Card::new("GPU-b", 8 * GB)])).unwrap();
    let mut pool = open("cuda", &environment(&stand_in));
    let mut source = pool.telemetry().unwrap();
    let lease = pool.try_lease(&request(3)).unwrap();
    let seen = source.sample();
    let expected = DeviceSample {
        device: Device::Cuda(0),
        utilization: Some(87.0),
        memory_used: Some(Size::from_gb(5)),
        memory_booked: Some(Size::from_gb(3)),
        memory_total: Some(Size::from_gb(24)),
        power: Some(231.5),
        temperature: Some(61.0),
        lost: None,
    };
    assert_eq!(seen[0], expected);
    assert_eq!((seen[1].utilization, seen[1].memory_booked), (Some(0.0), Some(Size::ZERO)));

    pool.end_train(lease.id);
    assert_eq!(source.sample()[0].memory_booked, Some(Size::from_gb(3)), "its process keeps it");
    pool.release(lease.id);
    stand_in.play(&Script::of([Card { utilization: Some(3), ..busy("GPU-a") }, busy("GPU-b")])).unwrap();
    let seen = source.sample();
    assert_eq!((seen[0].utilization, seen[0].memory_booked), (Some(3.0), Some(Size::ZERO)));
}

#[test]
fn a_value_that_a_card_does_not_report_is_absent() {
    let silent = Card { utilization: None, power: None, temperature: None, ..Card::new("GPU-a", 24 * GB) };
    let shy = busy("GPU-b")
        .failing("nvmlDeviceGetPowerUsage", Code::NoPermission)
        .failing("nvmlDeviceGetTemperature", Code::Unknown);
    let stand_in = StandIn::install(&Script::of([silent, shy])).unwrap();
    let mut source = open("cuda", &environment(&stand_in)).telemetry().unwrap();
    let seen = source.sample();
    assert_eq!((seen[0].utilization, seen[0].power, seen[0].temperature), (None, None, None));
    assert_eq!(seen[0].memory_used, Some(Size::ZERO), "a reported zero is not absent");
    let of_second = (seen[1].utilization, seen[1].power, seen[1].temperature);
    assert_eq!(of_second, (Some(87.0), None, None), "one value that fails does not hide the others");
    assert_eq!((&seen[0].lost, &seen[1].lost), (&None, &None));
}

#[test]
fn a_library_without_a_function_leaves_its_value_out() {
    let stand_in = StandIn::install(&Script::of([busy("GPU-a")])).unwrap();
    let stand_in = stand_in.without("nvmlDeviceGetUtilizationRates").unwrap();
    let seen = open("cuda", &environment(&stand_in)).telemetry().unwrap().sample();
    assert_eq!((seen[0].utilization, seen[0].power), (None, Some(231.5)));
}

#[test]
fn a_lost_card_is_reported_once_and_the_others_go_on() {
    let stand_in = StandIn::install(&Script::of([busy("GPU-a"), busy("GPU-b")])).unwrap();
    let mut source = open("cuda", &environment(&stand_in)).telemetry().unwrap();
    assert_eq!(source.sample().len(), 2);
    let lost = busy("GPU-a").failing("*", Code::GpuIsLost);
    stand_in.play(&Script::of([lost, busy("GPU-b")])).unwrap();
    let seen = source.sample();
    assert!(seen[0].lost.as_deref().is_some_and(|why| why.contains("bus")), "{seen:?}");
    assert_eq!((seen[0].utilization, seen[0].memory_used), (None, None));
    assert_eq!(seen[1].utilization, Some(87.0));
    let after = source.sample();
    assert_eq!(after.len(), 1);
    assert_eq!(after[0].device, Device::Cuda(1));
}

#[test]
fn simulated_cards_report_what_is_booked_and_slots_report_nothing() {
    let mut pool = open("sim:1x10GB", &DeviceEnvironment::default());
    let mut source = pool.telemetry().unwrap();
    pool.try_lease(&request(3)).unwrap();
    let expected = DeviceSample {
        memory_booked: Some(Size::from_gb(3)),
        memory_total: Some(Size::from_gb(10)),
        ..DeviceSample::unknown(Device::Sim(0))
    };
    assert_eq!(source.sample(), [expected]);
    assert!(open("cpu:4", &DeviceEnvironment::default()).telemetry().is_none());
}

#[test]
fn the_thread_samples_until_it_is_dropped_and_once_more() {
    let pool = open("sim:1x10GB", &DeviceEnvironment::default());
    let (told, seen) = mpsc::channel();
    let source = pool.telemetry().unwrap();
    let sampler = TelemetrySampler::start(source, Duration::from_millis(1), move |samples| {
        let _ = told.send(samples.len());
    })
    .unwrap();
    // Waits for the thread, not for some time.
    assert_eq!(seen.iter().take(3).collect::<Vec<_>>(), [1, 1, 1]);
    drop(sampler);
    assert!(seen.iter().all(|count| count == 1), "the iterator ends, because the thread has ended");
    // The drop does not wait for the interval.
    let (told, seen) = mpsc::channel();
    let source = pool.telemetry().unwrap();
    let sampler = TelemetrySampler::start(source, Duration::from_secs(3600), move |samples| {
        let _ = told.send(samples.len());
    });
    drop(sampler.unwrap());
    assert_eq!(seen.iter().count(), 2);
}
