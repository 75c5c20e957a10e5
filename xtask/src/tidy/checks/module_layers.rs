//! Which module may use which inside a crate, and that the pure crate does no I/O.

use std::path::Path;

use crate::manifest::Workspace;
use crate::tidy::finding::Finding;
use crate::tidy::rules::{Edge, IMPURE_MACROS, IMPURE_PATHS, MODULES, ModuleRule, PURE_CRATE, Rule};
use crate::tidy::source::{NamedPath, Source};

/// Checks every file of every crate against the tables.
pub(in crate::tidy) fn check(workspace: &Workspace, sources: &[Source]) -> Vec<Finding> {
    let mut findings = Vec::new();
    for member in &workspace.members {
        let Some(krate) = member.path.parent() else { continue };
        let rules: Vec<_> = MODULES.iter().filter(|rule| rule.krate == member.name).collect();
        let mut tops = Vec::new();
        for source in sources {
            let Some(module) = source.module_path(krate) else { continue };
            if let Some(top) = module.first() {
                tops.push(top.clone());
                findings.extend(rules.iter().flat_map(|rule| check_edges(rule, source, &module)));
            }
            if member.name == PURE_CRATE {
                findings.extend(check_purity(source));
            }
        }
        for rule in rules {
            if !tops.iter().any(|top| top == rule.module) {
                findings.push(stale(rule, krate));
            }
        }
    }
    findings
}

fn stale(rule: &ModuleRule, krate: &Path) -> Finding {
    let message = format!(
        "has no module {} any more, but the table of modules has a rule for it (xtask/src/tidy/rules.rs)",
        rule.module
    );
    Finding::new(Rule::ModuleLayers, krate, 0, message)
}

/// Finds uses of other top modules that a rule forbids.
fn check_edges(rule: &ModuleRule, source: &Source, module: &[String]) -> Vec<Finding> {
    if source.is_for_tests() {
        return Vec::new();
    }
    let own = &module[0];
    let mut findings = Vec::new();
    for path in source.paths().iter().filter(|path| !path.in_tests) {
        let Some(used) = used_module(path, module) else { continue };
        if used == *own {
            continue;
        }
        let message = match rule.edge {
            Edge::UsesOnly(allowed)
                if own == rule.module && !allowed.contains(&&used[..]) && is_module(&used) =>
            {
                format!("the module {own} must not use {used}; it may use: {}", named(allowed))
            }
            Edge::UsedOnlyBy(allowed) if used == rule.module && !allowed.contains(&&own[..]) => {
                format!("the module {used} may be used by {} only, not by {own}", named(allowed))
            }
            _ => continue,
        };
        findings.push(Finding::new(Rule::ModuleLayers, &source.path, path.line, message));
    }
    findings
}

fn named(modules: &[&str]) -> String {
    if modules.is_empty() { "no other module".into() } else { modules.join(", ") }
}

/// The top module of the crate that a path leads through; none if it stays in its own module.
fn used_module(path: &NamedPath, module: &[String]) -> Option<String> {
    let ups = path.parts.iter().take_while(|part| *part == "super").count();
    let first = path.parts.first()?;
    if first == "crate" {
        return path.parts.get(1).cloned();
    }
    // In an inline module the first step up leads to the file's own module.
    let level = (module.len() + path.depth).checked_sub(ups)?;
    if ups > 0 && level == 0 { path.parts.get(ups).cloned() } else { None }
}

/// Whether a name is a module's, not that of a type or a constant that the crate's root re-exports.
fn is_module(name: &str) -> bool {
    name.starts_with(|c: char| c.is_lowercase())
}

/// Finds uses of I/O in the pure crate.
fn check_purity(source: &Source) -> Vec<Finding> {
    if source.is_for_tests() {
        return Vec::new();
    }
    let mut findings = Vec::new();
    for path in source.paths().iter().filter(|path| !path.in_tests) {
        let impure =
            IMPURE_PATHS.iter().find(|impure| path.parts.iter().take(impure.len()).eq(impure.iter()));
        if let Some(impure) = impure {
            let message = format!("{PURE_CRATE} does no I/O: it must not use {}", impure.join("::"));
            findings.push(Finding::new(Rule::ModuleLayers, &source.path, path.line, message));
        }
    }
    for pair in source.tokens.windows(2).filter(|pair| pair[1].text == "!" && !pair[0].in_tests) {
        if IMPURE_MACROS.contains(&&pair[0].text[..]) {
            let message = format!("{PURE_CRATE} does no I/O: it must not call {}!", pair[0].text);
            findings.push(Finding::new(Rule::ModuleLayers, &source.path, pair[0].line, message));
        }
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALONE: ModuleRule = ModuleRule { krate: "k", module: "store", edge: Edge::UsesOnly(&["clock"]) };
    const HIDDEN: ModuleRule = ModuleRule { krate: "k", module: "store", edge: Edge::UsedOnlyBy(&["run"]) };

    fn edges(rule: &ModuleRule, path: &str, text: &str) -> Vec<String> {
        let source = Source::new(format!("k/src/{path}").into(), text.into());
        let module = source.module_path(Path::new("k")).unwrap();
        check_edges(rule, &source, &module).into_iter().map(|finding| finding.message).collect()
    }

    #[test]
    fn a_module_uses_only_what_it_may() {
        let fine = "use crate::clock::now;\nuse crate::store::Lock;\nuse super::line;\nuse crate::Spool;";
        assert!(edges(&ALONE, "store/lock.rs", fine).is_empty());
        let by_crate = edges(&ALONE, "store/lock.rs", "use crate::{clock::now, host::{Host, Inbox}};");
        assert_eq!(by_crate, ["the module store must not use host; it may use: clock"; 2]);
        assert_eq!(edges(&ALONE, "store/lock.rs", "fn f() { super::super::host::run() }").len(), 1);
        assert_eq!(edges(&ALONE, "store.rs", "mod inner { fn f() { super::super::host::run() } }").len(), 1);
        assert!(edges(&ALONE, "store.rs", "mod inner { fn f() { super::line::parse() } }").is_empty());
    }

    #[test]
    fn a_module_is_used_only_where_it_may_be() {
        assert!(edges(&HIDDEN, "run.rs", "use crate::store::Lock;").is_empty());
        let told = edges(&HIDDEN, "host.rs", "use crate::store::Lock;");
        assert_eq!(told, ["the module store may be used by run only, not by host"]);
        assert_eq!(edges(&HIDDEN, "host/inbox.rs", "use super::super::store;").len(), 1);
    }

    #[test]
    fn tests_comments_and_texts_may_name_anything() {
        let text = "// crate::host\nconst A: &str = \"crate::host\";\n#[cfg(test)]\nmod tests { use crate::host::Host; }";
        assert!(edges(&ALONE, "store.rs", text).is_empty());
        assert!(edges(&ALONE, "store/tests.rs", "use crate::host::Host;").is_empty());
    }

    #[test]
    fn the_pure_crate_does_no_io() {
        let found =
            |text: &str| check_purity(&Source::new("fedflow-core/src/a.rs".into(), text.into())).len();
        for bad in [
            "use std::fs;",
            "use std::{collections::BTreeMap, io::Write};",
            "fn f() { std::process::exit(1) }",
            "use std::time::{Duration, Instant};",
            "let t: std::time::SystemTime;",
            "use std::sync::mpsc::channel;",
            "fn f() { println!(\"x\") }",
        ] {
            assert_eq!(found(bad), 1, "{bad}");
        }
        assert_eq!(found("use std::time::Duration;\nuse std::fmt;\nuse std::path::Path;"), 0);
        assert_eq!(found("#[cfg(test)]\nmod tests { use std::io; }"), 0);
    }

    #[test]
    fn a_rule_for_a_module_that_is_gone_is_found() {
        assert!(stale(&ALONE, Path::new("k")).message.contains("no module store"));
    }
}
