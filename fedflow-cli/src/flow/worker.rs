//! Worker programs, as a flow file declares them.

use std::collections::BTreeMap;
use std::num::NonZeroU32;
use std::path::{Path, PathBuf};

use fedflow_core::{Limits, Reuse, SELF_WORKER};

use super::document::refuse_own_variable;
use super::plan::program_path;
use super::property::{Fault, LimitKeys, Property, Texts, Vocabulary, value_of};
use super::scope::Scope;
use crate::diagnostic::Span;
use crate::table::{Entry, Located, Table};

/// A worker program.
#[derive(Debug, Clone)]
pub struct WorkerEntry {
    /// The program and its arguments, as they are written; see [`program`](Self::program).
    pub command: Vec<String>,
    /// What it speaks.
    pub protocol: WorkerProtocol,
    /// The task kinds that it declares.
    pub kinds: Option<Vec<String>>,
    /// Limits for what its tasks and their groups leave open.
    pub limits: Limits,
    /// Whether a process of it serves several tasks, one after the other.
    pub reuse: Option<Reuse>,
    /// Variables that are added to its environment.
    pub env: BTreeMap<String, String>,
    pub(crate) command_span: Span,
}

/// What a worker program speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum WorkerProtocol {
    /// ipc-channel, as every worker in Rust does.
    #[default]
    Ipc,
    /// One JSON object a line.
    Json,
}

impl WorkerEntry {
    /// Reads one table of `[workers]`; what is wrong is noted in `texts`.
    pub(crate) fn read(texts: &mut Texts, entry: Entry<'_>) -> Option<Self> {
        let mut table = texts.reader.table("a worker", entry)?;
        if entry.key == SELF_WORKER {
            let message =
                format!("a worker cannot be named {SELF_WORKER:?}: it means the running program itself");
            texts.reader.error(entry.key_span, message);
        }
        texts.vocabulary = Vocabulary::default();
        let example = "command = [\"target/release/my-worker\"]";
        let command = table.require("command", example, &mut texts.reader);
        let command_span = command.map(|entry| entry.span);
        let command = command.and_then(|entry| texts.reader.texts(entry, "[\"target/release/my-worker\"]"));
        if let (Some([]), Some(span)) = (command.as_deref(), command_span) {
            texts.reader.error_with_hint(span, "this command is empty", format!("for example: {example}"));
        }
        let protocol = match table.get("protocol").and_then(|entry| texts.reader.text(entry)) {
            None => WorkerProtocol::Ipc,
            Some(Located { value, span }) => match value.as_str() {
                "ipc" => WorkerProtocol::Ipc,
                "json" => WorkerProtocol::Json,
                _ => {
                    let hint = "\"ipc\" for a worker in Rust (the default), \"json\" for any other";
                    texts.reader.error_with_hint(span, format!("there is no protocol {value:?}"), hint);
                    WorkerProtocol::Ipc
                }
            },
        };
        let kinds = table.get("kinds").and_then(|entry| texts.reader.texts(entry, "[\"train\"]"));
        let env = table.get("env").map(|entry| read_env(texts, entry)).unwrap_or_default();
        let limits = LimitKeys::read(texts, &mut table);
        let limits = limits.get(&Scope::empty()).unwrap_or_else(|fault| {
            texts.reader.error(fault.span, fault.message);
            Default::default()
        });
        let reuse = read_reuse(texts, &mut table);
        table.finish(&mut texts.reader);
        Some(Self {
            command: command?.into_iter().map(|argument| argument.value).collect(),
            protocol,
            kinds: kinds.map(|kinds| kinds.into_iter().map(|kind| kind.value).collect()),
            limits,
            reuse,
            env,
            command_span: command_span.unwrap_or(entry.key_span),
        })
    }

    /// The running program as its own worker: it has no command.
    pub(crate) fn this_program() -> Self {
        Self {
            command: Vec::new(),
            protocol: WorkerProtocol::Ipc,
            kinds: None,
            limits: Limits::default(),
            reuse: None,
            env: BTreeMap::new(),
            command_span: Span::default(),
        }
    }

    /// The program and its arguments, ready to be started: a program with a path is relative to the flow file.
    /// `None` if the command is empty.
    #[must_use]
    pub fn program(&self, base_dir: &Path) -> Option<(PathBuf, &[String])> {
        let (program, arguments) = self.command.split_first()?;
        Some((program_path(base_dir, program).unwrap_or_else(|| program.into()), arguments))
    }
}

/// `reuse = true`, with or without a limit.
fn read_reuse(texts: &mut Texts, table: &mut Table<'_>) -> Option<Reuse> {
    let asked = table.get("reuse").is_some();
    let reuse = Property::<bool>::optional(texts, table, "reuse");
    let limit = Property::<NonZeroU32>::optional(texts, table, "reuse-limit");
    if let Some(limit) = limit.as_ref().filter(|_| !asked) {
        let message = "a reuse-limit needs reuse = true";
        let hint = "reuse = true has a process of this worker serve several tasks, reuse-limit says how many";
        texts.reader.error_with_hint(limit.span, message, hint);
    }
    let scope = Scope::empty();
    let read = || Ok((value_of(reuse.as_ref(), &scope)?, value_of(limit.as_ref(), &scope)?));
    match read() {
        Ok((Some(true), limit)) => Some(Reuse { limit: limit.map(NonZeroU32::get) }),
        Ok(_) => None,
        Err(Fault { span, message }) => {
            texts.reader.error(span, message);
            None
        }
    }
}

fn read_env(texts: &mut Texts, entry: Entry<'_>) -> BTreeMap<String, String> {
    let Some(table) = texts.reader.table("an environment", entry) else { return BTreeMap::new() };
    let mut env = BTreeMap::new();
    for entry in table.entries() {
        refuse_own_variable(texts, entry);
        if entry.key.is_empty() || entry.key.contains(['=', '\0']) {
            texts.reader.error(entry.key_span, format!("{:?} cannot be the name of a variable", entry.key));
        } else if let Some(text) = texts.reader.text(entry) {
            if text.value.contains('\0') {
                texts.reader.error(text.span, "a variable cannot hold a zero byte");
            }
            env.insert(entry.key.into(), text.value);
        }
    }
    env
}
