//! `GroupPattern`: which groups are meant, as a text with `*` and `?`.

/// A pattern of names: `*` is any text, `?` any character.
pub(super) struct GroupPattern(Vec<char>);

impl GroupPattern {
    pub(super) fn new(pattern: &str) -> Self {
        Self(pattern.chars().collect())
    }

    /// Whether the whole name matches. It goes back to the last `*` only, so it takes no more steps than the product of both
    /// lengths.
    pub(super) fn matches(&self, name: &str) -> bool {
        let (pattern, name) = (&self.0, name.chars().collect::<Vec<_>>());
        let (mut at, mut place) = (0, 0);
        let mut last_star: Option<(usize, usize)> = None;
        while place < name.len() {
            match pattern.get(at) {
                Some('*') => {
                    last_star = Some((at, place));
                    at += 1;
                }
                Some(&wanted) if wanted == '?' || wanted == name[place] => {
                    at += 1;
                    place += 1;
                }
                _ => {
                    let Some((star, taken)) = last_star else { return false };
                    last_star = Some((star, taken + 1));
                    at = star + 1;
                    place = taken + 1;
                }
            }
        }
        pattern[at..].iter().all(|&rest| rest == '*')
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn names_match_as_in_a_shell() {
        let matches = |pattern: &str, name: &str| GroupPattern::new(pattern).matches(name);
        for (pattern, name) in [
            ("train", "train"),
            ("train-*", "train-12"),
            ("*", ""),
            ("*-?", "a-b-c"),
            ("a*b*c", "aXbXbc"),
            ("é?", "éß"),
        ] {
            assert!(matches(pattern, name), "{pattern} {name}");
        }
        for (pattern, name) in [("train", "train-1"), ("?", ""), ("a*b", "abc"), ("", "a"), ("*-?", "a-")] {
            assert!(!matches(pattern, name), "{pattern} {name}");
        }
    }

    proptest! {
        #[test]
        fn a_name_matches_itself_and_whatever_was_starred(name in "[a-c]{0,8}", from in 0_usize..8, to in 0_usize..8) {
            prop_assert!(GroupPattern::new(&name).matches(&name));
            let (from, to) = (from.min(name.len()), to.min(name.len()));
            if from <= to {
                let starred = format!("{}*{}", &name[..from], &name[to..]);
                prop_assert!(GroupPattern::new(&starred).matches(&name));
                let other = starred + "d";
                prop_assert!(!GroupPattern::new(&other).matches(&name));
            }
        }
    }
}
