//! Looks for arguments that name a file beside the flow file, although the process works in another directory: every task
//! that has one fails.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};

/// Where a process works and looks for files.
pub(super) struct Place<'a> {
    /// The directory of the flow file.
    pub(super) base_dir: &'a Path,
    /// The current directory of the process; `None`: the task's own directory, which is empty when it starts.
    pub(super) cwd: Option<&'a Path>,
    /// Where Python looks for modules beside its own places, as far as the process is told.
    pub(super) python_path: Option<&'a OsStr>,
}

/// An argument that names what lies beside the flow file.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Beside {
    /// The place of the argument; the program has place 0.
    pub(super) argument: usize,
    /// What lies beside the flow file, as the argument names it.
    pub(super) name: String,
    /// What can be written instead of the argument; `None` if only another directory helps.
    pub(super) instead: Option<String>,
}

/// The first argument of a command that names what lies beside the flow file and not where the process works.
pub(super) fn find(command: &[&str], place: &Place<'_>) -> Option<Beside> {
    let shell = command.first().is_some_and(|program| is_shell(program));
    let is_python = command.iter().any(|word| file_name(word).starts_with("python"));
    (1..command.len()).find_map(|at| {
        let (text, before) = (*command.get(at)?, *command.get(at - 1)?);
        let found = if is_python && before == "-m" {
            place.module(text)?
        } else if shell && is_script_option(before) {
            place.in_script(text)?
        } else if names_output(before) {
            return None;
        } else {
            place.argument(text)?
        };
        let (name, instead) = found;
        Some(Beside { argument: at, name, instead })
    })
}

impl Place<'_> {
    /// An argument that is a path, or an option with one: `--config=base.yaml`.
    fn argument(&self, text: &str) -> Option<(String, Option<String>)> {
        let (option, path) = match text.split_once('=') {
            Some((option, path)) if text.starts_with('-') => (option, path),
            _ => ("", text),
        };
        if !self.is_only_beside(path) || names_output(option) {
            return None;
        }
        let ahead = if option.is_empty() { String::new() } else { format!("{option}=") };
        let plain = path.trim_start_matches("./");
        Some((path.into(), Some(format!("{ahead}{{{{ flow_dir }}}}/{plain}"))))
    }

    /// A word of a shell's script, unless the script goes to another directory itself.
    fn in_script(&self, script: &str) -> Option<(String, Option<String>)> {
        let words: Vec<&str> = script.split(|c: char| c.is_whitespace() || ";|&()\"'`".contains(c)).collect();
        if words.iter().any(|word| ["cd", "pushd"].contains(word)) {
            return None;
        }
        let mut words = words.into_iter().filter(|word| !word.is_empty());
        let mut before = "";
        words.find_map(|word| {
            let before = std::mem::replace(&mut before, word);
            let is_meant = !before.ends_with('>') && !names_output(before) && self.is_only_beside(word);
            is_meant.then(|| (word.into(), None))
        })
    }

    /// A module of Python that lies beside the flow file and is found nowhere else.
    fn module(&self, name: &str) -> Option<(String, Option<String>)> {
        let path = name.replace('.', "/");
        let has = |directory: &Path| {
            directory.join(format!("{path}.py")).is_file()
                || directory.join(&path).join("__init__.py").is_file()
        };
        let searched = self.python_path.map(|list| std::env::split_paths(list).collect::<Vec<_>>());
        let is_searched = |directory: &PathBuf| directory.is_absolute() && has(directory);
        let is_found = self.cwd.is_some_and(has) || searched.unwrap_or_default().iter().any(is_searched);
        (!is_found && has(self.base_dir)).then(|| (name.into(), None))
    }

    fn is_only_beside(&self, path: &str) -> bool {
        let is_relative = !path.is_empty() && !path.starts_with(['/', '-', '$', '~']);
        // Each directory has these.
        let is_name = path.split('/').any(|part| !["", ".", ".."].contains(&part));
        let is_found = |directory: &Path| directory.join(path).exists();
        is_relative && is_name && !self.cwd.is_some_and(is_found) && is_found(self.base_dir)
    }
}

fn file_name(program: &str) -> &str {
    program.rsplit('/').next().unwrap_or_default()
}

fn is_shell(program: &str) -> bool {
    ["sh", "bash", "dash", "zsh", "ksh", "fish"].contains(&file_name(program))
}

/// Whether an option of a shell is followed by a script: `-c`, `-lc`.
fn is_script_option(option: &str) -> bool {
    option.starts_with('-') && !option.starts_with("--") && option.ends_with('c')
}

/// Whether an option names what the process writes: that it is there already says nothing.
fn names_output(option: &str) -> bool {
    let name = option.trim_start_matches('-');
    option.starts_with('-') && (name == "o" || ["out", "save", "log"].iter().any(|word| name.contains(word)))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is found of a command beside `train.py`, `pkg/__init__.py`, `conf/base.yaml` and `.venv/bin/activate`.
    fn found(
        command: &[&str],
        cwd: Option<&str>,
        python_path: Option<&str>,
    ) -> Option<(String, Option<String>)> {
        let directory = tempfile::tempdir().unwrap();
        for name in ["train.py", "pkg/__init__.py", "conf/base.yaml", ".venv/bin/activate", "sub/there.py"] {
            let path = directory.path().join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, "").unwrap();
        }
        let base_dir = directory.path();
        let cwd = cwd.map(|cwd| base_dir.join(cwd));
        let python_path = python_path.map(|path| path.replace("BASE", base_dir.to_str().unwrap()));
        let python_path = python_path.as_deref().map(OsStr::new);
        let place = Place { base_dir, cwd: cwd.as_deref(), python_path };
        find(command, &place).map(|beside| (beside.name, beside.instead))
    }

    #[test]
    fn what_lies_only_beside_the_flow_is_found() {
        for (command, name, instead) in [
            (&["python3", "train.py"][..], "train.py", Some("{{ flow_dir }}/train.py")),
            (&["python3", "./train.py"], "./train.py", Some("{{ flow_dir }}/train.py")),
            (&["x", "--conf=conf/base.yaml"], "conf/base.yaml", Some("--conf={{ flow_dir }}/conf/base.yaml")),
            (&["x", "--data", "conf"], "conf", Some("{{ flow_dir }}/conf")),
            (&["bash", "-c", "source .venv/bin/activate && python train.py"], ".venv/bin/activate", None),
            (&["/bin/sh", "-ec", "python3 'train.py' >log"], "train.py", None),
            (&["python3", "-m", "train"], "train", None),
            (&["uv", "run", "python", "-m", "pkg"], "pkg", None),
            (&["sh", "train.py"], "train.py", Some("{{ flow_dir }}/train.py")),
        ] {
            let expected = Some((name.to_owned(), instead.map(str::to_owned)));
            assert_eq!(found(command, None, None), expected, "{command:?}");
        }
        assert!(
            found(&["python3", "-m", "train"], None, Some(".")).is_some(),
            "it is the task's own directory"
        );
        assert!(found(&["python3", "train.py"], Some("sub"), None).is_some());
    }

    #[test]
    fn what_is_found_where_the_process_works_or_meant_otherwise_is_left_alone() {
        for command in [
            &["./train.py"][..],
            &["python3", "/somewhere/train.py"],
            &["python3", "other.py"],
            &["x", ".", "..", "./", "-", "-x", ""],
            &["x", "--output", "train.py"],
            &["x", "--save-to=train.py", "-o", "conf"],
            &["sh", "-c", "cd .. && python3 train.py"],
            &["sh", "-c", "echo > train.py; echo $HOME/train.py"],
            &["python3", "-m", "http.server"],
        ] {
            assert_eq!(found(command, None, None), None, "{command:?}");
        }
        assert_eq!(found(&["python3", "train.py"], Some(""), None), None);
        assert_eq!(found(&["python3", "there.py"], Some("sub"), None), None);
        assert_eq!(found(&["python3", "-m", "train"], Some(""), None), None);
        assert_eq!(found(&["python3", "-m", "train"], None, Some("/x:BASE")), None);
    }
}
