//! Links between the pages of a run directory.

use crate::report::{GroupReport, Report};

/// The link to a group's page, from the run directory.
pub(super) fn group_link(group: &GroupReport) -> String {
    reference(&format!("reports/{}.html", group.name))
}

/// The link to a directory or file of the run directory, from there; none if it lies outside.
pub(super) fn inside_run(report: &Report, path: &str) -> Option<String> {
    let inside = path.strip_prefix(report.workdir())?.strip_prefix('/')?;
    let safe = !report.workdir().is_empty() && !inside.split('/').any(|part| part == ".." || part.is_empty());
    safe.then(|| reference(inside))
}

/// The link from a group's page to its stretch of the run's timeline.
pub(super) fn timeline_link(group: &GroupReport) -> String {
    format!("../report.html#timeline?group={}", reference(group.name.as_str()))
}

/// A path as a URL reference: special characters are percent-encoded.
pub(super) fn reference(path: &str) -> String {
    let mut encoded = String::with_capacity(path.len());
    for byte in path.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' | b'/' => {
                encoded.push(char::from(byte));
            }
            byte => encoded.push_str(&format!("%{byte:02X}")),
        }
    }
    encoded
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reference_never_has_a_scheme() {
        assert_eq!(reference("javascript:alert(1)"), "javascript%3Aalert%281%29");
        assert_eq!(reference("a+b/é\"<"), "a%2Bb/%C3%A9%22%3C");
    }
}
