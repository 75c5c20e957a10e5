//! What a program asks a worker that it has described: whether parameters fit a task kind. A question and its answer are
//! one line of text each.

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use fedflow_core::{Dict, Value};

use super::codec;
use super::hello::line;

/// The line of a question, its line feed included; `None` if the parameters are larger than `limit`.
#[cfg(feature = "host")]
pub(crate) fn question_line(kind: &str, params: Dict, limit: u64) -> Option<String> {
    let question = Dict::from([("kind", Value::from(kind)), ("params", Value::Dict(params))]);
    let bytes = codec::encode(question, limit).ok()?;
    Some(format!("{}\n", BASE64_STANDARD.encode(bytes)))
}

/// The task kind and the parameters that a question is about; `None` if it is none.
pub(crate) fn read_question(line: &str) -> Option<(String, Dict)> {
    let bytes = BASE64_STANDARD.decode(line.trim_end()).ok()?;
    // The program that asks is trusted as a supervisor is.
    let question = codec::decode(&bytes, u64::MAX).ok()?;
    Some((question.get("kind")?.as_str()?.to_owned(), question.get("params")?.as_dict()?.clone()))
}

/// The line of an answer, its line feed included: what does not fit, or nothing.
pub(crate) fn answer_line(misfit: Option<&str>) -> String {
    line(Dict::from([("misfit", misfit.map_or(Value::Null, Value::from))]))
}

#[cfg(feature = "host")]
#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_question_is_read_as_it_was_asked() {
        let params = Dict::from([("lr", Value::from(f64::NAN)), ("text", "a\n\"b\"".into())]);
        let line = question_line("train", params, 1000).unwrap();
        assert_eq!(line.matches('\n').count(), 1);
        let (kind, params) = read_question(&line).unwrap();
        assert_eq!((kind.as_str(), params.len()), ("train", 2));
        assert!(params.get("lr").and_then(Value::as_f64).unwrap().is_nan());
        assert_eq!(read_question("no question\n"), None);
        assert_eq!(question_line("train", Dict::from([("x", "y".repeat(1000))]), 1000), None);
        assert_eq!(answer_line(None), "{\"misfit\":null}\n");
        assert_eq!(answer_line(Some("no\n\"x\"")), "{\"misfit\":\"no\\n\\\"x\\\"\"}\n");
    }
}
