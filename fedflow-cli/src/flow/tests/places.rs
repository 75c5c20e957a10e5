//! Where processes work, and how a flow file names directories: `cwd`, `~`, `{{ flow_dir }}`.

use std::path::PathBuf;

use super::*;
use crate::run::home_directory;

fn home(below: &str) -> String {
    format!("{}{below}", home_directory().unwrap().display())
}

#[test]
fn cwd_is_relative_to_the_flow_and_the_tasks_own_comes_before_the_workers() {
    let flow = parse(
        "[workers.w]\ncommand = [\"w\"]\ncwd = \"{{ flow_dir }}/of-worker\"\n[workers.plain]\ncommand = [\"w\"]\n[[groups]]\n\
         [[groups.tasks]]\nmatrix = { d = [\"a\", \"b\"] }\nworker = \"w\"\nkind = \"k\"\ncwd = \"data/{{ d }}\"\n\
         [[groups.tasks]]\nid = \"of-worker\"\nworker = \"w\"\nkind = \"k\"\n\
         [[groups.tasks]]\nid = \"own\"\nworker = \"plain\"\nkind = \"k\"\n\
         [[groups.tasks]]\nid = \"command\"\ncommand = [\"w\"]\ncwd = \"/tmp\"\n",
    );
    let group = flow.groups[0].build(&nothing_known()).unwrap();
    for (task, cwd) in [
        ("d=a", Some("/flows/data/a")),
        ("d=b", Some("/flows/data/b")),
        ("of-worker", Some("/flows/of-worker")),
        ("own", None),
        ("command", Some("/tmp")),
    ] {
        assert_eq!(spec(&group, task).cwd, cwd.map(PathBuf::from), "{task}");
    }
}

#[test]
fn a_workers_command_and_environment_are_templates() {
    let flow = parse(
        "[workers.w]\ncommand = [\"python3\", \"{{ flow_dir }}/w.py\"]\nenv = { DATA = \"{{ flow_dir }}/data\", N = \"1\" }\n\
         [[groups]]\ntasks = [{ id = 1, worker = \"w\", kind = \"k\" }]",
    );
    let worker = &flow.workers["w"];
    assert_eq!(worker.command, ["python3", "/flows/w.py"]);
    assert_eq!(worker.env["DATA"], "/flows/data");
    let wrong = complaint(
        "[workers.w]\ncommand = [\"python3\", \"{{ round }}\"]\n[[groups]]\nrepeat = 2\ntasks = [{ id = 1, worker = \"w\", kind = \"k\" }]",
    );
    assert!(wrong.contains("there is no round here") && wrong.contains("flow.toml:2:23"), "{wrong}");
}

#[test]
fn a_literal_tilde_is_the_home_directory() {
    let flow = parse(
        "[workers.w]\ncommand = [\"~/w\", \"~/data\", \"~\", \"a~/b\"]\nenv = { DATA = \"~/data\" }\ncwd = \"~\"\n[[groups]]\n\
         [[groups.tasks]]\nmatrix = { d = [\"~/x\"] }\nid = \"t\"\ncommand = [\"~/bin/tool\", \"~/{{ 1 + 1 }}\", \"{{ d }}\"]\n\
         env = { DATA = \"~/data\" }\ncwd = \"~/runs\"\n\
         [[groups.tasks]]\nid = \"w\"\nworker = \"w\"\nkind = \"k\"\nparams = { path = \"~/data\" }\n",
    );
    let worker = &flow.workers["w"];
    assert_eq!(worker.command, [&home("/w"), &home("/data"), &home(""), "a~/b"]);
    assert_eq!(worker.env["DATA"], home("/data"));
    let group = flow.groups[0].build(&nothing_known()).unwrap();
    let task = spec(&group, "t");
    let Program::Command { train, .. } = task.program.as_ref() else { panic!() };
    assert_eq!(
        train.to_vec(),
        [&home("/bin/tool"), &home("/2"), "~/x"],
        "what a template gives is no literal"
    );
    assert_eq!(task.params.get("DATA"), Some(&home("/data").into()));
    assert_eq!(task.cwd, Some(home("/runs").into()));
    let of_worker = spec(&group, "w");
    assert_eq!(of_worker.params.get("path"), Some(&"~/data".into()), "parameters are no paths");
    assert_eq!(of_worker.cwd, Some(home("").into()));
}
