//! The templates of HTML and XML, set up so that all output is escaped.

use std::borrow::Cow;

use minijinja::value::Value;
use minijinja::{Environment, UndefinedBehavior, escape_formatter};

use crate::formats::content_policy::{content_policy, style};
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
        ("curve.html", include_str!("../../templates/curve.html")),
        ("gantt.html", include_str!("../../templates/gantt.html")),
        ("gantt_rects.html", include_str!("../../templates/gantt_rects.html")),
        ("meters.html", include_str!("../../templates/meters.html")),
        ("group_rows.html", include_str!("../../templates/group_rows.html")),
        ("task_rows.html", include_str!("../../templates/task_rows.html")),
        ("junit.xml", include_str!("../../templates/junit.xml")),
    ] {
        environment.add_template(name, source)?;
    }
    // Nothing in these comes from a run.
    let (style, script) = (style(), include_str!("../../templates/script.js"));
    environment.add_global("policy", Value::from_safe_string(content_policy(&style, script)));
    environment.add_global("style", Value::from_safe_string(style));
    environment.add_global("script", Value::from_safe_string(script.into()));
    Ok(environment)
}
