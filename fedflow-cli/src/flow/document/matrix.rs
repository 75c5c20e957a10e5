//! The matrix of a table as it is written: variables over lists, ranges and samples, multiplied in their order.

use std::num::NonZeroU32;
use std::sync::Arc;

use fedflow_core::Value;
use toml::de::DeValue;

use super::super::keys::{self, FROM, OF, Place, SAMPLE, STEP, TO};
use super::super::templates::{AxisValues, GroupScope, MatrixValues, Number, Range, Scope, to_template};
use super::super::values::{FlowReader, Mistake, Node, Property};
use super::sample;
use super::variables::check_name;
use crate::diagnostic::Span;
use crate::toml_reader::{TomlEntry, TomlTable};

/// The most tasks that one flow may have.
pub(crate) const MAX_TASKS: u64 = 1_000_000;

/// A variable as it is written.
#[derive(Debug, Clone)]
pub(crate) struct Axis {
    pub(crate) name: Arc<str>,
    span: Span,
    values: Values,
    /// How many of the values are drawn; `None`: all are taken.
    sample: Option<Property<NonZeroU32>>,
}

#[derive(Debug, Clone)]
enum Values {
    List(Vec<Node>),
    /// A template that gives a list.
    Computed(Node),
    Range {
        from: Option<Property<Number>>,
        to: Property<Number>,
        step: Option<Property<Number>>,
    },
}

impl Axis {
    /// Reads the variables of a `matrix` table; none if there is no such table. Each is visible to the ones behind it, and
    /// to the rest of its table.
    pub(super) fn read_all(reader: &mut FlowReader, entry: Option<TomlEntry<'_>>) -> Vec<Self> {
        let table = entry.and_then(|entry| reader.toml.table("a matrix", entry));
        let Some(table) = table else { return Vec::new() };
        if table.entries().next().is_none() {
            reader.toml.error_with_hint(
                table.span,
                "this matrix has no variable",
                "for example: matrix = { seed = [0, 1, 2] }",
            );
        }
        let mut axes = Vec::new();
        for entry in table.entries() {
            axes.extend(Self::read(reader, entry));
            // A variable whose values are wrong is not unknown as well.
            reader.visible.matrix.push(entry.key.to_owned());
        }
        axes
    }

    fn read(reader: &mut FlowReader, entry: TomlEntry<'_>) -> Option<Self> {
        check_name(reader, entry)?;
        let (values, sample) = match entry.value {
            DeValue::Table(_) => {
                let table = reader.toml.table(Place::Range.what(), entry)?;
                read_range(reader, table)?
            }
            _ => (
                Values::read_list(
                    reader,
                    entry,
                    "a list such as [0, 1, 2], or a range such as { from = 0, to = 10 }",
                )?,
                None,
            ),
        };
        Some(Self { name: entry.key.into(), span: entry.span, values, sample })
    }

    /// The least number of values that the variable has, known before it is evaluated.
    pub(crate) fn least_len(&self) -> u64 {
        match &self.sample {
            Some(sample) => sample.fixed().map_or(1, |count| u64::from(count.get())),
            None => self.values.least_len(),
        }
    }

    /// Whether the values depend on a variable.
    fn uses(&self, name: &str) -> bool {
        self.values.uses(name) || self.sample.as_ref().is_some_and(|sample| sample.uses(name))
    }

    fn values(&self, scope: &Scope, draws: &Draws<'_>) -> Result<AxisValues, Mistake> {
        let values = self.values.get(scope, self.span)?;
        let Some(sample) = &self.sample else { return Ok(values) };
        let count = sample.get(scope)?.get() as usize;
        if count > values.len() {
            let message = format!("a sample of {count} is drawn from {}, without replacement", values.len());
            return Err(Mistake::new(sample.span, message));
        }
        let all: Vec<_> = (0..values.len()).filter_map(|place| values.get(place)).collect();
        let drawn = sample::draw(draws.seed, &self.name, &all, draws.group, count);
        Ok(AxisValues::List(drawn.into_iter().filter_map(|place| all.get(place).cloned()).collect()))
    }
}

/// What samples depend on beside their candidates.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Draws<'a> {
    /// The first seed of the run.
    pub(crate) seed: u64,
    /// The group, for its rounds and the variables around it.
    pub(crate) group: &'a GroupScope,
}

impl Values {
    /// Reads a list, or a template that gives one.
    fn read_list(reader: &mut FlowReader, entry: TomlEntry<'_>, expected: &str) -> Option<Self> {
        match entry.value {
            DeValue::Array(_) => {
                let elements = reader.toml.list(entry, "a list")?;
                if elements.is_empty() {
                    let message = format!("{:?} has no values, so there would be no task", entry.key);
                    reader.toml.error(entry.span, message);
                    return None;
                }
                let nodes = elements.into_iter().map(|element| Node::read(reader, element));
                Some(Self::List(nodes.collect::<Option<_>>()?))
            }
            DeValue::String(_) => match Node::read(reader, entry)? {
                Node::Fixed(_) => {
                    reader.toml.wrong_type(entry, expected);
                    None
                }
                computed => Some(Self::Computed(computed)),
            },
            _ => {
                reader.toml.wrong_type(entry, expected);
                None
            }
        }
    }

    fn least_len(&self) -> u64 {
        let Self::Range { from, to, step } = self else {
            return if let Self::List(nodes) = self { nodes.len() as u64 } else { 1 };
        };
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

    fn uses(&self, name: &str) -> bool {
        let number = |property: &Option<Property<Number>>| property.as_ref().is_some_and(|it| it.uses(name));
        match self {
            Self::List(nodes) => nodes.iter().any(|node| node.uses(name)),
            Self::Computed(node) => node.uses(name),
            Self::Range { from, to, step } => to.uses(name) || number(from) || number(step),
        }
    }

    fn get(&self, scope: &Scope, span: Span) -> Result<AxisValues, Mistake> {
        let mistake = |message: String| Mistake::new(span, message);
        match self {
            Self::List(nodes) => {
                let values = nodes.iter().map(|node| Ok(to_template(&node.render(scope)?)));
                Ok(AxisValues::List(values.collect::<Result<_, Mistake>>()?))
            }
            Self::Computed(node) => match node.render(scope)? {
                Value::List(list) if list.is_empty() => {
                    Err(mistake("this list is empty, so there would be no task".into()))
                }
                Value::List(list) => Ok(AxisValues::List(list.iter().map(to_template).collect())),
                other => Err(mistake(format!("expected a list; the template gives {}", other.in_message()))),
            },
            Self::Range { from, to, step } => {
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

/// Evaluates all variables of a table in a group.
pub(crate) fn evaluate(axes: &[Axis], group: &Arc<GroupScope>, seed: u64) -> Result<MatrixValues, Mistake> {
    let draws = Draws { seed, group };
    let depends = |(place, axis): (usize, &Axis)| axes.iter().take(place).any(|it| axis.uses(&it.name));
    if axes.iter().enumerate().any(depends) {
        return listed(axes, group, &draws);
    }
    let scope = Scope::of_group(group);
    let values = axes.iter().map(|axis| Ok((Arc::clone(&axis.name), axis.values(&scope, &draws)?)));
    Ok(MatrixValues::Product(values.collect::<Result<_, Mistake>>()?))
}

/// The points one by one, each variable evaluated with those before it.
fn listed(axes: &[Axis], group: &Arc<GroupScope>, draws: &Draws<'_>) -> Result<MatrixValues, Mistake> {
    let mut points = vec![Vec::new()];
    let mut names = Vec::new();
    for axis in axes {
        let mut longer = Vec::new();
        for point in points {
            let earlier = MatrixValues::Listed { names: names.clone(), points: vec![point.clone()] };
            let values = axis.values(&Scope::new(group, &Arc::new(earlier), 0), draws)?;
            for value in (0..values.len()).filter_map(|place| values.get(place)) {
                longer.push(point.iter().cloned().chain([value]).collect());
            }
            if longer.len() as u64 > MAX_TASKS {
                let message =
                    format!("this matrix has more points than the {MAX_TASKS} tasks that a flow may have");
                return Err(Mistake::new(axis.span, message));
            }
        }
        points = longer;
        names.push(Arc::clone(&axis.name));
    }
    Ok(MatrixValues::Listed { names, points })
}

/// Reads a range or a sample.
fn read_range(
    reader: &mut FlowReader,
    mut table: TomlTable<'_>,
) -> Option<(Values, Option<Property<NonZeroU32>>)> {
    let has_sample = SAMPLE.entry(&mut table).is_some();
    let sample = SAMPLE.read(reader, &mut table);
    let from = FROM.read(reader, &mut table);
    let step = STEP.read(reader, &mut table);
    let values = match OF.entry(&mut table) {
        Some(of) => {
            for key in [FROM, TO, STEP] {
                if let Some(entry) = key.entry(&mut table) {
                    let message = format!(
                        "a sample is drawn from a list or from a range: it has `of` and `{}`",
                        key.name()
                    );
                    reader.toml.error(entry.key_span, message);
                }
            }
            if !has_sample {
                let hint = "{ sample = 3, of = [..] } draws three; without `sample`, write the list itself";
                reader.toml.error_with_hint(of.key_span, "`of` needs a `sample`", hint);
            }
            Values::read_list(reader, of, "a list such as [\"a\", \"b\", \"c\"]")
        }
        None => {
            let to = TO.required(&mut table, "{ from = 0, to = 10 }, which gives 0 to 9", &mut reader.toml);
            let to = to.and_then(|entry| Property::read(reader, entry));
            to.map(|to| Values::Range { from, to, step })
        }
    };
    keys::finish(table, reader);
    let values = values?;
    if has_sample && sample.is_none() { None } else { Some((values, sample)) }
}
