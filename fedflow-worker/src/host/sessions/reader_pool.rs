//! `ReaderPool`: threads that take one piece of work after the other, so that a worker's reader needs no new thread.

use std::collections::VecDeque;
use std::io;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;

/// The stack of each thread; most of it is never touched.
const STACK: usize = 256 << 10;
/// How many idle threads are kept.
const KEPT: usize = 64;

/// One piece of work, which may block as long as it likes.
pub(crate) type Work = Box<dyn FnOnce() + Send>;

/// Does work at once, each piece in a thread of its own: an idle one or a new one. When the pool is dropped, each
/// thread ends as soon as its work is done; that is not waited for.
#[derive(Debug)]
pub(crate) struct ReaderPool {
    name: &'static str,
    desk: Arc<Desk>,
}

#[derive(Default)]
struct Desk {
    state: Mutex<ReaderPoolState>,
    wake: Condvar,
}

#[derive(Default)]
struct ReaderPoolState {
    /// For each piece a thread waits that does not count as idle any more.
    work: VecDeque<Work>,
    idle: usize,
    closed: bool,
}

impl ReaderPool {
    pub(crate) fn new(name: &'static str) -> Self {
        Self { name, desk: Arc::default() }
    }

    /// Begins a piece of work.
    ///
    /// # Errors
    /// The system gives no thread.
    pub(crate) fn begin(&self, work: Work) -> io::Result<()> {
        let mut state = self.desk.lock();
        if state.idle > 0 {
            state.idle -= 1;
            state.work.push_back(work);
            drop(state);
            self.desk.wake.notify_one();
            return Ok(());
        }
        drop(state);
        let desk = Arc::clone(&self.desk);
        let member = move || {
            let mut next = Some(work);
            while let Some(work) = next {
                work();
                next = desk.wait();
            }
        };
        thread::Builder::new().name(self.name.into()).stack_size(STACK).spawn(member).map(drop)
    }
}

impl Drop for ReaderPool {
    fn drop(&mut self) {
        self.desk.lock().closed = true;
        self.desk.wake.notify_all();
    }
}

impl Desk {
    fn lock(&self) -> MutexGuard<'_, ReaderPoolState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The next piece for a thread that is done; `None` if the thread is to end.
    fn wait(&self) -> Option<Work> {
        let mut state = self.lock();
        if state.closed || state.idle >= KEPT {
            return None;
        }
        state.idle += 1;
        loop {
            if let Some(work) = state.work.pop_front() {
                return Some(work);
            }
            if state.closed {
                return None;
            }
            state = self.wake.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }
}

impl std::fmt::Debug for Desk {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Desk")
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::channel;

    use super::*;

    /// Waits until so many threads are idle.
    fn wait_for_idle(pool: &ReaderPool, count: usize) {
        while pool.desk.lock().idle < count {
            thread::yield_now();
        }
    }

    #[test]
    fn a_thread_that_is_done_takes_the_next_piece() {
        let pool = ReaderPool::new("pool");
        let (sender, seen) = channel();
        for _ in 0..3 {
            let sender = sender.clone();
            pool.begin(Box::new(move || sender.send(thread::current().id()).unwrap())).unwrap();
            wait_for_idle(&pool, 1);
        }
        drop(sender);
        let threads: Vec<_> = seen.iter().collect();
        assert_eq!(threads.len(), 3);
        assert!(threads.iter().all(|thread| *thread == threads[0]));
    }

    #[test]
    fn work_that_blocks_holds_up_no_other() {
        let pool = ReaderPool::new("pool");
        let (release, blocked) = channel::<()>();
        let (done, all_done) = channel();
        let told = done.clone();
        pool.begin(Box::new(move || told.send(blocked.recv().is_ok()).unwrap())).unwrap();
        pool.begin(Box::new(move || release.send(()).unwrap())).unwrap();
        drop(done);
        assert_eq!(all_done.iter().collect::<Vec<_>>(), [true]);
    }

    #[test]
    fn its_threads_end_with_it() {
        let pool = ReaderPool::new("pool");
        pool.begin(Box::new(|| ())).unwrap();
        wait_for_idle(&pool, 1);
        let desk = Arc::downgrade(&pool.desk);
        drop(pool);
        while desk.strong_count() > 0 {
            thread::yield_now();
        }
    }
}
