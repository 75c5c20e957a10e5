//! The id of a task that is given none: it is made from the task's point, and cleaned to what a name may have.

use fedflow_core::{Fnv1a, MAX_NAME_BYTES, Name};
use minijinja::Value;
use minijinja::value::ValueKind;

/// How many characters of a number stand at the end of an id that was cut.
const DIGITS: usize = 8;

/// The id of a point: `client=3,lr=0.1`. A dictionary is told by its keys, and a list by its elements.
pub(super) fn made_up_id<'a>(point: impl Iterator<Item = (&'a str, Value)>) -> String {
    let mut parts = Vec::new();
    for (name, value) in point {
        add(name, &value, &mut parts);
    }
    cleaned(&parts.join(","))
}

fn add(name: &str, value: &Value, parts: &mut Vec<String>) {
    if value.kind() != ValueKind::Map {
        return parts.push(format!("{name}={}", text(value)));
    }
    for key in value.try_iter().into_iter().flatten() {
        if let Ok(inner) = value.get_item(&key) {
            add(&key.to_string(), &inner, parts);
        }
    }
}

fn text(value: &Value) -> String {
    match value.kind() {
        ValueKind::Seq => {
            let elements = value.try_iter().into_iter().flatten().map(|element| text(&element));
            elements.collect::<Vec<_>>().join("+")
        }
        _ => value.to_string(),
    }
}

/// The text with `_` in place of each character that no name may have. What is too long is cut, and ends with a number that
/// tells it from others.
fn cleaned(text: &str) -> String {
    let is_allowed = |c: char| c.is_alphanumeric() || "._-+=@,()".contains(c);
    let mut id: String = text.chars().map(|c| if is_allowed(c) { c } else { '_' }).collect();
    if id.starts_with(['.', '-']) {
        id.insert(0, '_');
    }
    if id.len() > MAX_NAME_BYTES {
        let hash = Fnv1a::default().with(text).value();
        let end = id.floor_char_boundary(MAX_NAME_BYTES - DIGITS - 1);
        id.truncate(end);
        id = format!("{id}_{:0DIGITS$x}", hash >> 32);
    }
    // Some letters may stand in no name, such as those that Unicode composes otherwise.
    if Name::new(&id).is_err() {
        id = id.chars().map(|c| if c.is_ascii() { c } else { '_' }).collect();
    }
    id
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn id(point: &[(&str, Value)]) -> String {
        made_up_id(point.iter().map(|(name, value)| (*name, value.clone())))
    }

    #[test]
    fn a_point_is_told_by_what_a_name_may_have() {
        assert_eq!(id(&[("client", 3.into()), ("lr", 0.1.into())]), "client=3,lr=0.1");
        assert_eq!(
            id(&[
                ("model", "google/vit-base".into()),
                ("partition", "noniid-#label1".into()),
                ("data", "a b".into())
            ]),
            "model=google_vit-base,partition=noniid-_label1,data=a_b"
        );
        assert_eq!(id(&[("layers", vec![64, 32].into())]), "layers=64+32");
    }

    #[test]
    fn long_points_stay_apart() {
        let long = |end: &str| id(&[("text", format!("{}{end}", "é".repeat(100)).into())]);
        assert_ne!(long("a"), long("b"));
        assert!(long("a").len() <= MAX_NAME_BYTES);
    }

    proptest! {
        #[test]
        fn any_text_becomes_a_name(text in ".{0,200}") {
            let id = id(&[("v", text.as_str().into())]);
            prop_assert!(Name::new(&id).is_ok(), "{id:?}");
        }
    }
}
