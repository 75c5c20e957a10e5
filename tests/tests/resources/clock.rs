//! The wall clock: whatever it does, limits and durations use a monotonic clock.

use super::{TASKS, count, faulty, outcomes};

#[test]
fn a_wall_clock_that_jumps_by_days_changes_no_limit_and_no_duration() {
    let sandbox = faulty("FAULTY_CLOCK", "1");
    let task = "\n[[groups.tasks]]\nid = \"hangs\"\nworker = \"scripted\"\nkind = \"scripted\"\n\
                params = { train = [\"hang\"] }\ntrain-timeout = \"300ms\"\nexit-timeout = \"1s\"\n";
    let limits = "[config]\nsupervision.load-timeout = \"10m\"\nsupervision.timeout = \"20m\"\n";
    sandbox.write("flow.toml", &format!("{limits}{}{task}", super::FLOW.replace("name = \"short\"\n", "")));
    let outcome = sandbox.fedflow_in_shell(super::PATIENTLY, "run flow.toml --devices cpu:2 --progress none");
    assert_eq!(outcome.code, 1);
    let run_dir = sandbox.path().join("res");
    let outcomes = outcomes(&run_dir);
    assert_eq!(count(&outcomes, "finished"), TASKS, "{outcomes:?}");
    assert_eq!(outcomes["hangs"].0, "timeout");
    let results = sandbox.results();
    for task in results["groups"][0]["tasks"].as_array().unwrap() {
        for seconds in ["load_seconds", "train_seconds"] {
            let seconds = task[seconds].as_f64().unwrap();
            assert!((0.0..100.0).contains(&seconds), "{task}");
        }
    }
    let hung = results["groups"][0]["tasks"][TASKS]["train_seconds"].as_f64().unwrap();
    assert!(hung >= 0.3, "{hung}");
    // A session that resumes finds nothing to do, and takes no process for one of the run.
    assert_eq!(sandbox.fedflow("resume res --progress none").code, 1);
    assert_eq!(sandbox.fedflow("status res").code, 0);
}
