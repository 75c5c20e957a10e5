//! Federated averaging as a library user writes it: the loop over rounds is Rust code that wires the ports itself.
//!
//! ```console
//! $ cargo run --release -p fedflow-cli --example federated_averaging
//! ```
//!
//! This program is supervisor and worker in one: Fedflow starts it again for each task. Run it a second time after
//! you have stopped it: what was recorded is not run again.

use std::error::Error;
use std::path::PathBuf;
use std::time::{SystemTime, UNIX_EPOCH};

use fedflow_core::{
    Config, Flow, Observer, OnFailure, Ports, RunEvent, RunOutcome, RunSettings, TaskGroup, Time,
};
use fedflow_digits::{Aggregate, Federation, Split, TrainClient};
use fedflow_gpu::{DeviceChoice, DeviceEnvironment, Pool};
use fedflow_report::{Report, ReportWriter};
use fedflow_worker::store::{
    Existing, Head, JournalNotice, JournalWriter, RUN_TOKEN_VARIABLE, RunDir, RunLock, create_run_dir,
    end_leftovers, new_run_token, read_journal, recorded_config, recover,
};
use fedflow_worker::{Host, HostOptions, Worker};

/// Who is told of the run: the journal, so that nothing is lost, and the report.
struct Observers {
    journal: JournalWriter,
    report: ReportWriter,
}

impl Observer for Observers {
    fn record(&mut self, number: u64, time: Time, event: &RunEvent) {
        self.journal.record(number, time, event);
    }

    fn answers_durable(&self) -> bool {
        self.journal.answers_durable()
    }

    fn flush(&mut self) {
        self.journal.flush();
    }

    fn announce(&mut self, time: Time, event: &RunEvent) {
        self.report.announce(time, event);
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    // Started by Fedflow as a worker, this call does not return.
    Worker::new().task::<Split>().task::<TrainClient>().task::<Aggregate>().run_if_worker();

    let federation = Federation { rounds: 10, ..Federation::default() };
    let config = Config::default();
    let workdir = std::path::absolute("res-library")?;

    // The devices: all GPUs, or CPU slots where there is none.
    let opened = Pool::open(&DeviceChoice::Auto, &config, &DeviceEnvironment::from_process())?;
    if let Some(note) = opened.note {
        eprintln!("note: {note}");
    }

    // The run directory, for one supervisor at a time, with every event in a journal. If the program was stopped,
    // what it has recorded is not run again.
    #[expect(clippy::disallowed_methods, reason = "a program may look at the clock")]
    let started = SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs_f64();
    let (run_dir, is_new) = match RunDir::open(&workdir) {
        Ok(run_dir) => (run_dir, false),
        Err(_) => (create_run_dir(&workdir, Existing::Refuse)?, true),
    };
    let lock = RunLock::acquire(&run_dir)?;
    let earlier = if is_new { None } else { Some(recover(&run_dir)?) };
    let head = match &earlier {
        Some(state) => state.head().clone(),
        None => Head {
            flow: "federated-digits".into(),
            base_dir: std::env::current_dir()?.display().to_string(),
            flow_file: None,
            flow_crc: None,
            config: recorded_config(&config),
            devices: "auto".into(),
            seed: federation.seed,
            created: started,
            run_token: new_run_token()?,
        },
    };
    let mut recorded = Report::new();
    if earlier.is_some() {
        end_leftovers(&head.run_token, config.supervision.grace)?;
        read_journal(&run_dir, |record| recorded.apply(record.time, &record.event))?;
    }

    // The host starts workers and hears them.
    let mut options = HostOptions::new(&head.base_dir);
    options.base_environment = opened.pool.base_environment();
    options.base_environment.push((RUN_TOKEN_VARIABLE.into(), head.run_token.clone()));
    let (host, handle) = Host::start(options)?;

    let notify = Box::new(move |notice| match notice {
        JournalNotice::Durable(number) => handle.durable(number),
        JournalNotice::Failed(cause) => handle.recording_failed(cause),
    });
    let journal = match &earlier {
        None => JournalWriter::create(&lock, &head, notify)?,
        Some(state) => JournalWriter::append(&lock, &state.journal, notify)?,
    };
    let report = ReportWriter::new(workdir.clone(), started, recorded, |warning| eprintln!("{warning}"));

    let settings = RunSettings {
        flow: head.flow,
        workdir,
        seed: head.seed,
        session: earlier.as_ref().map_or(1, |state| state.sessions + 1),
        on_failure: OnFailure::Continue,
        grace: config.supervision.grace,
    };
    let ports = Ports { workers: host, pool: opened.pool, observer: Observers { journal, report } };
    let history = earlier.map(|state| state.history()).unwrap_or_default();
    let mut flow = Flow::new(ports, settings, config, history);

    // The work itself: each round's groups are made from the results of the round before.
    let mut split = federation.split_group()?;
    flow.execute(&mut split)?;
    let mut latest: Option<TaskGroup> = None;
    for round in 1..=federation.rounds {
        let mut train = federation.train_group(round, &split, latest.as_ref().unwrap_or(&split))?;
        flow.execute(&mut train)?;
        let mut aggregate = federation.aggregate_group(round, &train)?;
        flow.execute(&mut aggregate)?;
        if let Some(accuracy) = Federation::accuracy(&aggregate) {
            println!("round {round:>2}: {:.1} %", accuracy * 100.0);
        }
        latest = Some(aggregate);
    }

    let ports = flow.finish(RunOutcome::Complete);
    ports.observer.journal.finish()?;
    let _report: Report = ports.observer.report.finish();
    let page: PathBuf = run_dir.report();
    println!("report: {}", page.display());
    Ok(())
}
