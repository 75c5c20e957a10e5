//! The guides in `docs/` and the README: their examples run as they are written.
//!
//! A block whose first line is ` ```LANGUAGE file=NAME ` is a file of the example, and ` ```sh run ` is a script that must
//! succeed. All blocks of a guide share one directory.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use fedflow_cli::flow::{FlowFile, key_reference};
use fedflow_tests::{Sandbox, binary, skip};

/// A fenced block of a document.
struct Block {
    /// The words behind the opening fence, the language first.
    words: Vec<String>,
    text: String,
}

impl Block {
    fn file(&self) -> Option<&str> {
        self.words.iter().find_map(|word| word.strip_prefix("file="))
    }

    fn is_script(&self) -> bool {
        self.words == ["sh", "run"]
    }
}

fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn read(name: &str) -> String {
    fs::read_to_string(repository().join(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
}

fn blocks(document: &str) -> Vec<Block> {
    let mut blocks = Vec::new();
    let mut open: Option<Block> = None;
    for line in read(document).lines() {
        match (open.as_mut(), line.strip_prefix("```")) {
            (None, Some(words)) => {
                let words = words.split_whitespace().map(Into::into).collect();
                open = Some(Block { words, text: String::new() });
            }
            (Some(_), Some("")) => blocks.extend(open.take()),
            (Some(block), _) => {
                block.text.push_str(line);
                block.text.push('\n');
            }
            (None, None) => {}
        }
    }
    assert!(open.is_none(), "{document}: a block has no end");
    blocks
}

/// A sandbox in which scripts find the built `fedflow`.
fn sandbox_with_fedflow() -> Sandbox {
    #[expect(clippy::disallowed_methods, reason = "scripts need the programs of the system beside `fedflow`")]
    let search_path = std::env::var("PATH").unwrap_or_default();
    let built = binary("fedflow");
    Sandbox::new().with_variable("PATH", format!("{}:{search_path}", built.parent().unwrap().display()))
}

/// Writes the files of a guide and runs its scripts, in the order in which they stand. Waiting is left out.
fn run_blocks(document: &str, sandbox: &Sandbox) {
    let mut scripts = 0;
    for mut block in blocks(document) {
        block.text = block.text.replace("; sleep 1", "");
        if let Some(name) = block.file() {
            let file = sandbox.path().join(name);
            fs::create_dir_all(file.parent().unwrap()).unwrap();
            fs::write(&file, &block.text).unwrap();
            if block.text.starts_with("#!") {
                fs::set_permissions(&file, fs::Permissions::from_mode(0o755)).unwrap();
            }
        } else if block.is_script() {
            let outcome = sandbox.program(Path::new("sh"), &["-exc", &block.text]);
            assert_eq!(outcome.code, 0, "{document}:\n{}\n{}", block.text, outcome.stderr);
            scripts += 1;
        }
    }
    assert!(scripts > 0, "{document} has no runnable example");
}

fn run_guide(document: &str) -> Sandbox {
    let sandbox = sandbox_with_fedflow();
    run_blocks(document, &sandbox);
    sandbox
}

/// Runs a guide whose example is in Python.
fn run_python_guide(document: &str) -> Option<Sandbox> {
    let sandbox = Sandbox::new();
    if sandbox.fedflow_in_shell("python3 --version", "").code != 0 {
        skip("there is no python3");
        return None;
    }
    Some(run_guide(document))
}

#[test]
fn command_tasks() {
    let Some(sandbox) = run_python_guide("docs/command-tasks.md") else { return };
    let results = sandbox.results();
    assert_eq!(results["groups"][0]["tasks"][2]["result"]["accuracy"], 0.92);
}

#[test]
fn rust_workers() {
    let guide = "docs/rust-workers.md";
    let program = blocks(guide).into_iter().find(|block| block.file() == Some("src/main.rs")).unwrap();
    assert_eq!(
        program.text,
        read("tests/src/guide_worker.rs"),
        "the guide's program is the one that is built"
    );
    let sandbox = sandbox_with_fedflow();
    // As `cargo build --release` leaves it.
    let release = sandbox.path().join("target/release");
    fs::create_dir_all(&release).unwrap();
    fs::copy(binary("guide-worker"), release.join("my-worker")).unwrap();
    run_blocks(guide, &sandbox);
    let mean = &sandbox.results()["groups"][1]["tasks"][0]["result"]["mean"];
    assert!(mean.as_f64().is_some_and(|mean| (1.0..=10.0).contains(&mean)), "{mean}");
}

#[test]
fn python_workers() {
    let Some(sandbox) = run_python_guide("docs/python.md") else { return };
    assert_eq!(sandbox.results()["groups"][0]["tasks"].as_array().unwrap().len(), 4);
}

#[test]
fn rounds() {
    let Some(sandbox) = run_python_guide("docs/rounds.md") else { return };
    let results = sandbox.results();
    let last = &results["groups"][7]["tasks"][0]["result"]["model"];
    // Half of the way to the mean of the targets, four times.
    assert_eq!(last.as_f64(), Some(0.9375), "{results}");
}

#[test]
fn sharing_cards() {
    run_guide("docs/sharing-cards.md");
}

#[test]
fn reports() {
    let sandbox = run_guide("docs/reports.md");
    assert!(sandbox.read("junit.xml").contains("seed-3"));
}

#[test]
fn results() {
    let sandbox = run_guide("docs/results.md");
    let printed = sandbox.fedflow("results res --over seed --value accuracy --format md").stdout;
    assert!(read("docs/results.md").contains(&printed), "the guide shows what is printed:\n{printed}");
    assert!(
        sandbox.read("items.csv").starts_with("run,group,task,attempt,param.lr,param.seed,key,step,value")
    );
}

#[test]
fn recovery() {
    let sandbox = run_guide("docs/recovery.md");
    assert_eq!(sandbox.results()["groups"][0]["tasks"][1]["attempts"], 2);
}

#[test]
fn the_reference_of_the_flow_file_has_every_key() {
    run_guide("docs/flow-file.md");
    let guide = read("docs/flow-file.md");
    let reference = key_reference();
    assert!(guide.contains(&reference), "docs/flow-file.md must contain:\n{reference}");
}

/// The flow files that stand anywhere in the documents can be read.
#[test]
fn every_flow_in_a_document_is_valid() {
    let mut documents = vec!["README.md".to_owned()];
    for entry in fs::read_dir(repository().join("docs")).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        if name.ends_with(".md") {
            documents.push(format!("docs/{name}"));
        }
    }
    let mut flows = 0;
    for document in documents {
        for block in
            blocks(&document).iter().filter(|block| block.words.first().is_some_and(|it| it == "toml"))
        {
            if block.text.contains("[[groups]]") {
                FlowFile::parse(block.text.as_str(), Path::new("/flow.toml"))
                    .unwrap_or_else(|error| panic!("{document}:\n{}\n{error}", block.text));
                flows += 1;
            }
        }
    }
    assert!(flows > 8, "{flows} flows");
}
