//! The directory on a memory file system through which a run meets its workers is full, removed, or left by a run that was
//! killed. No result depends on it.

use std::fs;
use std::path::{Path, PathBuf};

use fedflow_tests::{Fifo, Held, Sandbox};
use rustix::process::Signal;

use super::disk::{RUN, on_small_disk};

/// A sandbox in whose `run` the directory is made.
fn sandbox() -> (Sandbox, PathBuf) {
    let sandbox = Sandbox::new();
    let place = sandbox.path().join("run");
    fs::create_dir(&place).unwrap();
    (sandbox.with_variable("XDG_RUNTIME_DIR", place.display().to_string()), place)
}

fn entries(place: &Path) -> Vec<PathBuf> {
    fs::read_dir(place).unwrap().map(|entry| entry.unwrap().path()).collect()
}

/// Commands that say that they are up, wait for a line and have a result, and then tasks of a worker.
fn flow(up: &Fifo, go: &Fifo, commands: u32) -> String {
    format!(
        r#"
[workers.scripted]
command = ["{{scripted}}"]
[[groups]]
name = "commands"
[[groups.tasks]]
matrix = {{ i = {{ from = 0, to = {commands} }} }}
id = "{{{{ i }}}}"
command = ["sh", "-c", "echo $$ > {up}; read line < {go}; echo '{{\"value\": {{{{ i }}}}}}' > $FEDFLOW_RESULT"]
[[groups]]
name = "workers"
[[groups.tasks]]
matrix = {{ i = {{ from = 0, to = 3 }} }}
id = "{{{{ i }}}}"
worker = "scripted"
kind = "scripted"
params = {{ train = ["return value {{{{ i }}}}"] }}
"#,
        up = up.name(),
        go = go.name()
    )
}

#[test]
fn a_private_directory_that_is_removed_costs_no_result_and_is_made_again() {
    let (sandbox, place) = sandbox();
    let (mut up, mut go) = (Fifo::make(&sandbox, "up"), Fifo::make(&sandbox, "go"));
    sandbox.write("flow.toml", &flow(&up, &go, 2));
    let run = sandbox.start("run flow.toml --devices cpu:2");
    up.line();
    up.line();
    let [private] = entries(&place).try_into().unwrap();
    fs::remove_dir_all(private).unwrap();
    go.say("go\ngo\n");
    assert_eq!(run.finish(), 0);
    for group in sandbox.results()["groups"].as_array().unwrap() {
        for (number, task) in (0_u32..).zip(group["tasks"].as_array().unwrap()) {
            assert_eq!(task["result"]["value"].as_f64(), Some(f64::from(number)), "{group}");
        }
    }
    assert_eq!(entries(&place), Vec::<PathBuf>::new());
    let left = fs::read_dir(sandbox.path().join("res/commands/0")).unwrap().count();
    assert_eq!(left, 2, "its logs alone: a result that was taken is not kept twice");
}

#[test]
fn no_result_depends_on_the_room_in_memory() {
    let sandbox = Sandbox::new();
    let large = "[[groups]]\nname = \"g\"\n[[groups.tasks]]\nmatrix = { i = { from = 0, to = 6 } }\nid = \"{{ i }}\"\n\
                 command = [\"sh\", \"-c\", \"printf '{\\\"x\\\": \\\"%0400000d\\\"}' {{ i }} > $FEDFLOW_RESULT\"]\n\
                 [workers.scripted]\ncommand = [\"{scripted}\"]\n[[groups]]\nname = \"w\"\n\
                 tasks = [{ id = \"t\", worker = \"scripted\", kind = \"scripted\", \
                 params = { train = [\"return value 1\"], load = [\"print WORDS\"] } }]\n";
    sandbox.write("flow.toml", &large.replace("WORDS", &"x".repeat(100_000)));
    // Nothing fits into the small one.
    let script = format!(
        "mkdir small/res; head -c 1M /dev/zero > small/full; XDG_RUNTIME_DIR=$PWD/small timeout -s KILL 120 \"$@\" {RUN}"
    );
    let Some((outcome, _)) = on_small_disk(&sandbox, "size=64k", &script) else { return };
    assert_eq!(outcome.code, 0, "{}", outcome.stderr);
    let results = sandbox.results();
    assert_eq!(results["groups"][0]["tasks"][5]["result"]["x"].as_str().map(str::len), Some(400_000));
    assert_eq!(results["groups"][1]["tasks"][0]["status"], "finished");
}

#[test]
fn the_guard_of_a_supervisor_that_is_killed_removes_its_private_directory() {
    let (sandbox, place) = sandbox();
    let (mut up, go) = (Fifo::make(&sandbox, "up"), Fifo::make(&sandbox, "go"));
    sandbox.write("flow.toml", &flow(&up, &go, 1));
    let run = sandbox.start("run flow.toml --devices cpu:1");
    up.line();
    assert_eq!(entries(&place).len(), 1);
    Held::of(sandbox.supervisor().process.pid).signal(Signal::KILL);
    assert_eq!(run.finish(), 128 + 9);
    assert_eq!(entries(&place), Vec::<PathBuf>::new());
}

#[test]
fn the_next_run_removes_what_a_run_and_its_guard_left_when_they_were_killed() {
    let (sandbox, place) = sandbox();
    let (mut up, go) = (Fifo::make(&sandbox, "up"), Fifo::make(&sandbox, "go"));
    sandbox.write("flow.toml", &flow(&up, &go, 1));
    let run = sandbox.start("run flow.toml --devices cpu:1");
    let task = Held::of(up.line().trim().parse().unwrap());
    // The guard stands still, so that it sees nothing of the supervisor's end.
    run.signal(Signal::STOP);
    run.wait_until_stopped();
    Held::of(sandbox.supervisor().process.pid).signal(Signal::KILL);
    run.signal(Signal::KILL);
    assert_eq!(run.finish(), 128 + 9);
    task.try_signal(Signal::KILL);
    assert_eq!(entries(&place).len(), 1);
    sandbox.write("next.toml", "[[groups]]\nname = \"g\"\ntasks = [{ id = \"t\", command = [\"true\"] }]\n");
    assert_eq!(sandbox.fedflow("run next.toml --devices cpu:1 --workdir next").code, 0);
    assert_eq!(entries(&place), Vec::<PathBuf>::new());
}
