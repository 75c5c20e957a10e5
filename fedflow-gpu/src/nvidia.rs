//! NVIDIA's cards: what the driver tells of them, and which of them this process may use.

mod card_facts;
mod driver;
mod visible_list;

pub use card_facts::{CardError, CardRole, NoDriver};
pub(crate) use card_facts::{CardMemory, CardProcess, CardVitals, FoundCard};
pub(crate) use driver::Driver;
pub use visible_list::HiddenCards;
pub(crate) use visible_list::{VisibleList, resolve};
