//! The Markdown summary: short enough for a merge request or a message.

use std::borrow::Cow;
use std::io::Write;
use std::time::Duration;

use fedflow_core::Name;

use crate::analysis::chart_series::result_charts;
use crate::analysis::failures::failure_kinds;
use crate::analysis::family_memory::memory_by_family;
use crate::analysis::left_running::left_running;
use crate::analysis::summary::Summary;
use crate::analysis::timeline::Timeline;
use crate::formats::render_error::RenderError;
use crate::report::{GroupReport, Report, TaskReport};
use crate::text::visible_text::{shortened, visible_line};
use crate::text::wording::{count, duration, energy, grouped, moment, outcome_text, percent};

/// The most rows of a table.
const MAX_ROWS: usize = 200;
/// The most tasks that are named for a failure.
const MAX_NAMED: usize = 12;

/// Writes a summary in Markdown: outcome, devices, groups, the last values of the curves, failures.
///
/// # Errors
/// The writer fails.
pub fn render_markdown(report: &Report, mut out: impl Write) -> Result<(), RenderError> {
    let summary = Summary::of_run(report);
    writeln!(out, "# {}\n", text(report.flow()))?;
    writeln!(out, "**{}**\n", text(&outcome_text(&summary.counts)))?;
    if let Some(session) = report.sessions().first() {
        let total = duration(Timeline::new(report).total());
        let resumed = match report.sessions().len() {
            1 => String::new(),
            sessions => format!(" in {sessions} sessions"),
        };
        writeln!(out, "Started {}, ran for {total}{resumed}.\n", moment(session.started))?;
    }
    render_devices(&summary, &mut out)?;
    render_memory(report.groups(), &mut out)?;
    render_groups(report, report.groups(), &mut out)?;
    render_curves(report, &mut out)?;
    render_failures(report.groups(), &mut out)?;
    render_left_running(report.groups(), &mut out)?;
    out.flush()?;
    Ok(())
}

/// Writes the summary of one group in Markdown: outcome, devices, proposed estimates, failures.
///
/// # Errors
/// There is no such group, or the writer fails.
pub fn render_group_markdown(report: &Report, group: &Name, mut out: impl Write) -> Result<(), RenderError> {
    let group = report.group(group).ok_or_else(|| RenderError::NoSuchGroup(group.as_str().into()))?;
    let summary = Summary::of_group(report, group);
    let groups = std::slice::from_ref(group);
    writeln!(out, "# {}\n", text(group.name.as_str()))?;
    writeln!(out, "**{}**\n", text(&outcome_text(&summary.counts)))?;
    render_devices(&summary, &mut out)?;
    render_memory(groups, &mut out)?;
    render_groups(report, groups, &mut out)?;
    render_failures(groups, &mut out)?;
    render_left_running(groups, &mut out)?;
    out.flush()?;
    Ok(())
}

fn render_devices(summary: &Summary, out: &mut impl Write) -> Result<(), RenderError> {
    if summary.devices.is_empty() {
        return Ok(());
    }
    writeln!(
        out,
        "| Device | Name | Trained | Training | Leased but loading | Idle while work waited | Idle in all |"
    )?;
    writeln!(out, "|---|---|--:|--:|--:|--:|--:|")?;
    for device in summary.devices.iter().take(MAX_ROWS) {
        let with_share =
            |time: Duration| format!("{} ({})", duration(time.as_secs_f64()), percent(device.share(time)));
        writeln!(
            out,
            "| {} | {} | {} | {} | {} | {} | {} |",
            device.label(),
            text(&device.name),
            grouped(device.trained),
            with_share(device.busy),
            duration(device.loading.as_secs_f64()),
            with_share(device.starved),
            duration(device.idle.as_secs_f64()),
        )?;
    }
    render_telemetry(summary, out)?;
    writeln!(out)?;
    Ok(())
}

/// The telemetry of the devices, if there is any.
fn render_telemetry(summary: &Summary, out: &mut impl Write) -> Result<(), RenderError> {
    let mut seen = summary.devices.iter().filter_map(|device| Some((device, device.telemetry?))).peekable();
    if seen.peek().is_none() {
        return Ok(());
    }
    writeln!(out, "\n| Device | Mean utilisation | Peak memory | Peak booked | Mean power | Energy |")?;
    writeln!(out, "|---|--:|--:|--:|--:|--:|")?;
    for (device, seen) in seen.take(MAX_ROWS) {
        let absent = || "–".to_owned();
        writeln!(
            out,
            "| {} | {} | {} | {} | {} | {} |",
            device.label(),
            seen.mean_utilization.map_or_else(absent, |utilization| percent(utilization / 100.0)),
            seen.peak_memory.map_or_else(absent, |size| size.to_string()),
            seen.peak_booked.map_or_else(absent, |size| size.to_string()),
            seen.mean_power.map_or_else(absent, |watts| format!("{watts:.0} W")),
            seen.energy.map_or_else(absent, energy),
        )?;
    }
    Ok(())
}

/// Only the estimates that should be changed; the page has the others.
fn render_memory(groups: &[GroupReport], out: &mut impl Write) -> Result<(), RenderError> {
    let families = memory_by_family(groups);
    let advice: Vec<_> = families.iter().filter_map(|known| Some((known, known.advice_text()?))).collect();
    if advice.is_empty() {
        return Ok(());
    }
    writeln!(out, "## Estimates to change\n")?;
    for (known, advice) in advice.iter().take(MAX_ROWS) {
        writeln!(out, "- {}: {}", text(&known.family), text(advice))?;
    }
    writeln!(out)?;
    Ok(())
}

fn render_groups(report: &Report, groups: &[GroupReport], out: &mut impl Write) -> Result<(), RenderError> {
    if groups.is_empty() {
        return Ok(());
    }
    writeln!(out, "## Groups\n")?;
    writeln!(
        out,
        "| Group | Tasks | Finished | Failed | Cancelled | Skipped | Not ended | Retried | Makespan |"
    )?;
    writeln!(out, "|---|--:|--:|--:|--:|--:|--:|--:|--:|")?;
    let timeline = Timeline::new(report);
    for group in groups.iter().take(MAX_ROWS) {
        let counts = group.counts();
        let extent = timeline.extent(std::iter::once(group));
        let makespan = extent.map_or_else(|| "–".into(), |(from, to)| duration(to - from));
        let [tasks, finished, failed] = [counts.tasks, counts.finished, counts.failed].map(grouped);
        let [cancelled, skipped] = [counts.cancelled, counts.skipped].map(grouped);
        let [open, retried] = [counts.open, counts.retried].map(grouped);
        let name = text(group.name.as_str());
        writeln!(
            out,
            "| {name} | {tasks} | {finished} | {failed} | {cancelled} | {skipped} | {open} | {retried} | {makespan} |",
        )?;
    }
    more(groups.len(), "group", "groups", out)
}

fn render_curves(report: &Report, out: &mut impl Write) -> Result<(), RenderError> {
    let charts = result_charts(report.groups());
    let lines = charts.charts.iter().flat_map(|chart| chart.lines.iter().map(move |line| (chart, line)));
    let mut rows = lines
        .filter_map(|(chart, line)| Some((chart, line, line.points.first()?, line.points.last()?)))
        .peekable();
    if rows.peek().is_none() {
        return Ok(());
    }
    writeln!(out, "## Results over rounds\n")?;
    writeln!(out, "| Result | Of | First | Last |\n|---|---|--:|--:|")?;
    for (chart, line, first, last) in rows {
        writeln!(
            out,
            "| {} | {} | {} | {} |",
            text(&chart.title),
            text(&line.label),
            crate::text::wording::number(first.mean),
            crate::text::wording::number(last.mean)
        )?;
    }
    writeln!(out)?;
    Ok(())
}

fn render_left_running(groups: &[GroupReport], out: &mut impl Write) -> Result<(), RenderError> {
    let mut tasks = left_running(groups).take(MAX_ROWS).peekable();
    if tasks.peek().is_none() {
        return Ok(());
    }
    writeln!(out, "## Processes left running\n")?;
    for task in tasks {
        writeln!(out, "- {}", text(&task))?;
    }
    writeln!(out)?;
    Ok(())
}

/// Failures that are alike take one row.
fn render_failures(groups: &[GroupReport], out: &mut impl Write) -> Result<(), RenderError> {
    let kinds = failure_kinds::<MAX_ROWS, MAX_NAMED>(groups);
    if kinds.iter().next().is_none() {
        return Ok(());
    }
    writeln!(out, "## Failures\n")?;
    writeln!(out, "| Failed | Stage | Kind | Message | Tasks |\n|--:|---|---|---|---|")?;
    for alike in kinds.iter() {
        let failure = &alike.failure;
        let mut message = text(&shortened(&failure.message, 300));
        if let Some(said) = failure.last_line() {
            message.push_str(": ");
            message.push_str(&text(&shortened(said, 300)));
        }
        let mut tasks: Vec<_> = alike.named.iter().map(|(group, task)| named(group, task)).collect();
        if alike.others() > 0 {
            tasks.push(count(alike.others() as usize, "more task", "more tasks"));
        }
        let failed = grouped(alike.tasks as usize);
        writeln!(
            out,
            "| {failed} | {} | {} | {message} | {} |",
            failure.stage,
            failure.kind,
            tasks.join(", "),
        )?;
    }
    if kinds.left_out() > 0 {
        let others = count(kinds.left_out() as usize, "task", "tasks");
        writeln!(out, "\nAnd {others} that failed in yet other ways, in results.csv.")?;
    }
    writeln!(out)?;
    Ok(())
}

/// A failed task, with its attempts if it had several.
fn named(group: &GroupReport, task: &TaskReport) -> String {
    let name = format!("{}/{}", text(group.name.as_str()), text(task.id.as_str()));
    if task.attempts > 1 { format!("{name} (after {} attempts)", task.attempts) } else { name }
}

fn more(total: usize, one: &str, many: &str, out: &mut impl Write) -> Result<(), RenderError> {
    if total > MAX_ROWS {
        writeln!(out, "\nAnd {} more in results.csv.", count(total - MAX_ROWS, one, many))?;
    }
    writeln!(out)?;
    Ok(())
}

/// A text on one line, escaped for Markdown and HTML.
fn text(text: &str) -> String {
    let line: Cow<'_, str> = visible_line(text);
    let mut escaped = String::with_capacity(line.len() + 8);
    for char in line.chars() {
        match char {
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '&' => escaped.push_str("&amp;"),
            // A bare URL would become a link.
            ':' if escaped.ends_with("http") || escaped.ends_with("https") => escaped.push_str("&#58;"),
            '@' => escaped.push_str("&#64;"),
            '\\' | '`' | '*' | '_' | '[' | ']' | '|' | '~' | '#' | '!' | '$' => {
                escaped.push('\\');
                escaped.push(char);
            }
            char => escaped.push(char),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::text;

    #[test]
    fn text_is_escaped_for_markdown() {
        assert_eq!(text("a|b\n*c*"), "a\\|b \\*c\\*");
        assert_eq!(text("<img src=x>"), "&lt;img src=x&gt;");
        assert_eq!(text("[x](http://e)"), "\\[x\\](http&#58;//e)");
        assert_eq!(text("@all `x`"), "&#64;all \\`x\\`");
    }
}
