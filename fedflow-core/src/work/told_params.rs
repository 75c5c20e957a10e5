//! The parameters of a task that are told of it: what varies in an experiment, for tables and charts.

use crate::model::value::{Dict, Value};
use crate::work::spec::{Program, TaskSpec};

/// The longest value that is told, in bytes of JSON.
const MAX_BYTES: usize = 4 << 10;
/// What stands in place of a longer value: how many bytes it has.
const OMITTED: &str = "$omitted";

/// The parameters of a task that are told: its point of the experiment, then the parameters of a worker's task, the inner
/// one where two have one name. The environment of a command and the parameters for `train` are no part of it. A long
/// value is replaced by its length.
#[must_use]
pub fn told_params(spec: &TaskSpec) -> Dict {
    let none = Dict::default();
    let own = match spec.program.as_ref() {
        Program::Worker { .. } => &spec.params,
        Program::Command { .. } => &none,
    };
    let is_short = |dict: &Dict| dict.iter().all(|(_, value)| json_bytes(value) <= MAX_BYTES);
    // Mostly one of the two is all, and is shared.
    match (spec.point.is_empty(), own.is_empty()) {
        (_, true) if is_short(&spec.point) => return spec.point.clone(),
        (true, false) if is_short(own) => return own.clone(),
        _ => {}
    }
    let mut told = Dict::new();
    for (name, value) in spec.point.iter().chain(own.iter()) {
        let bytes = json_bytes(value);
        if bytes <= MAX_BYTES {
            told.insert(name, value.clone());
        } else {
            let bytes = i64::try_from(bytes).unwrap_or(i64::MAX);
            told.insert(name, Dict::from([(OMITTED, bytes)]));
        }
    }
    told
}

/// About how long a value is as JSON, in bytes; a text without what is escaped in it.
fn json_bytes(value: &Value) -> usize {
    match value {
        Value::Null => 4,
        Value::Bool(_) => 5,
        Value::Int(int) => int.checked_ilog10().map_or(2, |digits| digits as usize + 1),
        Value::Float(_) => 18,
        Value::Text(text) => text.len() + 2,
        Value::Bytes(bytes) => bytes.len().div_ceil(3) * 4 + 14,
        Value::List(list) => list.iter().map(|value| json_bytes(value) + 1).sum::<usize>() + 2,
        Value::Dict(dict) => {
            dict.iter().map(|(key, value)| key.len() + 4 + json_bytes(value)).sum::<usize>() + 2
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::Name;

    fn spec(program: Program, point: Dict, params: Dict) -> TaskSpec {
        let mut spec = TaskSpec::of(Name::new("t").unwrap(), Arc::new(program), params);
        spec.point = point;
        spec.with_train_params(Dict::from([("weights", 1.0)]))
    }

    #[test]
    fn the_inner_one_counts_and_an_environment_does_not() {
        let worker = Program::Worker { worker: "w".into(), kind: "k".into() };
        let point = Dict::from([("seed", 1_i64), ("lr", 2_i64)]);
        let told = told_params(&spec(worker.clone(), point.clone(), Dict::from([("lr", 0.1)])));
        let expected: Dict = [("seed", Value::Int(1)), ("lr", Value::Float(0.1))].into_iter().collect();
        assert_eq!(told, expected);
        assert!(told.iter().map(|(name, _)| name).eq(["seed", "lr"]), "outer to inner");
        let command = Program::Command { load: None, train: ["true"].into_iter().collect() };
        assert_eq!(told_params(&spec(command, point.clone(), Dict::from([("PATH", "/bin")]))), point);
        assert_eq!(told_params(&spec(worker, Dict::new(), point.clone())), point);
    }

    #[test]
    fn a_long_value_is_told_by_its_length() {
        let worker = Program::Worker { worker: "w".into(), kind: "k".into() };
        let told =
            told_params(&spec(worker, Dict::from([("a", 1_i64)]), Dict::from([("text", "x".repeat(5000))])));
        let omitted = told.get("text").and_then(Value::as_dict).unwrap();
        assert_eq!(omitted.get(OMITTED), Some(&Value::Int(5002)));
        assert_eq!(told.get("a"), Some(&Value::Int(1)));
    }
}
