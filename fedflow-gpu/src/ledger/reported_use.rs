//! `ReportedUse`: the memory that lease holders report to use, across all runs of one ledger.
//!
//! Only simulated cards need it: a real card knows what is used of it.

use std::sync::Arc;

use fedflow_core::{LeaseId, Size};

use super::card_key::CardKey;
use super::own_bookings::OwnBookings;
use super::survey::Survey;
use crate::lease_directory::Directory;
use crate::machine::probe_world;

/// One supervisor's view of what is used of the cards of its ledger.
#[derive(Debug)]
pub(crate) struct ReportedUse {
    directory: Directory,
    own: Arc<OwnBookings>,
    world: String,
}

impl ReportedUse {
    pub(super) fn new(directory: Directory, own: Arc<OwnBookings>) -> Self {
        Self { directory, own, world: probe_world() }
    }

    /// Reports what the holder of a lease uses of each of its cards; `None`: nothing any more.
    pub(crate) fn set(&self, lease: LeaseId, used: Option<Size>) {
        self.own.set_used(lease, used);
    }

    /// What holders of other supervisors' leases report to use of a card. Files that cannot be read count as nothing
    /// here; they keep leases from being granted, and are reported there.
    pub(crate) fn of_others(&self, card: &CardKey) -> Size {
        let own = self.own.name();
        let survey = Survey::take(&self.directory, Some(&own), &self.world).unwrap_or_default();
        survey.used_of(&card.card)
    }
}
