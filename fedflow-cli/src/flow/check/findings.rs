//! `Findings`: what was found of a flow, and the one place where it is written down.

use std::collections::HashSet;
use std::sync::Arc;

use crate::diagnostic::{Diagnostic, Diagnostics, SourceFile, Span};

/// What was found of a flow.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Findings {
    /// What is wrong.
    pub errors: Diagnostics,
    /// What is most likely wrong.
    pub warnings: Diagnostics,
}

/// Findings while a flow is checked. Each place is reported once, however many tasks have it.
pub(super) struct Reports<'a> {
    file: &'a Arc<SourceFile>,
    /// Whether the flow has been run before, in part.
    is_recorded: bool,
    pub(super) found: Findings,
    reported: HashSet<Span>,
}

impl<'a> Reports<'a> {
    pub(super) fn new(file: &'a Arc<SourceFile>, is_recorded: bool) -> Self {
        Self { file, is_recorded, found: Findings::default(), reported: HashSet::new() }
    }

    /// Something is wrong.
    pub(super) fn error(&mut self, span: Span, message: impl Into<String>, hint: Option<String>) {
        if self.reported.insert(span) {
            self.found.errors.push(Diagnostic::at(self.file, span, message).maybe_hint(hint));
        }
    }

    /// Something may be meant, but hardly is.
    pub(super) fn warning(&mut self, span: Span, message: impl Into<String>, hint: Option<String>) {
        if self.reported.insert(span) {
            let warning = Diagnostic::at(self.file, span, message).maybe_hint(hint);
            self.found.warnings.push(warning.as_warning());
        }
    }

    /// Some tasks will fail. That is no reason to run nothing of a flow of which a part was run before.
    pub(super) fn failing(&mut self, span: Span, message: impl Into<String>, hint: Option<String>) {
        if self.is_recorded {
            self.warning(span, message, hint);
        } else {
            self.error(span, message, hint);
        }
    }
}
