//! Makes one model of many: the averaging step of federated learning.

use crate::network::{Network, PARAMETERS};

/// No model has been trained on anything, so there is no average.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("no model was trained on any sample, so there is nothing to average")]
pub struct NothingToAverage;

/// The average of models, each weighted by the number of samples that it was trained on.
///
/// This is the aggregation of `FederatedAveraging` in McMahan et al., "Communication-Efficient Learning of Deep
/// Networks from Decentralized Data" (AISTATS 2017).
///
/// # Errors
/// There is no model, or none was trained on any sample.
pub fn federated_average<'a>(
    models: impl IntoIterator<Item = (&'a Network, u32)>,
) -> Result<Network, NothingToAverage> {
    let mut sums = vec![0.0_f64; PARAMETERS];
    let mut total = 0.0;
    // A model without samples is left out whatever its numbers are, as 0 times NaN is NaN.
    for (model, samples) in models.into_iter().filter(|(_, samples)| *samples > 0) {
        let weight = f64::from(samples);
        total += weight;
        for (sum, parameter) in sums.iter_mut().zip(model.parameters()) {
            *sum += weight * f64::from(*parameter);
        }
    }
    if total == 0.0 {
        return Err(NothingToAverage);
    }
    let average = sums.into_iter().map(|sum| (sum / total) as f32).collect();
    Network::from_parameters(average).map_err(|_| NothingToAverage)
}

#[cfg(test)]
mod tests {
    use fastrand::Rng;
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn samples_are_weights() {
        let model = |value| Network::from_parameters(vec![value; PARAMETERS]).unwrap();
        let average = federated_average([(&model(1.0), 30), (&model(5.0), 10)]).unwrap();
        assert_eq!(average, model(2.0));
    }

    #[test]
    fn without_samples_there_is_no_average() {
        assert_eq!(federated_average([]), Err(NothingToAverage));
        assert_eq!(federated_average([(&Network::default(), 0)]), Err(NothingToAverage));
    }

    #[test]
    fn a_model_without_samples_has_no_say() {
        let broken = Network::from_parameters(vec![f32::NAN; PARAMETERS]).unwrap();
        let whole = Network::random(&mut Rng::with_seed(0));
        assert_eq!(federated_average([(&broken, 0), (&whole, 3)]), Ok(whole));
    }

    proptest! {
        #[test]
        fn equal_models_are_their_own_average(seed: u64, samples in prop::collection::vec(1_u32..10_000, 1..12)) {
            let model = Network::random(&mut Rng::with_seed(seed));
            prop_assert_eq!(federated_average(samples.iter().map(|samples| (&model, *samples))), Ok(model.clone()));
        }

        #[test]
        fn an_average_lies_between_its_models(seed: u64, samples in prop::collection::vec(1_u32..10_000, 2..6)) {
            let mut random = Rng::with_seed(seed);
            let models: Vec<Network> = samples.iter().map(|_| Network::random(&mut random)).collect();
            let average = federated_average(models.iter().zip(samples)).unwrap();
            for (index, parameter) in average.parameters().iter().enumerate() {
                let of_models = models.iter().map(|model| model.parameters()[index]);
                prop_assert!(of_models.clone().fold(f32::INFINITY, f32::min) <= *parameter);
                prop_assert!(of_models.fold(f32::NEG_INFINITY, f32::max) >= *parameter);
            }
        }
    }
}
