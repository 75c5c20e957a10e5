//! `fedflow config`: the effective configuration and where each key comes from, and whether mail arrives.

use fedflow_core::Config;

use super::flow_setup::load_settings;
use crate::args::ConfigArgs;
use crate::commands::command_error::CommandError;
use crate::commands::printing::stderr;
use crate::commands::printing::stdout;
use crate::flow::FlowFile;
use crate::mail::{Account, MailMessage};
use crate::settings::render;

/// Prints it as TOML that can be put into fedflow.toml.
pub(crate) fn cmd_config(args: &ConfigArgs) -> Result<(), CommandError> {
    let flow = args.flow.as_deref().map(FlowFile::read).transpose()?;
    let settings = load_settings(&args.settings, flow.as_ref())?;
    if args.test_mail {
        return send_test_mail(settings.config());
    }
    stdout::print(|out| out.write_all(render(&settings).as_bytes()))
}

fn send_test_mail(config: &Config) -> Result<(), CommandError> {
    let account = Account::read(&config.smtp)?;
    stderr::say(&format!("sending a mail to {}", account.describe()));
    account.send(&MailMessage::of_test()).map_err(|error| {
        let hint = error.hint().map(String::from);
        CommandError::failed(format!("no mail is sent: {error}")).maybe_hint(hint)
    })?;
    stderr::say("the server has taken it");
    if !config.smtp.enable {
        stderr::say("note: runs send no mail while smtp.enable is false");
    }
    Ok(())
}
