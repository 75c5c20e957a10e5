//! The flow files that the rows run.

use std::fmt::Write;
use std::path::Path;

/// Command tasks that run one program.
pub(in crate::bench) fn commands(tasks: u32, program: &Path) -> String {
    format!(
        "name = \"bench\"\n\
         [[groups]]\nname = \"all\"\n\
         [[groups.tasks]]\nmatrix = {{ n = {{ from = 0, to = {tasks} }} }}\n\
         id = \"t{{{{ n }}}}\"\ncommand = [{}]\n",
        quoted(program),
    )
}

/// Tasks of the worker that load and train for so many seconds; `keys` are added to `[workers.bench]`.
pub(in crate::bench) fn workers(tasks: u32, worker: &Path, load: f64, train: f64, keys: &str) -> String {
    let mut text = head(worker, keys);
    let _ = write!(
        text,
        "[[groups]]\nname = \"all\"\n\
         [[groups.tasks]]\nmatrix = {{ n = {{ from = 0, to = {tasks} }} }}\n\
         id = \"t{{{{ n }}}}\"\nworker = \"bench\"\nkind = \"pass-time\"\n\
         params = {{ load = {load:?}, train = {train:?} }}\n",
    );
    text
}

/// Federated rounds: clients, then an aggregate that has nothing to load. With `kept`, a client's data is kept for
/// its next round, and the clients of a round load while the round before it ends.
pub(in crate::bench) fn rounds(shape: &Rounds, worker: &Path, kept: bool) -> String {
    let Rounds { rounds, clients, load, train } = shape;
    let (worker_keys, group_keys, task_keys) = if kept {
        ("reuse = true\n", "load-ahead = true\n", "keep = \"client-{{ client }}\"\n")
    } else {
        ("", "", "")
    };
    let mut text = head(worker, worker_keys);
    let _ = write!(
        text,
        "[[groups]]\nrepeat = {rounds}\n\
         [[groups.groups]]\nname = \"train-{{{{ round }}}}\"\n{group_keys}\
         [[groups.groups.tasks]]\nmatrix = {{ client = {{ from = 0, to = {clients} }} }}\n\
         id = \"client-{{{{ client }}}}\"\nworker = \"bench\"\nkind = \"pass-time\"\n{task_keys}\
         params = {{ load = {load:?}, train = {train:?} }}\n\
         [[groups.groups]]\nname = \"aggregate-{{{{ round }}}}\"\n{group_keys}\
         [[groups.groups.tasks]]\nid = \"aggregate\"\nworker = \"bench\"\nkind = \"pass-time\"\n\
         params = {{ load = 0.0, train = {train:?} }}\n",
    );
    text
}

/// The shape of federated rounds; times in seconds.
#[derive(Debug, Clone)]
pub(in crate::bench) struct Rounds {
    pub(in crate::bench) rounds: u32,
    pub(in crate::bench) clients: u32,
    pub(in crate::bench) load: f64,
    pub(in crate::bench) train: f64,
}

fn head(worker: &Path, keys: &str) -> String {
    format!("name = \"bench\"\n[workers.bench]\ncommand = [{}]\n{keys}", quoted(worker))
}

/// A path as a TOML string; JSON's escapes are also TOML's.
fn quoted(path: &Path) -> String {
    serde_json::Value::String(path.display().to_string()).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_flows_are_toml_with_the_keys_they_should_have() {
        let worker = Path::new("/a \"b\"/worker");
        let shape = Rounds { rounds: 5, clients: 3, load: 0.5, train: 0.05 };
        for text in [
            commands(7, worker),
            workers(7, worker, 0.0, 0.2, "reuse = true\n"),
            rounds(&shape, worker, false),
            rounds(&shape, worker, true),
        ] {
            text.parse::<toml::Table>().unwrap();
        }
        assert!(rounds(&shape, worker, true).contains("keep = \"client-{{ client }}\""));
        assert!(!rounds(&shape, worker, false).contains("keep"));
    }
}
