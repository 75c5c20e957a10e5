//! The matrix of a task table as it is written: variables over lists and ranges, multiplied in their order.

use std::sync::Arc;

use toml::de::DeValue;

use super::super::keys::{self, FROM, Place, STEP, TO};
use super::super::templates::{AxisValues, MatrixValues, Number, RESERVED, Range, Scope, to_template};
use super::super::values::{FlowReader, Mistake, Node, Property};
use crate::diagnostic::Span;
use crate::toml_reader::{TomlEntry, TomlTable};

/// The most tasks that one flow may have.
pub(crate) const MAX_TASKS: u64 = 1_000_000;

/// A variable as it is written.
#[derive(Debug, Clone)]
pub(crate) struct Axis {
    pub(crate) name: Arc<str>,
    span: Span,
    form: Form,
}

#[derive(Debug, Clone)]
enum Form {
    List(Vec<Node>),
    Range { from: Option<Property<Number>>, to: Property<Number>, step: Option<Property<Number>> },
}

impl Axis {
    /// Reads the variables of a `matrix` table.
    pub(super) fn read_all(reader: &mut FlowReader, entry: TomlEntry<'_>) -> Vec<Self> {
        let Some(table) = reader.toml.table("a matrix", entry) else { return Vec::new() };
        if table.entries().next().is_none() {
            reader.toml.error_with_hint(
                entry.span,
                "this matrix has no variable",
                "for example: matrix = { seed = [0, 1, 2] }",
            );
        }
        table.entries().filter_map(|entry| Self::read(reader, entry)).collect()
    }

    fn read(reader: &mut FlowReader, entry: TomlEntry<'_>) -> Option<Self> {
        check_name(reader, entry)?;
        let name = entry.key;
        let form = match entry.value {
            DeValue::Array(_) => {
                let elements = reader.toml.list(entry, "a list")?;
                if elements.is_empty() {
                    let message = format!("{name:?} has no values, so there would be no task");
                    reader.toml.error(entry.span, message);
                    return None;
                }
                Form::List(elements.into_iter().map(|e| Node::read(reader, e)).collect::<Option<_>>()?)
            }
            DeValue::Table(_) => {
                let table = reader.toml.table(Place::Range.what(), entry)?;
                read_range(reader, table)?
            }
            _ => {
                let expected = "a list such as [0, 1, 2], or a range such as { from = 0, to = 10 }";
                reader.toml.wrong_type(entry, expected);
                return None;
            }
        };
        Some(Self { name: name.into(), span: entry.span, form })
    }

    /// The least number of values that the variable has, known before it is evaluated.
    pub(crate) fn least_len(&self) -> u64 {
        let Form::Range { from, to, step } = &self.form else { return self.listed() };
        let number = |property: &Option<Property<Number>>, default| {
            property.as_ref().map_or(Some(Number::Int(default)), |number| number.fixed().copied())
        };
        match (number(from, 0), to.fixed(), number(step, 1)) {
            (Some(from), Some(to), Some(step)) => {
                Range::new(from, *to, step).map_or(1, |range| range.count())
            }
            _ => 1,
        }
    }

    fn listed(&self) -> u64 {
        if let Form::List(nodes) = &self.form { nodes.len() as u64 } else { 1 }
    }

    fn values(&self, scope: &Scope) -> Result<AxisValues, Mistake> {
        let mistake = |message: String| Mistake::new(self.span, message);
        match &self.form {
            Form::List(nodes) => {
                let values = nodes.iter().map(|node| Ok(to_template(&node.render(scope)?)));
                Ok(AxisValues::List(values.collect::<Result<_, Mistake>>()?))
            }
            Form::Range { from, to, step } => {
                let number = |property: &Option<Property<Number>>, default| {
                    property.as_ref().map_or(Ok(Number::Int(default)), |number| number.get(scope))
                };
                let (from, to, step) = (number(from, 0)?, to.get(scope)?, number(step, 1)?);
                let range = Range::new(from, to, step).map_err(|reason| mistake(reason.into()))?;
                match range.count() {
                    0 => {
                        let end = "a range ends before `to`, so there would be no task";
                        Err(mistake(format!("this range is empty: {end}")))
                    }
                    count if count > MAX_TASKS => Err(mistake(format!(
                        "this range has {count} values; a flow has at most {MAX_TASKS} tasks"
                    ))),
                    _ => Ok(AxisValues::Range(range)),
                }
            }
        }
    }
}

/// Evaluates all variables for one group.
pub(crate) fn evaluate(axes: &[Axis], scope: &Scope) -> Result<MatrixValues, Mistake> {
    let values = axes.iter().map(|axis| Ok((Arc::clone(&axis.name), axis.values(scope)?)));
    Ok(MatrixValues { axes: values.collect::<Result<_, Mistake>>()? })
}

fn read_range(reader: &mut FlowReader, mut table: TomlTable<'_>) -> Option<Form> {
    let from = FROM.read(reader, &mut table);
    let to = TO.required(&mut table, "{ from = 0, to = 10 }, which gives 0 to 9", &mut reader.toml);
    let to = to.and_then(|entry| Property::read(reader, entry));
    let step = STEP.read(reader, &mut table);
    keys::finish(table, reader);
    Some(Form::Range { from, to: to?, step })
}

/// Reports a name that a template could not use, or could not tell from another one.
fn check_name(reader: &mut FlowReader, entry: TomlEntry<'_>) -> Option<()> {
    let name = entry.key;
    let plain = name.chars().all(|c| c == '_' || c.is_ascii_alphanumeric())
        && name.starts_with(|c: char| c == '_' || c.is_ascii_alphabetic());
    if !plain {
        reader.toml.error_with_hint(
            entry.key_span,
            format!("{name:?} cannot be the name of a variable"),
            format!("use letters, digits and _, such as {:?}", name.replace('-', "_")),
        );
        return None;
    }
    if RESERVED.contains(&name) {
        let message = format!("{name:?} cannot be the name of a variable: templates have it already");
        reader.toml.error(entry.key_span, message);
        return None;
    }
    Some(())
}
