//! `Fnv1a`: the hash by which groups and families of tasks are known again.

use std::fmt::{self, Write};

/// FNV-1a with 64 bits (Fowler, Noll and Vo). It is the same in every version and on every machine, but not
/// cryptographic.
pub(crate) struct Fnv1a(u64);

impl Fnv1a {
    pub(crate) fn new() -> Self {
        Self(0xcbf2_9ce4_8422_2325)
    }

    pub(crate) fn value(&self) -> u64 {
        self.0
    }
}

impl Write for Fnv1a {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for byte in text.bytes() {
            self.0 = (self.0 ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3);
        }
        Ok(())
    }
}
