//! `Rendezvous`: where a Rust worker offers its channel, and by what it is known.

use std::path::PathBuf;

use fedflow_core::{FailureKind, WorkerId};
use rustix::io::Errno;
use rustix::rand::{GetRandomFlags, getrandom};

use crate::host::cause::Cause;
use crate::host::starting::private_directory::PrivateDirectory;
use crate::processes::spawn::environment;

/// Where a Rust worker offers its channel, and by what it is known.
#[derive(Debug, Clone)]
pub(crate) struct Rendezvous {
    /// A secret of this process and the supervisor.
    pub(crate) token: String,
    /// A directory that was made for this process alone.
    pub(crate) directory: PathBuf,
}

impl Rendezvous {
    /// Makes the directory for a worker, and a token.
    ///
    /// # Errors
    /// The system gives no random numbers, or no place has room for a directory.
    pub(crate) fn arrange(private: &PrivateDirectory, worker: WorkerId) -> Result<Self, Cause> {
        let failed = |message: String| Cause::new(FailureKind::Spawn, message);
        let token = make_token().ok_or_else(|| failed("the system gives no random numbers".into()))?;
        let directory = private
            .make_for(worker)
            .map_err(|error| failed(format!("cannot make a private directory for it: {error}")))?;
        Ok(Self { token, directory })
    }

    /// The variables that tell the worker.
    pub(crate) fn variables(&self) -> [(String, String); 2] {
        [
            (environment::TOKEN.into(), self.token.clone()),
            (environment::BOOTSTRAP.into(), self.directory.to_string_lossy().into_owned()),
        ]
    }
}

/// A random text that cannot be guessed.
fn make_token() -> Option<String> {
    let mut bytes = [0_u8; 16];
    let mut filled = 0;
    while filled < bytes.len() {
        match getrandom(&mut bytes[filled..], GetRandomFlags::empty()) {
            Ok(more) => filled += more,
            Err(Errno::INTR) => {}
            Err(_) => return None,
        }
    }
    Some(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}
