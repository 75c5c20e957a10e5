//! Wrong input is one clear error before anything starts: exit code 2, with position, cause and hint.

use fedflow_tests::Sandbox;

const GROUP: &str = "[[groups]]\nname = \"g\"\n";

/// The error that both `check` and `run` give, without starting anything.
fn refused(flow: &str, options: &str) -> String {
    let sandbox = Sandbox::new();
    sandbox.write("flow.toml", flow);
    let check = sandbox.fedflow(&format!("check flow.toml {options}"));
    let run = sandbox.fedflow(&format!("run flow.toml {options}"));
    assert_eq!((check.code, run.code), (2, 2));
    assert_eq!(check.stdout, "");
    assert!(!sandbox.path().join("res").exists(), "something was started");
    run.stderr.replace(&fedflow_tests::scripted_worker().display().to_string(), "[scripted]")
}

#[test]
fn an_unknown_key_is_shown_with_its_place_and_what_was_meant() {
    let flow = format!("{GROUP}[[groups.tasks]]\nid = \"t\"\ncomand = [\"true\"]\n");
    insta::assert_snapshot!(refused(&flow, "--devices cpu:1"));
}

#[test]
fn a_wrong_type() {
    let flow = format!("{GROUP}[[groups.tasks]]\nid = \"t\"\ncommand = \"true\"\n");
    insta::assert_snapshot!(refused(&flow, "--devices cpu:1"));
}

#[test]
fn a_duplicate_id() {
    let flow = format!(
        "{GROUP}tasks = [\n  {{ id = \"t\", command = [\"true\"] }},\n  {{ id = \"t\", command = [\"true\"] }},\n]\n"
    );
    insta::assert_snapshot!(refused(&flow, "--devices cpu:1"));
}

#[test]
fn an_id_that_is_not_safe_as_a_directory() {
    let flow = format!("{GROUP}tasks = [{{ id = \"../t\", command = [\"true\"] }}]\n");
    insta::assert_snapshot!(refused(&flow, "--devices cpu:1"));
}

#[test]
fn a_missing_worker_binary() {
    let flow = format!(
        "[workers.w]\ncommand = [\"./no-such-worker\"]\n{GROUP}tasks = [{{ id = \"t\", worker = \"w\", kind = \"k\" }}]\n"
    );
    let text = refused(&flow, "--devices cpu:1");
    assert!(text.contains("no-such-worker") && text.contains("flow.toml:2:"), "{text}");
}

#[test]
fn an_unknown_task_kind_lists_those_there_are() {
    let flow = format!(
        "[workers.w]\ncommand = [\"{{scripted}}\"]\n{GROUP}tasks = [{{ id = \"t\", worker = \"w\", kind = \"scipted\" }}]\n"
    );
    insta::assert_snapshot!(refused(&flow, "--devices cpu:1"));
}

#[test]
fn a_pinned_device_that_does_not_exist() {
    let flow = format!("{GROUP}tasks = [{{ id = \"t\", command = [\"true\"], device = \"cuda:3\" }}]\n");
    insta::assert_snapshot!(refused(&flow, "--devices sim:2x24GB"));
}

#[test]
fn a_size_that_does_not_parse() {
    let flow = format!(
        "{GROUP}estimate-cuda-memory = \"a lot\"\ntasks = [{{ id = \"t\", command = [\"true\"] }}]\n"
    );
    insta::assert_snapshot!(refused(&flow, "--devices cpu:1"));
}

#[test]
fn an_estimate_larger_than_any_device() {
    let flow =
        format!("{GROUP}tasks = [{{ id = \"t\", command = [\"true\"], estimate-cuda-memory = \"80GB\" }}]\n");
    insta::assert_snapshot!(refused(&flow, "--devices sim:1x24GB"));
}

#[test]
fn a_lease_directory_that_cannot_be_used() {
    let sandbox = Sandbox::new();
    // Not even root can create a directory below a file, or in /proc.
    let file = sandbox.write("file", "");
    for (place, cause) in
        [(format!("{}/leases", file.display()), "no directory"), ("/proc/leases".into(), "")]
    {
        let sandbox = Sandbox::new().with_variable("FEDFLOW_LEASE_DIR", place.clone());
        sandbox.write("flow.toml", &format!("{GROUP}tasks = [{{ id = \"t\", command = [\"true\"] }}]\n"));
        let refused = sandbox.fedflow("run flow.toml --devices sim:1x8GB");
        assert_eq!(refused.code, 2);
        assert!(
            refused.stderr.contains(&place) && refused.stderr.to_lowercase().contains(cause),
            "{}",
            refused.stderr
        );
        assert!(!sandbox.path().join("res").exists(), "something was started");
    }
}

#[test]
fn variables_of_a_task() {
    let task = |keys: &str| {
        format!("[workers.w]\ncommand = [\"{{scripted}}\"]\n{GROUP}[[groups.tasks]]\nid = \"t\"\n{keys}\n")
    };
    let text = refused(&task("env = { \"A=B\" = \"1\" }\ncommand = [\"true\"]"), "");
    assert!(text.contains("cannot be the name of a variable"), "{text}");
    let text = refused(&task("env = { A = \"1\" }\nworker = \"w\"\nkind = \"scripted\""), "");
    assert!(text.contains("takes no env") && text.contains("[workers.NAME]"), "{text}");
}

#[test]
fn bad_configuration_from_each_source_names_it() {
    let good = format!("{GROUP}tasks = [{{ id = \"t\", command = [\"true\"] }}]\n");
    let text = refused(&good, "--set scheduler.max-proces=3");
    assert!(text.contains("--set") && text.contains("scheduler.max-process"), "{text}");
    let text = refused(&format!("[config]\nscheduler.order = \"fast\"\n{good}"), "");
    assert!(text.contains("flow.toml:2:") && text.contains("longest-first"), "{text}");
    let text = refused(&format!("[config]\ngpu-priority.strategy = \"fastest\"\n{good}"), "");
    assert!(text.contains("flow.toml:2:") && text.contains("remain-mem"), "{text}");
    let text = refused(&format!("[config]\nsmtp.password = \"x\"\n{good}"), "");
    assert!(text.contains("smtp.password"), "{text}");
    let sandbox = Sandbox::new().with_variable("FEDFLOW_CONFIG_SCHEDULER_MAX_PROCESS", "none");
    sandbox.write("flow.toml", &good);
    let refused = sandbox.fedflow("run flow.toml");
    assert_eq!(refused.code, 2);
    assert!(refused.stderr.contains("FEDFLOW_CONFIG_SCHEDULER_MAX_PROCESS"), "{}", refused.stderr);
}

#[test]
fn usage_errors_are_exit_code_two_and_say_what_to_type() {
    let sandbox = Sandbox::new();
    assert_eq!(sandbox.fedflow("run").code, 2);
    assert_eq!(sandbox.fedflow("rum flow.toml").code, 2);
    let missing = sandbox.fedflow("run nothing.toml");
    assert_eq!(missing.code, 2);
    assert!(missing.stderr.contains("fedflow init"), "{}", missing.stderr);
    let devices = sandbox.fedflow("demo --devices gpu:many");
    assert_eq!(devices.code, 2);
    assert!(devices.stderr.contains("cpu:"), "{}", devices.stderr);
    assert_eq!(sandbox.fedflow("report .").code, 2);
    assert_eq!(sandbox.fedflow("--help").code, 0);
}

#[test]
fn init_config_and_completions_do_what_they_say() {
    let sandbox = Sandbox::new();
    assert_eq!(sandbox.fedflow("init").code, 0);
    assert_eq!(sandbox.fedflow("check flow.toml --devices cpu:2").code, 0);
    assert_eq!(sandbox.fedflow("run flow.toml --devices cpu:2").code, 0);
    assert_eq!(sandbox.fedflow("init").code, 2, "nothing is overwritten");
    let config = sandbox.fedflow("config --set scheduler.max-process=7");
    assert!(config.stdout.contains("max-process = 7"), "{}", config.stdout);
    for shell in ["bash", "zsh", "fish"] {
        assert!(sandbox.fedflow(&format!("completions {shell}")).stdout.contains("fedflow"));
    }
}

#[test]
fn a_wrong_start_says_what_to_do_next() {
    let sandbox = Sandbox::new();
    sandbox.write("seeds.toml", &format!("{GROUP}tasks = [{{ id = \"t\", command = [\"true\"] }}]\n"));
    sandbox.write("train.py", "print('hello')\n");
    ["nothing", "empty"].iter().for_each(|name| std::fs::create_dir(sandbox.path().join(name)).unwrap());
    sandbox.write("empty/empty.toml", "");
    let here = sandbox.path().display();
    for (arguments, said) in [
        ("run seed.toml", "hint: there is seeds.toml\n".to_owned()),
        ("check nothing/flow.toml", "hint: `fedflow init` writes a flow file to start from\n".into()),
        ("check .", "hint: name the flow file in it, such as ./seeds.toml\n".into()),
        ("run nothing", "hint: name a flow file; `fedflow init DIR` writes one to start from\n".into()),
        ("run -", "hint: a flow is read from a file, as paths in it are relative to that".into()),
        (
            "run train.py",
            "error: train.py is no flow file, as it is not TOML\nhint: a program is run by a flow".into(),
        ),
        ("check empty/empty.toml", "hint: [[groups]] begins one; `fedflow init` writes".into()),
        ("run seeds.toml empty/empty.toml", "hint: one flow at a time".into()),
        ("status nowhere", "hint: name the run's directory: the flow's workdir, which is `res`".into()),
        ("report nothing", format!("error: {here}/nothing holds no run\nhint: name the run's directory")),
        ("logs seeds.toml g/t", "hint: name the run's directory, not the flow file".into()),
        ("resume seeds.toml", "hint: name the run's directory, not the flow file".into()),
        ("plan seeds.toml --from nowhere", "hint: name the run's directory".into()),
    ] {
        let outcome = sandbox.fedflow(arguments);
        assert_eq!(outcome.code, 2, "{arguments}");
        assert!(outcome.stderr.contains(&said), "{arguments}: {said}\n{}", outcome.stderr);
    }
}
