//! The `fedflow` command.

use std::process::ExitCode;

fn main() -> ExitCode {
    // The demo's tasks are built in: when it is started as a worker, this program is one.
    fedflow_digits::worker().run_if_worker();
    fedflow_cli::main()
}
