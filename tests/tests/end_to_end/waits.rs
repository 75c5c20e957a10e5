//! What a run waits for is said by the run itself and by `fedflow status`, with what is in the way.

use fedflow_tests::{Fifo, Running, Sandbox, binary};
use nvml_stand_in::{Card, Script, StandIn};
use rustix::process::Signal;
use serde_json::Value;

use super::host_memory::nearly_half_of_the_host;

const GB: u64 = 1_000_000_000;

/// A group `g` of one command.
fn flow(workdir: &str, keys: &str, id: &str, command: &str) -> String {
    format!(
        "workdir = \"{workdir}\"\n[[groups]]\nname = \"g\"\n{keys}\n\
         tasks = [{{ id = \"{id}\", command = [\"sh\", \"-c\", \"{command}\"] }}]\n"
    )
}

/// Waits for a line, a minute at most: only a test that fails waits so long.
fn wait_for(fifo: &Fifo) -> String {
    format!("timeout 60 head -n 1 {}", fifo.name())
}

/// Starts `fedflow`, to read what it writes to stderr.
fn begin(sandbox: &Sandbox, arguments: &str) -> Running {
    let line = format!("exec \"$0\" {arguments} 2>&1");
    let fedflow = binary("fedflow").display().to_string();
    sandbox.begin_program("sh".as_ref(), &["-c", &line, &fedflow])
}

/// The line in which the run says what it waits for.
fn said(run: &mut Running) -> String {
    while let Some(line) = run.line() {
        println!("{line}");
        if line.starts_with("note: waiting for ") {
            return line;
        }
    }
    panic!("it ended and said nothing of a wait");
}

#[test]
fn a_run_says_which_run_has_its_device() {
    let sandbox = Sandbox::new();
    let leases = sandbox.path().join("leases").display().to_string();
    let sandbox = sandbox.with_variable("FEDFLOW_LEASE_DIR", leases);
    let mut go = Fifo::make(&sandbox, "go");
    sandbox.write("first.toml", &flow("res-first", "", "holds", &wait_for(&go)));
    sandbox.write("second.toml", &flow("res-second", "", "waits", "true"));
    let mut first = sandbox.start("run first.toml --devices sim:1x8GB");
    first.wait_for("task-training", None);
    let mut second = begin(&sandbox, "run second.toml --devices sim:1x8GB --progress plain");
    let line = said(&mut second);
    let (run, supervisor) =
        (sandbox.path().join("res-first"), sandbox.supervisor_of("res-first").process.pid);
    let holder = format!("2GB of sim:0 is held by the run {} of ", run.display());
    assert!(line.starts_with("note: waiting for a card with 2GB for g/waits: "), "{line}");
    assert!(
        line.contains(&holder) && line.ends_with(&format!(" (task g/holds, process {supervisor})")),
        "{line}"
    );
    // It is in the present as long as it lasts.
    let status = sandbox.fedflow("status res-second").stdout;
    assert!(status.contains(&holder), "{status}");
    let json: Value = serde_json::from_str(&sandbox.fedflow("status res-second --json").stdout).unwrap();
    assert!(json["waiting"]["text"].as_str().unwrap().contains("task g/holds"), "{json}");
    let first_status = sandbox.fedflow("status res-first --json").stdout;
    let json: Value = serde_json::from_str(&first_status).unwrap();
    assert_eq!(json["waiting"], Value::Null, "it has what it needs");
    go.say("go\n");
    assert_eq!((first.finish(), second.finish()), (0, 0));
}

#[test]
fn a_run_says_that_it_waits_for_memory_of_the_host() {
    let sandbox = Sandbox::new();
    let mut go = Fifo::make(&sandbox, "go");
    let estimate = format!("estimate-memory = \"{}\"", nearly_half_of_the_host());
    let one = flow("res", &estimate, "one", &wait_for(&go));
    sandbox.write("flow.toml", &one.replace("] }]", "] }, { id = \"other\", command = [\"true\"] }]"));
    let mut run = begin(&sandbox, "run flow.toml --devices cpu:4 --progress none");
    let line = said(&mut run);
    assert!(line.contains(" of the host's memory for g/other: "), "{line}");
    assert!(line.ends_with(" is reserved for tasks of this run that run already"), "{line}");
    assert!(sandbox.fedflow("status res").stdout.contains(" of the host's memory for g/other: "));
    go.say("go\n");
    assert_eq!(run.finish(), 0);
}

#[test]
fn a_run_says_which_program_has_its_card() {
    let own = std::process::id();
    let taken = Card::new("GPU-a", 20 * GB).using(19 * GB).with_process(own, 19 * GB);
    let stand_in = StandIn::install(&Script::of([taken])).unwrap();
    let leases = stand_in.library().with_file_name("leases");
    let sandbox = Sandbox::new()
        .with_variable("FEDFLOW_NVML_LIBRARY", stand_in.library().display().to_string())
        .with_variable("FEDFLOW_LEASE_DIR", leases.display().to_string());
    sandbox.write("flow.toml", &flow("res", "estimate-cuda-memory = \"6GB\"", "t", "true"));
    // It would wait for ever.
    let mut run = begin(&sandbox, "run flow.toml --progress none");
    let line = said(&mut run);
    let process = format!("19GB of cuda:0 is used by process {own} (");
    assert!(line.contains(&process), "{line}");
    run.signal(Signal::INT);
    assert_eq!(run.finish(), 130);
}
