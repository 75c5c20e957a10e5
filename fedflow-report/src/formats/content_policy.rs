//! What a browser may take into a report page: its own style and script, and nothing else.

use std::sync::LazyLock;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use sha2::{Digest as _, Sha256};

use crate::formats::page_scripts::{CHARTS, SCRIPT, TABLE_SCRIPT};

/// The style sheet of a page. A policy by hash allows no `style` attributes, so each width in percent is a class.
pub(super) static STYLE: LazyLock<String> = LazyLock::new(|| {
    let widths = (0..=100).map(|percent| format!(".p{percent}{{width:{percent}%}}"));
    std::iter::once(include_str!("../../templates/style.css").to_owned()).chain(widths).collect()
});

/// The content security policy of every page, made once: a run may have thousands of pages.
pub(super) static POLICY: LazyLock<String> =
    LazyLock::new(|| content_policy(&STYLE, &[CHARTS, SCRIPT, TABLE_SCRIPT]));

/// The content security policy of pages with this style and these scripts.
fn content_policy(style: &str, scripts: &[&str]) -> String {
    let style = hash(style);
    let scripts: Vec<_> = scripts.iter().map(|script| format!("'{}'", hash(script))).collect();
    // The last two are not covered by `default-src`.
    format!(
        "default-src 'none'; script-src {}; style-src '{style}'; base-uri 'none'; form-action 'none'",
        scripts.join(" ")
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
            content_policy("", &[""]),
            format!(
                "default-src 'none'; script-src '{empty}'; style-src '{empty}'; base-uri 'none'; form-action 'none'"
            )
        );
    }

    #[test]
    fn no_template_has_a_style_attribute() {
        for template in [
            include_str!("../../templates/page.html"),
            include_str!("../../templates/group_rows.html"),
            include_str!("../../templates/task_rows.html"),
        ] {
            assert!(!template.contains(" style="), "{template}");
        }
    }

    #[test]
    fn every_percentage_has_a_class() {
        for percent in [0, 7, 100] {
            assert!(STYLE.contains(&format!(".p{percent}{{width:{percent}%}}")), "{percent}");
        }
    }
}
