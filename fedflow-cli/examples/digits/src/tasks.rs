//! The three tasks of the federation, each run by Fedflow in a process of its own.

use std::fs;
use std::path::{Path, PathBuf};

use fastrand::Rng;
use fedflow_core::{Device, Dict, LoadContext, Task, TaskError, TrainContext, Value};
use serde::{Deserialize, Serialize};

use crate::averaging::federated_average;
use crate::data::{Digit, Digits, digits_from_bytes, digits_to_bytes};
use crate::network::{Evaluation, Network};
use crate::partition::dirichlet_partition;

/// The file in its workdir in which a task leaves its model.
const MODEL_FILE: &str = "model.bin";

/// Deals the training digits to clients and makes the model that the federation starts from.
///
/// Writes `client-0.bin`, `client-1.bin` and so on, and `model.bin`. Result: `clients` (the paths of the clients'
/// files), `samples` (how many digits each has), `model` (its path), and its `accuracy` and `loss` on the held-out
/// digits.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Split {
    /// The number of clients.
    pub clients: u32,
    /// How similar the clients' mixtures of digits are: from 0 (all different) to infinity (all the same).
    pub alpha: f64,
    /// The seed of the deal and of the first model.
    pub seed: u64,
    /// The digits that `load` reads; skipped, as they are no parameter.
    #[serde(skip)]
    pub(crate) digits: Option<Digits>,
}

impl Task for Split {
    const KIND: &'static str = "split";

    fn load(&mut self, _ctx: &mut LoadContext) -> Result<(), TaskError> {
        self.digits = Some(Digits::embedded()?);
        Ok(())
    }

    fn train(&mut self, ctx: &mut TrainContext, _device: &Device) -> Result<Dict, TaskError> {
        let Digits { training, held_out } = self.digits.as_ref().ok_or_else(not_loaded)?;
        let mut random = Rng::with_seed(self.seed);
        let parts = dirichlet_partition(training, usize::try_from(self.clients)?, self.alpha, &mut random)?;
        let mut clients = Vec::new();
        let mut samples = Vec::new();
        for (client, part) in parts.into_iter().enumerate() {
            samples.push(Value::from(u32::try_from(part.len())?));
            let path = ctx.workdir().join(format!("client-{client}.bin"));
            clients.push(write(&path, &digits_to_bytes(part))?);
        }
        let network = Network::random(&mut random);
        let Evaluation { accuracy, loss } = network.evaluate(held_out);
        Ok(Dict::from([
            ("accuracy", Value::from(accuracy)),
            ("loss", loss.into()),
            ("samples", samples.into()),
            ("clients", clients.into()),
            ("model", write(&ctx.workdir().join(MODEL_FILE), &network.to_bytes())?),
        ]))
    }
}

/// Trains the shared model on the digits of one client.
///
/// Writes `model.bin`. Result: `samples` (the number of the client's digits), `loss` (the mean of the last epoch), `model`
/// (its path). It reports `loss` after every epoch.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TrainClient {
    /// The client's digits.
    pub data: PathBuf,
    /// The model to start from.
    pub model: PathBuf,
    /// The number of epochs.
    pub epochs: u32,
    /// The learning rate.
    pub rate: f64,
    /// The number of digits in one step.
    pub batch: u32,
    /// The seed of the order of the digits.
    pub seed: u64,
    /// The client's digits, which `load` reads.
    #[serde(skip)]
    pub(crate) digits: Vec<Digit>,
    /// The model that `load` reads.
    #[serde(skip)]
    pub(crate) start: Network,
}

impl Task for TrainClient {
    const KIND: &'static str = "train-client";

    fn load(&mut self, _ctx: &mut LoadContext) -> Result<(), TaskError> {
        self.digits = read(&self.data, digits_from_bytes)?;
        if self.digits.is_empty() {
            return Err(TaskError::new(format!("{} holds no digits", self.data.display())));
        }
        self.load_model()
    }

    fn take_over(&mut self, earlier: Self, ctx: &mut LoadContext) -> Result<(), TaskError> {
        if earlier.data != self.data {
            return self.load(ctx);
        }
        // A client has the same digits in every round, and starts from another model.
        self.digits = earlier.digits;
        self.load_model()
    }

    fn train(&mut self, ctx: &mut TrainContext, _device: &Device) -> Result<Dict, TaskError> {
        // A copy, as `train` may be called again with the loaded model after it ran out of memory.
        let mut network = self.start.clone();
        let mut random = Rng::with_seed(self.seed);
        let mut loss = 0.0;
        for epoch in 1..=self.epochs {
            loss = network.train_epoch(
                &self.digits,
                usize::try_from(self.batch)?,
                self.rate as f32,
                &mut random,
            );
            if !network.parameters().iter().all(|parameter| parameter.is_finite()) {
                return Err(TaskError::new(format!(
                    "the training diverged in epoch {epoch}; lower the rate"
                )));
            }
            ctx.set_item("loss", loss);
            ctx.progress(epoch.into(), self.epochs.into());
        }
        Ok(Dict::from([
            ("samples", Value::from(u32::try_from(self.digits.len())?)),
            ("loss", loss.into()),
            ("model", write(&ctx.workdir().join(MODEL_FILE), &network.to_bytes())?),
        ]))
    }
}

impl TrainClient {
    /// The parameters that differ in every round.
    fn load_model(&mut self) -> Result<(), TaskError> {
        if self.epochs == 0 || self.batch == 0 {
            return Err(TaskError::new("epochs and batch must be at least 1"));
        }
        self.start = read(&self.model, Network::from_bytes)?;
        Ok(())
    }
}

/// A client's model, as [`Aggregate`] takes it: a part of the result of [`TrainClient`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TrainedModel {
    /// The path of the file.
    pub model: PathBuf,
    /// The number of digits that it was trained on.
    pub samples: u32,
}

/// Averages the clients' models and evaluates the average on the held-out digits.
///
/// Writes `model.bin`. Result: `accuracy`, `loss`, `clients` (the number of models), `model` (its path).
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Aggregate {
    /// The results of the clients' tasks; `None` for a client that failed, which is left out.
    pub models: Vec<Option<TrainedModel>>,
    /// The models that `load` reads, each with its number of samples.
    #[serde(skip)]
    pub(crate) networks: Vec<(Network, u32)>,
    /// The held-out digits, which `load` reads.
    #[serde(skip)]
    pub(crate) held_out: Vec<Digit>,
}

impl Task for Aggregate {
    const KIND: &'static str = "aggregate";

    fn load(&mut self, _ctx: &mut LoadContext) -> Result<(), TaskError> {
        let trained = self.models.iter().flatten();
        self.networks = trained
            .map(|TrainedModel { model, samples }| Ok((read(model, Network::from_bytes)?, *samples)))
            .collect::<Result<_, TaskError>>()?;
        self.held_out = Digits::embedded()?.held_out;
        Ok(())
    }

    fn train(&mut self, ctx: &mut TrainContext, _device: &Device) -> Result<Dict, TaskError> {
        let average = federated_average(self.networks.iter().map(|(network, samples)| (network, *samples)))?;
        let Evaluation { accuracy, loss } = average.evaluate(&self.held_out);
        Ok(Dict::from([
            ("accuracy", Value::from(accuracy)),
            ("loss", loss.into()),
            ("clients", u32::try_from(self.networks.len())?.into()),
            ("model", write(&ctx.workdir().join(MODEL_FILE), &average.to_bytes())?),
        ]))
    }
}

/// Reads a file that `parse` understands; errors name the file.
fn read<T, E: std::error::Error>(path: &Path, parse: fn(&[u8]) -> Result<T, E>) -> Result<T, TaskError> {
    let bytes = fs::read(path).map_err(|error| file_error(path, &error))?;
    parse(&bytes).map_err(|error| file_error(path, &error))
}

/// Writes a file and returns its path as a part of a result.
fn write(path: &Path, bytes: &[u8]) -> Result<Value, TaskError> {
    fs::write(path, bytes).map_err(|error| file_error(path, &error))?;
    let text = path.to_str().ok_or_else(|| TaskError::new(format!("{path:?} is not UTF-8")))?;
    Ok(text.into())
}

fn file_error(path: &Path, error: &dyn std::error::Error) -> TaskError {
    TaskError::new(format!("{}: {error}", path.display()))
}

fn not_loaded() -> TaskError {
    TaskError::new("train was called before load")
}
