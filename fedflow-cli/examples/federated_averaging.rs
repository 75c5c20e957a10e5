//! Federated averaging as a library user writes it: the loop over rounds is Rust code.
//!
//! ```console
//! $ cargo run --release -p fedflow-cli --example federated_averaging
//! ```
//!
//! This program is supervisor and worker in one: Fedflow starts it again for each task. Run it a second time after
//! you have stopped it: what was recorded is not run again.

use std::error::Error;

use fedflow_cli::{Guard, RunBuilder};
use fedflow_core::TaskGroup;
use fedflow_digits::{Aggregate, Federation, Split, TrainClient};
use fedflow_worker::Worker;

fn main() -> Result<(), Box<dyn Error>> {
    // Started by Fedflow as a worker, this call does not return.
    Worker::new().task::<Split>().task::<TrainClient>().task::<Aggregate>().run_if_worker();
    // In the process that the shell started, neither does this one: it ends what the supervisor may leave behind.
    let guard = Guard::start()?;

    let federation = Federation { rounds: 10, ..Federation::default() };
    let mut run = RunBuilder::new("federated-digits", "res-library", guard)
        .seed(federation.seed)
        .on_notice(|notice| eprintln!("{notice}"))
        .open()?;

    // Each round's groups are made from the results of the round before.
    let mut split = federation.split_group()?;
    run.execute(&mut split)?;
    let mut latest: Option<TaskGroup> = None;
    for round in 1..=federation.rounds {
        let mut train = federation.train_group(round, &split, latest.as_ref().unwrap_or(&split))?;
        run.execute(&mut train)?;
        let mut aggregate = federation.aggregate_group(round, &train)?;
        run.execute(&mut aggregate)?;
        if let Some(accuracy) = Federation::accuracy(&aggregate) {
            println!("round {round:>2}: {:.1} %", accuracy * 100.0);
        }
        latest = Some(aggregate);
    }
    run.finish()?;
    println!("report: {}", run.directory().report().display());
    Ok(())
}
