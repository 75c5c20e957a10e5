//! What failed can be read: where a program prints its errors, without colours, and equal failures once.

use fedflow_tests::Sandbox;

/// A flow whose tasks each run a line of shell.
fn flow(tasks: &[(&str, &str)]) -> String {
    let mut flow = String::from("[[groups]]\nname = \"g\"\n");
    for (id, line) in tasks {
        let command = format!("command = [\"sh\", \"-c\", '''{line}''']\n");
        flow.push_str(&format!("[[groups.tasks]]\nid = \"{id}\"\n{command}"));
    }
    flow
}

#[test]
fn errors_are_found_on_stdout_and_shown_without_colours() {
    let sandbox = Sandbox::new();
    let trace = "echo Traceback; echo 'ValueError: 42'; exit 1";
    let out_of_memory = "printf 'torch: CUDA \\033[1mout\\033[0m of memory.\\n'; exit 1";
    let red = "printf '10%%\\r100%%\\n\\033[31mError: boom\\033[0m\\n' >&2; exit 1";
    sandbox.write("flow.toml", &flow(&[("trace", trace), ("oom", out_of_memory), ("red", red)]));
    let outcome = sandbox.fedflow("run flow.toml --devices sim:1x24GB --progress plain");
    assert_eq!(outcome.code, 1);
    let told = &outcome.stderr;
    assert!(told.contains("exit code 1\n    | Traceback\n    | ValueError: 42\n"), "{told}");
    assert!(told.contains("res/g/trace/stdout.log\n") && !told.contains("trace/stderr.log"), "{told}");
    assert!(
        told.contains("g/oom is tried again") && told.contains("by \"CUDA out of memory\" on stdout"),
        "{told}"
    );
    assert!(told.contains("    | 100%\n    | Error: boom\n") && told.contains("red/stderr.log\n"), "{told}");
    assert!(!told.contains("u{1b}") && !told.contains('\u{1b}'), "{told}");
    let page = sandbox.read("res/report.html");
    assert!(page.contains("ValueError: 42") && page.contains("Error: boom") && !page.contains('␛'));
    let junit = sandbox.fedflow("report res --format junit").stdout;
    assert!(junit.contains("<system-out>Traceback\nValueError: 42</system-out>"), "{junit}");
}

#[test]
fn equal_failures_are_told_once_with_their_number() {
    let sandbox = Sandbox::new();
    sandbox.write(
        "flow.toml",
        // A worker that does not list its kinds itself is not asked of parameters before.
        "[workers.w]\ncommand = [\"{scripted}\"]\nkinds = [\"scripted\"]\n[[groups]]\nname = \"g\"\n[[groups.tasks]]\n\
         matrix = { c = { from = 0, to = 6 } }\nid = \"client-{{ c }}\"\nworker = \"w\"\nkind = \"scripted\"\n\
         params = { load = 5 }\n",
    );
    let outcome = sandbox.fedflow("run flow.toml --devices cpu:1 --progress plain");
    assert_eq!(outcome.code, 1);
    let told: Vec<_> = outcome.stderr.lines().filter(|line| line.contains("parameters do not fit")).collect();
    assert_eq!(told.len(), 2, "when it came first and at the end: {}", outcome.stderr);
    assert!(told[1].ends_with(": 6 tasks"), "{told:?}");
    assert_eq!(
        outcome.stderr.matches("failed in the same way as g/client-").count(),
        5,
        "{}",
        outcome.stderr
    );
    assert!(sandbox.read("res/report.html").contains("in start: 6 tasks"));
    let status = sandbox.fedflow("status res").stdout;
    assert!(status.contains("\ng/client-0 and 5 more  error in start: "), "{status}");
    assert_eq!(status.matches("parameters do not fit").count(), 1, "{status}");
    let resumed = sandbox.fedflow("resume res --progress none").stderr;
    let note = resumed.lines().filter(|line| line.contains("parameters do not fit")).collect::<Vec<_>>();
    assert_eq!(note.len(), 1, "{resumed}");
    assert!(note[0].ends_with(": 6 tasks") && resumed.contains("g/client-4 and 1 more\n"), "{resumed}");
}
