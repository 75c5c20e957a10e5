//! `LogReader`: reads a task's log, also while the task writes, and reports where bytes were dropped from it.

use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::FileExt;
use std::path::Path;

use rustix::fs::{AtFlags, CWD, FileType, Mode, OFlags, SeekFrom, Stat, seek};
use rustix::io::Errno;

/// How much is read at once.
const PIECE: usize = 64 << 10;

/// A log, read from its beginning.
#[derive(Debug)]
pub struct LogReader {
    file: File,
    directory: OwnedFd,
    place: u64,
}

/// A piece of a log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogPiece<'a> {
    /// What the task wrote.
    Text(&'a [u8]),
    /// This many bytes were dropped here, as the log had outgrown its limit.
    Dropped(u64),
}

impl LogReader {
    /// Opens a log in a task's directory. A link or a pipe in its place is refused.
    ///
    /// # Errors
    /// There is none, or it cannot be read.
    pub fn open(workdir: &Path, name: &str) -> io::Result<Self> {
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let directory = rustix::fs::openat(CWD, workdir, flags | OFlags::DIRECTORY, Mode::empty())?;
        let file: OwnedFd = rustix::fs::openat(&directory, name, flags, Mode::empty())?;
        if FileType::from_raw_mode(rustix::fs::fstat(&file)?.st_mode) != FileType::RegularFile {
            return Err(io::Error::other("it is not a regular file"));
        }
        Ok(Self { file: file.into(), directory, place: 0 })
    }

    /// Whether the directory in which it was opened is still the task's: a new attempt has a new one.
    #[must_use]
    pub fn is_of(&self, workdir: &Path) -> bool {
        let identity = |stat: Stat| (stat.st_dev, stat.st_ino);
        let now = rustix::fs::statat(CWD, workdir, AtFlags::SYMLINK_NOFOLLOW).map(identity);
        // The directory of a new attempt may not be there yet; until then this one is the latest.
        now == Err(Errno::NOENT) || now == rustix::fs::fstat(&self.directory).map(identity)
    }

    /// Passes on what was written since the last call.
    ///
    /// # Errors
    /// The file cannot be read, or `take` fails.
    pub fn read_new<E: From<io::Error>>(
        &mut self,
        mut take: impl FnMut(LogPiece<'_>) -> Result<(), E>,
    ) -> Result<(), E> {
        let mut buffer = vec![0; PIECE];
        loop {
            let Some(data) = self.next_data()? else { return Ok(()) };
            if data > self.place {
                take(LogPiece::Dropped(data - self.place))?;
                self.place = data;
            }
            let read = self.file.read_at(&mut buffer, self.place)?;
            let length = self.before_hole(&buffer[..read]);
            if read == 0 {
                return Ok(());
            }
            take(LogPiece::Text(&buffer[..length]))?;
            self.place += length as u64;
        }
    }

    /// Where the next data begins; `None` if there is none.
    fn next_data(&self) -> io::Result<Option<u64>> {
        loop {
            match seek(&self.file, SeekFrom::Data(self.place)) {
                Ok(place) => return Ok(Some(place)),
                Err(Errno::NXIO) => return Ok(None),
                Err(Errno::INTR) => {}
                // The file system does not support it, and so has no holes.
                Err(Errno::INVAL | Errno::OPNOTSUPP) => return Ok(Some(self.place)),
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// How many of the bytes that were read come before a hole that was made meanwhile, and is read as zeros.
    fn before_hole(&self, read: &[u8]) -> usize {
        if !read.contains(&0) {
            return read.len();
        }
        let hole = seek(&self.file, SeekFrom::Hole(self.place)).ok();
        let length = hole.and_then(|hole| usize::try_from(hole.saturating_sub(self.place)).ok());
        length.unwrap_or(read.len()).min(read.len())
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::io::Write;

    use rustix::fs::FallocateFlags;

    use super::*;

    fn new_text(reader: &mut LogReader) -> String {
        let mut text = String::new();
        let take = |piece: LogPiece<'_>| {
            match piece {
                LogPiece::Text(bytes) => text.push_str(std::str::from_utf8(bytes).unwrap()),
                LogPiece::Dropped(bytes) => text.push_str(&format!("<{bytes}>")),
            }
            io::Result::Ok(())
        };
        reader.read_new(take).unwrap();
        text
    }

    #[test]
    fn what_is_written_is_read_once_and_zeros_are_no_hole() {
        let directory = tempfile::tempdir().unwrap();
        let mut file = File::create(directory.path().join("stdout.log")).unwrap();
        let mut reader = LogReader::open(directory.path(), "stdout.log").unwrap();
        assert_eq!(new_text(&mut reader), "");
        file.write_all(b"one\n").unwrap();
        assert_eq!(new_text(&mut reader), "one\n");
        file.write_all(b"a\0b").unwrap();
        assert_eq!(new_text(&mut reader), "a\0b");
        assert_eq!(new_text(&mut reader), "");
    }

    #[test]
    fn a_hole_is_told_where_it_is() {
        let directory = tempfile::tempdir().unwrap();
        let mut file = File::create(directory.path().join("stdout.log")).unwrap();
        file.write_all(&vec![b'x'; 1 << 20]).unwrap();
        let how = FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE;
        rustix::fs::fallocate(&file, how, 1 << 16, 1 << 19).unwrap();
        let mut reader = LogReader::open(directory.path(), "stdout.log").unwrap();
        let text = new_text(&mut reader);
        let expected =
            ["x".repeat(1 << 16), "<524288>".into(), "x".repeat((1 << 20) - (1 << 19) - (1 << 16))];
        assert!(text == expected.concat(), "{}", text.replace('x', "").len());
    }

    #[test]
    fn the_log_of_an_earlier_attempt_is_told_from_that_of_the_next() {
        let root = tempfile::tempdir().unwrap();
        let task = root.path().join("task");
        fs::create_dir(&task).unwrap();
        fs::write(task.join("stdout.log"), "first").unwrap();
        let mut reader = LogReader::open(&task, "stdout.log").unwrap();
        fs::rename(&task, root.path().join("task.attempt-1")).unwrap();
        assert!(reader.is_of(&task));
        fs::create_dir(&task).unwrap();
        assert!(!reader.is_of(&task));
        assert_eq!(new_text(&mut reader), "first");
    }

    #[test]
    fn a_link_and_a_pipe_are_refused() {
        let directory = tempfile::tempdir().unwrap();
        fs::write(directory.path().join("secret"), "x").unwrap();
        std::os::unix::fs::symlink("secret", directory.path().join("stdout.log")).unwrap();
        assert!(LogReader::open(directory.path(), "stdout.log").is_err());
        let pipe = directory.path().join("stderr.log");
        rustix::fs::mknodat(CWD, &pipe, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).unwrap();
        assert!(LogReader::open(directory.path(), "stderr.log").is_err());
        let task = directory.path().join("task");
        std::os::unix::fs::symlink(directory.path(), &task).unwrap();
        assert!(LogReader::open(&task, "secret").is_err());
    }
}
