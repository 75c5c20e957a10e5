//! Memory: what the kernel does when there is none, and how much memory the supervisor takes.

use std::fs;
use std::io::Write;
use std::path::Path;

use fedflow_tests::{Cgroup, Sandbox, skip};
use fedflow_worker::store::{LockState, RunDir, RunLock};
use rustix::fs::{CWD, FileType, Mode, mknodat};

/// Enough for Fedflow itself, but not for a worker that wants more.
const ROOM: u64 = 160 << 20;

#[test]
fn a_worker_that_the_kernel_kills_for_memory_is_out_of_memory() {
    let Some(group) = Cgroup::make("memory") else { return skip("no memory cgroup can be made here") };
    group.limit_memory(ROOM);
    let sandbox = Sandbox::new();
    sandbox.write(
        "flow.toml",
        "[config]\nscheduler.load-nretry = 1\nscheduler.max-process = 2\n\
         [workers.scripted]\ncommand = [\"{scripted}\"]\n[[groups]]\nname = \"g\"\n\
         [[groups.tasks]]\nid = \"good\"\nworker = \"scripted\"\nkind = \"scripted\"\nparams = { train = [\"return x 1\"] }\n\
         [[groups.tasks]]\nid = \"greedy-load\"\nworker = \"scripted\"\nkind = \"scripted\"\nparams = { load = [\"bytes 400000000\"] }\n\
         [[groups.tasks]]\nid = \"greedy-train\"\nworker = \"scripted\"\nkind = \"scripted\"\nparams = { train = [\"bytes 400000000\"] }\n\
         [[groups.tasks]]\nid = \"greedy-command\"\ncommand = [\"sh\", \"-c\", \"head -c 400000000 /dev/zero | tail -c 400000000 > /dev/null; exit $?\"]\n\
         [[groups.tasks]]\nid = \"killed\"\nworker = \"scripted\"\nkind = \"scripted\"\nparams = { train = [\"signal 9\"] }\n",
    );
    let outcome =
        sandbox.fedflow_in_shell(&group.shell_line(), "run flow.toml --devices cpu:1 --progress none");
    assert_eq!(outcome.code, 1);
    let results = sandbox.results();
    let tasks = results["groups"][0]["tasks"].as_array().unwrap();
    let told: Vec<_> = tasks
        .iter()
        .map(|task| {
            let text = |value: &serde_json::Value| value.as_str().unwrap_or("-").to_owned();
            (
                text(&task["id"]),
                text(&task["error"]["stage"]),
                text(&task["error"]["kind"]),
                task["attempts"].as_u64().unwrap(),
            )
        })
        .collect();
    let expected = [
        ("good", "-", "-", 1),
        ("greedy-load", "load", "oom", 2),
        ("greedy-train", "train", "oom", 2),
        ("greedy-command", "train", "oom", 2),
        // A kill that the kernel did not count has another cause.
        ("killed", "train", "killed", 1),
    ];
    let expected = expected
        .map(|(id, stage, kind, attempts)| (id.to_owned(), stage.to_owned(), kind.to_owned(), attempts));
    assert_eq!(told, expected);
    assert!(tasks[2]["error"]["message"].as_str().unwrap().contains("the kernel killed it"));
}

/// A worker with JSON lines that does something bad at the end of `train`, depending on the number of its task.
const HOSTILE: &str = r#"
exec 3>&0
say() { printf '%s\n' "$1" >&3; }
read -r hello; say '{"event": "ready", "version": 1}'
read -r task; read -r load; say '{"event": "loaded"}'
read -r train
number=${FEDFLOW_TASK_ID#task-}
long=$(printf '%030000d' 7)
# The first ones all send more than a result may have, side by side.
[ $number -lt 24 ] && kind=2 much=20000000 || kind=$((number % 10)) much=100000
case $kind in
    0) yes '{"event": "item", "key": "k", "value": "'$long'"}' | head -n 20 >&3 ;;
    1) seq 1 6000 | sed 's/.*/{"event": "item", "key": "key-&", "value": &}/' >&3 ;;
    2) printf '{"event": "result", "data": {"x": "' >&3; head -c $much /dev/zero | tr '\0' x >&3 ;;
    3) head -c $much /dev/zero >&3 ;;
    4) printf '{"event": "result", "data": {"x": ' >&3; head -c 100000 /dev/zero | tr '\0' '[' >&3; say '' ;;
    5) yes '{"event": "progress", "done": 1, "total": 2}' | head -n 6000 >&3 ;;
    6) printf '{"event": "error", "phase": "train", "kind": "error", "message": "' >&3
       head -c 900000 /dev/zero | tr '\0' e >&3; say '"}' ;;
    7) yes "a line of nothing that somebody wants to read" | head -c 2000000; yes lost | head -c 2000000 >&2 ;;
    8) say '{"event": "result", "data": {"x": NaN, "x": Infinity, "y": "'$long'"}}' ;;
    9) exit 0 ;;
esac
say '{"event": "result", "data": {"number": '$number'}}'
read -r exit
"#;

/// The most memory of the supervisor for 3,000 such workers, in KiB. A short test has a part of both.
const LIMIT: u64 = 200 << 10;

fn peak_of_supervisor(run_dir: &Path) -> u64 {
    let Ok(LockState::Held(Some(holder))) = RunLock::probe(&RunDir::open(run_dir).unwrap()) else {
        panic!("the run has ended");
    };
    let status = fs::read_to_string(format!("/proc/{}/status", holder.process.pid)).unwrap();
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    peak.trim().trim_end_matches(" kB").parse().unwrap()
}

#[test]
fn the_supervisor_stays_small_whatever_its_workers_send() {
    #[expect(clippy::disallowed_methods, reason = "whether it shall take its time")]
    let (number_of_tasks, limit) =
        if std::env::var_os("FEDFLOW_SOAK_ROUNDS").is_some() { (3000, LIMIT) } else { (200, LIMIT / 2) };
    let sandbox = Sandbox::new();
    let script = sandbox.write("hostile.sh", HOSTILE);
    let gate = sandbox.path().join("gate");
    mknodat(CWD, &gate, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).unwrap();
    let mut open_gate = fs::File::options().read(true).write(true).open(&gate).unwrap();
    sandbox.write(
        "flow.toml",
        &format!(
            "[config]\nsupervision.log-limit = \"64KiB\"\nsupervision.result-limit = \"16MiB\"\n\
             [workers.hostile]\ncommand = [\"sh\", \"{}\"]\nprotocol = \"json\"\nkinds = [\"hostile\"]\n\
             [workers.scripted]\ncommand = [\"{{scripted}}\"]\n\
             [[groups]]\nname = \"hostile\"\n[[groups.tasks]]\nmatrix = {{ i = {{ from = 0, to = {number_of_tasks} }} }}\n\
             id = \"task-{{{{ i }}}}\"\nworker = \"hostile\"\nkind = \"hostile\"\n\
             [[groups]]\nname = \"gate\"\n[[groups.tasks]]\nid = \"gate\"\nworker = \"scripted\"\nkind = \"scripted\"\n\
             params = {{ train = [\"await {}\"] }}\n",
            script.display(),
            gate.display(),
        ),
    );
    let mut run = sandbox.start("run flow.toml --devices cpu:8");
    // By then everything was sent, and the group's report was started.
    run.wait_for("task-training", Some("gate"));
    let peak = peak_of_supervisor(&sandbox.path().join("res"));
    open_gate.write_all(b"open\n").unwrap();
    assert_eq!(run.finish(), 1);
    assert!(peak < limit, "the supervisor took {peak} KiB");
    let results = sandbox.results();
    let tasks = results["groups"][0]["tasks"].as_array().unwrap();
    assert_eq!(tasks.len(), number_of_tasks);
    for (number, task) in tasks.iter().enumerate() {
        let expected = match if number < 24 { 2 } else { number % 10 } {
            0 | 1 | 5 | 7 => "-",
            2..=4 | 8 => "protocol",
            6 => "error",
            _ => "exit",
        };
        assert_eq!(
            task["error"]["kind"].as_str().unwrap_or("-"),
            expected,
            "task {number}: {}",
            task["error"]
        );
    }
    println!("the supervisor took {peak} KiB");
}
