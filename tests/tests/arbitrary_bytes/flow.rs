//! The flow file.

use std::path::Path;

use fedflow_cli::flow::FlowFile;
use fedflow_tests::peak_of;
use proptest::prelude::*;

use crate::{spoils, spoilt};

/// The memory of a small flow.
const ROOM: usize = 48 << 20;

/// Reads a text as a flow file. Returns the number of its tasks, or its errors.
fn parse(text: &str) -> Result<usize, String> {
    let (parsed, peak) = peak_of(|| FlowFile::parse(text, Path::new("/flows/flow.toml")));
    // Every task takes memory, and every task may have an error of its own.
    let tasks = parsed.as_ref().map_or(0, |file| file.flow.task_count());
    assert!(peak <= ROOM + 2048 * (text.len() + tasks), "{} bytes took {peak}", text.len());
    match parsed {
        Ok(_) => Ok(tasks),
        Err(found) => {
            let found = found.to_string();
            assert!(found.contains("error"), "{found}");
            Err(found)
        }
    }
}

const FLOWS: [&str; 3] = [
    include_str!("../../../fedflow-cli/templates/flow.toml"),
    include_str!("../../../fedflow-cli/examples/digits/flow.toml"),
    include_str!("../../../fedflow-cli/examples/python/flow.toml"),
];

/// Words of a flow file, of which texts are made that resemble one.
const WORDS: &[&str] = &[
    "name = \"f\"\n",
    "[config]\n",
    "scheduler.max-process = 4\n",
    "[[groups]]\n",
    "[[groups.groups]]\n",
    "[[groups.tasks]]\n",
    "repeat = 3\n",
    "repeat = -1\n",
    "id = \"t-{{ a }}\"\n",
    "id = \"{{ round }}\"\n",
    "command = [\"true\", \"{{ a }}\"]\n",
    "command = []\n",
    "matrix = { a = { from = 0, to = 9 } }\n",
    "matrix = { a = [1, \"x\", 2.5, []], b = { from = 3, to = 0, step = -1 } }\n",
    "worker = \"w\"\n",
    "kind = \"k\"\n",
    "[workers.w]\n",
    "protocol = \"json\"\n",
    "params = { x = \"{{ result('g', 't') }}\" }\n",
    "[groups.tasks.params]\n",
    "timeout = \"2h\"\n",
    "timeout = 5\n",
    "devices = 2\n",
    "estimate-memory = \"1GB\"\n",
    "\"{{\" = 1\n",
    "x.y.z = { a = 1, b.c = [{}] }\n",
    "'''",
    "\"\"\"",
    "[",
    "]",
    "{",
    "}",
    "=",
    "\n",
    "#",
    "é",
    "\\u{0}",
    "{{ range(99999999) }}",
];

proptest! {
    #![proptest_config(ProptestConfig::with_cases(192))]

    #[test]
    fn any_text(text in "\\PC{0,200}") {
        let _ = parse(&text);
    }

    #[test]
    fn words_of_a_flow(words in prop::collection::vec(prop::sample::select(WORDS), 0..24)) {
        let _ = parse(&words.concat());
    }

    #[test]
    fn a_spoilt_flow(flow in prop::sample::select(FLOWS.to_vec()), spoils in spoils()) {
        let bytes = spoilt(flow.as_bytes().to_vec(), spoils);
        let _ = parse(&String::from_utf8_lossy(&bytes));
    }
}

#[test]
fn the_flows_of_these_tests_are_right() {
    for flow in FLOWS {
        assert!(parse(flow).unwrap() > 0);
    }
}

#[test]
fn bombs_in_a_flow() {
    let task = "[[groups.tasks]]\nid = \"t\"\ncommand = [\"true\"]\n";
    let template =
        |text: &str| format!("[[groups]]\n[[groups.tasks]]\nid = \"{text}\"\ncommand = [\"true\"]\n");
    let axes: String = (0..40).map(|axis| format!("a{axis} = {{ from = 0, to = 9 }}, ")).collect();
    let bombs = [
        format!("[[groups]]\nrepeat = 4000000000\n{task}"),
        "[[groups]]\nrepeat = 100000\n[[groups.groups]]\nrepeat = 100000\n[[groups.groups.tasks]]\nid = \"t\"\ncommand = [\"true\"]\n".to_owned(),
        format!("[[groups]]\n{task}matrix = {{ a = {{ from = 0, to = 9223372036854775807 }} }}\n"),
        format!("[[groups]]\n{task}matrix = {{ a = {{ from = 0.0, to = 1e300, step = 1e-300 }} }}\n"),
        format!("[[groups]]\n{task}matrix = {{ {axes} }}\n"),
        template("{{ range(1000000000) }}"),
        template("{% for a in range(100000) %}{% for b in range(100000) %}x{% endfor %}{% endfor %}"),
        template("{{ 'x' * 1000000000 }}"),
        template(&"(".repeat(100_000)),
        template(&format!("{{{{ {} }}}}", "(".repeat(100_000))),
        template(&format!("{{{{ {} 1 }}}}", "not ".repeat(100_000))),
        template(&format!("{{{{ 1{} }}}}", " + 1".repeat(100_000))),
        template(&format!("{{{{ '}}}}'{} }}}}", "[0]".repeat(100_000))),
        template(&"{% if 1 %}".repeat(100_000)),
        template(&format!("{{% if 1 %}}{}{{% endif %}}", "{% elif 1 %}".repeat(100_000))),
        template("{% macro a() %}{{ a() }}{% endmacro %}{{ a() }}"),
        format!("x = {}", "[".repeat(100_000)),
        format!("x = {}", "{a=".repeat(100_000)),
        format!("{} = 1", ["a"; 50_000].join(".")),
        format!("[{}]", ["a"; 50_000].join(".")),
        "[[groups]]\n".repeat(20_000),
        (0..60).map(|depth| format!("[[{}groups]]\n", "groups.".repeat(depth))).collect(),
    ];
    for (number, bomb) in bombs.iter().enumerate() {
        let parsed = parse(bomb);
        assert!(parsed.is_err(), "{number}: {parsed:?}");
    }
}
