//! Memory: what the kernel does when there is none, and how much the supervisor takes.

use fedflow_tests::{Cgroup, Sandbox, skip};

/// Room for Fedflow itself, and not for a worker that wants more than this.
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
        // A kill that the kernel did not count came from somebody else.
        ("killed", "train", "killed", 1),
    ];
    let expected = expected
        .map(|(id, stage, kind, attempts)| (id.to_owned(), stage.to_owned(), kind.to_owned(), attempts));
    assert_eq!(told, expected);
    assert!(tasks[2]["error"]["message"].as_str().unwrap().contains("the kernel killed it"));
}
