//! The digits: 8 × 8 images with their labels, embedded in the program, and their form in files.

/// Pixels of an image.
pub const PIXELS: usize = 64;
/// The number of classes.
pub const CLASSES: usize = 10;
/// The largest value of a pixel: full ink.
pub const MAX_INTENSITY: u8 = 16;

/// A digit in a file: its pixels, then its label, a byte each.
const ROW: usize = PIXELS + 1;

/// The whole data set; `data/README.md` names its source.
static CSV: &str = include_str!("../data/digits.csv");

/// One handwritten digit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Digit {
    // Invariant: each is at most `MAX_INTENSITY`.
    pixels: [u8; PIXELS],
    // Invariant: less than `CLASSES`.
    label: u8,
}

/// The digits, split as in scikit-learn's examples.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Digits {
    /// The first 90 %.
    pub training: Vec<Digit>,
    /// The last 10 %, which no client ever sees.
    pub held_out: Vec<Digit>,
}

/// Why a text or a file is no list of digits. Rows count from 1.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DataError {
    /// A row of text has something other than small numbers.
    #[error("row {row}: {text:?} is not a number from 0 to 255")]
    NotANumber {
        /// The row.
        row: usize,
        /// The text in its place.
        text: String,
    },
    /// A row is too short or too long.
    #[error("row {row} has {length} numbers; a digit has {PIXELS} pixels and a label")]
    RowLength {
        /// The row.
        row: usize,
        /// The count of its numbers.
        length: usize,
    },
    /// A pixel is out of range.
    #[error("row {row} has a pixel of {value}; pixels go from 0 to {MAX_INTENSITY}")]
    Pixel {
        /// The row.
        row: usize,
        /// The pixel.
        value: u8,
    },
    /// A label is no digit.
    #[error("row {row} has the label {value}; labels go from 0 to 9")]
    Label {
        /// The row.
        row: usize,
        /// The label.
        value: u8,
    },
}

impl Digits {
    /// Reads the embedded data set: 1,617 digits for training, 180 held out.
    ///
    /// # Errors
    /// The embedded data set is damaged.
    pub fn embedded() -> Result<Self, DataError> {
        let mut training = digits_from_csv(CSV)?;
        let held_out = training.split_off(training.len() * 9 / 10);
        Ok(Self { training, held_out })
    }
}

impl Digit {
    /// The digit, 0 to 9.
    #[must_use]
    pub fn label(&self) -> usize {
        self.label.into()
    }

    /// The pixels as inputs of a network: from 0 (paper) to 1 (ink).
    #[must_use]
    pub fn intensities(&self) -> [f32; PIXELS] {
        self.pixels.map(|pixel| f32::from(pixel) / f32::from(MAX_INTENSITY))
    }

    fn from_row(row: usize, numbers: &[u8]) -> Result<Self, DataError> {
        let Some((&label, pixels)) = numbers.split_last() else {
            return Err(DataError::RowLength { row, length: 0 });
        };
        let Ok(pixels) = <[u8; PIXELS]>::try_from(pixels) else {
            return Err(DataError::RowLength { row, length: numbers.len() });
        };
        if let Some(&value) = pixels.iter().find(|pixel| **pixel > MAX_INTENSITY) {
            return Err(DataError::Pixel { row, value });
        }
        if usize::from(label) >= CLASSES {
            return Err(DataError::Label { row, value: label });
        }
        Ok(Self { pixels, label })
    }
}

/// The digits as in a file: 65 bytes each, the pixels and then the label.
#[must_use]
pub fn digits_to_bytes<'a>(digits: impl IntoIterator<Item = &'a Digit>) -> Vec<u8> {
    digits.into_iter().flat_map(|digit| digit.pixels.into_iter().chain([digit.label])).collect()
}

/// The digits of a file that [`digits_to_bytes`] made.
///
/// # Errors
/// The bytes are not such a file; the text names the row.
pub fn digits_from_bytes(bytes: &[u8]) -> Result<Vec<Digit>, DataError> {
    bytes.chunks(ROW).enumerate().map(|(index, numbers)| Digit::from_row(index + 1, numbers)).collect()
}

fn digits_from_csv(text: &str) -> Result<Vec<Digit>, DataError> {
    let rows = text.lines().enumerate();
    rows.map(|(index, line)| {
        let row = index + 1;
        let number = |text: &str| text.parse().map_err(|_| DataError::NotANumber { row, text: text.into() });
        Digit::from_row(row, &line.split(',').map(number).collect::<Result<Vec<u8>, _>>()?)
    })
    .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_embedded_digits_are_those_of_the_repository() {
        let Digits { training, held_out } = Digits::embedded().unwrap();
        assert_eq!((training.len(), held_out.len()), (1617, 180));
        let mut of_class = [0; CLASSES];
        for digit in training.iter().chain(&held_out) {
            of_class[digit.label()] += 1;
        }
        // As the UCI repository counts its test set.
        assert_eq!(of_class, [178, 182, 177, 183, 181, 182, 181, 179, 174, 180]);
    }

    #[test]
    fn five_nearest_neighbours_reach_what_scikit_learn_publishes() {
        let Digits { training, held_out } = Digits::embedded().unwrap();
        let distance = |a: &Digit, b: &Digit| -> u32 {
            a.pixels.iter().zip(&b.pixels).map(|(a, b)| u32::from(a.abs_diff(*b)).pow(2)).sum()
        };
        let right = held_out.iter().filter(|digit| {
            let mut nearest: Vec<&Digit> = training.iter().collect();
            nearest.sort_by_cached_key(|other| distance(digit, other));
            let votes = |class| nearest[..5].iter().filter(|other| other.label() == class).count();
            // Of classes with equal votes the first wins, while `max_by_key` takes the last.
            (0..CLASSES).rev().max_by_key(|class| votes(*class)) == Some(digit.label())
        });
        // 0.961: so these are the same digits, split in the same way.
        assert_eq!(right.count(), 173);
    }

    #[test]
    fn pixels_become_intensities() {
        let mut numbers = [0; ROW];
        numbers[1] = 8;
        numbers[2] = MAX_INTENSITY;
        let digit = Digit::from_row(1, &numbers).unwrap();
        assert_eq!(digit.intensities()[..4], [0.0, 0.5, 1.0, 0.0]);
    }

    #[test]
    fn digits_survive_a_file() {
        let digits = Digits::embedded().unwrap().held_out;
        assert_eq!(digits_from_bytes(&digits_to_bytes(&digits)).unwrap(), digits);
        assert_eq!(digits_from_bytes(&[]), Ok(vec![]));
    }

    #[test]
    fn damage_is_told_with_its_row() {
        let whole = digits_to_bytes(&Digits::embedded().unwrap().held_out);
        let cut = digits_from_bytes(&whole[..ROW + 7]);
        assert_eq!(cut, Err(DataError::RowLength { row: 2, length: 7 }));
        let mut bytes = whole.clone();
        bytes[2 * ROW] = 17;
        assert_eq!(digits_from_bytes(&bytes), Err(DataError::Pixel { row: 3, value: 17 }));
        let mut bytes = whole;
        bytes[ROW - 1] = 10;
        assert_eq!(digits_from_bytes(&bytes), Err(DataError::Label { row: 1, value: 10 }));
        assert_eq!(digits_from_csv("0,x"), Err(DataError::NotANumber { row: 1, text: "x".into() }));
    }
}
