//! The `digits-worker` program: runs the tasks of this crate for Fedflow.

use std::process::ExitCode;

use fedflow_digits::{Aggregate, Split, TrainClient};
use fedflow_worker::Worker;

fn main() -> ExitCode {
    Worker::new().task::<Split>().task::<TrainClient>().task::<Aggregate>().run()
}
