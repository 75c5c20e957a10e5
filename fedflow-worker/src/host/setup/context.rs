//! `HostContext`: what every part of the host knows.

use std::io;
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::sync::Arc;

use fedflow_core::SELF_WORKER;
use tracing::Span;

use crate::host::logs::log_keeper::LogKeeper;
use crate::host::memory::memory_peak::MemoryPeaks;
use crate::host::memory::oom_kills::OomKills;
use crate::host::sessions::large_message_gate::LargeMessageGate;
use crate::host::sessions::reader_pool::ReaderPool;
use crate::host::setup::options::{HostOptions, WorkerProgram};
use crate::host::starting::private_directory::PrivateDirectory;
use crate::pausable_clock::Clock;
use crate::processes::spawn;
use crate::processes::spawn::environment::Environment;
use crate::start_check::{CannotStart, check_start};

/// Why a host cannot start.
#[derive(Debug, thiserror::Error)]
pub enum HostError {
    /// This process may start no workers.
    #[error(transparent)]
    CannotStart(#[from] CannotStart),
    /// The base directory is not absolute, so it would mean another one in a worker's directory.
    #[error("the base directory {0:?} is not an absolute path")]
    RelativeBase(PathBuf),
    /// There is no place for the private directory through which workers are met.
    #[error("cannot make a private directory: {0}")]
    PrivateDirectory(io::Error),
    /// The system gives no thread or descriptor.
    #[error("cannot start the host's threads: {0}")]
    Threads(#[from] io::Error),
}

/// What every part of the host knows.
pub(crate) struct HostContext {
    pub(crate) options: HostOptions,
    /// The span in which the host was started. Its other threads have no current one.
    pub(crate) run_span: Span,
    pub(crate) own_program: String,
    /// What the environments of all processes have in common.
    pub(crate) environment: Environment,
    /// The standard input of a process that is to read nothing.
    pub(crate) null: OwnedFd,
    pub(crate) private: PrivateDirectory,
    pub(crate) clock: Clock,
    pub(crate) log_keeper: LogKeeper,
    pub(crate) oom_kills: Arc<OomKills>,
    pub(crate) memory_peaks: MemoryPeaks,
    pub(crate) large_messages: LargeMessageGate,
    pub(crate) readers: ReaderPool,
}

impl HostContext {
    pub(crate) fn new(options: HostOptions, clock: Clock) -> Result<Arc<Self>, HostError> {
        check_start()?;
        if !options.base_dir.is_absolute() {
            return Err(HostError::RelativeBase(options.base_dir));
        }
        Ok(Arc::new(Self {
            run_span: Span::current(),
            own_program: spawn::own_program().to_string_lossy().into_owned(),
            environment: Environment::inherited().into_common(),
            null: spawn::null()?,
            private: PrivateDirectory::make().map_err(HostError::PrivateDirectory)?,
            clock,
            log_keeper: LogKeeper::start()?,
            oom_kills: Arc::new(OomKills::of_own_group()),
            memory_peaks: MemoryPeaks::default(),
            large_messages: LargeMessageGate::default(),
            readers: ReaderPool::new("fedflow-reader"),
            options,
        }))
    }

    /// The worker program of this name.
    pub(crate) fn worker_program(&self, name: &str) -> Option<WorkerProgram> {
        match self.options.workers.get(name) {
            Some(program) => Some(program.clone()),
            None if name == SELF_WORKER => {
                Some(WorkerProgram { command: vec![self.own_program.clone()], ..WorkerProgram::default() })
            }
            None => None,
        }
    }
}
