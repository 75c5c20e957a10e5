//! Which crate may depend on which: the layers of the workspace, the owners of third-party crates, shared lints.

use std::collections::BTreeSet;

use crate::manifest::{DependencyKind, Manifest, Workspace};
use crate::tidy::finding::Finding;
use crate::tidy::rules::{ALSO_KNOWN, CRATES, OWNERS, Rule};

/// Checks every manifest against the tables.
pub(in crate::tidy) fn check(workspace: &Workspace) -> Vec<Finding> {
    let members: BTreeSet<&str> = workspace.members.iter().map(|member| &member.name[..]).collect();
    let mut findings: Vec<_> =
        workspace.members.iter().flat_map(|manifest| check_manifest(manifest, &members)).collect();
    let used: BTreeSet<&str> = workspace
        .members
        .iter()
        .flat_map(|member| member.dependencies.keys().map(|name| &name[..]))
        .collect();
    for name in &workspace.shared_dependencies {
        if !used.contains(&name[..]) {
            findings.push(Finding::new(
                Rule::CrateLayers,
                "Cargo.toml",
                0,
                format!("no crate uses the dependency {name}"),
            ));
        }
    }
    findings
}

fn check_manifest(manifest: &Manifest, members: &BTreeSet<&str>) -> Vec<Finding> {
    let mut findings = Vec::new();
    let mut found =
        |message: String| findings.push(Finding::new(Rule::CrateLayers, &manifest.path, 0, message));
    if !manifest.shares_lints {
        found("has no `[lints] workspace = true`".into());
    }
    let name = &manifest.name;
    let Some(rule) = CRATES.iter().find(|rule| rule.name == name) else {
        found(format!("the crate {name} has no line in the table of layers (xtask/src/tidy/rules.rs)"));
        return findings;
    };
    for (dependency, kinds) in &manifest.dependencies {
        let dependency = &dependency[..];
        if members.contains(dependency) {
            let in_tests_alone = kinds.iter().all(|kind| *kind == DependencyKind::Development);
            let allowed = rule.knows.contains(&dependency)
                || (in_tests_alone && rule.knows_in_tests.contains(&dependency))
                // A crate depends on itself to enable a feature for its tests.
                || dependency == name;
            if !allowed {
                let may = if rule.knows.is_empty() { "none".into() } else { rule.knows.join(", ") };
                found(format!("{name} must not depend on {dependency}; of the workspace it may know: {may}"));
            }
        }
        let owner = OWNERS.iter().find(|(owned, _)| *owned == dependency);
        if let Some((owned, owner)) = owner
            && owner != name
            && !ALSO_KNOWN.contains(&(owned, name))
        {
            found(format!("{owned} belongs to {owner} alone; {name} must not depend on it"));
        }
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::*;

    fn manifest(name: &str, body: &str) -> Manifest {
        let text = format!("[package]\nname = \"{name}\"\n{body}\n[lints]\nworkspace = true\n");
        Manifest::from_table(format!("{name}/Cargo.toml").into(), &text.parse().unwrap())
    }

    fn messages(name: &str, body: &str) -> Vec<String> {
        let members = CRATES.iter().map(|rule| rule.name).collect();
        check_manifest(&manifest(name, body), &members).into_iter().map(|it| it.message).collect()
    }

    #[test]
    fn the_layers_of_the_design_pass() {
        let body = "[dependencies]\nfedflow-core = {}\nfedflow-worker = {}\nfedflow-gpu = {}\nclap = {}";
        assert!(messages("fedflow-cli", body).is_empty());
        assert!(messages("fedflow-gpu", "[dev-dependencies]\nnvml-stand-in = {}").is_empty());
    }

    #[test]
    fn an_arrow_up_or_sideways_is_found() {
        let up = messages("fedflow-core", "[dependencies]\nfedflow-worker = {}");
        assert_eq!(
            up,
            ["fedflow-core must not depend on fedflow-worker; of the workspace it may know: none"]
        );
        assert_eq!(messages("fedflow-gpu", "[dependencies]\nfedflow-report = {}").len(), 1);
        assert_eq!(
            messages("fedflow-gpu", "[dependencies]\nnvml-stand-in = {}").len(),
            1,
            "only in its tests"
        );
        assert_eq!(messages("xtask", "[build-dependencies]\nfedflow-core = {}").len(), 1);
        assert_eq!(messages("fedflow-report", "[dev-dependencies]\nfedflow-worker = {}").len(), 1);
    }

    #[test]
    fn an_owned_crate_stays_with_its_owner() {
        assert!(messages("fedflow-worker", "[dependencies]\nbincode = {}").is_empty());
        assert_eq!(
            messages("fedflow-report", "[dependencies]\nclap = {}"),
            ["clap belongs to fedflow-cli alone; fedflow-report must not depend on it"]
        );
        assert_eq!(messages("fedflow-gpu", "[dev-dependencies]\nx = { package = \"bincode\" }").len(), 1);
        assert!(messages("xtask", "[dependencies]\ntoml = {}").is_empty());
    }

    #[test]
    fn a_crate_without_a_line_is_found() {
        assert!(messages("fedflow-extra", "")[0].contains("no line in the table"));
    }

    #[test]
    fn lints_are_shared() {
        let table = "[package]\nname = \"xtask\"".parse().unwrap();
        let findings = check_manifest(&Manifest::from_table("x".into(), &table), &BTreeSet::new());
        assert_eq!(findings.len(), 1);
    }

    #[test]
    fn a_shared_dependency_without_a_user_is_found() {
        let workspace = Workspace {
            members: vec![manifest("fedflow-core", "[dependencies]\nserde = {}")],
            shared_dependencies: vec!["serde".into(), "left-over".into()],
        };
        let findings = check(&workspace);
        assert_eq!(findings.len(), 1);
        assert!(findings[0].message.contains("left-over"));
    }
}
