//! `Cause`: why a worker is not heard any further, or has ended.

use fedflow_core::FailureKind;

/// The kind of a failure, and its message.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Cause {
    pub(crate) kind: FailureKind,
    pub(crate) message: String,
}

impl Cause {
    pub(crate) fn new(kind: FailureKind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into() }
    }

    /// A breach of the worker protocol.
    pub(crate) fn protocol(message: impl std::fmt::Display) -> Self {
        Self::new(FailureKind::Protocol, format!("it broke the worker protocol: {message}"))
    }
}
