//! The work that is measured: runs of Fedflow and bare loops, in alternation.

pub(super) mod bare_loops;
pub(super) mod flow_run;
pub(super) mod flow_text;
pub(super) mod interleaving;
pub(super) mod processes;
pub(super) mod run_directory;
pub(super) mod supervisor_usage;
