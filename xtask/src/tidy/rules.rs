//! The rules and their tables: which part may know which, which crate owns which dependency, which names are banned.

/// Whether a rule breaks the build.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Weight {
    /// Its findings are counted.
    Warning,
    /// Its findings are listed, and `tidy` fails.
    Error,
}

/// A rule, as `--rule` names it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Rule {
    CrateLayers,
    ModuleLayers,
    FileForm,
    ForbiddenWords,
    Readme,
    FileLength,
    Circles,
    Parents,
    BannedNames,
    Persons,
    OneWordDocs,
    SuperDepth,
    RoomSize,
}

/// Every rule with its name, its weight, and what it asks.
pub(super) const RULES: &[(Rule, &str, Weight, &str)] = &[
    (
        Rule::CrateLayers,
        "crate-layers",
        Weight::Error,
        "a crate depends on what its line in the table allows",
    ),
    (Rule::ModuleLayers, "module-layers", Weight::Error, "a module uses what its line in the table allows"),
    (
        Rule::FileForm,
        "file-form",
        Weight::Error,
        "a file begins with `//!`, has a name that explains it, no `allow`, no `ignore`",
    ),
    (Rule::ForbiddenWords, "forbidden-words", Weight::Error, "no file names a package registry"),
    (Rule::Readme, "readme", Weight::Error, "the tests and commands that the README names exist"),
    (Rule::FileLength, "length", Weight::Error, "no file is longer than 400 lines without its tests"),
    (Rule::Circles, "circles", Weight::Error, "no files of a crate use each other in a circle"),
    (Rule::Parents, "parents", Weight::Error, "no module uses a parent that uses it"),
    (Rule::BannedNames, "names", Weight::Error, "names are the glossary's words"),
    (Rule::Persons, "persons", Weight::Error, "comments do not speak of processes as persons"),
    (Rule::OneWordDocs, "docs", Weight::Error, "a doc comment is more than one word"),
    (Rule::SuperDepth, "super", Weight::Error, "no path begins with more than two `super`"),
    (Rule::RoomSize, "rooms", Weight::Warning, "a directory has no more than a dozen source files"),
];

impl Rule {
    fn line(self) -> Option<&'static (Self, &'static str, Weight, &'static str)> {
        RULES.iter().find(|(rule, ..)| *rule == self)
    }

    pub(super) fn name(self) -> &'static str {
        self.line().map_or("", |(_, name, ..)| name)
    }

    pub(super) fn weight(self) -> Weight {
        self.line().map_or(Weight::Error, |(_, _, weight, _)| *weight)
    }
}

/// A crate of the workspace and the crates of the workspace that it may know.
pub(super) struct CrateRule {
    pub(super) name: &'static str,
    pub(super) knows: &'static [&'static str],
    /// What only its tests may know.
    pub(super) knows_in_tests: &'static [&'static str],
}

/// Every crate has its line here: no arrow ever points up or sideways.
pub(super) const CRATES: &[CrateRule] = &[
    CrateRule { name: "fedflow-core", knows: &[], knows_in_tests: &[] },
    CrateRule { name: "fedflow-worker", knows: &["fedflow-core"], knows_in_tests: &[] },
    CrateRule { name: "fedflow-gpu", knows: &["fedflow-core"], knows_in_tests: &["nvml-stand-in"] },
    CrateRule { name: "nvml-stand-in", knows: &[], knows_in_tests: &[] },
    CrateRule { name: "fedflow-report", knows: &["fedflow-core"], knows_in_tests: &[] },
    CrateRule { name: "fedflow-digits", knows: &["fedflow-core", "fedflow-worker"], knows_in_tests: &[] },
    CrateRule {
        name: "fedflow-cli",
        knows: &["fedflow-core", "fedflow-worker", "fedflow-gpu", "fedflow-report", "fedflow-digits"],
        knows_in_tests: &[],
    },
    // It drives the built binaries. Its scripted worker is a custom worker crate like any other.
    CrateRule {
        name: "fedflow-tests",
        knows: &["fedflow-core", "fedflow-worker"],
        knows_in_tests: &["fedflow-cli", "nvml-stand-in"],
    },
    CrateRule { name: "xtask", knows: &[], knows_in_tests: &[] },
];

/// Crates from elsewhere that only one crate of the workspace may know.
pub(super) const OWNERS: &[(&str, &str)] = &[
    ("vte", "fedflow-core"),
    ("ipc-channel", "fedflow-worker"),
    ("bincode", "fedflow-worker"),
    ("nvml-wrapper", "fedflow-gpu"),
    ("clap", "fedflow-cli"),
    ("clap_complete", "fedflow-cli"),
    ("indicatif", "fedflow-cli"),
    ("console", "fedflow-cli"),
    ("anstream", "fedflow-cli"),
    ("anstyle", "fedflow-cli"),
    ("crossterm", "fedflow-cli"),
    ("ratatui", "fedflow-cli"),
    ("comfy-table", "fedflow-cli"),
    ("lettre", "fedflow-cli"),
    ("toml", "fedflow-cli"),
    ("tracing-subscriber", "fedflow-cli"),
];

/// Crates of the workspace that may know an owned crate although another one owns it.
pub(super) const ALSO_KNOWN: &[(&str, &str)] = &[("toml", "xtask")];

/// A rule on the modules at the top of one crate. Tests are free to know what they like.
pub(super) struct ModuleRule {
    pub(super) krate: &'static str,
    pub(super) module: &'static str,
    pub(super) edge: Edge,
}

/// The direction of a module rule.
pub(super) enum Edge {
    /// The module uses no other modules than these.
    UsesOnly(&'static [&'static str]),
    /// No other modules than these use the module.
    UsedOnlyBy(&'static [&'static str]),
}

/// Which modules inside a crate may use which.
pub(super) const MODULES: &[ModuleRule] = &[
    // The rooms of the core, each above those that it uses.
    ModuleRule { krate: "fedflow-core", module: "model", edge: Edge::UsesOnly(&[]) },
    ModuleRule { krate: "fedflow-core", module: "progress", edge: Edge::UsesOnly(&["model"]) },
    ModuleRule { krate: "fedflow-core", module: "work", edge: Edge::UsesOnly(&["model"]) },
    ModuleRule { krate: "fedflow-core", module: "leasing", edge: Edge::UsesOnly(&["model", "work"]) },
    ModuleRule {
        krate: "fedflow-core",
        module: "ports",
        edge: Edge::UsesOnly(&["model", "work", "leasing"]),
    },
    ModuleRule {
        krate: "fedflow-core",
        module: "learning",
        edge: Edge::UsesOnly(&["model", "work", "leasing", "ports"]),
    },
    ModuleRule {
        krate: "fedflow-core",
        module: "scheduler",
        edge: Edge::UsesOnly(&["model", "work", "leasing", "ports", "learning"]),
    },
    ModuleRule { krate: "fedflow-core", module: "engine", edge: Edge::UsedOnlyBy(&["simulation"]) },
    ModuleRule { krate: "fedflow-core", module: "simulation", edge: Edge::UsedOnlyBy(&[]) },
    // The run directory knows nothing of workers, and workers nothing of it.
    ModuleRule {
        krate: "fedflow-worker",
        module: "store",
        edge: Edge::UsesOnly(&["pausable_clock", "processes"]),
    },
    ModuleRule { krate: "fedflow-worker", module: "store", edge: Edge::UsedOnlyBy(&[]) },
    // The two ends of the protocol meet in the protocol alone. A running task is a host with one worker.
    ModuleRule {
        krate: "fedflow-worker",
        module: "host",
        edge: Edge::UsedOnlyBy(&["check_worker", "running_task"]),
    },
    ModuleRule { krate: "fedflow-worker", module: "runtime", edge: Edge::UsedOnlyBy(&[]) },
    // The wiring is a library: it knows nothing of arguments, terminal and mail.
    ModuleRule { krate: "fedflow-cli", module: "run", edge: Edge::UsesOnly(&["debug"]) },
    // A view is told events and draws; it can be read without the rest of the command line.
    ModuleRule { krate: "fedflow-cli", module: "view", edge: Edge::UsesOnly(&[]) },
];

/// The crate that does no I/O.
pub(super) const PURE_CRATE: &str = "fedflow-core";

/// Paths that the pure crate must not name.
pub(super) const IMPURE_PATHS: &[&[&str]] = &[
    &["std", "fs"],
    &["std", "process"],
    &["std", "thread"],
    &["std", "env"],
    &["std", "net"],
    &["std", "io"],
    &["std", "os"],
    &["std", "sync", "mpsc"],
    &["std", "time", "Instant"],
    &["std", "time", "SystemTime"],
];

/// Macros that the pure crate must not call.
pub(super) const IMPURE_MACROS: &[&str] = &["print", "println", "eprint", "eprintln", "dbg"];

/// File and directory names that explain nothing.
pub(super) const EMPTY_FILE_NAMES: &[&str] =
    &["utils", "util", "helpers", "helper", "common", "misc", "types", "manager", "imp"];

/// Type names that explain nothing alone.
pub(super) const EMPTY_TYPE_NAMES: &[&str] = &["State", "Shared", "Fault", "Inner", "Data", "Info"];

/// Words that no file name and no identifier has, with the glossary's term (ARCHITECTURE.md).
pub(super) const BANNED_WORDS: &[(&str, &str)] = &[
    ("post", "input queue"),
    ("turn", "active group, or the use of a device, a gate, a step"),
    ("turns", "large-message gate, or active groups"),
    ("talk", "tracing"),
    ("ear", "tracing"),
    ("gauge", "memory peak"),
    ("crew", "reader pool"),
    ("witness", "lease holder"),
    ("handout", "lease environment"),
    ("ties", "affinity"),
    ("returning", "unreleased memory"),
    ("shelf", "keep key"),
    ("stay", "keep policy"),
    ("course", "trend"),
    ("manner", "runner"),
    ("teller", "reporter"),
    ("effort", "start cost"),
    ("lane", "ready queue, parallelism, or chart row"),
    ("lanes", "ready queues, parallelism, or chart rows"),
];

/// Words for persons that no comment uses of processes and tasks.
pub(super) const PERSONS: &[&str] = &["whom", "nobody", "somebody", "anybody", "someone", "whoever"];

/// Words behind which `who` speaks of people.
pub(super) const PEOPLE: &[&str] = &[
    "people",
    "person",
    "persons",
    "user",
    "users",
    "author",
    "authors",
    "those",
    "anyone",
    "member",
    "members",
    "reader",
    "readers",
    "newcomer",
    "newcomers",
    "maintainer",
    "maintainers",
];

/// No file without its tests is longer than this.
pub(super) const LONGEST_FILE: usize = 400;

/// No path begins with more `super` than this.
pub(super) const MOST_SUPERS: usize = 2;

/// A directory has no more source files than this.
pub(super) const LARGEST_ROOM: usize = 12;

/// Words that must not stand in the repository, in pieces so that they do not stand here: the hosts of package
/// registries. The machine that builds the workspace decides where packages come from.
pub(super) const FORBIDDEN_WORDS: &[&[&str]] = &[
    &["index.", "crates", ".io"],
    &["static.", "crates", ".io"],
    &["pypi", ".org"],
    &["files.python", "hosted.org"],
    &["registry.", "npmjs.org"],
    &["registry.", "yarnpkg.com"],
    &["proxy.", "golang.org"],
    &["deb.", "debian.org"],
    &["archive.", "ubuntu.com"],
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_rule_has_one_line() {
        for rule in [Rule::CrateLayers, Rule::Circles, Rule::RoomSize] {
            assert_eq!(RULES.iter().filter(|(line, ..)| *line == rule).count(), 1);
            assert!(!rule.name().is_empty());
        }
        assert!(RULES.is_sorted_by_key(|(rule, ..)| *rule), "in the order of the type");
    }
}
