//! `Alarm`: wakes a supervisor whose request was refused because of other runs, when one of them may have released
//! something.

use std::collections::BTreeMap;
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use fedflow_core::{ProcessId, Time};
use rustix::event::{EventfdFlags, PollFd, PollFlags, Timespec, eventfd, poll};
use rustix::fs::inotify::{self, CreateFlags, ReadFlags, WatchFlags};

use super::booking_file::PREFIX;
use crate::lease_directory::{Directory, OpenDirectory};
use crate::machine::{Unwatchable, is_stopped, monotonic_now, watch_for_end};

/// How often a request is tried again if no event can wake it: the system's inotify instances are used up, or a holder
/// lives in another world of process numbers.
const LOOK_AGAIN: Duration = Duration::from_millis(100);
/// How often it is looked whether a supervisor is stopped for which devices are kept free.
const LOOK_AT_CLAIMANTS: Duration = Duration::from_secs(1);

/// The events that may let a refused request succeed, waited for together in [`Alarm::wait`].
///
/// A supervisor that releases something changes the attributes of its file, or removes it. A supervisor or worker that
/// dies changes nothing, so its process is watched.
#[derive(Debug)]
pub(crate) struct Alarm {
    directory: Directory,
    /// `None` if the system's instances are used up.
    inotify: Option<OwnedFd>,
    trigger: OwnedFd,
    state: Mutex<AlarmState>,
}

#[derive(Debug, Default)]
struct AlarmState {
    /// The number of releases that were seen.
    seen: u64,
    /// Whether a request was refused and shall be tried again.
    armed: bool,
    /// Whether to wake without waiting for an event.
    at_once: bool,
    /// Whether something it waits for causes no event.
    unwatched: bool,
    /// When to try again, whatever happens.
    look_at: Option<Time>,
    /// Supervisors for which devices are kept free, and which may be stopped meanwhile. That causes no event.
    claimants: Vec<ProcessId>,
    /// The processes whose end is waited for.
    holders: BTreeMap<ProcessId, Arc<OwnedFd>>,
    ended: bool,
    /// Whether a thread waits for it, or will.
    watched: bool,
    /// Whether the directory was removed, and the next one is not watched yet.
    is_lost: bool,
}

impl AlarmState {
    /// How long to wait for an event at most.
    fn timeout(&self) -> Option<Duration> {
        if self.at_once {
            return Some(Duration::ZERO);
        }
        let looks = (self.is_lost || self.armed && self.unwatched).then_some(LOOK_AGAIN);
        let until = self.look_at.map(|at| at.since(monotonic_now()));
        let stops = (!self.claimants.is_empty()).then_some(LOOK_AT_CLAIMANTS);
        [looks, until, stops].into_iter().flatten().min()
    }

    fn is_due(&self) -> bool {
        self.look_at.is_some_and(|at| at <= monotonic_now())
    }

    fn any_stopped(&self) -> bool {
        self.claimants.iter().any(|claimant| is_stopped(*claimant))
    }
}

/// Why a wait has ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Woken {
    /// Leases may succeed now.
    Released,
    /// The other descriptor is readable.
    Other,
    /// [`Alarm::end`] was called.
    Ended,
}

impl Alarm {
    pub(super) fn new(directory: &Directory) -> io::Result<Self> {
        Ok(Self {
            directory: directory.clone(),
            inotify: watch(directory).ok(),
            trigger: eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?,
            state: Mutex::default(),
        })
    }

    /// The number of releases that were seen. Ask for it before reading what is booked.
    pub(super) fn seen(&self) -> u64 {
        self.lock().seen
    }

    /// Notes that a request was refused: it is woken by the next release after the `seen`th, or when one of `holders`
    /// ends. `None` stands for a process that cannot be watched.
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
        self.wake();
    }

    /// Notes that a refused request gives way to claims of other runs: it is tried again at a time, and if one of these
    /// supervisors is stopped.
    pub(super) fn give_way_until(&self, look_at: Option<Time>, claimants: Vec<ProcessId>) {
        let mut state = self.lock();
        state.look_at = state.look_at.into_iter().chain(look_at).min();
        state.claimants.extend(claimants);
        state.claimants.sort_unstable();
        state.claimants.dedup();
    }

    /// Notes that a thread will call [`Self::wait`].
    pub(crate) fn begin(&self) {
        let mut state = self.lock();
        (state.watched, state.ended) = (true, false);
    }

    /// Whether a thread waits for the alarm.
    pub(super) fn is_watched(&self) -> bool {
        self.lock().watched
    }

    /// Makes [`Self::wait`] return [`Woken::Ended`].
    pub(crate) fn end(&self) {
        {
            let mut state = self.lock();
            (state.watched, state.ended) = (false, true);
        }
        self.wake();
    }

    /// Blocks until something may have been released since a request was refused, or another descriptor is readable.
    /// `restore` is called when a file or the directory was removed, and again until it does not fail.
    pub(crate) fn wait(
        &self,
        other: Option<BorrowedFd<'_>>,
        own_name: impl Fn() -> String,
        restore: impl Fn() -> bool,
    ) -> Woken {
        loop {
            let (holders, timeout, was_lost) = {
                let state = self.lock();
                let holders: Vec<Arc<OwnedFd>> = state.holders.values().cloned().collect();
                (holders, state.timeout(), state.is_lost)
            };
            let mut descriptors = vec![PollFd::new(&self.trigger, PollFlags::IN)];
            // A missing descriptor has no place in the list, so each place is noted when it is filled.
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
            self.clear_trigger();
            let Events { mut released, removed } = self.read_events(released, &own_name);
            let is_lost = (removed || was_lost) && !self.follow(&restore);
            // It may be another directory, in which something was released before it was watched.
            released |= removed || was_lost;

            let mut state = self.lock();
            state.is_lost = is_lost;
            state.seen += u64::from(released);
            if state.ended {
                return Woken::Ended;
            }
            let looks_again = ready == 0 && (state.unwatched || state.any_stopped()) || state.is_due();
            if state.armed && (released || any_ended || state.at_once || looks_again) {
                *state = AlarmState { seen: state.seen, watched: true, is_lost, ..AlarmState::default() };
                return Woken::Released;
            }
            drop(state);
            if other_ready {
                return Woken::Other;
            }
        }
    }

    /// Reads all inotify events, if there are any.
    fn read_events(&self, any: bool, own_name: impl Fn() -> String) -> Events {
        let mut found = Events::default();
        let Some(inotify) = self.inotify.as_ref().filter(|_| any) else { return found };
        let own_name = own_name();
        let mut buffer = [MaybeUninit::uninit(); 4096];
        let mut events = inotify::Reader::new(inotify, &mut buffer);
        while let Ok(event) = events.next() {
            let name = event.file_name().map_or(&b""[..], |name| name.to_bytes());
            let gone = ReadFlags::DELETE | ReadFlags::DELETE_SELF | ReadFlags::MOVE_SELF;
            let of_supervisor = name.is_empty() || name.starts_with(PREFIX.as_bytes());
            found.removed |= of_supervisor && event.events().intersects(gone);
            found.released |= of_supervisor && name != own_name.as_bytes();
        }
        found
    }

    /// Watches the directory that has its path now, and restores the own file there. Says whether both is done.
    ///
    /// From then on the removal of the own file causes an event, however the directory goes. That of the directory may
    /// cause none: the kernel reports it when the last file of it is closed, and supervisors that wait keep some open.
    fn follow(&self, restore: impl Fn() -> bool) -> bool {
        if self.directory.renew().is_err() {
            return false;
        }
        let watched = self.directory.open_now();
        let is_watched = self.inotify.as_ref().is_none_or(|inotify| add_watch(inotify, &watched).is_ok());
        // It may have been removed before it was watched, and the file restored in the next one.
        is_watched && restore() && self.directory.is_open_now(&watched)
    }

    fn wake(&self) {
        let _ = rustix::io::write(&self.trigger, &1_u64.to_ne_bytes());
    }

    fn clear_trigger(&self) {
        let mut counter = [0_u8; 8];
        let _ = rustix::io::read(&self.trigger, &mut counter);
    }

    fn lock(&self) -> MutexGuard<'_, AlarmState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What has happened in the directory.
#[derive(Debug, Default)]
struct Events {
    /// Another supervisor may have released something.
    released: bool,
    /// A supervisor's file was removed, or the directory.
    removed: bool,
}

fn watch(directory: &Directory) -> rustix::io::Result<OwnedFd> {
    let inotify = inotify::init(CreateFlags::CLOEXEC | CreateFlags::NONBLOCK)?;
    add_watch(&inotify, &directory.open_now())?;
    Ok(inotify)
}

fn add_watch(inotify: &OwnedFd, directory: &OpenDirectory) -> rustix::io::Result<()> {
    let changes = WatchFlags::ATTRIB | WatchFlags::CLOSE_WRITE | WatchFlags::DELETE;
    let events = changes | WatchFlags::DELETE_SELF | WatchFlags::MOVE_SELF | WatchFlags::ONLYDIR;
    inotify::add_watch(inotify, directory.kernel_path(), events).map(drop)
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;
    use std::fs::{self, File, Permissions};
    use std::os::fd::AsFd;
    use std::os::unix::fs::PermissionsExt;

    use rustix::time::{
        Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, timerfd_create,
        timerfd_settime,
    };

    use super::*;
    use crate::ledger::booking_file::BookingFile;
    use crate::ledger::own_bookings::OwnBookings;
    use crate::machine::DeviceEnvironment;

    /// Readable after ten seconds, when all that a test waits for has long come.
    fn limit() -> OwnedFd {
        let timer = timerfd_create(TimerfdClockId::Monotonic, TimerfdFlags::CLOEXEC).expect("a timer");
        let never = Timespec { tv_sec: 0, tv_nsec: 0 };
        let once = Itimerspec { it_interval: never, it_value: Timespec { tv_sec: 10, ..never } };
        timerfd_settime(&timer, TimerfdTimerFlags::empty(), &once).expect("it is set");
        timer
    }

    /// One supervisor's watch, whose directory is removed while it is watched anew; `restore` is what its thread does about
    /// its file then.
    fn removed_while_followed(restore: impl Fn(&OwnBookings) -> bool) {
        let root = tempfile::tempdir().expect("a directory");
        let path = root.path().join("leases");
        let environment = DeviceEnvironment { lease_dir: Some(path.clone()), ..DeviceEnvironment::default() };
        let directory = Directory::open(&environment).expect("it is made");
        let alarm = Alarm::new(&directory).expect("an alarm");
        let own = OwnBookings::new(BookingFile::create(&directory).expect("a file"));
        // Other supervisors keep files of the removed directory open, so that its removal causes no event.
        let _kept_open = File::create(path.join("card-of-another")).expect("a file");
        let limit = limit();
        let is_removed = Cell::new(false);
        let wait = || {
            alarm.arm(alarm.seen(), []);
            alarm.wait(
                Some(limit.as_fd()),
                || own.name(),
                || {
                    if is_removed.replace(true) {
                        return own.restore().is_ok();
                    }
                    fs::remove_dir_all(&path).expect("it is removed");
                    restore(&own)
                },
            )
        };

        alarm.begin();
        fs::remove_file(path.join(own.name())).expect("it is removed");
        assert_eq!(wait(), Woken::Released);
        // As its supervisor does when it leases.
        own.restore().expect("it is made again");
        assert_eq!(wait(), Woken::Released, "the file that was removed is closed");
        let another = File::create(path.join("supervisor-of-another")).expect("a file");
        another.set_permissions(Permissions::from_mode(0o644)).expect("it gives something back");
        assert_eq!(wait(), Woken::Released, "the next directory is watched");
    }

    #[test]
    fn a_directory_that_goes_while_it_is_watched_anew_is_followed() {
        removed_while_followed(|own| own.restore().is_ok());
    }

    #[test]
    fn a_directory_that_could_not_be_followed_is_followed_later() {
        removed_while_followed(|_| false);
    }
}
