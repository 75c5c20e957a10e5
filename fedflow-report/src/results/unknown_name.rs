//! `UnknownName`: a value, a parameter or a column was asked for by a name that none has.

use std::fmt;

/// How many names are told.
const TOLD: usize = 20;

/// A name that nothing has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnknownName {
    /// What was asked for, such as `value`.
    pub what: &'static str,
    /// The name.
    pub name: String,
    /// The names that there are.
    pub known: Vec<String>,
}

impl fmt::Display for UnknownName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "no {} named {}; there ", self.what, self.name)?;
        if self.known.is_empty() {
            return f.write_str("is none");
        }
        let told: Vec<&str> = self.known.iter().take(TOLD).map(String::as_str).collect();
        let verb = if told.len() == 1 { "is" } else { "are" };
        write!(f, "{verb}: {}", told.join(", "))?;
        match self.known.len() - told.len() {
            0 => Ok(()),
            more => write!(f, " and {more} more"),
        }
    }
}

impl std::error::Error for UnknownName {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_tells_what_there_is() {
        let known = |known: &[&str]| UnknownName {
            what: "value",
            name: "acc".into(),
            known: known.iter().map(|name| (*name).to_owned()).collect(),
        };
        assert_eq!(known(&["accuracy", "loss"]).to_string(), "no value named acc; there are: accuracy, loss");
        assert_eq!(known(&[]).to_string(), "no value named acc; there is none");
        let many: Vec<_> = (0..30).map(|place| place.to_string()).collect();
        let many: Vec<_> = many.iter().map(String::as_str).collect();
        assert!(known(&many).to_string().ends_with(", 19 and 10 more"));
    }
}
