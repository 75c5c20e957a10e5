//! `Usage`: what holders of leases say that they really use, told and asked through the ledger.
//!
//! Only simulated cards need it: a real card knows by itself what is used of it.

use std::sync::Arc;

use fedflow_core::{LeaseId, Size};

use super::directory::Directory;
use super::survey::Survey;
use super::{CardKey, Own};
use crate::machine::probe_world;

/// One supervisor's view of what is used of the cards of its ledger.
#[derive(Debug)]
pub(crate) struct Usage {
    directory: Directory,
    own: Arc<Own>,
    world: String,
}

impl Usage {
    pub(super) fn new(directory: Directory, own: Arc<Own>) -> Self {
        Self { directory, own, world: probe_world() }
    }

    /// Says what the holder of a lease uses of each of its cards.
    pub(crate) fn set(&self, lease: LeaseId, used: Option<Size>) {
        self.own.with(|own| own.set_used(lease, used));
    }

    /// What holders of other supervisors' leases say that they use of a card. What cannot be read counts as nothing:
    /// no lease is granted then, and that is where it is told.
    pub(crate) fn of_others(&self, card: &CardKey) -> Size {
        let own = self.own.name();
        let survey = Survey::take(&self.directory, Some(&own), &self.world).unwrap_or_default();
        survey.used_of(&card.card)
    }
}
