//! `PrivateDir`: a directory of Fedflow's own, held by its descriptor, in which no link is ever followed.

use std::fs::File;
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustix::fs::{AtFlags, CWD, FileType, Mode, OFlags};
use rustix::io::Errno;

const DIR_MODE: Mode = Mode::RWXU;
const FILE_MODE: Mode = Mode::RUSR.union(Mode::WUSR);
const OPEN_DIR: OFlags =
    OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);
// So that a pipe in a file's place does not block.
const OPEN_FILE: OFlags = OFlags::NOFOLLOW.union(OFlags::CLOEXEC).union(OFlags::NONBLOCK);

/// A directory that only its owner can enter. Clones share the descriptor.
#[derive(Debug, Clone)]
pub(in crate::store) struct PrivateDir {
    fd: Arc<OwnedFd>,
    path: PathBuf,
}

impl PrivateDir {
    /// Opens it. It must be the caller's own and not writable by others. If others can read it, that is taken from them.
    pub(in crate::store) fn open(path: &Path) -> io::Result<Self> {
        let fd = rustix::fs::openat(CWD, path, OPEN_DIR, Mode::empty())?;
        Self::checked(fd, path.into())
    }

    /// Makes it if it is not there, and opens it.
    pub(in crate::store) fn create(path: &Path) -> io::Result<Self> {
        ignore_existing(rustix::fs::mkdirat(CWD, path, DIR_MODE))?;
        Self::open(path)
    }

    /// Makes a directory in it if it is not there, and opens it.
    pub(in crate::store) fn subdir(&self, name: &str) -> io::Result<Self> {
        ignore_existing(rustix::fs::mkdirat(&self.fd, name, DIR_MODE))?;
        self.open_subdir(name)
    }

    /// Opens a directory in it.
    pub(in crate::store) fn open_subdir(&self, name: &str) -> io::Result<Self> {
        let fd = rustix::fs::openat(&self.fd, name, OPEN_DIR, Mode::empty())?;
        Self::checked(fd, self.path.join(name))
    }

    pub(in crate::store) fn path(&self) -> &Path {
        &self.path
    }

    /// Whether there is anything of this name, a broken link included.
    pub(in crate::store) fn contains(&self, name: &str) -> io::Result<bool> {
        match rustix::fs::statat(&self.fd, name, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(_) => Ok(true),
            Err(Errno::NOENT) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }

    /// Opens a file for reading.
    pub(in crate::store) fn read(&self, name: &str) -> io::Result<File> {
        self.file(name, OFlags::RDONLY)
    }

    /// Opens a file for reading and appending.
    pub(in crate::store) fn append(&self, name: &str) -> io::Result<File> {
        self.file(name, OFlags::RDWR | OFlags::APPEND)
    }

    /// Opens a file for reading and writing; makes it if it is not there.
    pub(in crate::store) fn open_or_create(&self, name: &str) -> io::Result<File> {
        self.file(name, OFlags::RDWR | OFlags::CREATE)
    }

    /// Makes an empty file for appending; what was there before is lost.
    pub(in crate::store) fn create_empty(&self, name: &str) -> io::Result<File> {
        self.file(name, OFlags::RDWR | OFlags::APPEND | OFlags::CREATE | OFlags::TRUNC)
    }

    /// Writes a file that is there whole or, after a crash, as it was before; returns it open for appending.
    pub(in crate::store) fn write_durably(&self, name: &str, content: &[u8]) -> io::Result<File> {
        let temporary = format!("{name}.new");
        let mut file = self.create_empty(&temporary)?;
        io::Write::write_all(&mut file, content)?;
        file.sync_all()?;
        rustix::fs::renameat(&self.fd, &temporary, &self.fd, name)?;
        self.sync()?;
        Ok(file)
    }

    /// Removes a file, if there is one.
    pub(in crate::store) fn remove(&self, name: &str) -> io::Result<()> {
        match rustix::fs::unlinkat(&self.fd, name, AtFlags::empty()) {
            Ok(()) | Err(Errno::NOENT) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    /// A path of a file in it that goes through the descriptor, so it is short and cannot be redirected. It is valid in this
    /// process only, as long as this value lives.
    pub(in crate::store) fn through_descriptor(&self, name: &str) -> PathBuf {
        format!("/proc/self/fd/{}/{name}", self.fd.as_raw_fd()).into()
    }

    /// Makes its entries durable. Blocks on the disk.
    pub(in crate::store) fn sync(&self) -> io::Result<()> {
        Ok(rustix::fs::fsync(&self.fd)?)
    }

    fn file(&self, name: &str, flags: OFlags) -> io::Result<File> {
        let fd = rustix::fs::openat(&self.fd, name, flags | OPEN_FILE, FILE_MODE)?;
        let stat = rustix::fs::fstat(&fd)?;
        if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile {
            return Err(io::Error::other("it is not a regular file"));
        }
        Ok(fd.into())
    }

    fn checked(fd: OwnedFd, path: PathBuf) -> io::Result<Self> {
        let stat = rustix::fs::fstat(&fd)?;
        let me = rustix::process::geteuid();
        if stat.st_uid != me.as_raw() && !me.is_root() {
            return Err(io::Error::new(io::ErrorKind::PermissionDenied, "it belongs to another user"));
        }
        let mode = Mode::from_raw_mode(stat.st_mode);
        if mode.intersects(Mode::WGRP | Mode::WOTH) {
            let text = format!("others can write to it (mode {:o})", mode.as_raw_mode());
            return Err(io::Error::new(io::ErrorKind::PermissionDenied, text));
        }
        if mode.intersects(Mode::RWXG | Mode::RWXO) {
            rustix::fs::fchmod(&fd, DIR_MODE)?;
        }
        Ok(Self { fd: Arc::new(fd), path })
    }
}

fn ignore_existing(made: Result<(), Errno>) -> io::Result<()> {
    match made {
        Ok(()) | Err(Errno::EXIST) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::{PermissionsExt, symlink};

    use super::*;

    #[test]
    fn links_are_not_followed() {
        let root = tempfile::tempdir().unwrap();
        let dir = PrivateDir::create(&root.path().join("own")).unwrap();
        let foreign = root.path().join("foreign");
        fs::write(&foreign, "precious").unwrap();
        symlink(&foreign, dir.path().join("file")).unwrap();
        symlink(root.path(), dir.path().join("dir")).unwrap();
        assert!(dir.contains("file").unwrap());
        assert!(dir.read("file").is_err());
        assert!(dir.append("file").is_err());
        assert!(dir.create_empty("file").is_err());
        assert!(dir.subdir("dir").is_err());
        symlink(dir.path(), root.path().join("link")).unwrap();
        assert!(PrivateDir::open(&root.path().join("link")).is_err());
        assert_eq!(fs::read_to_string(foreign).unwrap(), "precious");
    }

    #[test]
    fn it_stays_private() {
        let root = tempfile::tempdir().unwrap();
        let path = root.path().join("own");
        let dir = PrivateDir::create(&path).unwrap();
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode(&path), 0o700);
        dir.write_durably("file", b"text").unwrap();
        assert_eq!(mode(&path.join("file")), 0o600);
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
        PrivateDir::open(&path).unwrap();
        assert_eq!(mode(&path), 0o700, "reading is taken from others");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o770)).unwrap();
        assert_eq!(PrivateDir::open(&path).unwrap_err().kind(), io::ErrorKind::PermissionDenied);
    }

    #[test]
    fn something_that_is_no_file_is_refused() {
        let root = tempfile::tempdir().unwrap();
        let dir = PrivateDir::create(&root.path().join("own")).unwrap();
        dir.subdir("journal.jsonl").unwrap();
        assert!(dir.read("journal.jsonl").is_err());
    }
}
