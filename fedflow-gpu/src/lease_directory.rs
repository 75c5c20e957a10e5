//! The directory in which the machine's leases are booked: how it is found and made, and how its files are read,
//! written and locked.
//!
//! All users of the machine share it, and they need not trust each other. No link in it is followed, no pipe is waited
//! for, and nothing of another user is changed. An entry that has a name of the ledger and is not what the name says is
//! an error that names it.

mod beacon;
mod card_lock;
mod directory;
mod ledger_error;
mod line_format;
mod new_files;

pub(crate) use beacon::Beacon;
pub(crate) use card_lock::{CardLock, HeldLock, NotLocked};
pub use directory::LeaseScope;
pub(crate) use directory::{Directory, DirectoryState, FILE_MODE, OpenDirectory, read_whole};
pub use ledger_error::{LedgerError, LedgerFault};
pub(crate) use line_format::{EMPTY, LINE, Line, decode, encode};
pub(crate) use new_files::next_number;
