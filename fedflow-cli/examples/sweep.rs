//! A sweep over seeds from a Rust program: any command, once for each seed, which it finds as its last argument.
//!
//! ```console
//! $ cargo run --release -p fedflow-cli --example sweep -- cpu:2 python3 train.py --seed
//! ```

use std::error::Error;

use fedflow_cli::{Guard, RunBuilder};
use fedflow_core::{TaskGroup, TaskSpec};

fn main() -> Result<(), Box<dyn Error>> {
    let guard = Guard::start()?;
    let mut arguments = std::env::args().skip(1);
    let devices = arguments.next().ok_or("usage: sweep DEVICES COMMAND ..")?;
    let command: Vec<String> = arguments.collect();

    let mut run = RunBuilder::new("sweep", "res-sweep", guard)
        .devices(devices)
        .on_notice(|notice| eprintln!("{notice}"))
        .open()?;
    let mut group = TaskGroup::new("seeds")?;
    for seed in 0..3 {
        let command = command.iter().cloned().chain([seed.to_string()]);
        group.add_task(TaskSpec::command(format!("seed-{seed}"), command)?)?;
    }
    let summary = run.execute(&mut group)?;
    println!("{} finished, {} failed", summary.finished, summary.failed + summary.cancelled);
    run.finish()?;
    Ok(())
}
