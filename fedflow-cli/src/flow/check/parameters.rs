//! The parameters of which workers are asked whether they fit: one set of each shape, then others, within bounds.

use std::collections::{BTreeMap, HashSet};
use std::hash::{DefaultHasher, Hash, Hasher};

use fedflow_core::{Dict, Value};
use fedflow_worker::ParamsQuestion;

use crate::diagnostic::Span;

/// For how many shapes of parameters a worker is asked.
const MOST_SHAPES: usize = 256;
/// For how many sets of parameters it is asked beside those: one value of a shape may fit and another not.
const MOST_OTHERS: usize = 256;

/// What the workers of a flow are asked, by worker.
#[derive(Default)]
pub(super) struct Parameters {
    by_worker: BTreeMap<String, Asked>,
}

#[derive(Default)]
struct Asked {
    seen: HashSet<u64>,
    shapes: Vec<Question>,
    others: Vec<Question>,
}

/// Parameters, and the first task that has them.
pub(super) struct Question {
    pub(super) asked: ParamsQuestion,
    /// Where its parameters stand.
    pub(super) span: Span,
    /// The task, with its group.
    pub(super) task: String,
}

impl Parameters {
    /// A task of a worker has these parameters.
    pub(super) fn add(
        &mut self,
        (worker, kind): (&str, &str),
        params: &Dict,
        span: Span,
        task: impl FnOnce() -> String,
    ) {
        if !self.by_worker.contains_key(worker) {
            self.by_worker.insert(worker.into(), Asked::default());
        }
        let Some(asked) = self.by_worker.get_mut(worker) else { return };
        let question = || Question {
            asked: ParamsQuestion { kind: kind.into(), params: params.clone() },
            span,
            task: task(),
        };
        if asked.shapes.len() < MOST_SHAPES && asked.seen.insert(hash_of(kind, params, Part::Shape)) {
            asked.seen.insert(hash_of(kind, params, Part::All));
            asked.shapes.push(question());
        } else if asked.others.len() < MOST_OTHERS && asked.seen.insert(hash_of(kind, params, Part::All)) {
            asked.others.push(question());
        }
    }

    /// The questions for a worker.
    pub(super) fn of(&mut self, worker: &str) -> Vec<Question> {
        let Asked { mut shapes, others, .. } = self.by_worker.remove(worker).unwrap_or_default();
        shapes.extend(others);
        shapes
    }
}

/// What of parameters counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Part {
    /// The names, and the types of the values.
    Shape,
    All,
}

fn hash_of(kind: &str, params: &Dict, part: Part) -> u64 {
    let mut hasher = DefaultHasher::new();
    (part, kind).hash(&mut hasher);
    hash_dict(params, part, &mut hasher);
    hasher.finish()
}

fn hash_dict(dict: &Dict, part: Part, hasher: &mut impl Hasher) {
    dict.len().hash(hasher);
    for (key, value) in dict.iter() {
        key.hash(hasher);
        hash_value(value, part, hasher);
    }
}

fn hash_value(value: &Value, part: Part, hasher: &mut impl Hasher) {
    value.kind().hash(hasher);
    match value {
        Value::Dict(dict) => hash_dict(dict, part, hasher),
        // Lists of one shape have elements of one type, mostly.
        Value::List(list) if part == Part::Shape => {
            list.first().into_iter().for_each(|first| hash_value(first, part, hasher));
        }
        Value::List(list) => list.iter().for_each(|element| hash_value(element, part, hasher)),
        _ if part == Part::Shape => {}
        Value::Null => {}
        Value::Bool(bool) => bool.hash(hasher),
        Value::Int(int) => int.hash(hasher),
        Value::Float(float) => float.to_bits().hash(hasher),
        Value::Text(text) => text.hash(hasher),
        Value::Bytes(bytes) => bytes.hash(hasher),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_worker_is_asked_for_each_shape_and_for_some_values() {
        let mut parameters = Parameters::default();
        let mut add = |kind: &str, params: Dict| {
            parameters.add(("w", kind), &params, Span::default(), || "g/t".into());
        };
        for seed in 0..100_000_i64 {
            add("k", Dict::from([("seed", seed)]));
        }
        add("k", Dict::from([("seed", "text")]));
        add("k", Dict::from([("seed", "text")]));
        add("other", Dict::from([("seed", 0_i64)]));
        let questions = parameters.of("w");
        assert_eq!(questions.len(), MOST_OTHERS + 3);
        let shapes: Vec<_> = questions.iter().take(3).map(|question| question.asked.kind.as_str()).collect();
        assert_eq!(shapes, ["k", "k", "other"]);
        assert!(parameters.of("w").is_empty());
    }
}
