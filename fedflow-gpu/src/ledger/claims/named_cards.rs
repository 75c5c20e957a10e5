//! A short text that names many cards, so that a claim fits into one line.
//!
//! Simulated cards and CPU slots are told by ranges (`cpu-0..15`), others by a checksum of their names. If two names have
//! one checksum, a card may be kept free in vain for a moment, and no more.

/// The text for some cards of the ledger. Names that follow each other become a range.
pub(super) fn text_of<'a>(cards: impl IntoIterator<Item = &'a str>) -> String {
    let mut names: Vec<String> = Vec::new();
    let mut range: Option<(&str, u32, u32)> = None;
    for card in cards {
        range = match (range, numbered(card)) {
            (Some((kind, first, last)), Some((same, number))) if kind == same && number == last + 1 => {
                Some((kind, first, number))
            }
            (before, next) => {
                names.extend(before.map(name_of_range));
                if next.is_none() {
                    names.push(checksum(card));
                }
                next.map(|(kind, number)| (kind, number, number))
            }
        };
    }
    names.extend(range.map(name_of_range));
    names.join(" ")
}

/// Whether a text names a card.
pub(super) fn names(text: &str, card: &str) -> bool {
    let numbered = numbered(card);
    let checksum = checksum(card);
    text.split(' ').any(|name| match numbered {
        None => name == checksum,
        Some((kind, number)) => range_of(name)
            .is_some_and(|(of_kind, first, last)| of_kind == kind && (first..=last).contains(&number)),
    })
}

/// A text for each card that a text names.
pub(super) fn each(text: &str) -> impl Iterator<Item = String> {
    text.split(' ').filter(|name| !name.is_empty()).flat_map(|name| match range_of(name) {
        Some((kind, first, last)) => {
            (first..=last).take(MOST).map(|number| format!("{kind}-{number}")).collect()
        }
        None => vec![name.to_owned()],
    })
}

/// How many cards a text names.
pub(super) fn count(text: &str) -> usize {
    let count_of = |name| match range_of(name) {
        Some((_, first, last)) => (first..=last).take(MOST).count(),
        None => 1,
    };
    text.split(' ').filter(|name| !name.is_empty()).map(count_of).sum()
}

/// The most cards that one range names. No machine has so many; a file of another user may say anything.
const MOST: usize = 4096;

fn name_of_range((kind, first, last): (&str, u32, u32)) -> String {
    if first == last { format!("{kind}-{first}") } else { format!("{kind}-{first}..{last}") }
}

fn range_of(name: &str) -> Option<(&str, u32, u32)> {
    let (kind, numbers) = name.split_once('-')?;
    let (first, last) = numbers.split_once("..").unwrap_or((numbers, numbers));
    Some((kind, first.parse().ok()?, last.parse().ok()?))
}

/// The kind and number of a simulated card or CPU slot.
fn numbered(card: &str) -> Option<(&str, u32)> {
    let (kind, number) = card.split_once('-')?;
    matches!(kind, "cpu" | "sim" | "cuda").then_some(())?;
    Some((kind, number.parse().ok()?))
}

fn checksum(card: &str) -> String {
    format!("{:08x}", crc32fast::hash(card.as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_and_checksums_name_their_cards_alone() {
        let slots: Vec<String> = (0..256).map(|slot| format!("cpu-{slot}")).collect();
        let text = text_of(slots.iter().map(String::as_str));
        assert_eq!(text, "cpu-0..255");
        assert!(names(&text, "cpu-255") && !names(&text, "cpu-256") && !names(&text, "sim-3"));
        assert_eq!((count(&text), each(&text).count()), (256, 256));

        let cards = ["sim-0", "sim-1", "sim-4", "GPU-0a", "GPU-0b", "cpu-5"];
        let text = text_of(cards);
        assert!(text.starts_with("sim-0..1 sim-4 ") && text.ends_with(" cpu-5"), "{text}");
        assert!(cards.iter().all(|card| names(&text, card)));
        assert!(["sim-2", "GPU-0c", "cpu-4"].iter().all(|card| !names(&text, card)));
        let found: Vec<usize> =
            each(&text).map(|one| cards.iter().filter(|card| names(&one, card)).count()).collect();
        assert_eq!((found, count(&text)), (vec![1; 6], 6));
    }

    #[test]
    fn what_another_user_wrote_is_only_a_text() {
        for text in ["", " ", "-", "cpu-0..4294967295", "cpu-5..2", "cpu-x..y"] {
            assert!(each(text).count() <= MOST && count(text) == each(text).count(), "{text}");
            assert!(!names(text, "GPU-0"));
        }
    }
}
