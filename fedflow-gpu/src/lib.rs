//! The devices of one machine and the leases on them: NVIDIA cards, CPU slots and simulated cards.
//!
//! A program that trains leases a device by memory, and several programs share a card as long as their amounts fit into
//! what is really free. Leases hold between all processes and users of the machine, without a daemon: a lease ends when it
//! is dropped, and at the latest when the process that uses it ends.
//!
//! A lease between two processes, each of which opens the devices for itself. Here both are in one program and know of
//! each other only through the lease directory (`examples/two_processes.rs` really starts a second process):
//!
//! ```
//! use std::time::Duration;
//!
//! use fedflow_gpu::{Config, DeviceEnvironment, Devices, Size};
//!
//! let directory = tempfile::tempdir()?;
//! let lease_dir = Some(directory.path().join("leases"));
//! let environment = DeviceEnvironment { lease_dir, ..DeviceEnvironment::default() };
//! let card = "sim:1x24GB".parse()?;
//! let open = || Devices::open(&card, &Config::default(), &environment);
//! let (first, second) = (open()?, open()?);
//!
//! let lease = first.request(Size::from_gb(16)).lease(Duration::from_secs(60))?;
//! assert!(second.request(Size::from_gb(16)).try_lease()?.is_none(), "the card has 24 GB");
//!
//! let waiting = std::thread::spawn(move || {
//!     let lease = second.request(Size::from_gb(16)).lease(Duration::from_secs(60))?;
//!     Ok::<_, fedflow_gpu::LeaseError>(lease.device())
//! });
//! drop(lease);
//! assert_eq!(waiting.join().expect("it does not panic")?.to_string(), "sim:0");
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! On a machine with cards, `Devices::of_this_machine()` opens them all, and [`HeldLease::spawn`] starts a program that
//! sees its leased card alone.
//!
//! # Leases for a program of one's own
//!
//! [`Devices`] → [`DeviceRequest`] → [`HeldLease`]; [`LeaseError`] says why a request was not granted, and [`LeaseScope`]
//! which processes see a lease.
//!
//! # The devices of a run, for Fedflow's engine
//!
//! [`Pool`] implements the engine's port [`DevicePool`]. [`Pool::start_watch`] wakes the engine when a refused request may
//! succeed, [`LeaseHolders`] names the processes that hold leases, and [`SimulatedMemory`] is what tasks use of simulated
//! cards.
//!
//! # Which devices
//!
//! [`DeviceChoice`] is the text of `--devices`, [`DeviceEnvironment`] the variables that restrict them. [`OpenError`] and
//! [`Warning`] say what is wrong with them: cards are found through NVIDIA's management library, which is loaded when it is
//! needed, so without a driver everything works on CPU slots and simulated cards and says why there is no card.
//!
//! # Looking at devices
//!
//! [`inventory()`] lists all cards of the machine and all leases, whether or not a run may use them. [`TelemetrySampler`]
//! samples how busy, full and warm a pool's devices are.
//!
//! # From `fedflow-core`
//!
//! The types that these items take and return are here too, so that this crate is enough: [`Config`], [`Size`], [`Device`],
//! [`Lease`] and others.

mod device_choice;

mod problems;

mod machine;

mod nvidia;

mod lease_directory;

mod ledger;

mod cards;

mod sampling;

mod pool;

mod devices;

mod inventory;

pub use fedflow_core::{
    Config, Device, DeviceInfo, DevicePool, Lease, LeaseId, LeaseRequest, Pin, Share, Size, TaskKey,
    Unleasable,
};

pub use cards::{SimulatedMemory, SimulatedOom};
pub use device_choice::{ChoiceError, DeviceChoice};
pub use devices::{DeviceRequest, Devices, HeldLease, LeaseError};
pub use inventory::{
    CardReport, Inventory, InventorySource, LeaseReport, MemoryReport, ProcessReport, WaitReport, inventory,
};
pub use lease_directory::{LeaseScope, LedgerError, LedgerFault};
pub use machine::DeviceEnvironment;
pub use nvidia::{CardError, CardRole, HiddenCards, NoDriver};
pub use pool::{LeaseHolders, Opened, Pool, ReleaseWatch, slots_beside};
pub use problems::{NoCards, OpenError, Warning};
pub use sampling::{TelemetrySampler, TelemetrySource};
