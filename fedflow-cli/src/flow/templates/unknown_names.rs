//! The filters and tests that a template names and that do not exist, wherever they stand. Rendering finds only those
//! that it comes to.

use minijinja::{Environment, Error, ErrorKind, State};

use super::tokens::{Token, tokens};

/// What minijinja has under a name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Filter,
    Test,
}

/// The filters that most templates need, for hints.
const FILTERS: [&str; 28] = [
    "abs", "bool", "default", "dictsort", "first", "float", "format", "int", "items", "join", "last",
    "length", "list", "lower", "map", "max", "min", "replace", "round", "select", "sort", "split", "string",
    "sum", "title", "tojson", "unique", "upper",
];

/// A name that stands for nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct UnknownName {
    /// What minijinja says of it when it comes to it.
    pub(super) error: String,
    /// The name, if it is that of a filter.
    filter: Option<String>,
}

impl UnknownName {
    /// The first filter or test of a template that the environment does not have.
    pub(super) fn find(source: &str, environment: &Environment<'_>) -> Option<Self> {
        let mut state = None;
        let named = names(source);
        let unknown = named
            .into_iter()
            .find(|(kind, name)| !kind.has(name, state.get_or_insert_with(|| environment.empty_state())));
        let (kind, name) = unknown?;
        Some(match kind {
            Kind::Filter => Self {
                error: format!("{}: filter {name} is unknown", ErrorKind::UnknownFilter),
                filter: Some(name.into()),
            },
            Kind::Test => {
                Self { error: format!("{}: test {name} is unknown", ErrorKind::UnknownTest), filter: None }
            }
        })
    }

    /// The filters of which one was most likely meant.
    pub(super) fn candidates(&self, environment: &Environment<'_>) -> Option<(&str, Vec<&'static str>)> {
        let mut state = environment.empty_state();
        let known = FILTERS.into_iter().filter(|name| Kind::Filter.has(name, &mut state));
        Some((self.filter.as_deref()?, known.collect()))
    }
}

impl Kind {
    /// Whether there is something of this kind with a name.
    fn has(self, name: &str, state: &mut State<'_, '_>) -> bool {
        // Without arguments nothing is done: what is there asks for some.
        let (called, unknown): (Result<(), Error>, _) = match self {
            Self::Filter => (state.apply_filter(name, &[]).map(drop), ErrorKind::UnknownFilter),
            Self::Test => (state.perform_test(name, &[]).map(drop), ErrorKind::UnknownTest),
        };
        called.err().is_none_or(|error| error.kind() != unknown)
    }
}

/// The filters and tests that a template names, in their order.
fn names(source: &str) -> Vec<(Kind, &str)> {
    let (mut found, mut is_raw) = (Vec::new(), false);
    for tokens in tokens(source) {
        let mut words = tokens.iter().filter_map(|token| match token {
            Token::Word(word) => Some(*word),
            _ => None,
        });
        match (words.next(), words.next()) {
            (Some("endraw"), None) => is_raw = false,
            _ if is_raw => continue,
            (Some("raw"), None) => is_raw = true,
            // A whole block that goes through a filter.
            (Some("filter"), Some(name)) => found.push((Kind::Filter, name)),
            _ => {}
        }
        (0..tokens.len()).for_each(|place| found.extend(named_at(&tokens, place)));
    }
    found
}

/// The filter or the test that is named at a place.
fn named_at<'s>(tokens: &[Token<'s>], place: usize) -> Option<(Kind, &'s str)> {
    let before = |back: usize| place.checked_sub(back).and_then(|place| tokens.get(place));
    match (before(3), before(2), before(1), tokens.get(place)?) {
        (_, _, Some(Token::Sign('|')), Token::Word(name)) => Some((Kind::Filter, *name)),
        (_, Some(Token::Sign('.')), Some(Token::Word("is")), _) => None,
        (_, _, Some(Token::Word("is")), Token::Word(name)) if *name != "not" => Some((Kind::Test, *name)),
        (_, Some(Token::Word("is")), Some(Token::Word("not")), Token::Word(name)) => {
            Some((Kind::Test, *name))
        }
        // Filters that are given the name of another one, or of a test.
        (Some(Token::Sign('|')), Some(Token::Word("map")), Some(Token::Sign('(')), Token::Text(name)) => {
            Some((Kind::Filter, *name))
        }
        (
            Some(Token::Sign('|')),
            Some(Token::Word("select" | "reject")),
            Some(Token::Sign('(')),
            Token::Text(name),
        ) => Some((Kind::Test, *name)),
        (Some(Token::Sign('(')), Some(Token::Text(_)), Some(Token::Sign(',')), Token::Text(name)) => {
            let filter = [before(5), before(4)];
            let takes_test =
                matches!(filter, [Some(Token::Sign('|')), Some(Token::Word("selectattr" | "rejectattr"))]);
            takes_test.then_some((Kind::Test, *name))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn unknown(source: &str) -> Option<String> {
        UnknownName::find(source, &Environment::new()).map(|unknown| unknown.error)
    }

    #[test]
    fn unknown_names_are_found_wherever_they_stand() {
        for source in [
            "{{ a | nope }}",
            "{{ a|upper|nope(1) }}",
            "{% if false %}{{ a | nope }}{% endif %}",
            "[{% for s in range(3) %}{{ result('train', s) | nope }}{% endfor %}]",
            "{% filter nope %}x{% endfilter %}",
            "{% set a = b | nope %}",
            "{{ a | map('nope') | list }}",
            "{{ {'k': a | nope} }}",
        ] {
            assert_eq!(
                unknown(source).as_deref(),
                Some("unknown filter: filter nope is unknown"),
                "{source}"
            );
        }
        for source in [
            "{{ a is nope }}",
            "{{ a is not nope }}",
            "{{ a | select('nope') }}",
            "{{ a | rejectattr('x', 'nope', 1) }}",
        ] {
            assert_eq!(unknown(source).as_deref(), Some("unknown test: test nope is unknown"), "{source}");
        }
    }

    #[test]
    fn what_is_no_filter_and_no_test_is_left_alone() {
        for source in [
            "a | nope",
            "{{ 'a | nope' }}",
            "{# a | nope #}",
            "{% raw %}{{ a | nope }}{% endraw %}",
            "{{ a.is }} {{ b.is or nope }}",
            "{{ nope is defined and a is not none and 3 is odd }}",
            "{{ a | map(attribute='nope') | join('|nope') }}",
            "{{ a | select('odd') | selectattr('nope', '==', 1) }}",
            "{{ a|map('upper')|replace('nope', 'x') }}",
        ] {
            assert_eq!(unknown(source), None, "{source}");
        }
    }

    /// What is said does not depend on whether rendering comes to it: a group's fingerprint has it.
    #[test]
    fn it_is_said_as_rendering_says_it() {
        let environment = Environment::new();
        for source in ["{{ 1 | nope }}", "{{ 1 is nope }}"] {
            let error = environment.render_str(source, ()).unwrap_err();
            let said = format!("{}: {}", error.kind(), error.detail().unwrap());
            assert_eq!(unknown(source), Some(said));
        }
    }

    #[test]
    fn hints_name_what_there_is() {
        let found = UnknownName::find("{{ a | lengt }}", &Environment::new()).unwrap();
        let environment = Environment::new();
        let (name, known) = found.candidates(&environment).unwrap();
        assert!(name == "lengt" && known.contains(&"length"));
        assert!(known.len() + 1 >= FILTERS.len(), "Fedflow adds tojson");
    }
}
