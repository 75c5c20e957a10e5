//! `Handle`: what a caller is given for a card and hands back.

use std::ffi::c_void;

use crate::script::{Card, Code, Script};

/// `nvmlDevice_t`: a number that only looks like a pointer, see [`Handle`].
pub(crate) type Device = *mut c_void;

/// Which card a [`Device`] means: the place of a card, and the place of an instance in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Handle {
    pub(crate) card: usize,
    pub(crate) instance: Option<usize>,
}

impl Handle {
    pub(crate) fn to_device(self) -> Device {
        let instance = self.instance.map_or(0, |place| place + 1);
        std::ptr::without_provenance_mut(instance << 16 | (self.card + 1))
    }

    pub(crate) fn from_device(device: Device) -> Option<Self> {
        let number = device.addr();
        Some(Self { card: (number & 0xffff).checked_sub(1)?, instance: (number >> 16).checked_sub(1) })
    }

    pub(crate) fn find(self, script: &Script) -> Result<&Card, Code> {
        let card = script.cards.get(self.card).ok_or(Code::InvalidArgument)?;
        match self.instance {
            None => Ok(card),
            Some(place) => card
                .instances
                .as_ref()
                .and_then(|instances| instances.get(place)?.as_ref())
                .ok_or(Code::InvalidArgument),
        }
    }
}

/// All cards, each followed by its instances.
pub(crate) fn handles(script: &Script) -> impl Iterator<Item = Handle> {
    script.cards.iter().enumerate().flat_map(|(card, row)| {
        let places = row.instances.as_ref().map_or(0, Vec::len);
        std::iter::once(None).chain((0..places).map(Some)).map(move |instance| Handle { card, instance })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_handle_comes_back_as_it_was() {
        for handle in [
            Handle { card: 0, instance: None },
            Handle { card: 7, instance: None },
            Handle { card: 3, instance: Some(6) },
        ] {
            assert_eq!(Handle::from_device(handle.to_device()), Some(handle));
        }
        assert_eq!(Handle::from_device(std::ptr::null_mut()), None);
    }

    #[test]
    fn every_card_and_instance_has_a_handle() {
        let divided = Card::new("GPU-a", 8).divided([Card::new("MIG-a", 4), Card::new("MIG-b", 4)]);
        let script = Script::of([divided, Card::new("GPU-b", 8)]);
        let uuids: Vec<&str> =
            handles(&script).map(|handle| handle.find(&script).unwrap().uuid.as_str()).collect();
        assert_eq!(uuids, ["GPU-a", "MIG-a", "MIG-b", "GPU-b"]);
    }
}
