//! `Directory`: the open directory of the machine's leases. It finds the directory and opens, publishes and removes files
//! in it.

use std::fs::File;
use std::io::Read;
use std::os::fd::{AsRawFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rustix::fs::{AtFlags, CWD, Dir, FileType, Mode, OFlags, RenameFlags, Stat};
use rustix::io::Errno;
use rustix::process::geteuid;

use super::ledger_error::{LedgerError, LedgerFault};
use super::new_files::{UNFINISHED, make_directory, maker_of, unfinished_name};
use crate::machine::{DeviceEnvironment, is_alive, since_epoch};

/// Used if an administrator has made it.
const ADMINISTRATORS: &str = "/run/fedflow";
/// All users may write there, and it is empty after a start of the machine, as the ledger must be.
const SHARED_MEMORY: &str = "/dev/shm";
const NAME: &str = "fedflow";
/// Longer than a step of the clock of any file system that has times below a second.
const CLOCK_STEP: Duration = Duration::from_millis(100);

const OPEN_DIR: OFlags = OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::CLOEXEC);
// NONBLOCK, so that opening a pipe does not wait for its other end.
const OPEN_FILE: OFlags = OFlags::NOFOLLOW.union(OFlags::NONBLOCK).union(OFlags::CLOEXEC);
/// All users may read; only the owner may write.
pub(crate) const FILE_MODE: Mode = Mode::RUSR.union(Mode::WUSR).union(Mode::RGRP).union(Mode::ROTH);

/// The open directory of the machine's leases. Clones share the descriptor, which [`Directory::renew`] may replace.
#[derive(Debug, Clone)]
pub(crate) struct Directory {
    open: Arc<Mutex<Arc<OwnedFd>>>,
    path: PathBuf,
    scope: LeaseScope,
}

/// One of the directories that had the path one after the other.
#[derive(Debug)]
pub(crate) struct OpenDirectory(Arc<OwnedFd>);

impl OpenDirectory {
    /// A path by which the kernel finds it even if it is renamed.
    pub(crate) fn kernel_path(&self) -> PathBuf {
        PathBuf::from(format!("/proc/self/fd/{}", self.0.as_raw_fd()))
    }
}

/// Which files a directory has. As long as it is the same, no file was made or removed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct DirectoryState {
    inode: (u64, u64),
    /// When a file was last made or removed, by the file system's clock: in seconds, and nanoseconds beyond them.
    changed: (i64, i64),
}

impl DirectoryState {
    /// Whether the last change lies so far back that a later one has a later time. That clock goes on in steps.
    pub(crate) fn is_settled(self) -> bool {
        let (seconds, nanoseconds) = self.changed;
        let changed = u64::try_from(seconds).map(Duration::from_secs).unwrap_or_default()
            + u64::try_from(nanoseconds).map(Duration::from_nanos).unwrap_or_default();
        since_epoch().checked_sub(changed).is_some_and(|since| since > CLOCK_STEP)
    }
}

/// Which processes see a pool's leases, and do not lease what is leased there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LeaseScope {
    /// All processes of the machine.
    Machine,
    /// Processes of this user alone: no directory was found that all users can share.
    User,
    /// This process alone: its CPU slots or simulated cards are its own, as `FEDFLOW_LEASE_DIR` is not set.
    Process,
}

/// Where the directory may be.
#[derive(Debug, Clone)]
struct Candidates<'a> {
    chosen: Option<&'a Path>,
    administrators: &'a Path,
    in_shared_memory: PathBuf,
    users: Option<PathBuf>,
}

impl<'a> Candidates<'a> {
    fn of(environment: &'a DeviceEnvironment) -> Self {
        Self {
            chosen: environment.lease_dir.as_deref(),
            administrators: Path::new(ADMINISTRATORS),
            in_shared_memory: Path::new(SHARED_MEMORY).join(NAME),
            users: environment.runtime_dir.as_ref().map(|path| path.join(NAME)),
        }
    }
}

impl Directory {
    /// Opens the directory of the machine's leases, and makes it if it does not exist: the one that
    /// `FEDFLOW_LEASE_DIR` names, else `/run/fedflow` if it exists, else `/dev/shm/fedflow`, else one that only this
    /// user's processes see.
    pub(crate) fn open(environment: &DeviceEnvironment) -> Result<Self, LedgerError> {
        let Candidates { chosen, administrators, in_shared_memory, users } = Candidates::of(environment);
        if let Some(chosen) = chosen {
            Self::refuse_relative(chosen)?;
            return Self::open_or_make(chosen).map_err(|fault| LedgerError::chosen(chosen, fault));
        }
        // A directory that exists and cannot be used is an error: in another one, other runs would not be seen.
        if rustix::fs::lstat(administrators).is_ok() {
            return Self::open_writable(administrators);
        }
        let no_shared_memory = match Self::open_or_make(&in_shared_memory) {
            Ok(directory) => return Ok(directory),
            Err(fault) if rustix::fs::lstat(&in_shared_memory).is_ok() => {
                return Err(LedgerError::directory(&in_shared_memory, fault));
            }
            Err(fault) => format!("{}: {fault}", in_shared_memory.display()),
        };
        let Some(users) = users else { return Err(LedgerError::NoPlace { tried: no_shared_memory }) };
        let directory = Self::open_or_make(&users).map_err(|fault| LedgerError::NoPlace {
            tried: format!("{no_shared_memory}; {}: {fault}", users.display()),
        })?;
        Ok(Self { scope: LeaseScope::User, ..directory })
    }

    /// Opens the directory only to read it: nothing is made. `None` if it does not exist.
    pub(crate) fn open_existing(environment: &DeviceEnvironment) -> Result<Option<Self>, LedgerError> {
        let Candidates { chosen, administrators, in_shared_memory, users } = Candidates::of(environment);
        let exists = |path: &Path| rustix::fs::lstat(path).is_ok();
        if let Some(chosen) = chosen {
            Self::refuse_relative(chosen)?;
            let of_chosen = |error| LedgerError::chosen(chosen, fault_of(error));
            return exists(chosen).then(|| Self::open_at(chosen).map_err(of_chosen)).transpose();
        }
        let candidates = [Some(administrators), Some(&*in_shared_memory), users.as_deref()];
        candidates.into_iter().flatten().find(|path| exists(path)).map(Self::open_at).transpose()
    }

    fn refuse_relative(chosen: &Path) -> Result<(), LedgerError> {
        let absolute = chosen.is_absolute();
        if absolute { Ok(()) } else { Err(LedgerError::chosen(chosen, LedgerFault::Relative)) }
    }

    fn open_or_make(path: &Path) -> Result<Self, LedgerFault> {
        if matches!(rustix::fs::lstat(path), Err(Errno::NOENT)) {
            make_directory(path)?;
        }
        Self::open_writable(path).map_err(fault_of)
    }

    fn open_writable(path: &Path) -> Result<Self, LedgerError> {
        let directory = Self::open_at(path)?;
        // The system is asked, because access lists and read-only mounts count too.
        rustix::fs::accessat(directory.fd(), ".", rustix::fs::Access::WRITE_OK, AtFlags::EACCESS)
            .map_err(|error| LedgerError::directory(path, error))?;
        Ok(directory)
    }

    fn open_at(path: &Path) -> Result<Self, LedgerError> {
        let failed = |fault: LedgerFault| LedgerError::directory(path, fault);
        let open = rustix::fs::openat(CWD, path, OPEN_DIR | OFlags::NOFOLLOW, Mode::empty());
        let fd = open.map_err(|error| {
            // Of a link that is not followed the system says that it is not a directory.
            let stat = rustix::fs::lstat(path);
            let is_link = stat.is_ok_and(|stat| FileType::from_raw_mode(stat.st_mode) == FileType::Symlink);
            failed(if is_link { LedgerFault::Link } else { error.into() })
        })?;
        let stat = rustix::fs::fstat(&fd).map_err(|error| failed(error.into()))?;
        let mode = Mode::from_raw_mode(stat.st_mode);
        if mode.contains(Mode::WOTH) && !mode.contains(Mode::SVTX) {
            return Err(failed(LedgerFault::Unprotected));
        }
        let open = Arc::new(Mutex::new(Arc::new(fd)));
        Ok(Self { open, path: path.into(), scope: LeaseScope::Machine })
    }

    /// Which processes book in this directory.
    pub(crate) fn scope(&self) -> LeaseScope {
        self.scope
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// The directory that is open now, until the value is dropped.
    pub(crate) fn open_now(&self) -> OpenDirectory {
        OpenDirectory(self.fd())
    }

    /// Whether no other directory was opened since.
    pub(crate) fn is_open_now(&self, directory: &OpenDirectory) -> bool {
        Arc::ptr_eq(&self.current(), &directory.0)
    }

    /// Opens the directory anew by its path if it was removed or replaced, as a session manager does when a user logs
    /// out, and makes it again if it is gone. Other runs look for it there.
    pub(crate) fn renew(&self) -> Result<(), LedgerError> {
        // One thread after the other, so that a later directory never gives way to an earlier one.
        let mut current = self.current();
        if !self.is_named(&current) {
            let failed = |fault| LedgerError::directory(&self.path, fault);
            *current = Self::open_or_make(&self.path).map_err(failed)?.fd();
        }
        Ok(())
    }

    /// Whether the directory's path still means the open one.
    pub(crate) fn is_in_place(&self) -> bool {
        self.is_named(&self.fd())
    }

    /// Which files it has; `None` if the system does not say.
    pub(crate) fn state(&self) -> Option<DirectoryState> {
        let stat = rustix::fs::fstat(self.fd()).ok()?;
        let nanoseconds = i64::try_from(stat.st_mtime_nsec).ok()?;
        Some(DirectoryState { inode: inode(stat), changed: (stat.st_mtime, nanoseconds) })
    }

    fn is_named(&self, fd: &OwnedFd) -> bool {
        let named = rustix::fs::lstat(&self.path).map(inode);
        matches!((named, rustix::fs::fstat(fd).map(inode)), (Ok(named), Ok(open)) if named == open)
    }

    fn fd(&self) -> Arc<OwnedFd> {
        Arc::clone(&self.current())
    }

    fn current(&self) -> MutexGuard<'_, Arc<OwnedFd>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The names of its files that begin with a prefix.
    pub(crate) fn names(&self, prefix: &str) -> Result<Vec<String>, LedgerError> {
        let failed = |error: Errno| LedgerError::directory(&self.path, error);
        let mut names = Vec::new();
        for entry in Dir::read_from(self.fd()).map_err(failed)? {
            let entry = entry.map_err(failed)?;
            // Fedflow's names are ASCII.
            if let Ok(name) = entry.file_name().to_str()
                && name.starts_with(prefix)
            {
                names.push(name.to_owned());
            }
        }
        Ok(names)
    }

    /// Opens a file for reading; `None` if it does not exist.
    pub(crate) fn read(&self, name: &str) -> Result<Option<File>, LedgerError> {
        let failed = |fault: LedgerFault| LedgerError::file(self.path.join(name), fault);
        let file: File = match rustix::fs::openat(self.fd(), name, OFlags::RDONLY | OPEN_FILE, Mode::empty())
        {
            Ok(fd) => fd.into(),
            Err(Errno::NOENT) => return Ok(None),
            // A socket cannot even be opened.
            Err(Errno::NXIO) => return Err(failed(LedgerFault::NotAFile)),
            Err(error) => return Err(failed(error.into())),
        };
        let stat = rustix::fs::fstat(&file).map_err(|error| failed(error.into()))?;
        if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile {
            return Err(failed(LedgerFault::NotAFile));
        }
        Ok(Some(file))
    }

    /// Makes a file that appears under its name only when `prepare` has completed it. `None` if there is an entry of
    /// that name, which is left as it is.
    pub(crate) fn publish(
        &self,
        name: &str,
        prepare: impl FnOnce(&File) -> std::io::Result<()>,
    ) -> Result<Option<File>, LedgerError> {
        let failed = |fault: LedgerFault| LedgerError::file(self.path.join(name), fault);
        let unfinished = unfinished_name().map_err(|error| failed(error.into()))?;
        let directory = self.fd();
        let flags = OFlags::RDWR | OFlags::CREATE | OFlags::EXCL | OPEN_FILE;
        let fd = rustix::fs::openat(&directory, &unfinished, flags, FILE_MODE)
            .map_err(|error| LedgerError::directory(&self.path, error))?;
        let file = File::from(fd);
        let published = (|| {
            // Other users must be able to read it, whatever this user's mask is.
            rustix::fs::fchmod(&file, FILE_MODE)?;
            prepare(&file)?;
            match rename_to_new(&directory, &unfinished, name) {
                Ok(()) => Ok(true),
                Err(Errno::EXIST) => Ok(false),
                Err(error) => Err(error.into()),
            }
        })();
        if !matches!(published, Ok(true)) {
            let _ = rustix::fs::unlinkat(&directory, &unfinished, AtFlags::empty());
        }
        published.map(|new| new.then_some(file)).map_err(|error: std::io::Error| failed(error.into()))
    }

    /// Removes a void file of this user. Its name is never used again.
    pub(crate) fn remove(&self, name: &str) {
        // If it cannot be removed, it stays and is still void.
        let _ = rustix::fs::unlinkat(self.fd(), name, AtFlags::empty());
    }

    /// Removes the unfinished files of processes of this user that died while they made them.
    pub(crate) fn remove_unfinished(&self) {
        let me = geteuid().as_raw();
        for name in self.names(UNFINISHED).unwrap_or_default() {
            let Some(maker) = maker_of(&name) else { continue };
            let stat = rustix::fs::statat(self.fd(), &name, AtFlags::SYMLINK_NOFOLLOW);
            if stat.is_ok_and(|stat| stat.st_uid == me) && !is_alive(maker) {
                self.remove(&name);
            }
        }
    }

    /// Whether a name still means the file that was opened by that name, where other runs look for it.
    pub(crate) fn is_current(&self, name: &str, file: &File) -> bool {
        let directory = self.fd();
        let named = rustix::fs::statat(&directory, name, AtFlags::SYMLINK_NOFOLLOW).map(inode);
        let is_named =
            matches!((named, rustix::fs::fstat(file).map(inode)), (Ok(named), Ok(open)) if named == open);
        is_named && self.is_named(&directory)
    }
}

/// What tells a file from all others.
fn inode(stat: Stat) -> (u64, u64) {
    (stat.st_dev, stat.st_ino)
}

fn rename_to_new(directory: &OwnedFd, from: &str, to: &str) -> Result<(), Errno> {
    match rustix::fs::renameat_with(directory, from, directory, to, RenameFlags::NOREPLACE) {
        // Not every file system can rename like this in one step.
        Err(Errno::INVAL | Errno::NOSYS) => {
            rustix::fs::linkat(directory, from, directory, to, AtFlags::empty())?;
            let _ = rustix::fs::unlinkat(directory, from, AtFlags::empty());
            Ok(())
        }
        renamed => renamed,
    }
}

/// Reads a whole file; an error if it is larger than `limit` bytes.
pub(crate) fn read_whole(file: &File, limit: usize) -> Result<Vec<u8>, LedgerFault> {
    let size = usize::try_from(rustix::fs::fstat(file)?.st_size).unwrap_or(0);
    let mut bytes = Vec::with_capacity(size.min(limit) + 1);
    file.take(limit as u64 + 1).read_to_end(&mut bytes)?;
    if bytes.len() > limit { Err(LedgerFault::TooLarge) } else { Ok(bytes) }
}

/// What is wrong, without the path.
fn fault_of(error: LedgerError) -> LedgerFault {
    match error {
        LedgerError::Directory { fault, .. }
        | LedgerError::Chosen { fault, .. }
        | LedgerError::File { fault, .. } => fault,
        error @ LedgerError::NoPlace { .. } => LedgerFault::System(error.to_string()),
    }
}
