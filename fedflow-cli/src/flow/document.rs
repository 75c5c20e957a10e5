//! The flow file as it is written: typed and with positions, before rounds and matrices are expanded.

mod command_table;
mod matrix;
mod sample;
mod shared_keys;
mod task_env;
mod task_table;
mod variables;
mod worker_entry;

use std::collections::BTreeMap;
use std::num::NonZeroU32;
use std::sync::Arc;

use fedflow_core::Dict;
use toml::de::DeValue;

use super::keys::{
    self, CONFIG, GROUPS, LOAD_AHEAD, MATRIX, NAME, Place, REPEAT, TASKS, UNTIL, VARS, WHEN, WORKDIR, WORKERS,
};
use super::templates::FlowScope;
use super::values::{FlowReader, Identifier, Property};
use crate::diagnostic::Span;
use crate::settings::{ConfigEntry, read_entries};
use crate::toml_reader::{TomlEntry, TomlTable};

pub(super) use command_table::{CommandTable, program_path};
pub(super) use matrix::{Axis, MAX_TASKS, evaluate};
pub(super) use shared_keys::SharedKeys;
pub(super) use task_table::{ProgramTable, TaskTable};
pub use variables::parse_var;
pub use worker_entry::{WorkerEntry, WorkerProtocol};

/// The deepest nesting of groups.
const MAX_NESTING: usize = 16;

/// A flow file.
#[derive(Debug, Default)]
pub(super) struct Document {
    pub(super) name: Option<String>,
    pub(super) workdir: Option<String>,
    pub(super) config: Vec<ConfigEntry>,
    pub(super) workers: BTreeMap<String, WorkerEntry>,
    pub(super) groups: Vec<GroupTable>,
}

/// A table of `[[groups]]`: a group, or groups that are run several times.
#[derive(Debug)]
pub(super) struct GroupTable {
    pub(super) span: Span,
    /// The variables for each combination of which the group, or those in it, are there.
    pub(super) matrix: Vec<Axis>,
    pub(super) repeat: Option<Property<NonZeroU32>>,
    /// Whether the group is executed.
    pub(super) when: Option<Property<bool>>,
    /// Whether the rounds after one are left out.
    pub(super) until: Option<Property<bool>>,
    pub(super) name: Option<Property<Identifier>>,
    /// Whether the tasks load while the group before still runs.
    pub(super) load_ahead: Option<Property<bool>>,
    pub(super) keys: SharedKeys,
    pub(super) body: GroupBody,
}

/// What a group holds.
#[derive(Debug)]
pub(super) enum GroupBody {
    Groups(Vec<GroupTable>),
    Tasks(Vec<Arc<TaskTable>>),
}

impl Document {
    /// Reads a whole file, with these values of variables in place of its own. Errors are reported to `reader`.
    pub(super) fn read(reader: &mut FlowReader, mut table: TomlTable<'_>, given: &Dict) -> Self {
        let mut document = Self::default();
        let vars = VARS.entry(&mut table);
        let vars = variables::read_vars(reader, vars, given);
        reader.visible.outer = vars.iter().map(|(name, _)| name.to_owned()).collect();
        reader.flow = Arc::new(FlowScope { flow_dir: Arc::clone(&reader.flow.flow_dir), vars });
        if let Some(name) = NAME.entry(&mut table).and_then(|entry| reader.toml.text(entry)) {
            if name.value.trim().is_empty() {
                reader.toml.error(name.span, "the name of a flow must not be empty");
            }
            document.name = Some(name.value);
        }
        match CONFIG.entry(&mut table) {
            Some(TomlEntry { value: DeValue::Table(config), .. }) => {
                document.config = read_entries(config, &mut reader.toml);
            }
            Some(entry) => reader.toml.wrong_type(entry, "a table"),
            None => {}
        }
        if let Some(entry) = WORKDIR.entry(&mut table) {
            document.read_workdir(reader, entry);
        }
        if let Some(entry) = WORKERS.entry(&mut table)
            && let Some(workers) = reader.toml.table("the table of workers", entry)
        {
            for entry in workers.entries() {
                if let Some(worker) = WorkerEntry::read(reader, entry) {
                    document.workers.insert(entry.key.into(), worker);
                }
            }
        }
        match GROUPS.entry(&mut table) {
            Some(groups) => document.groups = read_groups(reader, groups, 1),
            None => {
                let hint = "[[groups]] begins one; `fedflow init` writes a flow file to start from";
                reader.toml.error_with_hint(table.span, "a flow needs a group", hint);
            }
        }
        keys::finish(table, reader);
        document
    }

    /// `workdir` at the top is the configuration's key of that name.
    fn read_workdir(&mut self, reader: &mut FlowReader, entry: TomlEntry<'_>) {
        let Some(workdir) = reader.toml.text(entry) else { return };
        if let Some(twice) = self.config.iter().find(|entry| entry.key == WORKDIR.name()) {
            let hint = "it stands at the top already";
            reader.toml.error_with_hint(twice.key_span, "workdir is set twice", hint);
        }
        self.config.push(ConfigEntry {
            key: WORKDIR.name().into(),
            value: workdir.value.as_str().into(),
            key_span: entry.key_span,
            span: entry.span,
        });
        self.workdir = Some(workdir.value);
    }
}

fn read_groups(reader: &mut FlowReader, entry: TomlEntry<'_>, depth: usize) -> Vec<GroupTable> {
    if depth > MAX_NESTING {
        let message = format!("groups lie in groups more than {MAX_NESTING} deep");
        reader.toml.error(entry.key_span, message);
        return Vec::new();
    }
    let errors_before = reader.errors();
    let tables = reader.toml.tables(Place::Group.what(), entry);
    if tables.is_empty() && reader.errors() == errors_before {
        let hint = "[[groups]] begins a group, and [[groups.tasks]] a task of it";
        reader.toml.error_with_hint(entry.span, "there is no group", hint);
    }
    tables.into_iter().filter_map(|table| read_group(reader, table, depth)).collect()
}

fn read_group(reader: &mut FlowReader, mut table: TomlTable<'_>, depth: usize) -> Option<GroupTable> {
    let span = table.span;
    let outer = reader.visible.clone();
    reader.visible = outer.inside();
    let matrix = Axis::read_all(reader, MATRIX.entry(&mut table));
    let repeat = REPEAT.read(reader, &mut table);
    reader.visible.repeat |= REPEAT.entry(&mut table).is_some();
    reader.visible.functions = true;
    let when = WHEN.read(reader, &mut table);
    let until = UNTIL.read(reader, &mut table);
    reader.visible.functions = false;
    if let (Some(until), None) = (UNTIL.entry(&mut table), REPEAT.entry(&mut table)) {
        let hint = "repeat = 20 beside it says how many rounds there are at most";
        reader.toml.error_with_hint(until.key_span, "`until` needs a `repeat` on the same table", hint);
    }
    let name = NAME.read(reader, &mut table);
    let load_ahead = LOAD_AHEAD.read(reader, &mut table);
    let keys = SharedKeys::read(reader, &mut table);
    let body = read_body(reader, &mut table, name.as_ref(), depth);
    keys::finish(table, reader);
    reader.visible = outer;
    Some(GroupTable { span, matrix, repeat, when, until, name, load_ahead, keys, body: body? })
}

/// A group has tasks or groups.
fn read_body(
    reader: &mut FlowReader,
    table: &mut TomlTable<'_>,
    name: Option<&Property<Identifier>>,
    depth: usize,
) -> Option<GroupBody> {
    match (GROUPS.entry(table), TASKS.entry(table)) {
        (Some(groups), None) => {
            if let Some(name) = name {
                let message = "a group that holds groups has no name of its own";
                reader.toml.error_with_hint(name.span, message, "name the groups inside it");
            }
            Some(GroupBody::Groups(read_groups(reader, groups, depth + 1)))
        }
        (None, Some(tasks)) => Some(GroupBody::Tasks(read_tasks(reader, tasks))),
        (Some(_), Some(tasks)) => {
            let hint = "put the tasks into a group of their own";
            reader.toml.error_with_hint(tasks.key_span, "a group has tasks or groups, not both", hint);
            None
        }
        (None, None) => {
            let hint = "[[groups.tasks]] begins a task of the group above it";
            reader.toml.error_with_hint(table.span, "this group has no tasks", hint);
            None
        }
    }
}

fn read_tasks(reader: &mut FlowReader, entry: TomlEntry<'_>) -> Vec<Arc<TaskTable>> {
    let errors_before = reader.errors();
    let tables = reader.toml.tables(Place::Task.what(), entry);
    if tables.is_empty() && reader.errors() == errors_before {
        let hint =
            "for example: tasks = [{ id = \"train\", command = [\"python3\", \"{{ flow_dir }}/train.py\"] }]";
        reader.toml.error_with_hint(entry.span, "this group has no tasks", hint);
    }
    tables.into_iter().filter_map(|table| TaskTable::read(reader, table).map(Arc::new)).collect()
}
