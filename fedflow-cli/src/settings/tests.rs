//! Tests of the layers of configuration.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use fedflow_core::{Config, KEYS};
use proptest::prelude::*;

use super::layers::variable_name;
use super::*;
use crate::diagnostic::{Diagnostics, SourceFile};
use crate::toml_reader::TomlReader;

struct Given {
    directory: tempfile::TempDir,
    flow: Option<(Arc<SourceFile>, Vec<ConfigEntry>)>,
    variables: Vec<(String, String)>,
    set: Vec<String>,
}

impl Given {
    fn new(fedflow_toml: &str) -> Self {
        let directory = tempfile::tempdir().unwrap();
        std::fs::write(directory.path().join(CONFIG_FILE), fedflow_toml).unwrap();
        Self { directory, flow: None, variables: Vec::new(), set: Vec::new() }
    }

    fn flow(mut self, config: &str) -> Self {
        let file = SourceFile::new(Path::new("flow.toml"), config);
        let mut reader = TomlReader::new(&file);
        let table = reader.parse(file.text()).unwrap();
        let entries = read_entries(table.get_ref(), &mut reader);
        self.flow = Some((Arc::clone(&file), entries));
        self
    }

    fn variable(mut self, name: &str, value: &str) -> Self {
        self.variables.push((name.into(), value.into()));
        self
    }

    fn set(mut self, assignment: &str) -> Self {
        self.set.push(assignment.into());
        self
    }

    fn load(&self) -> Result<Settings, Diagnostics> {
        Settings::load(&Layers {
            directory: self.directory.path(),
            config_file: None,
            flow: self.flow.as_ref().map(|(file, entries)| (file, entries.as_slice())),
            variables: &self.variables,
            set: &self.set,
        })
    }

    fn error(&self) -> String {
        self.load().unwrap_err().to_string()
    }
}

#[test]
fn later_layers_win_and_are_remembered() {
    let given = Given::new("[scheduler]\nmax-process = 1\nmax-waiting = 1\ninterval = \"3s\"\n")
        .flow("scheduler.max-process = 2\nscheduler.max-waiting = 2")
        .variable("FEDFLOW_CONFIG_SCHEDULER_MAX_PROCESS", "3");
    let settings = given.load().unwrap();
    let scheduler = settings.config().scheduler;
    assert_eq!((scheduler.max_process, scheduler.max_waiting), (3, 2));
    assert_eq!(scheduler.interval, Duration::from_secs(3));
    let source = |settings: &Settings, key| settings.source(key).unwrap().to_string();
    assert_eq!(source(&settings, "scheduler.max-process"), "FEDFLOW_CONFIG_SCHEDULER_MAX_PROCESS");
    assert_eq!(source(&settings, "scheduler.max-waiting"), "flow.toml:2");
    assert_eq!(source(&settings, "scheduler.interval"), "fedflow.toml:4");
    assert_eq!(source(&settings, "debug"), "default");

    let settings = given.set("scheduler.max-process = 4").load().unwrap();
    assert_eq!(settings.config().scheduler.max_process, 4);
    assert_eq!(source(&settings, "scheduler.max-process"), "--set");
}

#[test]
fn a_mistake_in_a_file_has_its_line() {
    assert_eq!(
        Given::new("[scheduler]\nmax-proces = 4\n").error(),
        "error: there is no configuration key \"scheduler.max-proces\"\n --> fedflow.toml:2:1\n  |\n\
         2 | max-proces = 4\n  | ^^^^^^^^^^\nhint: did you mean \"scheduler.max-process\"?\n"
    );
    assert_eq!(
        Given::new("max-process = 4\n").error(),
        "error: there is no configuration key \"max-process\"\n --> fedflow.toml:1:1\n  |\n\
         1 | max-process = 4\n  | ^^^^^^^^^^^\nhint: did you mean \"scheduler.max-process\"?\n"
    );
    assert_eq!(
        Given::new("remain-limit.memory = \"lots\"\n").error(),
        "error: remain-limit.memory = \"lots\": \"lots\" is no size; write a number with B, KB, MB, GB, TB, KiB, \
         MiB, GiB or TiB, such as \"2GB\", or \"none\" for the default or no limit\n --> fedflow.toml:1:23\n  |\n\
         1 | remain-limit.memory = \"lots\"\n  |                       ^^^^^^\n"
    );
    assert!(Given::new("a = = 3").error().contains("--> fedflow.toml:1:"));
}

#[test]
fn a_mistake_elsewhere_has_its_place() {
    assert_eq!(
        Given::new("").variable("FEDFLOW_CONFIG_SCHEDULER_MAX_PROCES", "3").error(),
        "error: no configuration key belongs to the variable FEDFLOW_CONFIG_SCHEDULER_MAX_PROCES\n  \
         --> environment variable FEDFLOW_CONFIG_SCHEDULER_MAX_PROCES\n\
         hint: did you mean \"FEDFLOW_CONFIG_SCHEDULER_MAX_PROCESS\"?\n"
    );
    assert_eq!(
        Given::new("").set("scheduler.order=fastest").error(),
        "error: scheduler.order = \"fastest\": expected one of \"added\" \"random\" \"longest-first\" \
         \"largest-first\" \"packed\" \"auto\"\n  \
         --> --set scheduler.order=fastest\n"
    );
    assert!(Given::new("").set("debug").error().contains("hint: write KEY=VALUE"));
    let all = Given::new("debug = 3").flow("debug = 4").set("debug=5").load().unwrap_err();
    assert_eq!(all.len(), 3, "one error a layer: {all}");
}

#[test]
fn a_password_has_two_places() {
    let settings = Given::new("smtp.password = \"hunter2\"").load().unwrap();
    assert_eq!(settings.config().smtp.password, "hunter2");
    assert!(!render(&settings).contains("hunter2"));
    let settings = Given::new("").variable("FEDFLOW_CONFIG_SMTP_PASSWORD", "hunter2").load().unwrap();
    assert_eq!(settings.config().smtp.password, "hunter2");
    assert!(!format!("{settings:?}").contains("hunter2"));
    for refused in [Given::new("").set("smtp.password=hunter2"), Given::new("").flow("smtp.password=\"x\"")] {
        let error = refused.error();
        assert!(
            error.contains("is not taken from") && error.contains("FEDFLOW_CONFIG_SMTP_PASSWORD"),
            "{error}"
        );
        assert!(!error.contains("hunter2"), "{error}");
    }
}

#[test]
fn a_named_file_must_be_there() {
    let given = Given::new("debug = true");
    let layers = |config_file| Layers {
        directory: given.directory.path(),
        config_file,
        flow: None,
        variables: &[],
        set: &[],
    };
    let missing = Settings::load(&layers(Some(Path::new("other.toml")))).unwrap_err().to_string();
    assert!(missing.starts_with("error: cannot read other.toml: "), "{missing}");
    std::fs::write(given.directory.path().join("other.toml"), "workdir = \"out\"").unwrap();
    let settings = Settings::load(&layers(Some(Path::new("other.toml")))).unwrap();
    assert!(!settings.config().debug, "--config is read instead of fedflow.toml");
    assert_eq!(settings.workdir(Path::new("/flows"), Path::new("/here")), Path::new("/here/out"));
}

#[test]
fn a_flow_means_its_own_directory() {
    let settings = Given::new("").flow("workdir = \"out\"").load().unwrap();
    assert_eq!(settings.workdir(Path::new("/flows"), Path::new("/here")), Path::new("/flows/out"));
}

#[test]
fn what_is_shown_can_be_read_again() {
    let given = Given::new(
        "workdir = \"a \\\"b\\\" \\\\ c\"\nsupervision.timeout = \"90m\"\nutilization-limit.cpu = 0.5",
    )
    .set("smtp.receiver=a@b, c@d");
    let settings = given.load().unwrap();
    let shown = render(&settings);
    assert!(shown.contains("timeout = \"1h 30m\""), "{shown}");
    assert!(shown.contains("# from fedflow.toml:2") && shown.contains("# from --set"), "{shown}");
    let again = Given::new(&shown).load().unwrap_or_else(|error| panic!("{error}\n{shown}"));
    assert_eq!(again.config(), settings.config());
}

#[test]
fn the_starter_file_says_the_defaults() {
    let text = starter_text();
    let uncommented: String = text
        .lines()
        .map(|line| match line.strip_prefix("# ") {
            Some(assignment) if assignment.split(' ').nth(1) == Some("=") => format!("{assignment}\n"),
            _ => format!("{line}\n"),
        })
        .collect();
    for (text, set) in [(&text, 0), (&uncommented, KEYS.len())] {
        let settings = Given::new(text).load().unwrap_or_else(|error| panic!("{error}"));
        assert_eq!(*settings.config(), Config::default());
        assert_eq!(settings.sources.len(), set);
    }
}

#[test]
fn every_key_has_its_own_variable() {
    let names: std::collections::BTreeSet<String> = KEYS.iter().map(variable_name).collect();
    assert_eq!(names.len(), KEYS.len());
}

proptest! {
    #[test]
    fn no_text_is_too_odd(text in "\\PC{0,80}", set in "\\PC{0,40}") {
        let file = SourceFile::new(Path::new("fedflow.toml"), text.as_str());
        let mut settings = Settings::default();
        let _ = settings.take_file(&file).to_string();
        let _ = settings.take_assignment(&set);
        let _ = settings.take_variable(&set, &text);
    }
}
