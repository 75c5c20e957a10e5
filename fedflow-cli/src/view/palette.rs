//! Colours of a terminal, by meaning.

use std::fmt::Display;

use console::Style;

/// The meaning of a text, which decides its colour.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ink {
    /// It went well.
    Good,
    /// It failed.
    Bad,
    /// It needs a second look.
    Warn,
    /// A name that stands out.
    Strong,
    /// It can be overlooked.
    Dim,
}

/// Whether texts are coloured. No text needs its colour to be understood.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Palette {
    /// Texts are coloured.
    Coloured,
    /// Texts are plain: stderr is no terminal, or `NO_COLOR`, `CLICOLOR=0` or `TERM=dumb` is set.
    Bare,
}

impl Palette {
    /// The palette for stderr.
    pub(crate) fn of_stderr() -> Self {
        if console::colors_enabled_stderr() { Self::Coloured } else { Self::Bare }
    }

    /// A text in the colour of its meaning.
    pub(crate) fn paint(self, ink: Ink, text: impl Display) -> String {
        if self == Self::Bare {
            return text.to_string();
        }
        let style = Style::new().force_styling(true);
        let style = match ink {
            Ink::Good => style.green(),
            Ink::Bad => style.red().bold(),
            Ink::Warn => style.yellow(),
            Ink::Strong => style.bold(),
            Ink::Dim => style.dim(),
        };
        style.apply_to(text).to_string()
    }

    /// A bar filled to a fraction, from 0 to 1.
    pub(crate) fn bar(self, fraction: f64, columns: usize) -> String {
        #[expect(
            clippy::cast_precision_loss,
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "a few dozen columns, and a float's cast saturates"
        )]
        let filled = ((fraction.clamp(0.0, 1.0) * columns as f64) as usize).min(columns);
        let rest = self.paint(Ink::Dim, "╌".repeat(columns - filled));
        format!("{}{rest}", self.paint(Ink::Good, "━".repeat(filled)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bar_fills() {
        assert_eq!(Palette::Bare.bar(0.5, 4), "━━╌╌");
        assert_eq!(Palette::Bare.bar(f64::NAN, 2), "╌╌");
        assert_eq!(Palette::Bare.bar(7.0, 2), "━━");
        assert!(Palette::Coloured.paint(Ink::Bad, "x").contains("\u{1b}["));
    }
}
