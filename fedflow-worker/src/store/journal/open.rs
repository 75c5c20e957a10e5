//! Opens a journal for reading, and reads its head.

use std::fs::File;
use std::io::BufReader;
use std::path::Path;

use serde::Deserialize;

use super::head::{FORMAT_VERSION, Head};
use super::journal_error::{JournalError, io_error};
use super::line::{self, Found, Lines};
use crate::store::run_dir::{JOURNAL, RunDir};

pub(in crate::store) fn open_lines(run_dir: &RunDir) -> Result<Lines<BufReader<File>>, JournalError> {
    let file =
        run_dir.private().read(JOURNAL).map_err(|source| io_error("open", run_dir.journal(), source))?;
    Ok(Lines::new(BufReader::with_capacity(1 << 18, file)))
}

pub(in crate::store) fn read_head(
    lines: &mut Lines<BufReader<File>>,
    path: &Path,
) -> Result<Head, JournalError> {
    /// What every version's head has.
    #[derive(Deserialize)]
    struct Version {
        fedflow: u64,
    }

    let found = lines.read().map_err(|source| io_error("read", path.into(), source))?;
    if matches!(found, Found::End | Found::Unended) {
        return Err(JournalError::NoHead(path.into()));
    }
    let damaged = |reason: String| JournalError::Damaged { path: path.into(), offset: 0, line: 1, reason };
    if line::sealed_length(&lines.text).is_none() {
        return Err(damaged("the head's checksum is wrong".into()));
    }
    let Version { fedflow: version } =
        serde_json::from_slice(&lines.text).map_err(|error| damaged(format!("it is no head: {error}")))?;
    if version > FORMAT_VERSION {
        return Err(JournalError::Newer { path: path.into(), version });
    }
    serde_json::from_slice(&lines.text)
        .map_err(|error| damaged(format!("the head is not understood: {error}")))
}
