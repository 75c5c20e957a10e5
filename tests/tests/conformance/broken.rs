//! Workers in Python, each wrong in one way, or unusual but right.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use fedflow_tests::Sandbox;

/// A worker, and the expected outcomes.
pub(crate) struct Broken {
    pub(crate) name: &'static str,
    /// The difference to the honest worker: Python that redefines some of its functions.
    change: &'static str,
    /// The step of the check that fails, and a part of its message; `None` if the worker is right.
    pub(crate) step: Option<(&'static str, &'static str)>,
    /// The kind of its task's exception in a run, and a part of the message; `None` if the task finishes.
    pub(crate) exception: Option<(&'static str, &'static str)>,
    /// Whether only a time limit reveals it.
    pub(crate) slow: bool,
}

/// An honest worker; `change` stands where it may be changed.
const WORKER: &str = r#"#!/usr/bin/env python3
import json, os, socket, sys, time

channel = socket.socket(fileno=os.dup(0))

def write(data):
    channel.sendall(data)

def say(event, **fields):
    write((json.dumps({"event": event, **fields}) + "\n").encode())

def ready():
    say("ready", version=1)

def loaded():
    say("loaded")

def result():
    say("item", key="loss", value=0.5)
    say("result", data={"x": 1})

def unknown(kind):
    say("error", phase="load", kind="error", message="no such kind: " + kind)

def strange(command):
    pass

def leave():
    sys.exit()

def hang():
    time.sleep(3600)

def over():
    pass

CHANGE

for line in channel.makefile(encoding="utf-8"):
    order = json.loads(line)
    command = order["cmd"]
    if command == "hello":
        ready()
    elif command == "task":
        kind = order["kind"]
    elif command == "load":
        loaded() if kind == "x" else unknown(kind)
    elif command == "train":
        result()
    elif command == "exit":
        leave()
    else:
        strange(command)
over()
"#;

impl Broken {
    /// Writes the worker into a sandbox, as a program with its name.
    pub(crate) fn write(&self, sandbox: &Sandbox) {
        let path = sandbox.write(self.name, &WORKER.replace("CHANGE", self.change));
        fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
    }
}

const HELLO: &str = "answers hello";
const LOAD: &str = "loads it";
const TRAIN: &str = "trains and returns a result";
const AGAIN: &str = "does another task in the same process";
const EXIT: &str = "leaves when it is told to exit";
const UNKNOWN_KIND: &str = "refuses a task kind that it does not know";
const STRANGE: &str = "ignores commands and keys that it does not know";
const HANG_UP: &str = "leaves when its channel is closed";

const fn broken(
    name: &'static str,
    change: &'static str,
    step: (&'static str, &'static str),
    exception: (&'static str, &'static str),
) -> Broken {
    Broken { name, change, step: Some(step), exception: Some(exception), slow: false }
}

/// Workers whose error does not show in a run of one task each.
const fn careless(name: &'static str, change: &'static str, step: (&'static str, &'static str)) -> Broken {
    Broken { name, change, step: Some(step), exception: None, slow: false }
}

const fn right(name: &'static str, change: &'static str) -> Broken {
    Broken { name, change, step: None, exception: None, slow: false }
}

/// Every error that a worker can have.
pub(crate) const WORKERS: &[Broken] = &[
    right("honest", ""),
    right("nan", "def result():\n    say('result', data={'x': float('nan'), 'y': -float('inf')})"),
    right("foreign-fields", "def loaded():\n    say('loaded', task_id='other', group=[{}], seconds=1.5)"),
    right("blank-lines", "def loaded():\n    write(b'\\n  \\r\\n')\n    say('loaded')"),
    right(
        "in-pieces",
        "def loaded():\n    for c in b'{\"event\":\"loaded\"}\\n':\n        write(bytes([c]))",
    ),
    broken(
        "garbage",
        "def ready():\n    write(b'Loading the model\\x1b[31m ...\\n')\n    say('ready', version=1)",
        (HELLO, "Loading the model\\u{1b}[31m"),
        ("protocol", "Loading the model"),
    ),
    broken(
        "late-garbage",
        "def result():\n    write(b'epoch 1: loss 0.5\\n')",
        (TRAIN, "epoch 1: loss 0.5"),
        ("protocol", "not JSON"),
    ),
    broken(
        "other-version",
        "def ready():\n    say('ready', version=2)",
        (HELLO, "it speaks version 2"),
        ("protocol", "it speaks version 2"),
    ),
    broken(
        "no-version",
        "def ready():\n    say('ready')",
        (HELLO, "`ready` lacks the version"),
        ("protocol", "`ready` lacks the version"),
    ),
    broken(
        "hasty",
        "def loaded():\n    say('result', data={})",
        (LOAD, "a result came while it was loading"),
        ("protocol", "a result came while it was loading"),
    ),
    broken(
        "unknown-event",
        "def loaded():\n    say('dance')",
        (LOAD, "an unknown event"),
        ("protocol", "an unknown event"),
    ),
    broken(
        "list",
        "def result():\n    say('result', data=[1, 2])",
        (TRAIN, "`data` is missing or has a wrong type"),
        ("protocol", "`data` is missing or has a wrong type"),
    ),
    broken(
        "duplicate-keys",
        "def result():\n    write(b'{\"event\":\"result\",\"data\":{\"a\":1,\"a\":2}}\\n')",
        (TRAIN, "stands twice"),
        ("protocol", "stands twice"),
    ),
    broken(
        "big-integer",
        "def result():\n    say('result', data={'x': 2**64})",
        (TRAIN, "does not fit in 64 bits"),
        ("protocol", "does not fit in 64 bits"),
    ),
    broken(
        "deep",
        "def result():\n    write(b'{\"event\":\"result\",\"data\":{\"x\":' + b'[' * 10000 + b']' * 10000 + b'}}\\n')",
        (TRAIN, "nested more than 128 levels"),
        ("protocol", "nested more than 128 levels"),
    ),
    broken(
        "not-utf-8",
        "def result():\n    write(b'{\"event\":\"result\",\"data\":{\"x\":\"\\xff\\xfe\"}}\\n')",
        (TRAIN, "not UTF-8"),
        ("protocol", "not UTF-8"),
    ),
    broken(
        "endless-line",
        "def loaded():\n    write(b'{' * 1000000)\n    hang()",
        (LOAD, "a line has more than"),
        ("protocol", "a line has more than"),
    ),
    broken(
        "huge-item",
        "def result():\n    say('item', key='k', value=[0] * 5000)\n    say('result', data={})",
        (TRAIN, "an item"),
        ("protocol", "an item"),
    ),
    broken(
        "half-a-line",
        "def result():\n    write(b'{\"event\":\"result\"')\n    os._exit(5)",
        (TRAIN, "exit code 5"),
        ("exit", "exit code 5"),
    ),
    broken(
        "deaf",
        "def loaded():\n    channel.shutdown(socket.SHUT_RDWR)\n    hang()",
        (LOAD, "closed its channel and still runs"),
        ("protocol", "closed its channel but did not exit"),
    ),
    broken(
        "killed",
        "def result():\n    os.kill(os.getpid(), 11)",
        (TRAIN, "signal 11 (SIGSEGV)"),
        ("killed", "signal 11 (SIGSEGV)"),
    ),
    broken(
        "raises",
        "def result():\n    raise ValueError('no data')",
        (TRAIN, "| ValueError: no data"),
        ("exit", "exit code 1"),
    ),
    careless("once", "def result():\n    say('result', data={})\n    leave()", (AGAIN, "exit code 0")),
    careless("talks-on", "def leave():\n    say('loaded')\n    sys.exit()", (EXIT, "`loaded` came when")),
    careless("bad-exit", "def leave():\n    sys.exit(3)", (EXIT, "exit code 3")),
    careless("any-kind", "def unknown(kind):\n    loaded()", (UNKNOWN_KIND, "got `loaded`")),
    careless(
        "memory",
        "def unknown(kind):\n    say('error', phase='load', kind='oom', message='')",
        (UNKNOWN_KIND, "one of kind oom"),
    ),
    careless("fragile", "def strange(command):\n    raise KeyError(command)", (STRANGE, "exit code 1")),
    careless(
        "prim",
        "def strange(command):\n    say('error', phase='load', kind='error', message='what is ' + command)",
        (STRANGE, "what is fedflow-check"),
    ),
    Broken {
        name: "no-flush",
        change: "out = os.fdopen(os.dup(0), 'wb', 1 << 20)\ndef write(data):\n    out.write(data)",
        step: Some((HELLO, "it came when the channel was closed")),
        exception: Some(("timeout", "")),
        slow: true,
    },
    Broken {
        name: "mute",
        change: "def ready():\n    hang()",
        step: Some((HELLO, "nothing came within")),
        exception: Some(("timeout", "")),
        slow: true,
    },
    Broken {
        name: "stays",
        change: "def leave():\n    hang()",
        step: Some((EXIT, "it still runs")),
        exception: None,
        slow: true,
    },
    Broken {
        name: "outlives",
        change: "def over():\n    hang()",
        step: Some((HANG_UP, "it still runs")),
        exception: None,
        slow: true,
    },
];
