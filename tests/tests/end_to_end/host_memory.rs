//! The memory of the host: never promised to more tasks than it has room for.

use std::fs;

use fedflow_tests::Sandbox;
use serde_json::Value;

/// So much that no two tasks which are said to use it may be loaded at once: by default a fifth of it stays free.
pub(super) fn nearly_half_of_the_host() -> String {
    let meminfo = fs::read_to_string("/proc/meminfo").unwrap();
    let total = meminfo.lines().find_map(|line| line.strip_prefix("MemTotal:")).unwrap();
    let kilobytes: u64 = total.trim().strip_suffix(" kB").unwrap().parse().unwrap();
    format!("{}B", kilobytes * 1024 / 100 * 45)
}

/// The most tasks that loaded or trained at once, in each session of the run in `res`.
fn most_at_once(sandbox: &Sandbox) -> Vec<i32> {
    let mut sessions: Vec<(i32, i32)> = Vec::new();
    for line in sandbox.read("res/.fedflow/journal.jsonl").lines() {
        let event: Value = serde_json::from_str(line).unwrap();
        match event["event"].as_str() {
            Some("run-started") => sessions.push((0, 0)),
            Some("task-loading") => sessions.last_mut().unwrap().0 += 1,
            Some("task-released") => sessions.last_mut().unwrap().0 -= 1,
            _ => {}
        }
        sessions.iter_mut().for_each(|(now, most)| *most = (*most).max(*now));
    }
    sessions.into_iter().map(|(_, most)| most).collect()
}

#[test]
fn the_limit_holds_from_the_first_moment_of_a_run_and_of_a_resume() {
    let sandbox = Sandbox::new();
    let go = sandbox.path().join("go");
    sandbox.write(
        "flow.toml",
        &format!(
            "[[groups]]\nname = \"g\"\nestimate-memory = \"{}\"\n[[groups.tasks]]\n\
             matrix = {{ i = {{ from = 0, to = 5 }} }}\nid = \"t-{{{{ i }}}}\"\ncommand = [\"test\", \"-e\", \"{}\"]\n",
            nearly_half_of_the_host(),
            go.display(),
        ),
    );
    assert_eq!(sandbox.fedflow("run flow.toml --devices cpu:8").code, 1);
    fs::write(go, "").unwrap();
    assert_eq!(sandbox.fedflow("resume --failed res").code, 0);
    assert_eq!(most_at_once(&sandbox), [1, 1]);
}
