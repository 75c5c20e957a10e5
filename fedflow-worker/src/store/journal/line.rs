//! Lines of the journal: sealed with a checksum, checked, and read with a bound on their length.

use std::io::{self, BufRead};

/// What stands between a line's members and its eight digits.
const CRC_MEMBER: &[u8] = b",\"crc\":\"";
/// What every record begins with.
const RECORD_START: &[u8] = b"{\"seq\":";
/// How many bytes the checksum's member and the closing brace take.
const SEAL_LENGTH: usize = CRC_MEMBER.len() + 8 + 2;
/// The longest line that is read, in bytes: two of the longest that are written, in case the line feed between them is lost.
const MAX_LINE: usize = 3 << 20;
/// How many positions in a broken line are tried as the beginning of an intact record. More than these do not occur by
/// accident.
const MAX_CANDIDATES: usize = 256;

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

/// Whether a line that is not intact contains an intact record. Then the line feed or the bytes before that record were
/// lost.
pub(in crate::store) fn hides_record(line: &[u8]) -> bool {
    let starts = line.windows(RECORD_START.len()).enumerate().skip(1);
    let mut candidates = starts.filter(|(_, window)| *window == RECORD_START).map(|(place, _)| place);
    let mut tried = 0;
    candidates.any(|place| {
        tried += 1;
        tried > MAX_CANDIDATES || line.get(place..).is_some_and(|rest| sealed_length(rest).is_some())
    })
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
    /// A line longer than any that is written.
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
            if self.text.len() + kept.len() > MAX_LINE {
                too_long = true;
                self.text.clear();
            }
            if !too_long {
                self.text.extend_from_slice(kept);
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
        assert!(hides_record(&text));
        assert!(!hides_record(&sealed("{\"seq\":2")), "it is not inside but is the line itself");
        text.pop();
        assert!(!hides_record(&text));
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
        assert_eq!((lines.read().unwrap(), lines.text.as_slice()), (Found::Unended, b"two".as_slice()));
        assert_eq!((lines.read().unwrap(), lines.number), (Found::End, 4));
    }
}
