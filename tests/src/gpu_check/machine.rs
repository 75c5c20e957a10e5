//! `Machine`: the card under test, the programs that examine it, and the flows that run on it.

use std::fmt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use serde_json::Value;
use tempfile::TempDir;

/// The card under test, and what is needed to check it.
pub(crate) struct Machine {
    /// The card's name in a run.
    pub(crate) card: String,
    pub(crate) uuid: String,
    /// The card's memory in bytes.
    pub(crate) total: u64,
    name: String,
    driver: String,
    fedflow: PathBuf,
    own: PathBuf,
}

/// A run of a flow that goes on: its directory and its progress stream.
pub(crate) struct Run {
    directory: TempDir,
    child: Child,
}

/// The events of a run that has ended, and the outcomes of its tasks.
pub(crate) struct Told {
    pub(crate) code: Option<i32>,
    pub(crate) events: Vec<Value>,
    pub(crate) results: Value,
}

impl Machine {
    /// Finds a card.
    ///
    /// # Errors
    /// There is no card, for this reason.
    pub(crate) fn find(card: &str) -> Result<Self, String> {
        let own = std::env::current_exe().map_err(|error| error.to_string())?;
        let fedflow = own.with_file_name("fedflow");
        if !fedflow.is_file() {
            return Err(format!("there is no {}; build fedflow-cli beside this program", fedflow.display()));
        }
        let inventory = devices(&fedflow)?;
        let cards = inventory["cards"].as_array().map_or(&[][..], Vec::as_slice);
        let found = cards.iter().find(|found| found["device"] == card);
        let Some(found) = found else {
            let reason = inventory["reason"].as_str().map(str::to_owned);
            return Err(reason.unwrap_or_else(|| format!("there is no {card}")));
        };
        let text = |value: &Value| value.as_str().unwrap_or("?").to_owned();
        Ok(Self {
            card: card.into(),
            uuid: text(&found["uuid"]),
            total: found["memory"]["total"].as_u64().ok_or("the card does not tell its memory")?,
            name: text(&found["name"]),
            driver: text(&inventory["driver"]),
            fedflow,
            own,
        })
    }

    /// The output of `fedflow devices --json`.
    pub(crate) fn devices(&self) -> Result<Value, String> {
        devices(&self.fedflow)
    }

    /// The bytes of the card that are in use.
    pub(crate) fn used(&self) -> Result<u64, String> {
        let inventory = self.devices()?;
        let cards = inventory["cards"].as_array().map_or(&[][..], Vec::as_slice);
        let card = cards.iter().find(|card| card["uuid"] == self.uuid.as_str());
        card.and_then(|card| card["memory"]["used"].as_u64()).ok_or_else(|| "the card is gone".into())
    }

    /// A command task that holds memory of the card, as lines of a flow file.
    pub(crate) fn holder(&self, id: &str, bytes: u64, seconds: f64, keys: &str) -> String {
        self.task(id, keys, &["cuda-use", &bytes.to_string(), &seconds.to_string()])
    }

    /// A command task of this program on the card, as lines of a flow file.
    pub(crate) fn task(&self, id: &str, keys: &str, words: &[&str]) -> String {
        let own = self.own.display().to_string();
        let command = Value::from([&[own.as_str()], words].concat());
        format!("[[groups.tasks]]\nid = \"{id}\"\ndevice = \"{}\"\n{keys}\ncommand = {command}\n", self.card)
    }

    /// Starts a run of one group of tasks.
    pub(crate) fn start(&self, tasks: &str, arguments: &str) -> Result<Run, String> {
        let directory = tempfile::tempdir().map_err(|error| error.to_string())?;
        let told = |name: &str| {
            std::fs::File::create(directory.path().join(name)).map_err(|error| error.to_string())
        };
        let flow = format!("name = \"gpu-check\"\n[[groups]]\nname = \"g\"\n{tasks}");
        std::fs::write(directory.path().join("flow.toml"), flow).map_err(|error| error.to_string())?;
        let mut command = program(&self.fedflow);
        command.args(["run", "flow.toml", "--devices", &self.card, "--progress", "json"]);
        command.args(arguments.split_whitespace()).current_dir(directory.path()).stdin(Stdio::null());
        command.stdout(told("events")?).stderr(told("messages")?);
        let child = command.spawn().map_err(|error| error.to_string())?;
        Ok(Run { directory, child })
    }

    /// Runs one group of tasks to its end.
    pub(crate) fn run(&self, tasks: &str, arguments: &str) -> Result<Told, String> {
        self.start(tasks, arguments)?.finish()
    }
}

impl Run {
    /// Whether the run goes on.
    pub(crate) fn goes_on(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(None))
    }

    /// Waits for its end.
    pub(crate) fn finish(mut self) -> Result<Told, String> {
        let code = self.child.wait().map_err(|error| error.to_string())?.code();
        let read = |name: &str| std::fs::read_to_string(self.directory.path().join(name)).unwrap_or_default();
        let events = read("events").lines().filter_map(|line| serde_json::from_str(line).ok()).collect();
        let results = serde_json::from_str(&read("res/results.json"))
            .map_err(|error| format!("no results ({error}): {}", read("messages").trim()))?;
        Ok(Told { code, events, results })
    }
}

impl Told {
    /// The events of one kind.
    pub(crate) fn of<'t>(&'t self, name: &'t str) -> impl Iterator<Item = &'t Value> {
        self.events.iter().filter(move |event| event["event"] == name)
    }

    /// A task's entry in `results.json`.
    pub(crate) fn task(&self, id: &str) -> &Value {
        let tasks = self.results["groups"][0]["tasks"].as_array();
        tasks.and_then(|tasks| tasks.iter().find(|task| task["id"] == id)).unwrap_or(&Value::Null)
    }

    /// An error unless every task finished.
    pub(crate) fn all_finished(self) -> Result<Self, String> {
        if self.code == Some(0) {
            return Ok(self);
        }
        let errors: Vec<String> = self.results["groups"][0]["tasks"]
            .as_array()
            .into_iter()
            .flatten()
            .filter_map(error_of)
            .collect();
        Err(format!("the run ended with code {:?}: {}", self.code, errors.join("; ")))
    }
}

fn error_of(task: &Value) -> Option<String> {
    Some(format!("{}: {}", task["id"], task["error"].as_object().map(|error| &error["message"])?))
}

fn devices(fedflow: &Path) -> Result<Value, String> {
    let mut command = program(fedflow);
    let output = command.args(["devices", "--json"]).output().map_err(|error| error.to_string())?;
    serde_json::from_slice(&output.stdout).map_err(|error| format!("fedflow devices --json: {error}"))
}

/// A command for a program that is in `PATH` or is a path.
pub(crate) fn program(path: impl AsRef<std::ffi::OsStr>) -> Command {
    #[expect(clippy::disallowed_methods, reason = "the one place of this program that creates processes")]
    Command::new(path)
}

impl fmt::Display for Machine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { card, name, uuid, total, driver, .. } = self;
        let gigabytes = *total as f64 / 1e9;
        write!(f, "{card}: {name}, {gigabytes:.1} GB, {uuid}, driver {driver}")
    }
}
