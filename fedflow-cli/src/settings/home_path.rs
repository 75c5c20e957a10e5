//! Paths that begin with `~`, which is the user's home directory as in a shell.

use std::path::{Path, PathBuf};

use crate::run::home_directory;

/// A text with the home directory in place of its `~`, if it is `~` or begins with `~/`; `None` for any other text, and if
/// the environment names no home directory.
#[must_use]
pub(crate) fn at_home(text: &str) -> Option<String> {
    if text != "~" && !text.starts_with("~/") {
        return None;
    }
    below(&home_directory()?.into_os_string().into_string().ok()?, text)
}

/// A path that was typed, with the home directory in place of its `~`. A shell does that itself, but not after a `=`.
#[must_use]
pub(crate) fn typed_path(path: &Path) -> PathBuf {
    path.to_str().and_then(at_home).map_or_else(|| path.to_owned(), PathBuf::from)
}

fn below(home: &str, text: &str) -> Option<String> {
    Some(format!("{}{}", home.trim_end_matches('/'), text.strip_prefix('~')?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_tilde_of_its_own_is_the_home_directory() {
        assert_eq!(below("/home/a/", "~/data"), Some("/home/a/data".into()));
        assert_eq!(below("/home/a", "~"), Some("/home/a".into()));
        for text in ["", "~user/data", "a/~/b", "--data=~/x", "~~", "/~"] {
            assert_eq!(at_home(text), None, "{text}");
        }
        assert_eq!(typed_path(Path::new("res")), Path::new("res"));
    }
}
