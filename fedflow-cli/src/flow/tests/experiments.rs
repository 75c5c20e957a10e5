//! What a sweep or a federation says in a flow file: variables, matrices on groups, samples and conditions.

use super::*;

fn parse_with(text: &str, vars: Dict, seed: u64) -> Flow {
    let file = FlowFile::parse_with(text, Path::new("/flows/flow.toml"), &FlowInputs { vars, seed });
    file.unwrap_or_else(|error| panic!("{error}")).flow
}

fn group_names(flow: &Flow) -> Vec<&str> {
    flow.groups.iter().map(|group| group.name.as_str()).collect()
}

fn ids(group: &FlowGroup) -> Vec<&str> {
    group.tasks.iter().map(|task| task.task_id.as_str()).collect()
}

/// The commands of a group's tasks, each with blanks between its words.
fn commands(group: &FlowGroup) -> Vec<String> {
    let built = group.build(&nothing_known()).unwrap();
    let command = |task: &fedflow_core::TaskEntry| match task.spec().program.as_ref() {
        Program::Command { train, .. } => train.to_vec().join(" "),
        Program::Worker { .. } => String::new(),
    };
    built.tasks().map(command).collect()
}

#[test]
fn variables_are_seen_everywhere_and_can_be_given() {
    let text = r#"
        [vars]
        lr = 0.1
        seeds = [0, 1]
        rounds = 2
        tool = "echo"
        [workers.w]
        command = ["{{ tool }}", "--lr={{ lr }}"]
        [[groups]]
        repeat = "{{ rounds }}"
        name = "g-{{ round }}"
        estimate-cuda-memory = "{{ rounds }}GB"
        [[groups.tasks]]
        matrix = { seed = "{{ seeds }}" }
        command = ["{{ tool }}", "{{ lr }}", "{{ seed }}"]
    "#;
    let flow = parse(text);
    assert_eq!(group_names(&flow), ["g-1", "g-2"]);
    assert_eq!(flow.workers["w"].command, ["echo", "--lr=0.1"]);
    assert_eq!(commands(&flow.groups[0]), ["echo 0.1 0", "echo 0.1 1"]);
    assert_eq!(flow.groups[0].estimate_cuda_memory, Some(Size::from_gb(2)));
    let given = Dict::from([("lr", Value::Float(0.5)), ("rounds", Value::Int(1))]);
    let flow = parse_with(text, given, 0);
    assert_eq!(group_names(&flow), ["g-1"]);
    assert_eq!(commands(&flow.groups[0]), ["echo 0.5 0", "echo 0.5 1"]);
}

#[test]
fn a_matrix_on_a_group_is_outside_of_its_rounds() {
    let flow = parse(
        r#"
        [[groups]]
        matrix = { alg = ["a", "b"], seed = { from = 0, to = 2 } }
        repeat = "{{ seed + 1 }}"
        [[groups.groups]]
        name = "{{ alg }}-{{ seed }}-{{ round }}-{{ index }}"
        tasks = [{ matrix = { i = [7] }, command = ["echo", "{{ alg }}", "{{ round }}", "{{ i }}"] }]
        "#,
    );
    assert_eq!(group_names(&flow), ["a-0-1-0", "a-1-1-0", "a-1-2-0", "b-0-1-0", "b-1-1-0", "b-1-2-0"]);
    let last = &flow.groups[5];
    assert_eq!(commands(last), ["echo b 2 7"]);
    let built = last.build(&nothing_known()).unwrap();
    let told = told_params(built.get_task("i=7").unwrap().spec());
    let names: Vec<&str> = told.iter().map(|(name, _)| name).collect();
    assert_eq!(names, ["alg", "seed", "round", "i"], "outer to inner");
}

#[test]
fn a_group_that_is_made_several_times_counts_its_points() {
    let flow = parse(
        "[[groups]]\nmatrix = { seed = [5, 6] }\nname = \"g{{ index }}\"\n[[groups.tasks]]\n\
         matrix = { i = [1, 2, 3] }\nwhen = \"{{ i != 2 }}\"\nid = \"{{ seed }}-{{ index }}\"\ncommand = [\"true\"]\n",
    );
    assert_eq!(group_names(&flow), ["g0", "g1"]);
    assert_eq!(ids(&flow.groups[1]), ["6-0", "6-2"], "counted before `when`");
    let shadowed = parse(&with_task("matrix = { index = [9] }\nid = \"{{ index }}\""));
    assert_eq!(ids(&shadowed.groups[0]), ["9"]);
}

#[test]
fn a_point_that_is_not_wanted_does_not_exist() {
    let flow = parse(&with_task(
        "matrix = { alg = [\"fedavg\", \"fedprox\"], mu = [0.0, 0.1] }\nwhen = \"{{ alg == 'fedprox' or mu == 0.0 }}\"",
    ));
    assert_eq!(ids(&flow.groups[0]), ["alg=fedavg,mu=0.0", "alg=fedprox,mu=0.0", "alg=fedprox,mu=0.1"]);
}

#[test]
fn values_may_depend_on_variables_before_them() {
    let flow = parse(&with_task(
        "matrix = { n = [1, 3], i = { to = \"{{ n }}\" }, both = [\"{{ n }}{{ i }}\"] }\nid = \"{{ both }}\"",
    ));
    assert_eq!(ids(&flow.groups[0]), ["10", "30", "31", "32"]);
}

const SAMPLED: &str = r#"
    [[groups]]
    matrix = { seed = [0, 1] }
    repeat = 3
    [[groups.groups]]
    name = "train-{{ seed }}-{{ round }}"
    tasks = [{ matrix = { client = { sample = 4, to = 50 } }, id = "{{ client }}", command = ["true"] }]
    [[groups.groups]]
    name = "test-{{ seed }}-{{ round }}"
    tasks = [{ matrix = { pass = ["x", "y"], client = { sample = 4, to = 50 } }, id = "{{ pass }}{{ client }}", command = ["true"] }]
"#;

#[test]
fn a_sample_is_the_same_in_a_round_and_another_one_in_the_next() {
    let flow = parse(SAMPLED);
    let drawn: Vec<Vec<&str>> = flow.groups.iter().map(|group| ids(group)).collect();
    for pair in drawn.chunks(2) {
        let expected: Vec<String> =
            ["x", "y"].iter().flat_map(|pass| pair[0].iter().map(move |id| format!("{pass}{id}"))).collect();
        assert_eq!(pair[1], expected, "tables of one round see the same clients");
        let numbers: Vec<u32> = pair[0].iter().map(|id| id.parse().unwrap()).collect();
        assert!(numbers.is_sorted() && numbers.len() == 4);
    }
    let rounds: std::collections::BTreeSet<_> = drawn.iter().step_by(2).collect();
    assert_eq!(rounds.len(), 6, "each round of each point draws anew");
    assert_eq!(ids(&parse(SAMPLED).groups[0]), drawn[0], "nothing else counts");
    assert_ne!(ids(&parse_with(SAMPLED, Dict::new(), 1).groups[0]), drawn[0], "the seed does");
    let listed =
        parse(&with_task("matrix = { d = { sample = 2, of = [\"c\", \"a\", \"b\"] } }\nid = \"{{ d }}\""));
    assert_eq!(listed.groups[0].tasks.len(), 2);
}

#[test]
fn made_up_ids_are_cleaned_and_still_unique() {
    let flow = parse(&with_task(
        "matrix = { p = [{ clients = 3, epochs = 1 }, { clients = 35, epochs = 1 }], seed = [0] }",
    ));
    assert_eq!(ids(&flow.groups[0]), ["clients=3,epochs=1,seed=0", "clients=35,epochs=1,seed=0"]);
    let found = complaint(&with_task("matrix = { d = [\"a b\", \"a/b\"] }"));
    assert!(found.contains("already has a task \"d=a_b\""), "{found}");
}

#[test]
fn a_list_becomes_arguments_and_none_becomes_none() {
    let flow = parse(
        "vars = { flags = [\"--a\", 1] }\n[[groups]]\n[[groups.tasks]]\nmatrix = { fast = [true, false] }\n\
         command = [\"x\", \"{{ flags }}\", \"{{ '--fast' if fast else none }}\", \"{{ [fast] | tojson }}\"]\n",
    );
    assert_eq!(commands(&flow.groups[0]), ["x --a 1 --fast [true]", "x --a 1 [false]"]);
    let flow = parse("[[groups]]\n[[groups.tasks]]\nid = 1\ncommand = [\"{{ none }}\"]\n");
    let built = flow.groups[0].build(&nothing_known()).unwrap();
    let broken = built.get_task("1").unwrap().broken().unwrap();
    assert!(broken.contains("nothing is left of this command"), "{broken}");
}

const ROUNDS: &str = r#"
    [[groups]]
    repeat = 3
    until = "{{ result('eval-' ~ round, 'e').accuracy >= 0.5 }}"
    [[groups.groups]]
    name = "train-{{ round }}"
    tasks = [{ id = "t", command = ["true"] }]
    [[groups.groups]]
    name = "eval-{{ round }}"
    when = "{{ result('train-' ~ round, 't').loss < 9 }}"
    tasks = [{ id = "e", command = ["echo", "{{ results('train-' ~ round) | tojson }}"] }]
    [[groups]]
    name = "last"
    [[groups.tasks]]
    id = "l"
    needs = "eval-2/e"
    command = ["true"]
"#;

/// Why each group is skipped, asked in their order.
fn skipped(flow: &Flow, known: &Arc<Known>) -> Vec<Option<String>> {
    let mut decisions = Decisions::default();
    flow.groups.iter().map(|group| decisions.skipped(group, known).unwrap()).collect()
}

#[test]
fn rounds_end_when_until_holds_and_a_missing_result_is_not_enough() {
    let flow = parse(ROUNDS);
    let loss =
        |known: Known, round: u32| known.result(&format!("train-{round}"), "t", Dict::from([("loss", 1.0)]));
    let accuracy = |known: Known, round: u32, of: f64| {
        known.result(&format!("eval-{round}"), "e", Dict::from([("accuracy", of)]))
    };
    let known = (1..=3).fold(Known::default(), loss);
    let known = Arc::new(accuracy(known, 2, 0.7));
    let after = Some("`until` holds after round 2".to_owned());
    assert_eq!(skipped(&flow, &known), [None, None, None, None, after.clone(), after, None]);
    let built = flow.groups[1].build(&known).unwrap();
    let Program::Command { train, .. } = built.get_task("e").unwrap().spec().program.as_ref() else {
        panic!()
    };
    assert_eq!(train.iter().nth(1), Some(r#"{"t":{"loss":1.0}}"#));

    // A `when` that asks for a result that is missing cannot be told.
    let mut decisions = Decisions::default();
    let error = decisions.skipped(&flow.groups[1], &nothing_known()).unwrap_err();
    assert!(error.contains("when") || error.contains("result("), "{error}");
    // An `until` that gives no truth value neither.
    let flow = parse(&ROUNDS.replace(">= 0.5", ""));
    let mut decisions = Decisions::default();
    let known = Arc::new(accuracy(Known::default(), 1, 0.7));
    let error = decisions.skipped(&flow.groups[2], &known).unwrap_err();
    assert!(error.contains("expected true or false; the template gives 0.7"), "{error}");
}

#[test]
fn a_task_whose_need_has_no_result_is_skipped() {
    let flow = parse(ROUNDS);
    let why = |known: &Arc<Known>| {
        let group = flow.groups[6].build(known).unwrap();
        group.get_task("l").unwrap().skipped().map(str::to_owned)
    };
    assert_eq!(why(&nothing_known()).as_deref(), Some("it needs eval-2/e, which has no result"));
    assert_eq!(why(&Arc::new(Known::default().result("eval-2", "e", Dict::new()))), None);
    let asked = flow.groups[6].asked_by(&flow.groups[6].tasks[0], &nothing_known());
    assert!(asked.contains(&AskedTask { group: "eval-2".into(), task: Some("e".into()) }));
}

#[test]
fn a_when_of_a_group_that_needs_no_result_is_known_before() {
    let flow = parse(
        "[[groups]]\nmatrix = { alg = [\"a\", \"b\"] }\nwhen = \"{{ alg == 'a' }}\"\nname = \"{{ alg }}\"\n\
         tasks = [{ id = 1, command = [\"true\"] }]\n",
    );
    assert_eq!(skipped(&flow, &nothing_known())[1].as_deref(), Some("its `when` does not hold"));
    assert!(flow.groups.iter().all(|group| !group.is_conditional()));
    assert!(flow.groups[1].outline().unwrap().get_task("1").unwrap().skipped().is_some());
}
