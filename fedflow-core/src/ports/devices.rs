//! The port to the devices: what is leased, and the facts about devices on which the scheduler decides.

use crate::leasing::lease::{Lease, LeaseId, LeaseRequest, Unleasable};
use crate::model::device::{Device, DeviceInfo};
use crate::model::identity::TaskKey;
use crate::model::quantity::Size;

/// Devices, of which some can be leased now.
pub trait DevicePool {
    /// The devices there are.
    fn devices(&self) -> Vec<DeviceInfo>;
    /// Whether a request can be met at all, if nothing else were leased.
    ///
    /// # Errors
    /// Says why it can never be met.
    fn check(&self, request: &LeaseRequest) -> Result<(), Unleasable>;
    /// The largest share of one card that can be leased; none if memory does not count.
    fn largest_share(&self) -> Option<Size>;
    /// Leases what is asked, all or nothing, if it is free now.
    ///
    /// With [`LeaseRequest::hold`] a refused request has the pool keep back the devices that can be emptied for
    /// it soonest, until it is met or withdrawn; one request is kept so at a time.
    fn try_lease(&mut self, request: &LeaseRequest) -> Option<Lease>;
    /// Whether a request that was refused would have been met without these leases, whose turn has ended and whose
    /// processes can be asked to go.
    fn fits_without(&self, request: &LeaseRequest, leases: &[LeaseId]) -> bool {
        let _ = (request, leases);
        false
    }
    /// `train` has ended: the devices' turn is free for the next; memory stays booked until [`Self::release`].
    fn end_train(&mut self, lease: LeaseId);
    /// The process is gone: what was still booked is free.
    fn release(&mut self, lease: LeaseId);
    /// The holder does not want a lease any more.
    fn withdraw(&mut self, holder: TaskKey);
    /// The most that the holder of a lease has used of a card since it was granted; `None` if nobody knows. Asked
    /// while it trains, and at the end of that before [`Self::end_train`].
    fn peak(&self, lease: LeaseId) -> Option<Size> {
        let _ = lease;
        None
    }
    /// What the holder of a lease needs was learned while it trains: from now on that is booked for it, and others
    /// may join it as if it had been estimated. False if it cannot be booked now; nothing has changed then.
    fn rebook(&mut self, lease: LeaseId, memory: Size) -> bool {
        let _ = (lease, memory);
        false
    }
    /// Whether a device is lost for good. Asked when a task failed on it: then that was no failure of the task.
    fn is_lost(&mut self, device: Device) -> bool {
        let _ = device;
        false
    }
}

impl<P: DevicePool + ?Sized> DevicePool for Box<P> {
    fn devices(&self) -> Vec<DeviceInfo> {
        (**self).devices()
    }

    fn check(&self, request: &LeaseRequest) -> Result<(), Unleasable> {
        (**self).check(request)
    }

    fn largest_share(&self) -> Option<Size> {
        (**self).largest_share()
    }

    fn try_lease(&mut self, request: &LeaseRequest) -> Option<Lease> {
        (**self).try_lease(request)
    }

    fn fits_without(&self, request: &LeaseRequest, leases: &[LeaseId]) -> bool {
        (**self).fits_without(request, leases)
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
}
