//! A task that does what its parameters say.

use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};

use fedflow_core::{Device, Dict, LoadContext, Task, TaskError, TrainContext, Value};
use rustix::process::{Signal, getpid, kill_process};
use serde::{Deserialize, Serialize};

/// What to do in each phase; an empty text does nothing.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(crate) struct Script {
    #[serde(default)]
    pub(crate) load: String,
    #[serde(default)]
    pub(crate) train: String,
    /// Only carried along.
    #[serde(default)]
    pub(crate) ballast: String,
    #[serde(skip)]
    pub(crate) loaded: bool,
    /// How many earlier tasks of the process had what it has taken over.
    #[serde(skip)]
    pub(crate) taken_over: u32,
}

impl Script {
    pub(crate) fn new(load: &str, train: &str) -> Self {
        Self { load: load.into(), train: train.into(), ..Self::default() }
    }
}

impl Task for Script {
    const KIND: &'static str = "script";

    fn load(&mut self, ctx: &mut LoadContext<'_>) -> Result<(), TaskError> {
        std::fs::write(ctx.workdir().join("pid"), std::process::id().to_string())?;
        act(&self.load)?;
        self.loaded = true;
        Ok(())
    }

    fn take_over(&mut self, earlier: Self, _ctx: &mut LoadContext<'_>) -> Result<(), TaskError> {
        act(&self.load)?;
        self.loaded = earlier.loaded;
        self.taken_over = earlier.taken_over + 1;
        Ok(())
    }

    fn train(&mut self, ctx: &mut TrainContext<'_>, device: &Device) -> Result<Dict, TaskError> {
        act(&self.train)?;
        if self.train == "helper-and-hang" {
            ctx.set_item("helper", start_helper()?);
            act("hang")?;
        }
        let mut result = Dict::from([("loaded", self.loaded)]);
        result.insert("device", device.to_string());
        result.insert("attempt", ctx.identity().attempt);
        result.insert("taken-over", self.taken_over);
        result.insert("pid", std::process::id());
        result.insert("ballast", i64::try_from(self.ballast.len())?);
        result.insert("scale", ctx.params().get("scale").cloned().unwrap_or_default());
        match self.train.as_str() {
            "look" => look_around(&mut result),
            "write" => {
                // Without the end of a line, so that it is still buffered when the task is over.
                print!("out of {}", ctx.identity().task_id);
                eprintln!("err of {}", ctx.identity().task_id);
                std::fs::write("here", "")?;
                None
            }
            "leave-daemon" => result.insert("helper", start_daemon()?),
            "leave-helper" => result.insert("helper", start_helper()?),
            "count" => {
                for step in 0..100_000_u32 {
                    ctx.progress(step.into(), 100_000);
                    ctx.set_item("step", step);
                }
                None
            }
            "deep" => result.insert("deep", (0..1000).fold(Value::Null, |inner, _| Value::List(vec![inner]))),
            "large" => result.insert("large", vec![0_u8; 2 << 20]),
            _ => None,
        };
        Ok(result)
    }
}

fn act(action: &str) -> Result<(), TaskError> {
    match action {
        "fail" => return Err(TaskError::new("no luck")),
        "oom" => return Err(TaskError::out_of_memory("full")),
        "panic" => panic!("on purpose"),
        "exit" => {
            eprintln!("last words");
            std::process::exit(7);
        }
        "kill" => kill_process(getpid(), Signal::KILL)?,
        "hang" => loop {
            std::thread::park();
        },
        _ => {}
    }
    Ok(())
}

/// Starts a process that outlives the task, in its group, with its standard error open.
fn start_helper() -> Result<i64, TaskError> {
    #[expect(clippy::disallowed_methods, reason = "the helper of a task under test")]
    let mut command = Command::new("sleep");
    let helper = command.arg("1000").arg0("fedflow-test-helper").stdout(Stdio::null()).spawn()?;
    Ok(helper.id().into())
}

/// Starts a process that leaves the task's group and has no parent any more when this returns.
fn start_daemon() -> Result<i64, TaskError> {
    #[expect(clippy::disallowed_methods, reason = "the helper of a task under test")]
    let mut command = Command::new("sh");
    let script = "setsid sh -c 'echo $$; exec sleep 1000 >/dev/null' &";
    let output = command.args(["-c", script]).stderr(Stdio::null()).output()?;
    Ok(String::from_utf8(output.stdout)?.trim().parse()?)
}

/// What user code finds around it.
fn look_around(result: &mut Dict) -> Option<Value> {
    let text = |path: std::io::Result<std::path::PathBuf>| {
        path.map_or_else(|error| error.to_string(), |path| path.display().to_string())
    };
    result.insert("cwd", text(std::env::current_dir()));
    result.insert("stdin", text(std::fs::read_link("/proc/self/fd/0")));
    let variables: Dict = std::env::vars()
        .filter(|(name, _)| name.starts_with("FEDFLOW") || name.starts_with("TEST"))
        .collect();
    result.insert("variables", variables);
    result.insert("tmpdir", std::env::temp_dir().display().to_string());
    let open = std::fs::read_dir("/proc/self/fd").into_iter().flatten().flatten();
    let open: Vec<Value> = open.map(|entry| Value::from(text(std::fs::read_link(entry.path())))).collect();
    result.insert("open", open)
}
