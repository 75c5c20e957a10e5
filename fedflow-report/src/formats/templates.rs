//! The templates of HTML and XML, set up so that all output is escaped.

use std::borrow::Cow;

use minijinja::value::Value;
use minijinja::{Environment, UndefinedBehavior, escape_formatter};

use crate::formats::content_policy::{POLICY, STYLE};
use crate::formats::page_scripts::{CHARTS, SCRIPT, TABLE_SCRIPT};
use crate::formats::render_error::RenderError;
use crate::text::visible_text::visible;

/// The templates. Everything that they print is escaped, and hidden characters are made visible.
pub(crate) fn environment() -> Result<Environment<'static>, RenderError> {
    let mut environment = Environment::new();
    environment.set_undefined_behavior(UndefinedBehavior::Strict);
    environment.set_formatter(|out, state, value| {
        if let Some(text) = value.as_str()
            && !value.is_safe()
            && let Cow::Owned(shown) = visible(text)
        {
            return escape_formatter(out, state, &Value::from(shown));
        }
        escape_formatter(out, state, value)
    });
    for (name, source) in [
        ("page.html", include_str!("../../templates/page.html")),
        ("group_rows.html", include_str!("../../templates/group_rows.html")),
        ("task_rows.html", include_str!("../../templates/task_rows.html")),
        ("junit.xml", include_str!("../../templates/junit.xml")),
    ] {
        environment.add_template(name, source)?;
    }
    // Nothing in these comes from a run.
    for (name, text) in [
        ("policy", POLICY.as_str()),
        ("style", STYLE.as_str()),
        ("charts", CHARTS),
        ("script", SCRIPT),
        ("table_script", TABLE_SCRIPT),
    ] {
        environment.add_global(name, Value::from_safe_string(text.to_owned()));
    }
    Ok(environment)
}
