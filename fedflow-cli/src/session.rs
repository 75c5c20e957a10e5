//! One session of a run: the ports opened, wired, and closed in order.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use fedflow_core::{
    Config, DevicePool, DurationLearner, Durations, Estimates, Flow, FlowError, GroupSummary, History,
    Observer, Ports, RunEvent, RunOutcome, RunSettings, StartOrder, StopLevel, TaskGroup, Time,
};
use fedflow_gpu::{DeviceWatch, Pool, TelemetrySampler};
use fedflow_report::{Report, ReportWriter};
use fedflow_worker::store::{
    EstimatesFile, Head, JournalNotice, JournalWriter, Order, OrderSocket, RUN_TOKEN_VARIABLE, RunDir,
    RunLock,
};
use fedflow_worker::{Host, HostHandle, HostOptions, HostTalk, LeaseWitness, TrainGate, WorkerProgram};

use crate::command_error::CommandError;
use crate::debug::{DebugTalk, TalkingPool};
use crate::environment;
use crate::guard::GuardWatch;
use crate::history::EarlierRun;
use crate::mail::Mailer;
use crate::signals::SignalWatch;
use crate::telemetry::{TelemetryListeners, start_telemetry};
use crate::view::{Messages, ProgressMode, View};

/// What a session is opened with.
pub(crate) struct SessionPlan {
    /// The run directory.
    pub(crate) run_dir: RunDir,
    /// Its lock, held until the session is closed.
    pub(crate) lock: RunLock,
    /// What the journal says of the run.
    pub(crate) head: Head,
    /// What was recorded by earlier sessions; none for a new run.
    pub(crate) earlier: Option<EarlierRun>,
    /// How long tasks took in earlier runs or sessions; only `longest-first` asks.
    pub(crate) durations: Durations,
    /// The effective configuration.
    pub(crate) config: Config,
    /// The devices.
    pub(crate) pool: Pool,
    /// The worker programs by name.
    pub(crate) workers: BTreeMap<String, WorkerProgram>,
    /// How progress is shown.
    pub(crate) progress: ProgressMode,
}

/// A session that is going on.
pub(crate) struct Session {
    flow: Flow<Host, TalkingPool<Pool>, Observers>,
    /// What tasks are expected to take that declare nothing; none if the order does not depend on it.
    learner: Option<DurationLearner>,
    signals: SignalWatch,
    /// What `fedflow stop` reaches; none where the file system has no sockets.
    orders: Option<OrderSocket>,
    /// Where what the run learns of tasks' memory is kept.
    estimates: Option<EstimatesFile>,
    /// Dropped when everything is closed.
    _guard: GuardWatch,
    /// Tells the engine when devices that others had may be free; none if this run has its devices alone.
    _devices: Option<DeviceWatch>,
    /// Looks at the devices; none if nothing can be seen of them.
    telemetry: Option<TelemetrySampler>,
    run_dir: RunDir,
    /// Whether the directory alone is enough to go on: it has a flow file's flow.
    resumable: bool,
    /// Released last: while it is held, nobody else works in the run directory.
    _lock: RunLock,
    any_failed: bool,
}

/// All who are told of the run: the journal writes it down, the report and the view tell people.
struct Observers {
    journal: JournalWriter,
    report: ReportWriter,
    view: View,
    learner: Option<DurationLearner>,
    mailer: Option<Mailer>,
    talk: Option<DebugTalk>,
}

impl Observer for Observers {
    fn record(&mut self, number: u64, time: Time, event: &RunEvent) {
        if let Some(talk) = &self.talk {
            talk.learn(event);
        }
        self.journal.record(number, time, event);
        if let Some(learner) = &mut self.learner {
            learner.record(number, time, event);
        }
    }

    fn answers_durable(&self) -> bool {
        self.journal.answers_durable()
    }

    fn flush(&mut self) {
        self.journal.flush();
    }

    fn announce(&mut self, time: Time, event: &RunEvent) {
        self.report.announce(time, event);
        // After the report, of which it asks for what it sends.
        if let Some(mailer) = &mut self.mailer {
            mailer.announce(time, event);
        }
        self.view.announce(time, event);
    }
}

impl Session {
    /// Opens all ports. Nothing is started yet.
    ///
    /// # Errors
    /// A port cannot be opened: no threads, no private directory, the journal cannot be written.
    pub(crate) fn open(plan: SessionPlan) -> Result<Self, CommandError> {
        let SessionPlan { run_dir, lock, head, earlier, durations, config, mut pool, workers, progress } =
            plan;
        let learner =
            (config.scheduler.order == StartOrder::LongestFirst).then(|| DurationLearner::new(durations));
        let started = wall_clock();
        let started_unix = started.duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO).as_secs_f64();
        let view = View::open(progress, started).map_err(CommandError::failed)?;
        let messages = view.messages();
        let talk = config.debug.then(|| DebugTalk::new(messages.clone()));
        let warnings = messages.clone();
        pool.tell_warnings(move |warning| warnings.say(&format!("warning: {warning}")));
        let options = host_options(&head, &config, &pool, workers, talk.clone());
        let (host, handle) = Host::start(options).map_err(CommandError::failed)?;
        let told = handle.clone();
        let devices = pool.start_watch(config.scheduler.interval, move || told.devices_changed());
        let devices = devices.map_err(CommandError::failed)?;
        let told = handle.clone();
        let notify = Box::new(move |notice| match notice {
            JournalNotice::Durable(number) => told.durable(number),
            JournalNotice::Failed(reason) => told.recording_failed(reason),
        });
        let (history, report, session) = match &earlier {
            Some(earlier) => (earlier.state.history(), earlier.report.clone(), earlier.state.sessions + 1),
            None => (History::default(), Report::new(), 1),
        };
        let journal = match &earlier {
            None => JournalWriter::create(&lock, &head, notify),
            Some(earlier) => JournalWriter::append(&lock, &earlier.state.journal, notify),
        };
        let journal = journal.map_err(CommandError::failed)?;
        let warnings = messages.clone();
        let warn = move |warning| warnings.say(&format!("warning: {warning}"));
        let report = ReportWriter::new(run_dir.path().to_path_buf(), started_unix, report, warn);
        let listeners = TelemetryListeners {
            started_unix,
            clock: handle.clone(),
            report: report.sender(),
            messages: messages.clone(),
        };
        let telemetry = start_telemetry(&pool, &lock, &config, listeners);
        let orders = take_orders(&lock, handle.clone(), messages.clone());
        let guard = GuardWatch::start(handle.clone(), messages.clone()).map_err(no_watch)?;
        let (learned, estimates) = load_estimates(&config, &messages);
        let signals = SignalWatch::start(handle, messages.clone()).map_err(no_watch)?;
        let resumable = head.flow_file.is_some();
        let mailer = Mailer::start(&config, &head.flow, run_dir.path(), report.sender(), &messages)?;
        let settings = RunSettings {
            flow: head.flow,
            workdir: run_dir.path().to_path_buf(),
            seed: head.seed,
            session,
            on_failure: config.task.on_failure,
            grace: config.supervision.grace,
        };
        let observer =
            Observers { journal, report, view, learner: learner.clone(), mailer, talk: talk.clone() };
        let ports = Ports { workers: host, pool: TalkingPool::new(pool, talk), observer };
        let config = within_capacity(config, &messages);
        let flow = Flow::new(ports, settings, config, history).with_estimates(learned);
        Ok(Self {
            flow,
            learner,
            signals,
            orders,
            estimates,
            _devices: devices,
            telemetry,
            _guard: guard,
            run_dir,
            resumable,
            _lock: lock,
            any_failed: false,
        })
    }

    /// Executes a group; see [`Flow::execute`].
    ///
    /// # Errors
    /// As there.
    pub(crate) fn execute(&mut self, group: &mut TaskGroup) -> Result<GroupSummary, FlowError> {
        self.expect(group);
        let summary = self.flow.execute(group)?;
        self.any_failed |= summary.failed + summary.cancelled > 0;
        Ok(summary)
    }

    /// Executes a group while the tasks of the next one load; see [`Flow::execute_and_load`].
    ///
    /// # Errors
    /// As there.
    pub(crate) fn execute_and_load(
        &mut self,
        group: &mut TaskGroup,
        next: &mut TaskGroup,
    ) -> Result<GroupSummary, FlowError> {
        // The next one is opened now: in what order it starts is decided here, not when its turn comes.
        self.expect(group);
        self.expect(next);
        let summary = self.flow.execute_and_load(group, next)?;
        self.any_failed |= summary.failed + summary.cancelled > 0;
        Ok(summary)
    }

    /// Has the tasks of a group that is to be opened expect to take as long as is known by now, if the order asks.
    fn expect(&self, group: &mut TaskGroup) {
        if let Some(learner) = &self.learner {
            learner.expect(group);
        }
    }

    /// Closes everything: the journal's last record, the reports, the view; then prints the summary.
    ///
    /// # Errors
    /// How the run ended, if not every task finished.
    pub(crate) fn close(self, ended: Result<(), FlowError>) -> Result<(), CommandError> {
        let Self {
            flow,
            signals,
            orders,
            estimates,
            _devices,
            telemetry,
            _guard,
            run_dir,
            resumable,
            _lock,
            any_failed,
            ..
        } = self;
        let outcome = match &ended {
            Ok(()) | Err(FlowError::EarlierFailure) => RunOutcome::Complete,
            Err(FlowError::Stopped) => RunOutcome::Stopped,
            Err(_) => RunOutcome::Failed,
        };
        let learned = flow.estimates().clone();
        let Ports { workers, pool, observer } = flow.finish(outcome.clone());
        drop(workers);
        // Its last look is in the report that is written below.
        drop(telemetry);
        // Before the lock is given up: its socket must not be taken for that of a later session.
        drop(orders);
        // What the workers held is given back when they are gone.
        drop(pool);
        let Observers { journal, report, view, mailer, .. } = observer;
        let messages = view.messages();
        if let Some(Err(error)) = estimates.map(|file| file.save(&learned)) {
            messages.say(&format!("warning: what was learned of tasks' memory is not kept: {error}"));
        }
        let journal_end = journal.finish();
        let report = report.finish();
        let report_path = run_dir.report();
        messages.say(&view.render_summary(report_path.exists().then_some(report_path.as_path())));
        let result = match (ended, signals.signal()) {
            (Ok(()), _) if any_failed => Err(CommandError::TasksFailed),
            (Ok(()), _) => journal_end.map_err(|error| {
                CommandError::failed(format!("the run's last records could not be written: {error}"))
            }),
            (Err(FlowError::EarlierFailure), _) => {
                messages.say(
                    "stopped after the first group with a failed task, as task.on-failure = \"stop\" says",
                );
                Err(CommandError::TasksFailed)
            }
            (Err(FlowError::Stopped), signal) => {
                if resumable {
                    messages.say(&format!("hint: go on with `fedflow resume {}`", shown(run_dir.path())));
                }
                Err(CommandError::Stopped { signal: signal.unwrap_or(signal_hook::consts::SIGTERM) })
            }
            (Err(error @ FlowError::Unleasable { .. }), _) => Err(CommandError::refused(error)),
            (Err(error @ FlowError::Changed(_)), _) => Err(CommandError::refused(error)
                .hint("only groups that had not started may change; --fresh begins anew")),
            (Err(error), _) => Err(CommandError::failed(error).hint(format!(
                "when the cause is mended, go on with `fedflow resume {}`",
                shown(run_dir.path())
            ))),
        };
        // Last, and after the summary: a mail server may take its time.
        if let Some(mailer) = mailer {
            mailer.finish(&report, &outcome);
        }
        drop(view);
        result
    }
}

/// The system gives no descriptor or thread to watch with.
fn no_watch(error: std::io::Error) -> CommandError {
    CommandError::failed(format!("cannot watch for signals and for the guard: {error}"))
}

/// What earlier runs have learned of tasks' memory, and where that is kept; only with `scheduler.auto-adjust`. A run
/// never fails for want of it.
fn load_estimates(config: &Config, messages: &Messages) -> (Estimates, Option<EstimatesFile>) {
    let directory = environment::estimates_directory().filter(|_| config.scheduler.auto_adjust);
    let Some(file) = directory.map(EstimatesFile::in_directory) else { return Default::default() };
    let learned = file.load().unwrap_or_else(|error| {
        messages.say(&format!("warning: what was learned of tasks' memory is begun anew: {error}"));
        Estimates::default()
    });
    (learned, Some(file))
}

/// The configuration with no more processes at once than there are descriptors for: tasks wait for each other then,
/// instead of failing.
fn within_capacity(mut config: Config, messages: &Messages) -> Config {
    let capacity = Host::worker_capacity();
    if capacity < config.scheduler.max_process {
        messages.say(&format!(
            "warning: at most {capacity} processes at once, as the limit of open files (`ulimit -n`) allows no more"
        ));
        config.scheduler.max_process = capacity;
    }
    config
}

/// Listens for `fedflow stop`. The run goes on without it.
fn take_orders(lock: &RunLock, host: HostHandle, messages: Messages) -> Option<OrderSocket> {
    let say = messages.clone();
    let opened = OrderSocket::open(lock, move |order| match order {
        Order::Stop(level) => {
            let how = match level {
                StopLevel::Graceful => "running tasks are asked to end",
                StopLevel::AtOnce => "running tasks are killed",
            };
            say.say(&format!("stopping, as `fedflow stop` says: {how}"));
            host.stop(level);
        }
        Order::Cancel { group, task } => host.cancel(group, task),
    });
    opened
        .map_err(|error| messages.say(&format!("warning: `fedflow stop` will not reach this run: {error}")))
        .ok()
}

fn host_options(
    head: &Head,
    config: &Config,
    pool: &Pool,
    workers: BTreeMap<String, WorkerProgram>,
    talk: Option<DebugTalk>,
) -> HostOptions {
    let mut base_environment = pool.base_environment();
    // By it a later session finds what may be left of this one.
    base_environment.push((RUN_TOKEN_VARIABLE.into(), head.run_token.clone()));
    HostOptions {
        workers,
        base_environment,
        result_limit: config.supervision.result_limit.bytes(),
        log_limit: config.supervision.log_limit.bytes(),
        // Who looks for a mistake wants to see what was left.
        keep_failed_attempts: config.supervision.keep_failed_attempts || config.debug,
        threads_per_task: threads_per_task(config, pool),
        lease_witness: pool
            .holders()
            .map(|holders| LeaseWitness::new(move |lease, process, task| holders.name(lease, process, task))),
        oom_signs: Arc::new(config.oom_signs.clone()),
        train_gate: pool.simulated_memory().map(|memory| {
            TrainGate::new(move |lease, size| memory.occupy(lease, size).map_err(|oom| oom.to_string()))
        }),
        talk: talk.map(|talk| HostTalk::new(move |text| talk.say(text))),
        sample_interval: Some(config.scheduler.interval),
        // The supervisor starts nothing but workers.
        adopt_orphans: true,
        ..HostOptions::new(&head.base_dir)
    }
}

/// Each task's share of the cores: as many tasks train at once as there are devices, if the limits allow it.
fn threads_per_task(config: &Config, pool: &Pool) -> Option<u32> {
    let cores = std::thread::available_parallelism().ok()?.get();
    let at_once = pool.devices().len().clamp(1, config.scheduler.max_process as usize);
    u32::try_from((cores / at_once).max(1)).ok()
}

/// A path as a person would type it: relative to the current directory where that is shorter.
pub(crate) fn shown(path: &Path) -> String {
    let relative =
        std::env::current_dir().ok().and_then(|here| Some(path.strip_prefix(here).ok()?.to_path_buf()));
    let path: PathBuf = relative.filter(|path| !path.as_os_str().is_empty()).unwrap_or_else(|| path.into());
    path.display().to_string()
}

/// The wall-clock time at which this session begins.
fn wall_clock() -> SystemTime {
    #[expect(clippy::disallowed_methods, reason = "the one place of this crate that asks for the time")]
    SystemTime::now()
}
