//! A real browser, driven over its DevTools protocol.

use std::fs;
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use data_encoding::BASE64;
use serde_json::{Value, json};
use tempfile::TempDir;
use tungstenite::{Message, WebSocket};

/// Far beyond what anything here takes; only a hang reaches it.
const LONG: Duration = Duration::from_secs(120);

/// Names under which there may be one.
const PROGRAMS: [&str; 4] = ["chromium", "chromium-browser", "google-chrome", "chrome"];

pub(crate) struct Browser {
    child: Child,
    socket: WebSocket<TcpStream>,
    session: String,
    next: u64,
    _profile: TempDir,
}

impl Browser {
    /// A browser with an empty page of this size; `None`, and a word about it, where there is none.
    pub(crate) fn start(width: u32, height: u32) -> Option<Self> {
        let program = PROGRAMS.into_iter().find(|program| is_there(program));
        let Some(program) = program else {
            println!("skipped: no chromium here to look at the page with");
            return None;
        };
        let profile = tempfile::tempdir().expect("a temporary directory");
        let mut command = Command::new(program);
        command.args(["--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--mute-audio"]);
        command.args([
            "--no-first-run",
            "--disable-background-networking",
            "--disable-extensions",
            "--hide-scrollbars",
        ]);
        command.args(["--remote-debugging-port=0", &format!("--user-data-dir={}", profile.path().display())]);
        command.arg("about:blank").env("HOME", profile.path());
        let child =
            command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("it starts");
        let (port, path) = wait(|| port(&profile.path().join("DevToolsActivePort")));
        let stream = wait(|| TcpStream::connect(("127.0.0.1", port)).ok());
        stream.set_read_timeout(Some(LONG)).expect("a time");
        let (socket, _) = tungstenite::client(format!("ws://127.0.0.1:{port}{path}"), stream).expect("it answers");
        let mut browser = Self { child, socket, session: String::new(), next: 0, _profile: profile };
        let target = browser.call("Target.createTarget", json!({ "url": "about:blank" }))["targetId"].clone();
        let attached = browser.call("Target.attachToTarget", json!({ "targetId": target, "flatten": true }));
        browser.session = attached["sessionId"].as_str().expect("a session").to_owned();
        browser.resize(width, height);
        Some(browser)
    }

    /// One command, and its result.
    pub(crate) fn call(&mut self, method: &str, params: Value) -> Value {
        self.next += 1;
        let mut command = json!({ "id": self.next, "method": method, "params": params });
        if !self.session.is_empty() {
            command["sessionId"] = self.session.as_str().into();
        }
        self.socket.send(Message::text(command.to_string())).expect("the browser listens");
        loop {
            let Message::Text(text) = self.socket.read().expect("the browser answers") else { continue };
            let answer: Value = serde_json::from_str(&text).expect("JSON");
            // All else are events.
            if answer["id"] == self.next {
                assert!(answer["error"].is_null(), "{method}: {}", answer["error"]);
                return answer["result"].clone();
            }
        }
    }

    pub(crate) fn resize(&mut self, width: u32, height: u32) {
        let size = json!({ "width": width, "height": height, "deviceScaleFactor": 1, "mobile": false });
        self.call("Emulation.setDeviceMetricsOverride", size);
    }

    pub(crate) fn prefer(&mut self, scheme: &str) {
        let features = json!({ "features": [{ "name": "prefers-color-scheme", "value": scheme }] });
        self.call("Emulation.setEmulatedMedia", features);
    }

    pub(crate) fn open(&mut self, url: &str) {
        self.call("Page.navigate", json!({ "url": url }));
    }

    /// What an expression is worth.
    pub(crate) fn evaluate(&mut self, expression: &str) -> Value {
        let params = json!({ "expression": expression, "returnByValue": true, "awaitPromise": true });
        let answer = self.call("Runtime.evaluate", params);
        assert!(answer["exceptionDetails"].is_null(), "{expression}: {answer}");
        answer["result"]["value"].clone()
    }

    /// Waits until an expression is true. What it looks at may not be there yet.
    pub(crate) fn until(&mut self, expression: &str) {
        let tried = format!("(() => {{ try {{ return Boolean({expression}) }} catch {{ return false }} }})()");
        let end = Instant::now() + LONG;
        while self.evaluate(&tried) != true {
            let text = || String::new();
            assert!(
                Instant::now() < end,
                "never: {expression}\n{}{}",
                text(),
                self.evaluate("document.body.innerText")
            );
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// What somebody who cannot see it is told of it: all nodes that are not left out.
    pub(crate) fn spoken(&mut self) -> Vec<Value> {
        let tree = self.call("Accessibility.getFullAXTree", json!({}));
        let nodes = tree["nodes"].as_array().expect("nodes").iter();
        nodes.filter(|node| node["ignored"] != true).cloned().collect()
    }

    /// A picture of all of the page.
    pub(crate) fn picture(&mut self, file: &Path) {
        let params = json!({ "format": "png", "captureBeyondViewport": true });
        let shot = self.call("Page.captureScreenshot", params);
        let png = BASE64.decode(shot["data"].as_str().expect("a picture").as_bytes()).expect("base64");
        fs::write(file, png).expect("written");
    }

    pub(crate) fn press(&mut self, key: &str) {
        for kind in ["rawKeyDown", "keyUp"] {
            let params = json!({ "type": kind, "key": key, "code": key, "windowsVirtualKeyCode": 9 });
            self.call("Input.dispatchKeyEvent", params);
        }
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn is_there(program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).any(|dir| dir.join(program).is_file())
}

/// The port and the path that a browser writes down when it listens.
fn port(file: &Path) -> Option<(u16, String)> {
    let text = fs::read_to_string(file).ok()?;
    let (port, path) = text.split_once('\n')?;
    Some((port.parse().ok()?, path.trim().to_owned())).filter(|(_, path)| !path.is_empty())
}

fn wait<T>(mut found: impl FnMut() -> Option<T>) -> T {
    let end = Instant::now() + LONG;
    loop {
        if let Some(found) = found() {
            return found;
        }
        assert!(Instant::now() < end, "the browser does not start");
        std::thread::sleep(Duration::from_millis(50));
    }
}
