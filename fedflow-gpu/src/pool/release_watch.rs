//! `ReleaseWatch`: the thread that waits for whatever may let a refused request succeed.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use rustix::time::{
    Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, timerfd_create, timerfd_settime,
};

use crate::cards::CardMonitor;
use crate::ledger::{Alarm, OwnBookings, Woken};

/// A thread that watches for releases until the value is dropped. See [`Pool::start_watch`](super::Pool::start_watch).
#[derive(Debug)]
pub struct ReleaseWatch {
    alarm: Arc<Alarm>,
    thread: Option<JoinHandle<()>>,
}

/// What the thread watches.
pub(super) struct Watched {
    pub(super) alarm: Arc<Alarm>,
    pub(super) own: Arc<OwnBookings>,
    /// Real cards; they cause no event when a foreign program ends.
    pub(super) cards: Option<CardMonitor>,
}

impl ReleaseWatch {
    pub(super) fn start(
        watched: Watched,
        interval: Duration,
        on_change: impl Fn() + Send + 'static,
    ) -> io::Result<Self> {
        let Watched { alarm, own, cards } = watched;
        let cards = cards.map(|monitor| Ok::<_, io::Error>((monitor, timer(interval)?))).transpose()?;
        alarm.begin();
        let watching = Watching { alarm: Arc::clone(&alarm), own, cards };
        let thread =
            thread::Builder::new().name("fedflow-devices".into()).spawn(move || watching.run(&on_change))?;
        Ok(Self { alarm, thread: Some(thread) })
    }
}

impl Drop for ReleaseWatch {
    fn drop(&mut self) {
        self.alarm.end();
        if let Some(thread) = self.thread.take() {
            // If it panicked, the panic has been printed on stderr.
            let _ = thread.join();
        }
    }
}

struct Watching {
    alarm: Arc<Alarm>,
    own: Arc<OwnBookings>,
    /// Real cards, and the timer that says when to read them.
    cards: Option<(CardMonitor, OwnedFd)>,
}

impl Watching {
    fn run(mut self, on_change: &impl Fn()) {
        loop {
            let timer = self.cards.as_ref().map(|(_, timer)| timer.as_fd());
            match self.alarm.wait(timer, || self.own.name(), || self.own.restore().is_ok()) {
                Woken::Ended => return,
                Woken::Released => on_change(),
                Woken::Other => {
                    if self.cards_have_changed() {
                        on_change();
                    }
                }
            }
        }
    }

    fn cards_have_changed(&mut self) -> bool {
        self.cards.as_mut().is_some_and(|(cards, timer)| has_expired(timer) && cards.poll().matter())
    }
}

/// A timer that becomes readable each `interval`.
fn timer(interval: Duration) -> io::Result<OwnedFd> {
    let timer = timerfd_create(TimerfdClockId::Monotonic, TimerfdFlags::CLOEXEC | TimerfdFlags::NONBLOCK)?;
    let interval = interval.max(Duration::from_millis(1));
    let interval = Timespec::try_from(interval).map_err(io::Error::other)?;
    timerfd_settime(
        &timer,
        TimerfdTimerFlags::empty(),
        &Itimerspec { it_interval: interval, it_value: interval },
    )?;
    Ok(timer)
}

/// Whether a timer has expired since it was last asked.
fn has_expired(timer: &OwnedFd) -> bool {
    let mut times = [0_u8; 8];
    rustix::io::read(timer, &mut times).is_ok()
}
