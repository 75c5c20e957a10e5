//! `Postman`: the thread that sends mail, and how what is to be told reaches it.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread;
use std::time::{Duration, Instant};

use super::account::SendError;
use super::letter::{GroupNews, Letter, Pending};
use super::schedule::Schedule;

/// How long the end of a run waits for its last mail.
const PATIENCE: Duration = Duration::from_secs(10);

/// Who sends mail. Dropped without [`Postman::finish`], it sends nothing more.
pub(super) struct Postman {
    slot: Slot,
    /// Disconnected when the thread is done.
    done: Receiver<()>,
    warn: Warn,
}

type Warn = Arc<dyn Fn(String) + Send + Sync>;

/// Where what is to be told is put in.
#[derive(Clone)]
pub(super) struct Slot(Sender<Order>);

enum Order {
    Group(GroupNews),
    End(Letter),
}

impl Slot {
    /// A group has ended. Does not wait.
    pub(super) fn add(&self, news: GroupNews) {
        // It fails only when the run's last mail is sent: that tells of this group, too.
        let _ = self.0.send(Order::Group(news));
    }
}

impl Postman {
    /// Starts the thread. `warn` is told why a mail was not sent; none, and a warning, if there is no thread.
    pub(super) fn start(
        send: impl Fn(&Letter) -> Result<(), SendError> + Send + 'static,
        schedule: Schedule,
        flow: String,
        warn: impl Fn(String) + Send + Sync + 'static,
    ) -> Option<Self> {
        let warn: Warn = Arc::new(warn);
        let (slot, orders) = channel();
        let (working, done) = channel();
        let told = Arc::clone(&warn);
        let round = move || {
            let _working: Sender<()> = working;
            let begun = now();
            Round {
                send,
                schedule,
                flow,
                warn: told,
                begun,
                pending: Pending::default(),
                fresh: false,
                said: None,
            }
            .work(&orders);
        };
        let thread = thread::Builder::new().name("fedflow-mail".into()).spawn(round);
        match thread {
            Ok(_) => Some(Self { slot: Slot(slot), done, warn }),
            Err(error) => {
                warn(format!("no mail is sent: {error}"));
                None
            }
        }
    }

    /// Where groups that end are told.
    pub(super) fn slot(&self) -> Slot {
        self.slot.clone()
    }

    /// Sends the last mail, with none of the distance to the one before, and waits for that, 10 s at most.
    pub(super) fn finish(self, letter: Letter) {
        self.finish_within(PATIENCE, letter);
    }

    fn finish_within(self, patience: Duration, letter: Letter) {
        let _ = self.slot.0.send(Order::End(letter));
        if self.done.recv_timeout(patience) == Err(RecvTimeoutError::Timeout) {
            (self.warn)("the run's last mail is not sent: the mail server takes too long".into());
        }
    }
}

/// What the thread works with.
struct Round<S> {
    send: S,
    schedule: Schedule,
    flow: String,
    warn: Warn,
    begun: Instant,
    /// What no mail has told yet.
    pending: Pending,
    /// Whether any of it came after the last try: what failed is not tried again for its own sake.
    fresh: bool,
    /// The warning that was said last, and not outdated by a mail that was sent.
    said: Option<String>,
}

impl<S: Fn(&Letter) -> Result<(), SendError>> Round<S> {
    fn work(mut self, orders: &Receiver<Order>) {
        loop {
            let due = self.schedule.next().filter(|_| self.fresh);
            let order = match due {
                Some(due) => orders.recv_timeout(due.saturating_sub(self.time())),
                None => orders.recv().map_err(|_| RecvTimeoutError::Disconnected),
            };
            if matches!(order, Err(RecvTimeoutError::Disconnected)) {
                return;
            }
            // All that has come goes into one mail, and the last one overtakes every other.
            for order in order.into_iter().chain(orders.try_iter()) {
                match order {
                    Order::Group(news) => {
                        self.pending.add(&news);
                        self.fresh = true;
                    }
                    Order::End(letter) => {
                        if self.schedule.has_last() {
                            self.try_send(&letter);
                        }
                        return;
                    }
                }
            }
            if self.fresh && self.schedule.next().is_some_and(|next| next <= self.time()) {
                let letter = self.pending.letter(&self.flow);
                self.fresh = false;
                if self.try_send(&letter) {
                    self.pending = Pending::default();
                }
            }
        }
    }

    fn try_send(&mut self, letter: &Letter) -> bool {
        self.schedule.count(self.time());
        let Err(error) = (self.send)(letter) else {
            self.said = None;
            return true;
        };
        let hint = error.hint().map(|hint| format!("; {hint}")).unwrap_or_default();
        let warning = format!("no mail is sent: {error}{hint}");
        // A server that stays away is told of once.
        if self.said.as_ref() != Some(&warning) {
            (self.warn)(warning.clone());
            self.said = Some(warning);
        }
        false
    }

    fn time(&self) -> Duration {
        now().saturating_duration_since(self.begun)
    }
}

#[expect(clippy::disallowed_methods, reason = "the one clock of mail: it only keeps mails apart")]
fn now() -> Instant {
    Instant::now()
}
