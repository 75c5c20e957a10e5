//! `Fnv1a`: the hash by which groups and families of tasks are known again.

use std::fmt::{self, Write};

/// FNV-1a with 64 bits (Fowler, Noll and Vo) of the text that is written to it. It is the same in every version and on every
/// machine, but not cryptographic.
#[derive(Debug, Clone, Copy)]
pub struct Fnv1a(u64);

impl Default for Fnv1a {
    fn default() -> Self {
        Self(0xcbf2_9ce4_8422_2325)
    }
}

impl Fnv1a {
    /// The hash of what was written so far, with another text behind it.
    #[must_use]
    pub fn with(self, text: &str) -> Self {
        let step = |hash: u64, byte: u8| (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3);
        Self(text.bytes().fold(self.0, step))
    }

    /// The hash.
    #[must_use]
    pub fn value(self) -> u64 {
        self.0
    }
}

impl Write for Fnv1a {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        *self = self.with(text);
        Ok(())
    }
}
