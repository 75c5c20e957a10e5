//! `RunLock`: at most one supervisor works in a run directory; the kernel frees it when its holder dies.

use std::fmt;
use std::fs::{File, TryLockError};
use std::io;
use std::os::unix::fs::FileExt;
use std::time::{Duration, UNIX_EPOCH};

use fedflow_core::ProcessId;
use serde::{Deserialize, Serialize};

use super::layout::{LOCK, RunDir};
use crate::processes::{await_end, is_alive, this_process};
use crate::store::wall_clock;

/// How long to try again for a lock whose holder is unknown: a process that only looks ([`RunLock::probe`]) holds it for an
/// instant, and a supervisor that has just taken it is about to write its name.
const PATIENCE: Duration = Duration::from_millis(500);
/// How long to wait for the end of a supervisor that has lost its guard. It needs three seconds at most, unless the system
/// holds it.
const LAST_STEPS: Duration = Duration::from_secs(10);
/// The longest holder's text, in bytes.
const MAX_TEXT: usize = 4096;

/// A held lock. It is released when this is dropped, or when the process ends, in whatever way. The file is never removed:
/// otherwise two supervisors could hold two files of one name.
#[derive(Debug)]
pub struct RunLock {
    file: File,
    run_dir: RunDir,
    holder: LockHolder,
}

/// The supervisor that holds a lock, for messages and for `stop`. It is written into the lock's file as JSON.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct LockHolder {
    /// The supervisor.
    #[serde(flatten)]
    pub process: ProcessId,
    /// Its guard, as far as it has one and it is known. When that is gone, the supervisor is about to end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub guard: Option<ProcessId>,
    /// When it took the lock, in Unix seconds.
    pub since: f64,
    /// The run's token; `None` until the journal is open.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub run_token: Option<String>,
}

/// Whether a run directory is locked.
#[derive(Debug, Clone, PartialEq)]
pub enum LockState {
    /// No supervisor works there.
    Free,
    /// A supervisor works there. Its name is `None` for an instant after it took the lock, before it has written its name.
    Held(Option<LockHolder>),
}

/// Why a lock cannot be taken.
#[derive(Debug, thiserror::Error)]
pub enum LockError {
    /// Another process holds it.
    #[error("{} is locked by {}", run_dir.display(), holder_text(holder.as_ref()))]
    Held {
        /// The run directory.
        run_dir: std::path::PathBuf,
        /// The holder; `None` if it has not written its name.
        holder: Option<LockHolder>,
    },
    /// The system refuses it.
    #[error("cannot lock {}: {source}", path.display())]
    Io {
        /// The lock's file.
        path: std::path::PathBuf,
        /// The system's error.
        source: io::Error,
    },
}

impl RunLock {
    /// Takes the lock for a process without a guard, as [`Self::acquire_guarded`] does.
    ///
    /// # Errors
    /// As there.
    pub fn acquire(run_dir: &RunDir) -> Result<Self, LockError> {
        Self::acquire_guarded(run_dir, None, |_| ())
    }

    /// Takes the lock for a supervisor with this guard. It does not wait for a supervisor that has it, except for one whose
    /// guard is gone, and which therefore ends: `told` hears of it before. Blocks for ten seconds at most, without such a
    /// supervisor for half a second.
    ///
    /// # Errors
    /// Another process holds it, or the file system has no locks.
    pub fn acquire_guarded(
        run_dir: &RunDir,
        guard: Option<ProcessId>,
        told: impl FnOnce(&LockHolder),
    ) -> Result<Self, LockError> {
        let failed = |source| LockError::Io { path: run_dir.lock(), source };
        let file = run_dir.private().open_or_create(LOCK).map_err(failed)?;
        let mut told = Some(told);
        let mut deadline = wall_clock::monotonic() + PATIENCE;
        loop {
            match file.try_lock() {
                Ok(()) => break,
                Err(TryLockError::Error(error)) => return Err(failed(error)),
                Err(TryLockError::WouldBlock) => {
                    let holder = read_holder(&file).filter(|holder| is_alive(holder.process));
                    if let Some(holder) = holder.as_ref().filter(|holder| holder.is_ending())
                        && let Some(told) = told.take()
                    {
                        told(holder);
                        await_end(holder.process, LAST_STEPS);
                        deadline = wall_clock::monotonic() + PATIENCE;
                        continue;
                    }
                    if holder.is_some() || wall_clock::monotonic() > deadline {
                        return Err(LockError::Held { run_dir: run_dir.path().into(), holder });
                    }
                    std::thread::yield_now();
                }
            }
        }
        let process = this_process().map_err(failed)?;
        let holder = LockHolder { process, guard, since: wall_clock::unix_now(), run_token: None };
        let lock = Self { file, run_dir: run_dir.clone(), holder };
        lock.write(&lock.holder).map_err(failed)?;
        Ok(lock)
    }

    /// Looks whether the lock of a run directory is held.
    ///
    /// # Errors
    /// The system refuses it.
    pub fn probe(run_dir: &RunDir) -> Result<LockState, LockError> {
        let failed = |source| LockError::Io { path: run_dir.lock(), source };
        let file = match run_dir.private().read(LOCK) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(LockState::Free),
            Err(error) => return Err(failed(error)),
        };
        match file.try_lock_shared() {
            Ok(()) => Ok(LockState::Free),
            Err(TryLockError::WouldBlock) => {
                Ok(LockState::Held(read_holder(&file).filter(|holder| is_alive(holder.process))))
            }
            Err(TryLockError::Error(error)) => Err(failed(error)),
        }
    }

    /// Blocks until the lock of a run directory is free.
    ///
    /// # Errors
    /// The system refuses it.
    pub fn wait_until_free(run_dir: &RunDir) -> Result<(), LockError> {
        let failed = |source| LockError::Io { path: run_dir.lock(), source };
        let file = match run_dir.private().read(LOCK) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            Err(error) => return Err(failed(error)),
        };
        loop {
            match file.lock_shared() {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                locked => return locked.map_err(failed),
            }
        }
    }

    /// The directory that is locked.
    #[must_use]
    pub fn run_dir(&self) -> &RunDir {
        &self.run_dir
    }

    /// Adds the run's token to the lock's text. The text is for people and tools only, so a failure, as on a full disk, does
    /// not matter.
    pub(in crate::store) fn tell_token(&self, run_token: &str) {
        let holder = LockHolder { run_token: Some(run_token.into()), ..self.holder.clone() };
        let _ = self.write(&holder);
    }

    fn write(&self, holder: &LockHolder) -> io::Result<()> {
        let mut text = serde_json::to_vec(holder)?;
        text.push(b'\n');
        self.file.write_all_at(&text, 0)?;
        self.file.set_len(text.len() as u64)
    }
}

impl Drop for RunLock {
    fn drop(&mut self) {
        // The text must not name a holder that has given the lock up. If this fails, it is only stale.
        let _ = self.file.set_len(0);
    }
}

fn read_holder(file: &File) -> Option<LockHolder> {
    let mut text = [0; MAX_TEXT];
    let length = file.read_at(&mut text, 0).ok()?;
    // A longer text of an earlier holder may still stand behind the first line.
    let line = text.get(..length)?.split(|byte| *byte == b'\n').next()?;
    serde_json::from_slice(line).ok()
}

fn holder_text(holder: Option<&LockHolder>) -> String {
    holder.map_or_else(|| "another process".into(), ToString::to_string)
}

impl LockHolder {
    /// Whether it has lost its guard, and so is about to end.
    #[must_use]
    pub fn is_ending(&self) -> bool {
        self.guard.is_some_and(|guard| !is_alive(guard))
    }
}

impl fmt::Display for LockHolder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let since = Duration::try_from_secs_f64(self.since).unwrap_or_default();
        let since = UNIX_EPOCH.checked_add(since).unwrap_or(UNIX_EPOCH);
        write!(f, "process {} since {}", self.process.pid, humantime::format_rfc3339_seconds(since))?;
        if self.is_ending() { f.write_str("; its guard is gone, but it has not ended") } else { Ok(()) }
    }
}

#[cfg(test)]
mod tests {
    use std::io::{BufRead, BufReader};
    use std::process::Stdio;

    use super::*;
    use crate::store::create_run_dir;
    use crate::store::example_run as sample;

    #[test]
    fn one_at_a_time() {
        let root = tempfile::tempdir().unwrap();
        let run = sample::new_run(root.path());
        assert_eq!(RunLock::probe(&run).unwrap(), LockState::Free);
        let lock = RunLock::acquire(&run).unwrap();
        lock.tell_token("token");
        let LockState::Held(Some(holder)) = RunLock::probe(&run).unwrap() else { panic!("it is held") };
        assert_eq!(holder.process, this_process().unwrap());
        assert_eq!(holder.run_token.as_deref(), Some("token"));
        let error = RunLock::acquire(&run).unwrap_err().to_string();
        let expected = format!("is locked by process {} since 20", std::process::id());
        assert!(error.contains(&expected), "{error}");
        drop(lock);
        assert_eq!(RunLock::probe(&run).unwrap(), LockState::Free);
        assert_eq!(std::fs::read(run.lock()).unwrap(), b"", "the file stays, its text does not");
        RunLock::acquire(&run).unwrap();
    }

    #[test]
    fn those_who_look_do_not_get_in_the_way() {
        let root = tempfile::tempdir().unwrap();
        let run = sample::new_run(root.path());
        drop(RunLock::acquire(&run).unwrap());
        std::thread::scope(|scope| {
            let looking = scope.spawn(|| (0..2000).for_each(|_| drop(RunLock::probe(&run).unwrap())));
            while !looking.is_finished() {
                RunLock::acquire(&run).unwrap();
            }
        });
    }

    /// Runs in a child process of the test below.
    #[test]
    fn child_that_holds_the_lock() {
        let Some(path) = sample::child_argument() else { return };
        let _lock = RunLock::acquire(&create_run_dir(path).unwrap()).unwrap();
        println!("\nlocked");
        // Until it is killed; or until the test that started it is gone.
        let _ = io::stdin().read_line(&mut String::new());
    }

    /// Runs in a child process of the test below: a supervisor whose guard is gone, and that takes its time.
    #[test]
    fn child_that_has_lost_its_guard() {
        let Some(path) = sample::child_argument() else { return };
        let this = this_process().unwrap();
        let guard = ProcessId { start_ticks: this.start_ticks + 1, ..this };
        let _lock = RunLock::acquire_guarded(&RunDir::open(path).unwrap(), Some(guard), |_| ()).unwrap();
        println!("\nlocked");
        let _ = io::stdin().read_line(&mut String::new());
    }

    #[test]
    fn a_holder_without_its_guard_is_waited_for() {
        let root = tempfile::tempdir().unwrap();
        let run = sample::new_run(root.path());
        sample::write_run(&run, &sample::events());
        let mut child =
            sample::child("store::run_dir::lock::tests::child_that_has_lost_its_guard", run.path());
        let mut child = child.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        assert!(lines.any(|line| line.unwrap() == "locked"));
        let (number, stdin) = (child.id(), child.stdin.take());
        let mut told = None;
        let lock = RunLock::acquire_guarded(&run, None, |holder| {
            told = Some(holder.clone());
            drop(stdin);
        });
        lock.unwrap();
        let told = told.unwrap();
        assert_eq!((told.process.pid, told.is_ending()), (number, true));
        assert!(told.to_string().ends_with("its guard is gone, but it has not ended"), "{told}");
        child.wait().unwrap();
    }

    #[test]
    fn a_holder_whose_guard_lives_or_is_not_known_is_not_waited_for() {
        let root = tempfile::tempdir().unwrap();
        let run = sample::new_run(root.path());
        let this = this_process().unwrap();
        for guard in [Some(this), None] {
            let lock = RunLock::acquire_guarded(&run, guard, |_| ()).unwrap();
            let refused = RunLock::acquire_guarded(&run, guard, |_| panic!("it is told to wait"));
            let Err(LockError::Held { holder: Some(holder), .. }) = refused else { panic!("it is held") };
            assert_eq!((holder.guard, holder.is_ending()), (guard, false));
            drop(lock);
        }
        // As earlier versions wrote it.
        let earlier: LockHolder = serde_json::from_str(r#"{"pid":7,"start_ticks":8,"since":9.5}"#).unwrap();
        assert_eq!((earlier.process.pid, earlier.guard, earlier.is_ending()), (7, None, false));
    }

    #[test]
    fn a_killed_holder_holds_nothing() {
        let root = tempfile::tempdir().unwrap();
        let run = sample::new_run(root.path());
        let mut child = sample::child("store::run_dir::lock::tests::child_that_holds_the_lock", run.path());
        let mut child = child.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        assert!(lines.any(|line| line.unwrap() == "locked"));
        let Err(LockError::Held { holder: Some(holder), .. }) = RunLock::acquire(&run) else {
            panic!("the child holds it")
        };
        assert_eq!(holder.process.pid, child.id());
        let waiting = std::thread::spawn({
            let run = run.clone();
            move || RunLock::wait_until_free(&run).unwrap()
        });
        child.kill().unwrap();
        waiting.join().unwrap();
        child.wait().unwrap();
        assert_eq!(RunLock::probe(&run).unwrap(), LockState::Free);
        RunLock::acquire(&run).unwrap();
    }
}
