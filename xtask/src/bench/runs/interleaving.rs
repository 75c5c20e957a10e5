//! Measures several ways to do the same work in alternation, so that what disturbs the machine disturbs all of them.

use std::time::Duration;

use crate::step::Failure;

/// One way to do the work; returns how long it took.
pub(in crate::bench) type Side<'a> = Box<dyn FnMut() -> Result<Duration, Failure> + 'a>;

/// Measures each side once a round; returns the times of each side, in seconds.
pub(in crate::bench) fn interleave(rounds: usize, sides: &mut [Side<'_>]) -> Result<Vec<Vec<f64>>, Failure> {
    let mut times = vec![Vec::new(); sides.len()];
    for round in 0..rounds {
        // The order is reversed in every other round, so that no side always follows the same one.
        let mut order: Vec<usize> = (0..sides.len()).collect();
        if round % 2 == 1 {
            order.reverse();
        }
        for side in order {
            times[side].push(sides[side]()?.as_secs_f64());
        }
    }
    Ok(times)
}

/// The median of the rounds' ratios.
pub(in crate::bench) fn ratio(times: &[f64], base: &[f64]) -> f64 {
    median(times.iter().zip(base).map(|(time, base)| time / base).collect())
}

/// The median, or NaN if there are no values.
pub(in crate::bench) fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    match values.len() {
        0 => f64::NAN,
        length if length % 2 == 0 => f64::midpoint(values[middle - 1], values[middle]),
        _ => values[middle],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_is_in_the_middle() {
        assert!((median(vec![3.0, 1.0, 2.0]) - 2.0).abs() < 1e-12);
        assert!((median(vec![4.0, 1.0]) - 2.5).abs() < 1e-12);
        assert!(median(Vec::new()).is_nan());
    }

    #[test]
    fn a_disturbed_round_does_not_count() {
        assert!((ratio(&[2.0, 20.0, 2.2], &[1.0, 1.0, 1.0]) - 2.2).abs() < 1e-12);
        assert!((ratio(&[2.0, 20.0], &[1.0, 10.0]) - 2.0).abs() < 1e-12);
    }

    #[test]
    fn every_side_is_measured_in_every_round() {
        let order = std::cell::RefCell::new(Vec::new());
        let side = |name: u64| {
            let order = &order;
            Box::new(move || {
                order.borrow_mut().push(name);
                Ok(Duration::from_secs(name))
            }) as Side<'_>
        };
        let times = interleave(2, &mut [side(1), side(2)]).unwrap();
        assert_eq!(*order.borrow(), [1, 2, 2, 1]);
        assert_eq!(times, [[1.0, 1.0], [2.0, 2.0]]);
    }
}
