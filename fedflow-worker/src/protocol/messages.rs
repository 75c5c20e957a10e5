//! The messages between the supervisor and a Rust worker, in both directions.

use ipc_channel::ipc::{IpcReceiver, IpcSender};
use serde::{Deserialize, Serialize};

use super::wire_types::{Bytes, Carried, WireLease, WirePath};

/// The supervisor's answer, the only message on the worker's own server: the two channels of the session.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Bootstrap {
    /// The version that the supervisor will speak.
    pub(crate) version: u32,
    /// The same token, so that a worker accepts no other program's channels.
    pub(crate) token: String,
    /// The channel on which the worker receives.
    pub(crate) commands: IpcReceiver<ToWorker>,
    /// The channel on which the worker sends.
    pub(crate) events: IpcSender<ToHost>,
}

/// Sent by the supervisor. The order of the variants is the wire format: new ones are added at the end.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum ToWorker {
    /// Make this task. Answered by `Ready` or `Refused`.
    Task(TaskMessage),
    /// Call `load`. Answered by `Loaded` or `Failed`.
    Load,
    /// Call `train`. Answered by `Result` or `Failed`.
    Train {
        /// What was leased for it.
        lease: WireLease,
        /// The parameters for `train`.
        params: Carried,
    },
    /// End the process.
    Exit,
}

/// A task, as it is given to a worker. Its directory is made, and holds its two logs.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct TaskMessage {
    /// The assignment's number, which `Ready` repeats.
    pub(crate) number: u64,
    pub(crate) group: String,
    pub(crate) task_id: String,
    pub(crate) attempt: u32,
    pub(crate) kind: String,
    pub(crate) workdir: WirePath,
    pub(crate) checkpoint_dir: WirePath,
    pub(crate) params: Carried,
    /// The memory that a result may take, in bytes.
    pub(crate) result_limit: u64,
    /// Under which key what it loads is kept for a later task of this process.
    pub(crate) keep: Option<String>,
}

/// Sent by a worker. The order of the variants is the wire format: new ones are added at the end.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum ToHost {
    /// The task is made.
    Ready {
        /// The number of its assignment.
        number: u64,
    },
    /// The task cannot be made: its kind is not known, or its parameters do not fit.
    Refused {
        /// The reason, in words.
        message: String,
    },
    /// `load` returned.
    Loaded,
    /// A named value.
    Item {
        /// Its name.
        key: String,
        /// The value, encoded.
        value: Bytes,
    },
    /// How far `train` is.
    Progress {
        /// Steps done.
        done: u64,
        /// Steps in all.
        total: u64,
    },
    /// `train` returned: so many bytes of result follow in chunks.
    Result {
        /// The length of the encoded dictionary.
        length: u64,
    },
    /// The next piece of the result.
    Chunk(Bytes),
    /// The phase failed; the process lives.
    Failed {
        /// Whether memory did not suffice.
        out_of_memory: bool,
        /// The reason, in words.
        message: String,
    },
    /// `train` returned: the whole result, which fits into one piece.
    Whole(Bytes),
}

#[cfg(test)]
mod tests {
    use std::ffi::OsString;
    use std::os::unix::ffi::OsStringExt;
    use std::path::PathBuf;

    use fedflow_core::{Device, DeviceInfo, LeaseInfo, Size};
    use ipc_channel::ipc;

    use super::super::limits::MAX_CHUNK;
    use super::*;

    #[test]
    fn messages_survive_the_channel() {
        let (tx, rx) = ipc::channel().unwrap();
        let lease = LeaseInfo {
            device: Device::Cuda(3),
            cards: vec![DeviceInfo {
                device: Device::Cuda(3),
                uuid: None,
                name: "A card".into(),
                memory: Some(Size::from_gb(24)),
            }],
            memory: None,
        };
        let path = PathBuf::from(OsString::from_vec(vec![b'/', 0xff]));
        let params = Carried::File { path: path.as_path().into(), length: 5 };
        tx.send(ToWorker::Train { lease: lease.clone().into(), params }).unwrap();
        let ToWorker::Train { lease: back, params: Carried::File { path: back_path, length: 5 } } =
            rx.recv().unwrap()
        else {
            panic!("another message came");
        };
        assert_eq!(LeaseInfo::from(back), lease);
        assert_eq!(PathBuf::from(back_path), path);
    }

    #[test]
    fn bytes_are_carried_in_one_piece() {
        let (tx, rx) = ipc::channel().unwrap();
        tx.send(ToHost::Chunk(Bytes(vec![7; MAX_CHUNK]))).unwrap();
        assert!(matches!(rx.recv().unwrap(), ToHost::Chunk(Bytes(bytes)) if bytes == vec![7; MAX_CHUNK]));
    }
}
