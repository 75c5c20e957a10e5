//! What the host of a run is started with: everything that the configuration and the devices say of workers.

use std::collections::BTreeMap;
use std::sync::Arc;

use fedflow_core::{Config, DevicePool as _};
use fedflow_gpu::Pool;
use fedflow_worker::store::{Head, RUN_TOKEN_VARIABLE};
use fedflow_worker::{Host, HostOptions, LeaseHooks, OnCpu, WorkerProgram};

use crate::run::notice::Notices;
use crate::run::supervisor::Guard;

/// The options of a run's host.
pub(super) fn host_options(
    head: &Head,
    config: &Config,
    pool: &Pool,
    workers: BTreeMap<String, WorkerProgram>,
    guard: &Guard,
) -> HostOptions {
    let mut base_environment = pool.base_environment();
    // A later session finds by it what may be left of this one.
    base_environment.push((RUN_TOKEN_VARIABLE.into(), head.run_token.clone()));
    HostOptions {
        workers,
        base_environment,
        result_limit: config.supervision.result_limit.bytes(),
        log_limit: config.supervision.log_limit.bytes(),
        // A user who looks for a mistake wants to see what a failed attempt left.
        keep_failed_attempts: config.supervision.keep_failed_attempts || config.debug,
        threads_per_task: threads_per_task(config, pool.devices().len()),
        on_cpu: OnCpu {
            environment: pool.environment_on_cpu(),
            threads_per_task: Some(pool.slots_beside() as usize)
                .filter(|slots| *slots > 0)
                .and_then(|slots| threads_per_task(config, slots)),
        },
        oom_signs: Arc::new(config.oom_signs.clone()),
        grace: config.supervision.grace,
        sample_interval: Some(config.scheduler.interval),
        // A supervisor with a guard starts nothing but workers; another program may have children of its own.
        adopt_orphans: guard.is_guarded(),
        ..HostOptions::new(&head.base_dir, lease_hooks(pool))
    }
}

/// The ledger is told which process holds a lease, and simulated cards are asked whether they have the memory that a task
/// says it uses.
fn lease_hooks(pool: &Pool) -> LeaseHooks {
    let hooks = match pool.holders() {
        Some(holders) => LeaseHooks::new(move |lease, process, task| holders.name(lease, process, task)),
        None => LeaseHooks::none(),
    };
    match pool.simulated_memory() {
        Some(memory) => hooks
            .with_memory_check(move |lease, size| memory.occupy(lease, size).map_err(|oom| oom.to_string())),
        None => hooks,
    }
}

/// Each task's share of the cores: as many tasks train at once as there are devices, if the limits allow it.
fn threads_per_task(config: &Config, devices: usize) -> Option<u32> {
    let cores = std::thread::available_parallelism().ok()?.get();
    let at_once = devices.clamp(1, config.scheduler.max_process as usize);
    u32::try_from((cores / at_once).max(1)).ok()
}

/// The configuration with no more processes at once than there are descriptors for: beyond that, tasks would fail
/// instead of waiting for each other. To be called when everything else is open.
pub(super) fn within_capacity(mut config: Config, notices: &Notices) -> Config {
    let capacity = Host::worker_capacity();
    if capacity < config.scheduler.max_process {
        notices.warn(format_args!(
            "at most {capacity} processes at once, as the limit of open files (`ulimit -n`) allows no more"
        ));
        config.scheduler.max_process = capacity;
    }
    config
}
