//! The scripts of a page: the chart library, and Fedflow's own in the order in which they build on each other.

/// The parts of Apache ECharts that the page uses. `cargo xtask assets` builds the file; its licences are beside it.
pub(super) const CHARTS: &str = include_str!("../../assets/echarts.js");

/// The script of a page without charts.
pub(super) const TABLE_SCRIPT: &str = concat!(
    "\"use strict\";\n(() => {\n",
    include_str!("../../templates/scripts/local_times.js"),
    include_str!("../../templates/scripts/tables.js"),
    "})();\n"
);

/// The script of a page with charts. Its files are the parts of one function, so they see each other's names.
pub(super) const SCRIPT: &str = concat!(
    "\"use strict\";\n(() => {\n",
    include_str!("../../templates/scripts/local_times.js"),
    include_str!("../../templates/scripts/tables.js"),
    include_str!("../../templates/scripts/wording.js"),
    include_str!("../../templates/scripts/address.js"),
    include_str!("../../templates/scripts/chart.js"),
    include_str!("../../templates/scripts/curves.js"),
    include_str!("../../templates/scripts/experiment.js"),
    include_str!("../../templates/scripts/experiment_charts.js"),
    include_str!("../../templates/scripts/experiment_table.js"),
    include_str!("../../templates/scripts/experiment_view.js"),
    include_str!("../../templates/scripts/telemetry.js"),
    include_str!("../../templates/scripts/timeline_bars.js"),
    include_str!("../../templates/scripts/timeline_details.js"),
    include_str!("../../templates/scripts/timeline.js"),
    include_str!("../../templates/scripts/start.js"),
    "})();\n"
);

#[cfg(test)]
mod tests {
    use super::*;

    /// The most that the library may add to a report.
    const MOST_BYTES: usize = 650_000;

    #[test]
    fn the_library_is_small_and_says_under_which_licence_it_is() {
        assert!(CHARTS.len() <= MOST_BYTES, "{} bytes", CHARTS.len());
        assert!(
            CHARTS.starts_with("/*!") && CHARTS.contains("Apache License") && CHARTS.contains("BSD 3-Clause")
        );
    }

    #[test]
    fn no_script_ends_its_element() {
        for script in [CHARTS, SCRIPT, TABLE_SCRIPT] {
            assert!(!script.to_lowercase().contains("</script") && !script.contains("<!--"));
        }
    }
}
