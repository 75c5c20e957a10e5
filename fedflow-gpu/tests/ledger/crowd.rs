//! Many supervisors in one lease directory, some of which are killed all the time.
//!
//! Each member logs a lease after it was granted and before it is released, so the lease was certainly held between the
//! two lines. A member that was killed held it until the signal was sent, or as long as its worker certainly lived.

use std::fmt;
use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::sync::mpsc::channel;
use std::time::Duration;

use fastrand::Rng;
use fedflow_core::{Config, DevicePool, LeaseRequest, Size, TaskKey};
use fedflow_gpu::{DeviceEnvironment, Opened, Pool};
use rustix::event::{PollFd, Timespec, poll};
use rustix::time::{ClockId, clock_gettime};

use super::checker::{self, Held};
use super::remote::{command, play, variable};
use crate::{NEVER, PATIENCE};

/// How many seconds the crowd is kept busy; set by `cargo xtask soak`. Without it, some kills are enough.
const SOAK: &str = "FEDFLOW_SOAK_SECONDS";
const CARDS: &str = "sim:2x10GB";
/// What leases may book of each card: 0.8 of it by default.
const CAPACITY: u64 = 8_000_000_000;
/// How long a worker lives at least, in nanoseconds.
const WORKER_LIFE: u64 = 10_000_000;

/// The members, and how long they are kept busy.
pub(crate) struct Crowd<'a> {
    root: &'a Path,
    environment: &'a DeviceEnvironment,
    members: usize,
    /// How many leases each member takes.
    leases: u32,
    kills: u32,
    /// Whether the directory is removed where a member would be killed.
    removes: bool,
    soak: Option<Duration>,
}

/// The outcome of a crowd.
pub(crate) struct Told {
    killed: u32,
    leases: usize,
    survivors: u32,
}

impl fmt::Display for Told {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { killed, leases, survivors } = self;
        write!(
            f,
            "{killed} kills or removals, {survivors} members lived to their end; {leases} leases, never too many"
        )
    }
}

impl<'a> Crowd<'a> {
    /// A small crowd, or a large one for as long as the environment says.
    pub(crate) fn of_size_for_test(root: &'a Path, environment: &'a DeviceEnvironment) -> Self {
        let soak = variable(SOAK).map(|seconds| Duration::from_secs(seconds.parse().unwrap()));
        let members = if soak.is_some() { 24 } else { 8 };
        let leases = if soak.is_some() { 200 } else { 20 };
        Self { root, environment, members, leases, kills: 30, removes: false, soak }
    }

    /// The same, in which no member is killed and the directory is removed instead.
    pub(crate) fn with_removals(self) -> Self {
        Self { removes: true, ..self }
    }

    /// Runs the members, kills some, lets the others end, and checks all logs.
    pub(crate) fn run(&self) -> Told {
        let seed = fastrand::u64(..);
        eprintln!("seed {seed}");
        let mut random = Rng::with_seed(seed);
        let mut told = Told { killed: 0, leases: 0, survivors: 0 };
        let mut members: Vec<Member> = (0..self.members).map(|_| self.start(&mut random)).collect();
        let mut judged = now();
        let began = now();
        loop {
            let enough = match self.soak {
                Some(soak) => u128::from(now() - began) >= soak.as_nanos(),
                None => told.killed >= self.kills,
            };
            if enough {
                break;
            }
            pause(random.u64(1_000_000..15_000_000));
            let at = random.usize(..members.len());
            if self.removes {
                // Files that are made meanwhile may stay, and the directory with them.
                let _ = fs::remove_dir_all(self.environment.lease_dir.as_ref().unwrap());
                told.killed += 1;
                if members[at].child.try_wait().unwrap().is_none() {
                    continue;
                }
            }
            let next = self.start(&mut random);
            let mut victim = std::mem::replace(&mut members[at], next);
            match victim.child.try_wait().unwrap() {
                // It had ended by itself.
                Some(status) => {
                    assert!(status.success(), "a member failed: {status}");
                    told.survivors += 1;
                }
                None => {
                    victim.killed = Some(now());
                    victim.child.kill().unwrap();
                    victim.child.wait().unwrap();
                    told.killed += 1;
                }
            }
            victim.retire(self.root);
            // A long run is checked in pieces, so that its logs do not pile up.
            if self.soak.is_some() && now() - judged > 20_000_000_000 {
                told.leases += self.judge(&members, judged);
                judged = now();
            }
        }
        // No member is killed from here on: all that are left must end by themselves.
        for member in &mut members {
            let status = member.child.wait().unwrap();
            assert!(status.success() || member.killed.is_some(), "a member failed: {status}");
            told.survivors += 1;
        }
        for member in &members {
            member.retire(self.root);
        }
        told.leases += self.judge(&[], judged);
        let left = crate::supervisors(self.environment).len();
        // The files of killed members stay until the ledger is read again, which removes void files.
        drop(crate::open(CARDS, self.environment));
        assert!(crate::supervisors(self.environment).is_empty(), "{left} files were left, and some stay");
        assert!(told.survivors >= self.members as u32 && told.leases > self.members);
        told
    }

    fn start(&self, random: &mut Rng) -> Member {
        let id = random.u64(..);
        let log = self.root.join(format!("{id:016x}.log"));
        let role = format!("crowd {id} {} {}", self.leases, log.display());
        let mut command = play(&role, self.environment);
        let child = command.stdin(Stdio::null()).stdout(Stdio::null()).spawn().unwrap();
        Member { child, log, killed: None }
    }

    /// Checks the logs of members that have ended, and what `living` members have written so far. Returns how many leases
    /// began since `from`, and removes the logs of members that have ended.
    fn judge(&self, living: &[Member], from: u64) -> usize {
        let mut held = Vec::new();
        for entry in fs::read_dir(self.root).unwrap() {
            let path = entry.unwrap().path();
            let Some(ended) = path.to_str().and_then(|path| path.strip_suffix(".ended")) else { continue };
            let killed: Option<u64> = fs::read_to_string(&path).unwrap().parse().ok();
            let log = PathBuf::from(ended);
            held.extend(read_log(&log, killed));
            fs::remove_file(&path).unwrap();
            fs::remove_file(&log).unwrap();
        }
        for member in living {
            held.extend(read_log(&member.log, Some(now())));
        }
        let began = held.iter().filter(|held| held.from >= from).count();
        if let Err(overlap) = checker::check(held, CAPACITY) {
            panic!("{overlap}");
        }
        began
    }
}

struct Member {
    child: Child,
    log: PathBuf,
    /// When it was killed, taken before the signal was sent.
    killed: Option<u64>,
}

impl Member {
    /// Notes that it has ended, beside its log.
    fn retire(&self, root: &Path) {
        let name = self.log.file_name().unwrap().to_str().unwrap();
        let killed = self.killed.map_or_else(String::new, |at| at.to_string());
        if !self.log.exists() {
            File::create(&self.log).unwrap();
        }
        fs::write(root.join(format!("{name}.ended")), killed).unwrap();
    }
}

impl Drop for Member {
    fn drop(&mut self) {
        // If the test has failed, no member outlives it.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The leases in a member's log. `end` is until when it certainly lived, if it did not end by itself.
fn read_log(log: &Path, end: Option<u64>) -> Vec<Held> {
    let member = log.display().to_string();
    let mut held: Vec<Held> = Vec::new();
    let mut open: Vec<usize> = Vec::new();
    let text = fs::read_to_string(log).unwrap_or_default();
    // The last line may be half written.
    for line in text.split_inclusive('\n').filter_map(|line| line.strip_suffix('\n')) {
        let words: Vec<&str> = line.split(' ').collect();
        let number = |at: usize| words[at].parse::<u64>().unwrap();
        match words[0] {
            "open" => {
                open.clear();
                for card in words[5..].iter() {
                    open.push(held.len());
                    held.push(Held {
                        member: member.clone(),
                        card: (*card).into(),
                        bytes: number(2),
                        alone: words[3] != "shares",
                        exclusive: words[3] == "exclusive",
                        from: number(1),
                        trains_until: u64::MAX,
                        // Unless a later line says more: a worker may outlive the member.
                        until: number(4),
                    });
                }
            }
            "worker" => open.iter().for_each(|at| held[*at].until = number(1)),
            "trained" => open.iter().for_each(|at| held[*at].trains_until = number(1)),
            "close" => {
                for at in open.drain(..) {
                    held[at].until = number(1);
                    held[at].trains_until = held[at].trains_until.min(number(1));
                }
            }
            _ => panic!("{line}"),
        }
    }
    for at in open {
        let held = &mut held[at];
        held.until = held.until.max(end.unwrap_or(0));
        held.trains_until = held.trains_until.min(held.until);
    }
    held
}

/// Plays one member: takes leases of all sizes and kinds, holds each for a moment, releases it.
pub(crate) fn play_member(words: &[String], environment: &DeviceEnvironment) {
    let (id, leases): (u64, u32) = (words[0].parse().unwrap(), words[1].parse().unwrap());
    let mut random = Rng::with_seed(id);
    let mut log = File::options().append(true).create(true).open(&words[2]).unwrap();
    let mut write = |line: String| log.write_all(line.as_bytes()).unwrap();
    let Opened { mut pool, .. } =
        Pool::open(&CARDS.parse().unwrap(), &Config::default(), environment).unwrap();
    let (sender, woken) = channel();
    let _watch = pool
        .start_watch(NEVER, move || {
            let _ = sender.send(());
        })
        .unwrap();
    for place in 0..leases {
        let request = LeaseRequest {
            holder: TaskKey { group: 1, place },
            devices: if random.u8(..) < 32 { 2 } else { 1 },
            memory: Size::from_gb(random.u64(1..=8)),
            estimated: random.u8(..) < 224,
            exclusive: random.u8(..) < 32,
            pin: None,
            hold: false,
            replaces: None,
            roomy: false,
        };
        let lease = loop {
            if let Some(lease) = pool.try_lease(&request) {
                break lease;
            }
            woken.recv_timeout(PATIENCE).expect("a wake-up");
        };
        let sharing = match (request.exclusive, request.estimated) {
            (true, _) => "exclusive",
            (false, false) => "alone",
            (false, true) => "shares",
        };
        let cards: Vec<String> = lease.shares.iter().map(|share| share.info.device.to_string()).collect();
        write(format!("open {} {} {sharing} 0 {}\n", now(), request.memory.bytes(), cards.join(" ")));
        let worker = (random.u8(..) < 64).then(|| {
            let until = now() + WORKER_LIFE;
            let seconds = WORKER_LIFE as f64 / 1e9;
            let worker = command("sleep").arg(seconds.to_string()).stdin(Stdio::null()).spawn().unwrap();
            pool.holders().unwrap().name(lease.id, worker.id(), "crowd/worker");
            write(format!("worker {until}\n"));
            worker
        });
        pause(random.u64(..3_000_000));
        if random.bool() {
            write(format!("trained {}\n", now()));
            pool.end_train(lease.id);
            pause(random.u64(..1_000_000));
        }
        if let Some(mut worker) = worker {
            worker.wait().unwrap();
        }
        write(format!("close {}\n", now()));
        pool.release(lease.id);
    }
}

/// The clock that all processes of the machine share, in nanoseconds.
fn now() -> u64 {
    let Timespec { tv_sec, tv_nsec } = clock_gettime(ClockId::Monotonic);
    tv_sec.unsigned_abs() * 1_000_000_000 + tv_nsec.unsigned_abs()
}

/// Waits for some nanoseconds; the random timing is what this test is about.
fn pause(nanoseconds: u64) {
    let none: &mut [PollFd<'_>] = &mut [];
    let _ = poll(none, Some(&Timespec { tv_sec: 0, tv_nsec: nanoseconds.cast_signed() }));
}
