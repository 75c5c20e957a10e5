//! A whole lease as JSON, for JSON workers and for commands.

use fedflow_core::LeaseInfo;

use crate::protocol::json;

/// `{"device", "cards": [{"device", "uuid", "name", "memory"}], "memory"}`: the device as the process names it, the
/// leased cards as the run names them, each with all of its memory, and the memory that is leased on each, in bytes.
/// What is not known is null; a CPU slot has no cards.
pub(crate) fn lease_json(lease: &LeaseInfo) -> String {
    let mut out = format!("{{\"device\":\"{}\",\"cards\":[", lease.device);
    for (place, card) in lease.cards.iter().enumerate() {
        if place > 0 {
            out.push(',');
        }
        out.push_str(&format!("{{\"device\":\"{}\",\"uuid\":", card.device));
        match &card.uuid {
            Some(uuid) => json::write_text(&mut out, uuid),
            None => out.push_str("null"),
        }
        out.push_str(",\"name\":");
        json::write_text(&mut out, &card.name);
        out.push_str(&format!(",\"memory\":{}}}", bytes(card.memory)));
    }
    out.push_str(&format!("],\"memory\":{}}}", bytes(lease.memory)));
    out
}

fn bytes(size: Option<fedflow_core::Size>) -> String {
    size.map_or_else(|| "null".into(), |size| size.bytes().to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use fedflow_core::{Device, DeviceInfo, Size};

    #[test]
    fn it_is_json_whatever_a_card_is_called() {
        let card = |ordinal, uuid: Option<&str>| DeviceInfo {
            device: Device::Cuda(ordinal),
            uuid: uuid.map(Into::into),
            name: "NVIDIA \"H\"\u{7}".into(),
            memory: Some(Size::from_gb(24)),
        };
        let cards = vec![card(1, Some("GPU-a")), card(2, None)];
        let lease = LeaseInfo { device: Device::Cuda(0), cards, memory: Some(Size::from_gb(5)) };
        let read: serde_json::Value = serde_json::from_str(&lease_json(&lease)).unwrap();
        let card = |device: &str, uuid: Option<&str>| {
            serde_json::json!({"device": device, "uuid": uuid, "name": "NVIDIA \"H\"\u{7}",
                "memory": 24_000_000_000_u64})
        };
        let expected = serde_json::json!({"device": "cuda:0", "memory": 5_000_000_000_u64,
            "cards": [card("cuda:1", Some("GPU-a")), card("cuda:2", None)]});
        assert_eq!(read, expected);
        let none = LeaseInfo { device: Device::Cpu, cards: Vec::new(), memory: None };
        assert_eq!(lease_json(&none), r#"{"device":"cpu","cards":[],"memory":null}"#);
    }
}
