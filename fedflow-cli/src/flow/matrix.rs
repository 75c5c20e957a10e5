//! The matrix of a task table: variables over lists and ranges, multiplied in the order in which they stand.

use std::sync::Arc;

use fedflow_core::Value;
use toml::de::DeValue;

use super::property::{Fault, FromValue, Node, Property, Texts};
use super::scope::{Matrix, RESERVED, Scope};
use super::template_value::to_template;
use crate::diagnostic::Span;
use crate::table::{Entry, Table};

/// The most tasks that one flow may have.
pub(crate) const MAX_TASKS: u64 = 1_000_000;

/// A variable, as it is written.
#[derive(Debug, Clone)]
pub(crate) struct Axis {
    pub(crate) name: Arc<str>,
    span: Span,
    form: Form,
}

#[derive(Debug, Clone)]
enum Form {
    List(Vec<Node>),
    /// From the first number up to, and without, the last.
    Range {
        from: Option<Property<Number>>,
        to: Property<Number>,
        step: Option<Property<Number>>,
    },
}

/// The values of a variable for one group. Those of a range are made when they are asked for.
#[derive(Debug)]
pub(crate) enum Values {
    List(Vec<minijinja::Value>),
    Range { from: Number, step: Number, count: usize },
}

#[derive(Debug, Clone, Copy)]
pub(crate) enum Number {
    Int(i64),
    Float(f64),
}

impl Axis {
    /// Reads the variables of a `matrix` table.
    pub(crate) fn read_all(texts: &mut Texts, entry: Entry<'_>) -> Vec<Self> {
        let Some(table) = texts.reader.table("a matrix", entry) else { return Vec::new() };
        if table.entries().next().is_none() {
            texts.reader.error_with_hint(
                entry.span,
                "this matrix has no variable",
                "for example: matrix = { seed = [0, 1, 2] }",
            );
        }
        table.entries().filter_map(|entry| Self::read(texts, entry)).collect()
    }

    fn read(texts: &mut Texts, entry: Entry<'_>) -> Option<Self> {
        let name = entry.key;
        let plain = name.chars().all(|c| c == '_' || c.is_ascii_alphanumeric())
            && name.starts_with(|c: char| c == '_' || c.is_ascii_alphabetic());
        if !plain {
            texts.reader.error_with_hint(
                entry.key_span,
                format!("{name:?} cannot be the name of a variable"),
                format!("use letters, digits and _, such as {:?}", name.replace('-', "_")),
            );
            return None;
        }
        if RESERVED.contains(&name) {
            let message = format!("{name:?} cannot be the name of a variable: templates have it already");
            texts.reader.error(entry.key_span, message);
            return None;
        }
        let form = match entry.value {
            DeValue::Array(_) => {
                let elements = texts.reader.list(entry, "a list")?;
                if elements.is_empty() {
                    texts
                        .reader
                        .error(entry.span, format!("{name:?} has no values, so there would be no task"));
                    return None;
                }
                Form::List(elements.into_iter().map(|e| Node::read(texts, e)).collect::<Option<_>>()?)
            }
            DeValue::Table(_) => {
                let table = texts.reader.table("a range", entry)?;
                Self::read_range(texts, table)?
            }
            _ => {
                texts
                    .reader
                    .wrong_type(entry, "a list such as [0, 1, 2], or a range such as { from = 0, to = 10 }");
                return None;
            }
        };
        Some(Self { name: name.into(), span: entry.span, form })
    }

    fn read_range(texts: &mut Texts, mut table: Table<'_>) -> Option<Form> {
        let from = Property::optional(texts, &mut table, "from");
        let to = table.require("to", "{ from = 0, to = 10 }, which gives 0 to 9", &mut texts.reader);
        let to = to.and_then(|entry| Property::read(texts, entry));
        let step = Property::optional(texts, &mut table, "step");
        table.finish(&mut texts.reader);
        Some(Form::Range { from, to: to?, step })
    }

    /// The least number of values that it has, known without a task.
    pub(crate) fn least_len(&self) -> u64 {
        match &self.form {
            Form::List(nodes) => nodes.len() as u64,
            Form::Range { from, to, step } => {
                let number = |property: &Option<Property<Number>>, default| {
                    property.as_ref().map_or(Some(Number::Int(default)), |number| number.fixed().copied())
                };
                match (number(from, 0), to.fixed(), number(step, 1)) {
                    (Some(from), Some(to), Some(step)) => count(from, *to, step).unwrap_or(1),
                    _ => 1,
                }
            }
        }
    }

    fn values(&self, scope: &Scope) -> Result<Values, Fault> {
        let fault = |message: String| Fault { span: self.span, message };
        match &self.form {
            Form::List(nodes) => {
                let values = nodes.iter().map(|node| Ok(to_template(&node.render(scope)?)));
                Ok(Values::List(values.collect::<Result<_, Fault>>()?))
            }
            Form::Range { from, to, step } => {
                let number = |property: &Option<Property<Number>>, default| {
                    property.as_ref().map_or(Ok(Number::Int(default)), |number| number.get(scope))
                };
                let (from, to, step) = (number(from, 0)?, to.get(scope)?, number(step, 1)?);
                let count = count(from, to, step).map_err(|reason| fault(reason.into()))?;
                if count == 0 {
                    let end = "a range ends before `to`, so there would be no task";
                    return Err(fault(format!("this range is empty: {end}")));
                }
                if count > MAX_TASKS {
                    return Err(fault(format!(
                        "this range has {count} values; a flow has at most {MAX_TASKS} tasks"
                    )));
                }
                let count = usize::try_from(count).unwrap_or(usize::MAX);
                Ok(Values::Range { from, step, count })
            }
        }
    }
}

impl Values {
    /// How many there are.
    pub(crate) fn len(&self) -> usize {
        match self {
            Self::List(values) => values.len(),
            Self::Range { count, .. } => *count,
        }
    }

    /// The value at a place.
    pub(crate) fn get(&self, place: usize) -> Option<minijinja::Value> {
        match self {
            Self::List(values) => values.get(place).cloned(),
            Self::Range { from, step, count } => (place < *count).then(|| nth(*from, *step, place)),
        }
    }
}

/// The values of all variables for one group.
pub(crate) fn evaluate(axes: &[Axis], scope: &Scope) -> Result<Matrix, Fault> {
    let values = axes.iter().map(|axis| Ok((Arc::clone(&axis.name), axis.values(scope)?)));
    Ok(Matrix { axes: values.collect::<Result<_, Fault>>()? })
}

/// How many numbers a range has.
fn count(from: Number, to: Number, step: Number) -> Result<u64, &'static str> {
    let zero = "a range whose step is 0 has no end";
    if let (Number::Int(from), Number::Int(to), Number::Int(step)) = (from, to, step) {
        let distance = i128::from(to) - i128::from(from);
        let step = i128::from(step);
        if step == 0 {
            return Err(zero);
        }
        if (distance > 0) != (step > 0) || distance == 0 {
            return Ok(0);
        }
        let count = (distance.abs() + step.abs() - 1) / step.abs();
        return Ok(u64::try_from(count).unwrap_or(u64::MAX));
    }
    let (from, to, step) = (from.float(), to.float(), step.float());
    if step == 0.0 {
        return Err(zero);
    }
    let steps = (to - from) / step;
    if !steps.is_finite() {
        return Err("the numbers of a range must be finite");
    }
    // 0.3 / 0.1 is a little less than 3: what is that near to a whole number is meant to be it.
    let whole = steps.round();
    let steps = if (steps - whole).abs() < 1e-9 * whole.abs().max(1.0) { whole } else { steps.ceil() };
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a float's cast saturates, and negative is none"
    )]
    Ok(steps as u64)
}

#[expect(
    clippy::cast_precision_loss,
    clippy::cast_possible_wrap,
    reason = "there are at most a million numbers in a range"
)]
fn nth(from: Number, step: Number, place: usize) -> minijinja::Value {
    match (from, step) {
        (Number::Int(from), Number::Int(step)) => {
            from.saturating_add(step.saturating_mul(place as i64)).into()
        }
        _ => {
            // Twelve digits after the point: 0.1 + 2 * 0.1 shall be 0.3, as it is written.
            let value = from.float() + step.float() * place as f64;
            let rounded = (value * 1e12).round() / 1e12;
            if rounded.is_finite() && value.abs() > 1e-6 { rounded.into() } else { value.into() }
        }
    }
}

impl Number {
    #[expect(clippy::cast_precision_loss, reason = "the range has a float in it")]
    fn float(self) -> f64 {
        match self {
            Self::Int(int) => int as f64,
            Self::Float(float) => float,
        }
    }
}

impl FromValue for Number {
    fn from_value(value: &Value) -> Result<Self, String> {
        match value {
            Value::Int(int) => Ok(Self::Int(*int)),
            Value::Float(float) => Ok(Self::Float(*float)),
            _ => Err("expected a number, without quotes".into()),
        }
    }
}
