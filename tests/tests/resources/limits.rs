//! Limits on descriptors and processes.

use fedflow_tests::{Cgroup, skip};

use super::{TASKS, assert_no_panic, count, outcomes, sandbox};

const RUN: &str = "run flow.toml --devices cpu:6 --progress none";

#[test]
fn with_few_descriptors_tasks_wait_for_each_other_and_all_finish() {
    for limit in [28, 40, 64] {
        let sandbox = sandbox();
        let line = format!("ulimit -n {limit}; exec timeout -s KILL 120 \"$@\"");
        let outcome = sandbox.fedflow_in_shell(&line, RUN);
        assert_eq!(outcome.code, 0, "{limit}");
        assert_no_panic(&outcome);
        assert!(outcome.stderr.contains("the limit of open files"), "{}", outcome.stderr);
        assert_eq!(count(&outcomes(&sandbox.path().join("res")), "finished"), TASKS);
    }
}

#[test]
fn with_hardly_any_descriptors_it_says_so() {
    for limit in [6, 9, 12, 16, 20, 24] {
        let sandbox = sandbox();
        let line = format!("ulimit -n {limit}; exec timeout -s KILL 120 \"$@\"");
        let outcome = sandbox.fedflow_in_shell(&line, RUN);
        assert_no_panic(&outcome);
        if outcome.code != 0 {
            assert!(outcome.stderr.contains("Too many open files"), "{limit}: {}", outcome.stderr);
        }
        if matches!(outcome.code, 0 | 1) {
            let outcomes = outcomes(&sandbox.path().join("res"));
            assert_eq!(count(&outcomes, "finished") + count(&outcomes, "spawn"), TASKS, "{outcomes:?}");
        }
    }
}

#[test]
fn with_few_processes_a_task_could_not_be_started() {
    let Some(group) = Cgroup::make("pids") else { return skip("no pids cgroup can be made here") };
    let mut refused = 0;
    for limit in [4, 8, 11, 13, 15, 17, 20, 26, 34] {
        group.limit_processes(limit);
        let sandbox = sandbox();
        let outcome = sandbox.fedflow_in_shell(&group.shell_line(), RUN);
        assert_no_panic(&outcome);
        match outcome.code {
            0 => {}
            1 => {
                let outcomes = outcomes(&sandbox.path().join("res"));
                refused += count(&outcomes, "spawn");
                // A worker that was started may have one thread too many.
                let known = ["finished", "spawn", "exit"];
                assert_eq!(
                    known.map(|kind| count(&outcomes, kind)).iter().sum::<usize>(),
                    TASKS,
                    "{outcomes:?}"
                );
            }
            code => {
                assert_eq!(code, 3, "{limit}");
                assert!(outcome.stderr.contains("error: cannot "), "{limit}: {}", outcome.stderr);
            }
        }
    }
    assert!(refused > 0, "no limit was too low");
}
