//! The worker of the benchmark: its tasks only take time. Started by hand, it is a bare process that does the same, so
//! that the cost of Fedflow can be measured.

use std::process::ExitCode;
use std::sync::mpsc::channel;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use fedflow_core::{Device, Dict, LoadContext, Task, TaskError, TrainContext};
use fedflow_worker::Worker;
use serde::{Deserialize, Serialize};

/// Loads and trains for a number of seconds. Its result has the times, in Unix seconds.
#[derive(Serialize, Deserialize)]
struct PassTime {
    load: f64,
    train: f64,
    #[serde(skip)]
    loaded: f64,
}

impl Task for PassTime {
    const KIND: &'static str = "pass-time";

    fn load(&mut self, _ctx: &mut LoadContext) -> Result<(), TaskError> {
        pass(self.load);
        self.loaded = now();
        Ok(())
    }

    fn take_over(&mut self, earlier: Self, _ctx: &mut LoadContext) -> Result<(), TaskError> {
        self.loaded = earlier.loaded;
        Ok(())
    }

    fn train(&mut self, _ctx: &mut TrainContext, _device: &Device) -> Result<Dict, TaskError> {
        let began = now();
        pass(self.train);
        Ok(Dict::from([("loaded", self.loaded), ("began", began), ("ended", now())]))
    }
}

fn now() -> f64 {
    #[expect(clippy::disallowed_methods, reason = "a task that says when it ran")]
    let now = SystemTime::now();
    now.duration_since(UNIX_EPOCH).map_or(0.0, |since| since.as_secs_f64())
}

/// Waits on a channel to which nothing is sent: the task only takes time.
fn pass(seconds: f64) {
    if seconds > 0.0 {
        let (_sender, never) = channel::<()>();
        let _ = never.recv_timeout(Duration::from_secs_f64(seconds));
    }
}

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    // A runner may append the task's number.
    if let [word, load, train, ..] = &arguments[..]
        && word == "bare"
    {
        return match (load.parse(), train.parse()) {
            (Ok(load), Ok(train)) => {
                pass(load);
                pass(train);
                ExitCode::SUCCESS
            }
            _ => ExitCode::from(2),
        };
    }
    Worker::new().task::<PassTime>().run()
}
