//! The configuration of a run: every key, its default, and how it is set.

mod keys;
mod sections;
mod setting;

pub use keys::{Config, ConfigError, KEYS, Key};
pub use sections::{
    GpuPriority, GpuStrategy, OnFailure, RemainLimit, SchedulerConfig, SmtpConfig, StartOrder,
    SupervisionConfig, TaskConfig, TelemetryConfig, UtilizationLimit,
};
pub use setting::{Setting, SettingError};
