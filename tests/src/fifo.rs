//! `Fifo`: a pipe with a name, through which a task and the test say something to each other.

use std::fs::File;
use std::io::{BufRead, BufReader, Write};
use std::path::{Display, PathBuf};

use rustix::fs::{CWD, FileType, Mode, mknodat};

use crate::sandbox::Sandbox;

/// A pipe with a name.
#[derive(Debug)]
pub struct Fifo {
    path: PathBuf,
    /// Open for both directions, so that neither side ever waits for the other to open it.
    file: BufReader<File>,
}

impl Fifo {
    /// Makes one in a sandbox.
    ///
    /// # Panics
    /// There is something of this name.
    #[must_use]
    pub fn make(sandbox: &Sandbox, name: &str) -> Self {
        let path = sandbox.path().join(name);
        mknodat(CWD, &path, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).expect("a pipe in the sandbox");
        let file = File::options().read(true).write(true).open(&path).expect("a pipe can be opened");
        Self { path, file: BufReader::new(file) }
    }

    /// The next line; blocks until it comes.
    ///
    /// # Panics
    /// It is no text.
    pub fn line(&mut self) -> String {
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

    /// Its path.
    #[must_use]
    pub fn name(&self) -> Display<'_> {
        self.path.display()
    }
}
