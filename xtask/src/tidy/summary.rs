//! What `tidy` prints: the findings that were asked for, and how many each rule has in each crate.

use std::collections::BTreeMap;
use std::path::Path;

use super::finding::Finding;
use super::rules::{RULES, Rule, Weight};
use crate::manifest::Workspace;
use crate::step::Failure;

/// Which findings are listed. Without a filter these are the errors; warnings are only counted.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Filter {
    rule: Option<Rule>,
    krate: Option<String>,
}

/// What `tidy --help` prints.
pub(super) fn help() -> String {
    let mut text = String::from(
        "Checks the rules of the workspace that no other tool knows.\n\n\
         usage: cargo xtask tidy [--rule RULE] [--crate CRATE]\n\n\
         Errors are listed and warnings counted; with a rule or a crate, all of these are listed.\n\nrules:\n",
    );
    for (_, name, weight, asks) in RULES {
        let weight = if *weight == Weight::Warning { " (warning)" } else { "" };
        text += &format!("  {name:<16} {asks}{weight}\n");
    }
    text
}

impl Filter {
    /// Reads `--rule` and `--crate`.
    pub(super) fn parse(arguments: &[String]) -> Result<Self, Failure> {
        let mut filter = Self::default();
        let mut words = arguments.iter();
        while let Some(word) = words.next() {
            match (word.as_str(), words.next()) {
                ("--rule", Some(name)) => {
                    let line = RULES.iter().find(|(_, known, ..)| known == name);
                    let unknown = || Failure::Other(format!("no rule is named {name}; see tidy --help"));
                    filter.rule = Some(line.ok_or_else(unknown)?.0);
                }
                ("--crate", Some(name)) => filter.krate = Some(name.clone()),
                _ => {
                    return Err(Failure::Other(format!("{word} is no argument of tidy, or lacks its value")));
                }
            }
        }
        Ok(filter)
    }

    fn lists(&self, finding: &Finding, krate: &str) -> bool {
        match (self.rule, &self.krate) {
            (None, None) => finding.weight() == Weight::Error,
            (rule, wanted) => {
                rule.is_none_or(|rule| rule == finding.rule)
                    && wanted.as_deref().is_none_or(|wanted| wanted == krate)
            }
        }
    }
}

/// Prints findings and counts; fails if one is an error.
pub(super) fn print(
    workspace: &Workspace,
    filter: &Filter,
    findings: &[Finding],
    files: usize,
) -> Result<(), Failure> {
    for finding in findings.iter().filter(|finding| filter.lists(finding, crate_of(workspace, &finding.path)))
    {
        eprintln!("{finding}");
    }
    if *filter == Filter::default() {
        for line in warning_counts(workspace, findings) {
            eprintln!("{line}");
        }
    }
    let errors = findings.iter().filter(|finding| finding.weight() == Weight::Error).count();
    if errors > 0 {
        return Err(Failure::Other(format!("tidy found {errors} broken rules")));
    }
    println!("tidy: {files} files, no rule broken");
    Ok(())
}

/// One line for each rule with warnings: `warning: circles: fedflow-core 3, fedflow-gpu 1`.
fn warning_counts(workspace: &Workspace, findings: &[Finding]) -> Vec<String> {
    let mut counts: BTreeMap<Rule, BTreeMap<&str, usize>> = BTreeMap::new();
    for finding in findings.iter().filter(|finding| finding.weight() == Weight::Warning) {
        let krate = crate_of(workspace, &finding.path);
        *counts.entry(finding.rule).or_default().entry(krate).or_default() += 1;
    }
    let line = |(rule, crates): (Rule, BTreeMap<&str, usize>)| {
        let crates: Vec<_> = crates.iter().map(|(krate, count)| format!("{krate} {count}")).collect();
        format!("warning: {}: {}", rule.name(), crates.join(", "))
    };
    counts.into_iter().map(line).collect()
}

/// The name of the crate that a file is part of; for files beside the crates, the top directory.
fn crate_of<'a>(workspace: &'a Workspace, path: &'a Path) -> &'a str {
    let around = workspace.members.iter().filter_map(|member| {
        let directory = member.path.parent()?;
        path.starts_with(directory).then_some((directory.as_os_str().len(), &member.name[..]))
    });
    let top = || path.iter().next().and_then(|part| part.to_str()).unwrap_or_default();
    around.max().map_or_else(top, |(_, name)| name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::manifest::Manifest;

    fn workspace() -> Workspace {
        let member = |path: &str, name: &str| {
            let table = format!("[package]\nname = \"{name}\"").parse().unwrap();
            Manifest::from_table(format!("{path}/Cargo.toml").into(), &table)
        };
        let members = vec![member("cli", "fedflow-cli"), member("cli/examples/digits", "fedflow-digits")];
        Workspace { members, shared_dependencies: Vec::new() }
    }

    fn parse(words: &str) -> Result<Filter, Failure> {
        Filter::parse(&words.split_whitespace().map(str::to_owned).collect::<Vec<_>>())
    }

    #[test]
    fn a_file_belongs_to_the_innermost_crate() {
        let workspace = workspace();
        let of = |path: &'static str| crate_of(&workspace, Path::new(path)).to_owned();
        assert_eq!(of("cli/src/a.rs"), "fedflow-cli");
        assert_eq!(of("cli/examples/digits/src/a.rs"), "fedflow-digits");
        assert_eq!(of("fuzz/a.rs"), "fuzz");
    }

    #[test]
    fn what_is_asked_for_is_listed() {
        let rooms = Finding::new(Rule::RoomSize, "cli/src", 0, "");
        let layers = Finding::new(Rule::CrateLayers, "cli/src", 0, "");
        let lists = |words: &str| {
            let filter = parse(words).unwrap();
            (filter.lists(&rooms, "fedflow-cli"), filter.lists(&layers, "fedflow-cli"))
        };
        assert_eq!(lists(""), (false, true));
        assert_eq!(lists("--rule rooms"), (true, false));
        assert_eq!(lists("--crate fedflow-cli"), (true, true));
        assert_eq!(lists("--rule rooms --crate fedflow-gpu"), (false, false));
        assert!(parse("--rule nothing").is_err() && parse("--rule").is_err() && parse("rooms").is_err());
    }

    #[test]
    fn warnings_are_counted_by_rule_and_crate() {
        let workspace = workspace();
        let at = |rule, path| Finding::new(rule, path, 0, "");
        let findings = [
            at(Rule::RoomSize, "cli/src"),
            at(Rule::RoomSize, "cli/src/x"),
            at(Rule::RoomSize, "cli/examples/digits/src"),
            at(Rule::CrateLayers, "cli"),
        ];
        assert_eq!(
            warning_counts(&workspace, &findings),
            ["warning: rooms: fedflow-cli 2, fedflow-digits 1"]
        );
    }
}
