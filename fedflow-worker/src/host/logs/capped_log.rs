//! `CappedLog`: one log file that keeps its head and its newest part when it outgrows its limit.
//!
//! A worker writes straight to its file, as much as it likes. While it writes, what lies between the head and the
//! newest part is given back to the file system as a hole: the file's length grows, but not the space that it takes.
//! When the task is over, the file is written anew without the hole, with a line that says how much is missing. Where
//! the file system has no holes, the file is cut back to its head instead, and less of the newest part is kept.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::ops::Range;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};

use rustix::fs::{AtFlags, CWD, FallocateFlags, Mode, OFlags};
use rustix::io::Errno;

/// The smallest limit; a smaller one counts as this.
const LEAST_LIMIT: u64 = 64 << 10;
/// How much of the newest part is kept where the file has to be cut back, in bytes.
const KEPT_WHEN_CUT_BACK: u64 = 16 << 10;
/// How far a line feed is looked for, in bytes, so that lines are dropped whole.
const LONGEST_LINE: u64 = 4 << 10;

/// A log file with a limit. Processes append to it.
#[derive(Debug)]
pub(crate) struct CappedLog {
    /// For appending, as the processes share it. It is never read or written at its own offset, which is theirs.
    file: File,
    name: &'static str,
    limit: u64,
    dropped: Mutex<Dropped>,
}

/// What is missing in the file.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Dropped {
    Nothing,
    /// It is a hole in the file.
    Hole(Range<u64>),
    /// A line at the end of the head says so, which is `notice` bytes long.
    CutBack {
        head: u64,
        notice: u64,
        bytes: u64,
    },
}

impl CappedLog {
    /// Makes the file in a task's directory.
    pub(crate) fn create(workdir: &Path, name: &'static str, limit: u64) -> io::Result<Self> {
        let file =
            File::options().read(true).append(true).create_new(true).mode(0o644).open(workdir.join(name))?;
        let limit = limit.max(LEAST_LIMIT);
        Ok(Self { file, name, limit, dropped: Mutex::new(Dropped::Nothing) })
    }

    /// The file, for reading.
    pub(crate) fn file(&self) -> &File {
        &self.file
    }

    /// How long it is, in bytes; what was dropped while it is written counts.
    pub(crate) fn length(&self) -> io::Result<u64> {
        Ok(self.file.metadata()?.len())
    }

    /// A descriptor for a process that appends to it. It is the same file even if a worker has put another one in its
    /// place.
    pub(crate) fn for_appending(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }

    /// Whether it is larger than its limit, or something was dropped already.
    pub(crate) fn is_over_limit(&self) -> bool {
        let over = self.file.metadata().is_ok_and(|metadata| metadata.len() > self.limit);
        over || *self.lock() != Dropped::Nothing
    }

    /// The limit that counts, in bytes.
    pub(crate) fn limit(&self) -> u64 {
        self.limit
    }

    /// Drops what is too much; returns how long the file was before. Blocks on the disk.
    pub(crate) fn drop_excess(&self) -> io::Result<u64> {
        let mut dropped = self.lock();
        let length = self.file.metadata()?.len();
        if length <= self.limit {
            return Ok(length);
        }
        match *dropped {
            Dropped::CutBack { .. } => self.cut_back(&mut dropped, length)?,
            Dropped::Nothing | Dropped::Hole(_) => match self.punch(&mut dropped, length) {
                Err(Errno::OPNOTSUPP | Errno::NOSYS) => self.cut_back(&mut dropped, length)?,
                punched => punched?,
            },
        }
        Ok(length)
    }

    /// Makes a hole between the head and the newest part. It consists of whole blocks that hold nothing else.
    fn punch(&self, dropped: &mut Dropped, length: u64) -> Result<(), Errno> {
        let block = self.block()?;
        let start = self.head().next_multiple_of(block);
        let end = (length - self.tail()) / block * block;
        let from = if let Dropped::Hole(hole) = &*dropped { hole.end } else { start };
        if from < end {
            let how = FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE;
            while let Err(error) = rustix::fs::fallocate(&self.file, how, from, end - from) {
                if error != Errno::INTR {
                    return Err(error);
                }
            }
            *dropped = Dropped::Hole(start..end);
        }
        Ok(())
    }

    /// Cuts the file after its head, and appends a line that says so and the last lines. What is written meanwhile is
    /// lost, so the line says "at least".
    fn cut_back(&self, dropped: &mut Dropped, length: u64) -> io::Result<()> {
        let (head, before, notice) = match *dropped {
            Dropped::CutBack { head, notice, bytes } => (head, bytes, notice),
            Dropped::Nothing | Dropped::Hole(_) => (self.line_end_before(self.head())?, 0, 0),
        };
        let newest = self.line_start_after(length - KEPT_WHEN_CUT_BACK)?;
        let mut kept = vec![0; usize::try_from(length - newest).unwrap_or(0)];
        self.file.read_exact_at(&mut kept, newest)?;
        let bytes = before + newest.saturating_sub(head + notice);
        let text = format!("[… at least {bytes} bytes dropped: the log's limit is {} …]\n", self.limit);
        self.file.set_len(head)?;
        *dropped = Dropped::CutBack { head, notice: text.len() as u64, bytes };
        let mut end = &self.file;
        end.write_all(text.as_bytes())?;
        end.write_all(&kept)
    }

    /// Brings the file into its final form when no process writes any more: a file that is too large is written anew,
    /// as the head, a line that says how many bytes are missing, and the newest part. Blocks on the disk.
    ///
    /// A file that a worker has put in its place is left alone. If this fails, the hole stays, which takes no space.
    pub(crate) fn finish(&self, workdir: &Path) -> io::Result<()> {
        self.trim(&mut self.lock(), workdir).map(drop)
    }

    /// Moves the file, empty, to the directory `next`, as its process goes on to another task. A copy of it in its
    /// final form is left in its place. Blocks on the disk.
    ///
    /// # Errors
    /// The file is not there any more, or its name is taken in the other directory.
    pub(crate) fn move_on(&self, workdir: &Path, next: &Path) -> io::Result<()> {
        let mut dropped = self.lock();
        rustix::fs::linkat(CWD, self.own_path(), CWD, next.join(self.name), AtFlags::SYMLINK_FOLLOW)?;
        let left = self.trim(&mut dropped, workdir).and_then(|is_anew| match is_anew {
            true => Ok(()),
            false => self.replace(workdir, |new| self.copy(0..self.file.metadata()?.len(), new)),
        });
        *dropped = Dropped::Nothing;
        self.file.set_len(0)?;
        // If a worker has put something else in its place, that stays.
        drop(left);
        Ok(())
    }

    /// Brings it into its final form; returns whether another file is in its place now.
    fn trim(&self, dropped: &mut Dropped, workdir: &Path) -> io::Result<bool> {
        let length = self.file.metadata()?.len();
        let hole = match dropped {
            Dropped::CutBack { .. } if length > self.limit => {
                return self.cut_back(dropped, length).map(|()| false);
            }
            Dropped::CutBack { .. } => return Ok(false),
            Dropped::Nothing if length <= self.limit => return Ok(false),
            Dropped::Nothing => self.head()..length - self.tail(),
            Dropped::Hole(hole) => hole.clone(),
        };
        let head = self.line_end_before(self.head())?;
        let newest = self.line_start_after((length.saturating_sub(self.tail())).max(hole.end))?;
        let text = format!("[… {} bytes dropped: the log's limit is {} …]\n", newest - head, self.limit);
        self.replace(workdir, |mut new| {
            self.copy(0..head, new)?;
            new.write_all(text.as_bytes())?;
            self.copy(newest..length, new)
        })?;
        Ok(true)
    }

    /// Puts a new file in its place, unless another one is there already.
    fn replace(&self, workdir: &Path, write: impl FnOnce(&File) -> io::Result<()>) -> io::Result<()> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let directory = rustix::fs::openat(CWD, workdir, flags, Mode::empty())?;
        let there = rustix::fs::statat(&directory, self.name, AtFlags::SYMLINK_NOFOLLOW)?;
        let ours = rustix::fs::fstat(&self.file)?;
        if (there.st_dev, there.st_ino) != (ours.st_dev, ours.st_ino) {
            return Err(io::Error::other("another file is in its place"));
        }
        let new_name = format!(".{}.new", self.name);
        let new = self.create_beside(&directory, &new_name)?;
        let written = write(&new)
            .and_then(|()| Ok(rustix::fs::renameat(&directory, &new_name, &directory, self.name)?));
        if written.is_err() {
            let _ = rustix::fs::unlinkat(&directory, &new_name, AtFlags::empty());
        }
        written
    }

    fn create_beside(&self, directory: impl AsFd, name: &str) -> io::Result<File> {
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let mode = Mode::from_raw_mode(0o644);
        Ok(rustix::fs::openat(directory, name, flags, mode)?.into())
    }

    fn copy(&self, part: Range<u64>, mut to: &File) -> io::Result<()> {
        // With an offset of its own.
        let mut from = File::open(self.own_path())?;
        from.seek(SeekFrom::Start(part.start))?;
        // Between two files, std has the kernel copy.
        let copied = io::copy(&mut from.take(part.end - part.start), &mut to)?;
        if copied == part.end - part.start { Ok(()) } else { Err(io::ErrorKind::UnexpectedEof.into()) }
    }

    /// A path to this very file, even if another one is in its place.
    pub(crate) fn own_path(&self) -> String {
        format!("/proc/self/fd/{}", self.file.as_raw_fd())
    }

    /// The unit in which the file system gives space back.
    fn block(&self) -> Result<u64, Errno> {
        let size = rustix::fs::fstat(&self.file)?.st_blksize;
        Ok(u64::try_from(size).unwrap_or(0).next_power_of_two().max(4096))
    }

    /// How much of the beginning is kept.
    fn head(&self) -> u64 {
        self.limit / 2
    }

    /// How much of the end is kept.
    fn tail(&self) -> u64 {
        self.limit - self.head()
    }

    /// The last end of a line shortly before a position; the position itself if there is none.
    fn line_end_before(&self, place: u64) -> io::Result<u64> {
        let from = place.saturating_sub(LONGEST_LINE);
        let bytes = self.read_near(from, place)?;
        let end = bytes.iter().rposition(|byte| *byte == b'\n');
        Ok(end.map_or(place, |end| from + end as u64 + 1))
    }

    /// The first beginning of a line at a position or shortly after it; the position itself if there is none.
    fn line_start_after(&self, place: u64) -> io::Result<u64> {
        let from = place.saturating_sub(1);
        let bytes = self.read_near(from, from + LONGEST_LINE)?;
        let end = bytes.iter().position(|byte| *byte == b'\n');
        Ok(end.map_or(place, |end| from + end as u64 + 1))
    }

    fn read_near(&self, from: u64, to: u64) -> io::Result<Vec<u8>> {
        let mut bytes = vec![0; usize::try_from(to - from).unwrap_or(0)];
        let read = read_up_to(&self.file, &mut bytes, from)?;
        bytes.truncate(read);
        Ok(bytes)
    }

    fn lock(&self) -> MutexGuard<'_, Dropped> {
        self.dropped.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Reads from a position until the buffer is full or the file ends; returns how much was read.
pub(crate) fn read_up_to(file: &File, bytes: &mut [u8], from: u64) -> io::Result<usize> {
    let mut read = 0;
    while read < bytes.len() {
        match file.read_at(&mut bytes[read..], from + read as u64) {
            Ok(0) => break,
            Ok(more) => read += more,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(read)
}

#[cfg(test)]
impl CappedLog {
    fn appender(&self) -> File {
        self.file.try_clone().unwrap()
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::MetadataExt;

    use proptest::prelude::*;
    use tempfile::TempDir;

    use super::*;

    const LIMIT: u64 = LEAST_LIMIT;

    fn log() -> (TempDir, CappedLog) {
        let directory = tempfile::tempdir().unwrap();
        let log = CappedLog::create(directory.path(), "stdout.log", 0).unwrap();
        (directory, log)
    }

    /// Numbered lines of ten bytes.
    fn lines(numbers: Range<u64>) -> Vec<u8> {
        numbers.flat_map(|number| format!("{number:09}\n").into_bytes()).collect()
    }

    fn text(directory: &TempDir) -> String {
        fs::read_to_string(directory.path().join("stdout.log")).unwrap()
    }

    /// The numbers before and after the one line that is no number, and that line.
    fn parts(text: &str) -> (Vec<u64>, String, Vec<u64>) {
        let number = |line: &str| line.parse().unwrap();
        let place = text.lines().position(|line| line.contains('…')).unwrap();
        let head = text.lines().take(place).map(number).collect();
        let tail = text.lines().skip(place + 1).map(number).collect();
        (head, text.lines().nth(place).unwrap().into(), tail)
    }

    fn assert_consecutive(numbers: &[u64]) {
        assert!(numbers.windows(2).all(|pair| pair[0] + 1 == pair[1]), "{numbers:?}");
    }

    #[test]
    fn what_a_flood_leaves_is_head_and_tail_and_says_what_is_missing() {
        let (directory, log) = log();
        let mut end = log.appender();
        for round in 0..40 {
            end.write_all(&lines(round * 5_000..(round + 1) * 5_000)).unwrap();
            log.drop_excess().unwrap();
            let metadata = log.file().metadata().unwrap();
            assert_eq!(metadata.len(), (round + 1) * 50_000, "the worker's place is not moved");
            assert!(
                metadata.blocks() * 512 <= LIMIT + 4 * log.block().unwrap(),
                "{} blocks",
                metadata.blocks()
            );
        }
        log.finish(directory.path()).unwrap();
        let text = text(&directory);
        let (head, notice, tail) = parts(&text);
        assert_eq!((head[0], *tail.last().unwrap()), (0, 199_999));
        assert_consecutive(&head);
        assert_consecutive(&tail);
        let missing = (tail[0] - head.last().unwrap() - 1) * 10;
        assert_eq!(notice, format!("[… {missing} bytes dropped: the log's limit is {LIMIT} …]"));
        let kept = (head.len() + tail.len()) as u64 * 10;
        assert!(kept <= LIMIT && kept > LIMIT - 2 * LONGEST_LINE - 2 * log.block().unwrap(), "{kept}");
        let left: Vec<_> = fs::read_dir(directory.path()).unwrap().collect();
        assert_eq!(left.len(), 1, "{left:?}");
    }

    #[test]
    fn a_flood_that_was_over_before_anybody_looked_is_cut_as_well() {
        let (directory, log) = log();
        log.appender().write_all(&lines(0..20_000)).unwrap();
        assert!(log.is_over_limit());
        log.finish(directory.path()).unwrap();
        let (head, _, tail) = parts(&text(&directory));
        assert_eq!((head[0], *tail.last().unwrap()), (0, 19_999));
    }

    #[test]
    fn without_holes_the_file_is_cut_back() {
        let (directory, log) = log();
        let mut end = log.appender();
        for round in 0..40 {
            end.write_all(&lines(round * 5_000..(round + 1) * 5_000)).unwrap();
            let length = log.file().metadata().unwrap().len();
            if length > LIMIT {
                log.cut_back(&mut log.lock(), length).unwrap();
            }
            assert!(log.file().metadata().unwrap().len() <= LIMIT);
        }
        end.write_all(&lines(200_000..200_001)).unwrap();
        log.finish(directory.path()).unwrap();
        let (head, notice, tail) = parts(&text(&directory));
        assert_eq!((head[0], *tail.last().unwrap()), (0, 200_000));
        assert_consecutive(&head);
        assert_consecutive(&tail);
        let missing = (tail[0] - head.last().unwrap() - 1) * 10;
        assert_eq!(notice, format!("[… at least {missing} bytes dropped: the log's limit is {LIMIT} …]"));
    }

    #[test]
    fn a_log_within_its_limit_is_left_as_it_is() {
        let (directory, log) = log();
        let whole = lines(0..LIMIT / 10);
        log.appender().write_all(&whole).unwrap();
        log.drop_excess().unwrap();
        assert!(!log.is_over_limit());
        log.finish(directory.path()).unwrap();
        assert_eq!(text(&directory).into_bytes(), whole);
    }

    #[test]
    fn what_a_worker_put_in_its_place_is_not_touched() {
        let (directory, log) = log();
        let path = directory.path().join("stdout.log");
        log.appender().write_all(&lines(0..20_000)).unwrap();
        fs::remove_file(&path).unwrap();
        let precious = directory.path().join("precious");
        fs::write(&precious, "x").unwrap();
        std::os::unix::fs::symlink(&precious, &path).unwrap();
        assert!(log.finish(directory.path()).is_err());
        assert_eq!(fs::read_to_string(&precious).unwrap(), "x");
        assert!(fs::symlink_metadata(&path).unwrap().is_symlink());
    }

    proptest! {
        /// Lines of any length, looked at at any moment: the beginning, one notice with the right number, and the end
        /// are left.
        #[test]
        fn head_and_tail_are_what_was_written(
            writes in prop::collection::vec((1_usize..30_000, 0_u8..3), 1..30),
        ) {
            let (directory, log) = log();
            let mut end = log.appender();
            let mut written = Vec::new();
            for (number, (length, look)) in writes.into_iter().enumerate() {
                let letter = b'a' + u8::try_from(number % 26).unwrap();
                let mut bytes = vec![letter; length];
                bytes[length - 1] = b'\n';
                end.write_all(&bytes).unwrap();
                written.extend(bytes);
                if look == 0 {
                    log.drop_excess().unwrap();
                }
            }
            log.finish(directory.path()).unwrap();
            let text = text(&directory);
            if written.len() as u64 <= LIMIT {
                prop_assert_eq!(text.as_bytes(), written.as_slice());
                return Ok(());
            }
            let (head, rest) = text.split_once("[… ").unwrap();
            let (count, rest) = rest.split_once(" bytes dropped: ").unwrap();
            let (_, tail) = rest.split_once("…]\n").unwrap();
            prop_assert!(written.starts_with(head.as_bytes()) && written.ends_with(tail.as_bytes()));
            prop_assert_eq!(head.len() + tail.len() + count.parse::<usize>().unwrap(), written.len());
            prop_assert!((head.len() + tail.len()) as u64 <= LIMIT && tail.len() as u64 >= LIMIT / 4);
        }
    }
}
