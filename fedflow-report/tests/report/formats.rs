//! The exact output of the formats for a small run.

use fedflow_core::{Dict, Failure, FailureKind, RunEvent, RunOutcome, Stage, Value};
use fedflow_report::{
    Report, render_csv, render_group_html, render_html, render_json, render_junit, render_markdown,
};

use crate::events::*;

/// The group, with parameters of its first two tasks.
fn with_params(mut group: RunEvent) -> RunEvent {
    if let RunEvent::GroupStarted { params, .. } = &mut group {
        let layers = Value::List(vec![64.into(), 32.into()]);
        let omitted = Value::from(Dict::from([("$omitted", 5_002_i64)]));
        params.push(Dict::from([("lr", Value::from(0.1)), ("layers", layers)]));
        params.push(Dict::from([("lr", Value::from(1)), ("text", omitted)]));
        params.extend([Dict::new(), Dict::new()]);
    }
    group
}

/// A run with every outcome and every kind of value.
fn small_run() -> Report {
    let result = Dict::from([
        ("accuracy", Value::from(0.1 + 0.2)),
        ("steps", Value::from(i64::MAX)),
        ("note", Value::from("line 1\nline \"2\"")),
        ("loss", Value::from(f64::NAN)),
        ("weights", Value::from(vec![0_u8, 255])),
        ("list", Value::List(vec![Value::from(f64::NEG_INFINITY), Value::Null, Value::from(true)])),
        ("$float", Value::from("a key as it is")),
    ]);
    let mut error = Failure::new(Stage::Load, FailureKind::Exit, "left with code 3");
    error.stderr_tail = "bye".into();
    let events = [
        run_started(1),
        with_params(group_started("train-1", 1, &["a", "b", "c", "d"])),
        started("train-1", "a", 1),
        loading("train-1", "a", 1),
        loaded("train-1", "a", 1, 0.5),
        training("train-1", "a", 1, 0),
        retried("train-1", "a", 1, false),
        started("train-1", "a", 2),
        finished("train-1", "a", 2, result),
        started("train-1", "b", 1),
        failed("train-1", "b", error),
        cancelled("train-1", "c"),
        group_started("train-2", 2, &["a"]),
        started("train-2", "a", 1),
        loading("train-2", "a", 1),
        RunEvent::RunFinished { outcome: RunOutcome::Stopped },
    ];
    let mut report = Report::new();
    for (place, event) in events.iter().enumerate() {
        report.apply(1_700_000_000.0 + place as f64, event);
    }
    report
}

fn text(render: impl Fn(&Report, &mut Vec<u8>) -> Result<(), fedflow_report::RenderError>) -> String {
    let mut out = Vec::new();
    render(&small_run(), &mut out).unwrap();
    String::from_utf8(out).unwrap()
}

#[test]
fn results_json() {
    let expected = r#"{"schema":2,"flow":"flow","groups":[
  {"index":1,"name":"train-1","workdir":"/res/train-1","tasks":[
    {"id":"a","params":{"lr":0.1,"layers":[64,32]},"status":"finished","device":"cuda:0","workdir":"/res/train-1/a","attempts":2,"load_seconds":0.5,"train_seconds":2.25,"result":{"accuracy":0.30000000000000004,"steps":9223372036854775807,"note":"line 1\nline \"2\"","loss":"NaN","weights":{"$bytes":"AP8="},"list":["-Infinity",null,true],"$float":"a key as it is"},"error":null},
    {"id":"b","params":{"lr":1,"text":{"$omitted":5002}},"status":"exception","device":null,"workdir":"/res/train-1/b","attempts":1,"load_seconds":null,"train_seconds":null,"result":null,"error":{"stage":"load","kind":"exit","message":"left with code 3"}},
    {"id":"c","params":{},"status":"cancelled","device":null,"workdir":null,"attempts":1,"load_seconds":null,"train_seconds":null,"result":null,"error":{"stage":"train","kind":"cancelled","message":"the run was stopped"}},
    {"id":"d","params":{},"status":"cancelled","device":null,"workdir":null,"attempts":0,"load_seconds":null,"train_seconds":null,"result":null,"error":{"stage":"start","kind":"cancelled","message":"it did not run to its end"}}]},
  {"index":2,"name":"train-2","workdir":"/res/train-2","tasks":[
    {"id":"a","params":{},"status":"cancelled","device":null,"workdir":"/res/train-2/a","attempts":1,"load_seconds":null,"train_seconds":null,"result":null,"error":{"stage":"load","kind":"cancelled","message":"it did not run to its end"}}]}]}
"#;
    assert_eq!(text(|report, out| render_json(report, out)), expected);
}

#[test]
fn results_csv() {
    let expected = "\
group,task,status,device,attempts,load_seconds,train_seconds,error_stage,error_kind,error_message,\
param.lr,param.layers,param.text,\
result.accuracy,result.steps,result.note,result.loss,result.list.0,result.list.1,result.list.2,result.$float
train-1,a,finished,cuda:0,2,0.5,2.25,,,,0.1,\"[64,32]\",,\
0.30000000000000004,9223372036854775807,\"line 1
line \"\"2\"\"\",NaN,-Infinity,,true,a key as it is
train-1,b,exception,,1,,,load,exit,left with code 3,1,,\"{\"\"$omitted\"\":5002}\",,,,,,,,
train-1,c,cancelled,,1,,,train,cancelled,the run was stopped,,,,,,,,,,,
train-1,d,cancelled,,0,,,start,cancelled,it did not run to its end,,,,,,,,,,,
train-2,a,cancelled,,1,,,load,cancelled,it did not run to its end,,,,,,,,,,,
";
    assert_eq!(text(|report, out| render_csv(report, out)), expected);
}

#[test]
fn the_page_shows_which_tasks_ran_in_a_reused_process() {
    let page = |reused: bool| {
        let mut second = started("g", "b", 1);
        if let RunEvent::TaskStarted { reused: told, .. } = &mut second {
            *told = reused;
        }
        let events = [
            run_started(1),
            group_started("g", 1, &["a", "b"]),
            started("g", "a", 1),
            finished("g", "a", 1, Dict::new()),
            second,
            loading("g", "b", 1),
            loaded("g", "b", 1, 0.5),
            finished("g", "b", 1, Dict::new()),
        ];
        let mut report = Report::new();
        for (place, event) in events.iter().enumerate() {
            report.apply(place as f64, event);
        }
        let mut out = Vec::new();
        render_html(&report, &mut out).unwrap();
        String::from_utf8(out).unwrap()
    };
    // In the table and in the data of the timeline.
    let told = |page: &str| (page.matches(">reused<").count(), page.matches("\"reused\":[1]").count());
    assert_eq!(told(&page(true)), (1, 1));
    assert_eq!(told(&page(false)), (0, 0));
}

#[test]
fn where_data_lie_is_no_parameter_to_compare_by() {
    let page = |data: [&str; 2]| {
        let mut group = group_started("train", 1, &["a", "b"]);
        if let RunEvent::GroupStarted { params, .. } = &mut group {
            params.extend(data.map(|data| Dict::from([("data", data)])));
        }
        let result = || Dict::from([("accuracy", 0.5)]);
        let ends = ["a", "b"].map(|task| [started("train", task, 1), finished("train", task, 1, result())]);
        let mut report = Report::new();
        for event in [run_started(1), group].into_iter().chain(ends.into_iter().flatten()) {
            report.apply(1_700_000_000.0, &event);
        }
        text(|_, out| render_html(&report, out))
    };
    assert!(page(["mnist", "cifar"]).contains("<section id=\"experiment\">"));
    assert!(!page(["/data/mnist", "/data/cifar"]).contains("<section id=\"experiment\">"));
}

#[test]
fn an_empty_run_has_a_report() {
    let mut out = Vec::new();
    render_json(&Report::new(), &mut out).unwrap();
    assert_eq!(String::from_utf8(out).unwrap(), "{\"schema\":2,\"flow\":\"\",\"groups\":[]}\n");
    let mut out = Vec::new();
    render_html(&Report::new(), &mut out).unwrap();
    assert!(String::from_utf8(out).unwrap().contains("No task"));
}

#[test]
fn junit_has_suites_cases_and_outcomes() {
    let junit = text(|report, out| render_junit(report, out));
    let document = roxmltree::Document::parse(&junit).unwrap();
    let suites: Vec<_> =
        document.root_element().children().filter(|node| node.has_tag_name("testsuite")).collect();
    assert_eq!(suites.len(), 2);
    let count = |name| suites[0].attribute(name).unwrap();
    assert_eq!((count("tests"), count("failures"), count("skipped")), ("4", "1", "2"));
    let failure = document.descendants().find(|node| node.has_tag_name("failure")).unwrap();
    assert_eq!(
        (failure.attribute("type"), failure.text()),
        (Some("exit"), Some("exit in load: left with code 3"))
    );
    let stderr = document.descendants().find(|node| node.has_tag_name("system-err")).unwrap();
    assert_eq!(stderr.text(), Some("bye"));
    assert_eq!(suites[0].attribute("timestamp"), Some("2023-11-14T22:13:21Z"));
}

#[test]
fn markdown_has_the_outcome_and_the_failures() {
    let markdown = text(|report, out| render_markdown(report, out));
    assert!(
        markdown.starts_with(
            "# flow\n\n**1 of 5 tasks finished, 1 failed, 1 was cancelled, 2 have not ended**\n"
        )
    );
    assert!(markdown.contains("| 1 | load | exit | left with code 3: bye | train-1/b |"), "{markdown}");
}

#[test]
fn the_page_is_one_file_that_loads_nothing() {
    let page = text(|report, out| render_html(report, out));
    // The chart library names its licence and the name space of SVG.
    let library = page.find("<script>/*!").unwrap();
    let own =
        format!("{}{}", &page[..library], &page[library + page[library..].find("</script>").unwrap()..]);
    assert!(!own.contains("http://") && !own.contains("https://") && !own.contains("@import"));
    assert!(!page.contains("<script src") && !page.contains("<link rel=\"stylesheet\""));
    assert!(page.contains("left with code 3") && page.contains("bye"));
    assert!(page.contains("href=\"train-1&#x2f;b&#x2f;stderr.log\""));
    // The task that was retried finished in the end.
    assert!(page.contains("id=\"retries\""));
}

#[test]
fn a_group_has_a_page_of_tables_with_a_link_to_its_charts() {
    let page = text(|report, out| render_group_html(report, &name("train-1"), out));
    assert!(page.len() < 60_000, "{} bytes", page.len());
    assert!(page.contains("href=\"..&#x2f;report.html#timeline?group=train-1\""), "{page}");
    assert!(page.contains("left with code 3") && !page.contains("id=\"data\""));
}

#[test]
fn equal_failures_are_told_once_with_their_number() {
    let mut report = Report::new();
    let ids: Vec<_> = (0..20).map(|task| format!("client-{task}")).collect();
    let ids: Vec<_> = ids.iter().map(String::as_str).collect();
    report.apply(0.0, &run_started(1));
    report.apply(1.0, &group_started("train-1", 1, &ids));
    for id in &ids {
        report.apply(2.0, &started("train-1", id, 1));
        let mut error = Failure::new(Stage::Train, FailureKind::Exit, "exit code 1");
        error.stdout_tail = format!("Traceback\nKeyError: 'rate' in /res/train-1/{id}");
        report.apply(3.0, &failed("train-1", id, error));
    }
    let render = |format: fn(&Report, &mut Vec<u8>) -> Result<(), fedflow_report::RenderError>| {
        let mut out = Vec::new();
        format(&report, &mut out).unwrap();
        String::from_utf8(out).unwrap()
    };
    let page = render(|report, out| render_html(report, out));
    assert_eq!(page.matches("class=\"message\"").count(), 1);
    assert!(page.contains("in train: 20 tasks") && page.contains("and 8 more tasks in the same way"));
    // Nothing was written to stderr: the other log is named and shown.
    assert!(
        page.contains("Last lines of stdout.log") && page.contains("client-0&#x2f;stdout.log\">stdout.log<")
    );
    assert!(!page.contains("stderr.log</a>") && !page.contains("Last lines of stderr.log"));
    let markdown = render(|report, out| render_markdown(report, out));
    let rows: Vec<_> = markdown.lines().filter(|line| line.contains("KeyError")).collect();
    assert_eq!(rows.len(), 1, "{markdown}");
    assert!(rows[0].starts_with("| 20 | train | exit | exit code 1: KeyError: 'rate'"), "{rows:?}");
    assert!(rows[0].ends_with("train-1/client-11, 8 more tasks |"), "{rows:?}");
    let junit = render(|report, out| render_junit(report, out));
    assert_eq!(junit.matches("<system-out>").count(), 20, "each case has its own");
}
