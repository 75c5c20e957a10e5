//! Workers are killed at random moments.

use fedflow_tests::{Held, Sandbox};
use fedflow_worker::store::processes_of_run;
use rustix::process::Signal;

use super::{Lottery, check_journal, outcomes, rounds};

const FLOW: &str = r#"
name = "killed-workers"
[workers.scripted]
command = ["{scripted}"]
[[groups]]
name = "g"
[[groups.tasks]]
matrix = { i = { from = 0, to = 16 } }
id = "rust-{{ i }}"
worker = "scripted"
kind = "scripted"
params = { load = ["wait 5"], train = ["wait 20", "return value {{ i }}"] }
[[groups.tasks]]
matrix = { i = { from = 0, to = 4 } }
id = "command-{{ i }}"
command = ["sh", "-c", "sleep 0.03; echo '{\"value\": {{ i }}}' > $FEDFLOW_RESULT"]
"#;
const TASKS: usize = 20;

#[test]
fn a_worker_that_is_killed_costs_its_own_task_and_nothing_else() {
    let mut failures = 0;
    for seed in 0..rounds(3) {
        let mut random = Lottery(seed + 1000);
        let sandbox = Sandbox::new();
        sandbox.write("flow.toml", FLOW);
        let mut run = sandbox.start("run flow.toml --devices cpu:3");
        run.wait_for("task-started", None);
        let run_dir = sandbox.path().join("res");
        let token = super::run_token(&run_dir);
        let mut killed = 0;
        while killed < 8 && (0..random.below(12)).all(|_| run.line().is_some()) {
            let processes = processes_of_run(&token).unwrap();
            let Ok(count @ 1..) = u64::try_from(processes.len()) else { continue };
            let victim = processes[usize::try_from(random.below(count)).unwrap()];
            if let Some(victim) = Held::find(victim.pid) {
                victim.try_signal(Signal::KILL);
                killed += 1;
            }
        }
        let code = run.finish();
        check_journal(&run_dir);
        let outcomes = outcomes(&sandbox);
        assert_eq!(outcomes.len(), TASKS);
        let mut failed = 0;
        for ((_, task), (status, told)) in &outcomes {
            let number = task.rsplit('-').next().unwrap();
            if status == "\"finished\"" {
                assert!(told.contains(&format!("\"value\":{number}")), "seed {seed}: {task}: {told}");
            } else {
                assert!(told.contains("signal 9 (SIGKILL)"), "seed {seed}: {task}: {told}");
                failed += 1;
            }
        }
        assert!(failed <= killed, "seed {seed}: {failed} tasks failed, {killed} processes were killed");
        assert_eq!(code, i32::from(failed > 0), "seed {seed}");
        failures += failed;
    }
    assert!(failures > 0, "nothing was ever killed");
}
