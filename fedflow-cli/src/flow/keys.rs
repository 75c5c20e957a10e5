//! The keys of a flow file. Each is declared here and nowhere else: its type, the tables in which it may stand, and
//! its help.

pub(super) mod json_schema;

use std::fmt::Write as _;
use std::marker::PhantomData;
use std::num::NonZeroU32;
use std::time::Duration;

use fedflow_core::{Pin, Size};

use super::templates::Number;
use super::values::{FlowReader, FromValue, Identifier, KeepKey, Property, Shape, ValueForm};
use crate::toml_reader::{TomlEntry, TomlReader, TomlTable};

/// A key whose value is a `T`.
#[derive(Debug, Clone, Copy)]
pub(crate) struct FlowKey<T> {
    info: KeyInfo,
    value: PhantomData<fn() -> T>,
}

/// What is declared of a key, whatever its type.
#[derive(Debug, Clone, Copy)]
pub(crate) struct KeyInfo {
    pub(crate) name: &'static str,
    /// The form of its value, in words.
    pub(crate) form: &'static str,
    /// The form of its value, for editors.
    pub(crate) shape: Shape,
    /// The tables in which it may stand.
    pub(crate) places: &'static [Place],
    pub(crate) help: &'static str,
}

/// A kind of table in a flow file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Place {
    Flow,
    Group,
    Task,
    Worker,
    Range,
}

/// Declares keys and the list of them all.
macro_rules! keys {
    ($($constant:ident: $type:ty = $name:literal in [$($place:ident),+], $help:literal;)+) => {
        $(
            #[doc = $help]
            pub(crate) const $constant: FlowKey<$type> = FlowKey::new(KeyInfo {
                name: $name,
                form: <$type as ValueForm>::FORM,
                shape: <$type as ValueForm>::SHAPE,
                places: &[$(Place::$place),+],
                help: $help,
            });
        )+
        /// All keys, in the order in which they are declared.
        pub(crate) const KEYS: &[KeyInfo] = &[$($constant.info),+];
    };
}

keys! {
    NAME: Identifier = "name" in [Flow, Group], "The name; without it, that of the file, or group-N for a group.";
    WORKDIR: FixedText = "workdir" in [Flow], "The run directory, relative to the flow file.";
    VARS: AnyTable = "vars" in [Flow], "Variables that every template sees, each with its value; `--var NAME=VALUE` gives one another value.";
    CONFIG: AnyTable = "config" in [Flow], "Configuration; `fedflow config` lists its keys.";
    WORKERS: Tables = "workers" in [Flow], "The worker programs: [workers.NAME].";
    GROUPS: Tables = "groups" in [Flow, Group], "The groups, in the order in which they run; a group may hold groups.";
    REPEAT: NonZeroU32 = "repeat" in [Group], "How many rounds the group, or the groups in it, run; a template may use `[vars]` and the variables of matrices around it.";
    UNTIL: bool = "until" in [Group], "Asked after each round of a `repeat`, and may use `result` and `results`: if it is true, the rounds left are skipped. It is false while a result that it asks for is missing.";
    LOAD_AHEAD: bool = "load-ahead" in [Group], "Whether the tasks start and load while the group before still runs.";
    TASKS: Tables = "tasks" in [Group], "The tasks of the group, in the order in which they are added.";

    ID: Identifier = "id" in [Task], "The id of the task, unique in its group; with a matrix it may be left out.";
    MATRIX: Variables = "matrix" in [Group, Task], "Makes one task, or the group or the groups in it, for each combination of the variables' values. With `repeat`, the rounds run for each combination.";
    WHEN: bool = "when" in [Group, Task], "Whether a task exists, asked for each combination of its variables' values. On a group, whether it is executed: it may use `result` and `results`, and if it is false, the tasks are skipped.";
    NEEDS: OneOrMoreTasks = "needs" in [Task], "Tasks of earlier groups, each as GROUP/TASK: if one of them has no result, this task is skipped.";
    WORKER: String = "worker" in [Task], "The worker program that runs the task.";
    KIND: String = "kind" in [Task], "The task kind, one that the worker lists.";
    PARAMS: AnyTable = "params" in [Task], "What a worker's task is given before it loads.";
    TRAIN_PARAMS: AnyTable = "train-params" in [Task], "What a worker's task is given when it trains; rendered when its group starts.";
    COMMAND: TextList = "command" in [Task, Worker], "A program and its arguments; a path is relative to the flow file.";
    LOAD_COMMAND: TextList = "load-command" in [Task], "A command that runs in the load phase, before `command`.";
    ENV: AnyTable = "env" in [Task, Worker], "Variables that are added to the environment of a command or a worker.";
    CWD: String = "cwd" in [Task, Worker], "The current directory, relative to the flow file; without it, the task's own directory.";
    DEVICES: NonZeroU32 = "devices" in [Task], "How many devices the task trains on at once.";
    EXCLUSIVE: bool = "exclusive" in [Task], "Whether the task has its cards to itself.";
    EXPECTED_LOAD: Duration = "expected-load" in [Task], "How long the task is expected to load.";
    EXPECTED_TRAIN: Duration = "expected-train" in [Task], "How long the task is expected to train.";
    KEEP: KeepKey = "keep" in [Task], "Keeps the process, with what it has loaded, for the next task with this key.";

    DEVICE: Pin = "device" in [Group, Task], "The device to which the task, or each task of the group, is pinned. `cpu` needs no card and holds none.";
    ESTIMATE_MEMORY: Size = "estimate-memory" in [Group, Task], "Host memory that a task is expected to use. It is reserved until the task is over, less what it uses.";
    ESTIMATE_CUDA_MEMORY: Size = "estimate-cuda-memory" in [Group, Task], "Memory of a card that a task is expected to use.";
    OOM_PATTERN: OneOrMoreTexts = "oom-pattern" in [Group, Task], "Texts on stderr or stdout that mean out of memory, beside the usual ones.";
    OOM_EXIT_CODE: OneOrMoreCodes = "oom-exit-code" in [Group, Task], "Exit codes that mean out of memory.";
    START_TIMEOUT: Duration = "start-timeout" in [Group, Task, Worker], "How long a worker may take from its start until it is available.";
    LOAD_TIMEOUT: Duration = "load-timeout" in [Group, Task, Worker], "How long a task may load.";
    TRAIN_TIMEOUT: Duration = "train-timeout" in [Group, Task, Worker], "How long a task may train.";
    TIMEOUT: Duration = "timeout" in [Group, Task, Worker], "How long an attempt may start, load and train, all together. What it waits does not count.";
    EXIT_TIMEOUT: Duration = "exit-timeout" in [Group, Task, Worker], "How long a process may take to exit.";
    RETRIES: u32 = "retries" in [Group, Task, Worker], "How often a task that failed is tried again.";

    PROTOCOL: ProtocolName = "protocol" in [Worker], "What the worker speaks.";
    KINDS: TextList = "kinds" in [Worker], "The task kinds of a worker that does not list them itself.";
    REUSE: bool = "reuse" in [Worker], "Whether a process of the worker serves several tasks, one after the other.";
    REUSE_LIMIT: NonZeroU32 = "reuse-limit" in [Worker], "How many tasks a process serves at most.";

    FROM: Number = "from" in [Range], "The first number of a range; 0 if it is left out.";
    TO: Number = "to" in [Range], "The end of a range, which is not in it.";
    STEP: Number = "step" in [Range], "The distance between the numbers of a range; 1 if it is left out.";
    SAMPLE: NonZeroU32 = "sample" in [Range], "How many of the values are drawn, without replacement; without it, all are taken. Each round draws anew.";
    OF: AnyList = "of" in [Range], "The list to draw from, instead of a range.";
}

/// Forms that have a reader of their own.
macro_rules! forms {
    ($($type:ident = $form:literal, $shape:expr;)+) => {
        $(
            #[doc = concat!("The form of a key: ", $form, ".")]
            #[derive(Debug, Clone, Copy)]
            pub(crate) struct $type;

            impl ValueForm for $type {
                const FORM: &'static str = $form;
                const SHAPE: Shape = $shape;
            }
        )+
    };
}

forms! {
    FixedText = "text, no template", Shape::Text;
    AnyTable = "a table", Shape::Table;
    Tables = "a list of tables", Shape::Tables;
    TextList = "a list of texts", Shape::TextList;
    AnyList = "a list", Shape::List;
    Variables = "a table of lists, ranges { from, to, step } and samples { sample, of }", Shape::Variables;
    OneOrMoreTexts = "a text, or a list of them", Shape::OneOrMoreTexts;
    OneOrMoreTasks = "a text, or a list of them", Shape::OneOrMoreTexts;
    OneOrMoreCodes = "a number from 1 to 255, or a list of them", Shape::OneOrMoreCodes;
    ProtocolName = "\"ipc\" or \"json\"", Shape::Protocol;
}

impl<T> FlowKey<T> {
    const fn new(info: KeyInfo) -> Self {
        Self { info, value: PhantomData }
    }

    /// The name of the key.
    pub(crate) fn name(&self) -> &'static str {
        self.info.name
    }

    /// The entry under this key; `None` if it is absent.
    pub(crate) fn entry<'d>(&self, table: &mut TomlTable<'d>) -> Option<TomlEntry<'d>> {
        debug_assert!(
            self.info.places.iter().any(|place| place.what() == table.what()),
            "{} is not declared for {}",
            self.info.name,
            table.what()
        );
        table.get(self.info.name)
    }

    /// The entry under this key, which must be there.
    pub(crate) fn required<'d>(
        &self,
        table: &mut TomlTable<'d>,
        example: &str,
        reader: &mut TomlReader,
    ) -> Option<TomlEntry<'d>> {
        table.require(self.info.name, example, reader)
    }
}

impl<T: FromValue> FlowKey<T> {
    /// Reads the value under this key. `None` if it is absent, and if it is wrong, which is reported.
    pub(crate) fn read(&self, reader: &mut FlowReader, table: &mut TomlTable<'_>) -> Option<Property<T>> {
        let entry = self.entry(table)?;
        Property::read(reader, entry)
    }
}

impl Place {
    const ALL: [Self; 5] = [Self::Flow, Self::Worker, Self::Group, Self::Task, Self::Range];

    /// The table, with its article, as errors name it.
    pub(crate) const fn what(self) -> &'static str {
        match self {
            Self::Flow => "a flow",
            Self::Group => "a group",
            Self::Task => "a task",
            Self::Worker => "a worker",
            Self::Range => "a range",
        }
    }

    /// The heading of the table in the reference.
    fn heading(self) -> &'static str {
        match self {
            Self::Flow => "The top of the file",
            Self::Worker => "A worker: `[workers.NAME]`",
            Self::Group => "A group: `[[groups]]`",
            Self::Task => "A task: `[[groups.tasks]]`",
            Self::Range => {
                "A range or a sample in a matrix: `{ from = 0, to = 10 }`, `{ sample = 3, of = [..] }`"
            }
        }
    }

    /// The table and how it is written.
    fn written(self) -> &'static str {
        match self {
            Self::Flow => "the flow, at the top of the file",
            Self::Group => "a group: [[groups]]",
            Self::Task => "a task: [[groups.tasks]]",
            Self::Worker => "a worker: [workers.NAME]",
            Self::Range => "a range: { from = 0, to = 10 }",
        }
    }
}

/// The reference of all keys as Markdown: a table for each kind of table in a flow file.
#[must_use]
pub fn key_reference() -> String {
    let mut text = String::new();
    for place in Place::ALL {
        let _ = writeln!(text, "## {}\n\n| key | value | meaning |\n|---|---|---|", place.heading());
        for key in KEYS.iter().filter(|key| key.places.contains(&place)) {
            let _ = writeln!(text, "| `{}` | {} | {} |", key.name, key.form, key.help);
        }
        text.push('\n');
    }
    text
}

/// Reports the unknown keys of a table.
pub(crate) fn finish(table: TomlTable<'_>, reader: &mut FlowReader) {
    table.finish(&mut reader.toml, stands_elsewhere);
}

/// The hint for a key that belongs to another table.
fn stands_elsewhere(name: &str) -> Option<String> {
    let key = KEYS.iter().find(|key| key.name == name)?;
    let places: Vec<&str> = key.places.iter().map(|place| place.written()).collect();
    Some(format!("{name:?} stands on {}", places.join(", or on ")))
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::super::FlowFile;
    use super::*;

    /// A flow file that has a key in one kind of table.
    fn with_key(name: &str, place: Place) -> String {
        let key = |at: Place| if at == place { format!("{name} = {{}}\n") } else { String::new() };
        let range = if place == Place::Range { format!(", {name} = {{}}") } else { String::new() };
        format!(
            "{}[workers.w]\n{}[[groups]]\n{}[[groups.tasks]]\n{}[[groups]]\n[[groups.tasks]]\nmatrix = {{ i = {{ a = 0{range} }} }}\n",
            key(Place::Flow),
            key(Place::Worker),
            key(Place::Group),
            key(Place::Task),
        )
    }

    #[test]
    fn every_key_is_taken_where_it_is_declared_and_nowhere_else() {
        for key in KEYS {
            for place in Place::ALL {
                let found = FlowFile::parse(with_key(key.name, place), Path::new("flow.toml"))
                    .unwrap_err()
                    .to_string();
                // Tables that are there anyhow would be there twice.
                if found.contains("duplicate key") {
                    continue;
                }
                let refused = found.contains(&format!("{} has no key {:?}", place.what(), key.name));
                assert_eq!(refused, !key.places.contains(&place), "{} in {place:?}: {found}", key.name);
            }
        }
    }

    #[test]
    fn names_are_declared_once() {
        for (number, key) in KEYS.iter().enumerate() {
            assert!(KEYS[..number].iter().all(|earlier| earlier.name != key.name), "{}", key.name);
            assert!(key.help.ends_with('.') && !key.form.is_empty());
        }
    }
}
