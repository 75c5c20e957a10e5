//! A worker that does what its parameters say, step by step, including everything that a worker can do wrong.

use std::process::{Command, ExitCode};
use std::sync::mpsc::channel;
use std::time::Duration;

use fedflow_core::{Device, Dict, LoadContext, Task, TaskError, TrainContext, Value};
use fedflow_worker::Worker;
use rustix::process::{Signal, getpid, kill_process};
use serde::{Deserialize, Serialize};

/// The steps of a task.
#[derive(Serialize, Deserialize)]
struct Scripted {
    /// What `load` does.
    #[serde(default)]
    load: Vec<String>,
    /// What `train` does.
    #[serde(default)]
    train: Vec<String>,
}

impl Task for Scripted {
    const KIND: &'static str = "scripted";

    fn load(&mut self, _ctx: &mut LoadContext) -> Result<(), TaskError> {
        let mut result = Dict::new();
        self.load.iter().try_for_each(|step| take_step(step, &mut result))
    }

    fn train(&mut self, ctx: &mut TrainContext, device: &Device) -> Result<Dict, TaskError> {
        let mut result = Dict::from([("device", device.to_string())]);
        for step in &self.train {
            match words(step) {
                ("item", key, value) => ctx.set_item(key, value.parse::<f64>()?),
                ("progress", done, total) => ctx.progress(done.parse()?, total.parse()?),
                // The first attempt never ends; its file in the checkpoint directory lets the next one pass.
                ("hang-once", ..) => {
                    let mark = ctx.checkpoint_dir().join("there");
                    if !mark.exists() {
                        std::fs::write(mark, "")?;
                        ctx.progress(1, 2);
                        take_step("hang", &mut result)?;
                    }
                }
                ("exit-once", ..) if ctx.identity().attempt == 1 => std::process::exit(7),
                ("exit-once", ..) => {}
                ("lease", ..) => {
                    let lease = ctx.lease();
                    result.insert("bytes", lease.memory.map_or(Value::Null, |size| size.to_string().into()));
                    for card in &lease.cards {
                        result.insert("card", card.device.to_string());
                        result.insert("name", card.name.as_str());
                        result.insert("uuid", card.uuid.as_deref().map_or(Value::Null, Value::from));
                    }
                }
                ("params", ..) => {
                    result.insert("params", ctx.params().clone());
                }
                ("attempt", ..) => {
                    result.insert("attempt", i64::from(ctx.identity().attempt));
                }
                _ => take_step(step, &mut result)?,
            }
        }
        Ok(result)
    }
}

/// The steps of a task that takes over what an earlier task of its key has loaded: only `train` runs then.
#[derive(Serialize, Deserialize)]
struct Keeper {
    #[serde(flatten)]
    script: Scripted,
    /// How often the loaded data has been handed over.
    #[serde(skip)]
    taken_over: i64,
}

impl Task for Keeper {
    const KIND: &'static str = "keeper";

    fn load(&mut self, ctx: &mut LoadContext) -> Result<(), TaskError> {
        self.script.load(ctx)
    }

    fn take_over(&mut self, earlier: Self, _ctx: &mut LoadContext) -> Result<(), TaskError> {
        self.taken_over = earlier.taken_over + 1;
        Ok(())
    }

    fn train(&mut self, ctx: &mut TrainContext, device: &Device) -> Result<Dict, TaskError> {
        let mut result = self.script.train(ctx, device)?;
        result.insert("taken-over", self.taken_over);
        Ok(result)
    }
}

/// The first word, the second, and the rest.
fn words(step: &str) -> (&str, &str, &str) {
    let (verb, rest) = step.split_once(' ').unwrap_or((step, ""));
    let (first, second) = rest.split_once(' ').unwrap_or((rest, ""));
    (verb, first, second)
}

fn take_step(step: &str, result: &mut Dict) -> Result<(), TaskError> {
    let (verb, first, second) = words(step);
    match verb {
        "wait" => wait(Duration::from_millis(first.parse()?)),
        "hang" => wait(Duration::from_secs(3600)),
        "print" => println!("{first} {second}"),
        "flood" => flood(first.parse()?)?,
        "complain" => eprintln!("{first} {second}"),
        "fail" => return Err(TaskError::new(format!("{first} {second}"))),
        "oom" => return Err(TaskError::out_of_memory("CUDA out of memory")),
        "panic" => panic!("{first} {second}"),
        "exit" => std::process::exit(first.parse()?),
        "signal" => {
            let signal = Signal::from_named_raw(first.parse()?).ok_or_else(|| TaskError::new("no signal"))?;
            kill_process(getpid(), signal)?;
            wait(Duration::from_secs(3600));
        }
        "grandchild" => {
            // It outlives this process unless it is ended.
            #[expect(clippy::disallowed_methods, reason = "a worker that leaves a process behind")]
            let child = Command::new("sleep").arg("3600").spawn()?;
            result.insert("grandchild", i64::from(child.id()));
        }
        // Processes that leave this one's group. Their numbers are in `left-behind` in the task's directory.
        "setsid-grandchild" => leave_behind("setsid", "echo $$; exec sleep 3600")?,
        // It has neither environment nor directory any more.
        "bare-grandchild" => leave_behind("env -i setsid", "cd /; echo $$; exec sleep 3600")?,
        // These have no parent any more: one has only its environment, one only its directory, one nothing.
        "daemon" => leave_behind("setsid", "cd /; sh -c 'echo $$; exec sleep 3600' &")?,
        "bare-daemon" => leave_behind("env -i setsid", "sh -c 'echo $$; exec sleep 3600' &")?,
        "lost-daemon" => leave_behind("env -i setsid", "cd /; sh -c 'echo $$; exec sleep 3600' &")?,
        // Waits until a line is written into a named pipe.
        "await" => {
            use std::io::{BufRead, BufReader};
            BufReader::new(std::fs::File::open(first)?).read_line(&mut String::new())?;
        }
        // Appends a whole line to a file that others write too.
        "note" => {
            use std::io::Write;
            let mut file = std::fs::File::options().create(true).append(true).open(first)?;
            file.write_all(format!("{second}\n").as_bytes())?;
        }
        "pid" => {
            result.insert("pid", i64::from(std::process::id()));
        }
        "place" => {
            result.insert("place", std::env::current_dir()?.display().to_string());
        }
        "return" => {
            result.insert(first, second.parse::<f64>().map_or_else(|_| Value::from(second), Value::from));
        }
        "variable" => {
            #[expect(clippy::disallowed_methods, reason = "a worker that looks at its environment")]
            result.insert(first, std::env::var(first).map_or(Value::Null, Value::from));
        }
        "bytes" => {
            result.insert("bytes", vec![7_u8; first.parse()?]);
        }
        "deep" => {
            let levels: usize = first.parse()?;
            let deep = (0..levels).fold(Value::Null, |inner, _| Value::List(vec![inner]));
            result.insert("deep", deep);
        }
        "odd" => {
            result.insert("nan", f64::NAN);
            result.insert("infinity", f64::NEG_INFINITY);
            result.insert("bytes", vec![0_u8, 255]);
            result.insert("big", i64::MIN);
            result.insert("text", "<script>alert('x')</script>\u{202e}\u{1b}[31m");
        }
        other => return Err(TaskError::new(format!("no such step: {other}"))),
    }
    Ok(())
}

/// Prints a number of MiB in numbered lines of 64 bytes.
fn flood(mebibytes: u64) -> std::io::Result<()> {
    use std::io::Write;
    let mut out = std::io::BufWriter::with_capacity(1 << 16, std::io::stdout().lock());
    (0..mebibytes << 14).try_for_each(|number| writeln!(out, "{number:063}"))?;
    out.flush()
}

/// Starts a shell through another program, and waits until the shell has printed its number.
fn leave_behind(through: &str, script: &str) -> Result<(), TaskError> {
    use std::io::{BufRead, BufReader, Write};
    let mut words = through.split(' ').chain(["sh", "-c", script]);
    #[expect(clippy::disallowed_methods, reason = "a worker that leaves a process behind")]
    let mut command = Command::new(words.next().unwrap_or("sh"));
    let mut child = command.args(words).stdout(std::process::Stdio::piped()).spawn()?;
    let mut number = String::new();
    let stdout = child.stdout.take().ok_or_else(|| TaskError::new("no pipe"))?;
    BufReader::new(stdout).read_line(&mut number)?;
    let mut list = std::fs::File::options().create(true).append(true).open("left-behind")?;
    Ok(list.write_all(number.as_bytes())?)
}

/// Lets time pass without using the processor.
fn wait(time: Duration) {
    let (_sender, receiver) = channel::<()>();
    let _ = receiver.recv_timeout(time);
}

fn main() -> ExitCode {
    #[expect(clippy::disallowed_methods, reason = "what goes wrong before the worker says hello")]
    match std::env::var("SCRIPTED_START").as_deref() {
        Ok("hang") => wait(Duration::from_secs(3600)),
        Ok("exit") => std::process::exit(9),
        Ok("garbage") => {
            use std::io::Write;
            use std::os::fd::AsFd;
            // Standard input is the socket to the supervisor.
            let socket = std::io::stdin().as_fd().try_clone_to_owned().map(std::fs::File::from);
            let _ = socket.and_then(|mut socket| socket.write_all(&[0xff; 10_000]));
            wait(Duration::from_secs(3600));
        }
        _ => {}
    }
    Worker::new().task::<Scripted>().task::<Keeper>().run()
}
