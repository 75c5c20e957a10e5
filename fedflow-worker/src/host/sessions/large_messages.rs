//! `Turns`: of large messages only one at a time is taken in, so that many workers that send them at once do not fill
//! the supervisor's memory. The others wait in their sockets.
//!
//! A message that hardly goes on loses its turn as soon as others wait: what has arrived of it is parked, and it takes
//! another turn when more has come. What is parked may not take more than a budget; who would need more has failed when
//! the others have waited for it long enough.

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use fedflow_core::Time;

use crate::host::sessions::listener::{Cause, Listener};

/// What is larger needs a turn, in bytes.
pub(crate) const LARGE: usize = 1 << 20;
/// How long a message may take from its first turn on, without the time for which it waits for others.
const LONGEST: Duration = Duration::from_secs(60);
/// How long a turn lasts at least.
const SLICE: Duration = Duration::from_millis(200);
/// How many bytes must arrive in that time for a message to keep its turn while others wait.
const BRISK: usize = 128 << 10;
/// How many bytes all parked messages may take.
const PARKED: usize = 32 << 20;
/// How long others wait for a slow message that cannot be parked.
const LAST_WORD: Duration = Duration::from_secs(3);

/// Gives one turn at a time, in the order in which they are asked for. A clone gives the same ones.
#[derive(Debug, Clone, Default)]
pub(crate) struct Turns(Arc<(Mutex<Queue>, Condvar)>);

#[derive(Debug, Default)]
struct Queue {
    /// How many turns were asked for, and how many have ended.
    asked: u64,
    ended: u64,
    /// The bytes of parked messages.
    parked: usize,
}

/// A turn; it ends when it is dropped.
#[derive(Debug)]
pub(crate) struct Turn(Turns);

/// The room of a parked message; given back when it is dropped.
#[derive(Debug)]
struct Parked {
    turns: Turns,
    bytes: usize,
}

impl Turns {
    /// Waits for a turn.
    pub(crate) fn take(&self) -> Turn {
        let mut queue = self.lock();
        let ticket = queue.asked;
        queue.asked += 1;
        drop(
            self.0.1.wait_while(queue, |queue| queue.ended < ticket).unwrap_or_else(PoisonError::into_inner),
        );
        Turn(self.clone())
    }

    /// Whether anybody waits for the end of a turn.
    fn others_wait(&self) -> bool {
        let queue = self.lock();
        queue.asked > queue.ended + 1
    }

    /// Room for a message without a turn, if there is enough.
    fn park(&self, bytes: usize) -> Option<Parked> {
        let mut queue = self.lock();
        let parked = queue.parked.checked_add(bytes).filter(|parked| *parked <= PARKED)?;
        queue.parked = parked;
        Some(Parked { turns: self.clone(), bytes })
    }

    fn lock(&self) -> MutexGuard<'_, Queue> {
        self.0.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        self.0.lock().ended += 1;
        // Each waits for a turn of its own.
        self.0.0.1.notify_all();
    }
}

impl Drop for Parked {
    fn drop(&mut self) {
        let mut queue = self.turns.lock();
        queue.parked = queue.parked.saturating_sub(self.bytes);
    }
}

/// A large message on its way in, with or without a turn.
#[derive(Debug)]
pub(crate) struct LargeMessage {
    place: Place,
    /// Until when it must be whole.
    until: Time,
}

#[derive(Debug)]
enum Place {
    /// It takes in nothing until something has come.
    Waiting { _parked: Option<Parked> },
    /// It has a turn: since when its pace is measured, how large it was then, and since when it is too slow.
    Turn { turn: Turn, since: Time, size: usize, slow: Option<Time> },
}

impl LargeMessage {
    /// One that has arrived only so far as it may without a turn.
    pub(crate) fn begin(now: Time) -> Self {
        Self { place: Place::Waiting { _parked: None }, until: now + LONGEST }
    }

    /// Until when it may be waited for more of it; then it is [`Self::late`].
    pub(crate) fn patience(&self) -> Time {
        match &self.place {
            Place::Waiting { .. } => self.until,
            Place::Turn { since, .. } => self.until.min(*since + SLICE),
        }
    }

    /// More of it is there: to be called before that is taken in, if `size` bytes were taken in so far. Waits for a
    /// turn if it has none.
    ///
    /// # Errors
    /// It is too slow.
    pub(crate) fn goes_on(&mut self, listener: &Listener, size: usize) -> Result<(), Cause> {
        let clock = listener.clock();
        self.late(clock.now(), size)?;
        if let Place::Waiting { .. } = &self.place {
            let asked = clock.now();
            let turn = listener.take_turn();
            let since = clock.now();
            // Others had their turns: that is not this worker's doing.
            self.until = self.until + since.since(asked);
            self.place = Place::Turn { turn, since, size, slow: None };
        }
        Ok(())
    }

    /// Judges its pace: it may lose its turn.
    ///
    /// # Errors
    /// It is too slow.
    pub(crate) fn late(&mut self, now: Time, size: usize) -> Result<(), Cause> {
        if now >= self.until {
            return Err(Cause::protocol(format_args!(
                "a large message was not whole after {} s",
                LONGEST.as_secs()
            )));
        }
        let Place::Turn { turn, since, size: before, slow } = &mut self.place else { return Ok(()) };
        if now < *since + SLICE {
            return Ok(());
        }
        let is_brisk = size.saturating_sub(*before) >= BRISK;
        let began = *since;
        (*since, *before) = (now, size);
        if is_brisk || !turn.0.others_wait() {
            *slow = None;
            return Ok(());
        }
        if let Some(parked) = turn.0.park(size) {
            self.place = Place::Waiting { _parked: Some(parked) };
            return Ok(());
        }
        if now.since(*slow.get_or_insert(began)) < LAST_WORD {
            return Ok(());
        }
        Err(Cause::protocol(format_args!(
            "a large message hardly went on for {} s, while others waited for it",
            LAST_WORD.as_secs()
        )))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::input_queue::Post;
    use crate::pausable_clock::Clock;
    use fedflow_core::WorkerId;
    use std::sync::atomic::{AtomicUsize, Ordering};

    #[test]
    fn there_is_one_turn_at_a_time() {
        let turns = Turns::default();
        let (inside, done) = (AtomicUsize::new(0), AtomicUsize::new(0));
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for _ in 0..200 {
                        let _turn = turns.take();
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

    /// A message that has a turn, and the moment at which its pace is judged.
    fn in_turn(turns: &Turns, size: usize) -> (LargeMessage, Time) {
        let since = Time::ZERO;
        let place = Place::Turn { turn: turns.take(), since, size, slow: None };
        (LargeMessage { place, until: since + LONGEST }, since + SLICE)
    }

    fn has_turn(message: &LargeMessage) -> bool {
        matches!(message.place, Place::Turn { .. })
    }

    /// Lets somebody wait for a turn meanwhile.
    fn while_another_waits(turns: &Turns, happens: impl FnOnce()) {
        std::thread::scope(|scope| {
            scope.spawn(|| drop(turns.take()));
            while !turns.others_wait() {
                std::thread::yield_now();
            }
            happens();
        });
    }

    #[test]
    fn who_hardly_goes_on_loses_its_turn_to_those_who_wait() {
        let turns = Turns::default();
        let (mut message, judged) = in_turn(&turns, LARGE);
        message.late(judged, LARGE).unwrap();
        assert!(has_turn(&message), "nobody waits for it");
        while_another_waits(&turns, || {
            message.late(judged + SLICE, LARGE + BRISK).unwrap();
            assert!(has_turn(&message), "it goes on");
            // Byte by byte is not going on.
            message.late(judged + SLICE + SLICE, LARGE + BRISK + 1).unwrap();
            assert!(!has_turn(&message));
        });
        assert_eq!(turns.lock().parked, LARGE + BRISK + 1);
        assert_eq!(message.patience(), Time::ZERO + LONGEST);
        let listener = Listener::new(WorkerId(1), Post::open().unwrap(), Clock::start());
        message.goes_on(&listener, LARGE + BRISK + 1).unwrap();
        assert!(has_turn(&message));
        assert_eq!(turns.lock().parked, 0);
        assert!(message.late(Time::ZERO + LONGEST * 2, LARGE).unwrap_err().message.contains("not whole"));
    }

    #[test]
    fn stalled_messages_take_limited_room() {
        let turns = Turns::default();
        let half = PARKED / 2 + 1;
        let (mut first, judged) = in_turn(&turns, half);
        while_another_waits(&turns, || first.late(judged, half).unwrap());
        assert!(!has_turn(&first));
        let (mut second, judged) = in_turn(&turns, half);
        while_another_waits(&turns, || {
            second.late(judged, half).unwrap();
            assert!(has_turn(&second), "there is no room to park it");
            let cause = second.late(judged + LAST_WORD, half).unwrap_err();
            assert!(cause.message.contains("hardly went on"), "{}", cause.message);
            drop(second);
        });
        drop(first);
        assert_eq!(turns.lock().parked, 0);
    }
}
