//! The effective configuration of a run: layers of sources of which later ones win, and the source of each key.

mod config_entry;
mod config_toml;
mod home_path;
mod layers;

pub use config_entry::ConfigEntry;
pub use config_toml::render;
pub use layers::{CONFIG_FILE, Layers, Settings, Source};

pub(crate) use config_entry::read_entries;
pub(crate) use config_toml::starter_text;
pub(crate) use home_path::{at_home, typed_path};
pub(crate) use layers::CONFIG_PREFIX;

#[cfg(test)]
mod tests;
