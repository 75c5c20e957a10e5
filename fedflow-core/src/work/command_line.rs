//! `CommandLine`: a program and its arguments in one piece of memory.

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// The byte that ends an argument. It never occurs in UTF-8.
const END: u8 = 0xff;

/// A program and its arguments.
///
/// In a large sweep every task has its own command. The texts therefore lie one after the other in one block, which
/// takes a third of the memory of a list of texts.
///
/// ```
/// use fedflow_core::CommandLine;
/// let command: CommandLine = ["python3", "train.py", "--seed", "7"].into_iter().collect();
/// assert_eq!(command.program(), Some("python3"));
/// assert_eq!(command.iter().nth(3), Some("7"));
/// ```
#[derive(Clone, PartialEq, Eq, Hash, Default)]
pub struct CommandLine(Box<[u8]>);

impl CommandLine {
    /// The program, which is the first text; `None` if there is no text.
    #[must_use]
    pub fn program(&self) -> Option<&str> {
        self.iter().next()
    }

    /// The program and its arguments.
    pub fn iter(&self) -> impl Iterator<Item = &str> {
        self.0.split_inclusive(|byte| *byte == END).map(|argument| {
            let text = argument.strip_suffix(&[END]).unwrap_or(argument);
            // The bytes were a text when they were put in.
            std::str::from_utf8(text).unwrap_or_default()
        })
    }

    /// The program and its arguments, as a list of texts.
    #[must_use]
    pub fn to_vec(&self) -> Vec<String> {
        self.iter().map(str::to_owned).collect()
    }

    /// Whether there is no text, not even a program.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl<S: AsRef<str>> FromIterator<S> for CommandLine {
    fn from_iter<I: IntoIterator<Item = S>>(arguments: I) -> Self {
        let mut bytes = Vec::new();
        for argument in arguments {
            bytes.extend_from_slice(argument.as_ref().as_bytes());
            bytes.push(END);
        }
        Self(bytes.into())
    }
}

impl From<Vec<String>> for CommandLine {
    fn from(arguments: Vec<String>) -> Self {
        arguments.into_iter().collect()
    }
}

impl fmt::Debug for CommandLine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Like a list of texts: the fingerprint of a group depends on it.
        f.debug_list().entries(self.iter()).finish()
    }
}

impl Serialize for CommandLine {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.iter())
    }
}

impl<'de> Deserialize<'de> for CommandLine {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Ok(Vec::deserialize(deserializer)?.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn any_texts_come_back(texts in prop::collection::vec(".*", 0..6)) {
            let command = CommandLine::from(texts.clone());
            prop_assert_eq!(command.to_vec(), texts.clone());
            prop_assert_eq!(format!("{command:?}"), format!("{texts:?}"));
            prop_assert_eq!(command.program(), texts.first().map(String::as_str));
            let json = serde_json::to_string(&command).unwrap();
            prop_assert_eq!(&json, &serde_json::to_string(&texts).unwrap());
            prop_assert_eq!(serde_json::from_str::<CommandLine>(&json).unwrap(), command);
        }
    }

    #[test]
    fn an_empty_argument_is_an_argument() {
        let command: CommandLine = ["a", "", "\0"].into_iter().collect();
        assert_eq!(command.iter().collect::<Vec<_>>(), ["a", "", "\0"]);
        assert!(CommandLine::default().is_empty() && CommandLine::default().program().is_none());
    }
}
