//! The terminal of the live view: it takes whole drawings and never waits for its reader.

use std::fmt::Write as _;
use std::io;
use std::sync::{Mutex, PoisonError};

use indicatif::{ProgressDrawTarget, TermLike};

use super::super::spool::Spool;

/// The most drawings a second.
const DRAWINGS: u8 = 20;

/// The size of a terminal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct TerminalSize {
    pub(crate) rows: usize,
    pub(crate) columns: usize,
}

/// Where the size of the terminal comes from.
#[derive(Debug, Clone)]
pub(crate) enum Screen {
    /// The terminal itself is asked at each drawing, as a user may resize it.
    Terminal(console::Term),
    /// The size never changes.
    #[cfg(test)]
    Fixed(TerminalSize),
}

impl Screen {
    /// The current size.
    pub(crate) fn size(&self) -> TerminalSize {
        match self {
            Self::Terminal(terminal) => {
                let (rows, columns) = terminal.size();
                TerminalSize { rows: rows.into(), columns: columns.into() }
            }
            #[cfg(test)]
            Self::Fixed(size) => *size,
        }
    }
}

/// Collects a drawing and gives it to a [`Spool`] in one piece. If the reader is far behind, the drawing is dropped: the
/// next one replaces it.
#[derive(Debug)]
pub(crate) struct SpooledTerminal {
    stream: Spool,
    screen: Screen,
    drawing: Mutex<String>,
}

impl SpooledTerminal {
    /// A target for indicatif that draws through a spool.
    pub(crate) fn target(stream: Spool, screen: Screen) -> ProgressDrawTarget {
        let terminal = Self { stream, screen, drawing: Mutex::default() };
        ProgressDrawTarget::term_like_with_hz(Box::new(terminal), DRAWINGS)
    }

    fn draw(&self, text: std::fmt::Arguments<'_>) -> io::Result<()> {
        let mut drawing = self.drawing.lock().unwrap_or_else(PoisonError::into_inner);
        drawing.write_fmt(text).map_err(io::Error::other)
    }

    fn step(&self, n: usize, direction: char) -> io::Result<()> {
        // A terminal takes zero steps as one.
        if n == 0 { Ok(()) } else { self.draw(format_args!("\x1b[{n}{direction}")) }
    }
}

impl TermLike for SpooledTerminal {
    fn width(&self) -> u16 {
        self.screen.size().columns.try_into().unwrap_or(u16::MAX)
    }

    fn height(&self) -> u16 {
        self.screen.size().rows.try_into().unwrap_or(u16::MAX)
    }

    fn move_cursor_up(&self, n: usize) -> io::Result<()> {
        self.step(n, 'A')
    }

    fn move_cursor_down(&self, n: usize) -> io::Result<()> {
        self.step(n, 'B')
    }

    fn move_cursor_right(&self, n: usize) -> io::Result<()> {
        self.step(n, 'C')
    }

    fn move_cursor_left(&self, n: usize) -> io::Result<()> {
        self.step(n, 'D')
    }

    fn write_line(&self, text: &str) -> io::Result<()> {
        self.draw(format_args!("{text}\n"))
    }

    fn write_str(&self, text: &str) -> io::Result<()> {
        self.draw(format_args!("{text}"))
    }

    fn clear_line(&self) -> io::Result<()> {
        self.draw(format_args!("\r\x1b[2K"))
    }

    fn flush(&self) -> io::Result<()> {
        let mut drawing = self.drawing.lock().unwrap_or_else(PoisonError::into_inner);
        self.stream.offer(drawing.as_bytes());
        drawing.clear();
        Ok(())
    }
}
