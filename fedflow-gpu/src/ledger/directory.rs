//! `Directory`: where the machine's leases are booked. It is shared by users who need not trust each other, so nothing
//! in it is followed, truncated or waited for.

use std::fs::File;
use std::io::Read;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use fedflow_core::ProcessId;
use rustix::fs::{AtFlags, CWD, Dir, FileType, Mode, OFlags, RenameFlags, Stat};
use rustix::io::Errno;
use rustix::process::geteuid;

use super::fault::{Fault, LedgerError};
use crate::machine::{DeviceEnvironment, is_alive, this_process};

/// Made by an administrator, if at all: for machines that have one.
const OF_ADMINISTRATOR: &str = "/run/fedflow";
/// Everybody may write there, and it is empty after a start of the machine, as the ledger must be.
const SHARED_MEMORY: &str = "/dev/shm";
const NAME: &str = "fedflow";
/// Files that are being made have names that begin so, until they are what they should be.
const UNFINISHED: &str = ".new-";

const OPEN_DIR: OFlags = OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::CLOEXEC);
// Not to wait for the other end if somebody put a pipe there.
const OPEN_FILE: OFlags = OFlags::NOFOLLOW.union(OFlags::NONBLOCK).union(OFlags::CLOEXEC);
/// Everybody may read, only the owner writes.
const FILE_MODE: Mode = Mode::RUSR.union(Mode::WUSR).union(Mode::RGRP).union(Mode::ROTH);
/// Everybody may add files, only the owner of a file may remove it.
const SHARED_MODE: Mode = Mode::RWXU.union(Mode::RWXG).union(Mode::RWXO).union(Mode::SVTX);

/// An open directory of leases. Clones share the descriptor.
#[derive(Debug, Clone)]
pub(crate) struct Directory {
    fd: Arc<OwnedFd>,
    path: PathBuf,
    shared: Shared,
}

/// Whether the directory is for all users of the machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Shared {
    Yes,
    /// It lies where only this user looks.
    No,
}

/// Where to look for the directory; a parameter, so that tests need not touch the machine's.
#[derive(Debug, Clone, Copy)]
struct Places<'a> {
    chosen: Option<&'a Path>,
    of_administrator: &'a Path,
    shared_memory: &'a Path,
    of_user: Option<&'a Path>,
}

impl<'a> Places<'a> {
    fn of(environment: &'a DeviceEnvironment) -> Self {
        Self {
            chosen: environment.lease_dir.as_deref(),
            of_administrator: Path::new(OF_ADMINISTRATOR),
            shared_memory: Path::new(SHARED_MEMORY),
            of_user: environment.runtime_dir.as_deref(),
        }
    }
}

impl Directory {
    /// Opens the directory of the machine's leases, and makes it if it is not there: the one that
    /// `FEDFLOW_LEASE_DIR` names, or `/run/fedflow` if there is one, or `/dev/shm/fedflow`, or at last one of this
    /// user alone.
    pub(crate) fn open(environment: &DeviceEnvironment) -> Result<Self, LedgerError> {
        Self::find(Places::of(environment))
    }

    /// The same for somebody who only looks: nothing is made. `None` if there is no directory.
    pub(crate) fn look(environment: &DeviceEnvironment) -> Result<Option<Self>, LedgerError> {
        let places = Places::of(environment);
        let shared_memory = places.shared_memory.join(NAME);
        let of_user = places.of_user.map(|path| path.join(NAME));
        if let Some(chosen) = places.chosen {
            Self::refuse_relative(chosen)?;
            let there = rustix::fs::lstat(chosen).is_ok();
            let open = || Self::open_at(chosen, Shared::Yes).map_err(|error| of_chosen(chosen, error));
            return there.then(open).transpose();
        }
        let candidates = [Some(places.of_administrator), Some(&*shared_memory), of_user.as_deref()];
        let first = candidates.into_iter().flatten().find(|path| rustix::fs::lstat(*path).is_ok());
        first.map(|path| Self::open_at(path, Shared::Yes)).transpose()
    }

    fn find(places: Places<'_>) -> Result<Self, LedgerError> {
        if let Some(chosen) = places.chosen {
            Self::refuse_relative(chosen)?;
            return Self::create(chosen).map_err(|fault| LedgerError::chosen(chosen, fault));
        }
        // One that is there and cannot be used is an error: in another one the others would not be seen.
        if rustix::fs::lstat(places.of_administrator).is_ok() {
            return Self::open_writable(places.of_administrator);
        }
        let path = places.shared_memory.join(NAME);
        let no_shared_memory = match Self::create(&path) {
            Ok(directory) => return Ok(directory),
            Err(fault) if rustix::fs::lstat(&path).is_ok() => {
                return Err(LedgerError::directory(&path, fault));
            }
            Err(fault) => format!("{}: {fault}", path.display()),
        };
        let Some(of_user) = places.of_user else {
            return Err(LedgerError::NoPlace { tried: no_shared_memory });
        };
        let path = of_user.join(NAME);
        let directory = Self::create(&path).map_err(|fault| LedgerError::NoPlace {
            tried: format!("{no_shared_memory}; {}: {fault}", path.display()),
        })?;
        Ok(Self { shared: Shared::No, ..directory })
    }

    fn refuse_relative(chosen: &Path) -> Result<(), LedgerError> {
        let absolute = chosen.is_absolute();
        if absolute { Ok(()) } else { Err(LedgerError::chosen(chosen, Fault::Relative)) }
    }

    fn create(path: &Path) -> Result<Self, Fault> {
        if matches!(rustix::fs::lstat(path), Err(Errno::NOENT)) {
            make(path)?;
        }
        Self::open_writable(path).map_err(fault_of)
    }

    fn open_writable(path: &Path) -> Result<Self, LedgerError> {
        let directory = Self::open_at(path, Shared::Yes)?;
        // The system's own answer, as access lists and read-only mounts count.
        rustix::fs::accessat(&directory.fd, ".", rustix::fs::Access::WRITE_OK, AtFlags::EACCESS)
            .map_err(|error| LedgerError::directory(path, error))?;
        Ok(directory)
    }

    fn open_at(path: &Path, shared: Shared) -> Result<Self, LedgerError> {
        let failed = |fault: Fault| LedgerError::directory(path, fault);
        let open = rustix::fs::openat(CWD, path, OPEN_DIR | OFlags::NOFOLLOW, Mode::empty());
        let fd = open.map_err(|error| {
            // The system calls a link that is not followed "no directory".
            let stat = rustix::fs::lstat(path);
            let is_link = stat.is_ok_and(|stat| FileType::from_raw_mode(stat.st_mode) == FileType::Symlink);
            failed(if is_link { Fault::Link } else { error.into() })
        })?;
        let stat = rustix::fs::fstat(&fd).map_err(|error| failed(error.into()))?;
        let mode = Mode::from_raw_mode(stat.st_mode);
        if mode.contains(Mode::WOTH) && !mode.contains(Mode::SVTX) {
            return Err(failed(Fault::Unprotected));
        }
        Ok(Self { fd: Arc::new(fd), path: path.into(), shared })
    }

    pub(crate) fn shared(&self) -> Shared {
        self.shared
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// A path by which the kernel finds this very directory, whatever becomes of its name.
    pub(super) fn kernel_path(&self) -> PathBuf {
        PathBuf::from(format!("/proc/self/fd/{}", self.fd.as_fd().as_raw_fd()))
    }

    /// The names of its files that begin with a prefix.
    pub(super) fn names(&self, prefix: &str) -> Result<Vec<String>, LedgerError> {
        let failed = |error: Errno| LedgerError::directory(&self.path, error);
        let mut names = Vec::new();
        for entry in Dir::read_from(&self.fd).map_err(failed)? {
            let entry = entry.map_err(failed)?;
            // Fedflow's own names are ASCII.
            if let Ok(name) = entry.file_name().to_str()
                && name.starts_with(prefix)
            {
                names.push(name.to_owned());
            }
        }
        Ok(names)
    }

    /// Opens a file for reading; `None` if there is none.
    pub(super) fn read(&self, name: &str) -> Result<Option<File>, LedgerError> {
        let failed = |fault: Fault| LedgerError::file(self.path.join(name), fault);
        let file: File = match rustix::fs::openat(&self.fd, name, OFlags::RDONLY | OPEN_FILE, Mode::empty()) {
            Ok(fd) => fd.into(),
            Err(Errno::NOENT) => return Ok(None),
            // A socket cannot even be opened.
            Err(Errno::NXIO) => return Err(failed(Fault::NotAFile)),
            Err(error) => return Err(failed(error.into())),
        };
        let stat = rustix::fs::fstat(&file).map_err(|error| failed(error.into()))?;
        if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile {
            return Err(failed(Fault::NotAFile));
        }
        Ok(Some(file))
    }

    /// Makes a file that appears under its name only when `prepare` has made it what it should be. `None` if there
    /// is something of that name: that is left as it is.
    pub(super) fn publish(
        &self,
        name: &str,
        prepare: impl FnOnce(&File) -> std::io::Result<()>,
    ) -> Result<Option<File>, LedgerError> {
        let failed = |fault: Fault| LedgerError::file(self.path.join(name), fault);
        let unfinished = unfinished_name().map_err(|error| failed(error.into()))?;
        let flags = OFlags::RDWR | OFlags::CREATE | OFlags::EXCL | OPEN_FILE;
        let fd = rustix::fs::openat(&self.fd, &unfinished, flags, FILE_MODE)
            .map_err(|error| LedgerError::directory(&self.path, error))?;
        let file = File::from(fd);
        let published = (|| {
            // Whatever the user's mask is, the others must be able to read it.
            rustix::fs::fchmod(&file, FILE_MODE)?;
            prepare(&file)?;
            match self.rename_to_new(&unfinished, name) {
                Ok(()) => Ok(true),
                Err(Errno::EXIST) => Ok(false),
                Err(error) => Err(error.into()),
            }
        })();
        if !matches!(published, Ok(true)) {
            let _ = rustix::fs::unlinkat(&self.fd, &unfinished, AtFlags::empty());
        }
        published.map(|new| new.then_some(file)).map_err(|error: std::io::Error| failed(error.into()))
    }

    fn rename_to_new(&self, from: &str, to: &str) -> Result<(), Errno> {
        match rustix::fs::renameat_with(&self.fd, from, &self.fd, to, RenameFlags::NOREPLACE) {
            // Not every file system can do it in one step.
            Err(Errno::INVAL | Errno::NOSYS) => {
                rustix::fs::linkat(&self.fd, from, &self.fd, to, AtFlags::empty())?;
                let _ = rustix::fs::unlinkat(&self.fd, from, AtFlags::empty());
                Ok(())
            }
            renamed => renamed,
        }
    }

    /// Removes a file of this user, for which nobody can have any use: its name never comes again.
    pub(super) fn remove(&self, name: &str) {
        // If it cannot be removed it stays, void as it is.
        let _ = rustix::fs::unlinkat(&self.fd, name, AtFlags::empty());
    }

    /// Removes what processes of this user left behind that died while they made a file.
    pub(super) fn remove_unfinished(&self) {
        let me = geteuid().as_raw();
        for name in self.names(UNFINISHED).unwrap_or_default() {
            let Some(maker) = maker_of(&name) else { continue };
            let stat = rustix::fs::statat(&self.fd, &name, AtFlags::SYMLINK_NOFOLLOW);
            if stat.is_ok_and(|stat| stat.st_uid == me) && !is_alive(maker) {
                self.remove(&name);
            }
        }
    }

    /// Whether a name still means the file that was opened by it.
    pub(super) fn is_current(&self, name: &str, file: &File) -> bool {
        let inode = |stat: Stat| (stat.st_dev, stat.st_ino);
        let named = rustix::fs::statat(&self.fd, name, AtFlags::SYMLINK_NOFOLLOW).map(inode);
        matches!((named, rustix::fs::fstat(file).map(inode)), (Ok(named), Ok(open)) if named == open)
    }
}

impl AsFd for Directory {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

/// Reads a whole file, unless it is larger than a limit.
pub(super) fn read_whole(file: &File, limit: usize) -> Result<Vec<u8>, Fault> {
    let size = usize::try_from(rustix::fs::fstat(file)?.st_size).unwrap_or(0);
    let mut bytes = Vec::with_capacity(size.min(limit) + 1);
    file.take(limit as u64 + 1).read_to_end(&mut bytes)?;
    if bytes.len() > limit { Err(Fault::TooLarge) } else { Ok(bytes) }
}

/// What is wrong, without where.
fn fault_of(error: LedgerError) -> Fault {
    match error {
        LedgerError::Directory { fault, .. }
        | LedgerError::Chosen { fault, .. }
        | LedgerError::File { fault, .. } => fault,
        error @ LedgerError::NoPlace { .. } => Fault::System(error.to_string()),
    }
}

/// An error that says who chose the directory.
fn of_chosen(chosen: &Path, error: LedgerError) -> LedgerError {
    LedgerError::chosen(chosen, fault_of(error))
}

/// Makes a directory that everybody may use. It appears under its name only when it is ready.
fn make(path: &Path) -> Result<(), Fault> {
    let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let unfinished = parent.join(unfinished_name()?);
    rustix::fs::mkdir(&unfinished, Mode::RWXU)?;
    let made = (|| {
        let fd = rustix::fs::openat(CWD, &unfinished, OPEN_DIR | OFlags::NOFOLLOW, Mode::empty())?;
        rustix::fs::fchmod(&fd, SHARED_MODE)?;
        // Renaming replaces no directory that is in use: that is not empty, or it is as new as this one.
        rustix::fs::renameat_with(CWD, &unfinished, CWD, path, RenameFlags::NOREPLACE)
    })();
    match made {
        Ok(()) => Ok(()),
        Err(error) => {
            let _ = rustix::fs::rmdir(&unfinished);
            match error {
                Errno::EXIST => Ok(()),
                // A file system that cannot rename so: another user may find the directory closed for an instant.
                Errno::INVAL | Errno::NOSYS => make_in_place(path),
                error => Err(error.into()),
            }
        }
    }
}

fn make_in_place(path: &Path) -> Result<(), Fault> {
    match rustix::fs::mkdir(path, Mode::RWXU) {
        Ok(()) => {
            let fd = rustix::fs::openat(CWD, path, OPEN_DIR | OFlags::NOFOLLOW, Mode::empty())?;
            Ok(rustix::fs::fchmod(&fd, SHARED_MODE)?)
        }
        Err(Errno::EXIST) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

/// A number that this process has not used before.
pub(super) fn next_number() -> u32 {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    NEXT.fetch_add(1, Ordering::Relaxed)
}

fn unfinished_name() -> std::io::Result<String> {
    let ProcessId { pid, start_ticks } = this_process()?;
    Ok(format!("{UNFINISHED}{pid}-{start_ticks}-{}", next_number()))
}

fn maker_of(unfinished: &str) -> Option<ProcessId> {
    let mut numbers = unfinished.strip_prefix(UNFINISHED)?.split('-');
    Some(ProcessId { pid: numbers.next()?.parse().ok()?, start_ticks: numbers.next()?.parse().ok()? })
}
