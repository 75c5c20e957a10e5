//! `Turns`: of large messages only one at a time is taken in, so that many workers that send them at once do not fill
//! the supervisor's memory. The others wait in their sockets.

use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::Duration;

use super::listener::Cause;

/// What is larger needs a turn, in bytes.
pub(super) const LARGE: usize = 1 << 20;
/// How long a message may take that has its turn: others wait for it.
pub(super) const LONGEST: Duration = Duration::from_secs(60);

/// Gives one turn at a time. A clone gives the same ones.
#[derive(Debug, Clone, Default)]
pub(super) struct Turns(Arc<(Mutex<bool>, Condvar)>);

/// A turn; it ends when it is dropped.
#[derive(Debug)]
pub(super) struct Turn(Turns);

impl Turns {
    /// Waits for a turn.
    pub(super) fn take(&self) -> Turn {
        let (taken, ended) = &*self.0;
        let free = taken.lock().unwrap_or_else(PoisonError::into_inner);
        let mut free = ended.wait_while(free, |taken| *taken).unwrap_or_else(PoisonError::into_inner);
        *free = true;
        Turn(self.clone())
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        let (taken, ended) = &*self.0.0;
        *taken.lock().unwrap_or_else(PoisonError::into_inner) = false;
        ended.notify_one();
    }
}

/// The failure of a worker whose message did not come to its end in time.
pub(super) fn too_slow() -> Cause {
    Cause::protocol(format_args!("a large message was not whole after {} s", LONGEST.as_secs()))
}

#[cfg(test)]
mod tests {
    use super::*;
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
}
