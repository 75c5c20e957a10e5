//! `OpenDevices`: finds the devices that were chosen and opens their ledger.

use std::num::NonZero;

use fedflow_core::{Config, DeviceInfo, LeaseTable, Pin, Size};

use super::device_kind::DeviceKind;
use crate::cards::{CardRank, RealCards, SimulatedMemory, sort_by_priority};
use crate::device_choice::DeviceChoice;
use crate::lease_directory::{Directory, LeaseScope};
use crate::ledger::{CardKey, Ledger};
use crate::machine::DeviceEnvironment;
use crate::problems::{OpenError, Warning};

/// What a pool is made of.
pub(super) struct OpenDevices {
    pub(super) table: LeaseTable,
    pub(super) kind: DeviceKind,
    /// Where leases are booked; `None` if the devices belong to this process alone.
    pub(super) ledger: Option<Ledger>,
    pub(super) scope: LeaseScope,
    /// Whether CPU slots beside cards are booked as well.
    pub(super) shares_slots: bool,
    pub(super) warnings: Vec<Warning>,
}

impl OpenDevices {
    /// Opens the devices that were chosen. With [`DeviceChoice::Auto`], the text says why they are CPU slots, if so.
    pub(super) fn open(
        choice: &DeviceChoice,
        config: &Config,
        environment: &DeviceEnvironment,
    ) -> Result<(Self, Option<String>), OpenError> {
        let slots = choice.slots_beside().unwrap_or_else(default_slots);
        let devices = match choice.devices() {
            DeviceChoice::Auto => match Self::of_cards(None, slots, config, environment) {
                Ok(cards) => cards,
                Err(error @ OpenError::Ledger(_)) => return Err(error),
                Err(reason) => {
                    let plural = if slots == 1 { "" } else { "s" };
                    let note = format!("using {slots} CPU slot{plural}: {reason}");
                    return Ok((Self::of_cpu_slots(slots, environment)?, Some(note)));
                }
            },
            DeviceChoice::Cpu(slots) => Self::of_cpu_slots(slots.unwrap_or_else(default_slots), environment)?,
            DeviceChoice::Sim(sizes) => Self::of_simulated(sizes, slots, config, environment)?,
            DeviceChoice::AllCards => Self::of_cards(None, slots, config, environment)?,
            DeviceChoice::Cards(pins) => Self::of_cards(Some(pins), slots, config, environment)?,
            // The devices of a choice are none with slots.
            DeviceChoice::WithSlots(..) => return Self::open(choice.devices(), config, environment),
        };
        Ok((devices, None))
    }

    fn of_cpu_slots(slots: u32, environment: &DeviceEnvironment) -> Result<Self, OpenError> {
        Self::new(LeaseTable::of_cpu_slots(slots), DeviceKind::Cpu, Vec::new()).booked_in(environment)
    }

    fn of_simulated(
        sizes: &[Size],
        slots: u32,
        config: &Config,
        environment: &DeviceEnvironment,
    ) -> Result<Self, OpenError> {
        let mut table = LeaseTable::new(config.scheduler.max_per_device);
        let mut cards: Vec<(u32, Size)> = (0..).zip(sizes.iter().copied()).collect();
        sort_by_priority(&mut cards, config.gpu_priority, |(ordinal, size)| CardRank {
            place: *ordinal,
            total: Some(*size),
            free: Some(*size),
            speed: None,
        });
        for (ordinal, size) in cards {
            let info = DeviceInfo::simulated(ordinal, size);
            table.add_card(info, Some(config.card_limits(size, Size::ZERO)));
        }
        let kind = DeviceKind::Simulated(SimulatedMemory::new(&table.devices(), None));
        Self::new(table.with_slots_beside(slots), kind, Vec::new()).booked_in(environment)
    }

    fn of_cards(
        pins: Option<&[Pin]>,
        slots: u32,
        config: &Config,
        environment: &DeviceEnvironment,
    ) -> Result<Self, OpenError> {
        let mut table = LeaseTable::new(config.scheduler.max_per_device);
        let mut warnings = Vec::new();
        let cards = RealCards::open(pins, config, environment, &mut table, &mut warnings);
        let cards = cards.map_err(|error| named(pins, error))?;
        Self::new(table.with_slots_beside(slots), DeviceKind::Cards(cards), warnings).booked_in(environment)
    }

    /// Devices that belong to this process alone.
    fn new(table: LeaseTable, kind: DeviceKind, warnings: Vec<Warning>) -> Self {
        Self { table, kind, ledger: None, scope: LeaseScope::Process, shares_slots: false, warnings }
    }

    /// Opens the ledger if the devices are shared with other processes.
    fn booked_in(mut self, environment: &DeviceEnvironment) -> Result<Self, OpenError> {
        if !matches!(self.kind, DeviceKind::Cards(_)) && environment.lease_dir.is_none() {
            return Ok(self);
        }
        let directory = Directory::open(environment)?;
        self.scope = directory.scope();
        if self.scope == LeaseScope::User {
            self.warnings.push(Warning::NotShared(directory.path().into()));
        }
        let devices = self.table.devices();
        // CPU slots belong to one run, unless the user has said where leases are shared.
        self.shares_slots = environment.lease_dir.is_some();
        let slots = if self.shares_slots { self.table.slots_beside() as usize } else { 0 };
        let cards = devices.iter().enumerate().map(|(place, info)| CardKey::of(info, place));
        let slots = (0..slots).map(|number| CardKey::of(&DeviceInfo::cpu_slot(), number));
        let keys = cards.chain(slots).collect();
        let ledger = Ledger::open(directory, keys)?;
        if let DeviceKind::Simulated(memory) = &mut self.kind {
            *memory = SimulatedMemory::new(&devices, Some(ledger.reported_use()));
        }
        self.ledger = Some(ledger);
        Ok(self)
    }
}

/// How many CPU slots there are beside the cards of a choice, given as its text.
#[must_use]
pub fn slots_beside(choice: &str) -> u32 {
    let chosen = choice.parse().ok().and_then(|choice: DeviceChoice| choice.slots_beside());
    chosen.unwrap_or_else(default_slots)
}

/// An error that says which cards were asked for.
fn named(pins: Option<&[Pin]>, error: OpenError) -> OpenError {
    match (pins, error) {
        (Some(pins), OpenError::NoCards(reason)) => {
            let pins: Vec<String> = pins.iter().map(ToString::to_string).collect();
            OpenError::NoneOfCards { pins: pins.join(", "), reason }
        }
        (_, error) => error,
    }
}

/// As many slots as the process may use cores: its affinity and its container's limit count.
fn default_slots() -> u32 {
    let cores = std::thread::available_parallelism().map_or(1, NonZero::get);
    u32::try_from(cores).unwrap_or(u32::MAX)
}
