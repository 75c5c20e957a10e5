//! From an assignment to a process: directories, environment, descriptors, and the next task of a kept process.

pub(crate) mod descriptor_limit;
pub(crate) mod hand_over;
pub(crate) mod job_queue;
pub(crate) mod private_directory;
pub(crate) mod spawner;
pub(crate) mod workdir;
