//! Mail about runs, to a server in the test: what arrives, the limits, and servers that accept nothing.
#![expect(clippy::unwrap_used, reason = "a test may panic")]

use std::path::Path;

use fedflow_tests::{Mail, MailServer, Sandbox, ServerMode};
use rustix::fs::{CWD, FileType, Mode, mknodat};

const RUN: &str = "run flow.toml --devices cpu:1 --progress none";
/// The password of all tests, and its form on the way to a server.
const PASSWORD: &str = "hunter2";
const LOGIN: &str = "AGpvQGV4YW1wbGUub3JnAGh1bnRlcjI=";

/// Three groups; a task of the second one fails. With gates, the second and the third wait until the test writes to them.
fn sandbox(server: &MailServer, more: &str, gates: Gates) -> Sandbox {
    let sandbox = Sandbox::new();
    let group = |name: &str, task: &str, command: &str| {
        format!(
            "[[groups]]\nname = \"{name}\"\n[[groups.tasks]]\nid = \"{task}\"\ncommand = [\"sh\", \"-c\", '''{command}''']\n"
        )
    };
    let wait = |name: &str| match gates {
        Gates::Open => String::new(),
        Gates::Closed => {
            let gate = sandbox.path().join(name);
            mknodat(CWD, &gate, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).unwrap();
            format!("cat {} > copy; ", gate.display())
        }
    };
    let failing = format!("{}exit 7", wait("gate-2"));
    let third = wait("gate-3");
    let groups =
        [group("g-1", "a", "true"), group("g-2", "b", &failing), group("g-3", "c", &format!("{third}true"))];
    // Without escaping, this name would be a header field of its own.
    sandbox.write("flow.toml", &format!("name = \"sweep\\r\\nBcc: eve@example.org\"\n{}", groups.concat()));
    sandbox.write("fedflow.toml", &format!("{}{more}", server.config()));
    sandbox
}

/// Whether the groups after the first wait.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Gates {
    Open,
    Closed,
}

/// Lets a group continue. Blocks until its task waits.
fn open_gate(sandbox: &Sandbox, name: &str) {
    std::fs::write(sandbox.path().join(name), "").unwrap();
}

fn subjects(mails: &[Mail]) -> Vec<&str> {
    mails.iter().map(|mail| mail.subject().split_once(" eve@example.org: ").unwrap().1).collect()
}

#[test]
fn each_group_and_the_end_of_the_run_are_told() {
    let server = MailServer::start(ServerMode::Takes);
    let sandbox = sandbox(&server, "min-interval = \"0s\"\n", Gates::Closed);
    let run = sandbox.start("run flow.toml --devices cpu:1");
    let mut mails = vec![server.next_mail()];
    open_gate(&sandbox, "gate-2");
    mails.push(server.next_mail());
    open_gate(&sandbox, "gate-3");
    assert_eq!(run.finish(), 1);
    mails.extend(server.mails());
    let told = subjects(&mails);
    assert_eq!(told[..2], ["g-1 over, 1 finished", "g-2 over, 0 finished, 1 failed"]);
    // The last mail overtakes a group whose mail has not been started.
    let rest: Vec<_> = told[2..].iter().filter(|subject| **subject != "g-3 over, 1 finished").collect();
    assert_eq!(rest, [&"run complete, 2 finished, 1 failed"]);
    for mail in &mails {
        assert_eq!(mail.receivers, ["ann@example.org", "bob@example.org"]);
        assert!(mail.field("From").contains("jo@example.org"), "{mail:?}");
        assert_eq!(mail.field("Auto-Submitted"), "auto-generated");
        assert_eq!(mail.field("Bcc"), "", "{mail:?}");
        assert!(mail.subject().starts_with("[fedflow] sweep\\r\\nBcc: eve"), "{mail:?}");
    }
    let report =
        |file: &str| format!("Report: {}", sandbox.path().canonicalize().unwrap().join(file).display());
    assert!(mails[0].body.contains(&report("res/reports/g-1.html")), "{}", mails[0].body);
    assert!(
        mails[0].body.contains("# g-1") && mails[0].body.contains("| g-1 | 1 | 1 | 0 |"),
        "{}",
        mails[0].body
    );
    let last = &mails.last().unwrap().body;
    assert!(last.contains(&report("res/report.html")), "{last}");
    for body in [&mails[1].body, last] {
        assert!(body.contains("| 1 | train | exit | exit code 7 | g-2/b |"), "{body}");
    }
    assert!(!mails[0].body.contains("exit code 7"), "{}", mails[0].body);
}

#[test]
fn between_two_mails_there_is_the_interval_but_the_end_is_told_at_once() {
    let server = MailServer::start(ServerMode::Takes);
    let sandbox = sandbox(&server, "min-interval = \"10h\"\n", Gates::Closed);
    let run = sandbox.start("run flow.toml --devices cpu:1");
    let mut mails = vec![server.next_mail()];
    open_gate(&sandbox, "gate-2");
    open_gate(&sandbox, "gate-3");
    assert_eq!(run.finish(), 1);
    mails.extend(server.mails());
    assert_eq!(subjects(&mails), ["g-1 over, 1 finished", "run complete, 2 finished, 1 failed"]);
}

#[test]
fn a_run_sends_no_more_than_max_numbers_and_keeps_one_for_its_end() {
    let end = "run complete, 2 finished, 1 failed";
    for (max, expected) in [(0, &[][..]), (1, &[end][..]), (2, &["g-1 over, 1 finished", end][..])] {
        let server = MailServer::start(ServerMode::Takes);
        let more = format!("min-interval = \"0s\"\nmax-numbers = {max}\n");
        let sandbox = sandbox(&server, &more, Gates::Closed);
        let run = sandbox.start("run flow.toml --devices cpu:1");
        let mut mails: Vec<Mail> = (1..max).map(|_| server.next_mail()).collect();
        open_gate(&sandbox, "gate-2");
        open_gate(&sandbox, "gate-3");
        assert_eq!(run.finish(), 1);
        mails.extend(server.mails());
        assert_eq!(subjects(&mails), expected);
    }
}

#[test]
fn a_server_that_is_not_there_or_refuses_is_one_warning() {
    let refusing = MailServer::start(ServerMode::RefusesLogin);
    let sandbox = sandbox(&refusing, "min-interval = \"0s\"\n", Gates::Open)
        .with_variable("FEDFLOW_CONFIG_SMTP_PASSWORD", PASSWORD);
    let run = sandbox.fedflow(RUN);
    assert_eq!(run.code, 1, "{}", run.stderr);
    assert_eq!(run.stderr.matches("warning: no mail is sent: 127.0.0.1:").count(), 1, "{}", run.stderr);
    assert!(run.stderr.contains("smtp.user or smtp.password"), "{}", run.stderr);
    assert_nowhere(&sandbox, &run.stderr);
    let gone = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let run = sandbox.fedflow(&format!("{RUN} --fresh --set smtp.server-port={gone}"));
    assert_eq!(run.code, 1, "{}", run.stderr);
    assert_eq!(run.stderr.matches("warning: no mail is sent").count(), 1, "{}", run.stderr);
}

/// The run waits 10 s for its last mail, and for no mail before.
#[test]
fn a_server_that_hangs_holds_up_no_group_and_the_end_not_for_long() {
    let server = MailServer::start(ServerMode::Hangs);
    let sandbox = sandbox(&server, "min-interval = \"0s\"\n", Gates::Open);
    let mut run = sandbox.start("run flow.toml --devices cpu:1");
    run.wait_for("run-finished", None);
    assert_eq!(run.finish(), 1);
    let results = sandbox.results();
    assert_eq!(results["groups"].as_array().unwrap().len(), 3, "{results}");
}

#[test]
fn the_password_reaches_the_server_and_nobody_else() {
    let server = MailServer::start(ServerMode::Takes);
    let sandbox = sandbox(&server, "min-interval = \"10h\"\n", Gates::Open)
        .with_variable("FEDFLOW_CONFIG_SMTP_PASSWORD", PASSWORD);
    let curious = "env; cat /proc/$PPID/cmdline";
    let flow = format!(
        "[[groups]]\nname = \"g\"\n[[groups.tasks]]\nid = \"a\"\ncommand = [\"sh\", \"-c\", '''{curious}''']\n"
    );
    sandbox.write("flow.toml", &format!("name = \"sweep\"\n{flow}"));
    let run = sandbox.fedflow("run flow.toml --devices cpu:1 --progress json");
    assert_eq!(run.code, 0, "{}", run.stderr);
    let said = server.lines();
    assert!(said.iter().any(|line| line == &format!("AUTH PLAIN {LOGIN}")), "{said:?}");
    assert_nowhere(&sandbox, &format!("{}{}", run.stdout, run.stderr));
}

/// A resumed run reads the password from the same place as the run: the journal has none.
#[test]
fn a_resumed_run_logs_in_too() {
    let server = MailServer::start(ServerMode::Takes);
    let sandbox = sandbox(&server, "min-interval = \"10h\"\n", Gates::Open)
        .with_variable("FEDFLOW_CONFIG_SMTP_PASSWORD", PASSWORD);
    assert_eq!(sandbox.fedflow(RUN).code, 1);
    let _ = server.lines();
    assert_eq!(sandbox.fedflow("resume res --progress none").code, 1);
    let said = server.lines();
    assert!(said.iter().any(|line| line == &format!("AUTH PLAIN {LOGIN}")), "{said:?}");
}

/// The run was started with `--config`: a resume from another directory finds the file, and so does the one after it.
#[test]
fn a_resumed_run_reads_the_password_from_the_file_that_the_run_was_given() {
    let server = MailServer::start(ServerMode::Takes);
    let sandbox = sandbox(&server, "min-interval = \"10h\"\n", Gates::Open);
    let config = sandbox.read("fedflow.toml") + &format!("password = \"{PASSWORD}\"\n");
    std::fs::remove_file(sandbox.path().join("fedflow.toml")).unwrap();
    std::fs::create_dir(sandbox.path().join("secret")).unwrap();
    sandbox.write("secret/mail.toml", &config);
    let run = sandbox.fedflow(&format!("{RUN} --config secret/mail.toml"));
    assert_eq!(run.code, 1, "{}", run.stderr);
    let login = format!("AUTH PLAIN {LOGIN}");
    for _ in 0..2 {
        let said = server.lines();
        assert!(said.contains(&login), "{said:?}");
        let resumed = sandbox.fedflow_in_shell(
            "mkdir -p elsewhere; cd elsewhere; exec \"$@\"",
            "resume ../res --progress none",
        );
        assert_eq!(resumed.code, 1, "{}", resumed.stderr);
    }
    assert!(server.lines().contains(&login));
    std::fs::remove_file(sandbox.path().join("secret/mail.toml")).unwrap();
    assert_nowhere(&sandbox, "");
}

#[test]
fn mail_without_a_server_or_a_receiver_is_refused_before_anything_starts() {
    let server = MailServer::start(ServerMode::Takes);
    for (key, value) in [("server-host", ""), ("receiver", ""), ("receiver", "nobody")] {
        let sandbox = sandbox(&server, "", Gates::Open);
        for command in ["run", "check"] {
            let run =
                sandbox.fedflow(&format!("{command} flow.toml --devices cpu:1 --set smtp.{key}={value}"));
            assert_eq!(run.code, 2, "{}", run.stderr);
            assert!(
                run.stderr.contains(&format!("smtp.{key}")) && run.stderr.contains("hint: "),
                "{}",
                run.stderr
            );
        }
        assert!(!sandbox.path().join("res").exists());
    }
}

#[test]
fn a_test_mail_says_what_is_wrong() {
    let server = MailServer::start(ServerMode::Takes);
    let sandbox = sandbox(&server, "", Gates::Open).with_variable("FEDFLOW_CONFIG_SMTP_PASSWORD", PASSWORD);
    let sent = sandbox.fedflow("config --test-mail");
    assert_eq!((sent.code, sent.stdout.as_str()), (0, ""), "{}", sent.stderr);
    assert_eq!(server.mails()[0].subject(), "[fedflow] a test");
    let refusing = MailServer::start(ServerMode::RefusesLogin);
    let refused = sandbox.fedflow(&format!("config --test-mail --set smtp.server-port={}", refusing.port()));
    assert_eq!(refused.code, 3, "{}", refused.stderr);
    assert!(refused.stderr.contains("hint: smtp.user or smtp.password"), "{}", refused.stderr);
    assert_nowhere(&sandbox, &format!("{}{}", sent.stderr, refused.stderr));
}

/// Checks that neither the password nor its encoded form is in the text or in any file of the run.
fn assert_nowhere(sandbox: &Sandbox, text: &str) {
    let is_in = |bytes: &[u8]| {
        [PASSWORD, LOGIN]
            .iter()
            .any(|secret| bytes.windows(secret.len()).any(|window| window == secret.as_bytes()))
    };
    assert!(!is_in(text.as_bytes()), "{text}");
    fn look(path: &Path, is_in: &dyn Fn(&[u8]) -> bool) {
        for entry in std::fs::read_dir(path).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                look(&path, is_in);
            } else if path.is_file() {
                assert!(!is_in(&std::fs::read(&path).unwrap()), "the password is in {}", path.display());
            }
        }
    }
    look(sandbox.path(), &is_in);
}
