//! `LogFilter`: which traces are written, by the variable `FEDFLOW_LOG` or by the key `debug`.

use std::ffi::OsStr;

use tracing_subscriber::filter::{LevelFilter, Targets};

/// What the target of every trace of Fedflow begins with.
const FEDFLOW: &str = "fedflow";

/// The levels by name.
const LEVELS: [(&str, LevelFilter); 6] = [
    ("off", LevelFilter::OFF),
    ("error", LevelFilter::ERROR),
    ("warn", LevelFilter::WARN),
    ("info", LevelFilter::INFO),
    ("debug", LevelFilter::DEBUG),
    ("trace", LevelFilter::TRACE),
];

/// The variable holds something else than levels.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "FEDFLOW_LOG: {0:?} is neither a level (off, error, warn, info, debug, trace) nor TARGET=LEVEL with a target that begins \
     with `fedflow`, as in fedflow=debug or fedflow_worker::host=trace"
)]
pub(crate) struct LogFilterError(String);

/// The filter that the variable `FEDFLOW_LOG` asks for, or else the key `debug`; `None` if nothing is to be written.
///
/// # Errors
/// The variable is set to something else than levels.
pub(crate) fn log_filter(variable: Option<&OsStr>, debug: bool) -> Result<Option<Targets>, LogFilterError> {
    match variable {
        Some(text) => parse(&text.to_string_lossy()).map(Some),
        None if debug => Ok(Some(Targets::new().with_target(FEDFLOW, LevelFilter::DEBUG))),
        None => Ok(None),
    }
}

/// Reads directives that are separated by commas: a level for all of Fedflow, or a level for a target.
fn parse(text: &str) -> Result<Targets, LogFilterError> {
    let mut targets = Targets::new();
    for directive in text.split(',').map(str::trim).filter(|directive| !directive.is_empty()) {
        let (target, level) = directive.split_once('=').unwrap_or((FEDFLOW, directive));
        let level = LEVELS.iter().find(|(name, _)| name.eq_ignore_ascii_case(level.trim()));
        let Some((_, level)) = level.filter(|_| target.trim().starts_with(FEDFLOW)) else {
            return Err(LogFilterError(directive.to_owned()));
        };
        targets = targets.with_target(target.trim(), *level);
    }
    Ok(targets)
}

#[cfg(test)]
mod tests {
    use tracing::Level;

    use super::*;

    #[test]
    fn levels_hold_for_all_of_fedflow_or_for_a_target() {
        let all = parse("debug").unwrap();
        assert!(all.would_enable("fedflow_worker::host", &Level::DEBUG));
        assert!(!all.would_enable("fedflow_cli", &Level::TRACE));
        assert!(!all.would_enable("other", &Level::ERROR));
        let host = parse(" fedflow=info, fedflow_worker::host=TRACE,").unwrap();
        assert!(host.would_enable("fedflow_worker::host::starting", &Level::TRACE));
        assert!(!host.would_enable("fedflow_cli", &Level::DEBUG));
    }

    #[test]
    fn what_is_no_level_is_an_error_that_repeats_it() {
        for text in ["loud", "fedflow=loud", "debug,hyper=debug", "=debug"] {
            let error = parse(text).unwrap_err();
            assert!(text.ends_with(&error.0), "{error}");
        }
    }
}
