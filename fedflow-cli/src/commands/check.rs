//! `fedflow check`: validates a flow file without running it, and shows its groups and tasks.

use std::io::{self, Write};
use std::sync::Arc;

use fedflow_core::{CommandLine, PlainDict, Program, TaskEntry, TaskGroup, TaskSpec, Value};

use super::flow_setup::{Checked, check_flow, current_directory, load_settings, open_devices};
use crate::args::CheckArgs;
use crate::commands::command_error::CommandError;
use crate::commands::printing::plain_table;
use crate::commands::printing::stdout;
use crate::flow::{FlowFile, FlowGroup, FlowInputs, preview};
use crate::run::DEFAULT_SEED;
use crate::view::{counted, escape};

/// How many tasks of a group are shown, unless all are.
const SHOWN_TASKS: usize = 3;

/// Validates the flow and prints it.
pub(crate) fn cmd_check(args: &CheckArgs) -> Result<(), CommandError> {
    let inputs = FlowInputs { vars: args.vars.given(), seed: DEFAULT_SEED };
    let file = FlowFile::read_with(&args.flow, &inputs)?;
    let flow = &file.flow;
    let settings = load_settings(&args.settings, Some(&file))?;
    let config = settings.config();
    let opened = open_devices(&args.devices, config)?;
    let warnings = check_flow(flow, config, opened.pool(), Checked::New)?;
    let run_dir = settings.workdir(&flow.base_dir, &current_directory()?);
    let most = if args.all { usize::MAX } else { SHOWN_TASKS };
    let groups = preview(flow, &run_dir, config.task.directory_grouping, most);
    let groups = groups.map_err(CommandError::refused)?;
    let number = |count: usize, noun: &str| counted(u64::try_from(count).unwrap_or(u64::MAX), noun);
    let found = if warnings == 0 { String::new() } else { format!(", {}", number(warnings, "warning")) };
    let (all_groups, all_tasks) = (number(groups.len(), "group"), number(flow.task_count(), "task"));
    stdout::print(|out| {
        writeln!(out, "{}: {all_groups}, {all_tasks}, no errors{found}\n", flow.name)?;
        let groups = groups.iter().zip(flow.groups.iter().map(Arc::as_ref));
        if args.all { write_all(out, groups) } else { write_some(out, groups) }
    })
}

/// Prints the groups, each with the tasks that are shown of it and the number of all that it has.
fn write_some<'g>(
    out: &mut dyn Write,
    groups: impl Iterator<Item = (&'g TaskGroup, &'g FlowGroup)>,
) -> io::Result<()> {
    let rows = groups.flat_map(|(group, plan)| {
        let more = plan.tasks.len().saturating_sub(group.len());
        let rows = group.tasks().map(|task| {
            [group_cell(plan), task.task_id().to_string(), runs(task.spec()), device_cell(group, task)]
        });
        let rest =
            (more > 0).then(|| [group_cell(plan), format!("… {more} more"), String::new(), String::new()]);
        rows.chain(rest).collect::<Vec<_>>()
    });
    writeln!(out, "{}", plain_table(["group", "task", "runs", "device"], rows))
}

/// Prints every task with its command as it will be run.
fn write_all<'g>(
    out: &mut dyn Write,
    groups: impl Iterator<Item = (&'g TaskGroup, &'g FlowGroup)>,
) -> io::Result<()> {
    let rows = groups.flat_map(|(group, plan)| {
        group.tasks().map(move |task| {
            [group_cell(plan), task.task_id().to_string(), device_cell(group, task), in_full(task.spec())]
        })
    });
    writeln!(out, "{}", plain_table(["group", "task", "device", "runs"], rows))
}

/// What runs a task, in a few words.
fn runs(spec: &TaskSpec) -> String {
    match spec.program.as_ref() {
        Program::Worker { worker, kind } => {
            let kept = spec.keep.as_ref().map(|key| format!(", kept as {}", clipped(key)));
            let reused = if spec.reuse.is_some() { ", reused" } else { "" };
            format!("{worker}: {kind}{reused}{}", kept.unwrap_or_default())
        }
        Program::Command { train, .. } => clipped(&train.to_vec().join(" ")),
    }
}

/// What runs a task: for a command a line that a shell would take, for a worker's task its parameters.
fn in_full(spec: &TaskSpec) -> String {
    let parts: Vec<String> = match spec.program.as_ref() {
        Program::Worker { worker, kind } => {
            let params = serde_json::to_string(&PlainDict(&spec.params)).unwrap_or_default();
            vec![format!("{worker}: {kind} {params}")]
        }
        Program::Command { load, train } => {
            let cwd = spec.cwd.as_ref().map(|cwd| format!("cd {}", quoted(&cwd.display().to_string())));
            let command = |command: &CommandLine| {
                let variables = spec.params.iter().filter(|(_, value)| **value != Value::Null);
                let variables = variables.map(|(name, value)| format!("{name}={}", quoted(&variable(value))));
                variables.chain(command.iter().map(quoted)).collect::<Vec<_>>().join(" ")
            };
            cwd.into_iter().chain(load.as_ref().map(command)).chain([command(train)]).collect()
        }
    };
    escape(&parts.join(" && "))
}

/// A value as a command finds it in its environment.
fn variable(value: &Value) -> String {
    match value {
        Value::Text(text) => text.clone(),
        other => serde_json::to_string(other).unwrap_or_default(),
    }
}

/// A text as a word of a shell.
fn quoted(text: &str) -> String {
    let is_plain = |c: char| c.is_alphanumeric() || "_@%+=:,./-".contains(c);
    if !text.is_empty() && text.chars().all(is_plain) {
        return text.into();
    }
    format!("'{}'", text.replace('\'', "'\\''"))
}

fn device_cell(group: &TaskGroup, task: &TaskEntry) -> String {
    task.spec().device.as_ref().or(group.device()).map_or_else(|| "any".into(), ToString::to_string)
}

fn group_cell(group: &FlowGroup) -> String {
    let ahead = if group.load_ahead { ", loads ahead" } else { "" };
    let skipped = match &group.skipped {
        Some(_) => ", skipped",
        // Whether it holds is known only during the run.
        None if group.is_conditional() => ", on a condition",
        None => "",
    };
    format!("{}{ahead}{skipped}", group.name)
}

/// A command in one line, cut where it gets long.
fn clipped(command: &str) -> String {
    const WIDTH: usize = 60;
    let words: Vec<&str> = command.split_whitespace().collect();
    let line = escape(&words.join(" "));
    match line.char_indices().nth(WIDTH) {
        Some((end, _)) => format!("{}…", &line[..end]),
        None => line,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_is_shown_as_a_shell_would_take_it() {
        let mut spec =
            TaskSpec::command("t", ["python3", "a b.py", "--x=it's", "", "{{ result('a', 'b') }}"])
                .unwrap()
                .with_cwd("/data sets");
        spec.params.insert("LR", 0.5);
        spec.params.insert("UNSET", Value::Null);
        assert_eq!(
            in_full(&spec),
            "cd '/data sets' && LR=0.5 python3 'a b.py' '--x=it'\\''s' '' '{{ result('\\''a'\\'', '\\''b'\\'') }}'"
        );
    }
}
