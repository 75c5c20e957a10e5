//! The protocol loop over a real channel, without a process.

use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;

use fedflow_core::{Device, LeaseInfo, Task, Value};
use ipc_channel::ipc;
use serde::{Deserialize, Serialize};

use super::*;

#[derive(Serialize, Deserialize)]
struct Sum {
    numbers: Vec<i64>,
    #[serde(default)]
    fail: String,
    #[serde(skip)]
    loaded: Option<i64>,
}

impl Task for Sum {
    const KIND: &'static str = "sum";

    fn load(&mut self, _ctx: &mut LoadContext<'_>) -> Result<(), TaskError> {
        match self.fail.as_str() {
            "load" => return Err(TaskError::new("no data")),
            "load-panic" => panic!("on purpose"),
            _ => {}
        }
        self.loaded = Some(self.numbers.iter().sum());
        Ok(())
    }

    fn take_over(&mut self, earlier: Self, _ctx: &mut LoadContext<'_>) -> Result<(), TaskError> {
        if self.fail == "load" {
            return Err(TaskError::new("no luck"));
        }
        self.loaded = earlier.loaded.map(|sum| sum + 1000);
        Ok(())
    }

    fn train(&mut self, ctx: &mut TrainContext<'_>, device: &Device) -> Result<Dict, TaskError> {
        if self.fail == "oom-once" {
            self.fail.clear();
            return Err(TaskError::out_of_memory("the card is full"));
        }
        if self.fail == "deep" {
            let deep = (0..1000).fold(Value::Null, |inner, _| Value::List(vec![inner]));
            return Ok(Dict::from([("deep", deep)]));
        }
        for step in 0..1000 {
            ctx.set_item("step", Value::Int(step));
        }
        let mut result = Dict::from([("sum", self.loaded.unwrap_or(-1))]);
        result.insert("device", device.to_string());
        // One result in pieces, one whole.
        if self.fail != "small" {
            result.insert("big", vec![0_u8; 3 * MAX_CHUNK]);
        }
        result.insert("scale", ctx.params().get("scale").cloned().unwrap_or_default());
        Ok(result)
    }
}

/// A worker in a thread, and the supervisor's ends of its channels.
struct Served {
    commands: IpcSender<ToWorker>,
    events: IpcReceiver<ToHost>,
    worker: thread::JoinHandle<()>,
    given: AtomicU64,
}

impl Served {
    fn start() -> Self {
        let (commands, worker_commands) = ipc::channel().unwrap();
        let (worker_events, events) = ipc::channel().unwrap();
        let worker = thread::spawn(move || {
            let mut kinds = Kinds::default();
            kinds.add::<Sum>();
            serve(&kinds, &worker_commands, &worker_events, &mut |_, _| Ok(()));
        });
        Self { commands, events, worker, given: AtomicU64::new(0) }
    }

    fn task(&self, kind: &str, params: Dict) -> ToHost {
        self.kept_task(kind, params, None)
    }

    fn kept_task(&self, kind: &str, params: Dict, keep: Option<&str>) -> ToHost {
        let number = self.given.fetch_add(1, Ordering::Relaxed);
        let here = std::env::current_dir().unwrap();
        self.commands
            .send(ToWorker::Task(TaskMessage {
                number,
                group: "g".into(),
                task_id: "t".into(),
                attempt: 1,
                kind: kind.into(),
                workdir: here.as_path().into(),
                checkpoint_dir: here.as_path().into(),
                params: inline(params),
                result_limit: 1 << 20,
                keep: keep.map(Into::into),
            }))
            .unwrap();
        let answer = self.events.recv().unwrap();
        assert!(!matches!(answer, ToHost::Ready { number: other } if other != number), "{answer:?}");
        answer
    }

    fn load(&self) -> ToHost {
        self.commands.send(ToWorker::Load).unwrap();
        self.events.recv().unwrap()
    }

    fn train(&self, params: Dict) {
        let lease = LeaseInfo { device: Device::Cuda(2), cards: Vec::new(), memory: None };
        self.commands.send(ToWorker::Train { lease: lease.into(), params: inline(params) }).unwrap();
    }

    /// Items and the result that follows them.
    fn result(&self) -> (Vec<Value>, Dict) {
        let mut items = Vec::new();
        loop {
            match self.events.recv().unwrap() {
                ToHost::Item { key, value } => {
                    assert_eq!(key, "step");
                    items.push(codec::decode_value(&value.0, 1 << 20).unwrap());
                }
                ToHost::Whole(Bytes(bytes)) => return (items, codec::decode(&bytes, 1 << 20).unwrap()),
                ToHost::Result { length } => {
                    let mut bytes = Vec::new();
                    while (bytes.len() as u64) < length {
                        let ToHost::Chunk(Bytes(chunk)) = self.events.recv().unwrap() else {
                            panic!("no chunk")
                        };
                        assert!(chunk.len() <= MAX_CHUNK);
                        bytes.extend(chunk);
                    }
                    return (items, codec::decode(&bytes, 1 << 20).unwrap());
                }
                other => panic!("{other:?}"),
            }
        }
    }
}

fn inline(params: Dict) -> Carried {
    Carried::Inline(Bytes(codec::encode(params, u64::MAX).unwrap()))
}

fn numbers(fail: &str) -> Dict {
    let list = Value::List(vec![Value::Int(2), Value::Int(3)]);
    Dict::from([("numbers", list), ("fail", Value::from(fail))])
}

fn message_of(event: ToHost) -> (bool, String) {
    match event {
        ToHost::Failed { out_of_memory, message } => (out_of_memory, message),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_task_loads_and_trains_and_another_follows() {
    let served = Served::start();
    for (scale, size) in [(1, ""), (2, "small")] {
        assert!(matches!(served.task("sum", numbers(size)), ToHost::Ready { .. }));
        assert!(matches!(served.load(), ToHost::Loaded));
        served.train(Dict::from([("scale", scale)]));
        let (items, result) = served.result();
        assert_eq!(items.first(), Some(&Value::Int(0)));
        assert_eq!(items.last(), Some(&Value::Int(999)), "the last one always arrives");
        assert!(items.len() < 100, "{} of 1000 were told", items.len());
        assert_eq!(result.get("sum"), Some(&Value::Int(5)));
        assert_eq!(result.get("device"), Some(&Value::from("cuda:2")));
        assert_eq!(result.get("scale"), Some(&Value::Int(scale.into())));
    }
    served.commands.send(ToWorker::Exit).unwrap();
    served.worker.join().unwrap();
}

#[test]
fn what_does_not_fit_is_refused() {
    let served = Served::start();
    let ToHost::Refused { message } = served.task("mean", Dict::new()) else { panic!() };
    assert_eq!(message, "this worker has no task kind \"mean\"; it has sum");
    let ToHost::Refused { message } = served.task("sum", Dict::from([("numbers", "many")])) else { panic!() };
    assert!(message.starts_with("the parameters do not fit task kind \"sum\": "), "{message}");
    assert_eq!(message_of(served.load()).1, "the worker has no task");
    drop(served.commands);
    served.worker.join().unwrap();
}

#[test]
fn errors_and_panics_are_told_and_the_worker_lives() {
    let served = Served::start();
    served.task("sum", numbers("load"));
    assert_eq!(message_of(served.load()), (false, "no data".into()));
    served.task("sum", numbers("load-panic"));
    let (_, message) = message_of(served.load());
    assert!(message.starts_with("panicked at ") && message.contains(": on purpose ("), "{message}");
    assert!(message.ends_with("stderr.log)"), "it says where the backtrace lies: {message}");
    served.task("sum", numbers("oom-once"));
    served.load();
    served.train(Dict::new());
    assert_eq!(message_of(served.events.recv().unwrap()), (true, "the card is full".into()));
    served.train(Dict::new());
    assert_eq!(served.result().1.get("sum"), Some(&Value::Int(5)), "what was loaded is kept");
    served.task("sum", numbers("deep"));
    served.load();
    served.train(Dict::new());
    let (_, message) = message_of(served.events.recv().unwrap());
    assert!(message.contains("nested more than 128 levels"), "{message}");
}

#[test]
fn what_was_loaded_is_taken_over_only_under_the_same_key_and_only_if_it_was_loaded() {
    let served = Served::start();
    let sum = |keep: Option<&str>| {
        assert!(matches!(served.kept_task("sum", numbers(""), keep), ToHost::Ready { .. }));
        assert!(matches!(served.load(), ToHost::Loaded));
        served.train(Dict::new());
        served.result().1.get("sum").and_then(Value::as_i64).unwrap()
    };
    assert_eq!(sum(Some("a")), 5);
    assert_eq!(sum(Some("a")), 1005);
    assert_eq!(sum(Some("a")), 2005, "on and on");
    assert_eq!(sum(Some("b")), 5, "another key");
    assert_eq!(sum(None), 5);
    assert_eq!(sum(None), 5, "no key is no key");
    assert_eq!(sum(Some("a")), 5, "it had no key");
    served.kept_task("sum", numbers("load"), Some("a"));
    assert_eq!(message_of(served.load()), (false, "no luck".into()));
    assert_eq!(sum(Some("a")), 5, "the one before has loaded nothing");
}
