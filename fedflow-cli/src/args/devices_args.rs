//! Arguments of `devices`.

use std::num::NonZero;
use std::time::Duration;

use clap::Args;

/// `fedflow devices`.
#[derive(Debug, Args)]
pub(crate) struct DevicesArgs {
    /// Print JSON; with --watch one object a line.
    #[arg(long)]
    pub(crate) json: bool,
    /// Show them again and again, with the leases of all users and the requests that wait, until Ctrl-C.
    #[arg(long)]
    pub(crate) watch: bool,
    /// The time between two looks, such as 2s; one second by default.
    #[arg(long, value_name = "DURATION", requires = "watch", value_parser = parse_interval)]
    pub(crate) interval: Option<Duration>,
    /// End after so many looks.
    #[arg(long, value_name = "N", requires = "watch")]
    pub(crate) count: Option<NonZero<u64>>,
}

/// A time between two looks, as `telemetry.interval` takes it.
fn parse_interval(text: &str) -> Result<Duration, String> {
    let interval = humantime::parse_duration(text).map_err(|error| error.to_string())?;
    let more = !interval.is_zero();
    more.then_some(interval).ok_or_else(|| "expected more than no time, such as 500ms".into())
}
