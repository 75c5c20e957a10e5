//! The devices of one machine and the leases on them: NVIDIA cards, CPU slots and simulated cards.
//!
//! A [`Pool`] is what a run leases from. It is opened for a [`DeviceChoice`] (the text of `--devices`) and
//! implements [`DevicePool`](fedflow_core::DevicePool). Several tasks share a card while the memory that they ask
//! for fits into what is really free, memory of other people's processes included. [`inventory`] tells what
//! cards there are, whether or not a run may use them.
//!
//! Cards are found through NVIDIA's management library, which is loaded when it is needed: without a driver
//! everything here works on CPU slots and simulated cards, and says why there is no card.
//!
//! ```
//! use fedflow_core::{Config, DevicePool};
//! use fedflow_gpu::{DeviceChoice, DeviceEnvironment, Pool};
//!
//! let choice: DeviceChoice = "sim:2x24GB".parse()?;
//! let opened = Pool::open(&choice, &Config::default(), &DeviceEnvironment::default())?;
//! assert_eq!(opened.pool.devices().len(), 2);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod machine;

mod choice;

mod nvml;

mod visible;

mod ledger;

mod telemetry;

mod pool;

mod inventory;

pub use choice::{ChoiceError, DeviceChoice};
pub use inventory::{
    CardReport, Inventory, InventorySource, LeaseReport, MemoryReport, ProcessReport, WaitReport, inventory,
};
pub use ledger::{Fault, LedgerError};
pub use machine::DeviceEnvironment;
pub use nvml::{CardError, CardRole, NoDriver};
pub use pool::{
    CardChanges, CardWatch, DeviceWatch, LeaseHolders, NoCards, OpenError, Opened, Pool, SimulatedMemory,
    SimulatedOom, Warning,
};
pub use telemetry::{TelemetrySampler, TelemetrySource};
pub use visible::HiddenCards;
