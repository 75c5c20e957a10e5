//! `WarningLog`: the warnings of a pool, and the listener that is told of them.

use std::fmt;

use crate::problems::Warning;

type Listener = Box<dyn Fn(&Warning) + Send>;

/// The warnings of a pool, in the order in which they were found.
pub(super) struct WarningLog {
    pub(super) warnings: Vec<Warning>,
    listener: Option<Listener>,
    /// How many warnings the listener has been told.
    told: usize,
}

impl WarningLog {
    pub(super) fn new(warnings: Vec<Warning>) -> Self {
        Self { warnings, listener: None, told: 0 }
    }

    /// Tells a listener of all warnings: those there are now, and each later one by [`Self::tell_news`].
    pub(super) fn listen(&mut self, listener: impl Fn(&Warning) + Send + 'static) {
        self.listener = Some(Box::new(listener));
        self.told = 0;
        self.tell_news();
    }

    /// Tells the listener of the warnings that it has not been told yet.
    pub(super) fn tell_news(&mut self) {
        if let Some(listener) = &self.listener {
            self.warnings.iter().skip(self.told).for_each(listener);
            self.told = self.warnings.len();
        }
    }

    /// Adds a warning unless it is there already: a lasting problem is reported when it begins, not with each request.
    pub(super) fn add_once(&mut self, warning: Warning) {
        if !self.warnings.contains(&warning) {
            self.warnings.push(warning);
        }
    }
}

impl fmt::Debug for WarningLog {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WarningLog").field("warnings", &self.warnings).finish_non_exhaustive()
    }
}
