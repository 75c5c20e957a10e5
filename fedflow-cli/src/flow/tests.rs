//! Tests of flow files: what they mean, and what is said about those that are wrong.

mod bad_input;
mod checking;
mod experiments;
mod places;
mod reuse;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use fedflow_core::{Dict, PlainDict, Program, Size, TaskGroup, TaskSpec, Value, told_params};
use proptest::prelude::*;

use super::context::ContextAnswers;
use super::templates::Answers;
use super::*;
use crate::diagnostic::Diagnostics;

/// The example of the documentation.
const EXAMPLE: &str = include_str!("tests/federated.toml");

/// Knows the results and directories of some tasks.
#[derive(Default)]
struct Known {
    results: BTreeMap<(String, String), Dict>,
}

impl Known {
    fn result(mut self, group: &str, task: &str, result: Dict) -> Self {
        self.results.insert((group.into(), task.into()), result);
        self
    }
}

impl FlowContext for Known {
    fn workdir(&self, group: &str, task: &str) -> Option<PathBuf> {
        (group != "never").then(|| Path::new("/res").join(group).join(task))
    }

    fn result(&self, group: &str, task: &str) -> Option<Dict> {
        self.results.get(&(group.into(), task.into())).cloned()
    }

    fn results(&self, group: &str) -> Dict {
        let of_group = self.results.iter().filter(|((of, _), _)| of == group);
        of_group.map(|((_, task), result)| (task.as_str(), result.clone())).collect()
    }
}

/// No task has run.
fn nothing_known() -> Arc<Known> {
    Arc::default()
}

fn parse(text: &str) -> Flow {
    let file = FlowFile::parse(text, Path::new("/flows/flow.toml"));
    file.unwrap_or_else(|error| panic!("{error}")).flow
}

/// What is said about a text that is wrong.
fn complaint(text: &str) -> String {
    FlowFile::parse(text, Path::new("flow.toml")).unwrap_err().to_string()
}

/// How many errors a text of them tells of.
fn errors_in(found: &str) -> usize {
    found.lines().filter(|line| line.starts_with("error: ")).count()
}

/// A flow of one group with one task of a worker `w`, which has these keys beside its program.
fn with_task(keys: &str) -> String {
    format!(
        "workers.w.command = [\"./w\"]\n[[groups]]\n[[groups.tasks]]\nworker = \"w\"\nkind = \"k\"\n{keys}\n"
    )
}

fn spec<'g>(group: &'g TaskGroup, task: &str) -> &'g TaskSpec {
    group.get_task(task).unwrap().spec()
}

fn ids(group: &FlowGroup) -> Vec<&str> {
    group.tasks.iter().map(|task| task.task_id.as_str()).collect()
}

#[test]
fn the_example_of_the_documentation() {
    let flow = parse(EXAMPLE);
    assert_eq!((flow.name.as_str(), flow.workdir.as_deref()), ("federated-digits", Some("res")));
    assert_eq!(flow.base_dir, Path::new("/flows"));
    let keys: Vec<&str> = flow.config.iter().map(|entry| entry.key.as_str()).collect();
    assert_eq!(keys, ["scheduler.max-process", "workdir"]);
    assert_eq!(
        flow.workers["digits"].program(&flow.base_dir).unwrap().0,
        Path::new("/flows/target/release/digits-worker")
    );
    let names: Vec<&str> = flow.groups.iter().map(|group| group.name.as_str()).collect();
    assert_eq!(names.len(), 22);
    assert_eq!((names[0], names[1], names[20], names[21]), ("split", "train-1", "train-20", "any-program"));
    assert_eq!(flow.groups.iter().map(|group| group.index).collect::<Vec<_>>(), (1..=22).collect::<Vec<_>>());
    assert_eq!(flow.task_count(), 1 + 20 * 10 + 3);

    let train = flow.groups[1].build(&nothing_known()).unwrap();
    assert_eq!(train.estimate_cuda_memory, Some(Size::from_gb(1)));
    assert_eq!(train.len(), 10);
    let client = spec(&train, "client-3");
    assert_eq!(
        client.params,
        Dict::from([("data", Value::from("/res/split/split/3.bin")), ("lr", 0.1.into())])
    );
    assert!(
        matches!(client.program.as_ref(), Program::Worker { worker, kind } if worker == "digits" && kind == "train-client")
    );

    let any = flow.groups[21].build(&nothing_known()).unwrap();
    let seed = spec(&any, "seed-2");
    assert_eq!(seed.limits.timeout, Some(Duration::from_secs(7200)));
    let Program::Command { load: None, train } = seed.program.as_ref() else { panic!("{:?}", seed.program) };
    assert_eq!(train.to_vec().join(" "), "python3 train.py --seed 2");
}

#[test]
fn a_text_that_is_one_expression_keeps_its_type() {
    let flow = parse(&with_task(
        "id = \"t\"\nmatrix = { n = [3], f = [0.5], l = [[1, \"a\"]], m = [{ z = 1, a = [true] }] }\n\
         [groups.tasks.params]\nint = \"{{ n }}\"\nsum = \"{{- n + 1 -}}\"\nfloat = \"{{ f }}\"\nhalf = \"{{ n / 2 }}\"\n\
         text = \"{{ n }} \"\ntwo = \"{{ n }}{{ n }}\"\nbraces = \"{{ '}}' ~ '{{' }}\"\nlist = \"{{ l }}\"\nmap = \"{{ m }}\"\n\
         inner = \"{{ m.z }}\"\nnone = \"{{ none }}\"\nplain = \"n\"\nnested = [{ deep = \"{{ n }}\" }, 1]\n\
         made = \"{{ {'b': n, 'a': [f]} }}\"\nline = \"{{ n }}\\n\"",
    ));
    let group = flow.groups[0].build(&nothing_known()).unwrap();
    let params = &spec(&group, "t").params;
    let m = Dict::from([("z", Value::Int(1)), ("a", vec![Value::Bool(true)].into())]);
    let made = Value::from(Dict::from([("a", Value::List(vec![Value::Float(0.5)])), ("b", 3.into())]));
    let expected: [(&str, Value); 15] = [
        ("int", 3.into()),
        ("sum", 4.into()),
        ("float", 0.5.into()),
        ("half", 1.5.into()),
        ("text", "3 ".into()),
        ("two", "33".into()),
        ("braces", "}}{{".into()),
        ("list", vec![Value::Int(1), "a".into()].into()),
        ("map", m.into()),
        ("inner", 1.into()),
        ("none", Value::Null),
        ("plain", "n".into()),
        ("nested", vec![Dict::from([("deep", 3)]).into(), Value::Int(1)].into()),
        ("made", made),
        ("line", "3\n".into()),
    ];
    for (key, value) in expected {
        let found = params.get(key).unwrap();
        let same = match (&value, found) {
            (Value::Dict(a), Value::Dict(b)) if key == "made" => {
                a.get("a") == b.get("a") && a.get("b") == b.get("b")
            }
            (a, b) => a == b,
        };
        assert!(same, "{key}: {found:?}, not {value:?}");
    }
    let order: Vec<&str> = params.get("map").unwrap().as_dict().unwrap().iter().map(|(key, _)| key).collect();
    assert_eq!(order, ["z", "a"], "a dictionary keeps its order");
}

#[test]
fn a_matrix_multiplies_in_the_order_in_which_it_stands() {
    let flow = parse(&with_task("matrix = { z = [\"x\", \"y\"], a = { from = 3, to = 0, step = -2 } }"));
    assert_eq!(ids(&flow.groups[0]), ["z=x,a=3", "z=x,a=1", "z=y,a=3", "z=y,a=1"]);
    let flow = parse(&with_task("matrix = { lr = { from = 0.1, to = 0.4, step = 0.1 } }"));
    assert_eq!(
        ids(&flow.groups[0]),
        ["lr=0.1", "lr=0.2", "lr=0.3"],
        "the end is not in it, whatever 0.3 / 0.1 is"
    );
    let flow = parse(&with_task("matrix = { i = { to = 3 } }\nid = \"{{ i }}\""));
    assert_eq!(ids(&flow.groups[0]), ["0", "1", "2"]);
}

#[test]
fn rounds_are_counted_inside_rounds() {
    let flow = parse(
        "[[groups]]\nrepeat = 2\nestimate-memory = \"1GB\"\n[[groups.groups]]\nrepeat = 2\n[[groups.groups.groups]]\n\
         name = \"g{{ rounds[0] }}-{{ round }}\"\n[[groups.groups.groups.tasks]]\nid = \"{{ rounds | length }}-{{ i }}\"\n\
         matrix = { i = { from = 0, to = \"{{ round }}\" } }\ncommand = [\"true\"]\n",
    );
    let names: Vec<&str> = flow.groups.iter().map(|group| group.name.as_str()).collect();
    assert_eq!(names, ["g1-1", "g1-2", "g2-1", "g2-2"]);
    assert_eq!((ids(&flow.groups[2]), ids(&flow.groups[3])), (vec!["2-0"], vec!["2-0", "2-1"]));
    assert_eq!(flow.groups[3].estimate_memory, Some(Size::from_gb(1)));
}

#[test]
fn what_a_group_says_holds_inside_it() {
    let flow = parse(
        "workers.w = { command = [\"w\"], timeout = \"1s\", retries = 1, load-timeout = \"1s\", train-timeout = \"1s\" }\n\
         [[groups]]\ndevice = \"cuda:1\"\nestimate-memory = \"1GB\"\nretries = 2\nload-timeout = \"2s\"\ntrain-timeout = \"2s\"\n\
         [[groups.groups]]\nload-timeout = \"3s\"\nestimate-cuda-memory = \"2GB\"\n[[groups.groups.tasks]]\nid = 7\n\
         worker = \"w\"\nkind = \"k\"\nload-timeout = \"4s\"\ndevices = 2\nexclusive = true\nestimate-cuda-memory = \"3GB\"\n\
         expected-train = \"1m\"\ntrain-params = { epochs = 5 }",
    );
    let group = flow.groups[0].build(&nothing_known()).unwrap();
    assert_eq!(group.device().unwrap().to_string(), "cuda:1");
    assert_eq!(group.estimate_memory, Some(Size::from_gb(1)));
    let task = spec(&group, "7");
    let limits = task.limits;
    let seconds = |limit: Option<Duration>| limit.map(|limit| limit.as_secs());
    assert_eq!(seconds(limits.load_timeout), Some(4), "the task's own");
    assert_eq!(seconds(limits.train_timeout), Some(2), "the outer group's before the worker's");
    assert_eq!(seconds(limits.timeout), Some(1), "the worker's");
    assert_eq!(limits.retries, Some(2));
    assert_eq!((task.needs.devices, task.needs.exclusive), (2, true));
    assert_eq!(task.needs.cuda_memory, Some(Size::from_gb(3)));
    assert_eq!(task.expected.unwrap().train, Duration::from_secs(60));
    assert_eq!(task.train_params, Dict::from([("epochs", 5)]));
}

#[test]
fn needs_can_be_computed() {
    let flow = parse(&with_task(
        "matrix = { n = [1, 2] }\nid = \"{{ n }}\"\ndevices = \"{{ n }}\"\nestimate-cuda-memory = \"{{ n * 4 }}GB\"\n\
         device = \"cuda:{{ n }}\"\nretries = \"{{ 3 - n }}\"\nexclusive = \"{{ n == 2 }}\"",
    ));
    let group = flow.groups[0].outline().unwrap();
    let task = spec(&group, "2");
    assert_eq!((task.needs.devices, task.needs.exclusive, task.limits.retries), (2, true, Some(1)));
    assert_eq!(task.needs.cuda_memory, Some(Size::from_gb(8)));
    assert_eq!(task.device.as_ref().unwrap().to_string(), "cuda:2");
}

const CHAIN: &str = "[[groups]]\nname = \"a\"\ntasks = [{ id = \"x\", command = [\"true\"] }, { id = \"y\", command = [\"true\"] }]\n\
    [[groups]]\nname = \"b\"\n[[groups.tasks]]\nmatrix = { from = [\"x\", \"y\"] }\nid = \"{{ from }}\"\n";

#[test]
fn results_are_rendered_when_the_group_starts() {
    let flow = parse(&format!(
        "workers.w.command = [\"w\"]\n{CHAIN}worker = \"w\"\nkind = \"k\"\n\
         params = {{ whole = \"{{{{ result('a', from) }}}}\", both = \"{{{{ result('a', 'x').score + result('a', 'y').score }}}}\" }}"
    ));
    let x = Dict::from([
        ("score", Value::Int(1)),
        ("raw", Value::Bytes(vec![0, 255])),
        ("nan", f64::INFINITY.into()),
    ]);
    let known =
        Arc::new(Known::default().result("a", "x", x.clone()).result("a", "y", Dict::from([("score", 41)])));
    let group = flow.groups[1].build(&known).unwrap();
    let params = &spec(&group, "x").params;
    assert_eq!(params.get("whole"), Some(&Value::Dict(x)), "a result passes through unchanged");
    assert_eq!(params.get("both"), Some(&Value::Int(42)));
}

#[test]
fn a_task_that_did_not_finish_has_no_result() {
    let flow = parse(&format!(
        "{CHAIN}command = [\"sh\", \"{{% set r = result('a', from) %}}{{{{ 'none' if r is none else r.score }}}}\", \"{{{{ flow_dir }}}}/x\"]"
    ));
    let known = Arc::new(Known::default().result("a", "x", Dict::from([("score", 0.5)])));
    let group = flow.groups[1].build(&known).unwrap();
    let argument = |task| match spec(&group, task).program.as_ref() {
        Program::Command { train, .. } => train.to_vec()[1..].join(" "),
        other => panic!("{other:?}"),
    };
    assert_eq!((argument("x").as_str(), argument("y").as_str()), ("0.5 /flows/x", "none /flows/x"));
}

#[test]
fn a_template_that_fails_when_its_group_starts_is_its_tasks_failure() {
    let flow = parse(&format!("{CHAIN}command = [\"./run\", \"{{{{ result('a', from).score }}}}\"]"));
    let group = &flow.groups[1];
    let answers: Arc<dyn Answers> =
        Arc::new(ContextAnswers { context: Arc::<Known>::default(), running: None });
    let mistake = group.render(&group.tasks[0], &answers, group::Parts::All).unwrap_err();
    assert_eq!(mistake.message, "this template fails: it uses something that is not there");
    assert_eq!(flow.source().position(mistake.span.start).line, 9);
    let built = group.build(&nothing_known()).unwrap();
    assert_eq!(built.len(), 2, "the task is in the group all the same");
    assert_eq!(
        built.get_task("x").unwrap().broken(),
        Some("\"{{ result('a', from).score }}\": this template fails: it uses something that is not there")
    );
    let Program::Command { train, .. } = spec(&built, "x").program.as_ref() else { panic!() };
    assert_eq!(train.to_vec()[1], "{{ result('a', from).score }}");
}

#[test]
fn a_program_with_a_path_is_relative_to_the_flow() {
    let flow = parse(
        "[[groups]]\ntasks = [{ id = 1, command = [\"bin/run\", \"bin/data\"], load-command = [\"/abs/load\"] }, { id = 2, command = [\"run\"] }]",
    );
    let group = flow.groups[0].build(&nothing_known()).unwrap();
    let program = |task| format!("{:?}", spec(&group, task).program);
    assert_eq!(
        program("1"),
        "Command { load: Some([\"/abs/load\"]), train: [\"/flows/bin/run\", \"bin/data\"] }"
    );
    assert_eq!(program("2"), "Command { load: None, train: [\"run\"] }");
}

#[test]
fn many_tasks_share_what_they_have_in_common() {
    let flow = parse(&with_task("matrix = { i = { to = 1000 } }\nid = \"{{ i }}\"\nparams = { lr = 0.1 }"));
    let group = flow.groups[0].build(&nothing_known()).unwrap();
    let first = &group.task_at(0).unwrap().spec().program;
    assert!(group.tasks().all(|task| Arc::ptr_eq(&task.spec().program, first)));
}

proptest! {
    #[test]
    fn any_text_is_read_or_refused(text in "\\PC{0,200}") {
        let _ = FlowFile::parse(text, Path::new("flow.toml")).map_err(|error| error.to_string());
    }

    #[test]
    fn any_change_to_a_flow_is_read_or_refused(
        edits in prop::collection::vec((0_usize..2000, 0_usize..12, "[ a-z{}%'\"\\[\\]=.\n\\\\#|~()-]{0,6}"), 1..6)
    ) {
        let mut text = EXAMPLE.to_owned();
        for (at, removed, inserted) in edits {
            let boundary = |mut at: usize, text: &str| { while !text.is_char_boundary(at) { at -= 1 } at };
            let start = boundary(at.min(text.len()), &text);
            let end = boundary((start + removed).min(text.len()), &text).max(start);
            text.replace_range(start..end, &inserted);
        }
        if let Ok(file) = FlowFile::parse(text, Path::new("flow.toml")) {
            for group in &file.flow.groups {
                prop_assert_eq!(group.build(&nothing_known()).unwrap().len(), group.tasks.len());
            }
        }
    }

    #[test]
    fn every_point_of_a_matrix_comes_once(a in 1_usize..5, b in 1_usize..5, c in 1_usize..5) {
        let flow = parse(&with_task(&format!("matrix = {{ a.to = {a}, b.to = {b}, c.to = {c} }}\nid = \"{{{{ a }}}}-{{{{ b }}}}-{{{{ c }}}}\"")));
        let mut expected = Vec::new();
        for x in 0..a { for y in 0..b { for z in 0..c { expected.push(format!("{x}-{y}-{z}")); } } }
        prop_assert_eq!(ids(&flow.groups[0]), expected);
    }
}

#[test]
fn a_task_is_told_with_its_point_and_a_workers_parameters() {
    let flow = parse(
        r#"
        workers.w.command = ["./w"]
        [[groups]]
        repeat = 2
        name = "g-{{ round }}"
        tasks = [
            { matrix = { seed = [3], lr = [0.1, 0.5] }, command = ["true"], env = { SEED = "{{ seed }}" } },
            { id = "t", worker = "w", kind = "k", params = { round = "r{{ round }}", width = 8 }, train-params = { w = 1 } },
        ]
        "#,
    );
    let group = flow.groups[1].build(&nothing_known()).unwrap();
    let told: Vec<String> = group
        .tasks()
        .map(|task| serde_json::to_string(&PlainDict(&told_params(task.spec()))).unwrap())
        .collect();
    assert_eq!(
        told,
        [
            r#"{"round":2,"seed":3,"lr":0.1}"#,
            r#"{"round":2,"seed":3,"lr":0.5}"#,
            r#"{"round":"r2","width":8}"#
        ]
    );
}
