//! `debug`: the additional lines of a run, and the files that it keeps.

use super::group;
use fedflow_tests::Sandbox;

/// The first task fails once and leaves a process behind that ignores SIGTERM; the second does not exit when asked.
fn flow() -> String {
    let command = |id: &str, line: &str, more: &str| {
        format!("[[groups.tasks]]\nid = \"{id}\"\ncommand = [\"sh\", \"-c\", '''{line}''']\n{more}\n")
    };
    let fails_once = command(
        "a",
        "mkfifo f; setsid sh -c 'trap \"\" TERM; echo up > f; sleep 1000' & cat f; test $FEDFLOW_ATTEMPT = 2",
        "retries = 1",
    );
    let stays = command("b", "trap '' TERM; printf '\\033[2J' >&2; sleep 1000", "train-timeout = \"200ms\"");
    format!("name = \"sweep\"\n{}", group("g", &[fails_once, stays]))
}

const RUN: &str = "run flow.toml --devices cpu:1 --progress plain --set supervision.grace=50ms \
                   --set supervision.keep-failed-attempts=false";

#[test]
fn a_run_with_debug_tells_decisions_processes_signals_and_what_is_cleaned_up() {
    let sandbox = Sandbox::new();
    sandbox.write("flow.toml", &flow());
    let run = sandbox.fedflow(&format!("{RUN} --set debug=true"));
    assert_eq!(run.code, 1, "{}", run.stderr);
    assert_eq!(run.stdout, "");
    let says = |text: &str| {
        let line = run.stderr.lines().find(|line| line.starts_with("debug: ") && line.contains(text));
        line.unwrap_or_else(|| panic!("no line says {text:?}:\n{}", run.stderr)).to_owned()
    };
    says("g/a is given cpu: it asked for one device");
    says("g/b waits for a device: it asks for one device");
    assert!(says("g/b waits").ends_with("leased are: cpu by g/a"), "{}", run.stderr);
    says("g/a has given back cpu");
    let started = says("g/a, attempt 1: process ");
    let number: u32 = started.split(' ').nth(5).unwrap().parse().unwrap();
    assert!(started.contains(&format!("process {number} is started: sh -c mkfifo f; ")), "{started}");
    says(&format!("g/a, attempt 1: process {number} has ended: exit code 1"));
    says("g/a, attempt 1: SIGTERM is sent to process ");
    says("g/a, attempt 1: what it may have left running is looked for and killed");
    says("g/b, attempt 1: SIGTERM is sent to process ");
    says("g/b, attempt 1: SIGKILL is sent to process ");
    // A command is text of the flow, and must not steer the terminal.
    assert!(!run.stderr.contains('\u{1b}'), "{}", run.stderr);
    says("g/a, attempt 2: what lay in its directory is kept as ");
    assert!(sandbox.path().join("res/g/a.attempt-1/stdout.log").exists());
}

#[test]
fn a_run_without_debug_says_none_of_it() {
    let sandbox = Sandbox::new();
    sandbox.write("flow.toml", &flow());
    let run = sandbox.fedflow(RUN);
    assert_eq!(run.code, 1, "{}", run.stderr);
    assert!(!run.stderr.contains("debug: "), "{}", run.stderr);
    assert!(sandbox.path().join("res/g/a/stdout.log").exists());
    assert!(!sandbox.path().join("res/g/a.attempt-1/stdout.log").exists());
}

#[test]
fn a_variable_chooses_what_is_traced() {
    let sandbox = Sandbox::new();
    let task = "[[groups.tasks]]\nid = \"a\"\ncommand = [\"true\"]\n".to_owned();
    sandbox.write("flow.toml", &format!("name = \"sweep\"\n{}", group("g", &[task])));
    let run = |filter: &str| {
        let line = format!("FEDFLOW_LOG={filter} exec \"$@\"");
        sandbox.fedflow_in_shell(&line, "run flow.toml --fresh --devices cpu:1 --progress plain")
    };
    let traced = run("fedflow_worker=debug");
    assert_eq!(traced.code, 0, "{}", traced.stderr);
    assert!(traced.stderr.contains("debug: g/a, attempt 1: process "), "{}", traced.stderr);
    assert!(!traced.stderr.contains("is given cpu"), "{}", traced.stderr);
    let refused = run("fedflow=loud");
    assert_eq!(refused.code, 2, "{}", refused.stderr);
    assert!(refused.stderr.starts_with("error: FEDFLOW_LOG: \"fedflow=loud\" is "), "{}", refused.stderr);
    assert_eq!(refused.stderr.lines().count(), 1, "{}", refused.stderr);
}
