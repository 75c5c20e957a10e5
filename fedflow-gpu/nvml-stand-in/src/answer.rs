//! Answers a call: reads the script, finds the card, and writes the value through the caller's pointer.

use std::ffi::{c_char, c_uint};
use std::panic::{AssertUnwindSafe, catch_unwind};

use crate::handle::{Device, Handle};
use crate::script::{Card, Code, Script};

/// Runs a function on the script and turns its outcome into `nvmlReturn_t`. A panic does not cross into C.
pub(crate) fn answer(function: impl FnOnce(&Script) -> Result<(), Code>) -> c_uint {
    let outcome = AssertUnwindSafe(|| {
        let script = Script::read()?;
        script.driver_error.map_or(Ok(()), Err)?;
        function(&script)
    });
    match catch_unwind(outcome) {
        Ok(Ok(())) => 0,
        Ok(Err(code)) => code as c_uint,
        Err(_) => Code::Unknown as c_uint,
    }
}

/// Asks a card for a value and writes it to `target`.
///
/// # Safety
/// `target` is null or can be written.
pub(crate) unsafe fn tell<T>(
    name: &str,
    device: Device,
    target: *mut T,
    value: impl FnOnce(&Card) -> Result<T, Code>,
) -> c_uint {
    answer(|script| {
        let card = Handle::from_device(device).ok_or(Code::InvalidArgument)?.find(script)?;
        card.check(name)?;
        // SAFETY: the caller's promise.
        unsafe { write(target, value(card)?) }
    })
}

/// # Safety
/// `target` is null or can be written.
pub(crate) unsafe fn write<T>(target: *mut T, value: T) -> Result<(), Code> {
    if target.is_null() {
        return Err(Code::InvalidArgument);
    }
    // SAFETY: not null, and the caller's promise.
    unsafe { target.write(value) };
    Ok(())
}

/// Writes a text as a C string.
///
/// # Safety
/// `buffer` is null or `length` characters long.
pub(crate) unsafe fn write_text(buffer: *mut c_char, length: c_uint, text: &str) -> Result<(), Code> {
    if buffer.is_null() {
        return Err(Code::InvalidArgument);
    }
    if text.len() >= length as usize {
        return Err(Code::InsufficientSize);
    }
    // SAFETY: the text and the zero fit into the buffer, by the check above and the caller's promise.
    unsafe {
        buffer.cast::<u8>().copy_from_nonoverlapping(text.as_ptr(), text.len());
        buffer.add(text.len()).write(0);
    }
    Ok(())
}

/// Asks a card for a text.
///
/// # Safety
/// `buffer` is null or `length` characters long.
pub(crate) unsafe fn tell_text(
    name: &str,
    device: Device,
    buffer: *mut c_char,
    length: c_uint,
    value: impl FnOnce(&Card) -> &str,
) -> c_uint {
    answer(|script| {
        let card = Handle::from_device(device).ok_or(Code::InvalidArgument)?.find(script)?;
        card.check(name)?;
        // SAFETY: the caller's promise.
        unsafe { write_text(buffer, length, value(card)) }
    })
}

#[cfg(test)]
mod tests {
    use std::ffi::CStr;

    use super::*;

    #[test]
    fn a_text_that_does_not_fit_is_refused() {
        let mut buffer = [1 as c_char; 4];
        // SAFETY: the buffer has the given length.
        unsafe {
            assert_eq!(write_text(buffer.as_mut_ptr(), 4, "abcd"), Err(Code::InsufficientSize));
            assert_eq!(buffer, [1; 4]);
            assert_eq!(write_text(buffer.as_mut_ptr(), 4, "abc"), Ok(()));
            assert_eq!(CStr::from_ptr(buffer.as_ptr()).to_str(), Ok("abc"));
            assert_eq!(write_text(std::ptr::null_mut(), 4, "abc"), Err(Code::InvalidArgument));
        }
    }
}
