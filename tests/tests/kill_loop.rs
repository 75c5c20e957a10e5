//! Promise 2: a supervisor that is killed at any moment loses nothing. A run that is killed and resumed again and again
//! ends as an undisturbed one: every task once, with the same result. A worker that is killed costs only its own task.
//!
//! `FEDFLOW_SOAK_ROUNDS` is the number of runs; `cargo xtask soak` sets it.
#![expect(clippy::unwrap_used, reason = "a test may panic")]

#[path = "kill_loop/announcements.rs"]
mod announcements;
#[path = "kill_loop/every_record.rs"]
mod every_record;
#[path = "kill_loop/every_write.rs"]
mod every_write;
#[path = "kill_loop/workers.rs"]
mod workers;

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use fedflow_core::{Name, RunEvent};
use fedflow_tests::{Held, Sandbox};
use fedflow_worker::store::{LockState, RunDir, RunLock, processes_of_run, read_journal};
use rustix::process::Signal;

/// Two groups of Rust workers and commands. One task fails, and the second group needs the results of the first.
const FLOW: &str = r#"
name = "kill-loop"
[workers.scripted]
command = ["{scripted}"]
[[groups]]
name = "first"
[[groups.tasks]]
matrix = { i = { from = 0, to = 6 } }
id = "rust-{{ i }}"
worker = "scripted"
kind = "scripted"
params = { load = ["wait 3"], train = ["wait 4", "return value {{ i }}"] }
[[groups.tasks]]
matrix = { i = { from = 0, to = 3 } }
id = "command-{{ i }}"
command = ["sh", "-c", "echo '{\"value\": {{ i }}}' > $FEDFLOW_RESULT"]
[[groups.tasks]]
id = "fails"
worker = "scripted"
kind = "scripted"
params = { train = ["fail as it always does"] }
[[groups]]
name = "second"
[[groups.tasks]]
matrix = { i = { from = 0, to = 4 } }
id = "after-{{ i }}"
worker = "scripted"
kind = "scripted"
params = { train = ["wait 3", "return value {{ result('first', 'rust-' ~ i).value }}"] }
"#;

/// The outcome of every task, without what depends on time or on the number of attempts.
type Outcomes = BTreeMap<(String, String), (String, String)>;

fn outcomes(sandbox: &Sandbox) -> Outcomes {
    let results = sandbox.results();
    let groups = results["groups"].as_array().unwrap().clone();
    let tasks = groups.into_iter().flat_map(|group| {
        let name = group["name"].as_str().unwrap().to_owned();
        let tasks = group["tasks"].as_array().unwrap().clone();
        tasks.into_iter().map(move |task| {
            let key = (name.clone(), task["id"].as_str().unwrap().to_owned());
            (key, (task["status"].to_string(), format!("{} {}", task["result"], task["error"]["message"])))
        })
    });
    tasks.collect()
}

/// The supervisor of the current run, once it has the lock.
fn supervisor(run_dir: &Path) -> Option<Held> {
    match RunLock::probe(&RunDir::open(run_dir).ok()?).ok()? {
        LockState::Held(Some(holder)) => Held::find(holder.process.pid),
        _ => None,
    }
}

/// The token by which the processes of a run are known.
fn run_token(run_dir: &Path) -> String {
    read_journal(&RunDir::open(run_dir).unwrap(), |_| {}).unwrap().head.run_token
}

/// The number of runs: that of the soak, or else the given one.
fn rounds(otherwise: u64) -> u64 {
    #[expect(clippy::disallowed_methods, reason = "how long it shall go on")]
    std::env::var("FEDFLOW_SOAK_ROUNDS").ok().and_then(|text| text.parse().ok()).unwrap_or(otherwise)
}

/// Checks that every task has one outcome in the journal, that none started again after it, and that no process is left.
fn check_journal(run_dir: &Path) {
    let mut ended: BTreeMap<(Name, Name), u32> = BTreeMap::new();
    let recovered = read_journal(&RunDir::open(run_dir).unwrap(), |record| {
        let Some((group, task, _)) = record.event.task() else { return };
        let key = (group.clone(), task.clone());
        match record.event {
            RunEvent::TaskStarted { .. } => {
                assert!(!ended.contains_key(&key), "{key:?} ran again after its end")
            }
            RunEvent::TaskFinished { .. } | RunEvent::TaskFailed { .. } => {
                *ended.entry(key).or_default() += 1
            }
            _ => {}
        }
    });
    assert_eq!(processes_of_run(&recovered.unwrap().head.run_token).unwrap(), [], "processes are left");
    assert!(ended.values().all(|count| *count == 1), "two outcomes: {ended:?}");
}

#[test]
fn a_run_that_is_killed_at_any_moment_ends_as_if_nothing_had_happened() {
    let rounds = rounds(4);
    let undisturbed = Sandbox::new();
    undisturbed.write("flow.toml", FLOW);
    assert_eq!(undisturbed.fedflow("run flow.toml --devices cpu:2").code, 1);
    let expected = outcomes(&undisturbed);
    assert_eq!(expected.len(), 14);

    let mut killed = 0;
    for seed in 0..rounds {
        let mut random = Lottery(seed + 1);
        let sandbox = Sandbox::new();
        sandbox.write("flow.toml", FLOW);
        let run_dir = sandbox.path().join("res");
        let mut command = "run flow.toml --devices cpu:2".to_owned();
        loop {
            let mut run = sandbox.start(&command);
            // The guard or the supervisor is killed after some number of events, or a moment later.
            let events = random.below(30);
            let went_on = (0..events).all(|_| run.line().is_some());
            let of_guard = random.below(2) == 0;
            let victim = if of_guard { Some(run.guard()) } else { supervisor(&run_dir) };
            let code = match victim {
                Some(victim) if went_on && !victim.ends_within(Duration::from_micros(random.below(3000))) => {
                    victim.try_signal(Signal::KILL);
                    killed += 1;
                    // What follows is typed at once: without its guard, the supervisor may go on for a while.
                    run.leave()
                }
                _ => run.finish(),
            };
            if code == 1 {
                break;
            }
            let has_begun = RunDir::open(&run_dir).is_ok();
            // Another code than that of a killed process, or of a run that was begun meanwhile, is a refusal.
            assert!(code == 128 + 9 || code == 2 && has_begun, "seed {seed}: {command} ends with {code}");
            if has_begun {
                command = "resume res".to_owned();
            }
        }
        assert_eq!(outcomes(&sandbox), expected, "seed {seed}");
        check_journal(&run_dir);
    }
    assert!(killed > 0, "nothing was ever killed");
}

/// Numbers that are the same for the same seed (SplitMix64, Steele, Lea and Flood 2014).
struct Lottery(u64);

impl Lottery {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % limit
    }
}
