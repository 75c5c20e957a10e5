//! One session of a run: the ports opened, wired, and closed in order.

use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use fedflow_core::{
    Config, Flow, FlowError, GroupSummary, History, Observer, Ports, RunEvent, RunOutcome, RunSettings,
    TaskGroup, Time,
};
use fedflow_gpu::Pool;
use fedflow_report::{Report, ReportWriter};
use fedflow_worker::store::{Journal, JournalNotice, JournalWriter, RunDir, RunLock};
use fedflow_worker::{Host, HostInbox, HostLauncher, HostOptions};

use crate::command_error::CommandError;
use crate::signals::SignalWatch;
use crate::view::{ProgressMode, View};

/// What a session is opened with.
pub struct SessionPlan {
    /// The run directory.
    pub run_dir: RunDir,
    /// Its lock, held until the session is closed.
    pub lock: RunLock,
    /// The journal to write to.
    pub journal: Journal,
    /// The flow's name.
    pub flow_name: String,
    /// The effective configuration.
    pub config: Config,
    /// The devices.
    pub pool: Pool,
    /// The worker programs and where relative paths begin.
    pub host: HostOptions,
    /// The seed of every random choice.
    pub seed: u64,
    /// Which session of the run this is, from 1.
    pub session: u32,
    /// What earlier sessions recorded.
    pub history: History,
    /// The report of what earlier sessions recorded.
    pub report: Report,
    /// How progress is shown.
    pub progress: ProgressMode,
}

/// A session that is going on.
pub struct Session {
    flow: Flow<HostLauncher, Pool, Observers, HostInbox>,
    signals: SignalWatch,
    run_dir: RunDir,
    /// Released last: while it is held, nobody else works in the run directory.
    _lock: RunLock,
    any_failed: bool,
}

/// All who are told of the run: the journal writes it down, the report and the view tell people.
struct Observers {
    journal: JournalWriter,
    report: ReportWriter,
    view: View,
}

impl Observer for Observers {
    fn record(&mut self, number: u64, time: Time, event: &RunEvent) {
        self.journal.record(number, time, event);
    }

    fn answers_durable(&self) -> bool {
        self.journal.answers_durable()
    }

    fn announce(&mut self, time: Time, event: &RunEvent) {
        self.report.announce(time, event);
        self.view.announce(time, event);
    }
}

impl Session {
    /// Opens all ports. Nothing is started yet.
    ///
    /// # Errors
    /// A port cannot be opened: no threads, no private directory, the journal cannot be written.
    pub fn open(plan: SessionPlan) -> Result<Self, CommandError> {
        let started = wall_clock();
        let started_unix = started.duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO).as_secs_f64();
        let view = View::open(plan.progress, started).map_err(CommandError::failed)?;
        let (launcher, inbox, handle) = Host::start(plan.host).map_err(CommandError::failed)?;
        let durable = handle.clone();
        let journal = plan
            .journal
            .start(started_unix, move |notice| match notice {
                JournalNotice::Durable(number) => durable.durable(number),
                JournalNotice::Failed(reason) => durable.recording_failed(reason),
            })
            .map_err(CommandError::failed)?;
        let warnings = view.messages();
        let report = ReportWriter::new(
            plan.run_dir.path().to_path_buf(),
            started_unix,
            plan.report,
            move |warning| warnings.say(&format!("warning: {warning}")),
        )
        .map_err(CommandError::failed)?;
        let signals = SignalWatch::start(handle, view.messages()).map_err(CommandError::failed)?;
        let settings = RunSettings {
            flow: plan.flow_name,
            workdir: plan.run_dir.path().to_path_buf(),
            seed: plan.seed,
            session: plan.session,
            on_failure: plan.config.task.on_failure,
            grace: plan.config.supervision.grace,
        };
        let observer = Observers { journal, report, view };
        let ports = Ports { launcher, pool: plan.pool, observer, inbox };
        let flow = Flow::new(ports, settings, plan.config, plan.history);
        Ok(Self { flow, signals, run_dir: plan.run_dir, _lock: plan.lock, any_failed: false })
    }

    /// Executes a group; see [`Flow::execute`].
    ///
    /// # Errors
    /// As there.
    pub fn execute(&mut self, group: &mut TaskGroup) -> Result<GroupSummary, FlowError> {
        let summary = self.flow.execute(group)?;
        self.any_failed |= summary.failed + summary.cancelled > 0;
        Ok(summary)
    }

    /// Closes everything: the journal's last record, the reports, the view; then prints the summary.
    ///
    /// # Errors
    /// How the run ended, if not every task finished.
    pub fn close(self, ended: Result<(), FlowError>) -> Result<(), CommandError> {
        let Self { flow, signals, run_dir, _lock, any_failed } = self;
        let outcome = match &ended {
            Ok(()) | Err(FlowError::EarlierFailure) => RunOutcome::Complete,
            Err(FlowError::Stopped) => RunOutcome::Stopped,
            Err(_) => RunOutcome::Failed,
        };
        let Ports { launcher, observer, .. } = flow.finish(outcome);
        drop(launcher);
        let Observers { journal, report, view } = observer;
        let messages = view.messages();
        let journal_end = journal.finish();
        report.finish();
        let report_path = run_dir.report();
        messages.say(&view.render_summary(report_path.exists().then_some(report_path.as_path())));
        let result = match (ended, signals.signal()) {
            (Ok(()), _) if any_failed => Err(CommandError::TasksFailed),
            (Ok(()), _) => journal_end.map_err(|error| {
                CommandError::failed(format!("the run's last records could not be written: {error}"))
            }),
            (Err(FlowError::EarlierFailure), _) => {
                messages.say("stopped after the first group with a failed task, as task.on-failure = \"stop\" says");
                Err(CommandError::TasksFailed)
            }
            (Err(FlowError::Stopped), signal) => {
                messages.say(&format!("hint: go on with `fedflow resume {}`", shown(run_dir.path())));
                Err(CommandError::Stopped { signal: signal.unwrap_or(signal_hook::consts::SIGTERM) })
            }
            (Err(error @ FlowError::Unleasable { .. }), _) => Err(CommandError::refused(error)),
            (Err(error @ FlowError::Changed(_)), _) => Err(CommandError::refused(error)
                .hint("only groups that had not started may change; --fresh begins anew")),
            (Err(error), _) => Err(CommandError::failed(error)
                .hint(format!("when the cause is mended, go on with `fedflow resume {}`", shown(run_dir.path())))),
        };
        drop(view);
        result
    }
}

/// A path as a person would type it: relative to the current directory where that is shorter.
pub fn shown(path: &Path) -> String {
    let relative = std::env::current_dir().ok().and_then(|here| Some(path.strip_prefix(here).ok()?.to_path_buf()));
    let path: PathBuf = relative.filter(|path| !path.as_os_str().is_empty()).unwrap_or_else(|| path.into());
    path.display().to_string()
}

/// The wall-clock time at which this session begins.
fn wall_clock() -> SystemTime {
    #[expect(clippy::disallowed_methods, reason = "the one place of this crate that asks for the time")]
    SystemTime::now()
}
