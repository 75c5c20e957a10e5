//! Numbers as people read them: with commas between the thousands.

/// A count with commas between the thousands.
///
/// ```
/// assert_eq!(fedflow_core::grouped_digits(1_234_567), "1,234,567");
/// ```
#[must_use]
pub fn grouped_digits(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn thousands_are_separated() {
        assert_eq!(grouped_digits(0), "0");
        assert_eq!(grouped_digits(999), "999");
        assert_eq!(grouped_digits(1_000), "1,000");
        assert_eq!(grouped_digits(u64::MAX), "18,446,744,073,709,551,615");
    }

    proptest! {
        #[test]
        fn a_count_has_its_digits(number in any::<u64>()) {
            prop_assert_eq!(grouped_digits(number).replace(',', ""), number.to_string());
        }
    }
}
