//! How a run's ports are opened and wired: host, devices, journal, report, and everything that watches beside them.

mod control_requests;
mod device_telemetry;
mod host_options;
mod kept_estimates;
mod observers;
mod order_chooser;
mod wait_board;

use std::collections::BTreeMap;
use std::io;
use std::path::PathBuf;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use fedflow_core::{
    Config, Dict, DurationLearner, Durations, Flow, History, Observer, Ports, RunSettings, SessionSetup,
    TaskGroup,
};
use fedflow_gpu::{Pool, ReleaseWatch, TelemetrySampler};
use fedflow_report::{Report, ReportWriter};
use fedflow_worker::store::{
    ControlSocket, Head, JournalNotice, JournalWriter, RunDir, RunLock, recorded_config,
};
use fedflow_worker::{Host, HostHandle, WorkerProgram};
use tracing::{Span, debug_span};

use self::control_requests::take_control_requests;
use self::device_telemetry::{SampleTargets, start_telemetry};
use self::host_options::{host_options, within_capacity};
use self::kept_estimates::KeptEstimates;
use self::order_chooser::OrderChooser;
use self::wait_board::WaitBoard;
use super::devices::Devices;
use super::earlier_sessions::RecordedRun;
use super::notice::Notices;
use super::open_error::OpenError;
use super::opening::Opening;
use super::supervisor::{Guard, GuardWatch, SignalWatch, session_variables};
use crate::debug::task_names::TaskNames;
use crate::debug::traced_pool::TracedPool;

pub(super) use observers::Observers;
pub use observers::Unobserved;

/// Makes the caller's observer.
pub(super) type MakeObserver<O> = Box<dyn FnOnce(&Opening<'_>) -> io::Result<O>>;

/// A run directory that is locked, and what a session in it is opened with.
pub(super) struct SessionPlan<O> {
    pub(super) run_dir: RunDir,
    /// Its lock, held until the session is closed.
    pub(super) lock: RunLock,
    /// What the journal's first line says of the run.
    pub(super) head: Head,
    /// The seed of every random choice of the session.
    pub(super) seed: u64,
    /// What earlier sessions have recorded; none for a new run.
    pub(super) recorded: Option<RecordedRun>,
    /// How long tasks took in earlier runs or sessions; only some start orders ask.
    pub(super) durations: Durations,
    pub(super) config: Config,
    /// The file that it was read from.
    pub(super) config_file: Option<PathBuf>,
    /// The variables of the flow that were given another value.
    pub(super) vars: Dict,
    pub(super) devices: Devices,
    pub(super) workers: BTreeMap<String, WorkerProgram>,
    pub(super) guard: Guard,
    pub(super) notices: Notices,
    pub(super) make_observer: MakeObserver<O>,
}

/// The engine's run of a flow, with this crate's ports.
pub(super) type WiredFlow<O> = Flow<Host, TracedPool<Pool>, Observers<O>>;

/// A session that is going on. Dropping it ends every process and releases the lock last.
pub(super) struct Session<O: Observer> {
    pub(super) flow: WiredFlow<O>,
    /// How long tasks are expected to take that declare nothing; none if the start order does not depend on it.
    pub(super) learner: Option<DurationLearner>,
    /// Chooses the start order of each group; none if that is not to be chosen.
    chooser: Option<OrderChooser>,
    pub(super) estimates: KeptEstimates,
    /// Tells the engine when devices that other runs had may be free; none if this run has its devices alone.
    pub(super) device_watch: Option<ReleaseWatch>,
    /// Samples the devices; none if nothing can be seen of them.
    pub(super) telemetry: Option<TelemetrySampler>,
    /// Takes control requests; none where the file system has no sockets.
    pub(super) control: Option<ControlSocket>,
    /// What is traced of the run is traced in it.
    pub(super) span: Span,
    pub(super) hold: Hold,
}

/// What is kept until everything else of a session is closed. The lock is released last: while it is held, no other
/// supervisor works in the run directory.
pub(super) struct Hold {
    pub(super) signals: SignalWatch,
    _guard: Option<GuardWatch>,
    // Invariant: the last field, as fields are dropped in their order.
    _lock: RunLock,
}

impl<O: Observer> Session<O> {
    /// Opens all ports. No process is started yet. The handle tells the engine what the host does not know of.
    ///
    /// # Errors
    /// A port cannot be opened: no threads, no private directory, the journal cannot be written.
    pub(super) fn open(plan: SessionPlan<O>) -> Result<(Self, HostHandle), OpenError> {
        let SessionPlan { run_dir, lock, head, seed, recorded, durations, config, devices, .. } = plan;
        let SessionPlan { config_file, vars, workers, guard, notices, make_observer, .. } = plan;
        let Devices { choice, mut pool, note } = devices;
        note.iter().for_each(|note| notices.note(note));
        let learns = config.scheduler.order.asks_for_durations();
        let learner = learns.then(|| DurationLearner::new(durations));
        let started = wall_clock();
        let started_unix = started.duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO).as_secs_f64();
        let (history, report, number) = match &recorded {
            Some(recorded) => {
                (recorded.state.history(), recorded.report.clone(), recorded.state.session_count() + 1)
            }
            None => (History::default(), Report::new(), 1),
        };
        let told = notices.clone();
        let report = ReportWriter::new(run_dir.path().to_path_buf(), started_unix, report, move |text| {
            told.warn(text)
        });
        let span = debug_span!("run", flow = %head.flow, session = number);
        let in_span = span.enter();
        let opening = Opening {
            flow: &head.flow,
            run_dir: run_dir.path(),
            config: &config,
            started,
            report: report.sender(),
        };
        let own = make_observer(&opening).map_err(OpenError::Observer)?;

        let told = notices.clone();
        pool.tell_warnings(move |warning| told.warn(warning));
        pool.show_run(&run_dir.path().display().to_string());
        let (workers, host) = Host::start(host_options(&head, &config, &pool, workers, &guard))?;
        let told = host.clone();
        let device_watch = pool.start_watch(config.scheduler.interval, move || told.devices_changed());
        let device_watch = device_watch.map_err(OpenError::DeviceWatch)?;
        let journal = open_journal(&lock, &head, recorded.as_ref(), host.clone())?;
        let targets = SampleTargets {
            started_unix,
            clock: host.clone(),
            report: report.sender(),
            notices: notices.clone(),
        };
        let telemetry = start_telemetry(&pool, &lock, &config, targets);
        let waits = WaitBoard::new(started_unix, notices.clone());
        let control = take_control_requests(&lock, host.clone(), &notices, waits.clone());
        let watched = guard.is_guarded().then(|| GuardWatch::start(host.clone(), notices.clone()));
        let watched = watched.transpose().map_err(OpenError::Watch)?;
        let (learned, estimates) = KeptEstimates::load(&config, &notices);
        let signals = SignalWatch::start(host.clone(), notices.clone()).map_err(OpenError::Watch)?;

        let setup = SessionSetup {
            devices: choice,
            config: recorded_config(&config),
            config_file: config_file.map(|file| file.display().to_string()),
            environment: Some(session_variables()),
            vars,
        };
        let settings = RunSettings {
            flow: head.flow,
            workdir: run_dir.path().to_path_buf(),
            seed,
            session: number,
            setup: Some(setup),
            on_failure: config.task.on_failure,
            grace: config.supervision.grace,
        };
        let names = TaskNames::default();
        let observer = Observers {
            journal,
            report,
            learner: learner.clone(),
            names: names.clone(),
            notices: notices.clone(),
            left_running: 0,
            waits,
            own,
        };
        let chooser = OrderChooser::new(&pool, &config, seed);
        let ports = Ports { workers, pool: TracedPool::new(pool, names), observer };
        let config = within_capacity(config, &notices);
        let flow = Flow::new(ports, settings, config, history).with_estimates(learned);
        let hold = Hold { signals, _guard: watched, _lock: lock };
        drop(in_span);
        Ok((Self { flow, learner, chooser, estimates, device_watch, telemetry, control, span, hold }, host))
    }

    /// Has the tasks of a group that is about to be opened expect to take as long as is known by now, if the start
    /// order depends on it; and chooses that order, if it is to be chosen for each group.
    pub(super) fn expect(&self, group: &mut TaskGroup) {
        let Some(learner) = &self.learner else { return };
        learner.expect(group);
        if let Some(chooser) = &self.chooser {
            let estimates = self.flow.estimates();
            group.chosen_order = learner.ask(|durations| chooser.choose(group, durations, estimates));
        }
    }
}

/// Opens the journal; its writer tells the engine what is durable.
fn open_journal(
    lock: &RunLock,
    head: &Head,
    recorded: Option<&RecordedRun>,
    host: HostHandle,
) -> Result<JournalWriter, OpenError> {
    let notify = Box::new(move |notice| match notice {
        JournalNotice::Durable(number) => host.durable(number),
        JournalNotice::Failed(reason) => host.recording_failed(reason),
    });
    Ok(match recorded {
        None => JournalWriter::create(lock, head, notify)?,
        Some(recorded) => JournalWriter::append(lock, &recorded.state.journal, notify)?,
    })
}

/// The wall-clock time at which a session begins.
fn wall_clock() -> SystemTime {
    #[expect(clippy::disallowed_methods, reason = "the one place of this crate that asks for the time")]
    SystemTime::now()
}
