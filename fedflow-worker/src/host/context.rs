//! What every part of the host knows.

use std::os::fd::OwnedFd;
use std::sync::Arc;

use fedflow_core::{Assignment, SELF_WORKER};

use crate::host::HostError;
use crate::host::input_queue::Post;
use crate::host::logs::log_keeper::LogKeeper;
use crate::host::memory::memory_peak::Gauges;
use crate::host::memory::oom_kills::OomKills;
use crate::host::options::{HostOptions, WorkerProgram};
use crate::host::sessions::reader_pool::Crew;
use crate::host::starting::private_directory::Private;
use crate::pausable_clock::Clock;
use crate::processes::environment::Environment;
use crate::processes::spawn;

/// What every part of the host knows.
pub(crate) struct HostContext {
    pub(crate) options: HostOptions,
    pub(crate) own_program: String,
    /// What the environments of all processes begin with.
    pub(crate) environment: Environment,
    /// What a process reads that is to read nothing.
    pub(crate) null: OwnedFd,
    pub(crate) private: Private,
    pub(crate) clock: Clock,
    pub(crate) post: Post,
    pub(crate) log_keeper: LogKeeper,
    pub(crate) oom_kills: Arc<OomKills>,
    pub(crate) gauges: Gauges,
    pub(crate) readers: Crew,
}

impl HostContext {
    pub(crate) fn new(options: HostOptions, clock: Clock, post: Post) -> Result<Arc<Self>, HostError> {
        if !options.base_dir.is_absolute() {
            return Err(HostError::RelativeBase(options.base_dir));
        }
        Ok(Arc::new(Self {
            own_program: spawn::own_program().to_string_lossy().into_owned(),
            environment: Environment::inherited().into_common(),
            null: spawn::null()?,
            private: Private::make().map_err(HostError::PrivateDirectory)?,
            clock,
            post,
            log_keeper: LogKeeper::start()?,
            oom_kills: Arc::new(OomKills::of_own_group()),
            gauges: Gauges::default(),
            readers: Crew::new("fedflow-reader"),
            options,
        }))
    }

    /// Says what is done for a worker, if anybody wants to know.
    pub(crate) fn talk(&self, assignment: &Assignment, text: impl FnOnce() -> String) {
        if let Some(talk) = &self.options.talk {
            talk.tell(assignment, &text());
        }
    }

    /// The program of a worker's name.
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
