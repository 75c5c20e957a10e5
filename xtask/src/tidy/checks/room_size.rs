//! Rooms with more files than a reader can take in.

use std::collections::BTreeMap;
use std::path::Path;

use crate::tidy::finding::Finding;
use crate::tidy::rules::{LARGEST_ROOM, Rule};
use crate::tidy::source::Source;

/// Counts the files that lie directly in each room of shipped code.
pub(in crate::tidy) fn check(sources: &[Source]) -> Vec<Finding> {
    let mut rooms: BTreeMap<&Path, usize> = BTreeMap::new();
    for source in sources.iter().filter(|source| !source.is_for_tests()) {
        let room = source.path.parent().unwrap_or(Path::new(""));
        if room.iter().any(|part| part == "src") {
            *rooms.entry(room).or_default() += 1;
        }
    }
    let large = rooms.into_iter().filter(|(_, files)| *files > LARGEST_ROOM);
    large
        .map(|(room, files)| {
            let message =
                format!("{files} files lie here side by side; more than {LARGEST_ROOM} are hard to see");
            Finding::new(Rule::RoomSize, room, 0, message)
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_room_holds_a_dozen_files() {
        let room = |directory: &str, files: usize| {
            let files = 0..files;
            let sources: Vec<_> =
                files.map(|n| Source::new(format!("k/{directory}/f{n}.rs").into(), String::new())).collect();
            check(&sources).len()
        };
        assert_eq!(room("src", LARGEST_ROOM), 0);
        assert_eq!(room("src", LARGEST_ROOM + 1), 1);
        assert_eq!(room("src/tests", LARGEST_ROOM + 1), 0);
        assert_eq!(room("tests", LARGEST_ROOM + 1), 0);
    }
}
