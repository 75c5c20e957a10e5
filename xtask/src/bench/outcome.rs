//! `Outcome`: one line of the table, and whether its limit is reached.

/// One line of a row: who did the work, and how it went.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Outcome {
    /// What of the row this is, such as `2 at once`.
    pub(super) case: String,
    /// Fedflow, a bare loop, a peer.
    pub(super) runner: String,
    /// What was measured, with its unit.
    pub(super) measured: String,
    /// What is compared with the limit.
    pub(super) figure: Figure,
    /// What of Fedflow's promises the runner does not keep, or why there is no figure.
    pub(super) note: String,
}

/// What a line says beside the limit.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Figure {
    /// To be held against the limit.
    Judged { value: f64, limit: f64, unit: Unit },
    /// For comparison: no limit is set.
    Shown { value: f64, unit: Unit },
    /// Nothing: it was not run.
    None,
}

/// What a figure counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Unit {
    Times,
    Seconds,
    Milliseconds,
    Microseconds,
    Bytes,
}

impl Outcome {
    pub(super) fn new(case: &str, runner: &str, measured: String, figure: Figure) -> Self {
        Self { case: case.into(), runner: runner.into(), measured, figure, note: String::new() }
    }

    /// A part of Fedflow that this build does not have.
    pub(super) fn not_built(case: &str, why: &str) -> Self {
        Self { note: why.to_owned(), ..Self::new(case, "fedflow", "not built".into(), Figure::None) }
    }

    pub(super) fn with_note(mut self, note: impl Into<String>) -> Self {
        self.note = note.into();
        self
    }
}

impl Figure {
    pub(super) fn limit(&self) -> Option<String> {
        match self {
            Self::Judged { limit, unit, .. } => Some(unit.show(*limit)),
            Self::Shown { .. } | Self::None => None,
        }
    }

    pub(super) fn value(&self) -> Option<String> {
        match self {
            Self::Judged { value, unit, .. } | Self::Shown { value, unit } => Some(unit.show(*value)),
            Self::None => None,
        }
    }

    pub(super) fn is_reached(&self) -> Option<bool> {
        match self {
            Self::Judged { value, limit, .. } => Some(value <= limit),
            Self::Shown { .. } | Self::None => None,
        }
    }
}

impl Unit {
    fn show(self, value: f64) -> String {
        match self {
            Self::Times => format!("{value:.3} ×"),
            Self::Seconds => format!("{value:.2} s"),
            Self::Milliseconds => format!("{value:.2} ms"),
            Self::Microseconds => format!("{value:.0} µs"),
            Self::Bytes => format!("{value:.0} B"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_limit_is_reached_up_to_and_with_itself() {
        let judged = |value| Figure::Judged { value, limit: 1.3, unit: Unit::Times };
        assert_eq!(judged(1.3).is_reached(), Some(true));
        assert_eq!(judged(1.31).is_reached(), Some(false));
        assert_eq!(judged(f64::NAN).is_reached(), Some(false), "no figure reaches nothing");
        assert_eq!(Figure::Shown { value: 2.0, unit: Unit::Times }.is_reached(), None);
    }
}
