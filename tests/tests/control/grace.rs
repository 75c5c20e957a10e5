//! The grace: SIGTERM comes once, to every process of a task, and the last of them has the time.

use std::collections::BTreeMap;
use std::time::Duration;

use fedflow_tests::{Fifo, Held};
use rustix::process::Signal;

use super::{group, sandbox};

/// Writes to the pipe `said` what happens, and saves when it is told to end, as soon as the pipe `go` lets it. A second
/// SIGTERM meanwhile is counted.
const SAVING: &str = r#"import os, signal, sys
name, leader, count = sys.argv[1], os.environ["LEADER"], 0
def say(word):
    with open("../../../said", "w") as said: said.write(f"{name} {leader} {word}\n")
def save(number, frame):
    global count
    count += 1
    if count == 1:
        say("told")
        open("../../../" + name).readline()
        open("saved", "w").write(str(count))
        os._exit(0)
signal.signal(signal.SIGTERM, save)
say("ready")
while True: signal.pause()
"#;

/// How users put a program behind another one.
const SHAPES: [(&str, &str); 5] = [
    ("shell", "set -e; SAVING; echo done"),
    ("pipe", "SAVING | tee log.txt"),
    ("session", "setsid --wait SAVING; true"),
    ("wrapper", "exec python3 -c 'import subprocess, sys; subprocess.call(sys.argv[1:])' SAVING"),
    ("orphan", "(SAVING &); exec sleep 1000"),
];

#[test]
fn the_grace_holds_until_the_last_process_of_a_task_is_gone() {
    let tasks = SHAPES.map(|(id, script)| {
        let script = script.replace("SAVING", &format!("python3 '{{{{ flow_dir }}}}/saving.py' {id}"));
        format!(
            "[[groups.tasks]]\nid = \"{id}\"\ncommand = [\"bash\", \"-c\", \"export LEADER=$$; {script}\"]\n"
        )
    });
    let sandbox = sandbox(&[group("g", &tasks)]);
    sandbox.write("saving.py", SAVING);
    let mut said = Fifo::make(&sandbox, "said");
    let mut pipes = SHAPES.map(|(id, _)| Fifo::make(&sandbox, id));
    let run = sandbox.start("run flow.toml --devices cpu:5 --grace 1h");
    let mut leaders: BTreeMap<String, Held> = BTreeMap::new();
    for _ in SHAPES {
        let line = said.line();
        let words: Vec<&str> = line.split_whitespace().collect();
        assert_eq!(words[2], "ready");
        leaders.insert(words[0].into(), Held::of(words[1].parse().unwrap()));
    }
    run.signal(Signal::TERM);
    for _ in SHAPES {
        let line = said.line();
        assert!(line.ends_with(" told\n"), "{line}");
        let name = line.split_whitespace().next().unwrap();
        assert!(leaders[name].ends_within(Duration::from_secs(60)), "{name}");
    }
    for pipe in &mut pipes {
        pipe.say("go\n");
    }
    assert_eq!(run.finish(), 143);
    for (id, _) in SHAPES {
        let saved = std::fs::read_to_string(sandbox.path().join(format!("res/g/{id}/saved")));
        assert_eq!(saved.unwrap_or_default(), "1", "{id}: it was told once, and saved");
    }
}

#[test]
fn what_ignores_sigterm_behind_a_shell_is_killed_after_the_grace() {
    let stubborn = "[[groups.tasks]]\nid = \"a\"\ncommand = [\"bash\", \"-c\", \"(trap '' TERM; echo $BASHPID > ../../../said; exec sleep 1000) | cat\"]\n";
    let sandbox = sandbox(&[group("g", &[stubborn.into()])]);
    let mut said = Fifo::make(&sandbox, "said");
    let run = sandbox.start("run flow.toml --devices cpu:1 --grace 100ms");
    let process = Held::of(said.line().trim().parse().unwrap());
    run.signal(Signal::TERM);
    assert_eq!(run.finish(), 143);
    assert!(!process.is_alive());
}

#[test]
fn what_a_task_leaves_running_is_told_to_end_and_named() {
    let left = "trap ': > told; exit' TERM; echo up > up; sleep 3600 & wait";
    let script = format!("mkfifo up; sh -c \"{left}\" & read line < up");
    let sandbox = sandbox(&[group(
        "g",
        &[format!("[[groups.tasks]]\nid = \"t\"\ncommand = [\"sh\", \"-c\", {script:?}]\n")],
    )]);
    let outcome = sandbox.fedflow("run flow.toml --devices cpu:1 --progress plain");
    assert_eq!(outcome.code, 0, "it had its result");
    let warnings: Vec<_> = outcome.stderr.lines().filter(|line| line.contains("warning: ")).collect();
    let [warning] = warnings[..] else { panic!("one warning: {warnings:?}") };
    assert!(warning.contains("warning: g/t left 2 processes running, "), "{warning}");
    assert!(
        warning.contains("sh (") && warning.contains("sleep (") && warning.ends_with("which were ended"),
        "{warning}"
    );
    assert!(sandbox.path().join("res/g/t/told").exists(), "it had time to save");
    assert!(sandbox.read("res/report.html").contains(" t left 2 processes running, "));
    assert!(sandbox.fedflow("report res --format md").stdout.contains("## Processes left running"));
    let journal = sandbox.read("res/.fedflow/journal.jsonl");
    assert!(journal.contains("\"event\":\"task-left-running\""), "{journal}");
}
