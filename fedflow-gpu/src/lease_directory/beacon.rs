//! `Beacon`: shows other supervisors that one lives which has booked, or is about to, even if the directory was removed.

use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::path::Path;

use super::new_files::next_number;
use crate::machine::this_process;

/// The names of beacons begin so.
const PREFIX: &str = "fedflow-ledger/";
/// The kernel's list of sockets.
const SOCKETS: &str = "/proc/net/unix";

/// A socket with a name that no file has. No process connects to it: the kernel lists it as long as its supervisor lives.
///
/// The name holds the directory's path and the mount namespace in which the path is meant. Processes in another namespace
/// of mounts or of networks do not see each other so. Their bookings are missing for the moment until they are made
/// again.
#[derive(Debug)]
pub(crate) struct Beacon {
    /// How all beacons of the directory begin.
    prefix: String,
    name: String,
    lit: Option<UnixDatagram>,
}

impl Beacon {
    /// A beacon of this process for the directory with this path.
    pub(crate) fn new(directory: &Path) -> std::io::Result<Self> {
        let process = this_process()?;
        let (pid, start, number) = (process.pid, process.start_ticks, next_number());
        let prefix = name_in(directory);
        Ok(Self { name: format!("{prefix}{pid}-{start}-{number}"), prefix, lit: None })
    }

    /// The names of all beacons that are lit for the directory.
    pub(crate) fn all_lit(&self) -> Vec<String> {
        // Of each socket there is a line that ends in its name, with an `@` if no file has the name.
        let sockets = std::fs::read(SOCKETS).unwrap_or_default();
        let sockets = String::from_utf8_lossy(&sockets);
        let names = sockets.lines().filter_map(|line| line.rsplit_once('@').map(|(_, name)| name));
        names.filter(|name| name.starts_with(&self.prefix)).map(str::to_owned).collect()
    }

    /// The name by which a supervisor's file says which beacon is its own.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// Shows it. It must be seen before a card is locked: a directory that is removed later was there then.
    pub(crate) fn light(&mut self) {
        if self.lit.is_none() {
            // Without one, bookings still come back when they are removed, if a little later.
            let address = SocketAddr::from_abstract_name(self.name.as_bytes());
            self.lit = address.and_then(|address| UnixDatagram::bind_addr(&address)).ok();
        }
    }

    /// Shows it no longer: nothing is booked.
    pub(crate) fn extinguish(&mut self) {
        self.lit = None;
    }
}

fn name_in(directory: &Path) -> String {
    let path = crc32fast::hash(directory.as_os_str().as_encoded_bytes());
    let mounts = std::fs::read_link("/proc/self/ns/mnt").unwrap_or_default();
    let mounts = crc32fast::hash(mounts.as_os_str().as_encoded_bytes());
    format!("{PREFIX}{path:08x}{mounts:08x}/")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_beacon_is_seen_as_long_as_it_is_lit() {
        let directory = Path::new("/a/directory/of/this/test");
        let mut beacon = Beacon::new(directory).expect("this process is known");
        let elsewhere = Beacon::new(Path::new("/another")).expect("this process is known");
        assert!(beacon.all_lit().is_empty());
        beacon.light();
        assert_eq!(beacon.all_lit(), [beacon.name().to_owned()]);
        assert!(elsewhere.all_lit().is_empty());
        beacon.extinguish();
        assert!(beacon.all_lit().is_empty());
    }
}
