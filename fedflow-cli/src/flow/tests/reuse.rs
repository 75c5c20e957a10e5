//! Workers that are reused, tasks whose processes are kept, groups that load ahead.

use fedflow_core::Reuse;

use super::*;

#[test]
fn a_worker_is_reused_as_it_says() {
    let of = |keys: &str| {
        let flow = parse(&format!(
            "workers.w = {{ command = [\"w\"]{keys} }}\n[[groups]]\n[[groups.tasks]]\nid = 1\nworker = \"w\"\nkind = \"k\"\n\
             [[groups.tasks]]\nid = 2\ncommand = [\"w\"]"
        ));
        let group = flow.groups[0].build(&nothing_known()).unwrap();
        assert_eq!(spec(&group, "2").reuse, None, "a command is a new process each time");
        spec(&group, "1").reuse
    };
    assert_eq!(of(""), None);
    assert_eq!(of(", reuse = false"), None);
    assert_eq!(of(", reuse = true"), Some(Reuse { limit: None }));
    assert_eq!(of(", reuse = true, reuse-limit = 100"), Some(Reuse { limit: Some(100) }));
}

#[test]
fn a_task_is_kept_under_its_own_key() {
    let flow = parse(&with_task(
        "matrix = { client = { to = 3 } }\nid = \"{{ client }}\"\nkeep = \"client-{{ client }}\"\nparams = { a = 1 }",
    ));
    for group in [flow.groups[0].build(&nothing_known()).unwrap(), flow.groups[0].outline().unwrap()] {
        let keys: Vec<_> = group.tasks().map(|task| task.spec().keep.as_deref().unwrap()).collect();
        assert_eq!(keys, ["client-0", "client-1", "client-2"]);
        let programs: Vec<_> =
            group.tasks().map(|task| std::sync::Arc::as_ptr(&task.spec().program)).collect();
        assert!(programs.windows(2).all(|pair| pair[0] == pair[1]), "the rest is still shared");
    }
    for (key, kept_as) in [("\"all\"", "all"), ("3", "3"), ("\"{{ 3 }}\"", "3")] {
        let fixed = parse(&with_task(&format!("id = 1\nkeep = {key}")));
        let group = fixed.groups[0].build(&nothing_known()).unwrap();
        assert_eq!(spec(&group, "1").keep.as_deref(), Some(kept_as));
    }
}

#[test]
fn what_cannot_be_reused_or_kept_is_refused() {
    let worker = |keys: &str| {
        format!(
            "[workers.w]\ncommand = [\"./w\"]\n{keys}\n[[groups]]\ntasks = [{{ id = 1, worker = \"w\", kind = \"k\" }}]"
        )
    };
    assert_eq!(
        complaint(&worker("reuse-limit = 5")),
        "error: a reuse-limit needs reuse = true\n --> flow.toml:3:15\n  |\n3 | reuse-limit = 5\n  |               ^\n\
         hint: reuse = true has a process of this worker serve several tasks, reuse-limit says how many\n"
    );
    for (keys, message) in [
        ("reuse = 1", "\"reuse\": expected true or false"),
        ("reuse = 1\nreuse-limit = 5", "\"reuse\": expected true or false"),
        ("keep = \"a\"", "hint: \"keep\" stands on a task"),
        ("load-ahead = true", "hint: \"load-ahead\" stands on a group"),
        ("reuse = true\nreuse-limit = 0", "\"reuse-limit\": expected a whole number, 1 or more"),
        ("reuse = \"{{ 'yes' }}\"", "\"reuse\": expected true or false; the template gives \"yes\""),
    ] {
        let found = complaint(&worker(keys));
        assert!(found.contains(message), "{keys}:\n{found}");
        assert_eq!(errors_in(&found), 1, "one error each:\n{found}");
    }
    assert_eq!(
        complaint("[[groups]]\n[[groups.tasks]]\nid = 1\ncommand = [\"true\"]\nkeep = \"a\""),
        "error: a task with a command is a new process each time: nothing of it can be kept\n --> flow.toml:5:1\n  |\n\
         5 | keep = \"a\"\n  | ^^^^\nhint: a worker can be kept: worker = \"..\" and kind = \"..\" instead of a command\n"
    );
    for (keys, message) in [
        ("id = 1\nreuse = true", "hint: \"reuse\" stands on a worker: [workers.NAME]"),
        ("id = 1\nkeep = \"\"", "\"keep\": a key must not be empty"),
        ("id = 1\nkeep = 3.5", "\"keep\": expected text or a whole number, such as \"client-{{ client }}\""),
        ("matrix.c = [1, 2]\nkeep = \"{{ '' if c == 2 else 'x' }}\"", "\"keep\": a key must not be empty"),
        ("id = 1\nkeep = \"{{ result('a', 'b') }}\"", "result() cannot be called here"),
    ] {
        let found = complaint(&with_task(keys));
        assert!(found.contains(message), "{keys}:\n{found}");
        assert_eq!(errors_in(&found), 1, "one error each:\n{found}");
    }
    let found = complaint("[[groups]]\nload-ahead = 1\ntasks = [{ id = 1, command = [\"true\"] }]");
    assert!(found.contains("\"load-ahead\": expected true or false"), "{found}");
}

/// Rounds of one client and an average; a round loads ahead, but for the first.
const ROUNDS: &str = "workers.w.command = [\"w\"]\n[[groups]]\nname = \"split\"\ntasks = [{ id = \"s\", command = [\"true\"] }]\n\
    [[groups]]\nrepeat = 2\n[[groups.groups]]\nname = \"train-{{ round }}\"\nload-ahead = \"{{ round > 1 }}\"\n\
    [[groups.groups.tasks]]\nid = \"c\"\nworker = \"w\"\nkind = \"k\"\nparams = { data = \"{{ workdir('split', 's') }}\" }\n\
    train-params = { model = \"{{ 0 if round == 1 else result('average-' ~ (round - 1), 'a').model }}\" }\n\
    [[groups.groups]]\nname = \"average-{{ round }}\"\n[[groups.groups.tasks]]\nid = \"a\"\nworker = \"w\"\nkind = \"k\"\n\
    params = { c = \"{{ result('train-' ~ round, 'c') }}\" }\n";

#[test]
fn what_a_group_needs_of_the_one_before_comes_when_it_starts() {
    let flow = parse(ROUNDS);
    let ahead: Vec<bool> = flow.groups.iter().map(|group| group.load_ahead).collect();
    assert_eq!(ahead, [false, false, false, true, false]);
    let running = &flow.groups[2].name;
    let train = &flow.groups[3];
    // While average-1 still runs.
    let mut group = train.build_ahead(&nothing_known(), running).unwrap();
    assert!(group.load_ahead);
    assert_eq!(spec(&group, "c").params, Dict::from([("data", "/res/split/s")]));
    assert_eq!(spec(&group, "c").train_params, Dict::new());
    let known = Arc::new(Known::default().result("average-1", "a", Dict::from([("model", 7)])));
    train.set_train_params(&mut group, &known).unwrap();
    assert_eq!(spec(&group, "c").train_params, Dict::from([("model", 7)]));
    assert_eq!(spec(&group, "c"), spec(&train.build(&known).unwrap(), "c"), "as if it were built at once");
    // The average has failed, so there is no model.
    let mut group = train.build_ahead(&nothing_known(), running).unwrap();
    train.set_train_params(&mut group, &nothing_known()).unwrap();
    let broken = group.get_task("c").unwrap().broken().unwrap();
    assert!(broken.ends_with("this template fails: it uses something that is not there"), "{broken}");
}

#[test]
fn what_is_asked_too_early_is_the_tasks_failure() {
    let data = "params = { data = \"{{ workdir('split', 's') }}\" }\n";
    let flow = parse(&ROUNDS.replace(data, "").replace("train-params = {", "params = {"));
    let group = flow.groups[3].build_ahead(&nothing_known(), &flow.groups[2].name).unwrap();
    let broken = group.get_task("c").unwrap().broken().unwrap();
    assert!(
        broken.contains("that group still runs when this one loads ahead; ask in a worker's train-params"),
        "{broken}"
    );
}

#[test]
fn what_a_group_says_of_loading_ahead_holds_inside_it() {
    let flow = parse(
        "[[groups]]\nload-ahead = true\n[[groups.groups]]\ntasks = [{ id = 1, command = [\"true\"] }]\n[[groups.groups]]\n\
         load-ahead = false\ntasks = [{ id = 1, command = [\"true\"] }]",
    );
    assert_eq!(flow.groups.iter().map(|group| group.load_ahead).collect::<Vec<_>>(), [true, false]);
    assert!(flow.groups[0].outline().unwrap().load_ahead);
}
