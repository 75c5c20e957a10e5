//! From an assignment to a process: directories, environment, the process itself, and the next task of a kept process.

pub(crate) mod descriptor_limit;
pub(crate) mod hand_over;
pub(crate) mod job_queue;
pub(crate) mod jobs;
pub(crate) mod private_directory;
pub(crate) mod process_environment;
pub(crate) mod rendezvous;
pub(crate) mod spawner;
pub(crate) mod task_directory;
