//! Identifiers of tasks and groups: text that is safe as a directory name.

use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use unicode_normalization::is_nfc;

/// The longest identifier, in bytes of UTF-8.
pub const MAX_NAME_BYTES: usize = 128;

/// Names that Fedflow itself uses inside a run directory or a task's directory.
const RESERVED: [&str; 5] = ["reports", "report.html", "results.json", "results.csv", "checkpoints"];

/// The identifier of a task or the name of a group.
///
/// It becomes a directory name, so it is 1 to 128 bytes of letters and digits of any script and `._-+=@,()`,
/// in Unicode's NFC, does not begin with `.` or `-`, and is no name that Fedflow uses there itself.
/// A clone shares the text.
///
/// ```
/// use fedflow_core::Name;
/// assert_eq!(Name::new("client-3")?.as_str(), "client-3");
/// assert_eq!(Name::from(3_u64).as_str(), "3");
/// assert!(Name::new("../etc").is_err());
/// # Ok::<(), fedflow_core::NameError>(())
/// ```
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Name(Arc<str>);

/// Why a text cannot be an identifier.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    /// The text is empty.
    #[error("an identifier must not be empty")]
    Empty,
    /// The text is longer than [`MAX_NAME_BYTES`].
    #[error("{0:?} is {1} bytes long; an identifier has at most {MAX_NAME_BYTES}")]
    TooLong(String, usize),
    /// The text begins with `.` or `-`.
    #[error("{0:?} begins with {1:?}; an identifier begins with a letter, a digit or one of _+=@,()")]
    BadStart(String, char),
    /// The text contains a character that is not allowed.
    #[error("{0:?} contains {1:?}; an identifier has letters, digits and ._-+=@,() only")]
    BadCharacter(String, char),
    /// The text is not in Unicode's normalization form C.
    #[error("{0:?} is not in Unicode's NFC; two spellings of one name would be two directories")]
    NotNfc(String),
    /// Fedflow uses this name itself.
    #[error("{0:?} is a name that Fedflow uses itself in the run directory")]
    Reserved(String),
}

impl Name {
    /// Takes a text as an identifier.
    ///
    /// # Errors
    /// Says which rule the text breaks.
    pub fn new(text: impl AsRef<str>) -> Result<Self, NameError> {
        let text = text.as_ref();
        let Some(first) = text.chars().next() else { return Err(NameError::Empty) };
        if text.len() > MAX_NAME_BYTES {
            return Err(NameError::TooLong(text.chars().take(24).chain("…".chars()).collect(), text.len()));
        }
        if matches!(first, '.' | '-') {
            return Err(NameError::BadStart(text.into(), first));
        }
        if let Some(bad) = text.chars().find(|c| !(c.is_alphanumeric() || "._-+=@,()".contains(*c))) {
            return Err(NameError::BadCharacter(text.into(), bad));
        }
        if !is_nfc(text) {
            return Err(NameError::NotNfc(text.into()));
        }
        if RESERVED.contains(&text) || is_kept_attempt(text) {
            return Err(NameError::Reserved(text.into()));
        }
        Ok(Self(text.into()))
    }

    /// The identifier as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// `client-3.attempt-1` is where a failed attempt of `client-3` is kept.
fn is_kept_attempt(text: &str) -> bool {
    text.rsplit_once(".attempt-")
        .is_some_and(|(_, number)| !number.is_empty() && number.bytes().all(|b| b.is_ascii_digit()))
}

macro_rules! from_integers {
    ($($integer:ty),*) => {$(
        impl From<$integer> for Name {
            /// An integer's decimal text; it never breaks a rule, as a negative sign cannot occur.
            fn from(number: $integer) -> Self {
                Self(number.to_string().into())
            }
        }
        impl IntoName for $integer {
            fn into_name(self) -> Result<Name, NameError> {
                Ok(self.into())
            }
        }
    )*};
}

/// What can be given as an identifier: text, or an integer (its decimal text).
pub trait IntoName {
    /// Turns it into a [`Name`].
    ///
    /// # Errors
    /// Says which rule the text breaks.
    fn into_name(self) -> Result<Name, NameError>;
}

from_integers!(u8, u16, u32, u64, usize);

impl IntoName for i32 {
    fn into_name(self) -> Result<Name, NameError> {
        Name::new(self.to_string())
    }
}

impl IntoName for i64 {
    fn into_name(self) -> Result<Name, NameError> {
        Name::new(self.to_string())
    }
}

impl IntoName for &str {
    fn into_name(self) -> Result<Name, NameError> {
        Name::new(self)
    }
}

impl IntoName for String {
    fn into_name(self) -> Result<Name, NameError> {
        Name::new(self)
    }
}

impl IntoName for Name {
    fn into_name(self) -> Result<Name, NameError> {
        Ok(self)
    }
}

impl TryFrom<String> for Name {
    type Error = NameError;

    fn try_from(text: String) -> Result<Self, NameError> {
        Self::new(text)
    }
}

impl From<Name> for String {
    fn from(name: Name) -> Self {
        name.0.as_ref().to_owned()
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl fmt::Debug for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn each_rule_has_its_error() {
        assert!(matches!(Name::new(""), Err(NameError::Empty)));
        assert!(matches!(Name::new("a".repeat(129)), Err(NameError::TooLong(..))));
        assert!(Name::new("a".repeat(128)).is_ok());
        assert!(matches!(Name::new(".hidden"), Err(NameError::BadStart(..))));
        assert!(matches!(Name::new("-rf"), Err(NameError::BadStart(..))));
        assert!(matches!(Name::new("a/b"), Err(NameError::BadCharacter(_, '/'))));
        assert!(matches!(Name::new("a b"), Err(NameError::BadCharacter(_, ' '))));
        assert!(matches!(Name::new("a\0"), Err(NameError::BadCharacter(_, '\0'))));
        assert!(matches!(Name::new("e\u{301}"), Err(NameError::BadCharacter(..) | NameError::NotNfc(_))));
        assert!(matches!(Name::new("reports"), Err(NameError::Reserved(_))));
        assert!(matches!(Name::new("client.attempt-12"), Err(NameError::Reserved(_))));
        assert!(Name::new("client.attempt-x").is_ok());
    }

    #[test]
    fn letters_of_any_script_pass() {
        for text in ["клиент-3", "客户端", "lr=0.1,seed=3", "a(1)+b@c", "é"] {
            assert!(Name::new(text).is_ok(), "{text}");
        }
        assert!((-3_i64).into_name().is_err());
    }

    proptest! {
        #[test]
        fn a_name_is_one_path_component(text in "\\PC{0,140}") {
            if let Ok(name) = Name::new(&text) {
                let path = std::path::Path::new(name.as_str());
                prop_assert_eq!(path.components().count(), 1);
                prop_assert!(matches!(path.components().next(), Some(std::path::Component::Normal(_))));
            }
        }
    }
}
