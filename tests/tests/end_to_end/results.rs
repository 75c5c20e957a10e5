//! `fedflow results`: tables of one run and of several, with the figures that others compute.

use std::path::Path;

use fedflow_tests::{Sandbox, skip};

/// A sweep over two rates and three seeds, of which one task fails and one has no number.
fn sweep() -> Sandbox {
    let sandbox = Sandbox::new();
    sandbox.write(
        "flow.toml",
        r#"
        name = "sweep"
        [[groups]]
        name = "train"
        [[groups.tasks]]
        matrix = { lr = [0.1, 1.0], seed = { from = 0, to = 3 } }
        command = ["sh", "-c", '''
            case {{ lr }}-{{ seed }} in
            1.0-2) exit 7 ;;
            1.0-1) echo '{"accuracy": NaN, "loss": [0.5]}' ;;
            *) echo '{"accuracy": 0.{{ seed + 2 }}{{ seed * 3 }}, "loss": [{{ lr }}, {{ seed }}]}' ;;
            esac > $FEDFLOW_RESULT
        ''']
        "#,
    );
    assert_eq!(sandbox.fedflow("run flow.toml --devices cpu:2").code, 1);
    sandbox
}

#[test]
fn results_stand_beside_their_parameters() {
    let sandbox = sweep();
    let head = "param.lr,param.seed,result.accuracy,result.loss.0,result.loss.1";
    let csv = sandbox.read("res/results.csv");
    assert!(csv.lines().next().unwrap().contains(head), "{csv}");
    assert_eq!(
        sandbox.results()["groups"][0]["tasks"][1]["params"],
        serde_json::json!({"lr": 0.1, "seed": 1})
    );

    let outcome = sandbox.fedflow("results res --format csv --sort -accuracy");
    assert_eq!((outcome.code, outcome.stderr.as_str()), (0, ""));
    let lines: Vec<&str> = outcome.stdout.lines().collect();
    assert_eq!(lines[0], format!("run,group,task,status,{head}"));
    assert_eq!(lines.len(), 7);
    assert!(lines[1].ends_with(",finished,0.1,2,0.46,0.1,2"), "{}", lines[1]);
    let last: Vec<bool> =
        lines[5..].iter().map(|line| line.contains("NaN") || line.contains("exception")).collect();
    assert_eq!(last, [true, true], "what is no number comes last: {}", outcome.stdout);

    let table = sandbox.fedflow("results res --value accuracy --group tr*n");
    assert!(table.stdout.starts_with("all: run = res, group = train\n\n"), "{}", table.stdout);
    assert!(table.stdout.contains("  lr  seed  accuracy\n"), "{}", table.stdout);
    assert_eq!(table.stderr, "hint: --over seed gives mean and deviation over seed\n");
    let json = sandbox.fedflow("results res --format json --value loss");
    let json: serde_json::Value = serde_json::from_str(&json.stdout).unwrap();
    assert_eq!((&json["schema"], &json["rows"][4]["result.loss.1"]), (&1.into(), &serde_json::Value::Null));
}

#[test]
fn means_are_over_seeds_and_failures_are_counted() {
    let sandbox = sweep();
    let outcome = sandbox.fedflow("results res --over seed --value accuracy --format csv --sort -accuracy");
    assert_eq!(outcome.code, 0);
    let lines: Vec<&str> = outcome.stdout.lines().collect();
    assert_eq!(lines[0], "param.lr,n,failed,accuracy.mean,accuracy.sd");
    assert!(lines[1].starts_with("0.1,3,0,0.33") && lines[2] == "1.0,2,1,0.2,", "{}", outcome.stdout);
    assert_eq!(outcome.stderr, "note: accuracy is no number in 1 task, which its means leave out\n");
    let bare = sandbox.fedflow("results res --value accuracy --format csv --sort -accuracy --over");
    assert_eq!(bare.stdout, outcome.stdout, "seed is a usual name");
    let by = sandbox.fedflow("results res --by lr --value accuracy --format csv --sort -accuracy");
    assert_eq!(by.stdout, outcome.stdout);
    let table = sandbox.fedflow("results res --over seed --format md");
    assert!(
        table.stdout.starts_with("| lr | n | failed | accuracy | loss.0 | loss.1 |\n| ---: |"),
        "{}",
        table.stdout
    );
    assert!(table.stdout.contains("| 0.1 | 3 | 0 | 0.33 ± 0.13 |"), "{}", table.stdout);
    // Two runs of the same points are not replicates of each other, unless that is said.
    let both = sandbox.fedflow("results res res --over seed --value accuracy --format csv");
    assert_eq!(both.code, 0);
    let pooled = sandbox.fedflow("results res res --over seed,run --value accuracy --format csv");
    assert!(pooled.stdout.contains("\n0.1,6,0,0.33"), "{}", pooled.stdout);
}

/// Python's own figures, or those of pandas if it is there, from the table of single tasks.
#[test]
fn the_figures_are_those_of_python() {
    let sandbox = sweep();
    if sandbox.fedflow_in_shell("python3 --version", "").code != 0 {
        skip("there is no python3");
        return;
    }
    for (file, arguments) in [
        ("tasks.csv", "results res --format csv"),
        ("means.csv", "results res --over seed --format csv"),
        ("items.csv", "results res --items --format csv"),
    ] {
        let outcome = sandbox.fedflow(arguments);
        assert_eq!(outcome.code, 0);
        sandbox.write(file, &outcome.stdout);
    }
    sandbox.write("figures.py", include_str!("results_figures.py"));
    let outcome = sandbox.program(Path::new("sh"), &["-c", "python3 figures.py"]);
    assert_eq!(outcome.code, 0, "{}{}", outcome.stdout, outcome.stderr);
    assert!(outcome.stdout.contains("6 figures compared"), "{}", outcome.stdout);
}

#[test]
fn items_are_long_rows_of_the_last_attempt() {
    let sandbox = Sandbox::new();
    sandbox.write(
        "flow.toml",
        r#"
        [workers.scripted]
        command = ["{scripted}"]
        [[groups]]
        name = "g"
        [[groups.tasks]]
        matrix = { seed = [3] }
        id = "t"
        worker = "scripted"
        kind = "scripted"
        params = { train = ["item loss 0.5", "item accuracy 0.1", "item loss 0.25"] }
        "#,
    );
    assert_eq!(sandbox.fedflow("run flow.toml --devices cpu:1").code, 0);
    let items = sandbox.fedflow("results res --items --value loss --format csv");
    let train = r#""[""item loss 0.5"",""item accuracy 0.1"",""item loss 0.25""]""#;
    let row = |step: u32, value: &str| format!("res,g,t,1,3,{train},loss,{step},{value}\n");
    let head = "run,group,task,attempt,param.seed,param.train,key,step,value\n";
    assert_eq!(items.stdout, format!("{head}{}{}", row(0, "0.5"), row(1, "0.25")));
    let unknown = sandbox.fedflow("results res --items --value los");
    assert_eq!((unknown.code, unknown.stdout.as_str()), (2, ""));
    assert!(
        unknown.stderr.starts_with("error: no item named los; there are: loss, accuracy\n"),
        "{}",
        unknown.stderr
    );
}

#[test]
fn what_is_unknown_is_said_with_what_there_is() {
    let sandbox = sweep();
    for (arguments, error) in [
        ("results res --value acc", "error: no value named acc; there are: accuracy, loss.0, loss.1\n"),
        (
            "results res --over sed",
            "error: no parameter named sed; there are: lr, seed\nhint: did you mean \"seed\"?\n",
        ),
        ("results res --group eval", "error: no group named eval; there is: train\n"),
        ("results res --sort x", "error: no column named x; there are: run, "),
        ("results nowhere", "error: "),
        ("results res --items --over seed", "error: "),
    ] {
        let outcome = sandbox.fedflow(arguments);
        assert_eq!((outcome.code, outcome.stdout.as_str()), (2, ""));
        assert!(outcome.stderr.starts_with(error), "{}", outcome.stderr);
    }
}

#[test]
fn a_table_fits_the_terminal() {
    let sandbox = sweep();
    let outcome = sandbox.fedflow_on_terminal("results res --over");
    assert_eq!(outcome.code, 0);
    assert!(outcome.stderr.contains("0.33 ± 0.13"), "{}", outcome.stderr);
}
