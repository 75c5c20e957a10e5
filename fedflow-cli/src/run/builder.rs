//! `RunBuilder`: what a run is opened with, and how: as a new one, or as one that goes on.

use std::collections::BTreeMap;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use fedflow_core::{Config, Dict, Durations, Observer};
use fedflow_worker::store::{Head, RunDir, RunLock, flow_checksum, new_run_token, recorded_config, unix_now};
use fedflow_worker::{WorkerProgram, check_start};

use super::devices::{Devices, DevicesChoice};
use super::earlier_sessions::{
    LockedRun, RecordedRun, configuration_changes, environment_changes, read_durations,
};
use super::new_run_directory::NewRunDirectory;
use super::notice::{Notice, Notices};
use super::open_error::OpenError;
use super::open_run::Run;
use super::opening::Opening;
use super::supervisor::{Guard, session_variables};
use super::wiring::{MakeObserver, Session, SessionPlan, Unobserved};

/// The devices of a run that is given none.
pub(crate) const DEFAULT_DEVICES: &str = "auto";
/// The seed of a run that is given none: the same flow makes the same choices.
pub(crate) const DEFAULT_SEED: u64 = 0;

/// What a run is opened with. Everything has a default but its name, its directory and its guard.
pub struct RunBuilder<O = Unobserved> {
    name: String,
    workdir: PathBuf,
    guard: Guard,
    devices: DevicesChoice,
    config: Config,
    config_file: Option<PathBuf>,
    vars: Dict,
    workers: BTreeMap<String, WorkerProgram>,
    base_dir: Option<PathBuf>,
    flow_file: Option<FlowText>,
    reserved: Vec<PathBuf>,
    seed: Option<u64>,
    fresh: bool,
    durations: Option<Durations>,
    notices: Notices,
    make_observer: MakeObserver<O>,
}

/// A run directory that is ready for a session.
struct Begun {
    run_dir: RunDir,
    lock: RunLock,
    head: Head,
    seed: u64,
    recorded: Option<RecordedRun>,
    durations: Durations,
}

/// The flow file that a run comes from.
struct FlowText {
    path: PathBuf,
    text: String,
}

impl RunBuilder {
    /// Begins to describe a run: the flow's name, the run directory and the guard.
    #[must_use]
    pub fn new(name: impl Into<String>, workdir: impl Into<PathBuf>, guard: Guard) -> Self {
        Self {
            name: name.into(),
            workdir: workdir.into(),
            guard,
            devices: DevicesChoice::Text(DEFAULT_DEVICES.into()),
            config: Config::default(),
            config_file: None,
            vars: Dict::new(),
            workers: BTreeMap::new(),
            base_dir: None,
            flow_file: None,
            reserved: Vec::new(),
            seed: None,
            fresh: false,
            durations: None,
            notices: Notices::default(),
            make_observer: Box::new(|_| Ok(Unobserved)),
        }
    }
}

impl<O: Observer> RunBuilder<O> {
    /// The devices, as a text: `auto` (the default: all cards, or CPU slots where there is none), `cpu:4`,
    /// `sim:2x24GB`, `cuda:0,cuda:2`.
    #[must_use]
    pub fn devices(mut self, choice: impl Into<String>) -> Self {
        self.devices = DevicesChoice::Text(choice.into());
        self
    }

    /// The devices, opened before, with this configuration.
    #[must_use]
    pub fn opened_devices(mut self, devices: Devices) -> Self {
        self.devices = DevicesChoice::Opened(Box::new(devices));
        self
    }

    /// The configuration.
    #[must_use]
    pub fn config(mut self, config: Config) -> Self {
        self.config = config;
        self
    }

    /// The file that the configuration was read from. It is recorded where it lies, so that a later session finds the password
    /// there, which is not recorded.
    #[must_use]
    pub fn config_file(mut self, file: impl Into<PathBuf>) -> Self {
        self.config_file = Some(file.into());
        self
    }

    /// The variables of the flow that were given another value than in its file. They are recorded.
    #[must_use]
    pub fn vars(mut self, vars: Dict) -> Self {
        self.vars = vars;
        self
    }

    /// The worker programs, by the names under which tasks ask for them. The running program itself needs no name.
    #[must_use]
    pub fn workers(mut self, workers: BTreeMap<String, WorkerProgram>) -> Self {
        self.workers = workers;
        self
    }

    /// What relative program paths are relative to, an absolute path; the current directory unless it is set.
    #[must_use]
    pub fn base_dir(mut self, base_dir: impl Into<PathBuf>) -> Self {
        self.base_dir = Some(base_dir.into());
        self
    }

    /// The flow file that the run comes from, with its text. The run directory keeps the text, and `fedflow resume` goes
    /// on with it.
    #[must_use]
    pub fn flow_file(mut self, path: impl Into<PathBuf>, text: impl Into<String>) -> Self {
        self.flow_file = Some(FlowText { path: path.into(), text: text.into() });
        self
    }

    /// Paths below the run directory that a new run's tasks will have as directories: it is not begun if there is
    /// anything of such a name.
    #[must_use]
    pub fn reserve(mut self, paths: impl IntoIterator<Item = PathBuf>) -> Self {
        self.reserved = paths.into_iter().collect();
        self
    }

    /// The seed of every random choice that Fedflow makes. Unless it is set, it is 0, and a run that goes on keeps the one
    /// of its latest session.
    #[must_use]
    pub fn seed(mut self, seed: u64) -> Self {
        self.seed = Some(seed);
        self
    }

    /// Removes the run that is in the directory, and begins anew: what Fedflow and the run's tasks made, and nothing
    /// else.
    #[must_use]
    pub fn fresh(mut self, fresh: bool) -> Self {
        self.fresh = fresh;
        self
    }

    /// How long tasks take that declare nothing, for the start order `longest-first`. A run that goes on, or that
    /// replaces an earlier one, learns it from that by itself.
    #[must_use]
    pub fn durations(mut self, durations: Durations) -> Self {
        self.durations = Some(durations);
        self
    }

    /// Calls a function for everything that a person should know. It may be called by any thread, and must not block.
    /// Without one, notices are collected for [`Run::take_notices`]. Nothing is ever printed.
    #[must_use]
    pub fn on_notice(mut self, notice: impl Fn(Notice) + Send + Sync + 'static) -> Self {
        self.notices = Notices::Callback(Arc::new(notice));
        self
    }

    /// Adds an observer of the caller's. It is made when the run directory is ready, and told what happens from then
    /// on, by the thread that executes groups. [`RunEnd::observer`](super::RunEnd::observer) has it at the end.
    #[must_use]
    pub fn observer<P: Observer>(
        self,
        make: impl FnOnce(&Opening<'_>) -> io::Result<P> + 'static,
    ) -> RunBuilder<P> {
        RunBuilder {
            name: self.name,
            workdir: self.workdir,
            guard: self.guard,
            devices: self.devices,
            config: self.config,
            config_file: self.config_file,
            vars: self.vars,
            workers: self.workers,
            base_dir: self.base_dir,
            flow_file: self.flow_file,
            reserved: self.reserved,
            seed: self.seed,
            fresh: self.fresh,
            durations: self.durations,
            notices: self.notices,
            make_observer: Box::new(make),
        }
    }

    /// Goes on with the run that is in the directory, or begins a new one if there is none or [`Self::fresh`] asks for
    /// it.
    ///
    /// # Errors
    /// As for [`Self::begin`] and [`Self::resume`]; also if the directory holds a run of another flow.
    pub fn open(self) -> Result<Run<O>, OpenError> {
        // Before the run directory is asked: in a worker that forgot that it is one, that is its supervisor's.
        check_start()?;
        match RunDir::open(&self.workdir) {
            Ok(run_dir) if !self.fresh => {
                let locked = LockedRun::open(&run_dir, &self.guard, &self.notices)?;
                let recorded = &locked.recorded.state.head().flow;
                if self.name != *recorded {
                    let (recorded, asked) = (recorded.clone(), self.name);
                    return Err(OpenError::OtherFlow { run_dir: run_dir.path().into(), recorded, asked });
                }
                self.go_on(locked)
            }
            // Whatever is wrong with the directory is said when it is made.
            _ => self.begin(),
        }
    }

    /// Begins a new run. Nothing is started yet.
    ///
    /// # Errors
    /// The directory holds a run already and [`Self::fresh`] does not say to remove it, something is in the way, the
    /// devices cannot be used, or the system refuses what a run needs.
    pub fn begin(mut self) -> Result<Run<O>, OpenError> {
        check_start()?;
        let devices = self.devices.take(&self.config)?;
        let durations = self.durations.take().unwrap_or_else(|| self.replaced_durations());
        let base_dir = match self.base_dir.take() {
            Some(base_dir) => base_dir,
            None => std::env::current_dir().map_err(OpenError::BaseDirectory)?,
        };
        // Last of all that may refuse the run: until then, the one that it replaces is untouched.
        let directory = NewRunDirectory {
            path: &self.workdir,
            reserved: &self.reserved,
            fresh: self.fresh,
            guard: &self.guard,
            notices: &self.notices,
        };
        let (run_dir, lock) = directory.make()?;
        self.keep_flow(&run_dir)?;
        let flow_file = self.flow_file.as_ref();
        let seed = self.seed.unwrap_or(DEFAULT_SEED);
        let head = Head {
            flow: std::mem::take(&mut self.name),
            base_dir: base_dir.display().to_string(),
            flow_file: flow_file
                .and_then(|file| Some(std::path::absolute(&file.path).ok()?.display().to_string())),
            flow_crc: flow_file.map(|file| flow_checksum(&file.text)),
            config: recorded_config(&self.config),
            devices: devices.choice.clone(),
            seed,
            created: unix_now(),
            run_token: new_run_token().map_err(OpenError::RunToken)?,
        };
        let begun = Begun { run_dir, lock, head, seed, recorded: None, durations };
        self.start(begun, devices)
    }

    /// Goes on with the run that is in the directory. No process is started yet; what an earlier session has left
    /// running is ended.
    ///
    /// # Errors
    /// The directory holds no run, another supervisor works there, its journal cannot be read, processes of an earlier
    /// session cannot be ended, the devices cannot be used, or the system refuses what a run needs.
    pub fn resume(self) -> Result<Run<O>, OpenError> {
        check_start()?;
        let run_dir = RunDir::open(&self.workdir).map_err(|error| OpenError::Directory(error.into()))?;
        let locked = LockedRun::open(&run_dir, &self.guard, &self.notices)?;
        self.go_on(locked)
    }

    /// Goes on with a run that is locked and read.
    ///
    /// # Errors
    /// As for [`Self::resume`], but for what a locked run has behind it.
    pub(crate) fn go_on(mut self, locked: LockedRun) -> Result<Run<O>, OpenError> {
        check_start()?;
        let devices = self.devices.take(&self.config)?;
        let LockedRun { run_dir, lock, recorded } = locked;
        self.say_changes(&recorded);
        recorded.end_earlier_session(&run_dir, &self.notices)?;
        // Last of all that may refuse the run: a flow that is not accepted leaves no trace.
        self.keep_flow(&run_dir)?;
        let durations = if self.learns() { read_durations(&run_dir)? } else { Durations::default() };
        let (head, seed) = (recorded.state.head().clone(), self.seed.unwrap_or(recorded.state.seed()));
        self.start(Begun { run_dir, lock, head, seed, recorded: Some(recorded), durations }, devices)
    }

    /// Says how this session's environment and configuration differ from those of the session before.
    fn say_changes(&self, recorded: &RecordedRun) {
        let before = recorded.state.setup();
        if let Some(changes) =
            before.environment.and_then(|before| environment_changes(&before, &session_variables()))
        {
            self.notices.warn(format_args!("the environment is not that of the session before: {changes}"));
        }
        if let Some(changes) = configuration_changes(&before.config, &recorded_config(&self.config)) {
            self.notices.note(format_args!("the configuration is not that of the session before: {changes}"));
        }
    }

    fn start(self, begun: Begun, devices: Devices) -> Result<Run<O>, OpenError> {
        let notices = self.notices.clone();
        let Begun { run_dir, lock, head, seed, recorded, durations } = begun;
        let (session, host) = Session::open(SessionPlan {
            run_dir: run_dir.clone(),
            lock,
            head,
            seed,
            recorded,
            durations,
            config: self.config,
            config_file: self.config_file,
            vars: self.vars,
            devices,
            workers: self.workers,
            guard: self.guard,
            notices: self.notices,
            make_observer: self.make_observer,
        })?;
        Ok(Run::of(session, run_dir, host, notices))
    }

    fn learns(&self) -> bool {
        self.config.scheduler.order.asks_for_durations()
    }

    /// How long the tasks of the run took that is about to be removed. One that cannot be read may be why.
    fn replaced_durations(&self) -> Durations {
        if !self.learns() || !self.fresh {
            return Durations::default();
        }
        let earlier = RunDir::open(&self.workdir).ok();
        earlier.and_then(|earlier| read_durations(&earlier).ok()).unwrap_or_default()
    }

    fn keep_flow(&self, run_dir: &RunDir) -> Result<(), OpenError> {
        match &self.flow_file {
            Some(file) => run_dir.keep_flow(&file.text).map_err(OpenError::FlowText),
            None => Ok(()),
        }
    }
}
