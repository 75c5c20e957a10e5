//! `FlowFile`: a flow file that was read, and `Flow`: its content.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use fedflow_core::Dict;

use super::document::{Document, WorkerEntry};
use super::expansion::expand;
use super::group::FlowGroup;
use super::keys::Place;
use super::templates::{FlowScope, TemplateSet};
use super::values::{FlowReader, VisibleNames};
use crate::diagnostic::{Diagnostic, Diagnostics, SourceFile, Span};
use crate::settings::ConfigEntry;
use crate::toml_reader::{TomlReader, TomlTable};

/// The largest flow file that is read.
const MAX_FILE_BYTES: u64 = 64 << 20;

/// A flow file: its text and its content.
#[derive(Debug, Clone)]
pub struct FlowFile {
    /// The text with its name, for errors and for the copy that a run keeps.
    pub source: Arc<SourceFile>,
    /// The content.
    pub flow: Flow,
}

/// What a flow file is read with, beside its text.
#[derive(Debug, Clone, Default)]
pub struct FlowInputs {
    /// Values of variables of `[vars]`, in place of those in the file.
    pub vars: Dict,
    /// The first seed of the run, on which samples depend.
    pub seed: u64,
}

/// The content of a flow file, with rounds and matrices expanded.
#[derive(Debug, Clone)]
pub struct Flow {
    /// The name of the flow; the file's name if it has none.
    pub name: String,
    /// The directory of the flow file, an absolute path. Relative paths start here.
    pub base_dir: PathBuf,
    /// The run directory, if the file names one. `config` has it too, as the key `workdir`.
    pub workdir: Option<String>,
    /// The configuration that the file sets. [`Settings`](crate::settings::Settings) checks whether the keys exist.
    pub config: Vec<ConfigEntry>,
    /// The variables of `[vars]`, each with the value that counts.
    pub vars: Dict,
    /// The worker programs, by name.
    pub workers: BTreeMap<String, WorkerEntry>,
    /// The groups, in the order of execution.
    pub groups: Vec<Arc<FlowGroup>>,
    pub(super) source: Arc<SourceFile>,
}

impl FlowFile {
    /// Reads a flow file. Blocks on the file.
    ///
    /// # Errors
    /// The file cannot be read, or everything that is wrong in it.
    pub fn read(path: &Path) -> Result<Self, Diagnostics> {
        Self::read_with(path, &FlowInputs::default())
    }

    /// Reads a flow file with what the command line says of it. Blocks on the file.
    ///
    /// # Errors
    /// The file cannot be read, or everything that is wrong in it, or it has no variable that is given.
    pub fn read_with(path: &Path, inputs: &FlowInputs) -> Result<Self, Diagnostics> {
        let text = read_text(path).map_err(|error| {
            let diagnostic = Diagnostic::new(format!("cannot read {}: {error}", path.display()));
            diagnostic.maybe_hint(match error.kind() {
                io::ErrorKind::NotFound if path == Path::new("-") => Some(
                    "a flow is read from a file, as paths in it are relative to that: write it to flow.toml"
                        .into(),
                ),
                io::ErrorKind::NotFound => Some(match flows_in(path.parent()).as_slice() {
                    [] => "`fedflow init` writes a flow file to start from".into(),
                    flows => format!("there is {}", flows.join(", ")),
                }),
                io::ErrorKind::IsADirectory => Some(match flows_in(Some(path)).first() {
                    Some(flow) => format!("name the flow file in it, such as {flow}"),
                    None => "name a flow file; `fedflow init DIR` writes one to start from".into(),
                }),
                _ => None,
            })
        })?;
        Self::parse_with(text, path, inputs)
    }

    /// Takes a text as the flow file at a path. It reads nothing, except the current directory if the path is relative, and
    /// where the home directory is if a `~` stands for it.
    ///
    /// # Errors
    /// Everything that is wrong in it.
    pub fn parse(text: impl Into<String>, path: &Path) -> Result<Self, Diagnostics> {
        Self::parse_with(text, path, &FlowInputs::default())
    }

    /// Takes a text as the flow file at a path, as [`FlowFile::parse`] does, with what the command line says of it.
    ///
    /// # Errors
    /// Everything that is wrong in it, or it has no variable that is given.
    pub fn parse_with(
        text: impl Into<String>,
        path: &Path,
        inputs: &FlowInputs,
    ) -> Result<Self, Diagnostics> {
        let source = SourceFile::new(path, text);
        let base_dir = std::path::absolute(path)
            .map_err(|error| Diagnostic::new(format!("cannot tell where {} is: {error}", path.display())))?
            .parent()
            .map_or_else(|| PathBuf::from("/"), Path::to_path_buf);
        let mut reader = FlowReader {
            toml: TomlReader::new(&source),
            flow: Arc::new(FlowScope { flow_dir: base_dir.display().to_string().into(), vars: Dict::new() }),
            templates: TemplateSet::default(),
            visible: VisibleNames::default(),
        };
        let Some(table) = reader.toml.parse(source.text()) else {
            if path.extension().is_none_or(|extension| extension != "toml") {
                let message = format!("{} is no flow file, as it is not TOML", source.name());
                let hint = "a program is run by a flow: `fedflow init` writes one to start from";
                return Err(Diagnostic::new(message).hint(hint).into());
            }
            return Err(reader.toml.found);
        };
        let table = TomlTable::new(Place::Flow.what(), table.get_ref(), Span::default());
        let document = Document::read(&mut reader, table, &inputs.vars);
        let (found, names) = (reader.toml.found, reader.flow);
        if !found.is_empty() {
            // Expanded, a file with mistakes would only show what follows from them.
            return Err(found);
        }
        let groups = expand(&document, &source, &base_dir, &names, inputs.seed)?;
        let name = document.name.unwrap_or_else(|| {
            path.file_stem().map_or_else(|| "flow".into(), |stem| stem.to_string_lossy().into_owned())
        });
        let flow = Flow {
            name,
            base_dir,
            workdir: document.workdir,
            config: document.config,
            vars: names.vars.clone(),
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
    /// The number of tasks in all groups.
    #[must_use]
    pub fn task_count(&self) -> usize {
        self.groups.iter().map(|group| group.tasks.len()).sum()
    }

    /// The text that the flow was read from.
    #[must_use]
    pub fn source(&self) -> &Arc<SourceFile> {
        &self.source
    }
}

/// The files in a directory that may be flows, as they would be named: at most a few, in the order of their names.
fn flows_in(directory: Option<&Path>) -> Vec<String> {
    const MOST: usize = 5;
    let directory = directory.unwrap_or_else(|| Path::new(""));
    let here = if directory.as_os_str().is_empty() { Path::new(".") } else { directory };
    let entries = std::fs::read_dir(here).into_iter().flatten().filter_map(Result::ok);
    let is_flow =
        |name: &String| name.ends_with(".toml") && !["fedflow.toml", "Cargo.toml"].contains(&name.as_str());
    let names = entries.filter_map(|entry| entry.file_name().into_string().ok()).filter(is_flow);
    let mut flows: Vec<String> = names.map(|name| directory.join(name).display().to_string()).collect();
    flows.sort();
    flows.truncate(MOST);
    flows
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
