//! Reads the kernel's short files, those below `/proc` and `/sys`.

use std::fs::File;
use std::io::{self, Read as _};
#[cfg(feature = "host")]
use std::os::unix::fs::FileExt as _;
use std::path::Path;

/// Reads a short file of the kernel's. Such a file has no length that could be asked for. This runs after every task.
pub(crate) fn read_short(path: impl AsRef<Path>) -> io::Result<Vec<u8>> {
    let mut file = File::open(path)?;
    gather(|buffer, _| file.read(buffer))
}

/// Reads an open file of the kernel's again. The kernel makes its text anew for each read from the beginning.
#[cfg(feature = "host")]
pub(crate) fn read_again(file: &File) -> io::Result<Vec<u8>> {
    gather(|buffer, place| file.read_at(buffer, place))
}

fn gather(mut read: impl FnMut(&mut [u8], u64) -> io::Result<usize>) -> io::Result<Vec<u8>> {
    let mut text = vec![0; 1024];
    let mut length = 0;
    loop {
        match read(&mut text[length..], length as u64) {
            Ok(0) => break,
            Ok(more) => length += more,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
        if length == text.len() {
            text.resize(2 * length, 0);
        }
    }
    text.truncate(length);
    Ok(text)
}
