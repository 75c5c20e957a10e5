//! `HostOptions`: the worker programs, and the limits that hold for them.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use fedflow_core::OomSigns;

use crate::host::setup::lease_hooks::LeaseHooks;

/// The protocol that a worker program speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Protocol {
    /// Over ipc-channel: a Rust program built on [`Worker`](crate::Worker).
    #[default]
    Ipc,
    /// One JSON object a line, over standard input: a program in any language.
    Json,
}

/// A program that runs tasks of several kinds.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct WorkerProgram {
    /// Program and arguments. A program with a separator is relative to [`HostOptions::base_dir`], another one is
    /// looked up in `PATH`.
    pub command: Vec<String>,
    /// The protocol that it speaks.
    pub protocol: Protocol,
    /// Variables for its environment.
    pub env: Vec<(String, String)>,
}

/// What is different for the processes of tasks that are pinned to the CPU.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct OnCpu {
    /// Variables that hide the cards from them.
    pub environment: Vec<(String, String)>,
    /// The number of threads of each one's numeric libraries; `None` as for other tasks.
    pub threads_per_task: Option<u32>,
}

/// What a host is started with.
#[derive(Debug, Clone)]
pub struct HostOptions {
    /// The worker programs by name. [`SELF_WORKER`](fedflow_core::SELF_WORKER) is the running program itself and need
    /// not be named.
    pub workers: BTreeMap<String, WorkerProgram>,
    /// What relative program paths are relative to; an absolute path.
    pub base_dir: PathBuf,
    /// Variables for every process, from the device pool.
    pub base_environment: Vec<(String, String)>,
    /// The memory that a result may take, in bytes.
    pub result_limit: u64,
    /// How much of each of a task's two logs is kept, in bytes, at least 64 KiB: the head and the newest part. While
    /// the task writes, its file may take up to twice as much, or a few MiB more where the limit is smaller than those.
    pub log_limit: u64,
    /// Whether the directory of a failed attempt is kept beside the task's, as `ID.attempt-K`; otherwise it is
    /// removed.
    pub keep_failed_attempts: bool,
    /// The number of threads of each task's numeric libraries, unless the user set one; `None` leaves it to the
    /// libraries, most of which take all cores.
    pub threads_per_task: Option<u32>,
    /// What is different for tasks that are pinned to the CPU.
    pub on_cpu: OnCpu,
    /// What the owner of the leases is told and asked.
    pub lease_hooks: LeaseHooks,
    /// How a process that failed is known to have been out of memory, beside the signs that its task adds.
    pub oom_signs: Arc<OomSigns>,
    /// How long a worker may take to say hello. The engine has its own, usually shorter, time limits.
    pub start_timeout: Duration,
    /// How long processes that a worker leaves behind have after SIGTERM, before they are killed.
    pub grace: Duration,
    /// How often memory and processors are sampled; `None` is never.
    pub sample_interval: Option<Duration>,
    /// Whether processes that workers leave behind are ended even if they left the process group. The program becomes
    /// a subreaper, and *every* child of it that is no worker is taken for an orphan: only for a program that starts
    /// no other processes and had no children before.
    pub adopt_orphans: bool,
}

impl HostOptions {
    /// Options for programs relative to a directory, with the defaults of the configuration: results of up to
    /// 64 MiB, logs of up to 256 MiB, failed attempts kept, 60 s for a hello, 10 s for what is
    /// left behind, a sample each second, no orphans
    /// adopted. What the owner of the leases is told cannot be left out by mistake: [`LeaseHooks::none`] says so.
    #[must_use]
    pub fn new(base_dir: impl Into<PathBuf>, lease_hooks: LeaseHooks) -> Self {
        Self {
            workers: BTreeMap::new(),
            base_dir: base_dir.into(),
            base_environment: Vec::new(),
            result_limit: 64 << 20,
            log_limit: 256 << 20,
            keep_failed_attempts: true,
            threads_per_task: None,
            on_cpu: OnCpu::default(),
            lease_hooks,
            oom_signs: Arc::default(),
            start_timeout: Duration::from_secs(60),
            grace: Duration::from_secs(10),
            sample_interval: Some(Duration::from_secs(1)),
            adopt_orphans: false,
        }
    }
}
