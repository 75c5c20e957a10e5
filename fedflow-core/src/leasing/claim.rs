//! `Claim`: a request of another run that goes before those of this run, and when it can be met.

use crate::leasing::lease::LeaseRequest;
use crate::leasing::placement::{self, CardView};
use crate::model::memory::card_limits::CardLimits;
use crate::model::quantity::Size;

/// A request of another run that was refused, as the table of this run sees it.
#[derive(Debug, Clone, PartialEq)]
pub struct Claim {
    /// What it asks for. Which devices suit it, `cards` says, and not the pin.
    pub request: LeaseRequest,
    /// The devices that suit it, by place, each with as much of it as that run may lease.
    pub cards: Vec<(usize, Option<CardLimits>)>,
    /// How many tasks without an estimate of their memory may share a card in that run.
    pub max_per_device: u32,
    /// The memory that it has booked on each of its devices already and gives back for the new lease.
    pub replaced: Option<Size>,
}

/// When a claim can be met, and what it gets then: devices by place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Foreseen {
    /// It can be met now.
    Now(Vec<usize>),
    /// It can be met when tasks have ended that train on these devices.
    Later(Vec<usize>),
    /// No task trains on these devices, but processes that have trained still hold some of them. They may stay.
    Unclear(Vec<usize>),
    /// Not even the end of all leases would meet it.
    Never,
}

impl Claim {
    /// When it can be met with devices that look like this.
    pub(super) fn foresee(&self, views: &[CardView]) -> Foreseen {
        if let Some(places) = placement::place(views, &self.request, self.max_per_device) {
            return Foreseen::Now(places);
        }
        let places = placement::hold_back(views, &self.request, self.max_per_device);
        let trains = |view: &CardView| places.contains(&view.place) && view.training > 0;
        match (places.is_empty(), views.iter().any(trains)) {
            (true, _) => Foreseen::Never,
            (false, true) => Foreseen::Later(places),
            (false, false) => Foreseen::Unclear(places),
        }
    }

    /// The memory that it takes of each of its devices, beside what it has there.
    pub(super) fn more_memory(&self) -> Size {
        self.request.memory.saturating_sub(self.replaced.unwrap_or(Size::ZERO))
    }
}
