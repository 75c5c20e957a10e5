//! The checks: each looks at one kind of rule and returns what it finds.

pub(super) mod circles;
pub(super) mod comments;
pub(super) mod crate_layers;
pub(super) mod file_form;
pub(super) mod forbidden_words;
pub(super) mod module_layers;
pub(super) mod named_tests;
pub(super) mod names;
pub(super) mod room_size;
