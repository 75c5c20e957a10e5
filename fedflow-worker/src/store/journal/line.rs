//! Lines of the journal: sealed with a checksum, checked, and read with a bound on their length.

use std::io::{self, BufRead, Write};

/// What stands between a line's members and its eight digits.
const CRC_MEMBER: &[u8] = b",\"crc\":\"";
/// What stands before the number of the last durable record, the last member but the checksum.
const DURABLE_MEMBER: &[u8] = b",\"durable\":";
/// What every record begins with.
const RECORD_START: &[u8] = b"{\"seq\":";
/// How many bytes the checksum's member and the closing brace take.
const SEAL_LENGTH: usize = CRC_MEMBER.len() + 8 + 2;
/// The longest line that is read, in bytes: two of the longest that are written, in case the line feed between them is lost.
const MAX_LINE: usize = 3 << 20;
/// How much of the end of a longer one is kept, in case it is a record.
const KEPT_END: usize = MAX_LINE / 2;
/// How many positions in a broken line are tried as the beginning of an intact record. More than these do not occur by
/// accident.
const MAX_CANDIDATES: usize = 256;

/// Says in a line that lacks its end which record was the last that is known to be durable.
pub(in crate::store) fn say_durable(text: &mut Vec<u8>, number: u64) {
    text.extend_from_slice(DURABLE_MEMBER);
    // Into a vector: writing cannot fail.
    let _ = write!(text, "{number}");
}

/// The record that a line says was durable before the line was written, with all before it; `None` if the line says
/// nothing, as in journals of earlier versions. The line comes without its checksum.
pub(in crate::store) fn durable_before(line: &[u8]) -> Option<u64> {
    let digits = line.iter().rev().take_while(|byte| byte.is_ascii_digit()).count();
    let (start, number) = line.split_at(line.len() - digits);
    // A text or a dictionary ends with another byte than a digit, so this is a member of the line itself.
    start.ends_with(DURABLE_MEMBER).then(|| std::str::from_utf8(number).ok()?.parse().ok())?
}

/// Ends the line that begins at `start`, which lacks its closing brace, with checksum and line feed.
pub(in crate::store) fn seal(text: &mut Vec<u8>, start: usize) {
    let crc = crc32fast::hash(text.get(start..).unwrap_or_default());
    text.extend_from_slice(CRC_MEMBER);
    text.extend_from_slice(&hex(crc));
    text.extend_from_slice(b"\"}\n");
}

/// The length of the part of an intact line before its checksum; `None` if the line is not intact. The line comes without
/// its line feed.
pub(in crate::store) fn sealed_length(line: &[u8]) -> Option<usize> {
    let length = line.len().checked_sub(SEAL_LENGTH)?;
    let (body, seal) = line.split_at(length);
    let digits = seal.strip_prefix(CRC_MEMBER)?.strip_suffix(b"\"}")?;
    // Compared as bytes: upper-case digits were never written.
    (digits == hex(crc32fast::hash(body))).then_some(length)
}

/// What is found in a line that is not intact.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::store) enum Hidden<'l> {
    /// No record.
    Nothing,
    /// An intact record, without its checksum. The line feed or the bytes before it were lost.
    Record(&'l [u8]),
    /// More beginnings of records than occur by accident.
    TooMuch,
}

/// Looks for an intact record in a line that is not intact.
pub(in crate::store) fn hidden_record(line: &[u8]) -> Hidden<'_> {
    let starts = line.windows(RECORD_START.len()).enumerate().skip(1);
    let candidates = starts.filter(|(_, window)| *window == RECORD_START).map(|(place, _)| place);
    for (tried, place) in candidates.enumerate() {
        if tried == MAX_CANDIDATES {
            return Hidden::TooMuch;
        }
        let rest = line.get(place..).unwrap_or_default();
        if let Some(record) = sealed_length(rest).and_then(|length| rest.get(..length)) {
            return Hidden::Record(record);
        }
    }
    Hidden::Nothing
}

/// Eight lower-case hexadecimal digits.
pub(in crate::store) fn hex(crc: u32) -> [u8; 8] {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    std::array::from_fn(|place| DIGITS[(crc >> (28 - 4 * place)) as usize & 0xf])
}

/// What was found where a line was expected.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::store) enum Found {
    /// The end of the file.
    End,
    /// A line; [`Lines::text`] has it without its line feed.
    Line,
    /// Bytes without a line feed at the end of the file.
    Unended,
    /// A line longer than any that is written; [`Lines::text`] has its end.
    TooLong,
}

/// Reads lines of bounded length and knows where they lie.
pub(in crate::store) struct Lines<R> {
    input: R,
    /// The line that was read last, without its line feed.
    pub(in crate::store) text: Vec<u8>,
    /// Where it begins, in bytes from the file's beginning.
    pub(in crate::store) offset: u64,
    /// Which line it is, from 1.
    pub(in crate::store) number: u64,
    /// Where the next line begins.
    pub(in crate::store) next_offset: u64,
}

impl<R: BufRead> Lines<R> {
    pub(in crate::store) fn new(input: R) -> Self {
        Self { input, text: Vec::new(), offset: 0, number: 0, next_offset: 0 }
    }

    /// Reads the next line.
    pub(in crate::store) fn read(&mut self) -> io::Result<Found> {
        self.text.clear();
        self.offset = self.next_offset;
        let mut too_long = false;
        loop {
            let available = match self.input.fill_buf() {
                Ok(available) => available,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(error),
            };
            if available.is_empty() {
                let empty = self.next_offset == self.offset;
                self.number += u64::from(!empty);
                return Ok(match (empty, too_long) {
                    (true, _) => Found::End,
                    (false, false) => Found::Unended,
                    (false, true) => Found::TooLong,
                });
            }
            // `split_inclusive` finds the line feed; its first piece ends with it or is all there is.
            let piece = available.split_inclusive(|byte| *byte == b'\n').next().unwrap_or(available);
            let taken = piece.len();
            let content = piece.strip_suffix(b"\n");
            let kept = content.unwrap_or(piece);
            self.text.extend_from_slice(kept);
            if self.text.len() > MAX_LINE {
                too_long = true;
                self.text.drain(..self.text.len() - KEPT_END);
            }
            let ended = content.is_some();
            self.input.consume(taken);
            self.next_offset += taken as u64;
            if ended {
                self.number += 1;
                return Ok(if too_long { Found::TooLong } else { Found::Line });
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sealed(body: &str) -> Vec<u8> {
        let mut text = body.as_bytes().to_vec();
        seal(&mut text, 0);
        text.pop();
        text
    }

    #[test]
    fn the_checksum_is_the_one_that_other_tools_have() {
        // zlib.crc32(b'{"seq":1') in Python.
        assert_eq!(sealed("{\"seq\":1"), b"{\"seq\":1,\"crc\":\"8c63767c\"}");
        assert_eq!(&hex(0x0012_abcf), b"0012abcf");
    }

    #[test]
    fn a_line_is_intact_only_to_the_letter() {
        let line = sealed("{\"seq\":1,\"time\":2");
        assert_eq!(sealed_length(&line), Some(17));
        for bit in 0..line.len() * 8 {
            let mut flipped = line.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(sealed_length(&flipped), None, "bit {bit}");
        }
        assert_eq!(sealed_length(b"\"}"), None);
    }

    #[test]
    fn a_record_behind_lost_bytes_is_found() {
        let mut text = vec![0_u8; 5];
        text.extend(sealed("{\"seq\":2"));
        assert_eq!(hidden_record(&text), Hidden::Record(b"{\"seq\":2"));
        let whole = sealed("{\"seq\":2");
        assert_eq!(hidden_record(&whole), Hidden::Nothing, "it is not inside but is the line itself");
        text.pop();
        assert_eq!(hidden_record(&text), Hidden::Nothing);
        assert_eq!(hidden_record(&RECORD_START.repeat(MAX_CANDIDATES + 2)), Hidden::TooMuch);
    }

    #[test]
    fn a_line_says_which_record_was_durable_before_it() {
        let mut line = b"{\"seq\":3,\"attempt\":1".to_vec();
        assert_eq!(durable_before(&line), None);
        say_durable(&mut line, 2);
        assert_eq!(durable_before(&line), Some(2));
        for other in [
            "",
            "{\"seq\":3,\"durable\":",
            "{\"seq\":3,\"durable\":-1",
            "{\"seq\":3,\"result\":{\"durable\":2}",
            "{\"seq\":3,\"key\":\",\\\"durable\\\":2\"",
            "{\"seq\":3,\"durable\":99999999999999999999",
        ] {
            assert_eq!(durable_before(other.as_bytes()), None, "{other}");
        }
    }

    #[test]
    fn lines_have_a_bound() {
        let mut bytes = b"one\n\n".to_vec();
        bytes.extend(vec![b'x'; MAX_LINE + 1]);
        bytes.extend(b"\ntwo");
        let mut lines = Lines::new(io::BufReader::with_capacity(1000, bytes.as_slice()));
        assert_eq!((lines.read().unwrap(), lines.text.as_slice()), (Found::Line, b"one".as_slice()));
        assert_eq!((lines.read().unwrap(), lines.offset, lines.number), (Found::Line, 4, 2));
        assert_eq!((lines.read().unwrap(), lines.offset), (Found::TooLong, 5));
        assert!((KEPT_END..=MAX_LINE).contains(&lines.text.len()), "its end is kept");
        assert_eq!((lines.read().unwrap(), lines.text.as_slice()), (Found::Unended, b"two".as_slice()));
        assert_eq!((lines.read().unwrap(), lines.number), (Found::End, 4));
    }
}
