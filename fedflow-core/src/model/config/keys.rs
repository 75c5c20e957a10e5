//! `Config` and the table of its keys: name, help, and the field that each one sets.

use std::time::Duration;

use super::sections::{
    GpuPriority, OnFailure, RemainLimit, SchedulerConfig, SmtpConfig, StartOrder, SupervisionConfig,
    TaskConfig, TelemetryConfig, UtilizationLimit,
};
use super::setting::{
    Setting, SettingError, read_exit_codes, read_fraction, read_maybe_period, read_period, read_positive,
};
use crate::model::limits::Limits;
use crate::model::memory::card_limits::CardLimits;
use crate::model::oom::OomSigns;
use crate::model::quantity::Size;
use crate::model::value::Value;

/// The effective configuration. Each field is a key of the same name in kebab case; see [`KEYS`].
#[derive(Debug, Clone, PartialEq)]
pub struct Config {
    /// Where a run keeps its files.
    pub workdir: String,
    /// Whether to log more of what happens inside.
    pub debug: bool,
    /// Which card is taken first among those that suit equally well.
    pub gpu_priority: GpuPriority,
    /// The fractions of the machine that a run may use.
    pub utilization_limit: UtilizationLimit,
    /// The amounts of memory that a run leaves free.
    pub remain_limit: RemainLimit,
    /// Where tasks work, and what their failures mean.
    pub task: TaskConfig,
    /// How tasks are started.
    pub scheduler: SchedulerConfig,
    /// What shows that a process was out of memory.
    pub oom_signs: OomSigns,
    /// How processes are supervised.
    pub supervision: SupervisionConfig,
    /// How devices are sampled while a run goes on.
    pub telemetry: TelemetryConfig,
    /// Mail about the run.
    pub smtp: SmtpConfig,
}

/// A configuration key.
pub struct Key {
    /// Its name, such as `scheduler.max-process`.
    pub name: &'static str,
    /// What it does, in one line.
    pub help: &'static str,
    /// Whether its value is never shown, and is read from `fedflow.toml` or the environment only.
    pub secret: bool,
    get: fn(&Config) -> Value,
    set: fn(&mut Config, &Value) -> Result<(), SettingError>,
}

impl Key {
    /// The key of this name.
    #[must_use]
    pub fn find(name: &str) -> Option<&'static Self> {
        KEYS.iter().find(|key| key.name == name)
    }
}

impl Default for Config {
    fn default() -> Self {
        Self {
            workdir: "res".into(),
            debug: false,
            gpu_priority: GpuPriority::default(),
            utilization_limit: UtilizationLimit { cpu: 1.0, memory: 0.8, cuda_memory: 0.8 },
            remain_limit: RemainLimit::default(),
            task: TaskConfig {
                directory_grouping: true,
                allow_duplicate_id: true,
                on_failure: OnFailure::Continue,
            },
            scheduler: SchedulerConfig {
                default_memory: Size::from_gb(2),
                default_cuda_memory: Size::from_gb(2),
                auto_adjust: false,
                max_waiting: 10,
                max_process: 20,
                max_per_device: 1,
                interval: Duration::from_secs(1),
                load_nretry: 3,
                train_nretry: 3,
                order: StartOrder::Added,
            },
            oom_signs: OomSigns::default(),
            supervision: SupervisionConfig {
                grace: Duration::from_secs(10),
                limits: Limits {
                    start_timeout: Some(Duration::from_secs(60)),
                    exit_timeout: Some(Duration::from_secs(10)),
                    retries: Some(0),
                    ..Limits::default()
                },
                log_limit: Size::from_bytes(256 << 20),
                result_limit: Size::from_bytes(64 << 20),
                keep_failed_attempts: true,
            },
            telemetry: TelemetryConfig { interval: Some(Duration::from_secs(1)) },
            smtp: SmtpConfig {
                enable: false,
                server_host: String::new(),
                server_port: 465,
                user: String::new(),
                password: String::new(),
                receiver: Vec::new(),
                min_interval: Duration::from_secs(600),
                max_numbers: 10,
            },
        }
    }
}

/// Why a key cannot be set.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ConfigError {
    /// There is no such key.
    #[error("there is no configuration key {0:?}")]
    UnknownKey(String),
    /// The value does not fit the key.
    #[error("{key} = {value}: {reason}")]
    BadValue {
        /// The key.
        key: &'static str,
        /// What was given, as text.
        value: String,
        /// What is wrong with the value, and what would be right.
        reason: String,
    },
}

impl Config {
    /// How much of a card's memory leases may book together, when the card has `total` and its driver keeps `reserved`
    /// of that: the least that `utilization-limit.cuda-memory`, `remain-limit.cuda-memory` and the driver allow. What
    /// other programs use there comes out of it.
    #[must_use]
    pub fn leasable_memory(&self, total: Size, reserved: Size) -> Size {
        self.card_limits(total, reserved).shared
    }

    /// The same, and what a lease may book that is alone on the card: `utilization-limit.cuda-memory` is no limit for
    /// it.
    #[must_use]
    pub fn card_limits(&self, total: Size, reserved: Size) -> CardLimits {
        let whole = total.saturating_sub(reserved);
        let alone = total.saturating_sub(self.remain_limit.cuda_memory_of(total)).min(whole);
        let shared = total.scaled(self.utilization_limit.cuda_memory).min(alone);
        CardLimits { shared, alone, whole }
    }

    /// Sets one key, such as `scheduler.max-process`.
    ///
    /// # Errors
    /// There is no such key, or the value does not fit it.
    pub fn set(&mut self, key: &str, value: &Value) -> Result<(), ConfigError> {
        let row = Key::find(key).ok_or_else(|| ConfigError::UnknownKey(key.into()))?;
        (row.set)(self, value).map_err(|SettingError(reason)| ConfigError::BadValue {
            key: row.name,
            value: if row.secret { "(secret)".into() } else { value.in_message() },
            reason,
        })
    }

    /// The value of one key; `None` if there is no such key. A secret is not shown.
    #[must_use]
    pub fn get(&self, key: &str) -> Option<Value> {
        let row = Key::find(key)?;
        Some(match (row.get)(self) {
            Value::Text(text) if row.secret && !text.is_empty() => Value::Text("(set, not shown)".into()),
            value => value,
        })
    }
}

macro_rules! keys {
    ($($name:literal, $($field:ident).+, $read:expr, $help:literal;)+) => {
        /// Every configuration key, in the order in which they are shown.
        pub const KEYS: &[Key] = &[$(Key {
            name: $name,
            help: $help,
            secret: matches!($name.as_bytes(), b"smtp.password"),
            get: |config| Setting::show(&config.$($field).+),
            set: |config, value| {
                config.$($field).+ = $read(value)?;
                Ok(())
            },
        }),+];
    };
}

keys! {
    "workdir", workdir, Setting::read,
        "Where a run keeps its files.";
    "debug", debug, Setting::read,
        "Say why tasks get devices or wait, each process, signal and clean-up; keep failed attempts.";
    "gpu-priority.strategy", gpu_priority.strategy, Setting::read,
        "Which card is taken first: pci, total-mem, remain-mem or performance.";
    "gpu-priority.reverse", gpu_priority.reverse, Setting::read,
        "Turn the order of cards round.";
    "utilization-limit.cpu", utilization_limit.cpu, read_fraction,
        "Start and load nothing while the processors are busier than this; 1.0 is no limit.";
    "utilization-limit.memory", utilization_limit.memory, read_fraction,
        "The fraction of the host's memory that may be in use.";
    "utilization-limit.cuda-memory", utilization_limit.cuda_memory, read_fraction,
        "The fraction of each card's memory that may be leased.";
    "remain-limit.memory", remain_limit.memory, Setting::read,
        "Host memory to leave free; by default the smaller of 4GB and a tenth.";
    "remain-limit.cuda-memory", remain_limit.cuda_memory, Setting::read,
        "Memory to leave free on each card; by default the smaller of 2GB and a tenth.";
    "task.directory-grouping", task.directory_grouping, Setting::read,
        "Keep a task's directory in its group's; otherwise directly in the run directory.";
    "task.allow-duplicate-id", task.allow_duplicate_id, Setting::read,
        "Allow tasks of one name in different groups.";
    "task.on-failure", task.on_failure, Setting::read,
        "After a group with a failed task: continue with the next group, or stop.";
    "scheduler.default-memory", scheduler.default_memory, Setting::read,
        "Host memory of a task without an estimate.";
    "scheduler.default-cuda-memory", scheduler.default_cuda_memory, Setting::read,
        "Memory on a card of a task without an estimate.";
    "scheduler.auto-adjust", scheduler.auto_adjust, Setting::read,
        "Learn estimates from what tasks used.";
    "scheduler.max-waiting", scheduler.max_waiting, read_positive,
        "How many tasks may be ahead of the devices: loading, or loaded and waiting.";
    "scheduler.max-process", scheduler.max_process, read_positive,
        "How many processes may live at once.";
    "scheduler.max-per-device", scheduler.max_per_device, read_positive,
        "How many tasks without an estimate of their memory may share a card.";
    "scheduler.interval", scheduler.interval, read_period,
        "How often CPU and memory are sampled; starts do not wait for it.";
    "scheduler.load-nretry", scheduler.load_nretry, Setting::read,
        "How often an out-of-memory in load is tried again.";
    "scheduler.train-nretry", scheduler.train_nretry, Setting::read,
        "How often an out-of-memory in train is tried again.";
    "scheduler.order", scheduler.order, Setting::read,
        "The order in which the tasks of a group start: added, random, longest-first, largest-first, packed (memory \
         times time), or auto, the one with which the group is forecast to end first.";
    "scheduler.oom-pattern", oom_signs.train_words, Setting::read,
        "Texts on stderr or stdout that mean that a card's memory did not suffice, when train failed.";
    "scheduler.load-oom-pattern", oom_signs.load_words, Setting::read,
        "Texts on stderr or stdout that mean that the host's memory did not suffice, when load failed.";
    "scheduler.oom-exit-code", oom_signs.exit_codes, read_exit_codes,
        "Exit codes that mean that memory did not suffice.";
    "supervision.grace", supervision.grace, Setting::read,
        "How long a process has between SIGTERM and SIGKILL.";
    "supervision.start-timeout", supervision.limits.start_timeout, Setting::read,
        "From the start of a worker until it says hello.";
    "supervision.load-timeout", supervision.limits.load_timeout, Setting::read,
        "The longest that load may take.";
    "supervision.train-timeout", supervision.limits.train_timeout, Setting::read,
        "The longest that train may take.";
    "supervision.timeout", supervision.limits.timeout, Setting::read,
        "The longest that one attempt at a task may take.";
    "supervision.exit-timeout", supervision.limits.exit_timeout, Setting::read,
        "From the result until the process is gone.";
    "supervision.retries", supervision.limits.retries, Setting::read,
        "How often a failed task is tried again.";
    "supervision.log-limit", supervision.log_limit, Setting::read,
        "How large each of a task's two logs may grow.";
    "supervision.result-limit", supervision.result_limit, Setting::read,
        "How large a task's result may be.";
    "supervision.keep-failed-attempts", supervision.keep_failed_attempts, Setting::read,
        "Keep the directory of a failed attempt when the task is tried again.";
    "telemetry.interval", telemetry.interval, read_maybe_period,
        "How often each card's utilisation, memory, power and temperature are looked at; \"none\" is never.";
    "smtp.enable", smtp.enable, Setting::read,
        "Send mail when groups end and when the run ends; `fedflow config --test-mail` tries it.";
    "smtp.server-host", smtp.server_host, Setting::read,
        "The mail server's name.";
    "smtp.server-port", smtp.server_port, Setting::read,
        "The mail server's port: 465 speaks TLS at once, others STARTTLS; on this machine none.";
    "smtp.user", smtp.user, Setting::read,
        "The account on the mail server, and the sender if it is an address.";
    "smtp.password", smtp.password, Setting::read,
        "The account's password, from fedflow.toml or the environment only; without one there is no login.";
    "smtp.receiver", smtp.receiver, Setting::read,
        "The recipients of the mail.";
    "smtp.min-interval", smtp.min_interval, Setting::read,
        "The least time between two mails; what ends in between goes into the next. The run's end does not wait.";
    "smtp.max-numbers", smtp.max_numbers, Setting::read,
        "How many mails a run sends at most, one of them kept for its end; 0 is none.";
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_key_can_be_set_to_what_it_shows() {
        let mut config = Config::default();
        for key in KEYS.iter().filter(|key| !key.secret) {
            let shown = config.get(key.name).unwrap();
            if shown != Value::Null {
                config.set(key.name, &shown).unwrap_or_else(|error| panic!("{error}"));
            }
        }
        assert_eq!(config, Config::default());
    }

    #[test]
    fn every_key_changes_the_configuration() {
        for key in KEYS {
            let mut config = Config::default();
            let candidates: [Value; 9] = [
                true.into(),
                false.into(),
                7_i64.into(),
                0.5.into(),
                "3GB".into(),
                "90s".into(),
                "random".into(),
                "stop".into(),
                "total-mem".into(),
            ];
            let changed = candidates.iter().any(|value| {
                config = Config::default();
                config.set(key.name, value).is_ok() && config != Config::default()
            });
            assert!(changed, "{} sets nothing", key.name);
        }
    }

    #[test]
    fn errors_say_what_would_be_right() {
        let mut config = Config::default();
        let error = config.set("gpu-priority.strategy", &"fastest".into()).unwrap_err().to_string();
        assert!(error.contains("pci") && error.contains("remain-mem"), "{error}");
        assert!(config.set("scheduler.max-process", &0_i64.into()).is_err());
        assert!(config.set("utilization-limit.memory", &1.5.into()).is_err());
        assert_eq!(config.set("no.such", &Value::Null), Err(ConfigError::UnknownKey("no.such".into())));
    }

    #[test]
    fn a_password_is_never_shown() {
        let mut config = Config::default();
        config.set("smtp.password", &"hunter2".into()).unwrap();
        assert!(!format!("{config:?} {:?}", config.get("smtp.password")).contains("hunter2"));
        let error = config.set("smtp.password", &Value::List(vec!["hunter2".into()])).unwrap_err();
        assert!(!error.to_string().contains("hunter2"));
    }

    #[test]
    fn the_tightest_limit_holds() {
        let gb = Size::from_gb;
        let mut config = Config::default();
        assert_eq!(config.leasable_memory(gb(20), Size::ZERO), gb(16));
        config.utilization_limit.cuda_memory = 0.95;
        assert_eq!(config.leasable_memory(gb(20), Size::ZERO), gb(18), "2 GB stay free by default");
        config.remain_limit.cuda_memory = Some(gb(5));
        assert_eq!(config.leasable_memory(gb(20), Size::ZERO), gb(15));
        config.utilization_limit.cuda_memory = 1.0;
        config.remain_limit.cuda_memory = Some(Size::ZERO);
        assert_eq!(config.leasable_memory(gb(20), gb(1)), gb(19));
        config.remain_limit.cuda_memory = Some(gb(30));
        assert_eq!(config.leasable_memory(gb(20), Size::ZERO), Size::ZERO);
    }

    #[test]
    fn alone_on_a_card_only_what_must_remain_is_a_limit() {
        let gb = Size::from_gb;
        let limits = |config: &Config| {
            let CardLimits { shared, alone, whole } = config.card_limits(gb(20), gb(1));
            (shared, alone, whole)
        };
        let mut config = Config::default();
        config.utilization_limit.cuda_memory = 0.5;
        assert_eq!(limits(&config), (gb(10), gb(18), gb(19)));
        config.remain_limit.cuda_memory = Some(Size::ZERO);
        assert_eq!(limits(&config), (gb(10), gb(19), gb(19)));
        config.remain_limit.cuda_memory = Some(gb(12));
        assert_eq!(limits(&config), (gb(8), gb(8), gb(19)));
    }
}
