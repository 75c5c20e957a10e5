//! Judges what follows the intact part of a journal: a tail that a crash has torn, or damage.

use std::io::{self, BufRead};

use crate::store::journal::line::{Found, Hidden, Lines, durable_before, hidden_record, sealed_length};

/// How long a torn tail can be: what the writer leaves unsynced at most, and some room.
pub(super) const MAX_TORN_TAIL: u64 = 16 << 20;

/// Judges the line that was just found and is not intact, and all that follows it. Record `number` should stand there.
/// Returns how many bytes a torn tail has, or why it is damage.
///
/// A crash may lose any of what was written and not synced, and keep what was written later: a page of zeros with intact
/// lines behind it. What was synced it keeps. So it is damage if an intact line that follows was written when this record
/// was on the disk, or if a line that follows does not tell.
pub(super) fn judge(
    lines: &mut Lines<impl BufRead>,
    mut found: Found,
    number: u64,
) -> io::Result<Result<u64, String>> {
    let offset = lines.offset;
    while found != Found::End {
        let is_first = lines.offset == offset;
        let intact = sealed_length(&lines.text).and_then(|length| lines.text.get(..length));
        let hidden = match intact.filter(|_| !is_first) {
            Some(line) => Hidden::Record(line),
            None => hidden_record(&lines.text),
        };
        match hidden {
            Hidden::Record(line) if durable_before(line).is_none_or(|durable| durable >= number) => {
                let line = lines.number;
                return Ok(Err(match is_first {
                    true => "bytes of it were lost or changed".into(),
                    false => format!("its checksum is wrong, and line {line} after it is intact"),
                }));
            }
            Hidden::TooMuch => return Ok(Err("bytes of it were lost or changed".into())),
            Hidden::Record(_) | Hidden::Nothing => {}
        }
        let bytes = lines.next_offset - offset;
        if bytes > MAX_TORN_TAIL {
            return Ok(Err(format!("more than {bytes} bytes from here on are no records")));
        }
        found = lines.read()?;
    }
    Ok(Ok(lines.next_offset - offset))
}
