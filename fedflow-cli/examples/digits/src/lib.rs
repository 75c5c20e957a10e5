//! Federated averaging on the UCI optical digits: an example of a custom worker crate.
//!
//! Ten clients hold different mixtures of digits. In every round each client trains the shared model on its own
//! digits, and the models are averaged. Each step is a [`Task`](fedflow_core::Task) of its own: [`Split`],
//! [`TrainClient`] and [`Aggregate`]. `flow.toml` beside this crate strings them together as a flow file,
//! [`Federation`] does so in Rust.
//!
//! To write a worker crate of your own, start from `tasks.rs` and `main.rs`; the other modules are plain machine
//! learning and know nothing of Fedflow.

mod averaging;
mod data;
mod federation;
mod network;
mod partition;
mod tasks;

pub use averaging::{NothingToAverage, federated_average};
pub use data::{
    CLASSES, DataError, Digit, Digits, MAX_INTENSITY, PIXELS, digits_from_bytes, digits_to_bytes,
};
pub use federation::{Federation, FederationError};
pub use network::{Evaluation, HIDDEN, Network, NetworkError, PARAMETERS};
pub use partition::{PartitionError, dirichlet_partition};
pub use tasks::{Aggregate, Split, TrainClient, TrainedModel};
