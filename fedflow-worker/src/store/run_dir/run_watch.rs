//! `RunWatch`: waits for something to happen in a run that another process supervises, without polling.

use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::path::Path;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::inotify::{self, CreateFlags, WatchFlags};
use rustix::io::Errno;
use rustix::process::{Pid, PidfdFlags, pidfd_open};

use super::layout::RunDir;
use super::lock::{LockError, LockHolder, LockState, RunLock};
use crate::processes::is_alive;

/// How often to look for a supervisor that cannot be watched because it is in another process namespace.
const PROBE_INTERVAL: Duration = Duration::from_secs(1);

/// Watches a run's journal, its supervisor, and directories.
///
/// Read the journal after opening the watch, and again after each [`wait`](Self::wait): then nothing is missed.
#[derive(Debug)]
pub struct RunWatch {
    run_dir: RunDir,
    changes: OwnedFd,
    supervisor: Supervisor,
}

#[derive(Debug)]
enum Supervisor {
    None,
    Process(OwnedFd),
    Elsewhere,
}

/// Why a wait ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Woken {
    /// The journal or a directory may have changed.
    Changed,
    /// No supervisor works there any more; everything that it wrote is there.
    Unsupervised,
    /// The reader of the output is gone.
    ReaderGone,
}

impl RunWatch {
    /// Begins to watch the journal and the supervisor, if there is one.
    ///
    /// # Errors
    /// The system has no watch to give, or there is no journal.
    pub fn open(run_dir: &RunDir) -> Result<Self, LockError> {
        let failed = |source: Errno| LockError::Io { path: run_dir.journal(), source: source.into() };
        let changes = inotify::init(CreateFlags::CLOEXEC | CreateFlags::NONBLOCK).map_err(failed)?;
        inotify::add_watch(&changes, run_dir.journal(), WatchFlags::MODIFY).map_err(failed)?;
        let supervisor = match RunLock::probe(run_dir)? {
            LockState::Free => Supervisor::None,
            LockState::Held(Some(holder)) => watch_process(&holder).unwrap_or(Supervisor::Elsewhere),
            LockState::Held(None) => Supervisor::Elsewhere,
        };
        Ok(Self { run_dir: run_dir.clone(), changes, supervisor })
    }

    /// Whether a supervisor worked there when this was opened, and has not been seen to end.
    #[must_use]
    pub fn is_supervised(&self) -> bool {
        !matches!(self.supervisor, Supervisor::None)
    }

    /// Watches the entries of a directory, too, and what is written to its files. It need not exist: then the
    /// one above it should be watched as well. A link is not followed.
    ///
    /// # Errors
    /// The system has no more watches to give.
    pub fn add_directory(&self, path: &Path) -> io::Result<()> {
        let what = WatchFlags::CREATE | WatchFlags::MOVED_TO | WatchFlags::MODIFY;
        let how = WatchFlags::ONLYDIR | WatchFlags::DONT_FOLLOW;
        match inotify::add_watch(&self.changes, path, what | how) {
            Ok(_) | Err(Errno::NOENT | Errno::NOTDIR) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    /// Blocks until something happens: in what is watched, to the supervisor, or to the reader of a pipe or
    /// terminal.
    ///
    /// # Errors
    /// The system refuses it.
    pub fn wait(&mut self, output: Option<BorrowedFd<'_>>) -> Result<Woken, LockError> {
        let mut timeout = None;
        let mut descriptors = vec![PollFd::new(&self.changes, PollFlags::IN)];
        match &self.supervisor {
            Supervisor::None => return Ok(Woken::Unsupervised),
            Supervisor::Process(process) => descriptors.push(PollFd::new(process, PollFlags::IN)),
            Supervisor::Elsewhere => timeout = Timespec::try_from(PROBE_INTERVAL).ok(),
        }
        let supervised = descriptors.len();
        // No event is asked for: an error is reported anyway.
        descriptors.extend(output.map(|output| PollFd::from_borrowed_fd(output, PollFlags::empty())));
        match poll(&mut descriptors, timeout.as_ref()) {
            Ok(_) | Err(Errno::INTR) => {}
            Err(error) => return Err(LockError::Io { path: self.run_dir.lock(), source: error.into() }),
        }
        let [changed, others @ ..] = descriptors.as_slice() else { return Ok(Woken::Changed) };
        let is_set = |descriptor: &PollFd<'_>| !descriptor.revents().is_empty();
        let changed = is_set(changed);
        let ended = others.iter().take(supervised - 1).any(is_set);
        let reader_gone = others.iter().skip(supervised - 1).any(is_set);
        if changed {
            self.forget_changes();
        }
        let elsewhere = matches!(self.supervisor, Supervisor::Elsewhere);
        if ended || elsewhere && RunLock::probe(&self.run_dir)? == LockState::Free {
            self.supervisor = Supervisor::None;
            return Ok(Woken::Unsupervised);
        }
        Ok(if reader_gone { Woken::ReaderGone } else { Woken::Changed })
    }

    /// The caller looks at everything again, so the events themselves do not matter.
    fn forget_changes(&self) {
        let mut buffer = [MaybeUninit::<u8>::uninit(); 4096];
        while matches!(rustix::io::read(&self.changes, &mut buffer), Ok((read, _)) if !read.is_empty()) {}
    }
}

/// A descriptor that becomes readable when the process ends; `None` if it has ended or cannot be seen from here.
fn watch_process(holder: &LockHolder) -> Option<Supervisor> {
    let pid = Pid::from_raw(i32::try_from(holder.process.pid).ok()?)?;
    let process = pidfd_open(pid, PidfdFlags::empty()).ok()?;
    // Its number may have been given to another one before it was opened.
    is_alive(holder.process).then_some(Supervisor::Process(process))
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::io::{BufRead, BufReader};
    use std::os::fd::AsFd;
    use std::process::Stdio;

    use super::*;
    use crate::store::example_run as sample;

    #[test]
    fn without_a_supervisor_nothing_is_waited_for() {
        let root = tempfile::tempdir().unwrap();
        let run = sample::new_run(root.path());
        assert!(RunWatch::open(&run).is_err(), "there is no journal");
        sample::write_run(&run, &sample::events());
        let mut watch = RunWatch::open(&run).unwrap();
        assert!(!watch.is_supervised());
        assert_eq!(watch.wait(None).unwrap(), Woken::Unsupervised);
    }

    #[test]
    fn changes_a_lost_reader_and_the_end_of_the_supervisor_wake() {
        let root = tempfile::tempdir().unwrap();
        let run = sample::new_run(root.path());
        sample::write_run(&run, &sample::events());
        let mut child = sample::child("store::run_dir::run_watch::tests::child_that_supervises", run.path());
        let mut child = child.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        assert!(lines.any(|line| line.unwrap() == "locked"));

        let mut watch = RunWatch::open(&run).unwrap();
        assert!(watch.is_supervised());
        let directory = root.path().join("group");
        watch.add_directory(root.path()).unwrap();
        watch.add_directory(&directory).unwrap();
        fs::create_dir(&directory).unwrap();
        assert_eq!(watch.wait(None).unwrap(), Woken::Changed);
        watch.add_directory(&directory).unwrap();
        fs::write(directory.join("file"), "x").unwrap();
        assert_eq!(watch.wait(None).unwrap(), Woken::Changed);
        fs::OpenOptions::new().append(true).open(run.journal()).unwrap().set_len(10).unwrap();
        assert_eq!(watch.wait(None).unwrap(), Woken::Changed);

        let (reader, writer) = rustix::pipe::pipe().unwrap();
        drop(reader);
        assert_eq!(watch.wait(Some(writer.as_fd())).unwrap(), Woken::ReaderGone);

        child.kill().unwrap();
        assert_eq!(watch.wait(None).unwrap(), Woken::Unsupervised);
        assert_eq!(RunLock::probe(&run).unwrap(), LockState::Free, "its lock went before it did");
        assert!(!watch.is_supervised());
        child.wait().unwrap();
    }

    /// Runs in a child process of the test above.
    #[test]
    fn child_that_supervises() {
        let Some(path) = sample::child_argument() else { return };
        let _lock = RunLock::acquire(&RunDir::open(path).unwrap()).unwrap();
        println!("\nlocked");
        // Until it is killed; or until the test that started it is gone.
        let _ = io::stdin().read_line(&mut String::new());
    }
}
