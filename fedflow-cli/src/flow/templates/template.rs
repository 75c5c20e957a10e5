//! `Template`: a text of the flow file with something to fill in, compiled once and rendered once for each task.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::{Arc, LazyLock};

use fedflow_core::{PlainValue, Value};
use minijinja::syntax::SyntaxConfig;
use minijinja::{AutoEscape, Environment, Error, ErrorKind, Expression, UndefinedBehavior};

use super::scope::Scope;
use super::template_value::{TemplateCause, TemplateError, to_core};
use super::tokens::tokens;
use super::unknown_names::UnknownName;
use crate::diagnostic::did_you_mean;

/// The most steps that one template may take: a mistake in a loop ends as an error.
const FUEL: u64 = 5_000_000;

/// The most words and signs that the expressions of one template may have. minijinja reads some of them by recursion,
/// and half a thread's stack is enough for this many.
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
    facts: Arc<Facts>,
}

/// What is known of a template before it is rendered.
#[derive(Debug)]
struct Facts {
    names: BTreeSet<String>,
    /// Why no task can have it, wherever rendering would end.
    broken: Option<TemplateError>,
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
        if tokens(source).iter().map(Vec::len).sum::<usize>() > MAX_TOKENS {
            let message = format!("its expressions have more than {MAX_TOKENS} words and signs");
            return Err(TemplateError::wrong(message));
        }
        if let Some(inner) = lone_expression(source)
            && let Ok(expression) = EXPRESSIONS.compile_expression_owned(inner.to_owned())
        {
            let names = expression.undeclared_variables(false).into_iter().collect();
            let form = Form::Expression(Arc::new(expression));
            return Ok(Some(Template { form, facts: Facts::of(source, names) }));
        }
        let template = self.0.get_template(source).map_err(|error| in_words(&error))?;
        let names = template.undeclared_variables(false).into_iter().collect();
        let form = Form::Text(self.clone(), source.into());
        Ok(Some(Template { form, facts: Facts::of(source, names) }))
    }
}

impl Template {
    /// The names that it uses: variables and functions.
    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        self.facts.names.iter().map(String::as_str)
    }

    /// Renders it: the value of the expression if it is exactly one, text otherwise.
    pub(crate) fn value(&self, scope: &Scope) -> Result<Value, TemplateError> {
        if let Some(error) = &self.facts.broken {
            return Err(error.clone());
        }
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

impl Facts {
    fn of(source: &str, names: BTreeSet<String>) -> Arc<Self> {
        Arc::new(Self { names, broken: broken(source) })
    }
}

/// The error of a template that names a filter or a test that does not exist.
fn broken(source: &str) -> Option<TemplateError> {
    let unknown = UnknownName::find(source, &EXPRESSIONS)?;
    let hint = unknown.candidates(&EXPRESSIONS).and_then(|(name, known)| did_you_mean(name, known));
    Some(TemplateError { message: unknown.error, cause: TemplateCause::UnknownName, hint })
}

/// An error of minijinja in plain words.
fn in_words(error: &Error) -> TemplateError {
    let message = match (error.kind(), error.detail()) {
        // The messages of our own functions are sentences already.
        (ErrorKind::InvalidOperation, Some(detail)) => detail.into(),
        (ErrorKind::UndefinedError, None) => "it uses something that is not there".into(),
        (ErrorKind::OutOfFuel, _) => format!("it takes more than {FUEL} steps"),
        (kind, Some(detail)) => format!("{kind}: {detail}"),
        (kind, None) => kind.to_string(),
    };
    TemplateError { message, cause: cause_of(error), hint: None }
}

fn cause_of(error: &Error) -> TemplateCause {
    let first = std::error::Error::source(error);
    let mut causes = std::iter::successors(first, |error| error.source());
    causes.find_map(|error| error.downcast_ref().copied()).unwrap_or(TemplateCause::Wrong)
}

// The environment has nothing to show.
impl fmt::Debug for TemplateSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TemplateSet")
    }
}

impl fmt::Debug for Template {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Template").field("facts", &self.facts).finish_non_exhaustive()
    }
}

/// The names that minijinja itself gives every template: `range` and the like.
pub(crate) fn builtin_names() -> impl Iterator<Item = &'static str> {
    EXPRESSIONS.globals().map(|(name, _)| name)
}

fn environment() -> Environment<'static> {
    let mut environment = Environment::new();
    environment.set_undefined_behavior(UndefinedBehavior::Strict);
    environment.set_auto_escape_callback(|_| AutoEscape::None);
    environment.set_auto_reload(false);
    environment.set_fuel(Some(FUEL));
    environment.add_filter("tojson", to_json);
    if let Ok(syntax) = SyntaxConfig::builder().keep_trailing_newline(true).build() {
        environment.set_syntax(syntax);
    }
    environment
}

/// The filter `tojson`: a value as JSON, on one line, as `results.json` has it.
fn to_json(value: &minijinja::Value) -> Result<String, Error> {
    let error = |message: String| Error::new(ErrorKind::InvalidOperation, message);
    let value = to_core(value).map_err(|reason| error(format!("tojson: {reason}")))?;
    serde_json::to_string(&PlainValue(&value)).map_err(|reason| error(format!("tojson: {reason}")))
}

/// The text between `{{` and `}}` if a text begins and ends with them. It may still be more than one expression: then
/// it does not compile as one.
fn lone_expression(source: &str) -> Option<&str> {
    let inner = source.strip_prefix("{{")?.strip_suffix("}}")?;
    // These signs trim the text around the marks, and here there is none.
    let inner = inner.strip_prefix(['-', '+']).unwrap_or(inner);
    Some(inner.strip_suffix(['-', '+']).unwrap_or(inner))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::super::calls::{Answer, Answers, Call};
    use super::super::scope::GroupScope;
    use super::*;

    /// Answers with the task's number, and counts the calls.
    #[derive(Default)]
    struct Counting {
        calls: AtomicUsize,
        /// The first call that is not answered.
        unknown_from: Option<usize>,
    }

    impl Answers for Counting {
        fn answer(&self, call: &Call) -> Answer {
            let number = self.calls.fetch_add(1, Ordering::Relaxed);
            match self.unknown_from {
                Some(first) if number >= first => Answer::Later,
                _ => {
                    let task = call.task.as_deref().unwrap_or_default();
                    Answer::Value(task.parse::<i64>().unwrap_or_default().into())
                }
            }
        }
    }

    fn render(source: &str, answers: &Arc<Counting>) -> Result<Value, TemplateError> {
        let template = TemplateSet::default().compile(source).unwrap().unwrap();
        let group = Arc::<GroupScope>::default();
        let answers: Arc<dyn Answers> = Arc::<Counting>::clone(answers);
        template.value(&Scope::with_functions(&group, &Arc::default(), 0, &answers))
    }

    #[test]
    fn a_value_is_written_as_json() {
        let answers = Arc::new(Counting::default());
        assert_eq!(
            render("{{ {'a': [1, 2.5, none, \"it's\"], 'b': true} | tojson }}", &answers),
            Ok(r#"{"a":[1,2.5,null,"it's"],"b":true}"#.into())
        );
    }

    const SUM_OF_A_THOUSAND: &str = "{% set sum = namespace(of=0) %}{% for i in range(1000) %}{% set sum.of = sum.of + result('a', i) %}{% endfor %}{{ sum.of }}";

    #[test]
    fn a_template_is_rendered_once_however_much_it_asks() {
        let answers = Arc::new(Counting::default());
        assert_eq!(render(SUM_OF_A_THOUSAND, &answers), Ok("499500".into()));
        assert_eq!(answers.calls.load(Ordering::Relaxed), 1000, "a second rendering would ask again");
    }

    #[test]
    fn a_call_without_an_answer_ends_the_rendering_and_is_known_by_its_cause() {
        let answers = Arc::new(Counting { unknown_from: Some(3), ..Counting::default() });
        assert_eq!(render(SUM_OF_A_THOUSAND, &answers).unwrap_err().cause, TemplateCause::KnownLater);
        assert_eq!(answers.calls.load(Ordering::Relaxed), 4);
        let macro_call = "{% macro score(task) %}{{ result('a', task) }}{% endmacro %}{{ score(1) }}";
        assert_eq!(render(macro_call, &answers).unwrap_err().cause, TemplateCause::KnownLater);
        assert_eq!(render("{{ 1 / 0 }}", &answers).unwrap_err().cause, TemplateCause::Wrong);
    }
}
