//! Values: what parameters and results are made of, and their ways into and out of Rust types and JSON.

mod dict;
mod exact_json;
mod from_value;
mod plain_json;
mod to_value;

pub use dict::{Dict, MAX_DEPTH, Value};
pub use exact_json::non_finite_text;
pub use from_value::from_value;
pub use plain_json::{PlainDict, PlainValue};
pub use to_value::{ValueError, to_value};
