//! Templates in the texts of a flow file: compiled once, rendered for every task.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::{Arc, LazyLock};

use fedflow_core::Value;
use minijinja::syntax::SyntaxConfig;
use minijinja::{AutoEscape, Environment, Error, ErrorKind, Expression, UndefinedBehavior};

use super::scope::Scope;
use super::template_value::{TemplateError, to_core};

/// How many steps one template may take: a mistake in a loop ends as an error.
const FUEL: u64 = 5_000_000;

/// How many words and signs the expressions of one template may have. minijinja reads some of them by recursion, and
/// half a thread's stack is enough for as many.
const MAX_TOKENS: usize = 1_000;

/// Expressions need no storage of their own, so one environment serves all of them.
static EXPRESSIONS: LazyLock<Environment<'static>> = LazyLock::new(environment);

/// Compiles the templates of one flow file, equal texts once.
#[derive(Clone)]
pub(crate) struct TemplateSet(Arc<Environment<'static>>);

/// A text with something to fill in.
#[derive(Clone)]
pub(crate) struct Template {
    form: Form,
    names: Arc<BTreeSet<String>>,
}

#[derive(Clone)]
enum Form {
    /// Exactly one expression: its value keeps its type.
    Expression(Arc<Expression<'static, 'static>>),
    /// Text around expressions, by its source in the environment that has compiled it.
    Text(TemplateSet, Arc<str>),
}

impl Default for TemplateSet {
    fn default() -> Self {
        let mut environment = environment();
        // A template's name is its source, so each is compiled once and kept as long as the flow.
        environment.set_loader(|source| Ok(Some(source.to_owned())));
        Self(Arc::new(environment))
    }
}

impl TemplateSet {
    /// Compiles a text; `None` if there is nothing to fill in.
    pub(crate) fn compile(&self, source: &str) -> Result<Option<Template>, TemplateError> {
        if !["{{", "{%", "{#"].iter().any(|mark| source.contains(mark)) {
            return Ok(None);
        }
        if count_tokens(source) > MAX_TOKENS {
            let message = format!("its expressions have more than {MAX_TOKENS} words and signs");
            return Err(TemplateError(message));
        }
        if let Some(inner) = lone_expression(source)
            && let Ok(expression) = EXPRESSIONS.compile_expression_owned(inner.to_owned())
        {
            let names = expression.undeclared_variables(false).into_iter().collect();
            let form = Form::Expression(Arc::new(expression));
            return Ok(Some(Template { form, names: Arc::new(names) }));
        }
        let template = self.0.get_template(source).map_err(|error| in_words(&error))?;
        let names = template.undeclared_variables(false).into_iter().collect();
        let form = Form::Text(self.clone(), source.into());
        Ok(Some(Template { form, names: Arc::new(names) }))
    }
}

impl Template {
    /// The names that it takes from outside: variables and functions.
    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        self.names.iter().map(String::as_str)
    }

    /// Its value: that of the expression if it is exactly one, text otherwise.
    pub(crate) fn value(&self, scope: &Scope) -> Result<Value, TemplateError> {
        match &self.form {
            Form::Expression(expression) => {
                let value = expression.eval(scope.root()).map_err(|error| in_words(&error))?;
                to_core(&value)
            }
            Form::Text(set, source) => set.render(source, scope).map(Value::from),
        }
    }
}

impl TemplateSet {
    fn render(&self, source: &str, scope: &Scope) -> Result<String, TemplateError> {
        let template = self.0.get_template(source).map_err(|error| in_words(&error))?;
        template.render(scope.root()).map_err(|error| in_words(&error))
    }
}

fn in_words(error: &Error) -> TemplateError {
    TemplateError(match (error.kind(), error.detail()) {
        // What our own functions say is a sentence already.
        (ErrorKind::InvalidOperation, Some(detail)) => detail.into(),
        (ErrorKind::UndefinedError, None) => "it uses something that is not there".into(),
        (ErrorKind::OutOfFuel, _) => format!("it takes more than {FUEL} steps"),
        (kind, Some(detail)) => format!("{kind}: {detail}"),
        (kind, None) => kind.to_string(),
    })
}

// The environment has nothing to show.
impl fmt::Debug for TemplateSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TemplateSet")
    }
}

impl fmt::Debug for Template {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Template").field("names", &self.names).finish_non_exhaustive()
    }
}

/// What every template can use without being given it: `range` and the like.
pub(crate) fn builtin_names() -> impl Iterator<Item = &'static str> {
    EXPRESSIONS.globals().map(|(name, _)| name)
}

fn environment() -> Environment<'static> {
    let mut environment = Environment::new();
    environment.set_undefined_behavior(UndefinedBehavior::Strict);
    environment.set_auto_escape_callback(|_| AutoEscape::None);
    environment.set_auto_reload(false);
    environment.set_fuel(Some(FUEL));
    if let Ok(syntax) = SyntaxConfig::builder().keep_trailing_newline(true).build() {
        environment.set_syntax(syntax);
    }
    environment
}

/// What stands between `{{` and `}}` if these are the ends of a text. It may still be more than one expression:
/// then it does not compile as one.
fn lone_expression(source: &str) -> Option<&str> {
    let inner = source.strip_prefix("{{")?.strip_suffix("}}")?;
    // Marks that trim the text around, of which there is none.
    let inner = inner.strip_prefix(['-', '+']).unwrap_or(inner);
    Some(inner.strip_suffix(['-', '+']).unwrap_or(inner))
}

/// About how many words and signs stand between the marks of a template; never fewer than the parser finds.
fn count_tokens(source: &str) -> usize {
    let (mut rest, mut count) = (source, 0);
    let is_mark = |pair: &[u8]| matches!(pair, b"{{" | b"{%" | b"{#");
    while let Some(start) = rest.as_bytes().windows(2).position(is_mark) {
        let (mark, code) = rest[start..].split_at(2);
        let (tokens, length) = match mark {
            "{#" => (0, code.find("#}").map_or(code.len(), |end| end + 2)),
            "{{" => tokens_until("}}", code),
            _ => tokens_until("%}", code),
        };
        count += tokens;
        rest = &code[length..];
    }
    count
}

/// The words and signs before an end that does not stand in a text, and how many bytes they and the end take.
fn tokens_until(end: &str, code: &str) -> (usize, usize) {
    let (mut count, mut in_word, mut quote, mut escaped) = (0, false, None, false);
    // Braces of dictionaries close before those of the template do.
    let mut open = 0_usize;
    for (at, c) in code.char_indices() {
        if let Some(mark) = quote {
            (escaped, quote) = (c == '\\' && !escaped, (escaped || c != mark).then_some(mark));
            continue;
        }
        if open == 0 && code[at..].starts_with(end) {
            return (count, at + end.len());
        }
        match c {
            '"' | '\'' => quote = Some(c),
            '{' => open += 1,
            '}' => open = open.saturating_sub(1),
            _ => {}
        }
        let is_word = c.is_alphanumeric() || c == '_';
        let goes_on = is_word && in_word;
        count += usize::from(!c.is_whitespace() && !goes_on);
        in_word = is_word;
    }
    (count, code.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_and_signs_are_counted_where_they_are_read() {
        for (source, tokens) in [
            ("no marks - - -", 0),
            ("- {{ a }} -", 1),
            ("{{ a1 + b.c }}{{d}}", 6),
            ("{{ '}} - - \\' -' ~ \"it's\" - }}- -", 4),
            ("{% if a %}x y{% endif %}", 3),
            ("{# don't count - #}{{ a }}", 1),
            ("{{ {'a': {}} }} - {{ b }}", 7),
            ("{{ a - -", 3),
        ] {
            assert_eq!(count_tokens(source), tokens, "{source}");
        }
    }
}
