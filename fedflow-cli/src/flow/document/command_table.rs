//! `CommandTable`: a command as it is written, whose arguments may be templates.

use std::path::{Path, PathBuf};

use fedflow_core::CommandLine;

use super::super::templates::Scope;
use super::super::values::{Arguments, FlowReader, Mistake, Property};
use crate::diagnostic::{SourceFile, Span};
use crate::toml_reader::TomlEntry;

/// A program and its arguments; at least the program.
#[derive(Debug)]
pub(crate) struct CommandTable(Vec<Property<Arguments>>);

impl CommandTable {
    /// Reads a command, such as `example`. `None` if it is wrong, which is reported.
    pub(super) fn read(reader: &mut FlowReader, entry: TomlEntry<'_>, example: &str) -> Option<Self> {
        // Checked first: an argument that is a bare number is most likely a mistake in the list.
        reader.toml.texts(entry, example)?;
        let elements = reader.toml.list(entry, "a list of texts")?;
        if elements.is_empty() {
            let hint = format!("for example: {example}");
            reader.toml.error_with_hint(entry.span, "this command is empty", hint);
            return None;
        }
        let arguments: Option<_> =
            elements.into_iter().map(|element| reader.with_home(element, Property::read)).collect();
        arguments.map(Self)
    }

    /// Where the program stands.
    pub(crate) fn program_span(&self) -> Option<Span> {
        self.0.first().map(|argument| argument.span)
    }

    /// Where the program and its arguments stand.
    pub(crate) fn spans(&self) -> impl Iterator<Item = Span> {
        self.0.iter().map(|argument| argument.span)
    }

    /// Where an argument stands of a command with so many; the program has place 0. The program's place if a template has
    /// made several arguments, or none.
    pub(crate) fn span_of(&self, place: usize, count: usize) -> Option<Span> {
        let place = if count == self.0.len() { place } else { 0 };
        self.0.get(place).map(|argument| argument.span)
    }

    /// Whether it is the same for all tasks.
    pub(crate) fn is_fixed(&self) -> bool {
        self.0.iter().all(|argument| argument.fixed().is_some())
    }

    /// The command of one task; a program with a path is relative to the flow file.
    pub(crate) fn render(&self, base_dir: &Path, scope: &Scope) -> Result<CommandLine, Mistake> {
        let mut arguments = self.texts(scope)?;
        if let Some(program) = arguments.first_mut() {
            *program = absolute_program(base_dir, program);
        }
        Ok(arguments.into())
    }

    /// The program as it is named, and its arguments.
    pub(crate) fn texts(&self, scope: &Scope) -> Result<Vec<String>, Mistake> {
        let mut texts = Vec::with_capacity(self.0.len());
        for argument in &self.0 {
            texts.extend(argument.get(scope)?.0);
        }
        match (texts.is_empty(), self.program_span()) {
            (true, Some(span)) => Err(Mistake::new(span, "nothing is left of this command")),
            _ => Ok(texts),
        }
    }

    /// The command with its templates as they are written.
    pub(crate) fn unrendered(&self, file: &SourceFile) -> CommandLine {
        let texts = |argument: &Property<Arguments>| match argument.fixed() {
            Some(Arguments(texts)) => texts.clone(),
            None => vec![as_written(argument, file)],
        };
        self.0.iter().flat_map(texts).collect()
    }

    /// The command of one task as far as it can be rendered; what cannot be stands in it as it is written.
    pub(crate) fn preview(&self, base_dir: &Path, scope: &Scope, file: &SourceFile) -> CommandLine {
        let texts = |argument: &Property<Arguments>| match argument.get(scope) {
            Ok(Arguments(texts)) => texts,
            Err(_) => vec![as_written(argument, file)],
        };
        let mut arguments: Vec<String> = self.0.iter().flat_map(texts).collect();
        if let Some(program) = arguments.first_mut() {
            *program = absolute_program(base_dir, program);
        }
        arguments.into()
    }
}

fn as_written(argument: &Property<Arguments>, file: &SourceFile) -> String {
    file.slice(argument.span).trim_matches(['"', '\'']).to_owned()
}

/// The path of a program that is named with a separator; `None` if it is looked for on PATH.
pub(crate) fn program_path(base_dir: &Path, program: &str) -> Option<PathBuf> {
    program.contains('/').then(|| base_dir.join(program))
}

fn absolute_program(base_dir: &Path, program: &str) -> String {
    // A directory that is not UTF-8 cannot stand in a command; the relative path is tried then.
    program_path(base_dir, program)
        .and_then(|path| path.into_os_string().into_string().ok())
        .unwrap_or_else(|| program.into())
}
