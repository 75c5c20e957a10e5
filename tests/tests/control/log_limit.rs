//! A worker that floods its log: the log stays small, its head and tail are kept, and it says how much is missing.

use std::fs;
use std::mem::MaybeUninit;
use std::os::unix::fs::MetadataExt;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::inotify::{self, CreateFlags, WatchFlags};

use super::{group, sandbox, task};

const LIMIT: u64 = 1 << 20;

/// The numbers before and after the line for the missing part, and the number of bytes in that line.
fn parts(text: &str) -> (Vec<u64>, u64, Vec<u64>) {
    let (head, rest) = text.split_once("[… ").unwrap();
    let (bytes, rest) = rest.split_once(" bytes dropped").unwrap();
    let (_, tail) = rest.split_once('\n').unwrap();
    let numbers = |text: &str| text.lines().filter_map(|line| line.parse().ok()).collect();
    (numbers(head), bytes.parse().unwrap(), numbers(tail))
}

#[test]
fn a_log_that_outgrew_its_limit_has_its_head_and_its_tail() {
    let sandbox = sandbox(&[
        "[config]\nsupervision.log-limit = \"1MiB\"\n".into(),
        group("g", &[task("a", "\"flood 40\", \"complain last words\", \"print the end\", \"fail now\"")]),
    ]);
    assert_eq!(sandbox.fedflow("run flow.toml --devices cpu:1 --progress none").code, 1);
    let text = sandbox.read("res/g/a/stdout.log");
    assert!(text.len() as u64 <= LIMIT + 100, "{} bytes", text.len());
    assert!(text.ends_with("the end\n"));
    let (head, dropped, tail) = parts(&text);
    assert_eq!((head[0], *tail.last().unwrap()), (0, (40 << 14) - 1));
    assert_eq!((tail[0] - head.last().unwrap() - 1) * 64, dropped);
    assert_eq!(sandbox.fedflow("logs res g/a --stdout").stdout, text);
    assert_eq!(sandbox.results()["groups"][0]["tasks"][0]["error"]["message"], "now ");
    let failure = sandbox.fedflow("logs res g/a --stderr");
    assert_eq!(failure.stdout, "last words\n");
}

#[test]
fn while_the_worker_runs_its_log_takes_no_more_room_than_that() {
    let sandbox = sandbox(&[
        "[config]\nsupervision.log-limit = \"1MiB\"\n".into(),
        group("g", &[task("a", "\"flood 40\", \"progress 1 2\", \"hang\"")]),
    ]);
    let mut run = sandbox.start("run flow.toml --devices cpu:1");
    run.wait_for("task-progress", Some("a"));
    let path = sandbox.path().join("res/g/a/stdout.log");
    // Freeing blocks counts as a change of the file.
    let changes = inotify::init(CreateFlags::CLOEXEC | CreateFlags::NONBLOCK).unwrap();
    inotify::add_watch(&changes, &path, WatchFlags::MODIFY).unwrap();
    let limit = Timespec { tv_sec: 30, tv_nsec: 0 };
    while fs::metadata(&path).unwrap().blocks() * 512 > LIMIT + (64 << 10) {
        let mut descriptors = [PollFd::new(&changes, PollFlags::IN)];
        assert_eq!(poll(&mut descriptors, Some(&limit)), Ok(1), "no block was freed");
        let mut buffer = [MaybeUninit::uninit(); 4096];
        let _ = rustix::io::read(&changes, &mut buffer);
    }
    assert_eq!(fs::metadata(&path).unwrap().len(), 40 << 20);
    let (head, dropped, tail) = parts(&sandbox.fedflow("logs res g/a --stdout").stdout);
    assert_eq!((head[0], *tail.last().unwrap()), (0, (40 << 14) - 1));
    assert!(dropped > 38 << 20, "{dropped}");
    assert_eq!(sandbox.fedflow("stop res --now").code, 0);
    assert_eq!(run.finish(), 143);
    assert!(sandbox.read("res/g/a/stdout.log").len() as u64 <= LIMIT + 100, "also when it was killed");
}
