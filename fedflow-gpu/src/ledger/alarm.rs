//! `Alarm`: wakes a supervisor that was refused because of others when one of them may have given something back.

use std::collections::BTreeMap;
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use fedflow_core::ProcessId;
use rustix::event::{EventfdFlags, PollFd, PollFlags, Timespec, eventfd, poll};
use rustix::fs::inotify::{self, CreateFlags, ReadFlags, WatchFlags};

use super::directory::Directory;
use super::own_file;
use crate::machine::{Unwatchable, watch_for_end};

/// How often somebody looks who cannot be woken: the system's inotify instances are used up, or a holder lives in
/// another world of process numbers.
const LOOK_AGAIN: Duration = Duration::from_millis(100);

/// What somebody who waits is woken by.
///
/// Others tell that they gave something back by a change of their file's attributes, or by its removal. One that dies
/// tells nothing; its process is watched. All this is waited for at once, in [`Alarm::wait`].
#[derive(Debug)]
pub(crate) struct Alarm {
    /// None if the system gives none.
    inotify: Option<OwnedFd>,
    bell: OwnedFd,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// How many releases were seen.
    seen: u64,
    /// Whether somebody was refused and shall be woken.
    armed: bool,
    /// Whether to wake without waiting for anything.
    at_once: bool,
    /// Whether somebody's end cannot be noticed.
    unwatched: bool,
    holders: BTreeMap<ProcessId, Arc<OwnedFd>>,
    over: bool,
}

/// Why a wait has ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Woken {
    /// Leases may succeed now.
    Released,
    /// The other descriptor is readable.
    Other,
    /// [`Alarm::end`] was called.
    Over,
}

impl Alarm {
    pub(super) fn new(directory: &Directory) -> io::Result<Self> {
        Ok(Self {
            inotify: watch(directory).ok(),
            bell: eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?,
            state: Mutex::default(),
        })
    }

    /// How many releases were seen. To be asked before looking at what is booked.
    pub(super) fn seen(&self) -> u64 {
        self.lock().seen
    }

    /// Somebody was refused: it shall be woken by the next release after the `seen`th, or when a holder ends. `None`
    /// stands for one that cannot be watched.
    pub(super) fn arm(&self, seen: u64, holders: impl IntoIterator<Item = Option<ProcessId>>) {
        let mut state = self.lock();
        state.armed = true;
        state.at_once |= state.seen != seen;
        state.unwatched |= self.inotify.is_none();
        for holder in holders {
            let Some(holder) = holder else {
                state.unwatched = true;
                continue;
            };
            if state.holders.contains_key(&holder) {
                continue;
            }
            match watch_for_end(holder) {
                Ok(descriptor) => {
                    state.holders.insert(holder, Arc::new(descriptor));
                }
                Err(Unwatchable::Ended) => state.at_once = true,
                Err(Unwatchable::NoDescriptor) => state.unwatched = true,
            }
        }
        drop(state);
        self.ring();
    }

    /// Has [`Self::wait`] return for good.
    pub(crate) fn end(&self) {
        self.lock().over = true;
        self.ring();
    }

    /// Blocks until something may have been released since somebody was refused, or another descriptor is readable.
    /// `own_removed` is called when the file of the name that it returns is removed by somebody.
    pub(crate) fn wait(
        &self,
        other: Option<BorrowedFd<'_>>,
        own_name: impl Fn() -> String,
        own_removed: impl Fn(),
    ) -> Woken {
        loop {
            let (holders, timeout) = {
                let state = self.lock();
                let holders: Vec<Arc<OwnedFd>> = state.holders.values().cloned().collect();
                let looks = state.armed && state.unwatched;
                (holders, if state.at_once { Some(Duration::ZERO) } else { looks.then_some(LOOK_AGAIN) })
            };
            let mut descriptors = vec![PollFd::new(&self.bell, PollFlags::IN)];
            // A descriptor that is not there is skipped by leaving the place out; the order is kept by counting.
            let inotify_at = self.inotify.as_ref().map(|inotify| {
                descriptors.push(PollFd::new(inotify, PollFlags::IN));
                descriptors.len() - 1
            });
            let other_at = other.map(|other| {
                descriptors.push(PollFd::from_borrowed_fd(other, PollFlags::IN));
                descriptors.len() - 1
            });
            let holders_at = descriptors.len();
            descriptors
                .extend(holders.iter().map(|holder| PollFd::from_borrowed_fd(holder.as_fd(), PollFlags::IN)));
            let timeout = timeout.and_then(|timeout| Timespec::try_from(timeout).ok());
            let Ok(ready) = poll(&mut descriptors, timeout.as_ref()) else { continue };
            let is_ready = |at: Option<usize>| at.is_some_and(|at| !descriptors[at].revents().is_empty());
            let any_ended = descriptors[holders_at..].iter().any(|holder| !holder.revents().is_empty());
            let (released, other_ready) = (is_ready(inotify_at), is_ready(other_at));
            self.hush();
            let released = released && self.read_releases(&own_name, &own_removed);

            let mut state = self.lock();
            state.seen += u64::from(released);
            if state.over {
                return Woken::Over;
            }
            let looks_again = ready == 0 && state.unwatched;
            if state.armed && (released || any_ended || state.at_once || looks_again) {
                *state = State { seen: state.seen, ..State::default() };
                return Woken::Released;
            }
            drop(state);
            if other_ready {
                return Woken::Other;
            }
        }
    }

    /// Reads all that inotify tells; says whether somebody else may have given something back.
    fn read_releases(&self, own_name: impl Fn() -> String, own_removed: impl Fn()) -> bool {
        let Some(inotify) = &self.inotify else { return false };
        let own_name = own_name();
        let mut any = false;
        let mut buffer = [MaybeUninit::uninit(); 4096];
        let mut events = inotify::Reader::new(inotify, &mut buffer);
        while let Ok(event) = events.next() {
            let name = event.file_name().map_or(&b""[..], |name| name.to_bytes());
            if name == own_name.as_bytes() {
                if event.events().contains(ReadFlags::DELETE) {
                    own_removed();
                }
            } else if name.starts_with(own_file::PREFIX.as_bytes()) {
                any = true;
            }
        }
        any
    }

    fn ring(&self) {
        let _ = rustix::io::write(&self.bell, &1_u64.to_ne_bytes());
    }

    fn hush(&self) {
        let mut counter = [0_u8; 8];
        let _ = rustix::io::read(&self.bell, &mut counter);
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn watch(directory: &Directory) -> rustix::io::Result<OwnedFd> {
    let inotify = inotify::init(CreateFlags::CLOEXEC | CreateFlags::NONBLOCK)?;
    let events = WatchFlags::ATTRIB | WatchFlags::CLOSE_WRITE | WatchFlags::DELETE | WatchFlags::ONLYDIR;
    inotify::add_watch(&inotify, directory.kernel_path(), events)?;
    Ok(inotify)
}
