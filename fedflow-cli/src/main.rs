//! The `fedflow` command.

use std::process::ExitCode;

use fedflow_digits::{Aggregate, Split, TrainClient};
use fedflow_worker::Worker;

fn main() -> ExitCode {
    // The demo's tasks are built in: started as a worker, this program is one.
    Worker::new().task::<Split>().task::<TrainClient>().task::<Aggregate>().run_if_worker();
    fedflow_cli::main()
}
