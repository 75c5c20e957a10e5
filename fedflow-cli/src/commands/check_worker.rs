//! `fedflow check-worker`: a worker program tried against the protocol, step by step.

use std::io::{self, Write};

use fedflow_worker::{CheckedStep, Protocol, Trial, Verdict, WorkerCheck};

use crate::args::{CheckWorkerArgs, CheckedProtocol};
use crate::commands::command_error::CommandError;
use crate::commands::printing::stdout;
use crate::view::{escape, shown_lines};

/// The indent of the lines that belong to a step.
const INDENT: &str = "         ";
/// How many of the last lines that it printed are shown for a step that failed.
const LAST_LINES: usize = 8;

/// Checks the program and prints each step as it is done.
pub(crate) fn cmd_check_worker(args: CheckWorkerArgs) -> Result<(), CommandError> {
    let base_dir = std::path::absolute(".").map_err(CommandError::refused)?;
    let trial = args.kind.map(|kind| Trial {
        kind,
        params: args.params.unwrap_or_default(),
        train_params: args.train_params.unwrap_or_default(),
        device: args.device,
    });
    let tried_none = trial.is_none();
    let protocol = match args.protocol {
        CheckedProtocol::Auto => None,
        CheckedProtocol::Json => Some(Protocol::Json),
        CheckedProtocol::Ipc => Some(Protocol::Ipc),
    };
    let check = WorkerCheck { command: args.command, protocol, base_dir, trial, limit: args.timeout };
    let (mut passed, mut failed) = (0, 0);
    let mut printed = Ok(());
    let run = check.run(&mut |step| {
        match step.verdict {
            Verdict::Passed { .. } => passed += 1,
            Verdict::Failed { .. } => failed += 1,
            Verdict::Skipped { .. } => {}
        }
        if printed.is_ok() {
            printed = stdout::print(|out| write_step(out, &step));
        }
    });
    let all_passed = run.map_err(CommandError::failed)?;
    printed?;
    stdout::print(|out| {
        writeln!(out, "\n{passed} passed, {failed} failed")?;
        if tried_none {
            writeln!(out, "hint: --kind KIND --params JSON has it do a task")?;
        }
        Ok(())
    })?;
    if all_passed { Ok(()) } else { Err(CommandError::WorkerFaulty) }
}

fn write_step(out: &mut dyn Write, step: &CheckedStep) -> io::Result<()> {
    let name = step.name;
    match &step.verdict {
        Verdict::Passed { note } if note.is_empty() => writeln!(out, "ok       {name}"),
        Verdict::Passed { note } => writeln!(out, "ok       {name}: {}", escape(note)),
        Verdict::Skipped { reason } => writeln!(out, "skipped  {name}: {reason}"),
        Verdict::Failed { problem, hint, last_lines } => {
            writeln!(out, "FAILED   {name}")?;
            writeln!(out, "{INDENT}{}", escape(problem))?;
            if !hint.is_empty() {
                writeln!(out, "{INDENT}hint: {hint}")?;
            }
            for (stream, lines) in [("stderr", &last_lines.stderr), ("stdout", &last_lines.stdout)] {
                let lines: Vec<String> = shown_lines(lines).collect();
                if !lines.is_empty() {
                    writeln!(out, "{INDENT}its {stream} ends so:")?;
                }
                for line in &lines[lines.len().saturating_sub(LAST_LINES)..] {
                    writeln!(out, "{INDENT}| {line}")?;
                }
            }
            Ok(())
        }
    }
}

#[cfg(test)]
mod tests {
    use fedflow_core::LastLines;

    use super::*;

    fn written(verdict: Verdict) -> String {
        let mut out = Vec::new();
        write_step(&mut out, &CheckedStep { name: "loads it", verdict }).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn a_step_is_one_line_or_says_what_was_wrong() {
        assert_eq!(written(Verdict::Passed { note: String::new() }), "ok       loads it\n");
        assert_eq!(written(Verdict::Passed { note: "in 1 s".into() }), "ok       loads it: in 1 s\n");
        assert_eq!(written(Verdict::Skipped { reason: "no task" }), "skipped  loads it: no task\n");
        let failed = Verdict::Failed {
            problem: "got \u{1b}[31m".into(),
            hint: "do it",
            last_lines: LastLines::of_stderr(
                (0..20).map(|line| format!("line {line}\u{202e}\n")).collect::<String>(),
            ),
        };
        let text = written(failed);
        assert!(
            text.starts_with("FAILED   loads it\n         got \\u{1b}[31m\n         hint: do it\n"),
            "{text}"
        );
        assert!(text.contains("| line 12\\u{202e}\n") && !text.contains("line 11"), "{text}");
        let of_stdout = LastLines { stdout: "no module".into(), ..LastLines::default() };
        let failed = Verdict::Failed { problem: "it left".into(), hint: "", last_lines: of_stdout };
        assert!(written(failed).ends_with("its stdout ends so:\n         | no module\n"));
    }
}
