//! `DeviceChoice`: which devices a run uses, as `--devices` says.

use std::fmt;
use std::str::FromStr;

use fedflow_core::{Device, DeviceError, Pin, Size, SizeError};
use serde::{Deserialize, Serialize};

/// More slots or cards than any machine has. A larger number is a typing mistake, which would only cost memory.
const MAX_COUNT: u32 = 4096;

/// Which devices a run uses.
///
/// ```
/// use fedflow_gpu::DeviceChoice;
/// assert_eq!("cpu:4".parse(), Ok(DeviceChoice::Cpu(Some(4))));
/// assert_eq!("sim:2x24GB+1x8GB".parse::<DeviceChoice>()?.to_string(), "sim:2x24GB+1x8GB");
/// assert!("gpu".parse::<DeviceChoice>().is_err());
/// # Ok::<(), fedflow_gpu::ChoiceError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum DeviceChoice {
    /// `auto`: all visible cards; CPU slots if there are none.
    #[default]
    Auto,
    /// `cpu` or `cpu:N`: CPU slots, as many as given or as the machine has cores.
    Cpu(Option<u32>),
    /// `sim:2x24GB`, `sim:1x24GB+1x8GB`: simulated cards, each with its memory.
    Sim(Vec<Size>),
    /// `cuda`: all visible cards; an error if there are none.
    AllCards,
    /// `cuda:0,cuda:2`, or cards' UUIDs: these cards alone.
    Cards(Vec<Pin>),
    /// `cuda:0,cpu:4`, `sim:1x24GB,cpu:2`: cards, and so many CPU slots beside them for tasks that are pinned to `cpu`.
    /// Without a number there are as many as the machine has cores, as beside all other cards.
    WithSlots(Box<Self>, Option<u32>),
}

/// Why a text does not name devices.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ChoiceError {
    /// It has none of the known forms.
    #[error(
        "{0:?} is no choice of devices; write \"auto\", \"cpu\", \"cpu:4\", \"sim:2x24GB\", \"cuda\", \
         \"cuda:0,cuda:2\" or cards' UUIDs; \"cuda,cpu:4\" adds slots for tasks with device = \"cpu\""
    )]
    UnknownForm(String),
    /// The number of slots or cards is not a number, or out of range.
    #[error("{text:?}: {number:?} is no number of {what} from 1 to {MAX_COUNT}")]
    BadNumber {
        /// The text.
        text: String,
        /// The number in it.
        number: String,
        /// What is counted.
        what: &'static str,
    },
    /// A part of the simulated cards is not a number and a size.
    #[error(
        "{0:?} describes no simulated cards; write how many and how large, such as \"sim:2x24GB\", and CPU slots \
         beside them as \"sim:2x24GB,cpu:4\""
    )]
    BadSimulation(String),
    /// The memory of simulated cards is not a size.
    #[error("{text:?}: {source}")]
    BadSize {
        /// The text.
        text: String,
        /// What is wrong with the size.
        source: SizeError,
    },
    /// A simulated card has no memory.
    #[error("{0:?}: a simulated card needs memory")]
    NoMemory(String),
    /// An item in the list of cards does not name a device.
    #[error("{text:?}: {source}")]
    BadCard {
        /// The text.
        text: String,
        /// What is wrong with the item.
        source: DeviceError,
    },
    /// An item in the list of cards is not a card.
    #[error("{text:?}: {item} cannot stand in a list of cards")]
    NotACard {
        /// The text.
        text: String,
        /// The item.
        item: Device,
    },
    /// A card is listed twice.
    #[error("{text:?}: {pin} is named twice")]
    Repeated {
        /// The text.
        text: String,
        /// The card.
        pin: Pin,
    },
}

impl DeviceChoice {
    /// The choice without CPU slots beside cards.
    #[must_use]
    pub fn devices(&self) -> &Self {
        match self {
            Self::WithSlots(cards, _) => cards,
            devices => devices,
        }
    }

    /// How many CPU slots there are beside cards; `None`: as many as the machine has cores.
    #[must_use]
    pub fn slots_beside(&self) -> Option<u32> {
        if let Self::WithSlots(_, slots) = self { *slots } else { None }
    }
}

impl FromStr for DeviceChoice {
    type Err = ChoiceError;

    fn from_str(text: &str) -> Result<Self, ChoiceError> {
        let is_slots = |item: &str| item.trim() == "cpu" || item.trim().starts_with("cpu:");
        let (slots, cards): (Vec<&str>, Vec<&str>) = text.split(',').partition(|item| is_slots(item));
        let (Some(slots), [_, ..]) = (slots.first().filter(|_| slots.len() == 1), cards.as_slice()) else {
            return Self::without_slots(text, text);
        };
        let slots = slots.trim().strip_prefix("cpu:").map(|number| parse_number(text, number, "slots"));
        Ok(Self::WithSlots(Box::new(Self::without_slots(text, &cards.join(","))?), slots.transpose()?))
    }
}

impl DeviceChoice {
    /// Reads a choice of devices, which is a part of `text`.
    fn without_slots(text: &str, devices: &str) -> Result<Self, ChoiceError> {
        match devices.trim() {
            "auto" => Ok(Self::Auto),
            "cpu" => Ok(Self::Cpu(None)),
            "cuda" => Ok(Self::AllCards),
            trimmed => {
                if let Some(slots) = trimmed.strip_prefix("cpu:") {
                    parse_number(text, slots, "slots").map(|slots| Self::Cpu(Some(slots)))
                } else if let Some(cards) = trimmed.strip_prefix("sim:") {
                    parse_simulated(text, cards).map(Self::Sim)
                } else if ["cuda:", "GPU-", "MIG-"].iter().any(|start| trimmed.starts_with(start)) {
                    parse_cards(text, trimmed).map(Self::Cards)
                } else {
                    Err(ChoiceError::UnknownForm(text.into()))
                }
            }
        }
    }
}

fn parse_number(text: &str, number: &str, what: &'static str) -> Result<u32, ChoiceError> {
    let parsed = number.trim().parse().ok().filter(|slots| (1..=MAX_COUNT).contains(slots));
    parsed.ok_or_else(|| ChoiceError::BadNumber { text: text.into(), number: number.into(), what })
}

fn parse_simulated(text: &str, cards: &str) -> Result<Vec<Size>, ChoiceError> {
    let mut sizes = Vec::new();
    for part in cards.split('+') {
        let (count, size) = part.split_once('x').ok_or_else(|| ChoiceError::BadSimulation(text.into()))?;
        let count = parse_number(text, count, "cards")?;
        let size: Size = size.parse().map_err(|source| ChoiceError::BadSize { text: text.into(), source })?;
        if size == Size::ZERO {
            return Err(ChoiceError::NoMemory(text.into()));
        }
        sizes.extend((0..count).map(|_| size));
    }
    Ok(sizes)
}

fn parse_cards(text: &str, cards: &str) -> Result<Vec<Pin>, ChoiceError> {
    let mut pins = Vec::new();
    for item in cards.split(',').map(str::trim) {
        let pin: Pin = item.parse().map_err(|source| ChoiceError::BadCard { text: text.into(), source })?;
        match pin {
            Pin::Device(item @ (Device::Cpu | Device::Sim(_))) => {
                return Err(ChoiceError::NotACard { text: text.into(), item });
            }
            pin if pins.contains(&pin) => return Err(ChoiceError::Repeated { text: text.into(), pin }),
            pin => pins.push(pin),
        }
    }
    Ok(pins)
}

impl fmt::Display for DeviceChoice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Auto => f.write_str("auto"),
            Self::Cpu(None) => f.write_str("cpu"),
            Self::Cpu(Some(slots)) => write!(f, "cpu:{slots}"),
            Self::AllCards => f.write_str("cuda"),
            Self::Cards(pins) => write!(f, "{}", joined(pins, ",")),
            Self::WithSlots(cards, None) => write!(f, "{cards},cpu"),
            Self::WithSlots(cards, Some(slots)) => write!(f, "{cards},cpu:{slots}"),
            Self::Sim(sizes) => {
                let parts =
                    sizes.chunk_by(|a, b| a == b).map(|equal| format!("{}x{}", equal.len(), exact(equal[0])));
                write!(f, "sim:{}", joined(parts, "+"))
            }
        }
    }
}

fn joined<T: ToString>(items: impl IntoIterator<Item = T>, separator: &str) -> String {
    items.into_iter().map(|item| item.to_string()).collect::<Vec<_>>().join(separator)
}

/// A size as it is shown, or in bytes where showing it would round it: a run must be resumed with the same devices.
fn exact(size: Size) -> String {
    let shown = size.to_string();
    if shown.parse() == Ok(size) { shown } else { format!("{}B", size.bytes()) }
}

impl TryFrom<String> for DeviceChoice {
    type Error = ChoiceError;

    fn try_from(text: String) -> Result<Self, ChoiceError> {
        text.parse()
    }
}

impl From<DeviceChoice> for String {
    fn from(choice: DeviceChoice) -> Self {
        choice.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn error(text: &str) -> String {
        text.parse::<DeviceChoice>().unwrap_err().to_string()
    }

    #[test]
    fn the_forms() {
        let cards = ["cuda:0", "GPU-5d", "MIG-1"].map(|pin| pin.parse().unwrap()).to_vec();
        let gb = Size::from_gb;
        for (text, choice) in [
            ("auto", DeviceChoice::Auto),
            ("cpu", DeviceChoice::Cpu(None)),
            ("cpu:3", DeviceChoice::Cpu(Some(3))),
            ("cuda", DeviceChoice::AllCards),
            ("cuda:0,GPU-5d,MIG-1", DeviceChoice::Cards(cards)),
            ("sim:2x24GB", DeviceChoice::Sim(vec![gb(24), gb(24)])),
            ("sim:1x24GB+2x8GB", DeviceChoice::Sim(vec![gb(24), gb(8), gb(8)])),
            ("sim:1x24GB,cpu:2", DeviceChoice::WithSlots(DeviceChoice::Sim(vec![gb(24)]).into(), Some(2))),
            ("auto,cpu", DeviceChoice::WithSlots(DeviceChoice::Auto.into(), None)),
        ] {
            assert_eq!(text.parse(), Ok(choice.clone()), "{text}");
            assert_eq!(choice.to_string(), text);
        }
        assert_eq!(" cuda:0 , cuda:2 ".parse(), "cuda:0,cuda:2".parse::<DeviceChoice>());
    }

    #[test]
    fn errors_say_what_is_wrong() {
        assert!(error("gpu").contains("sim:2x24GB"));
        assert!(error("").contains("auto"));
        assert!(error("cpu:0").contains("slots from 1"));
        assert!(error("cpu:many").contains("\"many\""));
        assert!(error("cpu:-1").contains("\"-1\""));
        assert!(error("cpu:1000000").contains("4096"));
        assert!(error("sim:24GB").contains("how many"));
        assert!(error("sim:1x24GB+cpu:2").contains("sim:2x24GB,cpu:4"));
        assert!(error("sim:2x24").contains("no size"));
        assert!(error("sim:2x0GB").contains("memory"));
        assert!(error("sim:2x24GB+").contains("how many"));
        assert!(error("cuda:0,sim:1").contains("sim:1 cannot stand"));
        assert!(error("cpu:2,cpu:4").contains("no number of slots"));
        assert!(error("cuda:0,cpu:0").contains("slots from 1"));
        assert!(error("gpu,cpu:2").contains("\"gpu,cpu:2\""));
        assert!(error("cuda:0,").contains("no device"));
        assert!(error("cuda:x").contains("cuda:x"));
        assert!(error("cuda:1,cuda:0,cuda:1").contains("cuda:1 is named twice"));
    }

    proptest! {
        #[test]
        fn a_choice_comes_back_from_its_text(
            sizes in proptest::collection::vec((1_u64..1 << 45).prop_map(Size::from_bytes), 1..6),
        ) {
            let choice = DeviceChoice::Sim(sizes);
            prop_assert_eq!(choice.to_string().parse::<DeviceChoice>(), Ok(choice));
        }

        #[test]
        fn no_text_panics(text in ".{0,40}") {
            let _ = text.parse::<DeviceChoice>();
        }
    }
}
