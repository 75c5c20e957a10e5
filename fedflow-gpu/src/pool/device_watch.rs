//! `DeviceWatch`: the one thread that waits for what may let a refused request succeed.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use rustix::time::{
    Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, timerfd_create, timerfd_settime,
};

use super::CardWatch;
use crate::ledger::{Alarm, Own, Woken};

/// A watch that goes on until it is dropped. See [`Pool::start_watch`](super::Pool::start_watch).
#[derive(Debug)]
pub struct DeviceWatch {
    alarm: Arc<Alarm>,
    thread: Option<JoinHandle<()>>,
}

impl DeviceWatch {
    pub(super) fn start(
        cards: Option<CardWatch>,
        ledger: Option<(Arc<Alarm>, Arc<Own>)>,
        interval: Duration,
        on_change: impl Fn() + Send + 'static,
    ) -> io::Result<Option<Self>> {
        // Without a ledger there is nobody to wait for: cards are always booked in one.
        let Some((alarm, own)) = ledger else { return Ok(None) };
        let cards = cards.map(|cards| Ok::<_, io::Error>((cards, timer(interval)?))).transpose()?;
        let watched = Watched { alarm: Arc::clone(&alarm), own, cards };
        let thread =
            thread::Builder::new().name("fedflow-devices".into()).spawn(move || watched.run(&on_change))?;
        Ok(Some(Self { alarm, thread: Some(thread) }))
    }
}

impl Drop for DeviceWatch {
    fn drop(&mut self) {
        self.alarm.end();
        if let Some(thread) = self.thread.take() {
            // If it panicked, it has been told on stderr.
            let _ = thread.join();
        }
    }
}

struct Watched {
    alarm: Arc<Alarm>,
    own: Arc<Own>,
    /// Real cards, and the timer that says when to look at them.
    cards: Option<(CardWatch, OwnedFd)>,
}

impl Watched {
    fn run(mut self, on_change: &impl Fn()) {
        loop {
            let timer = self.cards.as_ref().map(|(_, timer)| timer.as_fd());
            match self.alarm.wait(timer, || self.own.name(), || self.own.restore()) {
                Woken::Over => return,
                Woken::Released => on_change(),
                Woken::Other => {
                    if self
                        .cards
                        .as_mut()
                        .is_some_and(|(cards, timer)| has_expired(timer) && cards.poll().matter())
                    {
                        on_change();
                    }
                }
            }
        }
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

/// Whether it has expired since it was last asked.
fn has_expired(timer: &OwnedFd) -> bool {
    let mut times = [0_u8; 8];
    rustix::io::read(timer, &mut times).is_ok()
}
