//! The flow file: read, checked and multiplied into the groups and tasks of a run.
//!
//! A flow file is TOML. `repeat` runs a group, or the groups inside it, several times; inside, templates see
//! `round`, the round of the innermost repeat, from 1, and `rounds`, those of all repeats around, the outermost
//! first. `matrix` makes one task for each combination of its variables, the last one changing fastest; a range
//! `{ from = 0, to = 10 }` ends before `to`, so it gives 0 to 9, and may have a `step`. `flow_dir` is the directory
//! of the flow file. Without an `id` the tasks of a matrix are named after their point: `client=3,lr=0.1`.
//!
//! What a group says of devices, memory and time limits holds for the groups and tasks inside it that say nothing
//! themselves.

mod check;
mod document;
mod expand;
mod lookup;
mod matrix;
mod plan;
mod property;
mod scope;
mod template;
mod template_value;
mod worker;

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::diagnostic::{Diagnostic, Diagnostics, SourceFile, Span};
use crate::settings::ConfigEntry;
use crate::table::{Reader, Table};
use document::Document;
use property::{Texts, Vocabulary};
use template::TemplateSet;

pub use check::{Surroundings, validate};
pub use plan::{FlowContext, GroupPlan};
pub use worker::{WorkerEntry, WorkerProtocol};

/// The largest flow file that is read.
const MAX_FILE_BYTES: u64 = 64 << 20;

/// A flow file and what it says.
#[derive(Debug, Clone)]
pub struct FlowFile {
    /// The text with its name, for errors and for the copy that a run keeps.
    pub source: Arc<SourceFile>,
    /// What it says.
    pub flow: Flow,
}

/// What a flow file says, with everything multiplied.
#[derive(Debug, Clone)]
pub struct Flow {
    /// Its name; that of the file if it has none.
    pub name: String,
    /// The directory of the flow file, an absolute path: relative paths begin here.
    pub base_dir: PathBuf,
    /// The run directory, if the file names one. It is among `config` too, as the key `workdir`.
    pub workdir: Option<String>,
    /// What the file sets of the configuration; whether the keys exist is for [`Settings`](crate::settings::Settings).
    pub config: Vec<ConfigEntry>,
    /// The worker programs, by name.
    pub workers: BTreeMap<String, WorkerEntry>,
    /// The groups, in the order of execution.
    pub groups: Vec<GroupPlan>,
    source: Arc<SourceFile>,
}

impl FlowFile {
    /// Reads a flow file. Blocks on the file.
    ///
    /// # Errors
    /// The file cannot be read, or everything that is wrong in it.
    pub fn read(path: &Path) -> Result<Self, Diagnostics> {
        let text = read_text(path).map_err(|error| {
            let diagnostic = Diagnostic::new(format!("cannot read {}: {error}", path.display()));
            diagnostic.maybe_hint(match error.kind() {
                io::ErrorKind::NotFound => Some("`fedflow init` writes a flow file to start from".into()),
                io::ErrorKind::IsADirectory => Some("name the flow file in it".into()),
                _ => None,
            })
        })?;
        Self::parse(text, path)
    }

    /// Takes a text as the flow file at a path. Reads nothing but, for a relative path, the current directory.
    ///
    /// # Errors
    /// Everything that is wrong in it.
    pub fn parse(text: impl Into<String>, path: &Path) -> Result<Self, Diagnostics> {
        let source = SourceFile::new(path, text);
        let base_dir = std::path::absolute(path)
            .map_err(|error| Diagnostic::new(format!("cannot tell where {} is: {error}", path.display())))?
            .parent()
            .map_or_else(|| PathBuf::from("/"), Path::to_path_buf);
        let mut texts = Texts {
            reader: Reader::new(&source),
            templates: TemplateSet::default(),
            vocabulary: Vocabulary::default(),
        };
        let Some(table) = texts.reader.parse(source.text()) else { return Err(texts.reader.found) };
        let document = Document::read(&mut texts, Table::new("a flow", table.get_ref(), Span::default()));
        let found = texts.reader.found;
        if !found.is_empty() {
            // Multiplied, a file with mistakes would only show what follows from them.
            return Err(found);
        }
        let groups = expand::expand(&document, &source, &base_dir)?;
        let name = document.name.unwrap_or_else(|| {
            path.file_stem().map_or_else(|| "flow".into(), |stem| stem.to_string_lossy().into_owned())
        });
        let flow = Flow {
            name,
            base_dir,
            workdir: document.workdir,
            config: document.config,
            workers: document.workers,
            groups,
            source: Arc::clone(&source),
        };
        Ok(Self { source, flow })
    }

    /// The text as it was read.
    #[must_use]
    pub fn text(&self) -> &str {
        self.source.text()
    }
}

impl Flow {
    /// How many tasks there are in all groups.
    #[must_use]
    pub fn task_count(&self) -> usize {
        self.groups.iter().map(|group| group.tasks.len()).sum()
    }

    /// The text that it comes from.
    #[must_use]
    pub fn source(&self) -> &Arc<SourceFile> {
        &self.source
    }
}

fn read_text(path: &Path) -> io::Result<String> {
    // A device or a pipe would be read for ever.
    let metadata = std::fs::metadata(path)?;
    if metadata.is_dir() {
        return Err(io::ErrorKind::IsADirectory.into());
    }
    if metadata.len() > MAX_FILE_BYTES {
        return Err(io::Error::other("it is larger than 64 MiB"));
    }
    use io::Read as _;
    let mut text = String::new();
    std::fs::File::open(path)?.take(MAX_FILE_BYTES).read_to_string(&mut text)?;
    Ok(text)
}

#[cfg(test)]
mod tests;
