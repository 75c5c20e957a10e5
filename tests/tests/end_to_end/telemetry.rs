//! Telemetry from outside: the samples of a run, their curves in the report, and `devices --watch`.

use std::fs;
use std::path::PathBuf;

use fedflow_tests::Sandbox;
use nvml_stand_in::{Card, Code, SCRIPT_FILE, Script, StandIn};
use rustix::process::Signal;
use serde_json::Value;

use super::report::browse;
use super::report_page::chart_data;

const GB: u64 = 1_000_000_000;
/// The places of utilisation and booked memory in a point of the report's curves.
const BUSY: usize = 2;
const BOOKED: usize = 6;
const FILE: &str = "res/.fedflow/telemetry.jsonl";

/// A loop of shell that ends when the run's telemetry has this text.
fn until_seen(text: &str) -> String {
    format!("until grep -q '{text}' ../../.fedflow/telemetry.jsonl; do sleep 0.05; done")
}

/// A group of tasks that run lines of shell; each leases 3 GB.
fn flow(tasks: &[(&str, &str, &str)]) -> String {
    let mut text =
        "name = \"seen\"\n[config]\ntelemetry.interval = \"50ms\"\n[[groups]]\nname = \"g\"\ntimeout = \"2m\"\n\
         estimate-cuda-memory = \"3GB\"\n"
            .to_owned();
    for (id, pin, line) in tasks {
        let line = Value::from(*line);
        text.push_str(&format!(
            "[[groups.tasks]]\nid = \"{id}\"\ndevice = \"{pin}\"\ncommand = [\"sh\", \"-c\", {line}]\n"
        ));
    }
    text
}

fn lines(sandbox: &Sandbox) -> Vec<Value> {
    let text = sandbox.read(FILE);
    text.lines().map(|line| serde_json::from_str(line).expect("each line is JSON")).collect()
}

fn watched(cards: impl IntoIterator<Item = Card>) -> (StandIn, Sandbox) {
    let stand_in = StandIn::install(&Script::of(cards)).unwrap();
    let library = stand_in.library().display().to_string();
    let leases = stand_in.library().with_file_name("leases").display().to_string();
    let sandbox = Sandbox::new()
        .with_variable("FEDFLOW_NVML_LIBRARY", library)
        .with_variable("FEDFLOW_LEASE_DIR", leases);
    (stand_in, sandbox)
}

fn busy(uuid: &str) -> Card {
    Card {
        utilization: Some(87),
        temperature: Some(61),
        power: Some(231_500),
        ..Card::new(uuid, 24 * GB).using(5 * GB)
    }
}

#[test]
fn simulated_cards_have_curves_of_what_is_booked_and_three_figures() {
    let sandbox = Sandbox::new();
    let booked = until_seen("\"memory_booked\":3000000000");
    sandbox.write("flow.toml", &flow(&[("a", "cuda:0", &booked), ("b", "cuda:1", &booked)]));
    assert_eq!(sandbox.fedflow("run flow.toml --devices sim:2x10GB").code, 0);

    let lines = lines(&sandbox);
    assert_eq!(lines[0]["fedflow_telemetry"], 1);
    assert_eq!(lines[0]["devices"][1]["device"], "sim:1");
    let devices = || lines[1..].iter().flat_map(|line| line["devices"].as_array().unwrap());
    assert!(devices().any(|device| device["memory_booked"] == 3 * GB));
    assert!(devices().all(|device| device["memory_total"] == 10 * GB));
    let measured = |device: &Value| device.get("utilization").is_some() || device.get("power").is_some();
    assert!(!devices().any(measured), "a simulated card cannot be measured");

    let page = sandbox.path().join("res/report.html");
    let (document, console) = browse(&page);
    let data = chart_data(&fs::read_to_string(&page).unwrap());
    let cards = data["timeline"]["cards"].as_array().unwrap();
    assert_eq!(cards.len(), 2, "a strip for each card");
    let points = || cards.iter().flat_map(|card| card["points"].as_array().unwrap());
    assert!(points().any(|point| point[BOOKED] == 3.0), "a curve");
    assert!(points().all(|point| point[BUSY].is_null()), "no curve of what was not measured");
    assert!(document.contains("memory booked by this run") && !document.contains(">utilisation, in percent"));
    assert!(!console.contains("CONSOLE"), "{console}");

    let json: Value = serde_json::from_str(&sandbox.fedflow("report res --format json").stdout).unwrap();
    for device in json["devices"].as_array().unwrap() {
        assert!(device["training_seconds"].as_f64().unwrap() > 0.0, "{device}");
        assert_eq!(device["leased_loading_seconds"], 0.0);
        assert!(device["idle_while_work_waited_seconds"].as_f64().is_some());
        let telemetry = &device["telemetry"];
        assert_eq!(
            (&telemetry["peak_booked_memory"], &telemetry["energy_watt_hours"]),
            (&(3 * GB).into(), &Value::Null)
        );
    }
    let markdown = sandbox.fedflow("report res --format md").stdout;
    assert!(markdown.contains("| Training | Leased but loading | Idle while work waited |"), "{markdown}");
}

#[test]
fn a_report_renders_with_damaged_telemetry_and_with_none() {
    let sandbox = Sandbox::new();
    let booked = until_seen("\"memory_booked\":3000000000");
    sandbox.write("flow.toml", &flow(&[("a", "cuda:0", &booked)]));
    assert_eq!(sandbox.fedflow("run flow.toml --devices sim:1x10GB").code, 0);
    let damaged = sandbox.read(FILE).replacen("\"seconds\"", "\"sec", 1);
    fs::write(sandbox.path().join(FILE), damaged).unwrap();
    let outcome = sandbox.fedflow("report res");
    assert_eq!(
        (outcome.code, outcome.stderr.trim()),
        (0, "note: left out of telemetry.jsonl: 1 damaged line")
    );
    assert!(sandbox.read("res/report.html").contains("memory booked by this run"));

    fs::remove_file(sandbox.path().join(FILE)).unwrap();
    let outcome = sandbox.fedflow("report res");
    assert_eq!((outcome.code, outcome.stderr.as_str()), (0, ""));
    let page = sandbox.read("res/report.html");
    assert!(page.contains("Devices over time") && page.contains("\"cards\":[]"));
}

#[test]
fn telemetry_that_cannot_be_kept_is_one_warning() {
    let sandbox = Sandbox::new();
    sandbox.write("flow.toml", &flow(&[("a", "cuda:0", "true")]));
    fs::create_dir_all(sandbox.path().join(FILE)).unwrap();
    let outcome = sandbox.fedflow("run flow.toml --devices sim:1x10GB");
    assert_eq!(outcome.code, 0);
    let warned = outcome.stderr.matches("warning: no telemetry is kept: ").count();
    assert_eq!(warned, 1, "{}", outcome.stderr);
    let never =
        sandbox.fedflow("run flow.toml --workdir other --devices sim:1x10GB --set telemetry.interval=none");
    assert_eq!((never.code, never.stderr.contains("warning")), (0, false));
    assert!(!sandbox.path().join("other/.fedflow/telemetry.jsonl").exists());
}

#[test]
fn a_card_that_is_lost_in_mid_run_leaves_the_others_seen() {
    let (stand_in, sandbox) = watched([busy("GPU-a"), busy("GPU-b")]);
    let lost = Script::of([busy("GPU-a").failing("*", Code::GpuIsLost), busy("GPU-b")]);
    let prepared = sandbox.write("lost.json", &serde_json::to_string(&lost).unwrap());
    let script: PathBuf = stand_in.library().with_file_name(SCRIPT_FILE);
    let line = format!(
        "{}; mv {} {}; {}",
        until_seen("\"utilization\":87.0"),
        prepared.display(),
        script.display(),
        until_seen("\"lost\":"),
    );
    sandbox.write("flow.toml", &flow(&[("a", "cuda:1", &line)]));
    assert_eq!(sandbox.fedflow("run flow.toml").code, 0);
    let lines = lines(&sandbox);
    let of = |line: &Value, name: &str| {
        line["devices"].as_array().unwrap().iter().find(|device| device["device"] == name).cloned()
    };
    let first = of(&lines[1], "cuda:0").unwrap();
    assert_eq!(
        (&first["power"], &first["temperature"], &first["memory_used"]),
        (&231.5.into(), &61.0.into(), &(5 * GB).into())
    );
    let told = lines[1..]
        .iter()
        .filter(|line| of(line, "cuda:0").is_some_and(|device| device.get("lost").is_some()));
    assert_eq!(told.count(), 1, "told once");
    let last = lines.last().unwrap();
    assert_eq!(of(last, "cuda:0"), None);
    assert_eq!(of(last, "cuda:1").unwrap()["utilization"], 87.0);
    let page = sandbox.read("res/report.html");
    assert!(page.contains("cuda:0 was lost after") && page.contains(">utilisation, in percent"));
}

#[test]
fn devices_are_watched_as_often_as_was_asked_for() {
    let (_stand_in, sandbox) = watched([busy("GPU-a")]);
    let blocks = sandbox.fedflow("devices --watch --count 2 --interval 50ms");
    assert_eq!(blocks.code, 0);
    let text = &blocks.stdout;
    assert_eq!(
        text.matches("cuda:0  NVIDIA Stand-In  24GB    5GB   87%   232W   61°C  GPU-a").count(),
        2,
        "{text}"
    );
    assert_eq!(text.matches("no leases\n").count(), 2);
    assert!(!text.contains('\u{1b}'), "what is no terminal gets plain blocks");
    let json = sandbox.fedflow("devices --watch --count 3 --interval 50ms --json");
    let times: Vec<f64> = json
        .stdout
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).unwrap())
        .inspect(|line| assert_eq!(line["cards"][0]["power"], 231_500))
        .map(|line| line["time"].as_f64().unwrap())
        .collect();
    assert!(times.len() == 3 && times.is_sorted(), "{times:?}");
    assert_eq!(sandbox.fedflow("devices --count 3").code, 2, "--count is for --watch");
}

#[test]
fn watching_shows_the_leases_of_a_run_and_ends_on_a_signal_or_without_a_reader() {
    let (_stand_in, sandbox) = watched([busy("GPU-a")]);
    sandbox.write("flow.toml", &flow(&[("a", "cuda:0", "until test -e ../../../over; do sleep 0.05; done")]));
    let mut run = sandbox.start("run flow.toml");
    run.wait_for("task-training", None);
    let mut watch = sandbox.begin("devices --watch --interval 50ms");
    // The lease is booked before the task trains; its process is named a little later.
    let leased = std::iter::from_fn(|| watch.line()).find(|line| line.contains("g/a")).unwrap();
    assert!(
        leased.starts_with("cuda:0  g/a") && leased.contains("3GB") && leased.contains("training"),
        "{leased}"
    );
    sandbox.write("over", "");
    assert_eq!(run.finish(), 0);
    std::iter::from_fn(|| watch.line()).find(|line| line == "no leases").unwrap();
    watch.signal(Signal::INT);
    assert_eq!(watch.finish(), 130);
    // Nothing is written for an hour: it ends because its reader went away, not by a failed write.
    let outcome = sandbox.fedflow_in_shell("\"$@\" | head -n 1", "devices --watch --interval 1h --json");
    assert_eq!((outcome.code, outcome.stdout.lines().count(), outcome.stderr.as_str()), (0, 1, ""));
}
