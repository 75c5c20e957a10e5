//! A flow that was changed is compared with what is recorded, task by task, before anything starts.

use fedflow_tests::Sandbox;
use rustix::process::Signal;

/// A group of tasks with these arguments, of which the second fails until there is a file `fixed`, and one after it.
fn flow(arguments: &[&str]) -> String {
    let tasks: String = arguments
        .iter()
        .enumerate()
        .map(|(place, argument)| {
            format!(
                "[[groups.tasks]]\nid = \"t-{place}\"\ncommand = [\"sh\", \"-c\", \
                 \"test {place} != 1 || test -e {{{{ flow_dir }}}}/fixed # {argument}\"]\n"
            )
        })
        .collect();
    format!(
        "[[groups]]\nname = \"before\"\ntasks = [{{ id = \"b\", command = [\"true\"] }}]\n\
         [[groups]]\nname = \"g\"\n{tasks}"
    )
}

/// The journal as format 1 would have it: without what each task is made of and what was durable.
fn as_format_1(journal: &str) -> String {
    let lines = journal.lines().map(|line| {
        let mut body = line[..line.len() - 18].replace("{\"fedflow\":2,", "{\"fedflow\":1,");
        if let Some(place) = body.rfind(",\"durable\":") {
            body.truncate(place);
        }
        if let Some(begin) = body.find(",\"fingerprints\":[") {
            let end = begin + body[begin..].find(']').unwrap();
            body.replace_range(begin..=end, "");
        }
        format!("{body},\"crc\":\"{:08x}\"}}\n", crc32fast::hash(body.as_bytes()))
    });
    lines.collect()
}

#[test]
fn the_tasks_that_changed_are_named_before_anything_starts() {
    let sandbox = Sandbox::new();
    sandbox.write("flow.toml", &flow(&["a", "b", "c"]));
    assert_eq!(sandbox.fedflow("run flow.toml --devices cpu:2").code, 1);
    let journal = sandbox.read("res/.fedflow/journal.jsonl");
    assert!(journal.starts_with("{\"fedflow\":2,"), "{journal}");
    sandbox.write("flow.toml", &flow(&["a", "x", "y", "d"]));
    let refused = sandbox.fedflow("run flow.toml --resume");
    assert_eq!(refused.code, 2);
    assert!(refused.stderr.contains("\n  g: other programs or parameters: t-1, t-2\n"), "{}", refused.stderr);
    sandbox.write("flow.toml", &flow(&["a", "x"]));
    let refused = sandbox.fedflow("run flow.toml --resume");
    assert!(refused.stderr.contains("g: it lacks recorded tasks: t-2; other programs or parameters: t-1\n"));
    assert_eq!(sandbox.read("res/.fedflow/journal.jsonl"), journal, "no session has begun");
}

#[test]
fn a_group_that_is_open_again_may_change_only_in_the_tasks_that_are() {
    let sandbox = Sandbox::new();
    sandbox.write("flow.toml", &flow(&["a", "b", "c"]));
    assert_eq!(sandbox.fedflow("run flow.toml --devices cpu:2").code, 1);
    // A task that hangs in the group before it: the sessions are cut off before this group begins.
    let more = "[[groups.tasks]]\nid = \"more\"\ncommand = [\"sleep\", \"600\"]\n[[groups]]\nname = \"g\"\n";
    let grown = |text: String| {
        text.replacen("tasks = [{ id = \"b\", command = ", "[[groups.tasks]]\nid = \"b\"\ncommand = ", 1)
            .replacen(" }]\n", "\n", 1)
            .replacen("[[groups]]\nname = \"g\"\n", more, 1)
    };
    sandbox.write("flow.toml", &grown(flow(&["a", "b", "c"])));
    let mut run = sandbox.start("run flow.toml --resume");
    run.wait_for("task-training", Some("more"));
    run.signal(Signal::INT);
    assert_eq!(run.finish(), 130);
    let mut run = sandbox.start("resume --failed res");
    run.wait_for("task-training", Some("more"));
    run.signal(Signal::INT);
    assert_eq!(run.finish(), 130);

    sandbox.write("flow.toml", &grown(flow(&["a", "mended", "x"])));
    let refused = sandbox.fedflow("run flow.toml --resume");
    assert_eq!(refused.code, 2, "t-2 is kept, and is another one now");
    assert!(refused.stderr.contains("\n  g: other programs or parameters: t-2\n"), "{}", refused.stderr);
    sandbox.write("flow.toml", &grown(flow(&["a", "mended"])));
    assert_eq!(sandbox.fedflow("run flow.toml --resume").code, 2, "t-2 is left out");
    sandbox.write("fixed", "");
    sandbox.write("flow.toml", &grown(flow(&["a", "mended", "c"])));
    let mut run = sandbox.start("run flow.toml --resume");
    run.wait_for("task-training", Some("more"));
    run.signal(Signal::INT);
    assert_eq!(run.finish(), 130);
}

#[test]
fn a_run_of_format_1_is_gone_on_with_and_keeps_its_format() {
    let sandbox = Sandbox::new();
    sandbox.write("flow.toml", &flow(&["a", "b", "c"]));
    assert_eq!(sandbox.fedflow("run flow.toml --devices cpu:2").code, 1);
    let path = sandbox.path().join("res/.fedflow/journal.jsonl");
    std::fs::write(&path, as_format_1(&sandbox.read("res/.fedflow/journal.jsonl"))).unwrap();
    assert_eq!(sandbox.fedflow("report res --format json").code, 0);
    let resumed = sandbox.fedflow("resume res --progress json");
    assert_eq!((resumed.code, resumed.stdout.matches("task-started").count()), (1, 0));
    sandbox.write("flow.toml", &flow(&["a", "b", "x"]));
    let refused = sandbox.fedflow("run flow.toml --resume");
    assert_eq!(refused.code, 2);
    assert!(refused.stderr.contains("g: its recorded tasks have other programs"), "{}", refused.stderr);
    sandbox.write("flow.toml", &flow(&["a", "b", "c", "d"]));
    let grown = sandbox.fedflow("run flow.toml --resume --progress json");
    assert_eq!((grown.code, grown.stdout.matches("task-started").count()), (1, 1));
    sandbox.write("fixed", "");
    assert_eq!(sandbox.fedflow("resume --failed res").code, 0);
    assert!(sandbox.read("res/.fedflow/journal.jsonl").starts_with("{\"fedflow\":1,"));
    sandbox.write("flow.toml", &flow(&["a", "b", "c", "x"]));
    let refused = sandbox.fedflow("run flow.toml --resume");
    assert!(refused.stderr.contains("other programs or parameters: t-3\n"), "its new records tell each task");
}

#[test]
fn rounds_that_are_appended_leave_every_group_its_own_index_and_what_is_older_is_told() {
    let flow = |rounds: u32| {
        format!(
            "[[groups]]\nrepeat = {rounds}\n[[groups.groups]]\nname = \"train-{{{{ round }}}}\"\n\
             tasks = [{{ id = \"c\", command = [\"true\"] }}]\n\
             [[groups]]\nname = \"final-eval\"\ntasks = [{{ id = \"e\", command = [\"true\"] }}]\n"
        )
    };
    let sandbox = Sandbox::new();
    sandbox.write("flow.toml", &flow(3));
    assert_eq!(sandbox.fedflow("run flow.toml --devices cpu:1").code, 0);
    sandbox.write("flow.toml", &flow(5));
    let resumed = sandbox.fedflow("run flow.toml --resume");
    assert_eq!(resumed.code, 0);
    let note =
        "note: final-eval: what is recorded is kept, and is older than what train-4, train-5 will have\n";
    assert!(resumed.stderr.contains(note), "{}", resumed.stderr);
    let again = sandbox.fedflow("run flow.toml --resume");
    assert!(!again.stderr.contains("older"), "{}", again.stderr);
    assert_eq!(sandbox.fedflow("report res").code, 0);
    let results = sandbox.results();
    let groups = results["groups"].as_array().unwrap().iter();
    let places: Vec<_> =
        groups.map(|group| (group["name"].as_str().unwrap(), group["index"].as_u64().unwrap())).collect();
    let expected =
        [("train-1", 1), ("train-2", 2), ("train-3", 3), ("train-4", 4), ("train-5", 5), ("final-eval", 6)];
    assert_eq!(places, expected);
}

/// Rounds, an evaluation that renders this, a task that asks for nothing, and one that asks for the evaluation.
fn rounds_and_evaluation(rounds: u32, seen: &str) -> String {
    format!(
        r#"
[[groups]]
repeat = {rounds}
[[groups.groups]]
name = "train-{{{{ round }}}}"
tasks = [{{ id = "c", command = ["sh", "-c", "test ! -e {{{{ flow_dir }}}}/slow || sleep 600; echo '{{\"n\": {{{{ round }}}}}}' > $FEDFLOW_RESULT"] }}]
[[groups]]
name = "final-eval"
[[groups.tasks]]
id = "e"
command = ["sh", "-c", '''echo '{{"seen": {{{{ {seen} }}}}}}' > $FEDFLOW_RESULT''']
[[groups.tasks]]
id = "unconcerned"
command = ["true"]
[[groups]]
name = "last"
tasks = [{{ id = "l", command = ["echo", "{{{{ result('final-eval', 'e').seen }}}}"] }}]
"#
    )
}

/// What the evaluation has seen, and how many attempts it, the task beside it and the one after it have had.
fn evaluation(sandbox: &Sandbox) -> (serde_json::Value, Vec<u64>) {
    let results = sandbox.results();
    let groups = results["groups"].as_array().unwrap();
    let [.., evaluation, last] = groups.as_slice() else { panic!("{groups:?}") };
    let tasks = [&evaluation["tasks"][0], &evaluation["tasks"][1], &last["tasks"][0]];
    let attempts = tasks.map(|task| task["attempts"].as_u64().unwrap());
    (evaluation["tasks"][0]["result"]["seen"].clone(), attempts.to_vec())
}

#[test]
fn a_task_that_asks_for_what_is_added_is_run_again() {
    let guarded = "0 if result('train-4', 'c') is none else result('train-4', 'c').n";
    // Once it renders to what is recorded until the new rounds are there; once it never does.
    for (before, after, seen) in
        [("0", guarded, 4), ("result('train-3', 'c').n", "result('train-5', 'c').n", 5)]
    {
        let sandbox = Sandbox::new();
        sandbox.write("flow.toml", &rounds_and_evaluation(3, before));
        assert_eq!(sandbox.fedflow("run flow.toml --devices cpu:1").code, 0);
        sandbox.write("flow.toml", &rounds_and_evaluation(5, after));
        let resumed = sandbox.fedflow("run flow.toml --resume");
        assert_eq!(resumed.code, 0, "{}", resumed.stderr);
        assert!(resumed.stderr.contains("running again: final-eval/e, last/l\n"), "{}", resumed.stderr);
        let note =
            "note: final-eval: what is recorded is kept, and is older than what train-4, train-5 will have";
        assert!(resumed.stderr.contains(note), "of the task beside it: {}", resumed.stderr);
        assert_eq!(evaluation(&sandbox), (seen.into(), vec![2, 1, 2]));
        let again = sandbox.fedflow("run flow.toml --resume");
        assert_eq!(again.code, 0, "{}", again.stderr);
        assert!(!again.stderr.contains("running again"), "{}", again.stderr);
        assert_eq!(evaluation(&sandbox), (seen.into(), vec![2, 1, 2]));
    }
}

#[test]
fn a_task_that_asks_for_what_is_added_is_run_again_after_a_session_that_is_cut_off() {
    let sandbox = Sandbox::new();
    sandbox.write("flow.toml", &rounds_and_evaluation(3, "0"));
    assert_eq!(sandbox.fedflow("run flow.toml --devices cpu:1").code, 0);
    let guarded = "0 if result('train-4', 'c') is none else result('train-4', 'c').n";
    sandbox.write("flow.toml", &rounds_and_evaluation(5, guarded));
    sandbox.write("slow", "");
    let mut run = sandbox.start("run flow.toml --resume");
    run.wait_for("task-training", Some("c"));
    run.signal(Signal::KILL);
    let _ = run.finish();
    std::fs::remove_file(sandbox.path().join("slow")).unwrap();
    assert_eq!(sandbox.fedflow("resume res").code, 0);
    assert_eq!(evaluation(&sandbox), (4.into(), vec![2, 1, 2]));
}

#[test]
fn a_task_that_asks_for_what_comes_later_now_is_refused_before_anything_starts() {
    // Which group it asks for is known only when the flow runs.
    let asks = "-1 if result('train-' ~ (result('train-1', 'c').n + 1), 'c') is none else 2";
    let sandbox = Sandbox::new();
    let flow = rounds_and_evaluation(2, asks);
    sandbox.write("flow.toml", &flow);
    assert_eq!(sandbox.fedflow("run flow.toml --devices cpu:1").code, 0);
    assert_eq!(evaluation(&sandbox).0, 2);
    let journal = sandbox.read("res/.fedflow/journal.jsonl");
    let round = flow.lines().find(|line| line.starts_with("tasks")).unwrap().replace("{{ round }}", "2");
    let later = format!("{}\n[[groups]]\nname = \"train-2\"\n{round}\n", rounds_and_evaluation(1, asks));
    sandbox.write("flow.toml", &later);
    let refused = sandbox.fedflow("run flow.toml --resume");
    assert_eq!(refused.code, 2);
    let told = ":\n  final-eval: other programs or parameters: e\n";
    assert!(refused.stderr.contains(told), "{}", refused.stderr);
    assert_eq!(sandbox.read("res/.fedflow/journal.jsonl"), journal, "no session has begun");
}
