//! `Browser`: Chromium, driven over its debugging pipe. Pages are opened, used with the pointer, and asked.

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use serde_json::{Value, json};
use tempfile::TempDir;

/// How long the browser may take for one answer.
const PATIENCE: Duration = Duration::from_secs(60);

/// A browser with one page.
pub struct Browser {
    child: Child,
    commands: ChildStdin,
    messages: Receiver<Value>,
    last_id: u64,
    session: String,
    complaints: Vec<String>,
    _profile: TempDir,
}

/// The window in which a page is looked at.
#[derive(Debug, Clone, Copy)]
pub struct Window {
    /// Its width, in pixels.
    pub width: u32,
    /// Whether the reader prefers dark pages.
    pub dark: bool,
}

impl Browser {
    /// Starts the browser.
    ///
    /// # Panics
    /// Chromium is not installed, or does not answer.
    #[must_use]
    pub fn start() -> Self {
        let profile = tempfile::tempdir().expect("a temporary directory");
        // The browser speaks over the descriptors 3 and 4.
        #[expect(clippy::disallowed_methods, reason = "a browser to look at the report with")]
        let mut child = Command::new("sh")
            .args(["-c", "exec chromium \"$@\" 3<&0 4>&1 </dev/null >/dev/null 2>&1", "browser"])
            .args(["--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"])
            .args(["--disable-background-networking", "--disable-component-update", "--disable-sync"])
            .arg("--remote-debugging-pipe")
            .arg(format!("--user-data-dir={}", profile.path().display()))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("chromium is installed (.ci/run does so)");
        let commands = child.stdin.take().expect("a pipe");
        let answers = BufReader::new(child.stdout.take().expect("a pipe"));
        let (sender, messages) = channel();
        std::thread::spawn(move || {
            for message in answers.split(0).map_while(Result::ok) {
                if let Ok(message) = serde_json::from_slice(&message)
                    && sender.send(message).is_err()
                {
                    return;
                }
            }
        });
        let mut browser = Self {
            child,
            commands,
            messages,
            last_id: 0,
            session: String::new(),
            complaints: Vec::new(),
            _profile: profile,
        };
        let target = browser.call("Target.createTarget", &json!({ "url": "about:blank" }));
        let target = json!({ "targetId": target["targetId"], "flatten": true });
        let attached = browser.call("Target.attachToTarget", &target);
        attached["sessionId"].as_str().expect("a session").clone_into(&mut browser.session);
        for domain in ["Page.enable", "Runtime.enable", "Log.enable"] {
            browser.call(domain, &json!({}));
        }
        browser
    }

    /// Opens a file in a window and waits until it is loaded. `fragment` begins with `#`, or is empty.
    ///
    /// # Panics
    /// The browser does not answer.
    pub fn open(&mut self, page: &Path, fragment: &str, window: Window) {
        let size = json!({ "width": window.width, "height": 1_000, "deviceScaleFactor": 1, "mobile": false });
        self.call("Emulation.setDeviceMetricsOverride", &size);
        let scheme = if window.dark { "dark" } else { "light" };
        let features = json!([{ "name": "prefers-color-scheme", "value": scheme }]);
        self.call("Emulation.setEmulatedMedia", &json!({ "features": features }));
        // Another page first: a change of the fragment alone would load nothing.
        for url in ["about:blank".to_owned(), format!("file://{}{fragment}", page.display())] {
            self.call("Page.navigate", &json!({ "url": url }));
            while self.next_message()["method"] != "Page.loadEventFired" {}
        }
    }

    /// What an expression in the page comes to; a promise is waited for.
    ///
    /// # Panics
    /// The expression throws, or the browser does not answer.
    pub fn ask(&mut self, expression: &str) -> Value {
        let asked = json!({ "expression": expression, "awaitPromise": true, "returnByValue": true });
        let answer = self.call("Runtime.evaluate", &asked);
        assert!(answer["exceptionDetails"].is_null(), "{expression}: {}", answer["exceptionDetails"]);
        answer["result"]["value"].clone()
    }

    /// Waits until a condition holds in the page, which is asked at each frame.
    ///
    /// # Panics
    /// It does not hold within 1,200 frames.
    pub fn wait_for(&mut self, condition: &str) {
        let held = self.ask(&format!(
            "new Promise((tell) => {{ let frames = 0; const look = () => (({condition}) ? tell(true) \
             : (frames += 1) > 1200 ? tell(false) : requestAnimationFrame(look)); look(); }})"
        ));
        assert_eq!(held, true, "{condition}; the browser complains of {:?}", self.complaints);
    }

    /// Moves the pointer.
    ///
    /// # Panics
    /// The browser does not answer.
    pub fn point_at(&mut self, x: f64, y: f64) {
        self.pointer("mouseMoved", x, y, &json!({}));
    }

    /// Clicks.
    ///
    /// # Panics
    /// The browser does not answer.
    pub fn click_at(&mut self, x: f64, y: f64) {
        self.point_at(x, y);
        let button = json!({ "button": "left", "clickCount": 1 });
        self.pointer("mousePressed", x, y, &button);
        self.pointer("mouseReleased", x, y, &button);
    }

    /// Turns the wheel while Ctrl is held: up for a negative number.
    ///
    /// # Panics
    /// The browser does not answer.
    pub fn zoom_at(&mut self, x: f64, y: f64, wheel: f64) {
        self.point_at(x, y);
        self.pointer("mouseWheel", x, y, &json!({ "deltaX": 0, "deltaY": wheel, "modifiers": 2 }));
    }

    /// What the browser complained of so far: errors of scripts, and what the page's policy refused.
    #[must_use]
    pub fn complaints(&self) -> &[String] {
        &self.complaints
    }

    fn pointer(&mut self, kind: &str, x: f64, y: f64, more: &Value) {
        let mut event = json!({ "type": kind, "x": x, "y": y });
        for (key, value) in more.as_object().into_iter().flatten() {
            event[key] = value.clone();
        }
        self.call("Input.dispatchMouseEvent", &event);
    }

    fn call(&mut self, method: &str, parameters: &Value) -> Value {
        self.last_id += 1;
        let mut command = json!({ "id": self.last_id, "method": method, "params": parameters });
        if !self.session.is_empty() {
            command["sessionId"] = self.session.as_str().into();
        }
        let mut text = command.to_string().into_bytes();
        text.push(0);
        self.commands.write_all(&text).expect("the browser listens");
        loop {
            let message = self.next_message();
            if message["id"] == self.last_id {
                assert!(message["error"].is_null(), "{method}: {}", message["error"]);
                return message["result"].clone();
            }
        }
    }

    fn next_message(&mut self) -> Value {
        let message = self.messages.recv_timeout(PATIENCE).expect("the browser answers");
        let told = &message["params"];
        match message["method"].as_str() {
            Some("Runtime.exceptionThrown") => self.complaints.push(told["exceptionDetails"].to_string()),
            Some("Log.entryAdded") => self.complaints.push(told["entry"].to_string()),
            Some("Runtime.consoleAPICalled") => self.complaints.push(told["args"].to_string()),
            _ => {}
        }
        message
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
