//! Sizes in bytes, as people write them: `24GB`, `1.5GiB`.

use std::fmt;
use std::str::FromStr;

use bytesize::ByteSize;
use serde::{Deserialize, Serialize};

/// An amount of memory or disk, in bytes.
///
/// ```
/// use fedflow_core::Size;
/// assert_eq!("2GB".parse::<Size>()?.bytes(), 2_000_000_000);
/// assert_eq!("2GiB".parse::<Size>()?.bytes(), 2 << 30);
/// assert_eq!(Size::from_bytes(24_000_000_000).to_string(), "24GB");
/// # Ok::<(), fedflow_core::SizeError>(())
/// ```
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Size(u64);

/// A text is not a size.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no size; write a number with B, KB, MB, GB, TB, KiB, MiB, GiB or TiB, such as \"2GB\"")]
pub struct SizeError(String);

impl Size {
    /// No bytes.
    pub const ZERO: Self = Self(0);

    /// A size in bytes.
    #[must_use]
    pub const fn from_bytes(bytes: u64) -> Self {
        Self(bytes)
    }

    /// A size in gigabytes of 10⁹ bytes.
    #[must_use]
    pub const fn from_gb(gigabytes: u64) -> Self {
        Self(gigabytes * 1_000_000_000)
    }

    /// The number of bytes.
    #[must_use]
    pub const fn bytes(self) -> u64 {
        self.0
    }

    /// The difference, or zero if `other` is larger.
    #[must_use]
    pub const fn saturating_sub(self, other: Self) -> Self {
        Self(self.0.saturating_sub(other.0))
    }

    /// The sum, or the largest size if it is too large.
    #[must_use]
    pub const fn saturating_add(self, other: Self) -> Self {
        Self(self.0.saturating_add(other.0))
    }

    /// This size times a factor, rounded to bytes.
    #[must_use]
    #[expect(
        clippy::cast_precision_loss,
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "sizes of memory are far below 2^53, and a float's cast saturates"
    )]
    pub fn scaled(self, factor: f64) -> Self {
        Self((self.0 as f64 * factor).round() as u64)
    }

    /// The number of gigabytes of 10⁹ bytes, for charts.
    #[must_use]
    #[expect(clippy::cast_precision_loss, reason = "for charts")]
    pub fn gigabytes(self) -> f64 {
        self.0 as f64 / 1e9
    }
}

impl std::ops::Add for Size {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        self.saturating_add(other)
    }
}

impl std::iter::Sum for Size {
    fn sum<I: Iterator<Item = Self>>(sizes: I) -> Self {
        sizes.fold(Self::ZERO, Self::saturating_add)
    }
}

impl FromStr for Size {
    type Err = SizeError;

    fn from_str(text: &str) -> Result<Self, SizeError> {
        // A bare number is refused, as it may mean bytes or gigabytes.
        let has_unit = text.trim_end().ends_with(['B', 'b']);
        match text.trim().parse::<ByteSize>() {
            Ok(size) if has_unit => Ok(Self(size.as_u64())),
            _ => Err(SizeError(text.into())),
        }
    }
}

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const UNITS: [(u64, &str); 4] =
            [(1_000_000_000_000, "TB"), (1_000_000_000, "GB"), (1_000_000, "MB"), (1_000, "KB")];
        for (unit, name) in UNITS {
            if self.0 >= unit {
                #[expect(clippy::cast_precision_loss, reason = "one decimal is shown")]
                let number = format!("{:.1}", self.0 as f64 / unit as f64);
                return f.pad(&format!("{}{name}", number.strip_suffix(".0").unwrap_or(&number)));
            }
        }
        f.pad(&format!("{}B", self.0))
    }
}

impl fmt::Debug for Size {
    /// As [`Display`](fmt::Display) writes it, or in bytes where that would be rounded.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = self.to_string();
        if text.parse() == Ok(*self) { f.pad(&text) } else { write!(f, "{}B", self.0) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn sizes_as_people_write_them() {
        for (text, bytes) in
            [("512MB", 512_000_000), ("1.5GiB", 3 << 29), ("4 GB", 4_000_000_000), ("0B", 0), ("7KiB", 7168)]
        {
            assert_eq!(text.parse::<Size>().unwrap().bytes(), bytes, "{text}");
        }
        for text in ["", "GB", "12", "-1GB", "a lot", "1XB", "4G"] {
            assert!(text.parse::<Size>().is_err(), "{text}");
        }
    }

    #[test]
    fn debug_output_is_readable_and_exact() {
        assert_eq!(format!("{:?}", Some(Size::from_gb(20))), "Some(20GB)");
        assert_eq!(format!("{:?}", Size::from_bytes(20_000_000_001)), "20000000001B");
    }

    proptest! {
        #[test]
        fn what_is_shown_is_close_to_what_it_is(bytes in 1_u64..1 << 50) {
            let shown: Size = Size::from_bytes(bytes).to_string().parse().unwrap();
            prop_assert!(shown.bytes().abs_diff(bytes) * 10 <= bytes);
        }
    }
}
