//! Where the processes of tasks work: in a directory of their own, or where `cwd` says; and what `fedflow check` says of
//! what they would not find there.

use fedflow_tests::Sandbox;
use serde_json::json;

/// The situation of a first flow: programs beside the flow file, named as one would in a shell.
const BESIDE: &str = "workdir = \"res\"\n[[groups]]\nname = \"g\"\n\
    [[groups.tasks]]\nid = \"script\"\ncommand = [\"python3\", \"train.py\"]\n\
    [[groups.tasks]]\nid = \"venv\"\ncommand = [\"bash\", \"-c\", \"source .venv/bin/activate && python3 train.py\"]\n\
    [[groups.tasks]]\nid = \"module\"\ncommand = [\"python3\", \"-m\", \"train\"]\n";

fn beside_the_flow() -> Sandbox {
    let sandbox = Sandbox::new();
    sandbox.write("train.py", "print('hello')\n");
    std::fs::create_dir_all(sandbox.path().join(".venv/bin")).unwrap();
    sandbox.write(".venv/bin/activate", "true\n");
    sandbox
}

#[test]
fn check_warns_of_what_lies_beside_the_flow() {
    let sandbox = beside_the_flow();
    sandbox.write("flow.toml", BESIDE);
    let check = sandbox.fedflow("check flow.toml --devices cpu:1");
    assert_eq!(check.code, 0, "{}", check.stderr);
    assert!(check.stdout.contains("no errors, 3 warnings"), "{}", check.stdout);
    for warned in [
        "warning: \"train.py\" lies beside the flow file, but the process works in a directory of its own",
        "warning: \".venv/bin/activate\" lies beside",
        "warning: \"train\" lies beside",
        "hint: write \"{{ flow_dir }}/train.py\"; or cwd = \"{{ flow_dir }}\" on the task",
    ] {
        assert!(check.stderr.contains(warned), "{warned}\n{}", check.stderr);
    }
    let run = sandbox.fedflow("run flow.toml --devices cpu:1");
    assert!(run.code == 1 && run.stderr.contains("warning: \"train.py\" lies beside"), "{}", run.stderr);
}

#[test]
fn check_warns_of_a_relative_python_path() {
    let sandbox = beside_the_flow().with_variable("PYTHONPATH", ".");
    let flow = |keys: &str| {
        format!(
            "[[groups]]\n[[groups.tasks]]\nid = \"t\"\ncommand = [\"python3\", \"{{{{ flow_dir }}}}/train.py\"]\n{keys}\n"
        )
    };
    sandbox.write("flow.toml", &flow(""));
    let check = sandbox.fedflow("check flow.toml --devices cpu:1");
    assert!(
        check.code == 0 && check.stderr.contains("warning: PYTHONPATH has \".\" in it"),
        "{}",
        check.stderr
    );
    for keys in ["cwd = \"{{ flow_dir }}\"", "env = { PYTHONPATH = \"{{ flow_dir }}\" }"] {
        sandbox.write("flow.toml", &flow(keys));
        assert_eq!(sandbox.fedflow("check flow.toml --devices cpu:1").stderr, "", "{keys}");
    }
}

#[test]
fn a_task_with_a_cwd_finds_what_lies_beside_the_flow() {
    let sandbox = beside_the_flow();
    let cwd = "cwd = \"{{ flow_dir }}\"\ncommand";
    sandbox.write("flow.toml", &BESIDE.replace("command", cwd));
    let run = sandbox.fedflow("run flow.toml --devices cpu:1");
    assert_eq!(run.code, 0, "{}", run.stderr);
    assert!(!run.stderr.contains("warning"), "{}", run.stderr);
    assert_eq!(sandbox.read("res/g/script/stdout.log"), "hello\n", "its logs are in its own directory");
}

#[test]
fn workers_work_where_their_cwd_says_also_when_they_serve_several_tasks() {
    let sandbox = Sandbox::new();
    std::fs::create_dir(sandbox.path().join("data")).unwrap();
    let place = sandbox.path().canonicalize().unwrap();
    sandbox.write(
        "flow.toml",
        "workdir = \"res\"\n[workers.w]\ncommand = [\"{scripted}\"]\nreuse = true\ncwd = \"{{ flow_dir }}\"\n[[groups]]\nname = \"g\"\n\
         [[groups.tasks]]\nmatrix = { i = { to = 4 } }\nid = \"t{{ i }}\"\nworker = \"w\"\nkind = \"scripted\"\n\
         params = { train = [\"place\", \"print of t{{ i }}\"] }\n\
         [[groups.tasks]]\nid = \"elsewhere\"\nworker = \"w\"\nkind = \"scripted\"\ncwd = \"data\"\nparams = { train = [\"place\"] }\n",
    );
    let run = sandbox.fedflow("run flow.toml --devices cpu:1");
    assert_eq!(run.code, 0, "{}", run.stderr);
    let results = sandbox.results();
    let tasks = results["groups"][0]["tasks"].as_array().unwrap();
    for (at, task) in tasks.iter().enumerate().take(4) {
        assert_eq!(task["result"]["place"], json!(place), "{task}");
        assert_eq!(sandbox.read(&format!("res/g/t{at}/stdout.log")), format!("of t{at}\n"));
    }
    assert_eq!(
        tasks[4]["result"]["place"],
        json!(place.join("data")),
        "no process of another directory serves it"
    );
}

#[test]
fn a_cwd_that_is_not_there_fails_its_task_with_its_name() {
    let sandbox = Sandbox::new();
    sandbox.write(
        "flow.toml",
        "workdir = \"res\"\n[[groups]]\nname = \"a\"\ntasks = [{ id = \"x\", command = [\"true\"] }]\n\
         [[groups]]\nname = \"b\"\ntasks = [{ id = \"y\", command = [\"true\"], cwd = \"made/later\" }]\n",
    );
    let run = sandbox.fedflow("run flow.toml --devices cpu:1");
    assert_eq!(run.code, 1, "{}", run.stderr);
    let error = sandbox.results()["groups"][1]["tasks"][0]["error"].clone();
    assert_eq!(error["kind"], "spawn");
    assert!(error["message"].as_str().unwrap().contains("its cwd is no directory"), "{error}");
}

#[test]
fn a_workers_command_sees_the_flows_directory() {
    let sandbox = Sandbox::new();
    let scripted = fedflow_tests::scripted_worker();
    std::os::unix::fs::symlink(&scripted, sandbox.path().join("worker")).unwrap();
    sandbox.write(
        "flow.toml",
        "workdir = \"res\"\n[workers.w]\ncommand = [\"{{ flow_dir }}/worker\"]\n[[groups]]\nname = \"g\"\n\
         tasks = [{ id = \"t\", worker = \"w\", kind = \"scripted\" }]\n",
    );
    let run = sandbox.fedflow("run flow.toml --devices cpu:1");
    assert_eq!(run.code, 0, "{}", run.stderr);
}

#[test]
fn parameters_that_do_not_fit_are_refused_before_anything_starts() {
    let sandbox = Sandbox::new();
    let flow = |params: &str| {
        let text = format!(
            "workdir = \"res\"\n[workers.w]\ncommand = [\"{{scripted}}\"]\n[[groups]]\nname = \"g\"\n\
             [[groups.tasks]]\nmatrix = {{ i = {{ to = 3 }} }}\nid = \"t{{{{ i }}}}\"\nworker = \"w\"\nkind = \"scripted\"\n{params}\n"
        );
        sandbox.write("flow.toml", &text);
    };
    flow("params = { train = \"wait {{ i }}\" }");
    for command in ["check", "run"] {
        let outcome = sandbox.fedflow(&format!("{command} flow.toml --devices cpu:1"));
        assert_eq!(outcome.code, 2, "{}", outcome.stderr);
        assert!(
            outcome.stderr.contains("error: the parameters do not fit task kind \"scripted\": ")
                && outcome.stderr.contains("(in g/t0)")
                && outcome.stderr.contains("flow.toml:11:10"),
            "{}",
            outcome.stderr
        );
    }
    assert!(!sandbox.path().join("res").exists(), "something was started");
    flow("params = { train = [\"wait {{ i }}\"] }");
    assert_eq!(sandbox.fedflow("check flow.toml --devices cpu:1").code, 0);
}

#[test]
fn all_commands_are_printed_as_they_will_be_run() {
    let sandbox = Sandbox::new();
    sandbox.write(
        "flow.toml",
        "workdir = \"res\"\n[[groups]]\nname = \"a\"\ntasks = [{ id = \"x\", command = [\"echo\", \"a b\"] }]\n\
         [[groups]]\nname = \"b\"\n[[groups.tasks]]\nmatrix = { i = [1, 2] }\nid = \"y{{ i }}\"\n\
         command = [\"echo\", \"{{ flow_dir }}/f-{{ i }}\", \"{{ workdir('a', 'x') }}\", \"{{ result('a', 'x').n }}\"]\n\
         env = { RATE = \"{{ i / 2 }}\" }\n",
    );
    let all = sandbox.fedflow("check flow.toml --devices cpu:1 --all");
    assert_eq!(all.code, 0, "{}", all.stderr);
    let place = sandbox.path().display();
    for line in [
        "a      x     any     echo 'a b'".to_owned(),
        format!(
            "b      y2    any     RATE=1.0 echo {place}/f-2 {place}/res/a/x '{{{{ result('\\''a'\\'', '\\''x'\\'').n }}}}'"
        ),
    ] {
        assert!(all.stdout.contains(&line), "{line}\n{}", all.stdout);
    }
}
