//! Text that a worker may send to harm the reader of a report: in every field, for every format.

use std::time::Duration;

use fedflow_core::{Device, DeviceInfo, Dict, Failure, FailureKind, RunEvent, Stage, Value};
use fedflow_report::{
    RenderError, Report, render_csv, render_group_html, render_html, render_json, render_junit,
    render_markdown,
};

use crate::events::*;

const EVIL: [&str; 9] = [
    "<script>alert(1)</script>",
    "\"onload=\"alert(1)",
    "'><img src=x onerror=alert(1)>",
    "a\0b\x1b[2Jc\x07\u{9b}31m",
    "\u{202e}gpj.exe\u{2066}",
    "=cmd|' /C calc'!A0",
    "]]>--></pre></style>{{ 7 * 7 }}{% raw %}",
    "[click](javascript:alert(1)) | `x`",
    "&lt;b&gt;\u{ffff}\u{1}",
];

/// A run with one text in every field that a worker, a program or a flow can set.
fn run_with(evil: &str) -> Report {
    let mut error = Failure::new(Stage::Train, FailureKind::Error, evil);
    error.stderr_tail = evil.into();
    let result = |number: f64| {
        Dict::from([
            (evil, Value::from(number)),
            ("text", Value::from(evil)),
            ("nested", { Value::Dict(Dict::from([(evil, Value::List(vec![Value::from(evil)]))])) }),
        ])
    };
    let mut report = Report::new();
    let devices = vec![DeviceInfo { device: Device::Cuda(0), uuid: None, name: evil.into(), memory: None }];
    let (flow, workdir) = (evil.to_owned(), evil.to_owned());
    report.apply(
        0.0,
        &RunEvent::RunStarted {
            flow,
            workdir,
            session: 1,
            devices,
            seed: 1,
            reopened: std::collections::BTreeMap::new(),
            setup: None,
        },
    );
    for round in 1..=2_u32 {
        let group = format!("g-{round}");
        report.apply(
            1.0,
            &RunEvent::GroupStarted {
                group: name(&group),
                index: round,
                workdir: evil.into(),
                fingerprint: 0,
                tasks: vec![name("good"), name("bad"), name("late")],
                fingerprints: Vec::new(),
                order: None,
                params: (0..3)
                    .map(|place| Dict::from([(evil, Value::from(evil)), ("place", place.into())]))
                    .collect(),
            },
        );
        report.apply(2.0, &started(&group, "good", 1));
        report.apply(3.0, &training(&group, "good", 1, 0));
        for step in 0..3 {
            report.apply(3.5 + f64::from(step) / 10.0, &item(&group, "good", evil, f64::from(step)));
        }
        report.apply(4.0, &finished(&group, "good", 1, result(f64::from(round))));
        let workdir = format!("{evil}/{evil}");
        report.apply(
            5.0,
            &RunEvent::TaskStarted {
                group: name(&group),
                task: name("bad"),
                attempt: 1,
                workdir,
                reused: false,
            },
        );
        report.apply(6.0, &training(&group, "bad", 1, 0));
        let (g, t) = (name(&group), name("bad"));
        report.apply(
            6.5,
            &RunEvent::TaskRetried {
                group: g,
                task: t,
                attempt: 1,
                device: None,
                error: error.clone(),
                data_kept: false,
                delay: Duration::from_millis(100),
            },
        );
        report.apply(7.0, &failed(&group, "bad", error.clone()));
    }
    report
}

fn rendered(report: &Report, render: impl Fn(&Report, &mut Vec<u8>) -> Result<(), RenderError>) -> String {
    let mut out = Vec::new();
    render(report, &mut out).unwrap();
    String::from_utf8(out).unwrap()
}

fn assert_nothing_hides(text: &str, evil: &str) {
    let hidden = text.chars().find(|&char| {
        char.is_control() && char != '\n' && char != '\t'
            || matches!(char, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{ffff}')
    });
    assert_eq!(hidden, None, "{evil:?}");
}

#[test]
fn html_shows_hostile_text_and_runs_nothing() {
    for evil in EVIL {
        let report = run_with(evil);
        let whole = rendered(&report, |report, out| render_html(report, out));
        let group = rendered(&report, |report, out| render_group_html(report, &name("g-1"), out));
        let harmless = rendered(&run_with("harmless"), |report, out| render_html(report, out));
        let harmless_group =
            rendered(&run_with("harmless"), |r, out| render_group_html(r, &name("g-1"), out));
        for (page, harmless) in [(whole, harmless), (group, harmless_group)] {
            assert_nothing_hides(&page, evil);
            // The markup is the same as with a harmless text: no element and no attribute is added.
            assert_eq!(markup(&page), markup(&harmless), "{evil:?}");
            assert!(!page.contains("=\"javascript"), "{evil:?}");
        }
    }
}

/// The tags of a page with the names of their attributes.
fn markup(page: &str) -> Vec<String> {
    let mut tags = Vec::new();
    let body = &page[page.find("<body>").unwrap()..page.rfind("<script>").unwrap()];
    let mut rest = body;
    while let Some(begin) = rest.find('<') {
        let (mut tag, mut quoted, mut end) = (String::new(), false, rest.len());
        for (place, char) in rest[begin..].char_indices() {
            match char {
                '"' => quoted = !quoted,
                '>' if !quoted => {
                    end = begin + place + 1;
                    break;
                }
                char if !quoted => tag.push(char),
                _ => {}
            }
        }
        tags.push(tag);
        rest = &rest[end..];
    }
    tags
}

#[test]
fn csv_has_no_formulas() {
    for evil in EVIL {
        let table = rendered(&run_with(evil), |report, out| render_csv(report, out));
        assert_nothing_hides(&table, evil);
        let mut reader = csv::Reader::from_reader(table.as_bytes());
        assert!(reader.headers().unwrap().iter().all(|cell| !cell.starts_with(['=', '+', '-', '@'])));
        let rows: Vec<_> = reader.records().map(Result::unwrap).collect();
        assert_eq!(rows.len(), 6, "{evil:?}");
        for cell in rows.iter().flatten() {
            assert!(!cell.starts_with(['=', '+', '-', '@', '\t']), "{cell:?}");
        }
    }
}

#[test]
fn junit_is_well_formed_and_has_the_message() {
    for evil in EVIL {
        let junit = rendered(&run_with(evil), |report, out| render_junit(report, out));
        assert_nothing_hides(&junit, evil);
        let document = roxmltree::Document::parse(&junit).unwrap();
        let failures: Vec<_> = document.descendants().filter(|node| node.has_tag_name("failure")).collect();
        assert_eq!(failures.len(), 2);
        assert!(failures.iter().all(|node| !node.has_children() || node.first_child().unwrap().is_text()));
        if !evil.chars().any(|char| char.is_control() || char > '\u{2000}') {
            assert_eq!(failures[0].attribute("message"), Some(evil));
        }
    }
}

#[test]
fn markdown_has_no_markup_from_workers() {
    for evil in EVIL {
        let markdown = rendered(&run_with(evil), |report, out| render_markdown(report, out));
        assert_nothing_hides(&markdown, evil);
        assert!(!markdown.contains('<'), "{evil:?}");
        assert!(!markdown.replace("\\]", "").contains("]("), "{evil:?}");
        // Every row of a table has as many cells as its header.
        for row in markdown.lines().filter(|line| line.starts_with("| g-")) {
            let cells = row.replace("\\|", "").matches('|').count();
            assert_eq!(cells, 10, "{row}");
        }
        let failures: Vec<_> = markdown.lines().filter(|line| line.contains("| train | error |")).collect();
        assert_eq!(failures.len(), 1, "both groups failed in the same way: {markdown}");
        assert_eq!(failures[0].replace("\\|", "").matches('|').count(), 6, "{failures:?}");
    }
}

#[test]
fn json_keeps_hostile_text_exactly() {
    for evil in EVIL {
        let json = rendered(&run_with(evil), |report, out| render_json(report, out));
        let json: serde_json::Value = serde_json::from_str(&json).unwrap();
        assert_eq!(json["flow"], evil);
        let tasks = &json["groups"][0]["tasks"];
        assert_eq!(tasks[0]["result"]["text"], evil);
        assert_eq!(tasks[0]["result"]["nested"][evil][0], evil);
        assert_eq!(tasks[1]["error"]["message"], evil);
    }
}
