//! `WorkerEntry`: a worker program as a flow file declares it.

use std::collections::BTreeMap;
use std::num::NonZeroU32;
use std::path::{Path, PathBuf};

use fedflow_core::{Limits, Reuse, SELF_WORKER};

use super::super::keys::{self, COMMAND, CWD, ENV, KINDS, PROTOCOL, Place, REUSE, REUSE_LIMIT};
use super::super::values::{FlowReader, Property, value_of};
use super::command_table::{CommandTable, program_path};
use super::shared_keys::LimitKeys;
use super::task_env::read_worker_env;
use crate::diagnostic::Span;
use crate::toml_reader::{Located, TomlEntry, TomlTable};

/// A worker program.
#[derive(Debug, Clone)]
pub struct WorkerEntry {
    /// The program and its arguments, rendered; see [`program`](Self::program).
    pub command: Vec<String>,
    /// The protocol that the worker speaks.
    pub protocol: WorkerProtocol,
    /// The task kinds that the flow file declares; `None` if it declares none.
    pub kinds: Option<Vec<String>>,
    /// Limits for what its tasks and their groups leave open.
    pub limits: Limits,
    /// Whether a process of the worker serves several tasks, one after the other; `None` if it serves one.
    pub reuse: Option<Reuse>,
    /// Variables that are added to its environment.
    pub env: BTreeMap<String, String>,
    /// The current directory of its processes, as it is written; `None`: each task's own.
    pub cwd: Option<String>,
    pub(crate) command_span: Span,
    pub(crate) cwd_span: Option<Span>,
    /// Where the program and its arguments stand.
    pub(crate) argument_spans: Vec<Span>,
}

/// The protocol between Fedflow and a worker program.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum WorkerProtocol {
    /// ipc-channel, as every worker in Rust speaks it.
    #[default]
    Ipc,
    /// One JSON object a line.
    Json,
}

impl WorkerEntry {
    /// Reads one table of `[workers]`. `None` if it has no command; errors are reported.
    pub(super) fn read(reader: &mut FlowReader, entry: TomlEntry<'_>) -> Option<Self> {
        let mut table = reader.toml.table(Place::Worker.what(), entry)?;
        if entry.key == SELF_WORKER {
            let message =
                format!("a worker cannot be named {SELF_WORKER:?}: it means the running program itself");
            reader.toml.error(entry.key_span, message);
        }
        reader.visible.functions = false;
        let example = "command = [\"target/release/my-worker\"]";
        let command = COMMAND.required(&mut table, example, &mut reader.toml);
        let command_span = command.map(|entry| entry.span);
        let command =
            command.and_then(|entry| CommandTable::read(reader, entry, "[\"target/release/my-worker\"]"));
        let scope = reader.worker_scope();
        let arguments = command.as_ref().and_then(|command| reader.found(command.texts(&scope)));
        let cwd = CWD.entry(&mut table).and_then(|entry| reader.with_home(entry, Property::<String>::read));
        let cwd_span = cwd.as_ref().map(|cwd| cwd.span);
        let cwd = cwd.and_then(|cwd| reader.found(cwd.get(&scope)));
        let protocol = read_protocol(reader, &mut table);
        let kinds = KINDS.entry(&mut table).and_then(|entry| reader.toml.texts(entry, "[\"train\"]"));
        let env = ENV.entry(&mut table).map(|entry| read_worker_env(reader, entry)).unwrap_or_default();
        let limits = LimitKeys::read(reader, &mut table);
        let limits = limits.get(&scope).unwrap_or_else(|mistake| {
            reader.toml.error(mistake.span, mistake.message);
            Limits::default()
        });
        let reuse = read_reuse(reader, &mut table);
        keys::finish(table, reader);
        Some(Self {
            argument_spans: command.iter().flat_map(CommandTable::spans).collect(),
            command: arguments?,
            protocol,
            kinds: kinds.map(|kinds| kinds.into_iter().map(|kind| kind.value).collect()),
            limits,
            reuse,
            env,
            cwd,
            cwd_span,
            command_span: command_span.unwrap_or(entry.key_span),
        })
    }

    /// The running program as its own worker, which needs no command.
    pub(crate) fn this_program() -> Self {
        Self {
            command: Vec::new(),
            protocol: WorkerProtocol::Ipc,
            kinds: None,
            limits: Limits::default(),
            reuse: None,
            env: BTreeMap::new(),
            cwd: None,
            command_span: Span::default(),
            cwd_span: None,
            argument_spans: Vec::new(),
        }
    }

    /// The program and its arguments, ready to be started: a program with a path is relative to the flow file.
    /// `None` if the command is empty.
    #[must_use]
    pub fn program(&self, base_dir: &Path) -> Option<(PathBuf, &[String])> {
        let (program, arguments) = self.command.split_first()?;
        Some((program_path(base_dir, program).unwrap_or_else(|| program.into()), arguments))
    }

    /// The current directory of its processes, an absolute path; `None`: each task's own.
    #[must_use]
    pub fn current_dir(&self, base_dir: &Path) -> Option<PathBuf> {
        self.cwd.as_ref().map(|cwd| base_dir.join(cwd))
    }
}

fn read_protocol(reader: &mut FlowReader, table: &mut TomlTable<'_>) -> WorkerProtocol {
    let name = PROTOCOL.entry(table).and_then(|entry| reader.toml.text(entry));
    let Some(Located { value: name, span }) = name else { return WorkerProtocol::Ipc };
    match name.as_str() {
        "ipc" => WorkerProtocol::Ipc,
        "json" => WorkerProtocol::Json,
        _ => {
            let hint = "\"ipc\" for a worker in Rust (the default), \"json\" for any other";
            reader.toml.error_with_hint(span, format!("there is no protocol {name:?}"), hint);
            WorkerProtocol::Ipc
        }
    }
}

/// `reuse = true`, with or without a limit.
fn read_reuse(reader: &mut FlowReader, table: &mut TomlTable<'_>) -> Option<Reuse> {
    let asked = REUSE.entry(table).is_some();
    let reuse = REUSE.read(reader, table);
    let limit = REUSE_LIMIT.read(reader, table);
    if let Some(limit) = limit.as_ref().filter(|_| !asked) {
        let message = "a reuse-limit needs reuse = true";
        let hint = "reuse = true has a process of this worker serve several tasks, reuse-limit says how many";
        reader.toml.error_with_hint(limit.span, message, hint);
    }
    let scope = reader.worker_scope();
    let values =
        value_of(reuse.as_ref(), &scope).and_then(|reuse| Ok((reuse, value_of(limit.as_ref(), &scope)?)));
    match values {
        Ok((Some(true), limit)) => Some(Reuse { limit: limit.map(NonZeroU32::get) }),
        Ok(_) => None,
        Err(mistake) => {
            reader.toml.error(mistake.span, mistake.message);
            None
        }
    }
}
