//! `Line`: what a JSON worker is told, one line per command, written by a thread of its own.

use std::io;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::thread;

use crossbeam_channel::{Receiver, Sender};
use fedflow_core::{Assignment, Dict, LeaseInfo};
use rustix::io::Errno;
use rustix::net::{SendFlags, Shutdown, send, shutdown};

use crate::host::sessions::json::lease_json::lease_json;
use crate::protocol::json;

/// The version of the JSON protocol.
pub(crate) const VERSION: i64 = 1;

/// A command to a worker, as one line of JSON.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Line {
    text: String,
    /// Whether it is the last one: after it the worker reads the end of the file.
    last: bool,
}

impl Line {
    /// A command with its fields, each of which is written with a comma before it.
    pub(crate) fn of(command: &str, fields: impl FnOnce(&mut String)) -> Self {
        let mut text = format!("{{\"cmd\":\"{command}\"");
        fields(&mut text);
        text.push_str("}\n");
        Self { text, last: false }
    }

    pub(crate) fn hello() -> Self {
        Self::of("hello", |out| out.push_str(&format!(",\"version\":{VERSION}")))
    }

    pub(crate) fn task(assignment: &Assignment, kind: &str) -> Self {
        Self::of("task", |out| {
            let mut field = |name: &str, value: &str| {
                out.push_str(&format!(",\"{name}\":"));
                json::write_text(out, value);
            };
            field("task_id", assignment.task_id.as_str());
            field("group", assignment.group.as_str());
            field("kind", kind);
            field("workdir", &assignment.workdir.to_string_lossy());
            field("checkpoint_dir", &assignment.checkpoint_dir.to_string_lossy());
            if let Some(key) = &assignment.keep {
                field("keep", key);
            }
            out.push_str(&format!(",\"attempt\":{},\"params\":", assignment.attempt));
            json::write_dict(out, &assignment.params);
        })
    }

    pub(crate) fn load() -> Self {
        Self::of("load", |_| {})
    }

    pub(crate) fn train(lease: &LeaseInfo, params: &Dict) -> Self {
        Self::of("train", |out| {
            out.push_str(&format!(",\"device\":\"{}\",\"lease\":{}", lease.device, lease_json(lease)));
            out.push_str(",\"params\":");
            json::write_dict(out, params);
        })
    }

    pub(crate) fn exit() -> Self {
        Self { last: true, ..Self::of("exit", |_| {}) }
    }
}

/// Writes a worker's lines from a thread of its own: a worker that does not read holds up no other thread.
pub(crate) fn start_writer(socket: Arc<OwnedFd>) -> io::Result<Sender<Line>> {
    let (sender, lines): (_, Receiver<Line>) = crossbeam_channel::unbounded();
    thread::Builder::new().name("fedflow-writer".into()).stack_size(128 * 1024).spawn(move || {
        for line in lines {
            let mut rest = line.text.as_bytes();
            while !rest.is_empty() {
                match send(&socket, rest, SendFlags::NOSIGNAL) {
                    Ok(sent) => rest = &rest[sent..],
                    Err(Errno::INTR) => {}
                    Err(_) => return,
                }
            }
            if line.last {
                let _ = shutdown(&socket, Shutdown::Write);
            }
        }
    })?;
    Ok(sender)
}
