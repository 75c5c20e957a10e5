//! What `fedflow init` writes: a commented flow file and `fedflow.toml`.

use std::fs::{self, OpenOptions};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use crate::settings::{CONFIG_FILE, starter_text};

/// The flow file that is written.
const FLOW_FILE: &str = "flow.toml";

/// Why the files of `fedflow init` cannot be written.
#[derive(Debug, thiserror::Error)]
pub(crate) enum InitError {
    /// The file exists: it is never overwritten.
    #[error("{} exists already", .0.display())]
    Exists(PathBuf),
    /// The directory or a file cannot be written.
    #[error("cannot write {}: {source}", .path.display())]
    Write {
        /// The directory or file.
        path: PathBuf,
        /// The cause.
        source: io::Error,
    },
}

/// Writes `flow.toml` and `fedflow.toml` into a directory, which is created if it does not exist. Gives their paths.
/// Blocks on the disk.
///
/// # Errors
/// One of them exists, and then neither is written; or one cannot be written.
pub(crate) fn write_starter(directory: &Path) -> Result<Vec<PathBuf>, InitError> {
    let files = [
        (directory.join(FLOW_FILE), include_str!("../../../templates/flow.toml").to_owned()),
        (directory.join(CONFIG_FILE), starter_text()),
    ];
    if let Some((path, _)) = files.iter().find(|(path, _)| path.symlink_metadata().is_ok()) {
        return Err(InitError::Exists(path.clone()));
    }
    fs::create_dir_all(directory)
        .map_err(|source| InitError::Write { path: directory.to_owned(), source })?;
    let mut written = Vec::new();
    for (path, text) in files {
        write_new(&path, &text).map_err(|source| match source.kind() {
            // It was created after the check above.
            io::ErrorKind::AlreadyExists => InitError::Exists(path.clone()),
            _ => InitError::Write { path: path.clone(), source },
        })?;
        written.push(path);
    }
    Ok(written)
}

fn write_new(path: &Path, text: &str) -> io::Result<()> {
    OpenOptions::new().write(true).create_new(true).open(path)?.write_all(text.as_bytes())
}

#[cfg(test)]
mod tests {
    use std::process::Command;
    use std::sync::Arc;

    use fedflow_core::{Dict, Program, Value};

    use super::*;
    use crate::flow::{FlowContext, FlowFile};

    #[test]
    fn what_is_written_is_a_flow_and_nothing_is_overwritten() {
        let directory = tempfile::tempdir().unwrap();
        let inside = directory.path().join("new");
        let written = write_starter(&inside).unwrap();
        assert_eq!(written, [inside.join("flow.toml"), inside.join("fedflow.toml")]);
        let file = FlowFile::read(&written[0]).unwrap_or_else(|error| panic!("{error}"));
        assert!(file.flow.groups.len() > 1 && file.flow.workers.is_empty());

        fs::remove_file(&written[0]).unwrap();
        fs::write(&written[1], "mine").unwrap();
        assert!(matches!(write_starter(&inside), Err(InitError::Exists(path)) if path == written[1]));
        assert!(!written[0].exists(), "neither is written");
        assert_eq!(fs::read_to_string(&written[1]).unwrap(), "mine");
    }

    /// The directories of tasks, each with the number that its task wrote as its result.
    struct Ran(PathBuf);

    impl FlowContext for Ran {
        fn workdir(&self, group: &str, task: &str) -> Option<PathBuf> {
            Some(self.0.join(group).join(task))
        }

        fn result(&self, group: &str, task: &str) -> Option<Dict> {
            let text = fs::read_to_string(self.workdir(group, task)?.join("result.json")).ok()?;
            let score = text.strip_prefix("{\"score\": ")?.strip_suffix('}')?.parse().ok()?;
            Some(Dict::from([("score", Value::Float(score))]))
        }

        fn results(&self, _: &str) -> Dict {
            Dict::new()
        }
    }

    #[test]
    fn the_commands_of_the_starter_flow_run() {
        let directory = tempfile::tempdir().unwrap();
        let flow = FlowFile::parse(include_str!("../../../templates/flow.toml"), Path::new("flow.toml"))
            .unwrap()
            .flow;
        let ran = Arc::new(Ran(directory.path().to_owned()));
        for group in &flow.groups {
            for task in group.build(&ran).unwrap().tasks() {
                let workdir = ran.workdir(group.name.as_str(), task.task_id().as_str()).unwrap();
                fs::create_dir_all(&workdir).unwrap();
                let Program::Command { train, .. } = task.spec().program.as_ref() else {
                    panic!("no command")
                };
                #[expect(
                    clippy::disallowed_methods,
                    reason = "the commands that a newcomer is given must work"
                )]
                let status = Command::new(train.program().unwrap())
                    .args(train.iter().skip(1))
                    .current_dir(&workdir)
                    .env("FEDFLOW_RESULT", workdir.join("result.json"))
                    .status()
                    .unwrap();
                assert!(status.success(), "{train:?}");
            }
        }
        // The mean of 1 to 100 is 50.5: half of it, and the seed.
        let score = |group, task| ran.result(group, task).unwrap().get("score").unwrap().as_f64().unwrap();
        assert!((score("train", "seed-3-rate-0.5") - 28.25).abs() < 1e-9);
        assert!((score("average-2", "average") - score("train", "seed-1-rate-0.5")).abs() < 1e-9);
    }
}
