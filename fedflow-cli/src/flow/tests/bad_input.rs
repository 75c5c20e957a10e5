//! What is said about flow files that are wrong: one clear error for each mistake.

use super::*;

#[test]
fn an_unknown_key_has_a_suggestion() {
    assert_eq!(
        complaint(&with_task("id = 1\nestimate-cuda-memry = \"1GB\"")),
        "error: a task has no key \"estimate-cuda-memry\"\n --> flow.toml:7:1\n  |\n\
         7 | estimate-cuda-memry = \"1GB\"\n  | ^^^^^^^^^^^^^^^^^^^\nhint: did you mean \"estimate-cuda-memory\"?\n"
    );
    assert_eq!(
        complaint("nme = \"x\"\n[[groups]]\ntasks = [{ id = 1, command = [\"true\"] }]"),
        "error: a flow has no key \"nme\"\n --> flow.toml:1:1\n  |\n1 | nme = \"x\"\n  | ^^^\nhint: did you mean \"name\"?\n"
    );
    let group = complaint("[[groups]]\ntimout = \"1s\"\ntasks = [{ id = 1, command = [\"true\"] }]");
    assert!(
        group.contains("a group has no key \"timout\"") && group.contains("did you mean \"timeout\"?"),
        "{group}"
    );
    let worker = complaint(&with_task("id = 1\n[workers.v]\ncomand = [\"x\"]"));
    assert!(
        worker.contains("a worker has no key \"comand\"")
            && worker.contains("a worker needs the key \"command\"")
    );
}

#[test]
fn a_wrong_type_is_named() {
    assert_eq!(
        complaint("name = 3\n[[groups]]\ntasks = [{ id = 1, command = [\"true\"] }]"),
        "error: \"name\" is an integer; expected text in quotes\n --> flow.toml:1:8\n  |\n1 | name = 3\n  |        ^\n"
    );
    for (keys, message) in [
        ("id = 1\nretries = \"3\"", "\"retries\": expected a whole number, 0 or more, without quotes"),
        ("id = 1\nretries = -1", "\"retries\": expected a whole number, 0 or more, without quotes"),
        ("id = 1\ndevices = 0", "\"devices\": expected a whole number, 1 or more, without quotes"),
        ("id = 1\nexclusive = \"yes\"", "\"exclusive\": expected true or false"),
        ("id = 1\ntimeout = 30", "\"timeout\": expected a duration such as \"90s\""),
        (
            "id = 1\nestimate-memory = \"12\"",
            "\"estimate-memory\": \"12\" is no size; write a number with B, KB",
        ),
        ("id = 1\nestimate-memory = 12", "\"estimate-memory\": expected a size such as \"2GB\""),
        ("id = 1\ndevice = \"gpu:1\"", "\"device\": \"gpu:1\" is no device; write \"cpu\", \"cuda:0\""),
        ("id = true", "\"id\": expected text or a whole number"),
        ("id = 1\nparams = 3", "\"params\" is an integer; expected a table"),
        ("id = 1\nparams = { at = 1979-05-27 }", "a date is no value that a task can be given"),
        ("id = 1\nparams = { n = 9223372036854775808 }", "this integer does not fit in 64 bits with a sign"),
        ("matrix = { i = 3 }", "\"i\" is an integer; expected a list such as [0, 1, 2], or a range"),
        ("matrix = { i = [] }", "\"i\" has no values, so there would be no task"),
        ("matrix = { i = { from = 3, to = 3 } }", "this range is empty"),
        ("matrix = { i = { from = 0, to = 3, step = 0 } }", "a range whose step is 0 has no end"),
        ("matrix = { i = { from = 0 } }", "a range needs the key \"to\""),
        ("matrix = { my-lr = [1] }", "\"my-lr\" cannot be the name of a variable"),
        ("matrix = { round = [1] }", "templates have it already"),
        ("matrix = {}", "this matrix has no variable"),
        ("matrix = { i = { sample = 4, to = 3 } }", "a sample of 4 is drawn from 3, without replacement"),
        ("matrix = { i = { sample = 2, of = [1] } }", "a sample of 2 is drawn from 1, without replacement"),
        ("matrix = { i = { sample = 0, to = 3 } }", "\"sample\": expected a whole number, 1 or more"),
        ("matrix = { i = { of = [1] } }", "`of` needs a `sample`"),
        ("matrix = { i = { sample = 1, of = [1], to = 2 } }", "it has `of` and `to`"),
        ("matrix = { i = { to = \"{{ j }}\" }, j = [1] }", "there is no variable \"j\" here"),
        ("matrix = { i = \"{{ 3 }}\" }", "expected a list; the template gives 3"),
        (
            "matrix = { i = [1] }\nwhen = \"{{ i }}\"",
            "\"when\": expected true or false; the template gives 1",
        ),
        ("id = 1\nwhen = \"yes\"", "\"when\": expected true or false"),
        ("id = 1\nwhen = \"{{ result('a', 'b').x }}\"", "result() cannot be called here"),
        ("", "this task has no id"),
    ] {
        let found = complaint(&with_task(keys));
        assert!(found.contains(message), "{keys}:\n{found}");
        assert_eq!(errors_in(&found), 1, "one error each:\n{found}");
    }
}

#[test]
fn variables_that_fedflow_sets_are_refused() {
    for (env, message) in [
        ("CUDA_VISIBLE_DEVICES = \"1\"", "\"CUDA_VISIBLE_DEVICES\" is set by Fedflow"),
        ("FEDFLOW_DEVICE = \"{{ flow_dir }}\"", "\"FEDFLOW_DEVICE\" is set by Fedflow"),
        ("FEDFLOW_SIM_USE = \"much\"", "FEDFLOW_SIM_USE: \"much\" is no size"),
    ] {
        let task = format!("id = 1\ncommand = [\"x\"]\nenv = {{ {env} }}");
        let found = complaint(&format!("[[groups]]\n[[groups.tasks]]\n{task}"));
        assert!(found.contains(message), "{env}:\n{found}");
        assert_eq!(errors_in(&found), 1, "one error each:\n{found}");
    }
}

#[test]
fn a_task_says_what_runs_it() {
    for (task, message) in [
        ("id = 1", "this task does not say what runs it"),
        ("id = 1\nworker = \"w\"", "this task has a worker, but no kind"),
        ("id = 1\nkind = \"k\"", "this task has a kind, but no worker"),
        (
            "id = 1\nworker = \"w\"\nkind = \"k\"\ncommand = [\"x\"]",
            "a task has a worker and a kind, or a command, not both",
        ),
        ("id = 1\nload-command = [\"x\"]", "a load-command needs a command"),
        ("id = 1\ncommand = []", "this command is empty"),
        ("id = 1\ncommand = \"python3 x.py\"", "\"command\" is text; expected a list of texts, such as"),
        ("id = 1\ncommand = [\"x\", 3]", "\"command\" is an integer; expected a list of texts"),
        ("id = 1\ncommand = [\"x\"]\nparams = { lr = 1 }", "a task with a command takes no params"),
    ] {
        let found = complaint(&format!("[[groups]]\n[[groups.tasks]]\n{task}"));
        assert!(found.contains(message), "{task}:\n{found}");
        assert_eq!(errors_in(&found), 1, "one error each:\n{found}");
    }
    for (flow, message) in [
        ("", "a flow needs a group"),
        ("groups = []", "there is no group"),
        ("[[groups]]\nname = \"a\"", "this group has no tasks"),
        ("[[groups]]\ntasks = []", "this group has no tasks"),
        (
            "[[groups]]\nrepeat = 0\ntasks = [{ id = 1, command = [\"x\"] }]",
            "\"repeat\": expected a whole number, 1 or more",
        ),
        (
            "[[groups]]\nname = \"a\"\ngroups = [{ tasks = [{ id = 1, command = [\"x\"] }] }]",
            "has no name of its own",
        ),
        ("[[groups]]\ntasks = [{ id = 1, command = [\"x\"] }]\ngroups = []", "tasks or groups, not both"),
        (
            "workers.self.command = [\"x\"]\n[[groups]]\ntasks = [{ id = 1, command = [\"x\"] }]",
            "cannot be named \"self\"",
        ),
        (
            "workers.w = { command = [\"x\"], protocol = \"grpc\" }\n[[groups]]\ntasks = [{ id = 1, command = [\"x\"] }]",
            "there is no protocol \"grpc\"",
        ),
        (
            "workdir = \"a\"\nconfig.workdir = \"b\"\n[[groups]]\ntasks = [{ id = 1, command = [\"x\"] }]",
            "workdir is set twice",
        ),
    ] {
        let found = complaint(flow);
        assert!(found.contains(message), "{flow}:\n{found}");
    }
}

#[test]
fn names_become_directories() {
    assert_eq!(
        complaint(&with_task("id = \"../etc\"")),
        "error: this cannot be a task's id: \"../etc\" begins with '.'; an identifier begins with a letter, a digit or one of \
         _+=@,()\n --> flow.toml:6:6\n  |\n6 | id = \"../etc\"\n  |      ^^^^^^^^\nhint: it becomes the name of the task's directory\n"
    );
    let found = complaint("[[groups]]\nname = \"reports\"\ntasks = [{ id = 1, command = [\"true\"] }]");
    assert!(
        found.contains("this cannot be a group's name: \"reports\" is a name that Fedflow uses itself"),
        "{found}"
    );
}

#[test]
fn names_are_unique() {
    assert_eq!(
        complaint(&with_task("matrix = { i = [1, 2], j = [1, 2] }\nid = \"t-{{ i }}\"")),
        "error: the group \"group-1\" already has a task \"t-1\"\n --> flow.toml:7:6\n  |\n7 | id = \"t-{{ i }}\"\n  \
         |      ^^^^^^^^^^^\nhint: use every matrix variable, such as {{ i }}\n"
    );
    let found = complaint("[[groups]]\nrepeat = 3\nname = \"a\"\ntasks = [{ id = 1, command = [\"true\"] }]");
    assert_eq!(errors_in(&found), 1, "the same in every round: {found}");
    assert!(
        found.contains("group 2 has the name \"a\" of group 1")
            && found.contains("put {{ round }} into the name")
    );
}

#[test]
fn variables_of_the_flow_are_told_apart() {
    let with_vars = |vars: &str| format!("[vars]\n{vars}\n{}", with_task("matrix = { i = [1] }"));
    for (vars, message) in [
        ("i = 3", "\"i\" is a variable of [vars] already"),
        ("round = 3", "\"round\" cannot be the name of a variable"),
        ("my-lr = 3", "\"my-lr\" cannot be the name of a variable"),
        ("lr = \"{{ 1 }}\"", "\"lr\" is a template; a variable of [vars] is a fixed value"),
        ("at = 1979-05-27", "a date is no value"),
    ] {
        let found = complaint(&with_vars(vars));
        assert!(found.contains(message), "{vars}:\n{found}");
        assert_eq!(errors_in(&found), 1, "one error each:\n{found}");
    }
    let inputs = FlowInputs { vars: Dict::from([("lrr", 1_i64)]), seed: 0 };
    let found = FlowFile::parse_with(with_vars("lr = 1"), Path::new("flow.toml"), &inputs).unwrap_err();
    let found = found.to_string();
    assert!(
        found.contains("[vars] has no variable \"lrr\"") && found.contains("did you mean \"lr\"?"),
        "{found}"
    );
}

#[test]
fn groups_of_a_matrix_have_names_of_their_own() {
    let task = "tasks = [{ id = 1, command = [\"true\"] }]";
    for (group, message) in [
        ("matrix = { seed = [0, 1] }\nname = \"g\"", "put {{ seed }} into the name"),
        ("matrix = { seed = [0, 1] }\nrepeat = 2\nname = \"g-{{ round }}\"", "put {{ seed }} into the name"),
        ("matrix = { seed = [0, 1] }\nrepeat = 2\nname = \"g-{{ seed }}\"", "put {{ round }} into the name"),
        ("repeat = \"{{ many }}\"", "there is no variable \"many\" here"),
        (
            "repeat = \"{{ 0.5 }}\"",
            "\"repeat\": expected a whole number, 1 or more, without quotes; the template gives 0.5",
        ),
        ("repeat = \"{{ 10 ** 9 }}\"", "1000000000 rounds are more than the 1000000 tasks"),
        ("matrix = { seed = [] }", "\"seed\" has no values"),
        ("until = \"{{ true }}\"", "`until` needs a `repeat` on the same table"),
        ("repeat = 2\nname = \"g{{ round }}\"\nuntil = 3", "\"until\": expected true or false"),
        ("when = \"{{ 3 }}\"", "\"when\": expected true or false; the template gives 3"),
        ("when = \"{{ workdirs('a') }}\"", "there is no variable \"workdirs\" here"),
        ("matrix = { round = [1] }", "templates have it already"),
    ] {
        let found = complaint(&format!("[[groups]]\n{group}\n{task}"));
        assert!(found.contains(message), "{group}:\n{found}");
        assert_eq!(errors_in(&found), 1, "one error each:\n{found}");
    }
}

#[test]
fn templates_are_looked_at_before_anything_starts() {
    assert_eq!(
        complaint(&with_task("matrix = { client = [1] }\nid = \"c-{{ cliet }}\"")),
        "error: there is no variable \"cliet\" here\n --> flow.toml:7:6\n  |\n7 | id = \"c-{{ cliet }}\"\n  \
         |      ^^^^^^^^^^^^^^^\nhint: did you mean \"client\"?\n"
    );
    for (keys, message) in [
        ("id = \"{{ round }}\"", "there is no round here"),
        ("id = \"{{ result('a', 'b').x }}\"", "result() cannot be called here"),
        ("id = \"{{ workdir('a', 'b') }}\"", "workdir() cannot be called here"),
        ("id = \"t\"\nparams = { x = \"{{ result('a', }}\" }", "this template cannot be read: syntax error"),
        ("id = \"t\"\nparams = { x = \"{% if %}\" }", "this template cannot be read: syntax error"),
        ("id = \"t\"\nparams = { x = \"{{ y }}\" }", "there is no variable \"y\" here"),
        ("id = \"t{{ 1 / 0 }}\"", "this template fails: "),
        ("id = \"t\"\ndevices = \"{{ 'two' }}\"", "without quotes; the template gives \"two\""),
        (
            "id = \"t{% for i in range(99999) %}{% for j in range(99999) %}{% endfor %}{% endfor %}\"",
            "it takes more than",
        ),
    ] {
        let found = complaint(&with_task(keys));
        assert!(found.contains(message), "{keys}:\n{found}");
        assert_eq!(errors_in(&found), 1, "one error each:\n{found}");
    }
}

#[test]
fn mistakes_come_together() {
    let found =
        complaint(&with_task("id = 1\ntimout = \"1s\"\nretries = true\nparams = { x = \"{{ y }}\" }"));
    assert_eq!(errors_in(&found), 3, "{found}");
}

#[test]
fn toml_that_cannot_be_read_has_its_place() {
    let found = complaint("name = \"a\nb = 3\n");
    assert!(found.starts_with("error: ") && found.contains("--> flow.toml:1:"), "{found}");
    let found = complaint("[[groups]]\n[groups]\n");
    assert!(found.contains("--> flow.toml:2:"), "{found}");
    assert!(
        FlowFile::read(Path::new("/no/such/flow.toml")).unwrap_err().to_string().contains("fedflow init")
    );
}

#[test]
fn a_flow_that_is_too_large_is_not_made() {
    for (text, line) in [
        (with_task("matrix = { i = { to = 1000000001 } }\nid = \"{{ i }}\""), 3),
        (with_task("matrix = { i = { to = 9223372036854775807 }, j = { to = 9223372036854775807 } }"), 3),
        ("[[groups]]\nrepeat = 4294967295\nname = \"a{{ round }}\"\ntasks = [{ id = 1, command = [\"true\"] }]".into(), 2),
    ] {
        let found = complaint(&text);
        assert!(found.contains("1000000 are the most") && found.contains(&format!("flow.toml:{line}:")), "{found}");
    }
    let computed = with_task("matrix = { n = [1000000000], i = { to = \"{{ 10 ** 9 }}\" } }");
    assert!(complaint(&computed).contains("this range has 1000000000 values"));
}

#[test]
fn depth_is_bounded() {
    let deep: String = (1..40).map(|depth| format!("[[{}]]\n", vec!["groups"; depth].join("."))).collect();
    assert!(complaint(&deep).contains("more than 16 deep"), "{}", complaint(&deep));
    let very_deep = format!("[{}]\n", ["a"; 100_000].join("."));
    let _ = complaint(&very_deep);
    let nested = format!("a = {}{}\n", "[".repeat(100_000), "]".repeat(100_000));
    let _ = complaint(&nested);
    let _ =
        complaint(&with_task(&format!("id = \"{{{{ {}1{} }}}}\"", "(".repeat(50_000), ")".repeat(50_000))));
}

#[test]
fn what_a_task_needs_is_there_and_earlier() {
    let flow = |needs: &str| {
        format!(
            "[[groups]]\nname = \"a\"\ntasks = [{{ id = 1, command = [\"x\"] }}]\n\
             [[groups]]\nname = \"b\"\ntasks = [{{ id = 1, command = [\"x\"], needs = {needs} }}]\n\
             [[groups]]\nname = \"c\"\ntasks = [{{ id = 1, command = [\"x\"] }}]\n"
        )
    };
    for (needs, message) in [
        ("\"a\"", "\"a\": expected a task as GROUP/TASK"),
        ("\"d/1\"", "\"d/1\": there is no group \"d\""),
        ("\"a/2\"", "\"a/2\": there is no task \"2\" in that group"),
        ("[\"a/1\", \"b/1\"]", "\"b/1\": the tasks of one group run at the same time"),
        ("\"c/1\"", "\"c/1\": that group runs later"),
    ] {
        let found = complaint(&flow(needs));
        assert!(found.contains(message) && found.contains("flow.toml:6:"), "{needs}:\n{found}");
        assert_eq!(errors_in(&found), 1, "one error each:\n{found}");
    }
    assert_eq!(parse(&flow("\"a/1\"")).groups.len(), 3);
}
