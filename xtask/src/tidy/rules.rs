//! The tables of the rules: what may know what, who owns what, which names explain nothing.

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
    // It drives the built binaries; its scripted worker is a custom worker crate like any other.
    CrateRule {
        name: "fedflow-tests",
        knows: &["fedflow-core", "fedflow-worker"],
        knows_in_tests: &["fedflow-cli", "nvml-stand-in"],
    },
    CrateRule { name: "xtask", knows: &[], knows_in_tests: &[] },
];

/// Crates from elsewhere that only one crate of the workspace may know.
pub(super) const OWNERS: &[(&str, &str)] = &[
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
];

/// Who may know an owned crate beside its owner.
pub(super) const ALSO_KNOWN: &[(&str, &str)] = &[("toml", "xtask")];

/// A rule on the modules at the top of one crate. Tests are free to know what they like.
pub(super) struct ModuleRule {
    pub(super) krate: &'static str,
    pub(super) module: &'static str,
    pub(super) edge: Edge,
}

/// Which way a rule looks.
pub(super) enum Edge {
    /// The module uses no other modules than these.
    UsesOnly(&'static [&'static str]),
    /// No other modules than these use the module.
    UsedOnlyBy(&'static [&'static str]),
}

/// The module edges that hold a crate together.
pub(super) const MODULES: &[ModuleRule] = &[
    // The scheduler decides and knows nothing of the loop that carries it out; the model knows neither.
    ModuleRule { krate: "fedflow-core", module: "simulation", edge: Edge::UsedOnlyBy(&[]) },
    ModuleRule { krate: "fedflow-core", module: "engine", edge: Edge::UsedOnlyBy(&["simulation"]) },
    ModuleRule {
        krate: "fedflow-core",
        module: "scheduler",
        edge: Edge::UsedOnlyBy(&["engine", "simulation"]),
    },
    // The run directory knows nothing of workers, and workers nothing of it.
    ModuleRule { krate: "fedflow-worker", module: "store", edge: Edge::UsesOnly(&["clock", "process"]) },
    ModuleRule { krate: "fedflow-worker", module: "store", edge: Edge::UsedOnlyBy(&[]) },
    // The two ends of the protocol meet in the protocol alone. A running task is a host with one worker.
    ModuleRule { krate: "fedflow-worker", module: "host", edge: Edge::UsedOnlyBy(&["running_task"]) },
    ModuleRule { krate: "fedflow-worker", module: "runtime", edge: Edge::UsedOnlyBy(&[]) },
    // The wiring is a library: it knows nothing of arguments, terminal and mail.
    ModuleRule {
        krate: "fedflow-cli",
        module: "run",
        edge: Edge::UsesOnly(&["debug", "notice", "process_environment", "short_path"]),
    },
    // A view is told events and draws; it can be read without the rest of the command line.
    ModuleRule { krate: "fedflow-cli", module: "view", edge: Edge::UsesOnly(&[]) },
];

/// The crate that does no I/O, and what would be I/O.
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

/// File names that explain nothing.
pub(super) const EMPTY_NAMES: &[&str] =
    &["utils", "util", "helpers", "helper", "common", "misc", "types", "manager", "imp"];

/// From here on a file without its tests is rather long.
pub(super) const LONG_FILE: usize = 400;

/// No file without its tests is longer than this.
pub(super) const LONGEST_FILE: usize = 600;

/// Words that must not stand in the repository, in pieces so that they do not stand here: the hosts of package
/// registries. Who builds this chooses where packages come from.
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
