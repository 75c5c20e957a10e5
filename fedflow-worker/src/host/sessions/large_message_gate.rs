//! `LargeMessageGate`: takes in one large message at a time, so that many workers that send one at once do not fill the
//! supervisor's memory. The other messages wait in their sockets.
//!
//! A message that hardly arrives loses its permit as soon as others wait: what has arrived of it is parked, and it asks
//! for another permit when more has come. Parked messages share a budget; a message that would exceed it fails once the
//! others have waited for it long enough.

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use fedflow_core::Time;

use crate::host::cause::Cause;
use crate::pausable_clock::Clock;

/// A larger message needs a permit, in bytes.
pub(crate) const LARGE: usize = 1 << 20;
/// How long a message may take from its first permit on, without the time for which it waits for others.
const LONGEST: Duration = Duration::from_secs(60);
/// The time after which a message's pace is judged.
const SLICE: Duration = Duration::from_millis(200);
/// How many bytes must arrive in that time for a message to keep its permit while others wait.
const BRISK: usize = 128 << 10;
/// How many bytes all parked messages may take.
const PARKED: usize = 32 << 20;
/// How long others wait for a slow message that cannot be parked.
const LAST_CHANCE: Duration = Duration::from_secs(3);

/// Gives one permit at a time, in the order in which they are asked for. A clone is the same gate.
#[derive(Debug, Clone, Default)]
pub(crate) struct LargeMessageGate(Arc<(Mutex<GateState>, Condvar)>);

#[derive(Debug, Default)]
struct GateState {
    /// How many permits were asked for, and how many were given back.
    asked: u64,
    ended: u64,
    /// The bytes of parked messages.
    parked: usize,
}

/// The right to take in a large message; given back when it is dropped.
#[derive(Debug)]
pub(crate) struct Permit(LargeMessageGate);

/// The part of the budget that a parked message takes; given back when it is dropped.
#[derive(Debug)]
struct Parked {
    gate: LargeMessageGate,
    bytes: usize,
}

impl LargeMessageGate {
    /// Waits for a permit.
    pub(crate) fn acquire(&self) -> Permit {
        let mut state = self.lock();
        let ticket = state.asked;
        state.asked += 1;
        let waits = |state: &mut GateState| state.ended < ticket;
        drop(self.0.1.wait_while(state, waits).unwrap_or_else(PoisonError::into_inner));
        Permit(self.clone())
    }

    /// Whether a message waits for the permit that is given out.
    fn others_wait(&self) -> bool {
        let state = self.lock();
        state.asked > state.ended + 1
    }

    /// A part of the budget, if enough of it is left.
    fn park(&self, bytes: usize) -> Option<Parked> {
        let mut state = self.lock();
        let parked = state.parked.checked_add(bytes).filter(|parked| *parked <= PARKED)?;
        state.parked = parked;
        Some(Parked { gate: self.clone(), bytes })
    }

    fn lock(&self) -> MutexGuard<'_, GateState> {
        self.0.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        self.0.lock().ended += 1;
        // Each thread waits for a ticket of its own.
        self.0.0.1.notify_all();
    }
}

impl Drop for Parked {
    fn drop(&mut self) {
        let mut state = self.gate.lock();
        state.parked = state.parked.saturating_sub(self.bytes);
    }
}

/// A large message on its way in, with or without a permit.
#[derive(Debug)]
pub(crate) struct LargeMessage {
    place: Place,
    /// When it must be complete.
    until: Time,
}

#[derive(Debug)]
enum Place {
    /// It takes in nothing until more has come.
    Waiting { _parked: Option<Parked> },
    /// It has a permit: since when its pace is measured, how large it was then, and since when it is too slow.
    Admitted { permit: Permit, since: Time, size: usize, slow: Option<Time> },
}

impl LargeMessage {
    /// A message of which only so much has arrived as needs no permit.
    pub(crate) fn begin(now: Time) -> Self {
        Self { place: Place::Waiting { _parked: None }, until: now + LONGEST }
    }

    /// Until when more of it may be awaited; then call [`Self::judge`].
    pub(crate) fn deadline(&self) -> Time {
        match &self.place {
            Place::Waiting { .. } => self.until,
            Place::Admitted { since, .. } => self.until.min(*since + SLICE),
        }
    }

    /// Has it admitted, if it is not. Call it when more has arrived, before that is taken in; `size` bytes were taken in
    /// before, and `acquire` waits for a permit.
    ///
    /// # Errors
    /// It is too slow.
    pub(crate) fn admit(
        &mut self,
        clock: &Clock,
        size: usize,
        acquire: impl FnOnce() -> Permit,
    ) -> Result<(), Cause> {
        self.judge(clock.now(), size)?;
        if let Place::Waiting { .. } = &self.place {
            let asked = clock.now();
            let permit = acquire();
            let since = clock.now();
            // The time for which others had the permit is not this worker's fault.
            self.until = self.until + since.since(asked);
            self.place = Place::Admitted { permit, since, size, slow: None };
        }
        Ok(())
    }

    /// Judges its pace: it may lose its permit.
    ///
    /// # Errors
    /// It is too slow.
    pub(crate) fn judge(&mut self, now: Time, size: usize) -> Result<(), Cause> {
        if now >= self.until {
            return Err(Cause::protocol(format_args!(
                "a large message was not whole after {} s",
                LONGEST.as_secs()
            )));
        }
        let Place::Admitted { permit, since, size: before, slow } = &mut self.place else { return Ok(()) };
        if now < *since + SLICE {
            return Ok(());
        }
        let is_brisk = size.saturating_sub(*before) >= BRISK;
        let began = *since;
        (*since, *before) = (now, size);
        if is_brisk || !permit.0.others_wait() {
            *slow = None;
            return Ok(());
        }
        if let Some(parked) = permit.0.park(size) {
            self.place = Place::Waiting { _parked: Some(parked) };
            return Ok(());
        }
        if now.since(*slow.get_or_insert(began)) < LAST_CHANCE {
            return Ok(());
        }
        Err(Cause::protocol(format_args!(
            "a large message hardly went on for {} s, while others waited for it",
            LAST_CHANCE.as_secs()
        )))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicUsize, Ordering};

    #[test]
    fn there_is_one_permit_at_a_time() {
        let gate = LargeMessageGate::default();
        let (inside, done) = (AtomicUsize::new(0), AtomicUsize::new(0));
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for _ in 0..200 {
                        let _permit = gate.acquire();
                        assert_eq!(inside.fetch_add(1, Ordering::SeqCst), 0);
                        std::thread::yield_now();
                        inside.fetch_sub(1, Ordering::SeqCst);
                        done.fetch_add(1, Ordering::SeqCst);
                    }
                });
            }
        });
        assert_eq!(done.load(Ordering::SeqCst), 800);
    }

    /// A message that has a permit, and the moment at which its pace is judged.
    fn admitted(gate: &LargeMessageGate, size: usize) -> (LargeMessage, Time) {
        let since = Time::ZERO;
        let place = Place::Admitted { permit: gate.acquire(), since, size, slow: None };
        (LargeMessage { place, until: since + LONGEST }, since + SLICE)
    }

    fn has_permit(message: &LargeMessage) -> bool {
        matches!(message.place, Place::Admitted { .. })
    }

    /// Calls a function while another thread waits for the permit.
    fn while_another_waits(gate: &LargeMessageGate, happens: impl FnOnce()) {
        std::thread::scope(|scope| {
            scope.spawn(|| drop(gate.acquire()));
            while !gate.others_wait() {
                std::thread::yield_now();
            }
            happens();
        });
    }

    #[test]
    fn a_message_that_hardly_arrives_loses_its_permit_to_those_that_wait() {
        let gate = LargeMessageGate::default();
        let (mut message, judged) = admitted(&gate, LARGE);
        message.judge(judged, LARGE).unwrap();
        assert!(has_permit(&message), "no other waits for it");
        while_another_waits(&gate, || {
            message.judge(judged + SLICE, LARGE + BRISK).unwrap();
            assert!(has_permit(&message), "it goes on");
            // Byte by byte is not going on.
            message.judge(judged + SLICE + SLICE, LARGE + BRISK + 1).unwrap();
            assert!(!has_permit(&message));
        });
        assert_eq!(gate.lock().parked, LARGE + BRISK + 1);
        assert_eq!(message.deadline(), Time::ZERO + LONGEST);
        message.admit(&Clock::start(), LARGE + BRISK + 1, || gate.acquire()).unwrap();
        assert!(has_permit(&message));
        assert_eq!(gate.lock().parked, 0);
        assert!(message.judge(Time::ZERO + LONGEST * 2, LARGE).unwrap_err().message.contains("not whole"));
    }

    #[test]
    fn stalled_messages_take_limited_memory() {
        let gate = LargeMessageGate::default();
        let half = PARKED / 2 + 1;
        let (mut first, judged) = admitted(&gate, half);
        while_another_waits(&gate, || first.judge(judged, half).unwrap());
        assert!(!has_permit(&first));
        let (mut second, judged) = admitted(&gate, half);
        while_another_waits(&gate, || {
            second.judge(judged, half).unwrap();
            assert!(has_permit(&second), "the budget is too small to park it");
            let cause = second.judge(judged + LAST_CHANCE, half).unwrap_err();
            assert!(cause.message.contains("hardly went on"), "{}", cause.message);
            drop(second);
        });
        drop(first);
        assert_eq!(gate.lock().parked, 0);
    }
}
