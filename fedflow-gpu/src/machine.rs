//! What this crate asks of the operating system: processes, the time, its own environment.

mod device_environment;
mod machine_clock;
mod process_identity;
mod process_owner;

pub use device_environment::DeviceEnvironment;
pub(crate) use machine_clock::{monotonic_now, since_epoch, unix_now};
pub(crate) use process_identity::{
    Unwatchable, identify, is_alive, is_stopped, probe_world, this_process, watch_for_end,
};
pub(crate) use process_owner::{ProcessOwner, owner_of, probe_ancestry, probe_name, probe_user, user_name};
