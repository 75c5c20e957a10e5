//! Catches panics of the author's code and describes them.

use std::any::Any;
use std::cell::RefCell;
use std::ffi::OsString;
use std::panic::{self, AssertUnwindSafe};
use std::sync::Once;

use crate::processes::own_process::own_environment;

thread_local! {
    static PANIC_LOCATION: RefCell<Option<String>> = const { RefCell::new(None) };
}

/// Calls a function. A panic in it becomes an error that says what happened and where.
pub(super) fn catch<R>(call: impl FnOnce() -> R) -> Result<R, String> {
    static HOOK: Once = Once::new();
    HOOK.call_once(|| {
        let before = panic::take_hook();
        panic::set_hook(Box::new(move |info| {
            let place = info.location().map(ToString::to_string);
            PANIC_LOCATION.with(|cell| *cell.borrow_mut() = place);
            // It still goes to stderr.log, with a backtrace if the user asked for one.
            before(info);
        }));
    });
    PANIC_LOCATION.with(|cell| cell.borrow_mut().take());
    // A task that panicked may be half-changed. It is the user's own value, and nothing but `Drop` and, after an
    // interrupt, a retry by the supervisor touches it again.
    panic::catch_unwind(AssertUnwindSafe(call)).map_err(|payload| {
        let message = message_of(payload.as_ref());
        let place = PANIC_LOCATION.with(|cell| cell.borrow_mut().take());
        // Without a place, it happened on another thread and was handed on.
        let place = place.map(|place| format!(" at {place}")).unwrap_or_default();
        format!("panicked{place}: {message} ({})", where_backtrace_lies(own_environment::get(BACKTRACE)))
    })
}

/// Has the runtime of Rust write a backtrace.
const BACKTRACE: &str = "RUST_BACKTRACE";

/// Where the backtrace of a panic is found, given what the variable is set to.
fn where_backtrace_lies(variable: Option<OsString>) -> &'static str {
    match variable {
        Some(value) if value != "0" => "backtrace in stderr.log",
        _ => "RUST_BACKTRACE=1 in the worker's `env` puts a backtrace into stderr.log",
    }
}

fn message_of(payload: &(dyn Any + Send)) -> String {
    if let Some(text) = payload.downcast_ref::<&str>() {
        (*text).to_owned()
    } else if let Some(text) = payload.downcast_ref::<String>() {
        text.clone()
    } else {
        "its payload is no text".to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_tells_what_and_where() {
        assert_eq!(catch(|| 5), Ok(5));
        let error = catch(|| panic!("no {}", "data")).unwrap_err();
        assert!(error.starts_with("panicked at "), "{error}");
        assert!(error.contains("panics.rs:") && error.contains(": no data ("), "{error}");
    }

    #[test]
    fn a_panic_of_another_thread_has_its_message() {
        let error = catch(|| {
            let other = std::thread::spawn(|| assert!(std::thread::panicking(), "there"));
            if let Err(payload) = other.join() {
                panic::resume_unwind(payload);
            }
        });
        assert!(error.unwrap_err().starts_with("panicked: there ("));
    }

    #[test]
    fn a_panic_says_where_its_backtrace_lies() {
        assert_eq!(where_backtrace_lies(Some("full".into())), "backtrace in stderr.log");
        for without in [None, Some("0".into())] {
            assert!(where_backtrace_lies(without).starts_with("RUST_BACKTRACE=1"));
        }
    }
}
