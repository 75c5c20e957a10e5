//! The model: a perceptron with one hidden layer, trained by stochastic gradient descent.

use fastrand::Rng;

use crate::data::{CLASSES, Digit, PIXELS};

/// Units of the hidden layer.
pub const HIDDEN: usize = 64;
/// Numbers that make up a network: two layers of weights and biases.
pub const PARAMETERS: usize = BIAS_2 + CLASSES;

// The offsets of a network's parts in its parameters. A layer's weights are stored input by input, so that the inner
// loops run over neighbours and the compiler can use vector instructions.
const BIAS_1: usize = PIXELS * HIDDEN;
const WEIGHTS_2: usize = BIAS_1 + HIDDEN;
const BIAS_2: usize = WEIGHTS_2 + HIDDEN * CLASSES;

/// A multilayer perceptron, 64-64-10: rectified linear units, then softmax.
#[derive(Debug, Clone, PartialEq)]
pub struct Network {
    // Invariant: `PARAMETERS` long.
    parameters: Vec<f32>,
}

/// The quality of a network on some digits.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Evaluation {
    /// The fraction that it classifies correctly, from 0 to 1.
    pub accuracy: f64,
    /// The mean cross-entropy, in nats.
    pub loss: f64,
}

/// Why numbers are no network.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NetworkError {
    /// There are too few or too many parameters.
    #[error("a network has {PARAMETERS} parameters, but there are {0}")]
    ParameterCount(usize),
    /// The bytes are no whole number of parameters.
    #[error("{0} bytes are no parameters; each takes 4")]
    Bytes(usize),
}

impl Network {
    /// A network to start from: weights drawn evenly from ±√(6 / inputs), after He et al., "Delving Deep into
    /// Rectifiers" (ICCV 2015); no biases.
    #[must_use]
    pub fn random(random: &mut Rng) -> Self {
        let mut network = Self::default();
        let (weights_1, _, weights_2, _) = split_mut(&mut network.parameters);
        for (weights, inputs) in [(weights_1, PIXELS as f32), (weights_2, HIDDEN as f32)] {
            let bound = (6.0 / inputs).sqrt();
            weights.fill_with(|| (2.0 * random.f32() - 1.0) * bound);
        }
        network
    }

    /// A network with given parameters.
    ///
    /// # Errors
    /// There are not [`PARAMETERS`] of them.
    pub fn from_parameters(parameters: Vec<f32>) -> Result<Self, NetworkError> {
        if parameters.len() == PARAMETERS {
            Ok(Self { parameters })
        } else {
            Err(NetworkError::ParameterCount(parameters.len()))
        }
    }

    /// All weights and biases.
    #[must_use]
    pub fn parameters(&self) -> &[f32] {
        &self.parameters
    }

    /// The parameters as in a file: little-endian floats of 4 bytes.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        self.parameters.iter().flat_map(|parameter| parameter.to_le_bytes()).collect()
    }

    /// The network in a file that [`to_bytes`](Self::to_bytes) made.
    ///
    /// # Errors
    /// The bytes are not [`PARAMETERS`] floats.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, NetworkError> {
        let (floats, []) = bytes.as_chunks() else { return Err(NetworkError::Bytes(bytes.len())) };
        Self::from_parameters(floats.iter().map(|float| f32::from_le_bytes(*float)).collect())
    }

    /// Trains on each digit once, in a random order, with a step after every `batch` digits.
    ///
    /// Every digit has the same weight: a short last batch makes a short step. Returns the mean loss of the digits, each
    /// before its step. A `batch` of 0 counts as 1.
    pub fn train_epoch(&mut self, digits: &[Digit], batch: usize, rate: f32, random: &mut Rng) -> f64 {
        let batch = batch.max(1);
        let step = rate / batch as f32;
        let mut order: Vec<&Digit> = digits.iter().collect();
        random.shuffle(&mut order);
        let mut loss = 0.0;
        let mut gradient = vec![0.0; PARAMETERS];
        for batch in order.chunks(batch) {
            gradient.fill(0.0);
            for digit in batch {
                loss += self.backward(digit, &mut gradient);
            }
            for (parameter, slope) in self.parameters.iter_mut().zip(&gradient) {
                *parameter -= step * slope;
            }
        }
        loss / digits.len() as f64
    }

    /// Evaluates the network on some digits.
    #[must_use]
    pub fn evaluate(&self, digits: &[Digit]) -> Evaluation {
        let mut right = 0_u32;
        let mut loss = 0.0;
        for digit in digits {
            let Forward { probabilities, .. } = self.forward(&digit.intensities());
            let of_label = probabilities[digit.label()];
            let mut others = probabilities.iter().enumerate().filter(|(class, _)| *class != digit.label());
            right += u32::from(others.all(|(_, probability)| *probability < of_label));
            loss += cross_entropy(of_label);
        }
        let total = digits.len() as f64;
        Evaluation { accuracy: f64::from(right) / total, loss: loss / total }
    }

    fn forward(&self, pixels: &[f32; PIXELS]) -> Forward {
        let (weights_1, bias_1, weights_2, bias_2) = split(&self.parameters);
        let mut hidden = [0.0; HIDDEN];
        hidden.copy_from_slice(bias_1);
        for (pixel, weights) in pixels.iter().zip(weights_1.chunks_exact(HIDDEN)) {
            add_scaled(&mut hidden, *pixel, weights);
        }
        // Not `max`, which would hide that the training diverged: it prefers any number to NaN.
        hidden.iter_mut().filter(|unit| **unit < 0.0).for_each(|unit| *unit = 0.0);
        let mut scores = [0.0; CLASSES];
        scores.copy_from_slice(bias_2);
        for (unit, weights) in hidden.iter().zip(weights_2.chunks_exact(CLASSES)) {
            add_scaled(&mut scores, *unit, weights);
        }
        Forward { hidden, probabilities: softmax(scores) }
    }

    /// Adds the slope of one digit's loss by every parameter to `gradient`, and returns the loss.
    fn backward(&self, digit: &Digit, gradient: &mut [f32]) -> f64 {
        let pixels = digit.intensities();
        let Forward { hidden, probabilities } = self.forward(&pixels);
        let (_, _, weights_2, _) = split(&self.parameters);
        let (slope_w1, slope_b1, slope_w2, slope_b2) = split_mut(gradient);

        // Together, softmax and cross-entropy have a simple slope.
        let mut by_score = probabilities;
        by_score[digit.label()] -= 1.0;
        add_scaled(slope_b2, 1.0, &by_score);
        for (unit, slopes) in hidden.iter().zip(slope_w2.chunks_exact_mut(CLASSES)) {
            add_scaled(slopes, *unit, &by_score);
        }

        let mut by_hidden = [0.0; HIDDEN];
        for ((slope, unit), weights) in by_hidden.iter_mut().zip(&hidden).zip(weights_2.chunks_exact(CLASSES))
        {
            if *unit > 0.0 {
                *slope = weights.iter().zip(&by_score).map(|(weight, slope)| weight * slope).sum();
            }
        }
        add_scaled(slope_b1, 1.0, &by_hidden);
        for (pixel, slopes) in pixels.iter().zip(slope_w1.chunks_exact_mut(HIDDEN)) {
            add_scaled(slopes, *pixel, &by_hidden);
        }
        cross_entropy(probabilities[digit.label()])
    }
}

impl Default for Network {
    /// All zeros, to be overwritten: a network of zeros cannot learn.
    fn default() -> Self {
        Self { parameters: vec![0.0; PARAMETERS] }
    }
}

struct Forward {
    hidden: [f32; HIDDEN],
    probabilities: [f32; CLASSES],
}

/// The parts of a network's parameters: weights and biases of the first layer, then of the second.
fn split(parameters: &[f32]) -> (&[f32], &[f32], &[f32], &[f32]) {
    (
        &parameters[..BIAS_1],
        &parameters[BIAS_1..WEIGHTS_2],
        &parameters[WEIGHTS_2..BIAS_2],
        &parameters[BIAS_2..],
    )
}

fn split_mut(parameters: &mut [f32]) -> (&mut [f32], &mut [f32], &mut [f32], &mut [f32]) {
    let (layer_1, layer_2) = parameters.split_at_mut(WEIGHTS_2);
    let (weights_1, bias_1) = layer_1.split_at_mut(BIAS_1);
    let (weights_2, bias_2) = layer_2.split_at_mut(BIAS_2 - WEIGHTS_2);
    (weights_1, bias_1, weights_2, bias_2)
}

fn add_scaled(sum: &mut [f32], factor: f32, terms: &[f32]) {
    // Half of the pixels are paper and half of the units are off.
    if factor != 0.0 {
        sum.iter_mut().zip(terms).for_each(|(sum, term)| *sum += factor * term);
    }
}

fn softmax(mut scores: [f32; CLASSES]) -> [f32; CLASSES] {
    let largest = scores.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    scores.iter_mut().for_each(|score| *score = (*score - largest).exp());
    let sum: f32 = scores.iter().sum();
    scores.map(|score| score / sum)
}

/// The loss of a digit, by the probability that the network gives to its label. A probability too small for a
/// float counts as the smallest there is: being very sure and wrong is bad, but not infinitely so.
fn cross_entropy(probability: f32) -> f64 {
    // Not `max`, which prefers any number to NaN.
    let floored = if probability < f32::MIN_POSITIVE { f32::MIN_POSITIVE } else { probability };
    -f64::from(floored).ln()
}

#[cfg(test)]
mod tests {
    // By name, as proptest's prelude has an `Rng` too.
    use fastrand::Rng;
    use proptest::prelude::*;

    use super::*;
    use crate::data::Digits;

    #[test]
    fn the_gradient_is_that_of_finite_differences() {
        let digits = &Digits::embedded().unwrap().training[..8];
        let mut network = Network::random(&mut Rng::with_seed(5));
        let mut gradient = vec![0.0; PARAMETERS];
        let total: f64 = digits.iter().map(|digit| network.backward(digit, &mut gradient)).sum();
        assert!((total / 8.0 - network.evaluate(digits).loss).abs() < 1e-6);

        let step = 1.0 / 256.0;
        let mut measured = vec![0.0; PARAMETERS];
        for (index, slope) in measured.iter_mut().enumerate() {
            let middle = network.parameters[index];
            let mut loss_at = |parameter| {
                network.parameters[index] = parameter;
                network.evaluate(digits).loss * digits.len() as f64
            };
            let difference = loss_at(middle + step) - loss_at(middle - step);
            *slope = (difference / f64::from(2.0 * step)) as f32;
            network.parameters[index] = middle;
        }
        let (w1, b1, w2, b2) = split(&gradient);
        let (measured_w1, measured_b1, measured_w2, measured_b2) = split(&measured);
        let parts = [(w1, measured_w1), (b1, measured_b1), (w2, measured_w2), (b2, measured_b2)];
        let length = |numbers: &[f32]| numbers.iter().map(|n| n * n).sum::<f32>().sqrt();
        for (part, (reckoned, measured)) in parts.into_iter().enumerate() {
            let difference: Vec<f32> = reckoned.iter().zip(measured).map(|(a, b)| a - b).collect();
            assert!(length(reckoned) > 0.1, "part {part} has a slope");
            let error = length(&difference) / length(measured);
            assert!(error < 0.01, "part {part} is off by {error}");
        }
    }

    #[test]
    fn one_network_trained_on_everything_does_as_well_as_is_published() {
        let Digits { training, held_out } = Digits::embedded().unwrap();
        let mut random = Rng::with_seed(0);
        let mut network = Network::random(&mut random);
        let untrained = network.evaluate(&held_out);
        assert!(untrained.accuracy < 0.3, "{untrained:?}");
        for _ in 0..30 {
            network.train_epoch(&training, 16, 0.5, &mut random);
        }
        let Evaluation { accuracy, .. } = network.evaluate(&held_out);
        // On this split, scikit-learn's logistic regression reaches 0.933 and its nearest neighbours 0.961.
        // Nothing of this size does much better; more would mean that held-out digits were trained on.
        assert!((0.94..0.99).contains(&accuracy), "{accuracy}");
    }

    #[test]
    fn training_lowers_the_loss_and_repeats_itself() {
        let digits = &Digits::embedded().unwrap().training[..200];
        let train = || {
            let mut random = Rng::with_seed(1);
            let mut network = Network::random(&mut random);
            let losses: Vec<f64> =
                (0..5).map(|_| network.train_epoch(digits, 16, 0.5, &mut random)).collect();
            (network, losses)
        };
        let (network, losses) = train();
        assert!(losses[4] < losses[0] / 2.0, "{losses:?}");
        assert_eq!((network, losses), train());
    }

    #[test]
    fn a_short_batch_makes_a_short_step() {
        let digits = &Digits::embedded().unwrap().training[..3];
        let start = Network::random(&mut Rng::with_seed(1));
        let moved = |batch| {
            let mut network = start.clone();
            network.train_epoch(digits, batch, 0.5, &mut Rng::with_seed(1));
            let moves =
                network.parameters.iter().zip(&start.parameters).map(|(after, before)| after - before);
            f64::from(moves.map(|by| by * by).sum::<f32>()).sqrt()
        };
        assert!((moved(3) / moved(12) - 4.0).abs() < 0.01, "{} and {}", moved(3), moved(12));
    }

    #[test]
    fn a_divergence_shows() {
        let digits = &Digits::embedded().unwrap().training[..200];
        let mut random = Rng::with_seed(1);
        let mut network = Network::random(&mut random);
        let losses: Vec<f64> = (0..5).map(|_| network.train_epoch(digits, 16, 1e30, &mut random)).collect();
        assert!(!losses[4].is_finite(), "{losses:?}");
        assert_eq!(network.evaluate(digits).accuracy, 0.0, "what is no number names no digit");
    }

    #[test]
    fn a_network_that_cannot_decide_is_never_right() {
        let digits = &Digits::embedded().unwrap().held_out;
        let Evaluation { accuracy, loss } = Network::default().evaluate(digits);
        assert_eq!(accuracy, 0.0);
        assert!((loss - f64::ln(10.0)).abs() < 1e-6, "{loss}");
    }

    #[test]
    fn other_lengths_are_refused() {
        assert_eq!(Network::from_bytes(&[0; 7]), Err(NetworkError::Bytes(7)));
        assert_eq!(Network::from_bytes(&[0; 8]), Err(NetworkError::ParameterCount(2)));
        assert_eq!(Network::from_parameters(vec![0.0; 9]), Err(NetworkError::ParameterCount(9)));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(16))]

        #[test]
        fn parameters_survive_a_file_to_the_last_bit(
            bits in prop::collection::vec(any::<u32>(), PARAMETERS),
        ) {
            let network = Network::from_parameters(bits.iter().copied().map(f32::from_bits).collect()).unwrap();
            let read = Network::from_bytes(&network.to_bytes()).unwrap();
            prop_assert!(read.parameters().iter().map(|parameter| parameter.to_bits()).eq(bits));
        }
    }
}
