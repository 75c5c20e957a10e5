//! What a browser may take into a report page: its own style and script, and nothing else.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use sha2::{Digest as _, Sha256};

/// The style sheet of a page. A policy by hash allows no `style` attributes, so each width in percent is a class.
pub(super) fn style() -> String {
    let widths = (0..=100).map(|percent| format!(".p{percent}{{width:{percent}%}}"));
    std::iter::once(include_str!("../../templates/style.css").to_owned()).chain(widths).collect()
}

/// The content security policy of a page with this style and this script.
pub(super) fn content_policy(style: &str, script: &str) -> String {
    let (style, script) = (hash(style), hash(script));
    // The last two are not covered by `default-src`.
    format!(
        "default-src 'none'; script-src '{script}'; style-src '{style}'; base-uri 'none'; form-action 'none'"
    )
}

fn hash(text: &str) -> String {
    format!("sha256-{}", STANDARD.encode(Sha256::digest(text)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_policy_names_the_hashes_and_nothing_wider() {
        let empty = "sha256-47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=";
        assert_eq!(
            content_policy("", ""),
            format!(
                "default-src 'none'; script-src '{empty}'; style-src '{empty}'; base-uri 'none'; form-action 'none'"
            )
        );
    }

    #[test]
    fn no_template_has_a_style_attribute() {
        for template in [
            include_str!("../../templates/page.html"),
            include_str!("../../templates/curve.html"),
            include_str!("../../templates/gantt.html"),
            include_str!("../../templates/gantt_rects.html"),
            include_str!("../../templates/meters.html"),
            include_str!("../../templates/group_rows.html"),
            include_str!("../../templates/task_rows.html"),
        ] {
            assert!(!template.contains(" style="), "{template}");
        }
    }

    #[test]
    fn every_percentage_has_a_class() {
        let style = style();
        for percent in [0, 7, 100] {
            assert!(style.contains(&format!(".p{percent}{{width:{percent}%}}")), "{percent}");
        }
    }
}
