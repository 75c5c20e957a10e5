//! `Logs`: a task's two log files, and what was written last there.

use std::fs::File;
use std::io;
use std::os::fd::BorrowedFd;
use std::path::Path;
use std::sync::Arc;
use std::thread;

use fedflow_core::{LastLines, printed_text};

use crate::host::logs::capped_log::{CappedLog, read_up_to};
use crate::host::logs::log_keeper::LogKeeper;

/// The most that is repeated of a log's end, in bytes and in lines.
const TAIL_BYTES: usize = 4096;
const TAIL_LINES: usize = 20;
/// How much of a log's end is searched for the cause of a failure, in bytes: a framework may write more after it.
const END_BYTES: u64 = 64 * 1024;

/// The files that a task's processes write to. They stay open here: what is read of them later is what the processes
/// wrote, even if a worker has put other files in their place.
#[derive(Debug, Clone)]
pub(crate) struct Logs {
    stdout: Arc<CappedLog>,
    stderr: Arc<CappedLog>,
}

impl Logs {
    /// Makes the files in a task's empty directory. Each may take `limit` bytes.
    pub(crate) fn create(workdir: &Path, limit: u64) -> io::Result<Self> {
        let create = |name| CappedLog::create(workdir, name, limit).map(Arc::new);
        Ok(Self { stdout: create("stdout.log")?, stderr: create("stderr.log")? })
    }

    /// Has the log keeper look at their size while processes write to them.
    pub(crate) fn keep_small(&self, keeper: &LogKeeper) {
        keeper.watch([&self.stdout, &self.stderr]);
    }

    /// Descriptors for a process.
    pub(crate) fn for_process(&self) -> (BorrowedFd<'_>, BorrowedFd<'_>) {
        (self.stdout.for_appending(), self.stderr.for_appending())
    }

    /// What was written last, as plain text.
    pub(crate) fn ends(&self) -> LogEnds {
        LogEnds { stderr: LogEnd::of(self.stderr.file()), stdout: LogEnd::of(self.stdout.file()) }
    }

    /// The length of both files together, in bytes; a hole counts.
    pub(crate) fn size(&self) -> u64 {
        let size = |log: &CappedLog| log.file().metadata().map_or(0, |metadata| metadata.len());
        size(&self.stdout).saturating_add(size(&self.stderr))
    }

    /// Whether [`Self::finish`] has something to do.
    pub(crate) fn are_too_large(&self) -> bool {
        self.stdout.is_over_limit() || self.stderr.is_over_limit()
    }

    /// Brings files that are too large into their final form when no process writes any more. Blocks on the disk.
    pub(crate) fn finish(&self, workdir: &Path) {
        for log in [&self.stdout, &self.stderr] {
            // On a full disk, for example: the file keeps its hole, and readers see that something is missing.
            let _ = log.finish(workdir);
        }
    }

    /// [`Self::finish`] in a thread of its own, if it has something to do.
    pub(crate) fn finish_in_background(&self, workdir: &Path) {
        if !self.are_too_large() {
            return;
        }
        let (logs, workdir) = (self.clone(), workdir.to_owned());
        // Without a thread for it the logs keep their hole, which takes no space.
        let _ = thread::Builder::new().name("fedflow-trim".into()).spawn(move || logs.finish(&workdir));
    }

    /// Moves both files, empty, to the directory `next`, as the process that writes to them goes on to another task.
    /// A copy of each in its final form is left behind. Blocks on the disk.
    ///
    /// # Errors
    /// A worker has removed one of them, or the other directory has such a file.
    pub(crate) fn move_on(&self, workdir: &Path, next: &Path) -> io::Result<()> {
        self.stdout.move_on(workdir, next)?;
        self.stderr.move_on(workdir, next)
    }
}

/// The ends of both logs.
pub(crate) struct LogEnds {
    stderr: LogEnd,
    stdout: LogEnd,
}

/// The end of a log, as plain text; empty if it cannot be read.
struct LogEnd {
    text: String,
    /// Whether there is more before it.
    cut: bool,
}

impl LogEnds {
    /// Each with its name: what is searched for the cause of a failure.
    pub(crate) fn searched(&self) -> [(&'static str, &str); 2] {
        [("stderr", &self.stderr.text), ("stdout", &self.stdout.text)]
    }

    /// The last lines of stderr; those of stdout if nothing was written there.
    pub(crate) fn last_lines(&self) -> LastLines {
        let stderr = self.stderr.last_lines();
        let stdout = if stderr.is_empty() { self.stdout.last_lines() } else { String::new() };
        LastLines { stderr, stdout }
    }
}

impl LogEnd {
    fn of(file: &File) -> Self {
        let (bytes, cut) = end_of(file, END_BYTES).unwrap_or_default();
        Self { text: printed_text(&String::from_utf8_lossy(&bytes)), cut }
    }

    /// The last lines, without those that are not there from their beginning.
    fn last_lines(&self) -> String {
        let text = self.text.trim_end();
        let from = text.ceil_char_boundary(text.len().saturating_sub(TAIL_BYTES));
        let is_cut = self.cut || from > 0;
        let text = match text[from..].split_once('\n') {
            Some((_, whole)) if is_cut => whole,
            _ => &text[from..],
        };
        let skipped = text.lines().count().saturating_sub(TAIL_LINES);
        text.lines().skip(skipped).collect::<Vec<_>>().join("\n").trim_start_matches('\n').to_owned()
    }
}

/// The last bytes of a file, at most `limit`, and whether there is more before them.
fn end_of(file: &File, limit: u64) -> io::Result<(Vec<u8>, bool)> {
    let length = file.metadata()?.len();
    let from = length.saturating_sub(limit);
    let mut bytes = vec![0; usize::try_from(length - from).unwrap_or(0)];
    let read = read_up_to(file, &mut bytes, from)?;
    bytes.truncate(read);
    Ok((bytes, from > 0))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    #[test]
    fn the_tail_is_what_was_written_last() {
        let directory = tempfile::tempdir().unwrap();
        let logs = Logs::create(directory.path(), 1 << 20).unwrap();
        assert_eq!(logs.ends().last_lines(), LastLines::default());
        let mut stderr = File::from(logs.for_process().1.try_clone_to_owned().unwrap());
        for line in 0..1000 {
            writeln!(stderr, "line {line}").unwrap();
        }
        // A worker that removes its log, or puts something else there, changes nothing.
        std::fs::remove_file(directory.path().join("stderr.log")).unwrap();
        let tail = logs.ends().last_lines().stderr;
        assert_eq!(tail.lines().count(), 20);
        assert!(tail.starts_with("line 980\n") && tail.ends_with("line 999"), "{tail}");
    }

    #[test]
    fn one_long_line_and_broken_text_are_told_as_they_can() {
        let last_lines = |text: &str, cut| LogEnd { text: text.into(), cut }.last_lines();
        assert_eq!(last_lines("xxxx", true), "xxxx");
        assert_eq!(last_lines("xx\nyy\n\n", true), "yy");
        assert_eq!(last_lines("xx\nyy", false), "xx\nyy");
        assert_eq!(last_lines(&format!("{}\nend", "é".repeat(TAIL_BYTES)), false), "end");
        let broken = tempfile::tempfile().unwrap();
        (&broken).write_all(b"xx\xff\n").unwrap();
        assert_eq!(LogEnd::of(&broken).last_lines(), "xx\u{fffd}");
    }

    #[test]
    fn without_a_line_on_stderr_those_of_stdout_are_told() {
        let directory = tempfile::tempdir().unwrap();
        let logs = Logs::create(directory.path(), 1 << 20).unwrap();
        let file = |descriptor: BorrowedFd<'_>| File::from(descriptor.try_clone_to_owned().unwrap());
        let (stdout, stderr) = logs.for_process();
        let (mut stdout, mut stderr) = (file(stdout), file(stderr));
        writeln!(stdout, "\u{1b}[31mValueError: 42\u{1b}[0m").unwrap();
        let of_stdout = LastLines { stdout: "ValueError: 42".into(), ..LastLines::default() };
        assert_eq!(logs.ends().last_lines(), of_stdout);
        // What shows nothing counts as nothing.
        writeln!(stderr, "\u{1b}[?25h").unwrap();
        assert_eq!(logs.ends().last_lines(), of_stdout);
        // A progress bar is shown as it was last, however long it took.
        (0..4000).for_each(|step| write!(stderr, "\r{step} of 4000").unwrap());
        assert_eq!(logs.ends().last_lines(), LastLines::of_stderr("3999 of 4000"));
    }

    #[test]
    fn logs_move_on_with_their_process_and_leave_what_was_written() {
        let root = tempfile::tempdir().unwrap();
        let workdir = |task: usize| root.path().join(task.to_string());
        (0..3).for_each(|task| std::fs::create_dir(workdir(task)).unwrap());
        let logs = Logs::create(&workdir(0), 1 << 16).unwrap();
        let (stdout, stderr) = logs.for_process();
        let file = |descriptor: BorrowedFd<'_>| File::from(descriptor.try_clone_to_owned().unwrap());
        let (mut stdout, mut stderr) = (file(stdout), file(stderr));
        let text = |task, name| std::fs::read_to_string(workdir(task).join(name)).unwrap();
        writeln!(stdout, "first").unwrap();
        logs.move_on(&workdir(0), &workdir(1)).unwrap();
        // Too much for its limit, so that its copy is cut.
        (0..20_000).for_each(|number| writeln!(stdout, "second {number}").unwrap());
        writeln!(stderr, "second").unwrap();
        assert_eq!(logs.ends().last_lines().stderr, "second");
        logs.move_on(&workdir(1), &workdir(2)).unwrap();
        writeln!(stdout, "third").unwrap();
        assert_eq!((text(0, "stdout.log").as_str(), text(0, "stderr.log").as_str()), ("first\n", ""));
        let second = text(1, "stdout.log");
        assert!(second.len() < 70_000 && second.contains(" bytes dropped: "), "{} bytes", second.len());
        assert!(second.starts_with("second 0\n") && second.ends_with("second 19999\n"));
        assert_eq!((text(2, "stdout.log").as_str(), text(2, "stderr.log").as_str()), ("third\n", ""));
        assert!(!logs.are_too_large());
        std::fs::remove_file(workdir(2).join("stdout.log")).unwrap();
        std::fs::create_dir(workdir(3)).unwrap();
        assert!(logs.move_on(&workdir(2), &workdir(3)).is_err(), "there is nothing left that could move");
    }

    #[test]
    fn an_existing_log_is_not_taken_over() {
        let directory = tempfile::tempdir().unwrap();
        std::os::unix::fs::symlink("/dev/null", directory.path().join("stdout.log")).unwrap();
        assert!(Logs::create(directory.path(), 1 << 20).is_err());
    }
}
