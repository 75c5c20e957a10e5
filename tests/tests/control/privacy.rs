//! The permissions of a run's files, and that workers inherit nothing that is not meant for them.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::path::Path;

use fedflow_tests::Sandbox;

use super::{group, sandbox, task};

/// A command that prints what it has inherited.
const CURIOUS: &str = "[[groups.tasks]]\nid = \"command\"\n\
    command = [\"sh\", \"-c\", '''ls /proc/$$/fd
    # Read by the shell itself: it blocks all signals while it starts a program that could look.
    while read -r name value; do test \"$name\" = SigBlk: && echo $name $value; done < /proc/$$/status
    env | grep FEDFLOW_ | cut -d= -f1''']\n";

/// The permissions of everything below a directory.
fn modes(path: &Path, found: &mut Vec<(String, u32)>) {
    for entry in fs::read_dir(path).unwrap() {
        let entry = entry.unwrap();
        let metadata = entry.metadata().unwrap();
        found.push((entry.path().display().to_string(), metadata.permissions().mode() & 0o777));
        if metadata.is_dir() {
            modes(&entry.path(), found);
        }
    }
}

#[test]
fn with_any_umask_nobody_else_can_write_in_the_run_or_read_its_state() {
    let sandbox = sandbox(&[group("g", &[task("a", "\"print x\""), task("b", "\"fail x\"")])]);
    let run = "run flow.toml --devices cpu:2 --progress none --set supervision.retries=1";
    assert_eq!(sandbox.fedflow_in_shell("umask 000; exec \"$@\"", run).code, 1);
    let mut found = Vec::new();
    modes(&sandbox.path().join("res"), &mut found);
    assert!(found.iter().any(|(path, _)| path.ends_with("b.attempt-1/stderr.log")), "{found:?}");
    let open: Vec<_> = found.iter().filter(|(_, mode)| mode & 0o022 != 0).collect();
    // What is inside cannot be reached: the directory is closed to others.
    let open: Vec<_> = open.into_iter().filter(|(path, _)| !path.contains("/.fedflow/")).collect();
    assert!(open.is_empty(), "others can write to {open:?}");
    let mode = |name: &str| fs::metadata(sandbox.path().join(name)).unwrap().permissions().mode() & 0o777;
    assert_eq!(
        (mode("res"), mode("res/.fedflow"), mode("res/.fedflow/journal.jsonl")),
        (0o755, 0o700, 0o600)
    );
}

#[test]
fn a_worker_inherits_nothing_that_was_not_meant_for_it() {
    let stale = ["FEDFLOW_RESULT", "FEDFLOW_BOOTSTRAP", "FEDFLOW_STALE"];
    let sandbox =
        stale.into_iter().fold(Sandbox::new(), |sandbox, name| sandbox.with_variable(name, "stale"));
    let sandbox = sandbox.with_variable("FEDFLOW_CONFIG_SMTP_PASSWORD", "hunter2");
    let flow = format!("name = \"sweep\"\n{}", group("g", &[CURIOUS.into()]));
    sandbox.write("flow.toml", &flow);
    let line = "exec 7</dev/null 9</dev/null; exec env --block-signal=TERM --block-signal=USR1 \"$@\"";
    let run = sandbox.fedflow_in_shell(line, "run flow.toml --devices cpu:1 --progress plain");
    assert_eq!(run.code, 0, "{}", run.stderr);
    let log = sandbox.read("res/g/command/stdout.log");
    let (numbers, rest) = log.split_once("SigBlk:").unwrap();
    assert_eq!(numbers.split_whitespace().collect::<Vec<_>>(), ["0", "1", "2"]);
    let mut rest = rest.lines();
    assert_eq!(rest.next().unwrap().trim(), "0000000000000000");
    let variables: BTreeSet<&str> = rest.collect();
    let meant = [
        "ATTEMPT",
        "CARD",
        "CHECKPOINT_DIR",
        "DEVICE",
        "GROUP",
        "LEASE",
        "RESULT",
        "RUN",
        "TASK_ID",
        "WORKDIR",
    ];
    let meant: Vec<String> = meant.iter().map(|name| format!("FEDFLOW_{name}")).collect();
    assert_eq!(variables, meant.iter().map(String::as_str).collect());
    assert!(!format!("{}{}", run.stdout, run.stderr).contains("hunter2"));
    let mut files = Vec::new();
    modes(&sandbox.path().join("res"), &mut files);
    for (path, _) in files.iter().filter(|(path, _)| Path::new(path).is_file()) {
        let bytes = fs::read(path).unwrap();
        assert!(!bytes.windows(7).any(|window| window == b"hunter2"), "the password is in {path}");
    }
}

/// The inodes of the sockets that a process has open.
fn sockets(pid: u64) -> BTreeSet<String> {
    let links = fs::read_dir(format!("/proc/{pid}/fd")).unwrap();
    let links = links.filter_map(|entry| fs::read_link(entry.unwrap().path()).ok());
    links
        .filter_map(|link| Some(link.to_str()?.strip_prefix("socket:[")?.strip_suffix(']')?.to_owned()))
        .collect()
}

#[test]
fn no_port_is_opened_and_the_sockets_are_where_nobody_else_can_go() {
    let sandbox = sandbox(&[group("g", &[task("a", "\"hang\"")])]);
    let mut run = sandbox.start("run flow.toml --devices cpu:1");
    run.wait_for("task-training", Some("a"));
    let told = sandbox.fedflow("status res --json");
    let json: serde_json::Value = serde_json::from_str(&told.stdout).unwrap();
    let pid = json["supervisor"]["pid"].as_u64().unwrap();
    let sockets = sockets(pid);
    assert!(!sockets.is_empty(), "its worker is connected");
    for table in ["tcp", "tcp6", "udp", "udp6"] {
        let table = fs::read_to_string(format!("/proc/{pid}/net/{table}")).unwrap_or_default();
        let inodes = table.lines().skip(1).filter_map(|line| line.split_whitespace().nth(9));
        let open: Vec<_> = inodes.filter(|inode| sockets.contains(*inode)).collect();
        assert!(open.is_empty(), "a port is open:\n{table}");
    }
    let unix = fs::read_to_string(format!("/proc/{pid}/net/unix")).unwrap();
    for line in unix.lines().skip(1) {
        let mut fields = line.split_whitespace();
        let Some(inode) = fields.nth(6).filter(|inode| sockets.contains(*inode)) else { continue };
        // A socket without a name cannot be connected to.
        let Some(path) = fields.next() else { continue };
        assert!(!path.starts_with('@'), "socket {inode} is open to everybody: {path}");
    }
    let socket = sandbox.path().join("res/.fedflow/orders");
    assert!(fs::metadata(&socket).unwrap().file_type().is_socket());
    assert_eq!(sandbox.fedflow("stop res").code, 0);
    assert_eq!(run.finish(), 143);
    assert!(!socket.exists());
}
