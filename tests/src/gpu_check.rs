//! `gpu-check`: tests on a machine with a card what Fedflow promises of real cards. It also has the CUDA tasks for it.
//!
//! Exit codes: 0 all steps passed; 1 one failed; 2 there is no NVIDIA GPU to check, or a wrong command line.

#[path = "gpu_check/cuda.rs"]
mod cuda;
#[path = "gpu_check/machine.rs"]
mod machine;
#[path = "gpu_check/steps.rs"]
mod steps;

use std::process::ExitCode;

use machine::Machine;

const HELP: &str = "\
Checks Fedflow on this machine's NVIDIA cards, with the binaries that lie beside this one.

usage: gpu-check [CARD]       CARD is cuda:0 unless it is given
       gpu-check cuda-list    a task: the UUIDs of the cards that CUDA shows, as its result
       gpu-check cuda-use BYTES SECONDS
                              a task: holds so much of the first card that CUDA shows it
";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match words[..] {
        [] => check("cuda:0"),
        [card] if card.starts_with("cuda:") => check(card),
        ["cuda-list"] => done(cuda::list()),
        ["cuda-use", bytes, seconds] => match (bytes.parse(), seconds.parse()) {
            (Ok(bytes), Ok(seconds)) => done(cuda::hold(bytes, seconds)),
            _ => usage(),
        },
        _ => usage(),
    }
}

fn usage() -> ExitCode {
    eprint!("{HELP}");
    ExitCode::from(2)
}

fn done(outcome: Result<(), String>) -> ExitCode {
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(reason) => {
            eprintln!("{reason}");
            ExitCode::FAILURE
        }
    }
}

fn check(card: &str) -> ExitCode {
    let machine = match Machine::find(card) {
        Ok(machine) => machine,
        Err(reason) => {
            println!("nothing to check: {reason}");
            return ExitCode::from(2);
        }
    };
    println!("{machine}");
    let mut failed = 0;
    for (name, step) in steps::ALL {
        match step(&machine) {
            Ok(seen) => println!("ok      {name}: {seen}"),
            Err(reason) => {
                failed += 1;
                println!("FAILED  {name}: {reason}");
            }
        }
    }
    println!("{} of {} steps passed", steps::ALL.len() - failed, steps::ALL.len());
    if failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
