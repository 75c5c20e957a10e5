//! The `digits-worker` program: runs the tasks of this crate for Fedflow.
fn main() {}
