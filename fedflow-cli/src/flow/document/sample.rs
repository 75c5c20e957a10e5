//! Draws a sample: which of the candidates it has depends on nothing but what it is asked with.

use fedflow_core::{Fnv1a, PlainValue, Value};

use super::super::templates::{GroupScope, to_core};

/// The version of the way in which samples are drawn. Runs that began with one go on with it.
const VERSION: &str = "fedflow-sample-1";

/// The places of `count` of the candidates, in their order.
///
/// A text is made of the version, the run's first seed, the name of the variable, the candidates, the variables around the
/// group and the rounds, each as JSON and each ended by a zero byte. A candidate's rank is the FNV-1a hash, of 64 bits, of
/// this text with its place in decimal behind it, mixed by the finalizer of `splitmix64`. The candidates of the lowest ranks
/// are the sample.
pub(super) fn draw(
    seed: u64,
    name: &str,
    candidates: &[minijinja::Value],
    group: &GroupScope,
    count: usize,
) -> Vec<usize> {
    let list = |values: &mut dyn Iterator<Item = &minijinja::Value>| {
        Value::List(values.map(|value| to_core(value).unwrap_or_default()).collect())
    };
    let outer = group
        .outer()
        .iter()
        .map(|(name, value)| Value::List(vec![name.as_ref().into(), to_core(value).unwrap_or_default()]));
    let rounds = group.rounds().iter().map(|round| Value::from(*round));
    let asked = [
        VERSION.into(),
        seed.to_string().as_str().into(),
        name.into(),
        list(&mut candidates.iter()),
        Value::List(outer.collect()),
        Value::List(rounds.collect()),
    ];
    let mut text = String::new();
    for part in &asked {
        text.push_str(&serde_json::to_string(&PlainValue(part)).unwrap_or_default());
        text.push('\0');
    }
    let begun = Fnv1a::default().with(&text);
    let mut ranked: Vec<(u64, usize)> =
        (0..candidates.len()).map(|place| (mixed(begun.with(&place.to_string()).value()), place)).collect();
    ranked.sort_unstable();
    let mut drawn: Vec<usize> = ranked.into_iter().take(count).map(|(_, place)| place).collect();
    drawn.sort_unstable();
    drawn
}

fn mixed(hash: u64) -> u64 {
    let hash = (hash ^ (hash >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let hash = (hash ^ (hash >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    hash ^ (hash >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn drawn(seed: u64, name: &str, round: u32) -> Vec<usize> {
        let candidates: Vec<minijinja::Value> = (0..100).map(minijinja::Value::from).collect();
        draw(seed, name, &candidates, &GroupScope::default().in_round(round), 5)
    }

    #[test]
    fn the_same_question_has_the_same_answer_for_ever() {
        assert_eq!(drawn(0, "client", 1), TEST_VECTOR);
        for other in [drawn(1, "client", 1), drawn(0, "other", 1), drawn(0, "client", 2)] {
            assert_ne!(other, TEST_VECTOR);
        }
    }

    /// Made once, and never changed: runs that have begun go on with it.
    const TEST_VECTOR: [usize; 5] = [32, 46, 53, 78, 91];

    #[test]
    fn every_candidate_has_its_chance() {
        let mut times = [0_u32; 100];
        for round in 1..=2_000 {
            for place in drawn(7, "client", round) {
                times[place] += 1;
            }
        }
        // 100 each; the deviation of such a number is 10.
        assert!(times.iter().all(|times| (50..150).contains(times)), "{times:?}");
    }
}
