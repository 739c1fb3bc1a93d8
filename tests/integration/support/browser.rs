//! A headless Chromium, driven through chromedriver, that records its console and its requests.

use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::process::{Child, Stdio};
use std::time::Duration;

use fantoccini::actions::{InputSource, KeyAction, KeyActions};
use fantoccini::wd::{Capabilities, TimeoutConfiguration, WebDriverCompatibleCommand, WindowHandle};
use fantoccini::{ClientBuilder, Locator};
use hyper_util::client::legacy::connect::HttpConnector;
use serde_json::{Value, json};

use super::{Tool, Watchdog, runtime, timeout};

pub(crate) const TAB: char = '\u{e004}';
pub(crate) const ENTER: char = '\u{e007}';
pub(crate) const ESCAPE: char = '\u{e00c}';
pub(crate) const DOWN: char = '\u{e015}';

/// A browser with one tab. Dropping it ends the browser. If a test failed, the page's text is printed then.
pub(crate) struct Browser {
    client: fantoccini::Client,
    driver: Child,
    /// The URL of the page's server.
    base: String,
    _profile: tempfile::TempDir,
}

/// A command that only chromedriver knows.
#[derive(Debug)]
struct ChromedriverCommand(&'static str, Value);

impl WebDriverCompatibleCommand for ChromedriverCommand {
    fn endpoint(&self, base: &url::Url, session: Option<&str>) -> Result<url::Url, url::ParseError> {
        base.join(&format!("session/{}/{}", session.unwrap_or_default(), self.0))
    }

    fn method_and_body(&self, _: &url::Url) -> (http::Method, Option<String>) {
        (http::Method::POST, Some(self.1.to_string()))
    }
}

impl Browser {
    /// Starts a browser for the pages of the server at `address`.
    ///
    /// `None` if a package is missing: the test is skipped.
    pub(crate) fn start(address: SocketAddr) -> Option<Self> {
        let (driver, chromium) = (Tool::find("chromedriver")?, Tool::find("chromium")?);
        // It finds a free port and binds it later: another process may have it by then.
        let (driver, port) = (0..5)
            .find_map(|_| {
                let mut driver = driver
                    .command()
                    .arg("--port=0")
                    .stdin(Stdio::null())
                    .stdout(Stdio::piped())
                    .stderr(Stdio::null())
                    .spawn()
                    .expect("chromedriver can be started");
                port(&mut driver).map(|port| (driver, port))
            })
            .expect("chromedriver reports its port");
        let profile = tempfile::tempdir().expect("a temporary directory can be made");
        let capabilities: Capabilities = serde_json::from_value(json!({
            "browserName": "chrome",
            "goog:loggingPrefs": { "browser": "ALL", "performance": "ALL" },
            "goog:chromeOptions": {
                "binary": chromium.path(),
                "args": [
                    "--headless=new", "--no-sandbox", "--hide-scrollbars", "--force-color-profile=srgb",
                    // Without the browser's own requests, which are not the page's.
                    "--disable-background-networking", "--disable-component-update", "--disable-sync", "--no-first-run",
                    format!("--user-data-dir={}", profile.path().display()),
                ],
            },
        }))
        .expect("capabilities are an object");
        let client = within_limit(async {
            let url = format!("http://127.0.0.1:{port}");
            let client = ClientBuilder::new(HttpConnector::new()).capabilities(capabilities).connect(&url).await;
            let client = client.expect("a browser can be started");
            let timeouts = TimeoutConfiguration::new(Some(timeout()), Some(timeout()), Some(Duration::ZERO));
            client.update_timeouts(timeouts).await.expect("the browser accepts timeouts");
            client
        })
        .expect("chromedriver responds");
        let browser = Self { client, driver, base: format!("http://{address}/"), _profile: profile };
        // It starts with a page of its own.
        browser.wait(browser.client.goto("about:blank"));
        browser.requests();
        browser.resize(1440, 900);
        Some(browser)
    }

    /// Loads the page at this path and fragment again from scratch.
    pub(crate) fn open(&self, path: &str) {
        self.wait(self.client.goto("about:blank"));
        self.wait(self.client.goto(&format!("{}{path}", self.base)));
    }

    /// Opens the page at this path and fragment in a new tab, which becomes the visible one.
    pub(crate) fn open_tab(&self, path: &str) {
        let tab = self.wait(self.client.new_window(true)).handle;
        self.switch_to(tab);
        self.wait(self.client.goto(&format!("{}{path}", self.base)));
    }

    /// Returns the visible tab.
    pub(crate) fn tab(&self) -> WindowHandle {
        self.wait(self.client.window())
    }

    /// Makes this tab the visible one.
    pub(crate) fn switch_to(&self, tab: WindowHandle) {
        self.wait(self.client.switch_to_window(tab));
    }

    /// Goes to another fragment of the open page.
    pub(crate) fn go(&self, fragment: &str) {
        self.run(&format!("location.hash = {}", json!(fragment)));
    }

    /// Runs these statements in the page and returns their result.
    pub(crate) fn run(&self, statements: &str) -> Value {
        self.wait(self.client.execute(statements, Vec::new()))
    }

    /// Waits until this expression is truthy and returns its value. It is evaluated once a frame.
    pub(crate) fn wait_for(&self, expression: &str) -> Value {
        let look = format!(
            "const done = arguments[arguments.length - 1]; const look = () => {{ let found; try {{ found = ({expression}); }} \
             catch {{ found = null; }} found ? done(found) : requestAnimationFrame(look); }}; look();"
        );
        // The browser's timeout for scripts ends this wait.
        match within_limit(self.client.execute_async(&look, Vec::new())).expect("chromedriver responds") {
            Ok(found) => found,
            Err(error) => panic!("never {expression}: {error}"),
        }
    }

    /// Waits until the page shows this text.
    pub(crate) fn wait_for_text(&self, text: &str) {
        self.wait_for(&format!("document.body.innerText.includes({})", json!(text)));
    }

    /// Clicks the visible button or link with this text.
    pub(crate) fn click(&self, text: &str) {
        let path = format!("(//button|//a)[normalize-space()={}]", json!(text));
        let found = self.wait(self.client.find_all(Locator::XPath(&path)));
        for element in found {
            if self.wait(element.is_displayed()) {
                return self.wait(element.click());
            }
        }
        panic!("no visible button or link has the text {text:?}");
    }

    /// Presses keys, one after the other.
    pub(crate) fn press(&self, keys: &[char]) {
        let actions = keys.iter().fold(KeyActions::new("keyboard".to_owned()), |actions, &value| {
            actions.then(KeyAction::Down { value }).then(KeyAction::Up { value })
        });
        self.wait(self.client.perform_actions(actions));
    }

    /// Presses Tab until this expression holds for `it`, the focused element.
    pub(crate) fn tab_to(&self, expression: &str) {
        for _ in 0..80 {
            self.press(&[TAB]);
            if self.run(&format!("const it = document.activeElement; return Boolean({expression});")) == true {
                return;
            }
        }
        panic!("the Tab key never reaches {expression}");
    }

    /// Types a text.
    pub(crate) fn type_text(&self, text: &str) {
        self.press(&text.chars().collect::<Vec<_>>());
    }

    /// Emulates a system that prefers dark or light pages.
    pub(crate) fn dark(&self, dark: bool) {
        let value = if dark { "dark" } else { "light" };
        let features = json!({ "features": [{ "name": "prefers-color-scheme", "value": value }] });
        self.devtools("Emulation.setEmulatedMedia", &features);
    }

    /// Emulates a window of this size.
    pub(crate) fn resize(&self, width: u32, height: u32) {
        let size = json!({ "width": width, "height": height, "deviceScaleFactor": 1, "mobile": false });
        self.devtools("Emulation.setDeviceMetricsOverride", &size);
    }

    /// Writes a screenshot to `target/screenshots/NAME.png` and returns it.
    pub(crate) fn screenshot(&self, name: &str) -> Vec<u8> {
        let png = self.wait(self.client.screenshot());
        let dir = crate::support::program::root().join("target/screenshots");
        std::fs::create_dir_all(&dir).expect("the folder of screenshots can be made");
        std::fs::write(dir.join(format!("{name}.png")), &png).expect("a screenshot can be written");
        png
    }

    /// Returns the lines of the console since the last call, as `LEVEL text`.
    pub(crate) fn console(&self) -> Vec<String> {
        let entries = self.log("browser");
        let text = |entry: &Value, key: &str| entry[key].as_str().unwrap_or_default().to_owned();
        entries.iter().map(|entry| format!("{} {}", text(entry, "level"), text(entry, "message"))).collect()
    }

    /// Returns the requested URLs since the last call.
    pub(crate) fn requests(&self) -> Vec<String> {
        let url = |entry: Value| {
            let event: Value = serde_json::from_str(entry["message"].as_str()?).ok()?;
            let asks = event["message"]["method"] == "Network.requestWillBeSent";
            asks.then(|| event["message"]["params"]["request"]["url"].as_str().map(str::to_owned)).flatten()
        };
        self.log("performance").into_iter().filter_map(url).collect()
    }

    fn log(&self, kind: &str) -> Vec<Value> {
        match self.wait(self.client.issue_cmd(ChromedriverCommand("se/log", json!({ "type": kind })))) {
            Value::Array(entries) => entries,
            other => panic!("chromedriver's log is {other}"),
        }
    }

    /// Sends a command of the Chrome `DevTools` protocol.
    fn devtools(&self, command: &str, parameters: &Value) {
        self.wait(
            self.client
                .issue_cmd(ChromedriverCommand("goog/cdp/execute", json!({ "cmd": command, "params": parameters }))),
        );
    }

    fn wait<T, E: std::fmt::Display>(&self, future: impl Future<Output = Result<T, E>>) -> T {
        within_limit(future).expect("chromedriver responds").unwrap_or_else(|error| panic!("{}: {error}", self.base))
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let text = self.client.execute("return location.hash + '\\n' + document.body.innerText", Vec::new());
            let text = within_limit(text)
                .and_then(Result::ok)
                .and_then(|text| text.as_str().map(str::to_owned))
                .unwrap_or_default();
            eprintln!("the page's text:\n{text}");
        }
        // The browser ends with its session, chromedriver by its id.
        let _ = within_limit(self.client.clone().close());
        let _ = self.driver.kill();
        let _ = self.driver.wait();
    }
}

/// Waits for a command of the browser. `None` if it takes longer than each timeout of the browser: chromedriver hangs.
fn within_limit<T>(command: impl Future<Output = T>) -> Option<T> {
    runtime().block_on(async { tokio::time::timeout(timeout() * 2, command).await.ok() })
}

/// Reads chromedriver's port from its first lines. `None` if it ended.
fn port(driver: &mut Child) -> Option<u16> {
    let _watchdog = Watchdog::new(driver);
    let mut lines = BufReader::new(driver.stdout.take().expect("stdout is piped")).lines();
    let port = lines
        .by_ref()
        .map_while(Result::ok)
        .find_map(|line| line.split_once("started successfully on port ")?.1.trim_end_matches('.').parse().ok());
    // Without a reader chromedriver would end at its next line.
    std::thread::spawn(move || lines.map_while(Result::ok).for_each(drop));
    port
}
