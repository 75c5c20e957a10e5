//! `fedflow config`: the effective configuration and where each key comes from.

use crate::args::ConfigArgs;
use crate::command_error::CommandError;
use crate::flow::FlowFile;
use crate::settings::render;
use crate::stdout;
use crate::workers::load_settings;

/// Prints it as TOML that can be put into fedflow.toml.
pub(crate) fn cmd_config(args: &ConfigArgs) -> Result<(), CommandError> {
    let flow = args.flow.as_deref().map(FlowFile::read).transpose()?;
    let settings = load_settings(&args.settings, flow.as_ref())?;
    stdout::print(|out| out.write_all(render(&settings).as_bytes()))
}
