//! `Task`: the trait that the author of a task implements, and the contexts of its two phases.

use std::fmt;
use std::path::{Path, PathBuf};

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::model::device::{Device, DeviceInfo};
use crate::model::name::Name;
use crate::model::quantity::Size;
use crate::model::value::{Dict, Value};

/// One unit of work with two phases: `load` reads the data without a device, `train` uses a leased device.
///
/// The fields of the type are the parameters of the task. They are serialised when the task is added to a group, and
/// the worker's process makes the task from them. What `load` reads is kept in the value until `train`, in fields with
/// `#[serde(skip)]`.
///
/// ```
/// use fedflow_core::{Device, Dict, LoadContext, Task, TaskError, TrainContext};
/// use serde::{Deserialize, Serialize};
///
/// #[derive(Serialize, Deserialize)]
/// struct Mean {
///     count: u32,
///     #[serde(skip)]
///     numbers: Vec<f64>,
/// }
///
/// impl Task for Mean {
///     const KIND: &'static str = "mean";
///
///     fn load(&mut self, _ctx: &mut LoadContext) -> Result<(), TaskError> {
///         self.numbers = (0..self.count).map(f64::from).collect();
///         Ok(())
///     }
///
///     fn train(&mut self, _ctx: &mut TrainContext, _device: &Device) -> Result<Dict, TaskError> {
///         let mean = self.numbers.iter().sum::<f64>() / f64::from(self.count);
///         Ok(Dict::from([("mean", mean)]))
///     }
/// }
/// ```
pub trait Task: Serialize + DeserializeOwned + 'static {
    /// The name under which a flow file asks for this type.
    const KIND: &'static str;

    /// Reads what `train` will need. The task holds no device meanwhile. The current directory is the task's own.
    ///
    /// # Errors
    /// An error ends the attempt. After [`TaskError::out_of_memory`] the task is tried again with a larger estimate.
    fn load(&mut self, ctx: &mut LoadContext) -> Result<(), TaskError>;

    /// Replaces [`load`](Self::load) in a process that was kept. `earlier` is the task that ran in it before, of the
    /// same type and with the same key ([`TaskSpec::keep`](crate::TaskSpec::keep)), with the data that it had loaded as
    /// its `train` left them. Take what still fits this task's parameters, and load the rest.
    ///
    /// A task cannot rely on this call: if the kept process has ended meanwhile, `load` is called in a new one. Both
    /// must therefore bring the task to the same state. The default drops the earlier task and loads.
    ///
    /// ```
    /// # use fedflow_core::{Device, Dict, LoadContext, Task, TaskError, TrainContext};
    /// # use serde::{Deserialize, Serialize};
    /// # #[derive(Serialize, Deserialize)]
    /// struct TrainClient {
    ///     data: String,
    ///     model: String,
    ///     #[serde(skip)]
    ///     samples: Vec<u8>,
    ///     #[serde(skip)]
    ///     start: Vec<u8>,
    /// }
    ///
    /// impl Task for TrainClient {
    /// #   const KIND: &'static str = "train-client";
    /// #   fn train(&mut self, _: &mut TrainContext, _: &Device) -> Result<Dict, TaskError> { Ok(Dict::new()) }
    ///     fn load(&mut self, _ctx: &mut LoadContext) -> Result<(), TaskError> {
    ///         self.samples = std::fs::read(&self.data)?;
    ///         self.start = std::fs::read(&self.model)?;
    ///         Ok(())
    ///     }
    ///
    ///     fn take_over(&mut self, earlier: Self, ctx: &mut LoadContext) -> Result<(), TaskError> {
    ///         if earlier.data != self.data {
    ///             return self.load(ctx);
    ///         }
    ///         // The client's data are the same in every round; the model is not.
    ///         self.samples = earlier.samples;
    ///         self.start = std::fs::read(&self.model)?;
    ///         Ok(())
    ///     }
    /// }
    /// ```
    ///
    /// # Errors
    /// As for [`load`](Self::load).
    fn take_over(&mut self, earlier: Self, ctx: &mut LoadContext) -> Result<(), TaskError> {
        // The earlier data are dropped first, so that both are never in memory at once.
        drop(earlier);
        self.load(ctx)
    }

    /// Trains on the leased device and returns the results.
    ///
    /// # Errors
    /// An error ends the attempt. After [`TaskError::out_of_memory`] the task is tried again with more memory.
    fn train(&mut self, ctx: &mut TrainContext, device: &Device) -> Result<Dict, TaskError>;
}

/// Why `load` or `train` failed.
///
/// `?` turns any error type into one, whose message holds the error and its sources.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TaskError {
    message: String,
    out_of_memory: bool,
}

impl TaskError {
    /// A failure with a message.
    pub fn new(message: impl Into<String>) -> Self {
        Self { message: message.into(), out_of_memory: false }
    }

    /// The memory of the host or of a card was not enough. The task is tried again with more.
    pub fn out_of_memory(message: impl Into<String>) -> Self {
        Self { message: message.into(), out_of_memory: true }
    }

    /// Whether memory was not enough.
    #[must_use]
    pub fn is_out_of_memory(&self) -> bool {
        self.out_of_memory
    }

    /// What went wrong, in words.
    #[must_use]
    pub fn message(&self) -> &str {
        &self.message
    }
}

// No `std::error::Error` here: the blanket conversion below would overlap with the reflexive one.
impl fmt::Display for TaskError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl<E: std::error::Error> From<E> for TaskError {
    fn from(error: E) -> Self {
        let mut message = error.to_string();
        let mut source = error.source();
        while let Some(cause) = source {
            message.push_str(&format!(": {cause}"));
            source = cause.source();
        }
        Self::new(message)
    }
}

/// What identifies a running task. It is the same in both phases.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TaskIdentity {
    /// The task's identifier.
    pub task_id: Name,
    /// The name of its group.
    pub group: Name,
    /// The number of the attempt, from 1.
    pub attempt: u32,
    /// The task's directory, an absolute path. It is also the current directory.
    pub workdir: PathBuf,
    /// A directory that survives attempts and resume.
    pub checkpoint_dir: PathBuf,
}

/// Where a running task reports its progress. The worker's runtime implements it.
pub trait ProgressSink {
    /// Sends a named value.
    fn set_item(&mut self, key: &str, value: Value);
    /// Sends how many steps are done.
    fn progress(&mut self, done: u64, total: u64);
}

/// What a task can use while it loads.
pub struct LoadContext<'a> {
    identity: &'a TaskIdentity,
}

impl<'a> LoadContext<'a> {
    /// A new context. The worker's runtime makes it.
    #[must_use]
    pub fn new(identity: &'a TaskIdentity) -> Self {
        Self { identity }
    }

    /// What identifies the task.
    #[must_use]
    pub fn identity(&self) -> &TaskIdentity {
        self.identity
    }

    /// The task's directory, which is also the current directory.
    #[must_use]
    pub fn workdir(&self) -> &Path {
        &self.identity.workdir
    }

    /// A directory that survives attempts and resume.
    #[must_use]
    pub fn checkpoint_dir(&self) -> &Path {
        &self.identity.checkpoint_dir
    }
}

/// What a task can use while it trains.
pub struct TrainContext<'a> {
    identity: &'a TaskIdentity,
    params: &'a Dict,
    lease: &'a LeaseInfo,
    sink: &'a mut dyn ProgressSink,
}

/// A lease, as the task that holds it sees it.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct LeaseInfo {
    /// The device to use, under the name that it has in this process.
    pub device: Device,
    /// The leased cards, under the names that they have in the run.
    pub cards: Vec<DeviceInfo>,
    /// The memory that is leased on each card; `None` on a CPU slot.
    pub memory: Option<Size>,
}

impl<'a> TrainContext<'a> {
    /// A new context. The worker's runtime makes it.
    #[must_use]
    pub fn new(
        identity: &'a TaskIdentity,
        params: &'a Dict,
        lease: &'a LeaseInfo,
        sink: &'a mut dyn ProgressSink,
    ) -> Self {
        Self { identity, params, lease, sink }
    }

    /// What identifies the task.
    #[must_use]
    pub fn identity(&self) -> &TaskIdentity {
        self.identity
    }

    /// The task's directory, which is also the current directory.
    #[must_use]
    pub fn workdir(&self) -> &Path {
        &self.identity.workdir
    }

    /// A directory that survives attempts and resume.
    #[must_use]
    pub fn checkpoint_dir(&self) -> &Path {
        &self.identity.checkpoint_dir
    }

    /// The parameters given for `train` alone (`train-params`).
    #[must_use]
    pub fn params(&self) -> &Dict {
        self.params
    }

    /// The lease that holds while `train` runs.
    #[must_use]
    pub fn lease(&self) -> &LeaseInfo {
        self.lease
    }

    /// Reports a named value, such as the loss of an epoch. If values come faster than they can be recorded, some are
    /// left out, but the last one of each key always arrives.
    pub fn set_item(&mut self, key: &str, value: impl Into<Value>) {
        self.sink.set_item(key, value.into());
    }

    /// Reports that `done` of `total` steps are done.
    pub fn progress(&mut self, done: u64, total: u64) {
        self.sink.progress(done, total);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_keeps_its_sources() {
        #[derive(Debug, thiserror::Error)]
        #[error("cannot read the data")]
        struct Outer(#[source] std::num::ParseIntError);
        let error: TaskError = Outer("x".parse::<i32>().unwrap_err()).into();
        assert_eq!(error.message(), "cannot read the data: invalid digit found in string");
        assert!(!error.is_out_of_memory());
    }
}
