//! Reads what the chores need of the workspace's manifests.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use toml::{Table, Value};

use crate::step::Failure;

/// The manifests of the workspace.
#[derive(Debug)]
pub(crate) struct Workspace {
    /// Every member, in the order of the root manifest.
    pub(crate) members: Vec<Manifest>,
    /// The names under `[workspace.dependencies]`.
    pub(crate) shared_dependencies: Vec<String>,
}

/// One crate's manifest.
#[derive(Debug)]
pub(crate) struct Manifest {
    /// Its path, relative to the workspace.
    pub(crate) path: PathBuf,
    /// The package's name.
    pub(crate) name: String,
    /// Every dependency of any target, with its kinds.
    pub(crate) dependencies: BTreeMap<String, Vec<DependencyKind>>,
    /// Whether it says `[lints] workspace = true`.
    pub(crate) shares_lints: bool,
    /// The names of its `[[bench]]` targets.
    pub(crate) benches: Vec<String>,
}

/// The part of a crate that needs a dependency.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum DependencyKind {
    /// The crate itself.
    Normal,
    /// Its tests, examples and benchmarks.
    Development,
    /// Its build script.
    Build,
}

/// Reads the root manifest and those of all members.
pub(crate) fn read_workspace(root: &Path) -> Result<Workspace, Failure> {
    let table = read_table(&root.join("Cargo.toml"))?;
    let workspace = table.get("workspace").and_then(Value::as_table);
    let members = workspace.and_then(|it| it.get("members")?.as_array()).cloned().unwrap_or_default();
    let shared = workspace.and_then(|it| it.get("dependencies")?.as_table()).cloned().unwrap_or_default();
    let members = members
        .iter()
        .filter_map(Value::as_str)
        .map(|member| {
            let path = Path::new(member).join("Cargo.toml");
            Ok(Manifest::from_table(path.clone(), &read_table(&root.join(path))?))
        })
        .collect::<Result<_, Failure>>()?;
    Ok(Workspace { members, shared_dependencies: shared.keys().cloned().collect() })
}

fn read_table(path: &Path) -> Result<Table, Failure> {
    let told = |error: &dyn std::fmt::Display| Failure::Other(format!("{}: {error}", path.display()));
    let text = std::fs::read_to_string(path).map_err(|error| told(&error))?;
    text.parse().map_err(|error: toml::de::Error| told(&error))
}

impl Manifest {
    /// Reads a parsed manifest.
    pub(crate) fn from_table(path: PathBuf, table: &Table) -> Self {
        let mut dependencies = BTreeMap::new();
        push_dependencies(&mut dependencies, table);
        for target in table.get("target").and_then(Value::as_table).into_iter().flat_map(Table::values) {
            push_dependencies(&mut dependencies, target.as_table().unwrap_or(&Table::new()));
        }
        let text = |table: &Table, key: &str| table.get(key).and_then(Value::as_str).map(str::to_owned);
        let package = table.get("package").and_then(Value::as_table);
        let benches = table.get("bench").and_then(Value::as_array).into_iter().flatten();
        Self {
            path,
            name: package.and_then(|it| text(it, "name")).unwrap_or_default(),
            dependencies,
            shares_lints: table
                .get("lints")
                .and_then(|lints| lints.get("workspace")?.as_bool())
                .unwrap_or(false),
            benches: benches.filter_map(|bench| text(bench.as_table()?, "name")).collect(),
        }
    }
}

fn push_dependencies(found: &mut BTreeMap<String, Vec<DependencyKind>>, table: &Table) {
    let kinds = [
        ("dependencies", DependencyKind::Normal),
        ("dev-dependencies", DependencyKind::Development),
        ("build-dependencies", DependencyKind::Build),
    ];
    for (key, kind) in kinds {
        for (name, wanted) in table.get(key).and_then(Value::as_table).into_iter().flatten() {
            // `package` names the crate of a renamed dependency.
            let package = wanted.get("package").and_then(Value::as_str).unwrap_or(name);
            let known: &mut Vec<_> = found.entry(package.to_owned()).or_default();
            if !known.contains(&kind) {
                known.push(kind);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dependencies_are_found_in_every_table() {
        let table: Table = r#"
            [package]
            name = "sample"
            [dependencies]
            serde.workspace = true
            sneaky = { package = "bincode", version = "1" }
            [dev-dependencies]
            serde = "1"
            [target.'cfg(unix)'.dependencies]
            rustix = "1"
            [build-dependencies]
            cc = "1"
            [[bench]]
            name = "speed"
            harness = false
            [lints]
            workspace = true
        "#
        .parse()
        .unwrap();
        let manifest = Manifest::from_table("sample/Cargo.toml".into(), &table);
        use DependencyKind::*;
        let expected: [(&str, &[DependencyKind]); 4] = [
            ("bincode", &[Normal]),
            ("cc", &[Build]),
            ("rustix", &[Normal]),
            ("serde", &[Normal, Development]),
        ];
        let found: Vec<_> =
            manifest.dependencies.iter().map(|(name, kinds)| (&name[..], &kinds[..])).collect();
        assert_eq!(found, expected);
        assert!(manifest.shares_lints);
        assert_eq!(manifest.benches, ["speed"]);
    }

    #[test]
    fn this_workspace_can_be_read() {
        let workspace = read_workspace(crate::workspace_root()).unwrap();
        assert!(workspace.members.iter().any(|member| member.name == "fedflow-core"));
        assert!(workspace.shared_dependencies.iter().any(|name| name == "serde"));
    }
}
