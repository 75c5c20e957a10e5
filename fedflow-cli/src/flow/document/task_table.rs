//! `TaskTable`: a task as it is written, or as many as its matrix has points.

use std::num::NonZeroU32;
use std::time::Duration;

use toml::de::DeValue;

use super::super::keys::{
    self, COMMAND, CWD, DEVICES, ENV, EXCLUSIVE, EXPECTED_LOAD, EXPECTED_TRAIN, FlowKey, ID, KEEP, KIND,
    LOAD_COMMAND, MATRIX, NEEDS, PARAMS, TRAIN_PARAMS, WHEN, WORKER,
};
use super::super::values::{Arguments, FlowReader, Identifier, KeepKey, Node, Property, is_fixed};
use super::command_table::CommandTable;
use super::matrix::Axis;
use super::shared_keys::SharedKeys;
use super::task_env::read_command_env;
use crate::diagnostic::Span;
use crate::toml_reader::{TomlEntry, TomlTable};

/// A command as users write it.
const COMMAND_EXAMPLE: &str = "[\"python3\", \"{{ flow_dir }}/train.py\"]";

/// A table of `[[groups.tasks]]`.
#[derive(Debug)]
pub(crate) struct TaskTable {
    pub(crate) span: Span,
    pub(crate) id: Option<Property<Identifier>>,
    pub(crate) matrix: Vec<Axis>,
    /// Whether a point of the matrix is wanted.
    pub(crate) when: Option<Property<bool>>,
    /// The tasks without whose results it is skipped.
    pub(crate) needs: Vec<Property<Arguments>>,
    pub(crate) program: ProgramTable,
    pub(crate) keys: SharedKeys,
    pub(crate) cwd: Option<Property<String>>,
    pub(crate) devices: Option<Property<NonZeroU32>>,
    pub(crate) exclusive: Option<Property<bool>>,
    pub(crate) expected_load: Option<Property<Duration>>,
    pub(crate) expected_train: Option<Property<Duration>>,
    pub(crate) keep: Option<Property<KeepKey>>,
    /// The parameters of a worker's task, or the environment of a command.
    pub(crate) params: Node,
    /// Where `params` stands, if it does.
    pub(crate) params_span: Option<Span>,
    pub(crate) train_params: Node,
}

/// What runs a task.
#[derive(Debug)]
pub(crate) enum ProgramTable {
    Worker { worker: Property<String>, kind: Property<String> },
    Command { load: Option<CommandTable>, train: CommandTable },
}

impl TaskTable {
    /// Reads a task. `None` if it is wrong, which is reported.
    pub(super) fn read(reader: &mut FlowReader, mut table: TomlTable<'_>) -> Option<Self> {
        let span = table.span;
        let outer = reader.visible.clone();
        reader.visible = outer.inside();
        let matrix = Axis::read_all(reader, MATRIX.entry(&mut table));
        let when = WHEN.read(reader, &mut table);
        let needs = read_needs(reader, &mut table);
        let id = ID.read(reader, &mut table);
        if ID.entry(&mut table).is_none() && MATRIX.entry(&mut table).is_none() {
            reader.toml.error_with_hint(span, "this task has no id", "for example: id = \"train\"");
        }
        let keys = SharedKeys::read(reader, &mut table);
        let cwd = CWD.entry(&mut table).and_then(|entry| reader.with_home(entry, Property::read));
        let devices = DEVICES.read(reader, &mut table);
        let exclusive = EXCLUSIVE.read(reader, &mut table);
        let expected_load = EXPECTED_LOAD.read(reader, &mut table);
        let expected_train = EXPECTED_TRAIN.read(reader, &mut table);
        let keep = KEEP.read(reader, &mut table);
        let worker = WORKER.read(reader, &mut table);
        let kind = KIND.read(reader, &mut table);
        reader.visible.functions = true;
        let params_span = PARAMS.entry(&mut table).map(|entry| entry.span);
        let params = read_dict(reader, &mut table, &PARAMS);
        let train_params = read_dict(reader, &mut table, &TRAIN_PARAMS);
        let env = ENV.entry(&mut table).and_then(|entry| read_command_env(reader, entry));
        let program = read_program(reader, &mut table, worker, kind);
        // A command finds its parameters in its environment.
        let params = match &program {
            Some(ProgramTable::Command { .. }) => env.or(params),
            _ => params,
        };
        reader.visible = outer;
        keys::finish(table, reader);
        Some(Self {
            span,
            id,
            matrix,
            when,
            needs,
            program: program?,
            keys,
            cwd,
            devices,
            exclusive,
            expected_load,
            expected_train,
            keep,
            params: params.unwrap_or_else(Node::empty_dict),
            params_span,
            train_params: train_params.unwrap_or_else(Node::empty_dict),
        })
    }

    /// Whether everything but the id, the keep key, the parameters and the command is the same for all its tasks.
    pub(crate) fn has_fixed_terms(&self) -> bool {
        let program = match &self.program {
            ProgramTable::Worker { worker, kind } => worker.fixed().is_some() && kind.fixed().is_some(),
            ProgramTable::Command { .. } => true,
        };
        program
            && self.keys.is_fixed()
            && is_fixed(&self.cwd)
            && is_fixed(&self.devices)
            && is_fixed(&self.exclusive)
            && is_fixed(&self.expected_load)
            && is_fixed(&self.expected_train)
    }

    /// Where the id stands, or else the task.
    pub(crate) fn id_span(&self) -> Span {
        self.id.as_ref().map_or(self.span, |id| id.span)
    }
}

/// Reads the tasks that are needed, one or several.
fn read_needs(reader: &mut FlowReader, table: &mut TomlTable<'_>) -> Vec<Property<Arguments>> {
    let Some(entry) = NEEDS.entry(table) else { return Vec::new() };
    let entries = match entry.value {
        DeValue::Array(_) => reader.toml.list(entry, "a list").unwrap_or_default(),
        _ => vec![entry],
    };
    entries.into_iter().filter_map(|entry| Property::read(reader, entry)).collect()
}

/// Reads a table of parameters; an empty one if it is absent.
fn read_dict<T>(reader: &mut FlowReader, table: &mut TomlTable<'_>, key: &FlowKey<T>) -> Option<Node> {
    let Some(entry) = key.entry(table) else { return Some(Node::empty_dict()) };
    reader.toml.table("parameters", entry)?;
    Node::read(reader, entry)
}

/// A task has a worker and a kind, or a command.
fn read_program(
    reader: &mut FlowReader,
    table: &mut TomlTable<'_>,
    worker: Option<Property<String>>,
    kind: Option<Property<String>>,
) -> Option<ProgramTable> {
    let (has_worker, has_kind) = (WORKER.entry(table).is_some(), KIND.entry(table).is_some());
    let (command, load) = (COMMAND.entry(table), LOAD_COMMAND.entry(table));
    let of_worker = has_worker || has_kind;
    if let (None, true, Some(env)) = (command, of_worker, ENV.entry(table)) {
        let hint = "env on [workers.NAME] is its environment; params reach its task";
        reader.toml.error_with_hint(env.key_span, "a task with a worker takes no env", hint);
    }
    let Some(command) = command else {
        return match (worker, kind) {
            _ if load.is_some() || !has_worker || !has_kind => {
                report_missing_part(reader, table.span, load, has_worker, has_kind);
                None
            }
            (Some(worker), Some(kind)) => Some(ProgramTable::Worker { worker, kind }),
            _ => None,
        };
    };
    if of_worker {
        let message = "a task has a worker and a kind, or a command, not both";
        reader.toml.error(command.key_span, message);
        return None;
    }
    report_keys_of_workers(reader, table);
    let load = load.map(|load| CommandTable::read(reader, load, COMMAND_EXAMPLE));
    let train = CommandTable::read(reader, command, COMMAND_EXAMPLE)?;
    Some(ProgramTable::Command { load: load.flatten(), train })
}

/// Reports what is missing of a task that has no command.
fn report_missing_part(
    reader: &mut FlowReader,
    span: Span,
    load: Option<TomlEntry<'_>>,
    has_worker: bool,
    has_kind: bool,
) {
    let (span, message, hint) = match (load, has_worker, has_kind) {
        (Some(load), ..) => (
            load.key_span,
            "a load-command needs a command",
            "command = [..] runs in the train phase, load-command before it",
        ),
        (None, false, false) => (
            span,
            "this task does not say what runs it",
            "worker = \"..\" and kind = \"..\", or command = [\"python3\", \"{{ flow_dir }}/train.py\"]",
        ),
        (None, true, _) => (
            span,
            "this task has a worker, but no kind",
            "kind = \"..\" names one of the task kinds that the worker lists",
        ),
        (None, false, true) => {
            (span, "this task has a kind, but no worker", "worker = \"NAME\" means the table [workers.NAME]")
        }
    };
    reader.toml.error_with_hint(span, message, hint);
}

/// Reports the keys of a command that only a worker's task can have.
fn report_keys_of_workers(reader: &mut FlowReader, table: &mut TomlTable<'_>) {
    for key in [PARAMS, TRAIN_PARAMS] {
        if let Some(entry) = key.entry(table) {
            let hint =
                "give them as arguments, such as \"--lr\", \"{{ lr }}\", or as env = { LR = \"{{ lr }}\" }";
            let message = format!("a task with a command takes no {}", key.name());
            reader.toml.error_with_hint(entry.key_span, message, hint);
        }
    }
    if let Some(entry) = KEEP.entry(table) {
        let hint = "a worker can be kept: worker = \"..\" and kind = \"..\" instead of a command";
        let message = "a task with a command is a new process each time: nothing of it can be kept";
        reader.toml.error_with_hint(entry.key_span, message, hint);
    }
}
