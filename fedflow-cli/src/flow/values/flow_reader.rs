//! `FlowReader`: a flow file while it is read, with its templates and the names that they can use.

use std::borrow::Cow;
use std::sync::Arc;

use toml::de::DeValue;

use super::super::templates::{
    FLOW_DIR, FlowScope, Function, GroupScope, INDEX, ROUND, ROUNDS, Scope, Template, TemplateCause,
    TemplateError, TemplateSet, builtin_names,
};
use crate::diagnostic::{Diagnostic, Span, did_you_mean};
use crate::settings::at_home;
use crate::toml_reader::{TomlEntry, TomlReader};

/// A flow file while it is read. The errors found so far are in `toml`.
#[derive(Debug)]
pub(crate) struct FlowReader {
    pub(crate) toml: TomlReader,
    /// The names that every template can use.
    pub(crate) flow: Arc<FlowScope>,
    /// The templates that were compiled so far.
    pub(crate) templates: TemplateSet,
    /// The names that templates can use at the place that is being read.
    pub(crate) visible: VisibleNames,
}

/// The names that templates can use at one place of a flow file.
#[derive(Debug, Clone, Default)]
pub(crate) struct VisibleNames {
    /// Whether the place is inside a repeat.
    pub(crate) repeat: bool,
    /// Whether the place is in a group, or in a task of one.
    pub(crate) in_group: bool,
    /// The variables of `[vars]`, and of the matrices around the place.
    pub(crate) outer: Vec<String>,
    /// The variables of the matrix on the table itself.
    pub(crate) matrix: Vec<String>,
    /// Whether `workdir()` and `result()` can be called.
    pub(crate) functions: bool,
}

/// A mistake that shows only when a value is computed, and its place in the flow file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Mistake {
    pub(crate) span: Span,
    pub(crate) message: String,
    pub(crate) cause: TemplateCause,
    /// What may have been meant.
    pub(crate) hint: Option<String>,
}

impl FlowReader {
    /// The number of errors found so far.
    pub(crate) fn errors(&self) -> usize {
        self.toml.found.len()
    }

    /// What the templates of a worker can use, which is the same for all tasks: the directory of the flow file.
    pub(crate) fn worker_scope(&self) -> Scope {
        Scope::of_group(&Arc::new(GroupScope::of_flow(&self.flow)))
    }

    /// A value that was rendered; a mistake in it is reported.
    pub(crate) fn found<T>(&mut self, rendered: Result<T, Mistake>) -> Option<T> {
        let error = match rendered {
            Ok(value) => return Some(value),
            Err(Mistake { span, message, hint, .. }) => {
                Diagnostic::at(&self.toml.file, span, message).maybe_hint(hint)
            }
        };
        self.toml.found.push(error);
        None
    }

    /// Reads a value of which a literal `~` at the beginning is the home directory.
    pub(crate) fn with_home<R>(
        &mut self,
        entry: TomlEntry<'_>,
        read: impl FnOnce(&mut Self, TomlEntry<'_>) -> R,
    ) -> R {
        let DeValue::String(text) = entry.value else { return read(self, entry) };
        match at_home(text) {
            Some(text) => read(self, TomlEntry { value: &DeValue::String(Cow::Owned(text)), ..entry }),
            None => read(self, entry),
        }
    }

    /// Compiles a text. `None` if it has nothing to fill in, and if it is wrong, which is reported.
    pub(super) fn compile(&mut self, entry: TomlEntry<'_>, text: &str) -> Option<Template> {
        match self.templates.compile(text) {
            Ok(template) => {
                let template = template?;
                for name in template.names() {
                    if let Err(error) = self.visible.check(name, &self.toml, entry.span) {
                        self.toml.found.push(error);
                    }
                }
                Some(template)
            }
            Err(TemplateError { message, .. }) => {
                self.toml.error(entry.span, format!("this template cannot be read: {message}"));
                None
            }
        }
    }
}

impl VisibleNames {
    /// The names inside a table at this place, whose matrix is read next.
    pub(crate) fn inside(&self) -> Self {
        let outer = self.outer.iter().chain(&self.matrix).cloned().collect();
        Self { outer, matrix: Vec::new(), in_group: true, repeat: self.repeat, functions: false }
    }

    fn all(&self) -> Vec<&str> {
        let mut names: Vec<&str> = self.matrix.iter().chain(&self.outer).map(String::as_str).collect();
        names.push(FLOW_DIR);
        if self.in_group {
            names.push(INDEX);
        }
        if self.repeat {
            names.extend([ROUND, ROUNDS]);
        }
        if self.functions {
            names.extend(Function::ALL.map(Function::name));
        }
        names
    }

    fn check(&self, name: &str, reader: &TomlReader, span: Span) -> Result<(), Diagnostic> {
        let known = self.all();
        if known.contains(&name) || builtin_names().any(|builtin| builtin == name) {
            return Ok(());
        }
        let error = |message: String| Diagnostic::at(&reader.file, span, message);
        Err(match name {
            _ if Function::ALL.into_iter().any(|function| function.name() == name) => error(format!(
                "{name}() cannot be called here"
            ))
            .hint(format!(
                "{name}() stands only in params, train-params, command, env, until, and in when of a group"
            )),
            ROUND | ROUNDS => error(format!("there is no {name} here"))
                .hint("it exists inside a group with `repeat`, and counts from 1"),
            _ => error(format!("there is no variable {name:?} here")).maybe_hint(did_you_mean(name, known)),
        })
    }
}

impl Mistake {
    pub(crate) fn new(span: Span, message: impl Into<String>) -> Self {
        Self { span, message: message.into(), cause: TemplateCause::Wrong, hint: None }
    }

    /// A template that fails.
    pub(super) fn of_template(span: Span, error: TemplateError) -> Self {
        let TemplateError { cause, hint, .. } = error.clone();
        Self { span, message: format!("this template fails: {error}"), cause, hint }
    }
}
