//! `telemetry.jsonl`: samples of the devices during the run.
//!
//! It is not durable: nothing waits for it, nothing is synced, and a run goes on without it.

use std::fs::File;
use std::io::{self, BufRead, BufReader, BufWriter, Read, Write};
use std::os::unix::fs::FileExt;
use std::time::Duration;

use fedflow_core::{DeviceInfo, TelemetryMerger, TelemetrySample, halve_telemetry};
use serde::{Deserialize, Serialize};

use super::run_dir::{PrivateDir, RunDir, RunLock};
use super::wall_clock;

const FILE: &str = "telemetry.jsonl";
const VERSION: u32 = 1;
/// The size at which the file is thinned: about a day of one card at a sample a second, or four hours of eight.
const LIMIT: u64 = 16 << 20;
/// Fedflow never writes a larger file, so no more is read.
const READ_LIMIT: u64 = 4 * LIMIT;
/// How many samples may be lost when the supervisor is killed.
const UNFLUSHED: u32 = 10;

/// Why telemetry cannot be written or read.
#[derive(Debug, thiserror::Error)]
pub enum TelemetryError {
    /// The system refuses something.
    #[error("cannot use {FILE}: {0}")]
    Io(#[from] io::Error),
    /// The file was written by a newer Fedflow.
    #[error("{FILE} has version {0}, and this Fedflow knows version {VERSION}")]
    Version(u32),
    /// The heads of too many sessions fill the file, so that thinning does not help.
    #[error("{FILE} is full")]
    Full,
}

/// The line with which each session begins.
#[derive(Debug, Serialize, Deserialize)]
struct Head {
    fedflow_telemetry: u32,
    /// When it was written, in Unix seconds.
    time: f64,
    /// How long each sample stands for at first, in seconds.
    interval: f64,
    devices: Vec<DeviceInfo>,
}

/// Appends samples to a run's `.fedflow/telemetry.jsonl`.
///
/// A file of more than 16 MiB is thinned: every two neighbouring samples become one, and later samples
/// are merged in the same way before they are written. So the file stays below that size, with one spacing for a session.
#[derive(Debug)]
pub struct TelemetryWriter {
    directory: PrivateDir,
    out: BufWriter<File>,
    size: u64,
    limit: u64,
    unflushed: u32,
    merger: TelemetryMerger,
}

impl TelemetryWriter {
    /// Opens the file, or goes on with that of earlier sessions; `interval` and `devices` are those of this session.
    ///
    /// # Errors
    /// The file cannot be written, or was written by a newer Fedflow.
    pub fn open(lock: &RunLock, interval: Duration, devices: &[DeviceInfo]) -> Result<Self, TelemetryError> {
        Self::open_with_limit(lock, interval, devices, LIMIT)
    }

    fn open_with_limit(
        lock: &RunLock,
        interval: Duration,
        devices: &[DeviceInfo],
        limit: u64,
    ) -> Result<Self, TelemetryError> {
        let directory = lock.run_dir().private().clone();
        let goes_on = directory.contains(FILE)?;
        let mut file = if goes_on { directory.append(FILE)? } else { directory.create_empty(FILE)? };
        let size = file.metadata()?.len();
        if goes_on {
            refuse_newer(&file)?;
            end_torn_line(&mut file, size)?;
        }
        let (out, merger) = (BufWriter::new(file), TelemetryMerger::default());
        let mut writer = Self { directory, out, size, limit, unflushed: 0, merger };
        writer.append(&Head {
            fedflow_telemetry: VERSION,
            time: wall_clock::unix_now(),
            interval: interval.as_secs_f64(),
            devices: devices.to_vec(),
        })?;
        writer.out.flush()?;
        Ok(writer)
    }

    /// Appends a sample. Buffered, and not durable. Blocks on the disk now and then.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn write(&mut self, sample: TelemetrySample) -> Result<(), TelemetryError> {
        if let Some(sample) = self.merger.push(sample) {
            self.append(&sample)?;
            if self.size > self.limit {
                self.thin()?;
            }
        }
        Ok(())
    }

    fn append(&mut self, line: &impl Serialize) -> Result<(), TelemetryError> {
        let mut text = serde_json::to_vec(line).map_err(io::Error::from)?;
        text.push(b'\n');
        self.out.write_all(&text)?;
        self.size += text.len() as u64;
        self.unflushed += 1;
        if self.unflushed >= UNFLUSHED {
            self.out.flush()?;
            self.unflushed = 0;
        }
        Ok(())
    }

    /// Writes the file anew with half as many samples.
    fn thin(&mut self) -> Result<(), TelemetryError> {
        self.out.flush()?;
        let mut text = Vec::new();
        let mut samples = Vec::new();
        let mut put = |samples: &mut Vec<TelemetrySample>, head: Option<&[u8]>| -> io::Result<()> {
            for sample in halve_telemetry(std::mem::take(samples)) {
                serde_json::to_writer(&mut text, &sample)?;
                text.push(b'\n');
            }
            text.extend_from_slice(head.unwrap_or_default());
            Ok(())
        };
        // Each session is thinned separately, and its head is kept.
        read_lines(self.directory.read(FILE)?, |line| match Line::of(line) {
            Line::Head(_) => put(&mut samples, Some(line)),
            Line::Sample(sample) => {
                samples.push(sample);
                Ok(())
            }
            Line::Damaged => Ok(()),
        })?;
        put(&mut samples, None)?;
        if text.len() as u64 > self.limit / 4 * 3 {
            return Err(TelemetryError::Full);
        }
        self.out = BufWriter::new(self.directory.write_durably(FILE, &text)?);
        self.size = text.len() as u64;
        self.merger.double();
        Ok(())
    }
}

impl Drop for TelemetryWriter {
    /// Writes what is left. A failure loses nothing that matters.
    fn drop(&mut self) {
        if let Some(sample) = self.merger.take() {
            let _ = self.append(&sample);
        }
        let _ = self.out.flush();
    }
}

/// Reads the telemetry of all sessions of a run, in order; without the file there is none. Returns how many lines were
/// damaged: they are left out, as is the line that a crash has torn.
///
/// # Errors
/// The file cannot be read, or was written by a newer Fedflow: by then `each` has been called for the samples before.
pub fn read_telemetry(
    run_dir: &RunDir,
    mut each: impl FnMut(TelemetrySample),
) -> Result<usize, TelemetryError> {
    if !run_dir.private().contains(FILE)? {
        return Ok(0);
    }
    let mut damaged = 0;
    read_lines(run_dir.private().read(FILE)?, |line| {
        match Line::of(line) {
            Line::Head(head) if head.fedflow_telemetry > VERSION => {
                return Err(TelemetryError::Version(head.fedflow_telemetry));
            }
            Line::Head(_) => {}
            Line::Sample(sample) => each(sample),
            Line::Damaged => damaged += 1,
        }
        Ok(())
    })?;
    Ok(damaged)
}

enum Line {
    Head(Head),
    Sample(TelemetrySample),
    Damaged,
}

impl Line {
    fn of(line: &[u8]) -> Self {
        if line.starts_with(b"{\"fedflow_telemetry\"") {
            // Of a newer version only the first member is known.
            #[derive(Deserialize)]
            struct Versioned {
                fedflow_telemetry: u32,
            }
            let known = serde_json::from_slice::<Head>(line);
            let known = known.or_else(|_| {
                let Versioned { fedflow_telemetry } = serde_json::from_slice(line)?;
                Ok::<_, serde_json::Error>(Head {
                    fedflow_telemetry,
                    time: 0.0,
                    interval: 0.0,
                    devices: Vec::new(),
                })
            });
            return known.map_or(Self::Damaged, Self::Head);
        }
        serde_json::from_slice(line).map_or(Self::Damaged, Self::Sample)
    }
}

fn read_lines<E: From<io::Error>>(file: File, mut each: impl FnMut(&[u8]) -> Result<(), E>) -> Result<(), E> {
    let mut lines = BufReader::with_capacity(1 << 16, file.take(READ_LIMIT));
    let mut line = Vec::new();
    while lines.read_until(b'\n', &mut line)? > 0 {
        each(&line)?;
        line.clear();
    }
    Ok(())
}

fn refuse_newer(file: &File) -> Result<(), TelemetryError> {
    let mut start = [0; 64];
    let read = file.read_at(&mut start, 0)?;
    let digits = start[..read].strip_prefix(b"{\"fedflow_telemetry\":").unwrap_or_default();
    let digits = digits.iter().take_while(|byte| byte.is_ascii_digit());
    let version =
        digits.fold(0_u32, |number, digit| number.saturating_mul(10).saturating_add(u32::from(digit - b'0')));
    if version > VERSION { Err(TelemetryError::Version(version)) } else { Ok(()) }
}

/// Ends a line that a crash has torn, so that the next line is whole.
fn end_torn_line(file: &mut File, size: u64) -> io::Result<()> {
    let mut last = [b'\n'];
    if size > 0 {
        file.read_exact_at(&mut last, size - 1)?;
    }
    if last == [b'\n'] { Ok(()) } else { file.write_all(b"\n") }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;

    use fedflow_core::{Device, DeviceSample, Size};

    use super::*;
    use crate::store::example_run as sample;

    const SECOND: Duration = Duration::from_secs(1);

    fn seen(time: f64) -> TelemetrySample {
        let device = DeviceSample {
            utilization: Some(50.0),
            memory_used: Some(Size::from_bytes(time as u64)),
            ..DeviceSample::unknown(Device::Cuda(0))
        };
        TelemetrySample { time, duration: SECOND, devices: vec![device] }
    }

    fn read(run: &RunDir) -> (Vec<TelemetrySample>, usize) {
        let mut samples = Vec::new();
        let damaged = read_telemetry(run, |sample| samples.push(sample)).unwrap();
        (samples, damaged)
    }

    #[test]
    fn a_second_session_appends_and_torn_lines_are_left_out() {
        let root = tempfile::tempdir().unwrap();
        let run = sample::new_run(root.path());
        assert_eq!(read(&run), (Vec::new(), 0), "without a file there is none");
        let lock = RunLock::acquire(&run).unwrap();
        let mut writer = TelemetryWriter::open(&lock, SECOND, &[]).unwrap();
        writer.write(seen(1.0)).unwrap();
        drop(writer);
        let path = run.path().join(".fedflow").join(FILE);
        let mut torn = fs::OpenOptions::new().append(true).open(&path).unwrap();
        torn.write_all(b"{\"time\":2.0,\"sec").unwrap();
        let mut writer = TelemetryWriter::open(&lock, SECOND, &[]).unwrap();
        writer.write(seen(9.0)).unwrap();
        drop(writer);
        assert_eq!(read(&run), (vec![seen(1.0), seen(9.0)], 1));
        let text = fs::read_to_string(&path).unwrap();
        assert_eq!(text.matches("{\"fedflow_telemetry\":1,").count(), 2, "{text}");
    }

    #[test]
    fn a_long_run_is_thinned_and_keeps_its_beginning_and_its_peak() {
        let root = tempfile::tempdir().unwrap();
        let run = sample::new_run(root.path());
        let lock = RunLock::acquire(&run).unwrap();
        let mut writer = TelemetryWriter::open_with_limit(&lock, SECOND, &[], 20_000).unwrap();
        for second in 0..5_000 {
            writer.write(seen(f64::from(second))).unwrap();
            assert!(writer.size <= 20_000, "never larger than its limit");
        }
        drop(writer);
        let (samples, damaged) = read(&run);
        assert_eq!(damaged, 0);
        assert!((60..300).contains(&samples.len()), "{}", samples.len());
        let seconds = samples.iter().map(|sample| sample.duration).sum::<Duration>().as_secs_f64();
        assert_eq!((samples[0].time, seconds), (0.0, 5_000.0), "every second is accounted for");
        let last = samples.last().unwrap();
        assert_eq!(last.devices[0].memory_used, Some(Size::from_bytes(4_999)));
        assert!(samples.iter().all(|sample| sample.devices[0].utilization == Some(50.0)));
    }

    #[test]
    fn what_is_newer_or_not_ours_is_left_alone() {
        let root = tempfile::tempdir().unwrap();
        let run = sample::new_run(root.path());
        let lock = RunLock::acquire(&run).unwrap();
        let path = run.path().join(".fedflow").join(FILE);
        let newer = "{\"fedflow_telemetry\":2,\"other\":true}\n";
        fs::write(&path, newer).unwrap();
        assert!(matches!(TelemetryWriter::open(&lock, SECOND, &[]), Err(TelemetryError::Version(2))));
        assert!(matches!(read_telemetry(&run, |_| {}), Err(TelemetryError::Version(2))));
        assert_eq!(fs::read_to_string(&path).unwrap(), newer);
        fs::remove_file(&path).unwrap();
        let foreign = root.path().join("foreign");
        fs::write(&foreign, "precious").unwrap();
        symlink(&foreign, &path).unwrap();
        assert!(TelemetryWriter::open(&lock, SECOND, &[]).is_err(), "no link is followed");
        assert_eq!(fs::read_to_string(&foreign).unwrap(), "precious");
    }

    #[test]
    fn rubbish_is_counted_and_left_out() {
        let root = tempfile::tempdir().unwrap();
        let run = sample::new_run(root.path());
        let path = run.path().join(".fedflow").join(FILE);
        fs::write(&path, b"\xff\xfe\n{}\n[[[[[[\n\n{\"time\":1e999,\"seconds\":1,\"devices\":[]}\n").unwrap();
        assert_eq!(read(&run), (Vec::new(), 5));
    }
}
