//! A Rust worker's first words: one line of JSON on descriptor 0.

use fedflow_core::{Dict, Value};

use super::json::write_dict;
use super::limits::VERSION;

/// What a worker says of itself before it has a channel.
#[derive(Debug, Clone, PartialEq, Eq)]
#[cfg_attr(feature = "host", derive(serde::Deserialize))]
pub(crate) struct Hello {
    /// The version of the protocol. It comes first in every version, so that a newer worker can be refused by it.
    pub(crate) version: u32,
    /// The token that the supervisor put into the worker's environment.
    pub(crate) token: String,
    /// Where the worker's one-shot server listens, inside the directory that it was given.
    pub(crate) server: String,
    /// The task kinds that the worker knows.
    pub(crate) kinds: Vec<String>,
}

impl Hello {
    /// The line that is sent, its line feed included.
    pub(crate) fn into_line(self) -> String {
        let members = [
            ("version", Value::Int(self.version.into())),
            ("token", Value::Text(self.token)),
            ("server", Value::Text(self.server)),
            ("kinds", texts(self.kinds)),
        ];
        line(Dict::from(members))
    }
}

/// The line with which a worker lists its task kinds, its line feed included. It also says in which version of the protocol
/// it answers questions about parameters.
pub(crate) fn kinds_line(kinds: &[&str]) -> String {
    line(Dict::from([("kinds", texts(kinds.iter().copied())), ("params", Value::Int(VERSION.into()))]))
}

fn texts(texts: impl IntoIterator<Item = impl Into<String>>) -> Value {
    Value::List(texts.into_iter().map(|text| Value::Text(text.into())).collect())
}

/// A dictionary as one line.
pub(super) fn line(dict: Dict) -> String {
    let mut line = String::new();
    write_dict(&mut line, &dict);
    line.push('\n');
    line
}

#[cfg(feature = "host")]
#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hello_is_one_line_that_is_read_again() {
        let hello = Hello {
            version: 2,
            token: "t".into(),
            server: "/run/\"s\"".into(),
            kinds: vec!["a".into(), "b\n".into()],
        };
        let line = hello.clone().into_line();
        assert_eq!(
            line,
            "{\"version\":2,\"token\":\"t\",\"server\":\"/run/\\\"s\\\"\",\"kinds\":[\"a\",\"b\\n\"]}\n"
        );
        assert_eq!(serde_json::from_str::<Hello>(&line).unwrap(), hello);
        assert_eq!(kinds_line(&["a"]), format!("{{\"kinds\":[\"a\"],\"params\":{VERSION}}}\n"));
    }
}
