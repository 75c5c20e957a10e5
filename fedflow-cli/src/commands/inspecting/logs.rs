//! `fedflow logs`: what a task has printed, and with `--follow` what it prints.

use std::ffi::OsString;
use std::io::{self, ErrorKind, IsTerminal, Write};
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};

use fedflow_core::{Name, TaskOutcome};
use fedflow_worker::store::{LockError, LogPiece, LogReader, RunWatch, Woken};

use super::run_access::RunAccess;
use crate::args::LogsArgs;
use crate::commands::command_error::CommandError;
use crate::commands::printing::stderr;
use crate::run::short_path;
use crate::view::{TerminalText, counted, escape, one_line};

/// The most tasks that are named if none was asked for.
const NAMED: usize = 3;

/// Prints the logs of a task.
pub(crate) fn cmd_logs(args: &LogsArgs) -> Result<(), CommandError> {
    let mut access = RunAccess::open(&args.run_dir)?;
    let Some(task) = &args.task else { return Err(no_task_named(&access)) };
    let (group, task) = access.find_task(task)?;
    let mut printer = Printer::new(args);
    let printed = match args.attempt {
        Some(attempt) => print_attempt(&access, &group, &task, attempt, &mut printer),
        None if args.follow => follow(&mut access, &group, &task, &mut printer),
        None => print_now(&access, &group, &task, &mut printer),
    };
    match printed {
        // The reader has seen enough.
        Err(LogsError::Output(error)) if error.kind() == ErrorKind::BrokenPipe => Ok(()),
        Err(LogsError::Output(error)) => Err(CommandError::failed(format!("cannot print the log: {error}"))),
        Err(LogsError::Watch(error)) => Err(CommandError::failed(error)),
        Err(LogsError::Command(error)) => Err(error),
        Ok(()) => Ok(()),
    }
}

/// Says what to type for the tasks whose logs are most likely meant: those that failed, else those that have started.
fn no_task_named(access: &RunAccess) -> CommandError {
    let run = short_path(access.run_dir.path());
    let started = || access.overview.tasks().filter(|(_, task)| task.attempts > 0);
    let failed = started().filter(|(_, task)| task.failure().is_some());
    let mut meant: Vec<_> = failed.take(NAMED).collect();
    if meant.is_empty() {
        meant.extend(started().take(NAMED));
    }
    let error = match started().count() {
        0 => format!("{run} has no log: none of its tasks has started"),
        tasks => format!("{run} has the logs of {}: name one", counted(tasks as u64, "task")),
    };
    let lines =
        meant.into_iter().map(|(group, task)| format!("fedflow logs {run} {}/{}", group.name, task.id));
    lines.fold(CommandError::refused(error), CommandError::hint)
}

/// Why printing has ended.
enum LogsError {
    /// A log could not be read, or stdout not be written to.
    Output(io::Error),
    Watch(LockError),
    Command(CommandError),
}

impl From<io::Error> for LogsError {
    fn from(error: io::Error) -> Self {
        Self::Output(error)
    }
}

impl From<LockError> for LogsError {
    fn from(error: LockError) -> Self {
        Self::Watch(error)
    }
}

impl From<CommandError> for LogsError {
    fn from(error: CommandError) -> Self {
        Self::Command(error)
    }
}

/// Prints what the last attempt has printed so far.
fn print_now(access: &RunAccess, group: &Name, task: &Name, printer: &mut Printer) -> Result<(), LogsError> {
    let Some(workdir) = access.overview.workdir_of(group, task) else {
        let error = CommandError::refused(format!("{group}/{task} has not started yet"));
        return Err(error.hint("with -f, its log is waited for").into());
    };
    print_directory(&workdir, printer)
}

/// Prints what an earlier attempt has printed.
fn print_attempt(
    access: &RunAccess,
    group: &Name,
    task: &Name,
    attempt: u32,
    printer: &mut Printer,
) -> Result<(), LogsError> {
    let last = access.task(group, task).map_or(0, |task| task.attempts);
    let Some(workdir) = access.overview.workdir_of(group, task).filter(|_| attempt <= last) else {
        let error = format!("{group}/{task} has had {last} attempts so far");
        return Err(CommandError::refused(error).into());
    };
    if attempt == last {
        return print_directory(&workdir, printer);
    }
    let mut kept = workdir.file_name().map(OsString::from).unwrap_or_default();
    kept.push(format!(".attempt-{attempt}"));
    let kept = workdir.with_file_name(kept);
    if !kept.is_dir() {
        let error =
            format!("attempt {attempt} of {group}/{task} was not kept: there is no {}", short_path(&kept));
        return Err(CommandError::refused(error)
            .hint("supervision.keep-failed-attempts decides whether failed attempts are kept")
            .into());
    }
    print_directory(&kept, printer)
}

fn print_directory(workdir: &Path, printer: &mut Printer) -> Result<(), LogsError> {
    for stream in printer.streams.clone() {
        let mut reader = LogReader::open(workdir, stream.file()).map_err(|error| {
            let log = workdir.join(stream.file());
            CommandError::refused(format!("cannot read {}: {error}", escape(&short_path(&log))))
        })?;
        reader.read_new(|piece| printer.print(stream, piece))?;
    }
    Ok(printer.flush()?)
}

/// Prints what the task prints, attempt by attempt, until it has its outcome or its run has ended.
fn follow(access: &mut RunAccess, group: &Name, task: &Name, printer: &mut Printer) -> Result<(), LogsError> {
    let mut watch = RunWatch::open(&access.run_dir)?;
    let mut open: Vec<(Stream, LogReader)> = Vec::new();
    let stdout = io::stdout();
    loop {
        let supervised = watch.is_supervised();
        access.catch_up()?;
        let state = access.task(group, task);
        let over = state.is_none_or(|state| state.is_over());
        let workdir = access.overview.workdir_of(group, task);
        if let Some(workdir) = &workdir {
            watch_directories(&watch, access.run_dir.path(), workdir)?;
            pour(&mut open, workdir, printer)?;
        }
        if over || !supervised {
            say_end(access, group, task, workdir);
            return Ok(());
        }
        if watch.wait(Some(stdout.as_fd()))? == Woken::ReaderGone {
            return Ok(());
        }
    }
}

/// Watches a task's directory and, as it may not exist yet, the directories above it up to the run's.
fn watch_directories(watch: &RunWatch, run_dir: &Path, workdir: &Path) -> io::Result<()> {
    // From the top: a directory that is made in between is noticed then.
    let mut below: Vec<&Path> = workdir.ancestors().take_while(|path| path.starts_with(run_dir)).collect();
    below.reverse();
    below.into_iter().try_for_each(|path| watch.add_directory(path))
}

/// Prints what is new, and goes on with the next attempt's logs when they are there.
fn pour(open: &mut Vec<(Stream, LogReader)>, workdir: &Path, printer: &mut Printer) -> Result<(), LogsError> {
    let mut drain = |open: &mut Vec<(Stream, LogReader)>| {
        open.iter_mut()
            .try_for_each(|(stream, reader)| reader.read_new(|piece| printer.print(*stream, piece)))
    };
    drain(open)?;
    // The last output of an attempt is printed before the next attempt's.
    open.retain(|(_, reader)| reader.is_of(workdir));
    for stream in [Stream::Stdout, Stream::Stderr] {
        let is_open = open.iter().any(|(known, _)| *known == stream);
        // It does not exist yet, or is not a file: tried again when something changes.
        if !is_open && let Ok(reader) = LogReader::open(workdir, stream.file()) {
            open.push((stream, reader));
        }
    }
    drain(open)?;
    Ok(printer.flush()?)
}

fn say_end(access: &RunAccess, group: &Name, task: &Name, workdir: Option<PathBuf>) {
    let end = match access.task(group, task).and_then(|task| task.outcome.as_ref()) {
        Some(TaskOutcome::Finished(_)) => "finished".into(),
        Some(TaskOutcome::Failed(failure)) => one_line(failure),
        None if workdir.is_none() => "never started: nobody supervises the run".into(),
        None => "without an outcome: nobody supervises the run any more".into(),
    };
    stderr::say(&format!("{group}/{task}: {end}"));
}

/// One of a task's two logs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stream {
    Stdout,
    Stderr,
}

impl Stream {
    fn file(self) -> &'static str {
        match self {
            Self::Stdout => "stdout.log",
            Self::Stderr => "stderr.log",
        }
    }
}

/// Prints to stdout, escaped if that is a terminal. Of two logs, a line says which one follows.
struct Printer {
    streams: Vec<Stream>,
    last: Option<Stream>,
    /// Whether the last thing printed ended its line.
    at_line_start: bool,
    /// For a terminal: the rest of each stream's text, which may end within a character.
    terminal: Option<[TerminalText; 2]>,
    out: io::BufWriter<io::Stdout>,
}

impl Printer {
    fn new(args: &LogsArgs) -> Self {
        let streams = match (args.stdout, args.stderr) {
            (true, false) => vec![Stream::Stdout],
            (false, true) => vec![Stream::Stderr],
            _ => vec![Stream::Stdout, Stream::Stderr],
        };
        let stdout = io::stdout();
        let terminal = stdout.is_terminal().then(<[TerminalText; 2]>::default);
        Self { streams, last: None, at_line_start: true, terminal, out: io::BufWriter::new(stdout) }
    }

    fn print(&mut self, stream: Stream, piece: LogPiece<'_>) -> Result<(), LogsError> {
        if !self.streams.contains(&stream) {
            return Ok(());
        }
        if self.last != Some(stream) && self.streams.len() > 1 {
            self.end_line()?;
            writeln!(self.out, "==> {} <==", stream.file())?;
        }
        self.last = Some(stream);
        match piece {
            LogPiece::Dropped(bytes) => {
                self.end_line()?;
                writeln!(self.out, "[… {bytes} bytes dropped …]")?;
            }
            LogPiece::Text(bytes) => {
                self.at_line_start = bytes.ends_with(b"\n");
                match &mut self.terminal {
                    Some(terminal) => {
                        self.out.write_all(terminal[stream as usize].escape(bytes).as_bytes())?
                    }
                    None => self.out.write_all(bytes)?,
                }
            }
        }
        Ok(())
    }

    fn end_line(&mut self) -> io::Result<()> {
        if !std::mem::replace(&mut self.at_line_start, true) {
            writeln!(self.out)?;
        }
        Ok(())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}
