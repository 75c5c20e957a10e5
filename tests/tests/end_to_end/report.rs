//! The report in a real browser: it renders offline and without a script error, and nothing that a worker sent runs.

use std::path::Path;
use std::process::Command;

use fedflow_tests::Sandbox;

/// The page's document after its scripts ran, and the output of the browser's console.
pub(super) fn browse(page: &Path) -> (String, String) {
    let profile = tempfile::tempdir().unwrap();
    #[expect(clippy::disallowed_methods, reason = "a browser to look at the report with")]
    let output = Command::new("chromium")
        .args(["--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"])
        .args(["--disable-background-networking", "--disable-component-update", "--disable-sync"])
        .args(["--enable-logging=stderr", "--v=0", "--virtual-time-budget=2000", "--dump-dom"])
        .arg(format!("--user-data-dir={}", profile.path().display()))
        .arg(format!("file://{}", page.display()))
        .output()
        .expect("chromium is installed (.ci/run does so)");
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (text(&output.stdout), text(&output.stderr))
}

#[test]
fn the_report_of_a_hostile_run_is_harmless_and_complete() {
    let sandbox = Sandbox::new();
    let attack = "<img src=x onerror=document.title=1>";
    sandbox.write(
        "flow.toml",
        &format!(
            "name = \"hostile\"\n[workers.scripted]\ncommand = [\"{{scripted}}\"]\n[[groups]]\nname = \"g\"\n\
             tasks = [\n\
             {{ id = \"odd\", worker = \"scripted\", kind = \"scripted\", params = {{ train = [\"item loss 0.5\", \"odd\"] }} }},\n\
             {{ id = \"fails\", worker = \"scripted\", kind = \"scripted\", params = {{ train = [\"complain {attack}\", \"fail {attack}\"] }} }},\n\
             ]\n"
        ),
    );
    assert_eq!(sandbox.fedflow("run flow.toml --devices cpu:1").code, 1);
    for page in ["res/report.html", "res/reports/g.html"] {
        let (document, console) = browse(&sandbox.path().join(page));
        assert!(document.contains("</html>"), "{page}: {console}");
        assert!(document.contains("&lt;img src=x"), "{page}: what the task said is shown");
        assert!(!document.contains("<title>1</title>"), "{page}: a worker's text ran as a script");
        let errors: Vec<_> = console.lines().filter(|line| line.contains("CONSOLE")).collect();
        assert!(errors.is_empty(), "{page}: {errors:?}");
        for outside in ["http://", "https://"] {
            let fetched = document.contains(&format!("src=\"{outside}"))
                || document.contains(&format!("href=\"{outside}"));
            assert!(!fetched, "{page} needs the network");
        }
    }
}

#[test]
fn a_page_lets_nothing_in_but_its_own_script_and_style() {
    let sandbox = Sandbox::new();
    sandbox.write(
        "flow.toml",
        "[[groups]]\nname = \"g\"\ntasks = [{ id = \"t\", command = [\"true\"] }, { id = \"f\", command = [\"false\"] }]\n",
    );
    assert_eq!(sandbox.fedflow("run flow.toml --devices cpu:1").code, 1);
    for name in ["res/report.html", "res/reports/g.html"] {
        let page = sandbox.read(name);
        let (_, console) = browse(&sandbox.path().join(name));
        assert!(!console.contains("CONSOLE"), "{name} breaks its own policy: {console}");
        let markup = &page[..page.find("<script").unwrap()];
        assert!(!markup.contains(" style="), "{name}: an attribute that the policy refuses");

        // What got into the page by a mistake of Fedflow's.
        let intruders = "<script>document.title = \"ran\"</script><img src=\"x.png\" onerror=\"document.title = 'ran'\">\
                         <iframe src=\"other.html\"></iframe><p style=\"color: red\">";
        sandbox.write("res/other.html", "other");
        sandbox.write("invaded.html", &page.replacen("<main", &format!("{intruders}<main"), 1));
        let (document, console) = browse(&sandbox.path().join("invaded.html"));
        assert!(document.contains("</html>") && !document.contains("<title>ran"), "{name}: {document}");
        for refused in ["inline script", "inline style", "x.png", "other.html"] {
            let told = console.lines().any(|line| {
                line.contains("Content Security Policy") && line.to_lowercase().contains(refused)
            });
            assert!(told, "{name}: {refused} is let in: {console}");
        }
    }
}

#[test]
fn the_report_is_rendered_again_in_every_format() {
    let sandbox = Sandbox::new();
    sandbox.write("flow.toml", "[[groups]]\nname = \"g\"\ntasks = [{ id = \"t\", command = [\"true\"] }]\n");
    assert_eq!(sandbox.fedflow("run flow.toml --devices cpu:1").code, 0);
    let before = sandbox.read("res/results.json");
    std::fs::remove_file(sandbox.path().join("res/report.html")).unwrap();
    assert_eq!(sandbox.fedflow("report res").stdout.trim(), "res/report.html");
    assert_eq!(sandbox.read("res/results.json"), before);
    for (format, needle) in [
        ("html", "</html>"),
        ("json", "\"schema\":2"),
        ("csv", "group,task"),
        ("md", "| "),
        ("markdown", "| "),
        ("junit", "<testsuite"),
    ] {
        let outcome = sandbox.fedflow(&format!("report res --format {format}"));
        assert_eq!(outcome.code, 0);
        assert!(outcome.stdout.contains(needle), "{format}: {}", outcome.stdout);
    }
}
