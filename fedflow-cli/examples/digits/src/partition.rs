//! Deals digits to clients so that each has its own mixture, as in real federations.

use std::f64::consts::TAU;

use fastrand::Rng;

use crate::data::{CLASSES, Digit};

/// Why digits cannot be dealt.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum PartitionError {
    /// There is no client.
    #[error("there are no clients; a federation has at least one")]
    NoClients,
    /// There are more clients than digits.
    #[error("{clients} clients cannot share {digits} digits; each needs one at least")]
    TooManyClients {
        /// The number of clients.
        clients: usize,
        /// The number of digits.
        digits: usize,
    },
    /// `alpha` is no concentration.
    #[error("alpha is {0}; it must be a finite number above zero")]
    BadAlpha(f64),
}

/// Deals every digit to one client; each client has at least one. One seed always deals the same way.
///
/// For each class, the shares of the clients are drawn from a symmetric Dirichlet distribution, as proposed by
/// Yurochkin et al., "Bayesian Nonparametric Federated Learning of Neural Networks" (ICML 2019). With a small
/// `alpha` a client has digits of few classes; with a large one all clients have nearly the same mixture.
///
/// # Errors
/// There are no clients, more clients than digits, or `alpha` is not a finite number above zero.
pub fn dirichlet_partition<'a>(
    digits: &'a [Digit],
    clients: usize,
    alpha: f64,
    random: &mut Rng,
) -> Result<Vec<Vec<&'a Digit>>, PartitionError> {
    if clients == 0 {
        return Err(PartitionError::NoClients);
    }
    if clients > digits.len() {
        return Err(PartitionError::TooManyClients { clients, digits: digits.len() });
    }
    if !(alpha > 0.0 && alpha.is_finite()) {
        return Err(PartitionError::BadAlpha(alpha));
    }
    let mut parts = vec![Vec::new(); clients];
    for class in 0..CLASSES {
        let mut of_class: Vec<&Digit> = digits.iter().filter(|digit| digit.label() == class).collect();
        random.shuffle(&mut of_class);
        let mut rest = of_class.as_slice();
        for (part, count) in parts.iter_mut().zip(counts(of_class.len(), &dirichlet(clients, alpha, random)))
        {
            let (dealt, left) = rest.split_at(count);
            part.extend_from_slice(dealt);
            rest = left;
        }
    }
    give_everyone_one(&mut parts);
    Ok(parts)
}

/// Divides a number of things by shares. The end of each share is rounded, so that the counts add up.
fn counts(total: usize, shares: &[f64]) -> Vec<usize> {
    let mut share_so_far = 0.0;
    let mut dealt = 0;
    let last = shares.len().saturating_sub(1);
    shares
        .iter()
        .enumerate()
        .map(|(index, share)| {
            share_so_far += share;
            let end = if index == last { total } else { (total as f64 * share_so_far).round() as usize };
            let count = end.min(total).saturating_sub(dealt);
            dealt += count;
            count
        })
        .collect()
}

/// Gives a client without digits one from the client that has most, as it could not train without.
fn give_everyone_one(parts: &mut [Vec<&Digit>]) {
    for empty in 0..parts.len() {
        if parts[empty].is_empty() {
            let given = parts.iter_mut().max_by_key(|part| part.len()).and_then(Vec::pop);
            parts[empty].extend(given);
        }
    }
}

/// A draw from the symmetric Dirichlet distribution: gamma draws over their sum.
///
/// It is computed in logarithms, as a gamma draw with a tiny `alpha` is often too small for a float.
fn dirichlet(length: usize, alpha: f64, random: &mut Rng) -> Vec<f64> {
    let logs: Vec<f64> = (0..length).map(|_| ln_gamma_draw(alpha, random)).collect();
    let largest = logs.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let draws: Vec<f64> = logs.iter().map(|log| (log - largest).exp()).collect();
    let sum: f64 = draws.iter().sum();
    draws.iter().map(|draw| draw / sum).collect()
}

/// The logarithm of a draw from the gamma distribution with a scale of 1.
///
/// The method of Marsaglia and Tsang, "A Simple Method for Generating Gamma Variables" (ACM Transactions on
/// Mathematical Software 26, 2000), which draws for a shape of at least 1. A smaller one is reached by their
/// note that `gamma(a)` is distributed as `gamma(a + 1) · U^(1/a)`.
fn ln_gamma_draw(shape: f64, random: &mut Rng) -> f64 {
    if shape < 1.0 {
        return ln_gamma_draw(shape + 1.0, random) + uniform(random).ln() / shape;
    }
    let d = shape - 1.0 / 3.0;
    let c = 1.0 / (9.0 * d).sqrt();
    loop {
        let x = normal(random);
        let v = (1.0 + c * x).powi(3);
        if v > 0.0 && uniform(random).ln() < 0.5 * x * x + d * (1.0 - v + v.ln()) {
            return d.ln() + v.ln();
        }
    }
}

/// A draw from the standard normal distribution, by the method of Box and Muller.
fn normal(random: &mut Rng) -> f64 {
    (-2.0 * uniform(random).ln()).sqrt() * (TAU * random.f64()).cos()
}

/// A number above 0 and up to 1, so that its logarithm is finite.
fn uniform(random: &mut Rng) -> f64 {
    1.0 - random.f64()
}

#[cfg(test)]
mod tests {
    // By name, as proptest's prelude has an `Rng` too.
    use fastrand::Rng;
    use proptest::prelude::*;

    use super::*;
    use crate::data::Digits;

    fn training() -> Vec<Digit> {
        Digits::embedded().unwrap().training
    }

    #[test]
    fn what_cannot_be_dealt_is_refused() {
        let digits = &training()[..5];
        let deal = |clients, alpha| dirichlet_partition(digits, clients, alpha, &mut Rng::with_seed(0));
        assert_eq!(deal(0, 0.5), Err(PartitionError::NoClients));
        assert_eq!(deal(6, 0.5), Err(PartitionError::TooManyClients { clients: 6, digits: 5 }));
        for alpha in [0.0, -1.0, f64::INFINITY] {
            assert_eq!(deal(2, alpha), Err(PartitionError::BadAlpha(alpha)));
        }
        assert!(matches!(deal(2, f64::NAN), Err(PartitionError::BadAlpha(_))));
    }

    #[test]
    fn a_gamma_draw_has_the_mean_and_variance_of_its_shape() {
        for shape in [0.3, 1.0, 4.0] {
            let mut random = Rng::with_seed(7);
            let draws: Vec<f64> = (0..100_000).map(|_| ln_gamma_draw(shape, &mut random).exp()).collect();
            let n = draws.len() as f64;
            let mean = draws.iter().sum::<f64>() / n;
            let variance = draws.iter().map(|draw| (draw - mean).powi(2)).sum::<f64>() / n;
            assert!((mean / shape - 1.0).abs() < 0.03, "mean {mean} of shape {shape}");
            assert!((variance / shape - 1.0).abs() < 0.06, "variance {variance} of shape {shape}");
        }
    }

    #[test]
    fn a_small_alpha_deals_few_classes_and_a_large_one_all() {
        let digits = training();
        // The fraction of a client's digits in its most frequent class, averaged over the clients.
        let dominance = |alpha| {
            let parts = dirichlet_partition(&digits, 10, alpha, &mut Rng::with_seed(3)).unwrap();
            let of_part = |part: &Vec<&Digit>| {
                let of_class = |class| part.iter().filter(|digit| digit.label() == class).count();
                (0..CLASSES).map(of_class).max().unwrap() as f64 / part.len() as f64
            };
            parts.iter().map(of_part).sum::<f64>() / parts.len() as f64
        };
        let (skewed, even) = (dominance(0.05), dominance(1e6));
        assert!(skewed > 0.5, "{skewed}");
        assert!(even < 0.13, "{even}");
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn every_digit_is_dealt_once_and_nobody_goes_without(
            clients in 1_usize..60,
            ln_alpha in -12.0..20.0,
            seed: u64,
        ) {
            let digits = &training()[..300];
            let deal = || dirichlet_partition(digits, clients, f64::exp(ln_alpha), &mut Rng::with_seed(seed));
            let parts = deal().unwrap();
            prop_assert_eq!(parts.len(), clients);
            prop_assert!(parts.iter().all(|part| !part.is_empty()));
            let mut dealt: Vec<*const Digit> = parts.iter().flatten().map(|digit| &raw const **digit).collect();
            dealt.sort_unstable();
            let all: Vec<*const Digit> = digits.iter().map(|digit| &raw const *digit).collect();
            prop_assert_eq!(dealt, all);
            prop_assert_eq!(parts, deal().unwrap(), "the same seed deals the same way");
        }

        #[test]
        fn shares_add_up_to_one(length in 1_usize..50, ln_alpha in -12.0..20.0, seed: u64) {
            let shares = dirichlet(length, f64::exp(ln_alpha), &mut Rng::with_seed(seed));
            prop_assert!(shares.iter().all(|share| (0.0..=1.0).contains(share)), "{shares:?}");
            prop_assert!((shares.iter().sum::<f64>() - 1.0).abs() < 1e-9);
        }
    }
}
