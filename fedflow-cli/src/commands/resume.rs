//! `fedflow resume`: goes on with a run from its directory alone.

use std::path::{Path, PathBuf};
use std::time::Duration;

use fedflow_core::{Config, Durations, StartOrder};
use fedflow_gpu::Pool;
use fedflow_worker::store::{Head, JournalReader, RunDir, RunLock, end_leftovers};

use super::run::{run_groups, say_note, with_grace};
use crate::args::{ResumeArgs, SettingArgs};
use crate::command_error::CommandError;
use crate::flow::FlowFile;
use crate::history::{EarlierRun, read_durations, read_run};
use crate::session::{Session, SessionPlan, shown};
use crate::stderr;
use crate::view::ProgressMode;
use crate::workers::{check_flow, load_settings, open_devices, worker_programs};

/// How long what is left of an earlier session has to end before it is killed.
const LEFTOVER_GRACE: Duration = Duration::from_secs(2);

/// Goes on with the run.
pub(crate) fn cmd_resume(args: &ResumeArgs) -> Result<(), CommandError> {
    let run_dir = RunDir::open(&args.run_dir).map_err(CommandError::refused)?;
    // Only the head is needed here; the records are read once the directory is locked.
    let head = JournalReader::open(&run_dir).map_err(CommandError::failed)?.head().clone();
    let Some(flow_file) = head.flow_file.as_deref().map(PathBuf::from) else {
        return Err(CommandError::refused(format!("{} was not run from a flow file", shown(run_dir.path())))
            .hint("run the program again that made it; what it has recorded is not run again"));
    };
    let text = run_dir.kept_flow().map_err(CommandError::failed)?;
    say_if_changed(&flow_file, &text);
    let file = FlowFile::parse(text, &flow_file)?;
    let config = with_password(with_grace(recorded_config(&head)?, args.grace))?;
    let opened = open_devices(args.devices.as_deref().unwrap_or(&head.devices), &config)?;
    check_flow(&file.flow, &config, &opened.pool)?;
    say_note(opened.note.as_deref());
    resume_flow(&run_dir, &file, config, opened.pool, args.progress)
}

/// Goes on with a run whose flow is at hand.
pub(crate) fn resume_flow(
    run_dir: &RunDir,
    file: &FlowFile,
    config: Config,
    pool: Pool,
    progress: ProgressMode,
) -> Result<(), CommandError> {
    let lock = RunLock::acquire(run_dir).map_err(CommandError::failed)?;
    let earlier = read_run(run_dir)?;
    let head = earlier.state.head().clone();
    end_earlier_session(run_dir, &earlier)?;
    let workers = worker_programs(&file.flow);
    let run_dir = run_dir.clone();
    let durations = if config.scheduler.order == StartOrder::LongestFirst {
        read_durations(&run_dir).map_err(CommandError::failed)?
    } else {
        Durations::default()
    };
    let plan = SessionPlan {
        run_dir,
        lock,
        head,
        earlier: Some(earlier),
        durations,
        config,
        pool,
        workers,
        progress,
    };
    run_groups(Session::open(plan)?, &file.flow)
}

/// Before anything is started, no process of an earlier session may be left: nothing runs twice at once.
fn end_earlier_session(run_dir: &RunDir, earlier: &EarlierRun) -> Result<(), CommandError> {
    if let Some(torn) = &earlier.state.journal.torn {
        let text =
            format!("note: the journal's torn end is cut: {} bytes at offset {}", torn.bytes, torn.offset);
        stderr::say(&text);
    }
    let left =
        end_leftovers(&earlier.state.head().run_token, LEFTOVER_GRACE).map_err(CommandError::failed)?;
    if left.is_empty() {
        return Ok(());
    }
    let pids: Vec<String> = left.iter().map(|process| process.pid.to_string()).collect();
    Err(CommandError::failed(format!(
        "processes of an earlier session of {} could not be ended: {}",
        shown(run_dir.path()),
        pids.join(", ")
    )))
}

fn recorded_config(head: &Head) -> Result<Config, CommandError> {
    let mut config = Config::default();
    for (key, value) in head.config.iter() {
        config.set(key, value).map_err(CommandError::failed)?;
    }
    Ok(config)
}

/// The journal keeps no password: it is taken from where the run took it, `fedflow.toml` or the environment.
fn with_password(mut config: Config) -> Result<Config, CommandError> {
    if config.smtp.enable {
        config.smtp.password = load_settings(&SettingArgs::default(), None)?.config().smtp.password.clone();
    }
    Ok(config)
}

fn say_if_changed(flow_file: &Path, kept: &str) {
    if std::fs::read_to_string(flow_file).is_ok_and(|text| text != kept) {
        let file = shown(flow_file);
        stderr::say(&format!(
            "note: {file} has changed since; the recorded flow goes on\n\
             hint: fedflow run --resume {file} takes the changes"
        ));
    }
}
