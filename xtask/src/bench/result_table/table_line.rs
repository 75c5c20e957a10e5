//! `TableLine`: one line of the table, and whether it keeps its limit.

/// One line of a row: which runner did the work, and what was measured.
#[derive(Debug, Clone, PartialEq)]
pub(in crate::bench) struct TableLine {
    /// The case of the row, such as `2 at once`.
    pub(in crate::bench) case: String,
    /// Fedflow, a bare loop or a peer.
    pub(in crate::bench) runner: String,
    /// What was measured, with its unit.
    pub(in crate::bench) measured: String,
    /// The figure that is compared with the limit.
    pub(in crate::bench) figure: Figure,
    /// Which of Fedflow's promises the runner does not keep, or why there is no figure.
    pub(in crate::bench) note: String,
}

/// The figure of a line, and its limit if there is one.
#[derive(Debug, Clone, PartialEq)]
pub(in crate::bench) enum Figure {
    /// Compared with a limit.
    Judged { value: f64, limit: f64, unit: Unit },
    /// Shown for comparison; it has no limit.
    Shown { value: f64, unit: Unit },
    /// The line was not measured.
    None,
}

/// What a figure counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::bench) enum Unit {
    Times,
    Seconds,
    Milliseconds,
    Microseconds,
    Bytes,
}

impl TableLine {
    pub(in crate::bench) fn new(case: &str, runner: &str, measured: String, figure: Figure) -> Self {
        Self { case: case.into(), runner: runner.into(), measured, figure, note: String::new() }
    }

    /// A line for a part of Fedflow that this build does not have.
    pub(in crate::bench) fn not_built(case: &str, why: &str) -> Self {
        Self { note: why.to_owned(), ..Self::new(case, "fedflow", "not built".into(), Figure::None) }
    }

    pub(in crate::bench) fn with_note(mut self, note: impl Into<String>) -> Self {
        self.note = note.into();
        self
    }
}

impl Figure {
    pub(in crate::bench) fn limit(&self) -> Option<String> {
        match self {
            Self::Judged { limit, unit, .. } => Some(unit.show(*limit)),
            Self::Shown { .. } | Self::None => None,
        }
    }

    pub(in crate::bench) fn value(&self) -> Option<String> {
        match self {
            Self::Judged { value, unit, .. } | Self::Shown { value, unit } => Some(unit.show(*value)),
            Self::None => None,
        }
    }

    pub(in crate::bench) fn is_reached(&self) -> Option<bool> {
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
