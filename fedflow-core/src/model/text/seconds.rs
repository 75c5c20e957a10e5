//! Lengths of time as numbers of seconds, for `#[serde(with)]`: how files and streams write a `Duration`.
//!
//! A number that is negative, not finite or too large for a `Duration` is refused. One that is not a whole number of
//! nanoseconds is rounded to the nearest.

use std::time::Duration;

use serde::{Deserialize, Deserializer, Serializer, de};

pub(crate) fn serialize<S: Serializer>(time: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_f64(time.as_secs_f64())
}

pub(crate) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
    Duration::try_from_secs_f64(f64::deserialize(deserializer)?).map_err(de::Error::custom)
}

/// The same for a length of time that may be unknown.
pub(crate) mod option {
    use std::time::Duration;

    use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

    #[expect(clippy::ref_option, reason = "serde asks for this signature")]
    pub(crate) fn serialize<S: Serializer>(
        time: &Option<Duration>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        time.map(|time| time.as_secs_f64()).serialize(serializer)
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Option<Duration>, D::Error> {
        let seconds = Option::<f64>::deserialize(deserializer)?;
        seconds.map(Duration::try_from_secs_f64).transpose().map_err(de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde::Serialize;

    use super::*;

    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    struct Times {
        #[serde(rename = "load_seconds", with = "super")]
        load: Duration,
        #[serde(default, skip_serializing_if = "Option::is_none", with = "super::option")]
        train: Option<Duration>,
    }

    #[test]
    fn what_is_no_length_of_time_is_refused() {
        for number in ["-1.0", "-1e-300", "1e300", "18446744073709551616", "null", "\"1\""] {
            let text = format!("{{\"load_seconds\":{number}}}");
            assert!(serde_json::from_str::<Times>(&text).is_err(), "{number}");
        }
        let whole: Times = serde_json::from_str(r#"{"load_seconds":3,"train":-0.0}"#).unwrap();
        assert_eq!(whole, Times { load: Duration::from_secs(3), train: Some(Duration::ZERO) });
        assert!(serde_json::from_str::<Times>(r#"{"load_seconds":3,"train":-2}"#).is_err());
        for no_length in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
            let deserializer = de::value::F64Deserializer::<de::value::Error>::new(no_length);
            assert!(deserialize(deserializer).is_err(), "{no_length}");
        }
    }

    proptest! {
        // Magnitudes from nanoseconds to millions of years, each as likely as the next.
        #[test]
        fn what_was_written_is_written_again_bit_for_bit(
            bits in 0_u32..48,
            secs in any::<u64>(),
            nanos in 0_u32..1_000_000_000,
            train in any::<bool>(),
        ) {
            let load = Duration::new(secs & ((1 << bits) - 1), nanos);
            let times = Times { load, train: train.then_some(load) };
            let text = serde_json::to_string(&times).unwrap();
            let read: Times = serde_json::from_str(&text).unwrap();
            prop_assert_eq!(read.load.as_secs_f64().to_bits(), load.as_secs_f64().to_bits());
            prop_assert_eq!(serde_json::to_string(&read).unwrap(), text);
            // Within 48 days a double tells every nanosecond.
            if bits <= 22 {
                prop_assert_eq!(read, times);
            }
        }
    }
}
