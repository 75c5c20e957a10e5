//! `MailSender`: the thread that sends mail, and its queue.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread;
use std::time::{Duration, Instant};

use super::account::SendError;
use super::message::{GroupNotice, MailMessage, PendingGroups};
use super::rate_limit::RateLimit;

/// How long the end of a run waits for its last mail.
const PATIENCE: Duration = Duration::from_secs(10);

/// Sends mail from a thread of its own. Dropped without [`MailSender::finish`], it sends nothing more.
pub(super) struct MailSender {
    queue: MailQueue,
    /// Disconnected when the thread has ended.
    done: Receiver<()>,
    warn: Warn,
}

type Warn = Arc<dyn Fn(String) + Send + Sync>;

/// The queue of the thread. A clone is the same queue.
#[derive(Clone)]
pub(super) struct MailQueue(Sender<MailJob>);

/// What the thread is to report.
enum MailJob {
    Group(GroupNotice),
    End(MailMessage),
}

impl MailQueue {
    /// Queues a group that has ended. Does not block.
    pub(super) fn add(&self, notice: GroupNotice) {
        // It fails only once the run's last mail is sent, which reports this group too.
        let _ = self.0.send(MailJob::Group(notice));
    }
}

impl MailSender {
    /// Starts the thread. `warn` gets the reason when a mail is not sent. `None`, with a warning, if the thread cannot be
    /// started.
    pub(super) fn start(
        send: impl Fn(&MailMessage) -> Result<(), SendError> + Send + 'static,
        limit: RateLimit,
        flow: String,
        warn: impl Fn(String) + Send + Sync + 'static,
    ) -> Option<Self> {
        let warn: Warn = Arc::new(warn);
        let (queue, jobs) = channel();
        let (working, done) = channel();
        let warn_in_thread = Arc::clone(&warn);
        let run = move || {
            let _working: Sender<()> = working;
            let started = now();
            SenderThread {
                send,
                limit,
                flow,
                warn: warn_in_thread,
                started,
                pending: PendingGroups::default(),
                fresh: false,
                last_warning: None,
            }
            .work(&jobs);
        };
        let thread = thread::Builder::new().name("fedflow-mail".into()).spawn(run);
        match thread {
            Ok(_) => Some(Self { queue: MailQueue(queue), done, warn }),
            Err(error) => {
                warn(format!("no mail is sent: {error}"));
                None
            }
        }
    }

    /// The queue for groups that end.
    pub(super) fn queue(&self) -> MailQueue {
        self.queue.clone()
    }

    /// Sends the last mail at once, however recent the one before. Blocks until it is sent, 10 s at most.
    pub(super) fn finish(self, message: MailMessage) {
        self.finish_within(PATIENCE, message);
    }

    fn finish_within(self, patience: Duration, message: MailMessage) {
        let _ = self.queue.0.send(MailJob::End(message));
        if self.done.recv_timeout(patience) == Err(RecvTimeoutError::Timeout) {
            (self.warn)("the run's last mail is not sent: the mail server takes too long".into());
        }
    }
}

/// The state of the thread.
struct SenderThread<S> {
    send: S,
    limit: RateLimit,
    flow: String,
    warn: Warn,
    started: Instant,
    /// The groups that no mail has reported yet.
    pending: PendingGroups,
    /// Whether any of them came after the last try: a mail that failed is not tried again on its own.
    fresh: bool,
    /// The last warning; `None` once a mail was sent after it.
    last_warning: Option<String>,
}

impl<S: Fn(&MailMessage) -> Result<(), SendError>> SenderThread<S> {
    fn work(mut self, jobs: &Receiver<MailJob>) {
        loop {
            let due = self.limit.next().filter(|_| self.fresh);
            let job = match due {
                Some(due) => jobs.recv_timeout(due.saturating_sub(self.time())),
                None => jobs.recv().map_err(|_| RecvTimeoutError::Disconnected),
            };
            if matches!(job, Err(RecvTimeoutError::Disconnected)) {
                return;
            }
            // Everything in the queue goes into one mail, and the last mail of the run comes first.
            for job in job.into_iter().chain(jobs.try_iter()) {
                match job {
                    MailJob::Group(notice) => {
                        self.pending.add(&notice);
                        self.fresh = true;
                    }
                    MailJob::End(message) => {
                        if self.limit.has_last() {
                            self.try_send(&message);
                        }
                        return;
                    }
                }
            }
            if self.fresh && self.limit.next().is_some_and(|next| next <= self.time()) {
                let message = self.pending.message(&self.flow);
                self.fresh = false;
                if self.try_send(&message) {
                    self.pending = PendingGroups::default();
                }
            }
        }
    }

    fn try_send(&mut self, message: &MailMessage) -> bool {
        self.limit.count(self.time());
        let Err(error) = (self.send)(message) else {
            self.last_warning = None;
            return true;
        };
        let hint = error.hint().map(|hint| format!("; {hint}")).unwrap_or_default();
        let warning = format!("no mail is sent: {error}{hint}");
        // A server that stays away is one warning.
        if self.last_warning.as_ref() != Some(&warning) {
            (self.warn)(warning.clone());
            self.last_warning = Some(warning);
        }
        false
    }

    fn time(&self) -> Duration {
        now().saturating_duration_since(self.started)
    }
}

#[expect(clippy::disallowed_methods, reason = "the one clock of mail: it only keeps mails apart")]
fn now() -> Instant {
    Instant::now()
}
