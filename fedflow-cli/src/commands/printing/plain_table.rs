//! Tables for stdout: aligned columns without borders, for people and for `awk`.

use comfy_table::{ContentArrangement, Table, presets};

/// A table with a header. Lines are never wrapped, whatever the width of the terminal.
pub(crate) fn plain_table<const N: usize>(
    header: [&str; N],
    rows: impl IntoIterator<Item = [String; N]>,
) -> String {
    let mut table = Table::new();
    table.load_preset(presets::NOTHING).set_content_arrangement(ContentArrangement::Disabled);
    table.set_header(header);
    table.add_rows(rows);
    for column in table.column_iter_mut() {
        column.set_padding((0, 2));
    }
    let text = table.to_string();
    text.lines().map(str::trim_end).collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_in_line() {
        let rows = [["cuda:0".to_owned(), "24GB".to_owned()], ["cpu".to_owned(), "-".to_owned()]];
        assert_eq!(plain_table(["device", "memory"], rows), "device  memory\ncuda:0  24GB\ncpu     -");
    }
}
