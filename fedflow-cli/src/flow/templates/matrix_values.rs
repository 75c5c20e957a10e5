//! The values of a matrix, once its lists and ranges are evaluated.

use std::sync::Arc;

use minijinja::Value;

/// The values of all variables of a matrix. A point is a number: the last variable changes fastest.
#[derive(Debug)]
pub(crate) enum MatrixValues {
    /// Every combination of the values.
    Product(Vec<(Arc<str>, AxisValues)>),
    /// Points one by one, as the values of a variable depend on those before it.
    Listed { names: Vec<Arc<str>>, points: Vec<Vec<Value>> },
}

/// The values of one variable.
#[derive(Debug)]
pub(crate) enum AxisValues {
    List(Vec<Value>),
    /// The values are computed when they are asked for.
    Range(Range),
}

/// Numbers at equal distances.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Range {
    from: Number,
    step: Number,
    count: u64,
}

/// A number of a range. A range of integers stays exact.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Number {
    Int(i64),
    Float(f64),
}

impl Default for MatrixValues {
    fn default() -> Self {
        Self::Product(Vec::new())
    }
}

impl MatrixValues {
    /// The number of points; one if there is no variable.
    pub(crate) fn len(&self) -> usize {
        match self {
            Self::Product(axes) => axes.iter().map(|(_, values)| values.len()).fold(1, usize::saturating_mul),
            Self::Listed { points, .. } => points.len(),
        }
    }

    /// The name of the first variable.
    pub(crate) fn first_name(&self) -> Option<&str> {
        match self {
            Self::Product(axes) => axes.first().map(|(name, _)| name.as_ref()),
            Self::Listed { names, .. } => names.first().map(AsRef::as_ref),
        }
    }

    /// The value of a variable at a point.
    pub(super) fn value(&self, name: &str, point: usize) -> Option<Value> {
        match self {
            Self::Product(axes) => {
                let place = axes.iter().position(|(axis, _)| axis.as_ref() == name)?;
                product_value(axes, place, point)
            }
            Self::Listed { names, points } => {
                let place = names.iter().position(|it| it.as_ref() == name)?;
                points.get(point)?.get(place).cloned()
            }
        }
    }

    /// Names and values at a point, in the order in which the variables are written.
    pub(crate) fn at(&self, point: usize) -> impl Iterator<Item = (&str, Value)> {
        let names: Vec<&str> = match self {
            Self::Product(axes) => axes.iter().map(|(name, _)| name.as_ref()).collect(),
            Self::Listed { names, .. } => names.iter().map(AsRef::as_ref).collect(),
        };
        names.into_iter().filter_map(move |name| Some((name, self.value(name, point)?)))
    }
}

fn product_value(axes: &[(Arc<str>, AxisValues)], place: usize, point: usize) -> Option<Value> {
    let stride: usize = axes.get(place + 1..)?.iter().map(|(_, values)| values.len()).product();
    let values = &axes.get(place)?.1;
    values.get((point / stride.max(1)) % values.len().max(1))
}

impl AxisValues {
    pub(crate) fn len(&self) -> usize {
        match self {
            Self::List(values) => values.len(),
            Self::Range(range) => usize::try_from(range.count).unwrap_or(usize::MAX),
        }
    }

    pub(crate) fn get(&self, place: usize) -> Option<Value> {
        match self {
            Self::List(values) => values.get(place).cloned(),
            Self::Range(range) => (place < self.len()).then(|| range.nth(place)),
        }
    }
}

impl Range {
    /// The numbers from `from` up to, and without, `to`.
    ///
    /// # Errors
    /// The range has no end.
    pub(crate) fn new(from: Number, to: Number, step: Number) -> Result<Self, &'static str> {
        Ok(Self { from, step, count: count(from, to, step)? })
    }

    /// How many numbers there are.
    pub(crate) fn count(&self) -> u64 {
        self.count
    }

    #[expect(
        clippy::cast_precision_loss,
        clippy::cast_possible_wrap,
        reason = "a range has at most a million numbers"
    )]
    fn nth(&self, place: usize) -> Value {
        match (self.from, self.step) {
            (Number::Int(from), Number::Int(step)) => {
                from.saturating_add(step.saturating_mul(place as i64)).into()
            }
            _ => {
                // Twelve digits after the point: 0.1 + 2 * 0.1 is to be 0.3, as a user writes it.
                let value = self.from.float() + self.step.float() * place as f64;
                let rounded = (value * 1e12).round() / 1e12;
                if rounded.is_finite() && value.abs() > 1e-6 { rounded.into() } else { value.into() }
            }
        }
    }
}

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
    // 0.3 / 0.1 is a little less than 3: a quotient that is nearly whole is taken as whole.
    let whole = steps.round();
    let steps = if (steps - whole).abs() < 1e-9 * whole.abs().max(1.0) { whole } else { steps.ceil() };
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "the cast of a float saturates, and a negative number is none"
    )]
    Ok(steps as u64)
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
