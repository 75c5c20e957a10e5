//! Writes the table into `docs/benchmarks.md`, between two marks.

use std::path::Path;

use crate::bench::result_table::machine_description;
use crate::step::Failure;

const BEGIN: &str = "<!-- cargo xtask bench --write: begin -->";
const END: &str = "<!-- cargo xtask bench --write: end -->";

/// Replaces the text between the marks.
pub(in crate::bench) fn write(root: &Path, table: &str) -> Result<(), Failure> {
    let path = root.join("docs/benchmarks.md");
    let text = std::fs::read_to_string(&path).map_err(|error| Failure::at(&path, &error))?;
    let generated = format!("Machine: {}\n\n{table}", machine_description::describe());
    let replaced = replace(&text, &generated);
    let replaced =
        replaced.ok_or_else(|| Failure::at(&path, &format!("the marks {BEGIN} and {END} are missing")))?;
    std::fs::write(&path, replaced).map_err(|error| Failure::at(&path, &error))?;
    println!("written to {}", path.display());
    Ok(())
}

fn replace(text: &str, generated: &str) -> Option<String> {
    let (before, rest) = text.split_once(BEGIN)?;
    let (_, after) = rest.split_once(END)?;
    Some(format!("{before}{BEGIN}\n\n{}\n\n{END}{after}", generated.trim()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_generated_is_replaced() {
        let text = format!("head\n{BEGIN}\nold\n{END}\ntail\n");
        let once = replace(&text, "new\n").unwrap();
        assert_eq!(once, format!("head\n{BEGIN}\n\nnew\n\n{END}\ntail\n"));
        assert_eq!(replace(&once, "new").unwrap(), once);
        assert_eq!(replace("no marks", "new"), None);
    }
}
