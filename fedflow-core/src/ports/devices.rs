//! The port to the devices: what is leased, and the facts about devices on which the scheduler decides.

use super::wait::Obstacle;
use crate::leasing::lease::{Lease, LeaseId, LeaseRequest, Unleasable};
use crate::model::device::{Device, DeviceInfo};
use crate::model::identity::TaskKey;
use crate::model::memory::card_limits::CardLimits;
use crate::model::quantity::Size;

/// Devices, of which some can be leased now.
///
/// A pool decides what is free, and nothing else; which task asks for it, and what follows from a refusal, the scheduler
/// decides. [`LeaseTable`](crate::LeaseTable) keeps the books for a pool of one's own.
///
/// No method has a default, so a pool that wraps another one passes on everything or does not compile. A pool that knows
/// less says so: `None` from [`Self::peak`], `false` from [`Self::fits_without`], [`Self::others_train_on`], [`Self::rebook`]
/// and [`Self::is_lost`], nothing from [`Self::obstacles`].
///
/// # Which process sees which card
///
/// The pool names the variables and the host of the workers sets them. [`Lease::environment`] holds what a process must
/// find that is started for this lease alone, such as a command: for cards, `CUDA_VISIBLE_DEVICES` with their UUIDs and
/// `CUDA_DEVICE_ORDER`. It sees no other card, so the leased one is `cuda:0` there, which is [`Lease::device_seen`]. A
/// process that loads before it has a lease sees all cards of the run, and is told which one to use by its ordinal in the
/// run, [`Lease::device`]. Neither the engine nor the scheduler reads or sets an environment.
pub trait DevicePool {
    /// All devices, in an order that does not change.
    fn devices(&self) -> Vec<DeviceInfo>;
    /// How many CPU slots there are beside cards, for tasks that are pinned to the CPU. They are not among the devices: that
    /// they idle is no loss.
    fn slots_beside(&self) -> u32;
    /// Whether a request could be met if nothing else were leased.
    ///
    /// # Errors
    /// Says why it can never be met.
    fn check(&self, request: &LeaseRequest) -> Result<(), Unleasable>;
    /// The largest share of one card that can be leased; `None` if memory does not count.
    fn largest_share(&self) -> Option<Size>;
    /// How much of a device's memory can be leased if nothing else is; `None` if its memory does not count.
    fn limits(&self, device: Device) -> Option<CardLimits>;
    /// Leases what is asked, all of it or nothing, if it is free now.
    ///
    /// With [`LeaseRequest::hold`], a refusal makes the pool keep back the devices that can be emptied soonest for this
    /// request, until it is met or withdrawn. One request is served so at a time.
    fn try_lease(&mut self, request: &LeaseRequest) -> Option<Lease>;
    /// Whether a request that was refused would be met without these leases. Their training has ended, and their
    /// processes can be asked to exit.
    fn fits_without(&self, request: &LeaseRequest, leases: &[LeaseId]) -> bool;
    /// Whether a task of another run trains on a device, or is to have it before the request that was refused last: the
    /// device is waited for, and that ends.
    fn others_train_on(&self, device: Device) -> bool;
    /// `train` has ended: its devices are free for the next task. Memory stays booked until [`Self::release`].
    fn end_train(&mut self, lease: LeaseId);
    /// The process is gone, or has another lease in place of this one: what was still booked is free.
    fn release(&mut self, lease: LeaseId);
    /// The holder does not ask for a lease any more: what was kept back for it is free.
    fn withdraw(&mut self, holder: TaskKey);
    /// The most that the holder of a lease has used of one card since the lease was granted; `None` if it was not
    /// measured. Asked while it trains, and at the end before [`Self::end_train`].
    fn peak(&self, lease: LeaseId) -> Option<Size>;
    /// Books this much for the holder of a lease while it trains, and lets others join it as if that had been estimated.
    /// `false` if it cannot be booked now; then nothing has changed.
    fn rebook(&mut self, lease: LeaseId, memory: Size) -> bool;
    /// Whether a device is lost for good. Asked when a task fails on it: then the task itself has not failed.
    fn is_lost(&mut self, device: Device) -> bool;
    /// What other runs and programs have of the devices that would suit a request, for people. Asked now and then while the
    /// run stands still.
    fn obstacles(&self, request: &LeaseRequest) -> Vec<Obstacle>;
}

/// A boxed pool. A wrapper of one's own passes on every method in the same way.
impl<P: DevicePool + ?Sized> DevicePool for Box<P> {
    fn devices(&self) -> Vec<DeviceInfo> {
        (**self).devices()
    }

    fn slots_beside(&self) -> u32 {
        (**self).slots_beside()
    }

    fn check(&self, request: &LeaseRequest) -> Result<(), Unleasable> {
        (**self).check(request)
    }

    fn largest_share(&self) -> Option<Size> {
        (**self).largest_share()
    }

    fn limits(&self, device: Device) -> Option<CardLimits> {
        (**self).limits(device)
    }

    fn try_lease(&mut self, request: &LeaseRequest) -> Option<Lease> {
        (**self).try_lease(request)
    }

    fn fits_without(&self, request: &LeaseRequest, leases: &[LeaseId]) -> bool {
        (**self).fits_without(request, leases)
    }

    fn others_train_on(&self, device: Device) -> bool {
        (**self).others_train_on(device)
    }

    fn end_train(&mut self, lease: LeaseId) {
        (**self).end_train(lease);
    }

    fn release(&mut self, lease: LeaseId) {
        (**self).release(lease);
    }

    fn withdraw(&mut self, holder: TaskKey) {
        (**self).withdraw(holder);
    }

    fn peak(&self, lease: LeaseId) -> Option<Size> {
        (**self).peak(lease)
    }

    fn rebook(&mut self, lease: LeaseId, memory: Size) -> bool {
        (**self).rebook(lease, memory)
    }

    fn is_lost(&mut self, device: Device) -> bool {
        (**self).is_lost(device)
    }

    fn obstacles(&self, request: &LeaseRequest) -> Vec<Obstacle> {
        (**self).obstacles(request)
    }
}
