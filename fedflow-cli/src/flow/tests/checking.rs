//! What `validate` finds: programs, kinds, devices, and what tasks ask of others.

use std::os::unix::fs::PermissionsExt as _;

use fedflow_core::{Config, Device, DeviceInfo, LeaseTable};
use fedflow_worker::{Description, ParamsQuestion};

use super::*;

/// A directory with a flow, a runnable `w`, a plain file `data` and a directory `bin` that holds `tool`.
struct World {
    directory: tempfile::TempDir,
    config: Config,
}

impl World {
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let file = |name: &str, mode| {
            let path = directory.path().join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(&path, "").unwrap();
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
        };
        file("w", 0o755);
        file("data", 0o644);
        file("bin/tool", 0o755);
        Self { directory, config: Config::default() }
    }

    /// The errors in a flow, which has no warnings.
    fn check(&self, text: &str) -> Diagnostics {
        let Findings { errors, warnings } = self.findings(text, false);
        assert!(warnings.is_empty(), "{warnings}");
        errors
    }

    fn findings(&self, text: &str, is_recorded: bool) -> Findings {
        let path = self.directory.path().join("flow.toml");
        let file = FlowFile::parse(text, &path).unwrap_or_else(|error| panic!("{error}"));
        let card = |ordinal| DeviceInfo {
            device: Device::Cuda(ordinal),
            uuid: None,
            name: "card".into(),
            memory: Some(Size::from_gb(24)),
        };
        let mut table = LeaseTable::new(1);
        table.add(card(0), Some(Size::from_gb(20)));
        table.add(card(1), Some(Size::from_gb(20)));
        validate(
            &file.flow,
            &Surroundings {
                config: &self.config,
                search_path: Some(self.directory.path().join("bin").as_os_str()),
                python_path: None,
                describe: &|worker, _, questions| match worker {
                    "broken" => Err("it says nothing".into()),
                    _ => Ok(Description {
                        kinds: vec!["split".into(), "train-client".into()],
                        misfits: misfits(questions),
                    }),
                },
                leasable: &|request| table.check(request),
                is_recorded,
            },
        )
    }

    fn complaint(&self, text: &str) -> String {
        self.only(self.check(text))
    }

    /// The only warning about a flow without errors.
    fn warning(&self, text: &str) -> String {
        let Findings { errors, warnings } = self.findings(text, false);
        assert!(errors.is_empty(), "{errors}");
        self.only(warnings)
    }

    fn only(&self, found: Diagnostics) -> String {
        assert_eq!(found.len(), 1, "one each: {found}");
        found.to_string().replace(self.directory.path().to_str().unwrap(), "")
    }
}

/// The worker's task types have a rate that is a float, or none.
fn misfits(questions: &[ParamsQuestion]) -> Vec<(usize, String)> {
    let fits =
        |question: &ParamsQuestion| question.params.get("rate").is_none_or(|rate| rate.kind() == "a float");
    let misfits = questions.iter().enumerate().filter(|(_, question)| !fits(question));
    misfits.map(|(place, _)| (place, "the rate is\nno float".into())).collect()
}

fn of_worker(worker: &str, kind: &str, keys: &str) -> String {
    format!(
        "[workers.digits]\ncommand = [\"./w\"]\n[workers.json]\ncommand = [\"./w\"]\nprotocol = \"json\"\nkinds = [\"train\"]\n\
         [workers.free]\ncommand = [\"./w\"]\nprotocol = \"json\"\n[workers.broken]\ncommand = [\"./w\"]\n\
         [workers.missing]\ncommand = [\"target/release/none\"]\n[workers.plain]\ncommand = [\"./data\"]\n\
         [[groups]]\nname = \"g\"\n[[groups.tasks]]\nid = \"t\"\nworker = \"{worker}\"\nkind = \"{kind}\"\n{keys}\n"
    )
}

#[test]
fn a_flow_in_order_passes() {
    let world = World::new();
    for flow in [
        of_worker("digits", "split", "device = \"cuda:1\"\nestimate-cuda-memory = \"20GB\"\ndevices = 1"),
        of_worker("json", "train", ""),
        of_worker("free", "whatever", ""),
        of_worker("self", "split", ""),
        format!(
            "{CHAIN}command = [\"tool\", \"{{{{ workdir('a', from) }}}}\", \"{{{{ result('a', from).x }}}}\"]"
        )
        .replace("\"true\"", "\"./w\""),
    ] {
        let found = world.check(&flow);
        assert!(found.is_empty(), "{flow}\n{found}");
    }
}

#[test]
fn workers_are_there_and_have_their_kinds() {
    let world = World::new();
    assert_eq!(
        world.complaint(&of_worker("digit", "split", "")),
        "error: there is no worker \"digit\"\n  --> /flow.toml:20:10\n   |\n20 | worker = \"digit\"\n   |          ^^^^^^^\nhint: did \
         you mean \"digits\"?\n"
    );
    assert_eq!(
        world.complaint(&of_worker("digits", "train-clint", "")),
        "error: the worker \"digits\" has no task kind \"train-clint\"\n  --> /flow.toml:21:8\n   |\n21 | kind = \"train-clint\"\n   \
         |        ^^^^^^^^^^^^^\nhint: did you mean \"train-client\"?\n"
    );
    assert!(world.complaint(&of_worker("digits", "xyz", "")).contains("hint: there is split, train-client"));
    assert!(
        world
            .complaint(&of_worker("json", "test", ""))
            .contains("the worker \"json\" has no task kind \"test\"")
    );
    assert!(world.complaint(&of_worker("self", "test", "")).contains("the worker \"self\" has no task kind"));
    let found = world.complaint(&of_worker("missing", "k", ""));
    assert!(
        found.contains("the worker \"missing\" cannot be started: /target/release/none does not exist"),
        "{found}"
    );
    assert!(found.contains("flow.toml:13:11") && found.contains("hint: build it first"), "{found}");
    let found = world.complaint(&of_worker("plain", "k", ""));
    assert!(found.contains("/./data is not executable"), "{found}");
    let found = world.complaint(&of_worker("broken", "k", ""));
    assert!(found.contains("does not list its task kinds: it says nothing"), "{found}");
}

#[test]
fn programs_are_there() {
    let world = World::new();
    let command = |command: &str| format!("[[groups]]\ntasks = [{{ id = 1, command = {command} }}]");
    for (given, message) in [
        ("[\"no-such\"]", "there is no program \"no-such\" on PATH"),
        ("[\"w\"]", "hint: write \"./w\" for the file beside the flow file"),
        ("[\"./none\"]", "/./none does not exist"),
        ("[\"./bin\"]", "/./bin is not a file"),
        ("[\"{{ 'no' ~ '-such' }}\"]", "there is no program \"no-such\" on PATH"),
        ("[\"tool\"], load-command = [\"loader\"]", "there is no program \"loader\" on PATH"),
    ] {
        let found = world.complaint(&command(given));
        assert!(found.contains(message), "{given}\n{found}");
    }
}

#[test]
fn devices_are_there_and_large_enough() {
    let world = World::new();
    let found = world.complaint(&of_worker("digits", "split", "device = \"cuda:2\""));
    assert!(
        found.starts_with(
            "error: there is no device cuda:2; this run has cuda:0, cuda:1\n  --> /flow.toml:22:10"
        ),
        "{found}"
    );
    let found = world.complaint(&of_worker("digits", "split", "estimate-cuda-memory = \"24GB\""));
    assert!(
        found.contains("24GB on a card is more than any card may lease; the largest share is 20GB"),
        "{found}"
    );
    assert!(found.contains("^^^^^^"), "{found}");
    let found = world.complaint(&of_worker("digits", "split", "devices = 3"));
    assert!(
        found.contains("3 devices at once are more than there are (2)") && found.contains(":22:11"),
        "{found}"
    );
    let group = "[[groups]]\nestimate-cuda-memory = \"30GB\"\n[[groups.tasks]]\nmatrix = { i = { to = 50 } }\ncommand = [\"tool\"]";
    assert!(world.complaint(group).contains("flow.toml:2:24"), "the group's key, once for 50 tasks");
}

#[test]
fn other_tasks_are_there_before() {
    let world = World::new();
    let ask = |call: &str| {
        let flow = format!(
            "{CHAIN}command = [\"tool\", \"{{{{ {call} }}}}\"]\n[[groups]]\nname = \"c\"\ntasks = [{{ id = \"x\", command = [\"tool\"] }}]"
        );
        world.complaint(&flow.replace("\"true\"", "\"tool\""))
    };
    for (call, message) in [
        (
            "workdir('aa', 'x')",
            "workdir(\"aa\", \"x\"): there is no group \"aa\"; did you mean \"a\"? (in b/x)",
        ),
        ("workdir('a', from ~ '1')", "there is no task \"x1\" in it; did you mean \"x\"?"),
        ("workdir('c', 'x')", "that group runs later"),
        ("result('c', 'x').score", "that group runs later"),
        ("workdir('b', 'x')", "the tasks of one group run at the same time"),
        ("workdir('a')", "workdir() takes a group and a task"),
        ("result('a', 1.5)", "result() takes names, but was given number"),
        ("workdir('a', 'x').y", "it uses something that is not there"),
        ("(workdir('a', 'x') | nofilter)", "unknown filter"),
    ] {
        let found = ask(call);
        assert!(found.contains(message), "{call}\n{found}");
    }
}

#[test]
fn ids_are_unique_where_the_configuration_wants_it() {
    let mut world = World::new();
    let flow = "[[groups]]\ntasks = [{ id = 1, command = [\"tool\"] }]\n[[groups]]\ntasks = [{ id = 1, command = [\"tool\"] }]";
    assert!(world.check(flow).is_empty());
    world.config.task.allow_duplicate_id = false;
    let found = world.complaint(flow);
    assert!(found.contains("the groups \"group-1\" and \"group-2\" both have a task \"1\""), "{found}");
    assert!(found.contains("hint: task.allow-duplicate-id is false"), "{found}");
    world.config.task.allow_duplicate_id = true;
    world.config.task.directory_grouping = false;
    assert!(world.complaint(flow).contains("both would have one directory"));
}

#[test]
fn a_group_that_loads_ahead_does_not_ask_what_still_runs() {
    let world = World::new();
    let flow = |second: &str, params: &str| {
        format!(
            "[workers.free]\ncommand = [\"./w\"]\nprotocol = \"json\"\n[[groups]]\nname = \"a\"\n\
             tasks = [{{ id = \"x\", command = [\"./w\"] }}]\n{second}[[groups]]\nname = \"c\"\nload-ahead = true\n\
             [[groups.tasks]]\nid = \"t\"\nworker = \"free\"\nkind = \"k\"\n{params}\n"
        )
    };
    let between = "[[groups]]\nname = \"b\"\ntasks = [{ id = \"x\", command = [\"./w\"] }]\n";
    assert_eq!(
        world.complaint(&flow("", "params = { model = \"{{ result('a', 'x').model }}\" }")),
        "error: this template fails: result(\"a\", \"x\"): that group still runs when this one loads ahead; ask \
         in a worker's train-params, which are rendered when this group starts, or leave out load-ahead (in c/t)\n  --> /flow.toml:14:20\n   |\n14 | params = { model = \"{{ \
         result('a', 'x').model }}\" }\n   |                    ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^\n"
    );
    assert!(
        world
            .complaint(&flow("", "params = { data = \"{{ workdir('a', 'x') }}\" }"))
            .contains("still runs when")
    );
    for params in [
        "train-params = { model = \"{{ result('a', 'x').model }}\" }",
        "train-params = { data = \"{{ workdir('a', 'x') }}\" }",
    ] {
        let found = world.check(&flow("", params));
        assert!(found.is_empty(), "{found}");
    }
    // The group before the one that still runs is over.
    let found = world.check(&flow(between, "params = { model = \"{{ result('a', 'x').model }}\" }"));
    assert!(found.is_empty(), "{found}");
    let wrong = world.complaint(&flow(between, "params = { model = \"{{ result('a', 'y').model }}\" }"));
    assert!(wrong.contains("there is no task \"y\" in it"), "{wrong}");
}

#[test]
fn unknown_filters_are_found_behind_what_is_known_later() {
    let world = World::new();
    let flow = |expression: &str| {
        format!("{CHAIN}command = [\"tool\", \"{expression}\"]").replace("\"true\"", "\"tool\"")
    };
    let found = world.complaint(&flow("[{{ result('a', from) | lenght }}]"));
    assert!(
        found.contains("unknown filter: filter lenght is unknown (in b/x)")
            && found.contains("hint: did you mean \"length\"?"),
        "{found}"
    );
    let found = world.complaint(&flow("{% if result('a', from).x %}{{ 1 is nope }}{% endif %}"));
    assert!(found.contains("unknown test: test nope is unknown"), "{found}");
    for wrong in [
        "{{ result('a', from).x }}{{ workdir('aa', from) }}",
        "{{ result('a', from).x + result('aa', from).y }}",
        "{{ workdir('aa', from) if result('a', from).ok else 1 }}",
    ] {
        let found = world.complaint(&flow(wrong));
        assert!(found.contains("there is no group \"aa\""), "{wrong}: {found}");
    }
    // What depends on a result is known only later.
    for right in [
        "{{ workdir('a', result('a', from).best) }}",
        "{{ workdir('a', 'x' ~ result('a', from).n | upper) }}",
        "{{ result('a', from).list | length + 1 }}",
        "{% for task in result('a', from).tasks %}{{ result('a', task).x }}{% endfor %}",
    ] {
        let found = world.check(&flow(right));
        assert!(found.is_empty(), "{right}: {found}");
    }
    // A run of which a part has run goes on.
    let Findings { errors, warnings } = world.findings(&flow("{{ result('a', from) | nope }}"), true);
    assert!(
        errors.is_empty() && warnings.to_string().starts_with("warning: this template fails"),
        "{errors}"
    );
}

#[test]
fn parameters_that_do_not_fit_are_told_once_for_each_table() {
    let world = World::new();
    let flow =
        |params: &str| of_worker("digits", "split", params).replace("id = \"t\"", "matrix = { i = [1, 2] }");
    let found = world.complaint(&flow("params = { rate = \"{{ i }}\" }"));
    assert!(found.starts_with("error: the rate is no float (in g/i=1)\n  --> /flow.toml:22:10"), "{found}");
    assert!(world.check(&flow("params = { rate = 0.5 }")).is_empty());
    let found = world.complaint(&flow("params = { rate = \"{{ 'much' if i == 2 else 0.5 }}\" }"));
    assert!(found.contains("(in g/i=2)"), "{found}");
    let Findings { errors, warnings } = world.findings(&flow("params = { rate = 1 }"), true);
    assert!(errors.is_empty() && warnings.len() == 1);
}

#[test]
fn what_lies_beside_the_flow_is_not_found_by_a_task() {
    let world = World::new();
    let command =
        |keys: &str| format!("[[groups]]\n[[groups.tasks]]\nmatrix = {{ i = {{ to = 9 }} }}\n{keys}\n");
    assert_eq!(
        world.warning(&command("command = [\"tool\", \"data\", \"{{ i }}\"]")),
        "warning: \"data\" lies beside the flow file, but the process works in a directory of its own\n \
         --> /flow.toml:4:20\n  |\n4 | command = [\"tool\", \"data\", \"{{ i }}\"]\n  |                    ^^^^^^\nhint: write \
         \"{{ flow_dir }}/data\"; or cwd = \"{{ flow_dir }}\" on the task has it work beside the flow file\n"
    );
    for right in [
        "command = [\"tool\", \"{{ flow_dir }}/data\"]",
        "command = [\"tool\", \"data\"]\ncwd = \"{{ flow_dir }}\"",
        "command = [\"tool\", \"data\"]\ncwd = \".\"",
        "command = [\"tool\", \"tool\"]\ncwd = \"bin\"",
    ] {
        assert!(world.check(&command(right)).is_empty(), "{right}");
    }
    let worker = |keys: &str| {
        format!(
            "[workers.w]\nprotocol = \"json\"\n{keys}\n[[groups]]\n[[groups.tasks]]\nid = 1\nworker = \"w\"\nkind = \"k\"\n"
        )
    };
    let found = world.warning(&worker("command = [\"tool\", \"data\"]"));
    assert!(found.contains("cwd = \"{{ flow_dir }}\" on [workers.w]"), "{found}");
    assert!(world.check(&worker("command = [\"tool\", \"data\"]\ncwd = \".\"")).is_empty());
    assert!(world.check(&worker("command = [\"tool\", \"{{ flow_dir }}/data\"]")).is_empty());
    let found = world.complaint(&worker("command = [\"tool\"]\ncwd = \"none\""));
    assert!(found.contains("there is no directory /none"), "{found}");
    let found = world.complaint(&command("command = [\"tool\"]\ncwd = \"none\""));
    assert!(found.contains("there is no directory /none"), "{found}");
    let later = "[[groups]]\ntasks = [{ id = 1, command = [\"tool\"] }]\n".to_owned();
    let found = world.warning(&(later + &command("command = [\"tool\"]\ncwd = \"none\"")));
    assert!(found.contains("the task fails unless an earlier group makes it"), "{found}");
}
