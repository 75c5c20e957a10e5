//! A worker with one task kind: it learns the mean of a client's numbers.

use std::process::ExitCode;

use fedflow_core::{Device, Dict, LoadContext, Task, TaskError, TrainContext};
use fedflow_worker::Worker;
use serde::{Deserialize, Serialize};

/// Learns the mean of a client's numbers, one after the other.
#[derive(Serialize, Deserialize)]
struct TrainClient {
    data: String,
    rate: f64,
    #[serde(skip)]
    numbers: Vec<f64>,
}

impl Task for TrainClient {
    const KIND: &'static str = "train-client";

    /// Runs without a device, while other tasks train.
    fn load(&mut self, _ctx: &mut LoadContext) -> Result<(), TaskError> {
        let text = std::fs::read_to_string(&self.data)?;
        self.numbers = text.lines().filter_map(|line| line.parse().ok()).collect();
        if self.numbers.is_empty() {
            return Err(TaskError::new(format!("{} has no numbers", self.data)));
        }
        Ok(())
    }

    /// Runs with the device that was leased for it.
    fn train(&mut self, ctx: &mut TrainContext, _device: &Device) -> Result<Dict, TaskError> {
        let mut mean = 0.0;
        for epoch in 1..=20 {
            for number in &self.numbers {
                mean += self.rate * (number - mean);
            }
            ctx.set_item("mean", mean);
            ctx.progress(epoch, 20);
        }
        Ok(Dict::from([("mean", mean)]))
    }
}

fn main() -> ExitCode {
    Worker::new().task::<TrainClient>().run()
}
