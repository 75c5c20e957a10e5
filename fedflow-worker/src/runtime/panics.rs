//! Catches panics of the author's code and describes them.

use std::any::Any;
use std::cell::RefCell;
use std::panic::{self, AssertUnwindSafe};
use std::sync::Once;

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
        match PANIC_LOCATION.with(|cell| cell.borrow_mut().take()) {
            Some(place) => format!("panicked at {place}: {message}"),
            // It happened on another thread and was handed on.
            None => format!("panicked: {message}"),
        }
    })
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
        assert!(error.contains("panics.rs:") && error.ends_with(": no data"), "{error}");
    }

    #[test]
    fn a_panic_of_another_thread_has_its_message() {
        let error = catch(|| {
            let other = std::thread::spawn(|| assert!(std::thread::panicking(), "there"));
            if let Err(payload) = other.join() {
                panic::resume_unwind(payload);
            }
        });
        assert_eq!(error, Err("panicked: there".into()));
    }
}
