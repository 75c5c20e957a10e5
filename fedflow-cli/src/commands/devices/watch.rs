//! `fedflow devices --watch`: the cards, the leases of all users and the requests that wait, again and again.

use std::io::{self, BufWriter, ErrorKind, IsTerminal, Write};
use std::num::NonZero;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::time::Duration;

use fedflow_core::Size;
use fedflow_gpu::{DeviceEnvironment, Inventory, InventorySource, LeaseReport, WaitReport};
use fedflow_worker::store::unix_now;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use serde::Serialize;
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};

use super::card_text::{card_table, device_of, driver_line, write_notes, write_reason};
use crate::args::DevicesArgs;
use crate::commands::command_error::CommandError;
use crate::commands::printing::plain_table;
use crate::run::is_ignored;
use crate::view::{escape, seconds};

/// How often the devices are looked at by default.
const INTERVAL: Duration = Duration::from_secs(1);
/// The shortest time between two looks, so that what is looked at has time for something else.
const SHORTEST: Duration = Duration::from_millis(50);

/// Prints the inventory until it has been printed as often as was asked for, a signal comes, or its reader is gone.
pub(crate) fn cmd_watch(args: &DevicesArgs) -> Result<(), CommandError> {
    let interval = args.interval.unwrap_or(INTERVAL).max(SHORTEST);
    let mut signals = SignalPipe::open().map_err(CommandError::failed)?;
    let mut source = InventorySource::new(DeviceEnvironment::from_process());
    let mut screen = Screen::of_stdout();
    let mut left = args.count.map(NonZero::get);
    loop {
        let inventory = source.look();
        let shown =
            if args.json { json_line(&inventory) } else { frame(&inventory, unix_now(), screen.is_fresh()) };
        let printed =
            shown.and_then(|text| if args.json { screen.append(&text) } else { screen.show(&text) });
        match printed {
            Err(error) if error.kind() == ErrorKind::BrokenPipe => return Ok(()),
            Err(error) => return Err(CommandError::failed(format!("cannot write to stdout: {error}"))),
            Ok(()) => {}
        }
        left = left.map(|left| left - 1);
        if left == Some(0) {
            return Ok(());
        }
        match signals.wait(io::stdout().as_fd(), interval).map_err(CommandError::failed)? {
            Woken::TimeIsUp => {}
            Woken::ReaderGone => return Ok(()),
            Woken::Signal(signal) => return Err(CommandError::Stopped { signal }),
        }
    }
}

/// One object a line, with the time in Unix seconds.
fn json_line(inventory: &Inventory) -> io::Result<String> {
    #[derive(Serialize)]
    struct Line<'a> {
        time: f64,
        #[serde(flatten)]
        inventory: &'a Inventory,
    }
    let mut text = serde_json::to_string(&Line { time: unix_now(), inventory })?;
    text.push('\n');
    Ok(text)
}

/// What is shown at one time. The reason why there is no card is left out where it stands above already.
fn frame(inventory: &Inventory, now: f64, with_reason: bool) -> io::Result<String> {
    let mut out = Vec::new();
    let at = Duration::try_from_secs_f64(now).unwrap_or_default();
    let at = humantime::format_rfc3339_seconds(std::time::UNIX_EPOCH + at);
    let driver = driver_line(inventory).map(|line| format!("  {line}")).unwrap_or_default();
    writeln!(out, "{at}{driver}")?;
    if !inventory.cards.is_empty() {
        writeln!(out, "{}", card_table(inventory))?;
    }
    writeln!(out)?;
    if inventory.leases.is_empty() {
        writeln!(out, "no leases")?;
    } else {
        let header = ["device", "task", "user", "memory", "for", "state", "process"];
        writeln!(out, "{}", plain_table(header, inventory.leases.iter().map(|lease| lease_row(lease, now))))?;
    }
    if !inventory.waiting.is_empty() {
        let header = ["waiting", "devices", "memory", "for", "process"];
        let rows = inventory.waiting.iter().map(|waiting| waiting_row(waiting, now));
        writeln!(out, "\n{}", plain_table(header, rows))?;
    }
    write_notes(&mut out, inventory)?;
    if with_reason {
        write_reason(&mut out, inventory)?;
    }
    String::from_utf8(out).map_err(io::Error::other)
}

/// What other users have written is escaped: every user may write in the ledger's directory.
fn lease_row(lease: &LeaseReport, now: f64) -> [String; 7] {
    let state = match (lease.training, lease.supervised) {
        (true, true) => "training",
        (false, true) => "keeps memory",
        (_, false) => "supervisor gone",
    };
    let memory = match (lease.exclusive, lease.memory) {
        (true, _) => "whole".into(),
        // A CPU slot.
        (false, Size::ZERO) => "-".into(),
        (false, memory) => memory.to_string(),
    };
    [
        device_of(lease),
        lease.task.as_deref().map_or_else(|| "-".into(), escape),
        escape(&lease.user),
        memory,
        since(lease.since, now),
        state.into(),
        lease.worker.unwrap_or(lease.supervisor).to_string(),
    ]
}

fn waiting_row(waiting: &WaitReport, now: f64) -> [String; 5] {
    let whole = if waiting.exclusive { " (whole)" } else { "" };
    [
        escape(&waiting.user),
        format!("{}{whole}", waiting.devices),
        waiting.memory.to_string(),
        since(waiting.since, now),
        waiting.supervisor.to_string(),
    ]
}

#[expect(clippy::cast_precision_loss, reason = "a time of this century")]
fn since(unix: u64, now: f64) -> String {
    seconds((now - unix as f64).max(0.0))
}

/// stdout: a terminal, on which each frame takes the last one's place, or something to which they are appended.
struct Screen {
    terminal: Option<console::Term>,
    /// How many lines the last frame has on the terminal.
    lines: usize,
    frames: u64,
}

impl Screen {
    fn of_stdout() -> Self {
        let terminal = io::stdout().is_terminal().then(console::Term::stdout);
        Self { terminal, lines: 0, frames: 0 }
    }

    /// Whether nothing that was shown before will still be there.
    fn is_fresh(&self) -> bool {
        self.terminal.is_some() || self.frames == 0
    }

    fn show(&mut self, frame: &str) -> io::Result<()> {
        self.frames += 1;
        let Some(terminal) = &self.terminal else {
            let gap = if self.frames > 1 { "\n" } else { "" };
            return self.append(&format!("{gap}{frame}"));
        };
        let (rows, columns) = terminal.size();
        let (text, lines) = redrawn(frame, self.lines, rows.into(), columns.into());
        self.lines = lines;
        self.append(&text)
    }

    fn append(&self, text: &str) -> io::Result<()> {
        let mut out = BufWriter::new(io::stdout().lock());
        out.write_all(text.as_bytes())?;
        out.flush()
    }
}

/// What puts a frame in the place of one of `last` lines, and how many lines it has. It must fit: a line that the
/// terminal wraps or scrolls away cannot be drawn over.
fn redrawn(frame: &str, last: usize, rows: usize, columns: usize) -> (String, usize) {
    let room = rows.saturating_sub(1).max(1);
    let all = frame.lines().count();
    let (shown, left_out) = if all > room { (room - 1, all - (room - 1)) } else { (all, 0) };
    let mut text = String::new();
    if last > 0 {
        text.push_str(&format!("\x1b[{last}A\r"));
    }
    let more = (left_out > 0).then(|| format!("… {left_out} more lines"));
    for line in frame.lines().take(shown).chain(more.as_deref()) {
        // Cleared behind the text, not before: nothing flickers.
        text.push_str(&console::truncate_str(line, columns.max(1), "…"));
        text.push_str("\x1b[K\n");
    }
    text.push_str("\x1b[J");
    (text, shown + usize::from(left_out > 0))
}

/// What ended a wait.
#[derive(Debug, PartialEq, Eq)]
enum Woken {
    TimeIsUp,
    ReaderGone,
    Signal(i32),
}

/// Where signals that end the program make themselves heard.
struct SignalPipe {
    /// The signals and their pipes.
    pipes: Vec<(i32, UnixStream)>,
}

impl SignalPipe {
    fn open() -> io::Result<Self> {
        let mut pipes = Vec::new();
        // Under nohup, SIGHUP is ignored and shall stay so.
        for signal in [SIGINT, SIGTERM, SIGHUP].into_iter().filter(|signal| !is_ignored(*signal)) {
            let (read, write) = UnixStream::pair()?;
            signal_hook::low_level::pipe::register(signal, write)?;
            pipes.push((signal, read));
        }
        Ok(Self { pipes })
    }

    fn wait(&mut self, stdout: BorrowedFd<'_>, interval: Duration) -> io::Result<Woken> {
        let timeout = Timespec::try_from(interval).map_err(io::Error::other)?;
        // Of stdout only that its reader is gone: that comes unasked.
        let mut descriptors = vec![PollFd::from_borrowed_fd(stdout, PollFlags::empty())];
        descriptors.extend(self.pipes.iter().map(|(_, pipe)| PollFd::new(pipe, PollFlags::IN)));
        loop {
            match poll(&mut descriptors, Some(&timeout)) {
                Ok(_) => break,
                // The signal is in its pipe now, if it is one of ours.
                Err(Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
        let is_told = |descriptor: &PollFd<'_>| !descriptor.revents().is_empty();
        let told = self.pipes.iter().zip(&descriptors[1..]).find(|(_, descriptor)| is_told(descriptor));
        Ok(match told {
            Some(((signal, _), _)) => Woken::Signal(*signal),
            None if is_told(&descriptors[0]) => Woken::ReaderGone,
            None => Woken::TimeIsUp,
        })
    }
}

#[cfg(test)]
mod tests {
    use fedflow_core::Device;

    use super::*;

    fn lease() -> LeaseReport {
        LeaseReport {
            run: None,
            device: Some(Device::Cuda(1)),
            card: "GPU-b".into(),
            user: "ada\u{1b}[31m".into(),
            memory: Size::from_gb(3),
            exclusive: false,
            training: true,
            task: Some("train/seed-1".into()),
            supervisor: 41,
            supervised: true,
            worker: Some(42),
            since: 1_000,
            quarantined: false,
        }
    }

    #[test]
    fn a_frame_tells_leases_and_who_waits() {
        let waiting = WaitReport {
            user: "eve".into(),
            supervisor: 77,
            devices: 2,
            memory: Size::from_gb(8),
            exclusive: true,
            since: 1_080,
        };
        let inventory = Inventory { leases: vec![lease()], waiting: vec![waiting], ..Inventory::default() };
        assert_eq!(
            frame(&inventory, 1_090.0, true).unwrap(),
            "1970-01-01T00:18:10Z\n\
             \n\
             device  task          user           memory  for     state     process\n\
             cuda:1  train/seed-1  ada\\u{1b}[31m  3GB     1m 30s  training  42\n\
             \n\
             waiting  devices    memory  for  process\n\
             eve      2 (whole)  8GB     10s  77\n"
        );
    }

    #[test]
    fn a_frame_takes_the_place_of_the_last_one() {
        let mut terminal = vt100::Parser::new(6, 20, 0);
        let mut last = 0;
        let mut draw = |terminal: &mut vt100::Parser, frame: &str| {
            let (text, lines) = redrawn(frame, last, 6, 20);
            last = lines;
            terminal.process(text.replace('\n', "\r\n").as_bytes());
            terminal.screen().contents()
        };
        terminal.process(b"$ fedflow\r\n");
        assert_eq!(draw(&mut terminal, "one\ntwo\nthree\n"), "$ fedflow\none\ntwo\nthree");
        assert_eq!(draw(&mut terminal, "1\n"), "$ fedflow\n1", "nothing of a longer frame stays");
        let wide = "a line that is far too wide for this terminal";
        assert_eq!(draw(&mut terminal, wide), "$ fedflow\na line that is far …");
        let tall: String = (0..9).map(|line| format!("{line}\n")).collect();
        assert_eq!(draw(&mut terminal, &tall), "0\n1\n2\n3\n… 5 more lines");
        assert_eq!(draw(&mut terminal, "end\n"), "end");
    }

    #[test]
    fn a_reader_that_is_gone_and_a_signal_end_the_wait() {
        let (reader, writer) = io::pipe().unwrap();
        let (read, write) = UnixStream::pair().unwrap();
        let mut signals = SignalPipe { pipes: vec![(SIGINT, read)] };
        assert_eq!(signals.wait(writer.as_fd(), Duration::ZERO).unwrap(), Woken::TimeIsUp);
        drop(reader);
        let hour = Duration::from_secs(3600);
        assert_eq!(signals.wait(writer.as_fd(), hour).unwrap(), Woken::ReaderGone);
        (&write).write_all(b"x").unwrap();
        assert_eq!(signals.wait(writer.as_fd(), hour).unwrap(), Woken::Signal(SIGINT));
    }
}
