//! What is said of names that nothing has.

use fedflow_report::{ReplicatesError, ResultColumns, UnknownName};

use crate::commands::command_error::CommandError;
use crate::diagnostic::nearest;
use crate::view::escape;

/// No means can be made.
pub(super) fn refused(error: ReplicatesError, columns: &ResultColumns) -> CommandError {
    match error {
        ReplicatesError::Unknown(error) => unknown(&error),
        ReplicatesError::NoneUsual => {
            let params: Vec<String> = columns.params().map(escape).collect();
            let hint = match params.as_slice() {
                [] => "the tasks have no parameters: their run is of an earlier version, or has no matrix"
                    .into(),
                params => format!("name one: --over NAME; there is {}", params.join(", ")),
            };
            CommandError::refused(ReplicatesError::NoneUsual).hint(hint)
        }
        error => CommandError::refused(escape(&error.to_string())),
    }
}

/// A name is unknown; the most similar one is hinted at.
pub(super) fn unknown(error: &UnknownName) -> CommandError {
    let meant = nearest(&error.name, error.known.iter().map(String::as_str));
    CommandError::refused(escape(&error.to_string()))
        .maybe_hint(meant.map(|name| format!("did you mean {:?}?", escape(name))))
}
