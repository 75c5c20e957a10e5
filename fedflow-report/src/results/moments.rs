//! `Moments`: mean and deviation of numbers that come one after the other.

/// Mean and deviation of numbers, by Welford's method: exact to rounding however far the numbers lie from zero. NaN is left
/// out, as data frames do.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Moments {
    count: u64,
    /// Mean of the finite numbers.
    mean: f64,
    /// The sum of the squares of their distances from the mean.
    squares: f64,
    /// The sum of the infinite numbers: infinite, or NaN if both signs came; 0 if none came.
    infinite: f64,
}

impl Moments {
    /// Takes a number.
    pub fn push(&mut self, number: f64) {
        if number.is_nan() {
            return;
        }
        self.count += 1;
        if number.is_infinite() {
            self.infinite += number;
            return;
        }
        #[expect(clippy::cast_precision_loss, reason = "nothing has 2^53 replicates")]
        let count = self.count as f64;
        let distance = number - self.mean;
        self.mean += distance / count;
        self.squares += distance * (number - self.mean);
    }

    /// How many numbers count.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.count
    }

    /// Their mean; `None` if there is none.
    #[must_use]
    pub fn mean(&self) -> Option<f64> {
        (self.count > 0).then_some(if self.infinite == 0.0 { self.mean } else { self.infinite })
    }

    /// Their standard deviation as a sample's, with `n - 1` in the denominator; `None` for fewer than two numbers, and if
    /// one is infinite.
    #[must_use]
    pub fn deviation(&self) -> Option<f64> {
        if self.count < 2 || self.infinite != 0.0 {
            return None;
        }
        #[expect(clippy::cast_precision_loss, reason = "nothing has 2^53 replicates")]
        let deviation = (self.squares / (self.count - 1) as f64).sqrt();
        Some(deviation)
    }
}

impl Extend<f64> for Moments {
    fn extend<I: IntoIterator<Item = f64>>(&mut self, numbers: I) {
        numbers.into_iter().for_each(|number| self.push(number));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn of(numbers: &[f64]) -> Moments {
        let mut moments = Moments::default();
        moments.extend(numbers.iter().copied());
        moments
    }

    #[test]
    fn one_number_has_no_deviation_and_none_has_no_mean() {
        assert_eq!((of(&[]).mean(), of(&[]).deviation()), (None, None));
        assert_eq!((of(&[0.5]).mean(), of(&[0.5]).deviation()), (Some(0.5), None));
        assert_eq!(of(&[1.0, 2.0, 3.0, 4.0]).deviation(), Some((5.0_f64 / 3.0).sqrt()));
    }

    #[test]
    fn what_is_no_number_is_left_out_and_what_is_infinite_stays_so() {
        let moments = of(&[1.0, f64::NAN, 3.0]);
        assert_eq!((moments.count(), moments.mean()), (2, Some(2.0)));
        let moments = of(&[1.0, f64::INFINITY, 2.0]);
        assert_eq!((moments.mean(), moments.deviation()), (Some(f64::INFINITY), None));
        assert!(of(&[f64::INFINITY, f64::NEG_INFINITY]).mean().is_some_and(f64::is_nan));
        assert_eq!(of(&[f64::NAN]).mean(), None);
    }

    #[test]
    fn numbers_far_from_zero_keep_their_deviation() {
        let deviation = of(&[1e9 + 1.0, 1e9 + 2.0, 1e9 + 3.0]).deviation().unwrap();
        assert!((deviation - 1.0).abs() < 1e-6, "{deviation}");
    }

    proptest! {
        #[test]
        fn they_are_those_of_two_passes(numbers in prop::collection::vec(-1e6_f64..1e6, 1..50)) {
            let count = numbers.len() as f64;
            let mean = numbers.iter().sum::<f64>() / count;
            let squares: f64 = numbers.iter().map(|number| (number - mean).powi(2)).sum();
            let moments = of(&numbers);
            let close = |one: f64, other: f64| (one - other).abs() <= 1e-9 * (1.0 + one.abs().max(other.abs()));
            prop_assert!(close(moments.mean().unwrap(), mean));
            match moments.deviation() {
                None => prop_assert_eq!(numbers.len(), 1),
                Some(deviation) => prop_assert!(close(deviation, (squares / (count - 1.0)).sqrt())),
            }
        }

        #[test]
        fn their_order_does_not_count(mut numbers in prop::collection::vec(-1e3_f64..1e3, 2..20)) {
            let before = of(&numbers);
            numbers.reverse();
            let after = of(&numbers);
            prop_assert!((before.mean().unwrap() - after.mean().unwrap()).abs() < 1e-9);
            prop_assert!((before.deviation().unwrap() - after.deviation().unwrap()).abs() < 1e-9);
        }
    }
}
