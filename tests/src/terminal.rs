//! `Terminal`: a real terminal, for what a command does on one.

use std::fs::{File, OpenOptions};
use std::io::Read;
use std::os::fd::OwnedFd;
use std::thread::{self, JoinHandle};

use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{LocalModes, OptionalActions, tcgetattr, tcsetattr};

/// A terminal on which background groups may not write, as after `stty tostop`. What is written to it is read at once.
#[derive(Debug)]
pub(crate) struct Terminal {
    /// The end of the programs that run on it.
    programs: File,
    reader: JoinHandle<String>,
}

impl Terminal {
    /// Opens one.
    ///
    /// # Panics
    /// The system gives none.
    pub(crate) fn open() -> Self {
        let flags = OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC;
        let own = openpt(flags).expect("a terminal");
        grantpt(&own).expect("access to the terminal");
        unlockpt(&own).expect("an unlocked terminal");
        let name = ptsname(&own, Vec::new()).expect("the terminal's name");
        let name = name.into_string().expect("a name in UTF-8");
        let programs = OpenOptions::new().read(true).write(true).open(name).expect("the terminal");
        let mut modes = tcgetattr(&programs).expect("the terminal's modes");
        modes.local_modes |= LocalModes::TOSTOP;
        tcsetattr(&programs, OptionalActions::Now, &modes).expect("other modes");
        Self { programs, reader: thread::spawn(move || read_all(own)) }
    }

    /// The end of the programs that run on it, for one stream of a program.
    ///
    /// # Panics
    /// The system is out of descriptors.
    pub(crate) fn stream(&self) -> File {
        self.programs.try_clone().expect("a descriptor")
    }

    /// What was written to it, once no program has it any more.
    ///
    /// # Panics
    /// Its reader has panicked.
    pub(crate) fn text(self) -> String {
        drop(self.programs);
        self.reader.join().expect("the reader goes on to the end")
    }
}

/// Reads until no program has the terminal any more.
fn read_all(own: OwnedFd) -> String {
    let (mut own, mut text, mut bytes) = (File::from(own), Vec::new(), [0; 4096]);
    // At the end there is an error, not the end of a file.
    while let Ok(count @ 1..) = own.read(&mut bytes) {
        text.extend_from_slice(&bytes[..count]);
    }
    String::from_utf8_lossy(&text).into_owned()
}
