//! Checks where processes work: whether the directory is there, and whether what a command names is found from it.

use std::collections::{HashMap, HashSet};
use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use fedflow_core::{CommandLine, TaskSpec};

use super::super::document::{CommandTable, TaskTable, WorkerEntry};
use super::super::group::FlowGroup;
use super::super::task::FlowTask;
use super::beside::{self, Beside, Place};
use super::findings::Reports;
use crate::diagnostic::Span;

/// Of how many tasks of a table the arguments are looked at: those of the others differ in their numbers.
const LOOKED_AT: u32 = 64;

/// Which directories and commands were looked at.
#[derive(Debug)]
pub(super) struct WorkingDirectories<'a> {
    /// The directory of the flow file.
    base_dir: &'a Path,
    /// Where Python looks for modules beside its own.
    python_path: Option<&'a OsStr>,
    looked_for: HashSet<PathBuf>,
    /// How many tasks, by table.
    looked_at: HashMap<*const TaskTable, u32>,
}

impl<'a> WorkingDirectories<'a> {
    pub(super) fn new(base_dir: &'a Path, python_path: Option<&'a OsStr>) -> Self {
        Self { base_dir, python_path, looked_for: HashSet::new(), looked_at: HashMap::new() }
    }

    /// Checks the directory in which the processes of a worker work, and its arguments.
    pub(super) fn check_worker(&mut self, reports: &mut Reports<'_>, worker: &str, entry: &WorkerEntry) {
        let cwd = entry.current_dir(self.base_dir);
        if let (Some(cwd), Some(span)) = (&cwd, entry.cwd_span)
            && !cwd.is_dir()
            && self.looked_for.insert(cwd.clone())
        {
            reports.error(span, format!("there is no directory {}", cwd.display()), None);
        }
        let python_path = entry.env.get("PYTHONPATH").map(OsStr::new).or(self.python_path);
        let command: Vec<&str> = entry.command.iter().map(String::as_str).collect();
        let place = Place { base_dir: self.base_dir, cwd: cwd.as_deref(), python_path };
        if let Some(beside) = beside::find(&command, &place)
            && let Some(span) = entry.argument_spans.get(beside.argument)
        {
            warn_beside(reports, *span, &beside, cwd.as_deref(), &format!("[workers.{worker}]"));
        }
    }

    /// Checks whether the directory is there in which a task works.
    pub(super) fn check_task(
        &mut self,
        reports: &mut Reports<'_>,
        group: &FlowGroup,
        task: &FlowTask,
        spec: &TaskSpec,
    ) {
        let (Some(cwd), Some(key)) = (&spec.cwd, &task.terms.table.cwd) else { return };
        if cwd.is_dir() || !self.looked_for.insert(cwd.clone()) {
            return;
        }
        let message = format!("there is no directory {} (in {}/{})", cwd.display(), group.name, task.task_id);
        if group.index == 1 || cwd.exists() {
            reports.failing(key.span, message, None);
        } else {
            let hint = "the task fails unless an earlier group makes it";
            reports.warning(key.span, message, Some(hint.into()));
        }
    }

    /// Looks for arguments of a task's command that lie beside the flow file only.
    pub(super) fn check_command(
        &mut self,
        reports: &mut Reports<'_>,
        task: &FlowTask,
        spec: &TaskSpec,
        (command, table): (&CommandLine, &CommandTable),
    ) {
        let looked_at = self.looked_at.entry(Arc::as_ptr(&task.terms.table)).or_default();
        *looked_at += 1;
        if *looked_at > LOOKED_AT {
            return;
        }
        let own = spec.params.get("PYTHONPATH").and_then(|path| path.as_str()).map(OsStr::new);
        let python_path = own.or(self.python_path);
        let place = Place { base_dir: self.base_dir, cwd: spec.cwd.as_deref(), python_path };
        let words: Vec<&str> = command.iter().collect();
        if let Some(beside) = beside::find(&words, &place) {
            if let Some(span) = table.span_of(beside.argument, words.len()) {
                warn_beside(reports, span, &beside, spec.cwd.as_deref(), "the task");
            }
        } else if own.is_none()
            && spec.cwd.is_none()
            && let Some(relative) = python_path.and_then(relative_entry)
            && words.iter().any(|word| word.rsplit('/').next().is_some_and(|name| name.starts_with("python")))
            && let Some(span) = table.program_span()
        {
            let message = format!("PYTHONPATH has {relative:?} in it, which means the task's own directory");
            let hint = "export it as a whole path, or write env = { PYTHONPATH = \"{{ flow_dir }}\" } or cwd = \"{{ flow_dir }}\"";
            reports.warning(span, message, Some(hint.into()));
        }
    }
}

fn warn_beside(reports: &mut Reports<'_>, span: Span, beside: &Beside, cwd: Option<&Path>, place: &str) {
    let works = match cwd {
        Some(cwd) => format!("works in {}", cwd.display()),
        None => "works in a directory of its own".into(),
    };
    let message = format!("{:?} lies beside the flow file, but the process {works}", beside.name);
    let other = format!("cwd = \"{{{{ flow_dir }}}}\" on {place} has it work beside the flow file");
    let hint = match &beside.instead {
        Some(instead) => format!("write {instead:?}; or {other}"),
        None => other,
    };
    reports.warning(span, message, Some(hint));
}

/// The first relative directory in a list of them.
fn relative_entry(list: &OsStr) -> Option<PathBuf> {
    std::env::split_paths(list).find(|path| path.is_relative() && !path.as_os_str().is_empty())
}
