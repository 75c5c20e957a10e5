//! The flow file as it is written: typed, with positions, nothing multiplied yet.

use std::collections::BTreeMap;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use fedflow_core::{Dict, ExtraOomSigns, Pin, Setting, Size, Value};

use super::matrix::Axis;
use super::property::{Argument, Identifier, Key, LimitKeys, Node, Property, Texts, Vocabulary, is_fixed};
use super::worker::WorkerEntry;
use crate::diagnostic::Span;
use crate::settings::{ConfigEntry, read_entries};
use crate::table::{Entry, Located, Table};

/// How deep groups may lie in groups.
const MAX_NESTING: usize = 16;

/// A flow file.
#[derive(Debug, Default)]
pub(crate) struct Document {
    pub(crate) name: Option<String>,
    pub(crate) workdir: Option<String>,
    pub(crate) config: Vec<ConfigEntry>,
    pub(crate) workers: BTreeMap<String, WorkerEntry>,
    pub(crate) groups: Vec<GroupTable>,
}

/// A group, or groups that are run several times.
#[derive(Debug)]
pub(crate) struct GroupTable {
    pub(crate) span: Span,
    pub(crate) repeat: Option<Located<NonZeroU32>>,
    pub(crate) name: Option<Property<Identifier>>,
    /// Whether its tasks load while the group before still runs.
    pub(crate) load_ahead: Option<Property<bool>>,
    pub(crate) keys: SharedKeys,
    pub(crate) body: Body,
}

/// What a group holds.
#[derive(Debug)]
pub(crate) enum Body {
    Groups(Vec<GroupTable>),
    Tasks(Vec<Arc<TaskTable>>),
}

/// The keys that stand on a group or on a task.
#[derive(Debug, Clone, Default)]
pub(crate) struct SharedKeys {
    pub(crate) device: Option<Property<Pin>>,
    pub(crate) estimate_memory: Option<Property<Size>>,
    pub(crate) estimate_cuda_memory: Option<Property<Size>>,
    pub(crate) limits: LimitKeys,
    pub(crate) oom_signs: ExtraOomSigns,
}

/// One task, or as many as its matrix has points.
#[derive(Debug)]
pub(crate) struct TaskTable {
    pub(crate) span: Span,
    pub(crate) id: Option<Property<Identifier>>,
    pub(crate) matrix: Vec<Axis>,
    pub(crate) program: ProgramTable,
    pub(crate) keys: SharedKeys,
    pub(crate) devices: Option<Property<NonZeroU32>>,
    pub(crate) exclusive: Option<Property<bool>>,
    pub(crate) expected_load: Option<Property<Duration>>,
    pub(crate) expected_train: Option<Property<Duration>>,
    pub(crate) keep: Option<Property<Key>>,
    pub(crate) params: Node,
    pub(crate) train_params: Node,
}

/// What runs a task.
#[derive(Debug)]
pub(crate) enum ProgramTable {
    Worker { worker: Property<String>, kind: Property<String> },
    Command { load: Option<Vec<Property<Argument>>>, train: Vec<Property<Argument>> },
}

impl TaskTable {
    /// Whether everything but the identifier, the parameters and the command is the same for all its tasks.
    pub(crate) fn has_fixed_needs(&self) -> bool {
        let program = match &self.program {
            ProgramTable::Worker { worker, kind } => worker.fixed().is_some() && kind.fixed().is_some(),
            ProgramTable::Command { .. } => true,
        };
        program
            && self.keys.is_fixed()
            && is_fixed(&self.devices)
            && is_fixed(&self.exclusive)
            && is_fixed(&self.expected_load)
            && is_fixed(&self.expected_train)
    }
}

impl SharedKeys {
    fn read(texts: &mut Texts, table: &mut Table<'_>) -> Self {
        Self {
            device: Property::optional(texts, table, "device"),
            estimate_memory: Property::optional(texts, table, "estimate-memory"),
            estimate_cuda_memory: Property::optional(texts, table, "estimate-cuda-memory"),
            limits: LimitKeys::read(texts, table),
            oom_signs: read_oom_signs(texts, table),
        }
    }

    fn is_fixed(&self) -> bool {
        is_fixed(&self.device)
            && is_fixed(&self.estimate_memory)
            && is_fixed(&self.estimate_cuda_memory)
            && self.limits.is_fixed()
    }
}

impl Document {
    /// Reads the whole file; what is wrong is noted in `texts`.
    pub(crate) fn read(texts: &mut Texts, mut table: Table<'_>) -> Self {
        let mut document = Self::default();
        if let Some(name) = table.get("name").and_then(|entry| texts.reader.text(entry)) {
            if name.value.trim().is_empty() {
                texts.reader.error(name.span, "the name of a flow must not be empty");
            }
            document.name = Some(name.value);
        }
        let workdir = table.get("workdir");
        if let Some(entry) = table.get("config")
            && let toml::de::DeValue::Table(config) = entry.value
        {
            document.config = read_entries(config, &mut texts.reader);
        } else if let Some(entry) = table.get("config") {
            texts.reader.wrong_type(entry, "a table");
        }
        if let Some(entry) = workdir {
            document.read_workdir(texts, entry);
        }
        if let Some(entry) = table.get("workers")
            && let Some(workers) = texts.reader.table("the table of workers", entry)
        {
            for entry in workers.entries() {
                if let Some(worker) = WorkerEntry::read(texts, entry) {
                    document.workers.insert(entry.key.into(), worker);
                }
            }
        }
        if let Some(groups) = table.require("groups", "[[groups]]", &mut texts.reader) {
            document.groups = read_groups(texts, groups, 1);
        }
        table.finish(&mut texts.reader);
        document
    }

    /// `workdir` at the top is the configuration's key of that name.
    fn read_workdir(&mut self, texts: &mut Texts, entry: Entry<'_>) {
        let Some(workdir) = texts.reader.text(entry) else { return };
        if let Some(twice) = self.config.iter().find(|entry| entry.key == "workdir") {
            texts.reader.error_with_hint(
                twice.key_span,
                "workdir is set twice",
                "it stands at the top already",
            );
        }
        self.config.push(ConfigEntry {
            key: "workdir".into(),
            value: workdir.value.as_str().into(),
            key_span: entry.key_span,
            span: entry.span,
        });
        self.workdir = Some(workdir.value);
    }
}

fn read_groups(texts: &mut Texts, entry: Entry<'_>, depth: usize) -> Vec<GroupTable> {
    if depth > MAX_NESTING {
        texts.reader.error(entry.key_span, format!("groups lie in groups more than {MAX_NESTING} deep"));
        return Vec::new();
    }
    let found_before = texts.reader.found.len();
    let tables = texts.reader.tables("a group", entry);
    if tables.is_empty() && texts.reader.found.len() == found_before {
        texts.reader.error(entry.span, "there is no group");
    }
    tables.into_iter().filter_map(|table| read_group(texts, table, depth)).collect()
}

fn read_group(texts: &mut Texts, mut table: Table<'_>, depth: usize) -> Option<GroupTable> {
    let span = table.span;
    let outer = texts.vocabulary.clone();
    let repeat = table.get("repeat").and_then(|entry| {
        let repeat = Property::<NonZeroU32>::read(texts, entry)?;
        match repeat.fixed() {
            Some(value) => Some(Located { value: *value, span: entry.span }),
            None => {
                texts.reader.error(entry.span, "repeat is a fixed number, not a template");
                None
            }
        }
    });
    texts.vocabulary = Vocabulary { repeat: outer.repeat || repeat.is_some(), ..Vocabulary::default() };
    let name = Property::optional(texts, &mut table, "name");
    let load_ahead = Property::optional(texts, &mut table, "load-ahead");
    let keys = SharedKeys::read(texts, &mut table);
    let (groups, tasks) = (table.get("groups"), table.get("tasks"));
    let body = match (groups, tasks) {
        (Some(groups), None) => {
            if let Some(name) = &name {
                let hint = "name the groups inside it";
                let message = "a group that holds groups has no name of its own";
                texts.reader.error_with_hint(name.span, message, hint);
            }
            Some(Body::Groups(read_groups(texts, groups, depth + 1)))
        }
        (None, Some(tasks)) => Some(Body::Tasks(read_tasks(texts, tasks))),
        (Some(_), Some(tasks)) => {
            let hint = "put the tasks into a group of their own";
            texts.reader.error_with_hint(tasks.key_span, "a group has tasks or groups, not both", hint);
            None
        }
        (None, None) => {
            let hint = "[[groups.tasks]] begins a task of the group above it";
            texts.reader.error_with_hint(span, "this group has no tasks", hint);
            None
        }
    };
    table.finish(&mut texts.reader);
    texts.vocabulary = outer;
    Some(GroupTable { span, repeat, name, load_ahead, keys, body: body? })
}

fn read_tasks(texts: &mut Texts, entry: Entry<'_>) -> Vec<Arc<TaskTable>> {
    let found_before = texts.reader.found.len();
    let tables = texts.reader.tables("a task", entry);
    if tables.is_empty() && texts.reader.found.len() == found_before {
        texts.reader.error(entry.span, "this group has no tasks");
    }
    tables.into_iter().filter_map(|table| read_task(texts, table).map(Arc::new)).collect()
}

fn read_task(texts: &mut Texts, mut table: Table<'_>) -> Option<TaskTable> {
    let span = table.span;
    let outer = texts.vocabulary.clone();
    let found_before = texts.reader.found.len();
    let matrix = table.get("matrix").map(|entry| Axis::read_all(texts, entry)).unwrap_or_default();
    if texts.reader.found.len() == found_before {
        texts.vocabulary.matrix = matrix.iter().map(|axis| axis.name.to_string()).collect();
    } else if let Some(entry) = table.get("matrix") {
        // A variable whose values are wrong is not unknown as well.
        texts.vocabulary.matrix = names_of(entry);
    }
    let id = Property::optional(texts, &mut table, "id");
    if id.is_none() && table.get("id").is_none() && table.get("matrix").is_none() {
        texts.reader.error_with_hint(span, "this task has no id", "for example: id = \"train\"");
    }
    let keys = SharedKeys::read(texts, &mut table);
    let devices = Property::optional(texts, &mut table, "devices");
    let exclusive = Property::optional(texts, &mut table, "exclusive");
    let expected_load = Property::optional(texts, &mut table, "expected-load");
    let expected_train = Property::optional(texts, &mut table, "expected-train");
    let keep = Property::<Key>::optional(texts, &mut table, "keep");
    let worker = Property::optional(texts, &mut table, "worker");
    let kind = Property::optional(texts, &mut table, "kind");
    texts.vocabulary.functions = true;
    let params = Node::optional_dict(texts, &mut table, "params");
    let train_params = Node::optional_dict(texts, &mut table, "train-params");
    let env = table.get("env").and_then(|entry| read_env(texts, entry));
    let program = read_program(texts, &mut table, worker, kind);
    // Parameters reach a command as its environment.
    let params = match &program {
        Some(ProgramTable::Command { .. }) => env.or(params),
        _ => params,
    };
    texts.vocabulary = outer;
    table.finish(&mut texts.reader);
    Some(TaskTable {
        span,
        id,
        matrix,
        program: program?,
        keys,
        devices,
        exclusive,
        expected_load,
        expected_train,
        keep,
        params: params.unwrap_or(Node::Fixed(Value::Dict(Dict::new()))),
        train_params: train_params.unwrap_or(Node::Fixed(Value::Dict(Dict::new()))),
    })
}

fn names_of(matrix: Entry<'_>) -> Vec<String> {
    match matrix.value {
        toml::de::DeValue::Table(table) => table.keys().map(|name| name.get_ref().to_string()).collect(),
        _ => Vec::new(),
    }
}

/// What is out of memory beside what the configuration says: one text or code, or a list of them. Fixed, as it is a
/// trait of the program.
fn read_oom_signs(texts: &mut Texts, table: &mut Table<'_>) -> ExtraOomSigns {
    let mut signs = ExtraOomSigns::default();
    if let Some(entry) = table.get("oom-pattern")
        && let Some(value) = texts.reader.value(entry)
    {
        // A text is one pattern, commas included.
        let list = if let Value::Text(text) = value { Value::List(vec![text.into()]) } else { value };
        match Vec::<String>::read(&list) {
            Ok(words) if words.iter().all(|word| !word.trim().is_empty()) => signs.words = words,
            Ok(_) => {
                texts.reader.error(entry.span, "\"oom-pattern\" must not be empty: every log would have it")
            }
            Err(_) => texts.reader.wrong_type(entry, "a text on stderr, or a list of them"),
        }
    }
    if let Some(entry) = table.get("oom-exit-code")
        && let Some(value) = texts.reader.value(entry)
    {
        match Vec::<u32>::read(&value) {
            Ok(codes) if codes.iter().all(|code| (1..=255).contains(code)) => signs.exit_codes = codes,
            _ => {
                let message = "\"oom-exit-code\" must be an exit code from 1 to 255, or a list of them";
                texts.reader.error(entry.span, message);
            }
        }
    }
    signs
}

/// The variables of a command.
fn read_env(texts: &mut Texts, entry: Entry<'_>) -> Option<Node> {
    let table = texts.reader.table("an environment", entry)?;
    for entry in table.entries().filter(|entry| entry.key.is_empty() || entry.key.contains(['=', '\0'])) {
        texts.reader.error(entry.key_span, format!("{:?} cannot be the name of a variable", entry.key));
    }
    for entry in table.entries() {
        refuse_own_variable(texts, entry);
        if let (SIM_USE, toml::de::DeValue::String(text)) = (entry.key, entry.value)
            && !text.contains("{{")
            && !text.contains("{%")
            && let Err(error) = text.parse::<Size>()
        {
            texts.reader.error(entry.span, format!("{SIM_USE}: {error}"));
        }
    }
    Node::read(texts, entry)
}

/// What a task on a simulated card says that it uses.
const SIM_USE: &str = "FEDFLOW_SIM_USE";

/// Reports a variable that Fedflow itself sets for each task: it would be overridden without a word.
pub(super) fn refuse_own_variable(texts: &mut Texts, entry: Entry<'_>) {
    let hint = match entry.key {
        SIM_USE => return,
        "CUDA_VISIBLE_DEVICES" | "CUDA_DEVICE_ORDER" => {
            "a task sees the cards that it has leased; `device` ties it to one"
        }
        key if key.starts_with("FEDFLOW_") => {
            "names that begin with FEDFLOW_ are kept for what it tells its tasks"
        }
        _ => return,
    };
    let message = format!("{:?} is set by Fedflow for each task", entry.key);
    texts.reader.error_with_hint(entry.key_span, message, hint);
}

/// A task has a worker and a kind, or a command.
fn read_program(
    texts: &mut Texts,
    table: &mut Table<'_>,
    worker: Option<Property<String>>,
    kind: Option<Property<String>>,
) -> Option<ProgramTable> {
    let has = |table: &mut Table<'_>, key| table.get(key).map(|entry| entry.key_span);
    let (has_worker, has_kind) = (has(table, "worker"), has(table, "kind"));
    let (command, load) = (table.get("command"), table.get("load-command"));
    if let (None, Some(_), Some(span)) = (command, has_worker.or(has_kind), has(table, "env")) {
        let hint = "env on [workers.NAME] is its environment; params reach its task";
        texts.reader.error_with_hint(span, "a task with a worker takes no env", hint);
    }
    let span = table.span;
    match (command, has_worker.or(has_kind)) {
        (Some(command), None) => {
            for key in ["params", "train-params"] {
                if let Some(span) = has(table, key) {
                    let hint = "give them as arguments, such as \"--lr\", \"{{ lr }}\", or as env = { LR = \"{{ lr }}\" }";
                    let message = format!("a task with a command takes no {key}");
                    texts.reader.error_with_hint(span, message, hint);
                }
            }
            if let Some(span) = has(table, "keep") {
                let hint = "a worker can be kept: worker = \"..\" and kind = \"..\" instead of a command";
                let message = "a task with a command is a new process each time: nothing of it can be kept";
                texts.reader.error_with_hint(span, message, hint);
            }
            let load = load.map(|load| read_command(texts, load));
            let train = read_command(texts, command)?;
            Some(ProgramTable::Command { load: load.flatten(), train })
        }
        (Some(command), Some(_)) => {
            let message = "a task has a worker and a kind, or a command, not both";
            texts.reader.error(command.key_span, message);
            None
        }
        (None, _) if load.is_some() => {
            let span = load.map_or(span, |load| load.key_span);
            let hint = "command = [..] runs in the train phase, load-command before it";
            texts.reader.error_with_hint(span, "a load-command needs a command", hint);
            None
        }
        (None, None) => {
            let hint = "worker = \"..\" and kind = \"..\", or command = [\"python3\", \"train.py\"]";
            texts.reader.error_with_hint(span, "this task does not say what runs it", hint);
            None
        }
        (None, Some(_)) if has_kind.is_none() => {
            let hint = "kind = \"..\" names one of the task kinds that the worker lists";
            texts.reader.error_with_hint(span, "this task has a worker, but no kind", hint);
            None
        }
        (None, Some(_)) if has_worker.is_none() => {
            let hint = "worker = \"NAME\" means the table [workers.NAME]";
            texts.reader.error_with_hint(span, "this task has a kind, but no worker", hint);
            None
        }
        (None, Some(_)) => Some(ProgramTable::Worker { worker: worker?, kind: kind? }),
    }
}

fn read_command(texts: &mut Texts, entry: Entry<'_>) -> Option<Vec<Property<Argument>>> {
    let example = "[\"python3\", \"train.py\"]";
    // Looked at first: an argument that is a bare number is most likely a mistake in the list.
    texts.reader.texts(entry, example)?;
    let elements = texts.reader.list(entry, "a list of texts")?;
    if elements.is_empty() {
        texts.reader.error_with_hint(entry.span, "this command is empty", format!("for example: {example}"));
        return None;
    }
    elements.into_iter().map(|element| Property::read(texts, element)).collect()
}
