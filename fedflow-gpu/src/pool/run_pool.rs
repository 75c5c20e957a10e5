//! `Pool`: the devices of one run, and everything about them but leasing.

use std::io;
use std::time::Duration;

use fedflow_core::{Config, DeviceInfo, LeaseTable, Size, TaskKey};

use super::device_kind::DeviceKind;
use super::lease_environment::{no_cards, these_cards};
use super::lease_holders::LeaseHolders;
use super::opening::OpenDevices;
use super::release_watch::{ReleaseWatch, Watched};
use super::warning_log::WarningLog;
use crate::cards::{CardMonitor, MemoryMeter, RealCards, SimulatedMemory};
use crate::device_choice::DeviceChoice;
use crate::lease_directory::LeaseScope;
use crate::ledger::Ledger;
use crate::machine::DeviceEnvironment;
use crate::problems::{OpenError, Warning};
use crate::sampling::{BookedMemory, TelemetrySource};

/// The devices of one run and the leases on them: what the engine leases from.
///
/// A request is answered at once. On real cards that takes a few calls of NVIDIA's library (microseconds to
/// milliseconds), because a card's free memory is read before each lease.
///
/// Leases of real cards are booked in the machine's ledger, so that runs of all users together never lease more of a
/// card than there is; with `FEDFLOW_LEASE_DIR` so are leases of simulated cards and CPU slots. A request that is refused
/// because of other runs can succeed when one of them releases something. [`Pool::start_watch`] says when to repeat it;
/// [`Devices`](crate::Devices), which blocks until a lease is granted, does both by itself.
#[derive(Debug)]
pub struct Pool {
    /// Invariant: holds the devices of `kind`, those that were dropped included.
    pub(super) table: LeaseTable,
    pub(super) kind: DeviceKind,
    /// Where leases are booked; `None` if the devices belong to this process alone.
    pub(super) ledger: Option<Ledger>,
    pub(super) scope: LeaseScope,
    /// Whether CPU slots beside cards are booked as well.
    pub(super) shares_slots: bool,
    pub(super) log: WarningLog,
    /// What telemetry reads of the table.
    pub(super) booked: BookedMemory,
}

/// A pool that was opened.
#[derive(Debug)]
pub struct Opened {
    /// The pool.
    pub pool: Pool,
    /// With [`DeviceChoice::Auto`]: a line for people that says why CPU slots are used instead of cards.
    pub note: Option<String>,
}

impl Pool {
    /// Opens the devices that were chosen.
    ///
    /// [`DeviceChoice::Auto`] always finds devices: without a usable card there are as many CPU slots as the process may
    /// use cores, and [`Opened::note`] says why.
    ///
    /// # Errors
    /// Cards were chosen that do not exist or cannot be used, or leases cannot be booked.
    pub fn open(
        choice: &DeviceChoice,
        config: &Config,
        environment: &DeviceEnvironment,
    ) -> Result<Opened, OpenError> {
        let (devices, note) = OpenDevices::open(choice, config, environment)?;
        let OpenDevices { table, kind, ledger, scope, shares_slots, warnings } = devices;
        let (log, booked) = (WarningLog::new(warnings), BookedMemory::of_table(&table));
        Ok(Opened { pool: Self { table, kind, ledger, scope, shares_slots, log, booked }, note })
    }

    /// The environment of a process that is started before it is leased a device: it shows all visible cards, numbered
    /// as the run numbers them; or none, so that a task on a CPU slot never touches a card.
    #[must_use]
    pub fn base_environment(&self) -> Vec<(String, String)> {
        match self.kind.cards() {
            None => no_cards(),
            Some(cards) => these_cards(cards.visible()),
        }
    }

    /// Variables that hide all cards from a process: for tasks that are pinned to the CPU.
    #[must_use]
    pub fn environment_on_cpu(&self) -> Vec<(String, String)> {
        no_cards()
    }

    /// Which processes see the leases of this pool.
    #[must_use]
    pub fn lease_scope(&self) -> LeaseScope {
        self.scope
    }

    /// What people should know of the devices, in the order in which it was found. The list grows while leases are
    /// asked for, as cards fail.
    #[must_use]
    pub fn warnings(&self) -> &[Warning] {
        &self.log.warnings
    }

    /// Calls `tell` for each warning: now for those there are, and later for each new one, on the thread that asks for a
    /// lease. It must not block.
    pub fn tell_warnings(&mut self, tell: impl Fn(&Warning) + Send + 'static) {
        self.log.listen(tell);
    }

    /// Watches from a thread of its own for whatever may let a refused request succeed: another run that releases
    /// something or dies, memory that foreign programs free (cards are read each `interval`), a card that fails. It calls
    /// `on_change` then, which must not block. `None` if there is nothing to watch. The watch ends when the value is
    /// dropped.
    ///
    /// # Errors
    /// The system gives no thread or timer.
    pub fn start_watch(
        &self,
        interval: Duration,
        on_change: impl Fn() + Send + 'static,
    ) -> io::Result<Option<ReleaseWatch>> {
        // Without a ledger no other run has these devices. Real cards are always booked in one.
        let Some(ledger) = &self.ledger else { return Ok(None) };
        let watched = Watched { alarm: ledger.alarm(), own: ledger.own(), cards: self.card_monitor() };
        ReleaseWatch::start(watched, interval, on_change).map(Some)
    }

    /// What telemetry reads of the devices; `None` if no device reports anything.
    #[must_use]
    pub fn telemetry(&self) -> Option<TelemetrySource> {
        let driver = self.kind.cards().map(RealCards::driver);
        TelemetrySource::new(driver, self.usable_devices(), self.booked.clone(), self.simulated_memory())
    }

    /// Names the processes that hold leases; `None` if no other run needs to know them.
    #[must_use]
    pub fn holders(&self) -> Option<LeaseHolders> {
        let meter = self.meter().cloned();
        self.ledger.as_ref().map(|ledger| LeaseHolders { own: ledger.own(), meter })
    }

    /// Shows which run leases from this pool to those that wait for what it holds.
    pub fn show_run(&self, run: &str) {
        if let Some(ledger) = &self.ledger {
            ledger.show_run(run);
        }
    }

    /// Sets how long memory of a real card may stay in use after the process that leased it has ended; 10 s unless it is
    /// set. Memory that is still in use then is quarantined: it is not leased until it is free.
    pub fn set_unreleased_bound(&mut self, bound: Duration) {
        if let DeviceKind::Cards(cards) = &mut self.kind {
            cards.set_unreleased_bound(bound);
        }
    }

    /// The most memory of one card that a lease can have which is alone there; `None` if no device has memory.
    #[must_use]
    pub fn largest_alone(&self) -> Option<Size> {
        self.table.largest_alone()
    }

    /// Sets for how long booking may fail, as when the ledger's directory cannot be made again; 30 s unless it is set.
    /// After that, requests can never be met.
    pub fn set_ledger_patience(&mut self, patience: Duration) {
        if let Some(ledger) = &mut self.ledger {
            ledger.set_patience(patience);
        }
    }

    /// What tasks use of simulated cards; `None` if the devices are not simulated cards.
    #[must_use]
    pub fn simulated_memory(&self) -> Option<SimulatedMemory> {
        match &self.kind {
            DeviceKind::Simulated(memory) => Some(memory.clone()),
            DeviceKind::Cpu | DeviceKind::Cards(_) => None,
        }
    }

    /// The most that a task has used of a card's memory in this session; `None` if it is not known. Only simulated cards
    /// report it.
    #[must_use]
    pub fn used_by(&self, task: TaskKey) -> Option<Size> {
        self.simulated_memory()?.used_by(task)
    }

    /// The devices, without dropped cards.
    pub(super) fn usable_devices(&self) -> Vec<DeviceInfo> {
        let mut devices = self.table.devices();
        if let Some(cards) = self.kind.cards() {
            devices.retain(|info| cards.is_usable(info.device));
        }
        // The table is in the order of preference; people look for numbers.
        devices.sort_by_key(|info| info.device);
        devices
    }

    /// Finds changes of real cards that cause no event.
    pub(crate) fn card_monitor(&self) -> Option<CardMonitor> {
        self.kind.cards().map(RealCards::monitor)
    }

    pub(super) fn meter(&self) -> Option<&MemoryMeter> {
        self.kind.cards().map(RealCards::meter)
    }
}
