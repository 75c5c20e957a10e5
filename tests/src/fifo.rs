//! `Fifo`: a named pipe, through which a task and a test exchange lines.

use std::fs::File;
use std::io::{BufRead, BufReader, Write};
use std::path::{Display, PathBuf};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{CWD, FileType, Mode, mknodat};
use rustix::io::retry_on_intr;

use crate::sandbox::Sandbox;

/// Longer than anything takes: only a test that fails waits this long.
const LONGEST_WAIT: Timespec = Timespec { tv_sec: 120, tv_nsec: 0 };

/// A named pipe.
#[derive(Debug)]
pub struct Fifo {
    path: PathBuf,
    /// Open in both directions, so that neither side waits for the other to open it.
    file: BufReader<File>,
}

impl Fifo {
    /// Creates a pipe in a sandbox.
    ///
    /// # Panics
    /// There is a file of this name.
    #[must_use]
    pub fn make(sandbox: &Sandbox, name: &str) -> Self {
        let path = sandbox.path().join(name);
        mknodat(CWD, &path, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).expect("a pipe in the sandbox");
        let file = File::options().read(true).write(true).open(&path).expect("a pipe can be opened");
        Self { path, file: BufReader::new(file) }
    }

    /// The next line. Blocks until it comes.
    ///
    /// # Panics
    /// The line is no text, or none has come for so long that none will.
    pub fn line(&mut self) -> String {
        if self.file.buffer().is_empty() {
            let pipe = PollFd::new(self.file.get_ref(), PollFlags::IN);
            let ready = retry_on_intr(|| poll(&mut [pipe.clone()], Some(&LONGEST_WAIT)));
            assert_eq!(ready, Ok(1), "nothing is said in {}", self.path.display());
        }
        let mut line = String::new();
        self.file.read_line(&mut line).expect("a pipe can be read");
        line
    }

    /// Writes a line for a task to read.
    ///
    /// # Panics
    /// The pipe is broken.
    pub fn say(&mut self, line: &str) {
        self.file.get_mut().write_all(line.as_bytes()).expect("a pipe can be written");
    }

    /// The path of the pipe.
    #[must_use]
    pub fn name(&self) -> Display<'_> {
        self.path.display()
    }
}
