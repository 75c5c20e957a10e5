//! The rules of the workspace that no other tool knows: layers, circles, names, lengths, the English of comments.

mod checks;
mod files;
mod finding;
mod module_graph;
mod rules;
mod source;
mod summary;

use std::path::Path;

use self::checks::{
    circles, comments, crate_layers, file_form, forbidden_words, module_layers, named_tests, names, room_size,
};
use self::summary::Filter;
use crate::manifest;
use crate::step::Failure;

/// What `tidy --help` prints.
pub(crate) fn help() -> String {
    summary::help()
}

/// Checks every rule; prints what breaks one and how often each is close to it.
pub(crate) fn run(root: &Path, arguments: &[String], test_command: &str) -> Result<(), Failure> {
    let filter = Filter::parse(arguments)?;
    let workspace = manifest::read_workspace(root)?;
    let files = files::read(root)?;
    let mut findings = Vec::new();
    findings.extend(crate_layers::check(&workspace));
    findings.extend(module_layers::check(&workspace, &files.sources));
    findings.extend(circles::check(&workspace, &files.sources));
    findings.extend(files.sources.iter().flat_map(file_form::check));
    findings.extend(files.sources.iter().flat_map(names::check));
    findings.extend(files.sources.iter().flat_map(comments::check));
    findings.extend(room_size::check(&files.sources));
    findings.extend(files.texts.iter().flat_map(|(path, text)| forbidden_words::check(path, text)));
    findings.extend(named_tests::check(&files.texts));
    findings.extend(named_tests::check_command(&files.texts, test_command));
    summary::print(&workspace, &filter, &findings, files.texts.len())
}
