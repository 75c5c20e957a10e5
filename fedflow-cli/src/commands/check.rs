//! `fedflow check`: validates a flow file without running it, and shows its groups and tasks.

use std::io::{self, Write};
use std::sync::Arc;

use fedflow_core::{GroupError, Program, TaskEntry, TaskGroup};

use super::flow_setup::{check_flow, load_settings, open_devices};
use crate::args::CheckArgs;
use crate::commands::command_error::CommandError;
use crate::commands::printing::plain_table;
use crate::commands::printing::stdout;
use crate::flow::{FlowFile, FlowGroup};
use crate::view::{counted, escape};

/// How many tasks of a group are shown, unless all are.
const SHOWN_TASKS: usize = 3;

/// Validates the flow and prints it.
pub(crate) fn cmd_check(args: &CheckArgs) -> Result<(), CommandError> {
    let file = FlowFile::read(&args.flow)?;
    let settings = load_settings(&args.settings, Some(&file))?;
    let opened = open_devices(&args.devices, settings.config())?;
    check_flow(&file.flow, settings.config(), opened.pool())?;
    let shown = if args.all { usize::MAX } else { SHOWN_TASKS };
    let outline = |group: &Arc<FlowGroup>| Ok((group.outline_of_first(shown)?, group.tasks.len()));
    let groups = file.flow.groups.iter().map(outline).collect::<Result<Vec<_>, GroupError>>();
    let groups = groups.map_err(CommandError::refused)?;
    stdout::print(|out| write_flow(out, &file.flow.name, &groups))
}

/// Prints the groups, each with the tasks that are shown of it and the number of all that it has.
fn write_flow(out: &mut dyn Write, name: &str, groups: &[(TaskGroup, usize)]) -> io::Result<()> {
    let tasks: usize = groups.iter().map(|(_, tasks)| tasks).sum();
    let number = |count: usize, noun: &str| counted(u64::try_from(count).unwrap_or(u64::MAX), noun);
    writeln!(out, "{name}: {}, {}, no errors\n", number(groups.len(), "group"), number(tasks, "task"))?;
    let rows = groups.iter().flat_map(|(group, tasks)| {
        let more = tasks.saturating_sub(group.len());
        let rows = group.tasks().map(|task| row(group, task));
        let rest =
            (more > 0).then(|| [group_cell(group), format!("… {more} more"), String::new(), String::new()]);
        rows.chain(rest).collect::<Vec<_>>()
    });
    writeln!(out, "{}", plain_table(["group", "task", "runs", "device"], rows))
}

fn row(group: &TaskGroup, task: &TaskEntry) -> [String; 4] {
    let spec = task.spec();
    let runs = match spec.program.as_ref() {
        Program::Worker { worker, kind } => {
            let kept = spec.keep.as_ref().map(|key| format!(", kept as {}", clipped(key)));
            let reused = if spec.reuse.is_some() { ", reused" } else { "" };
            format!("{worker}: {kind}{reused}{}", kept.unwrap_or_default())
        }
        Program::Command { train, .. } => clipped(&train.to_vec().join(" ")),
    };
    let device = spec.device.as_ref().or(group.device()).map_or_else(|| "any".into(), ToString::to_string);
    [group_cell(group), task.task_id().to_string(), runs, device]
}

fn group_cell(group: &TaskGroup) -> String {
    let ahead = if group.load_ahead { ", loads ahead" } else { "" };
    format!("{}{ahead}", group.group_name())
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
