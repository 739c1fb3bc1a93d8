//! A headless Chromium, as an operator's browser: driven through chromedriver, with its console and its requests on record.

use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::process::{Child, Stdio};
use std::time::Duration;

use fantoccini::actions::{InputSource, KeyAction, KeyActions};
use fantoccini::wd::{Capabilities, TimeoutConfiguration, WebDriverCompatibleCommand, WindowHandle};
use fantoccini::{ClientBuilder, Locator};
use hyper_util::client::legacy::connect::HttpConnector;
use serde_json::{Value, json};

use super::{PATIENCE, Tool, runtime};

pub(crate) const TAB: char = '\u{e004}';
pub(crate) const ENTER: char = '\u{e007}';
pub(crate) const ESCAPE: char = '\u{e00c}';
pub(crate) const DOWN: char = '\u{e015}';

/// A browser with one tab. Ended when dropped; what the page says is printed when that is because a test failed.
pub(crate) struct Browser {
    client: fantoccini::Client,
    driver: Child,
    /// The page's server.
    base: String,
    _profile: tempfile::TempDir,
}

/// A command of chromedriver's own.
#[derive(Debug)]
struct Own(&'static str, Value);

impl WebDriverCompatibleCommand for Own {
    fn endpoint(&self, base: &url::Url, session: Option<&str>) -> Result<url::Url, url::ParseError> {
        base.join(&format!("session/{}/{}", session.unwrap_or_default(), self.0))
    }

    fn method_and_body(&self, _: &url::Url) -> (http::Method, Option<String>) {
        (http::Method::POST, Some(self.1.to_string()))
    }
}

impl Browser {
    /// A browser in which the pages of the server at `address` are to be opened.
    ///
    /// `None` skips the test, where a package is missing.
    pub(crate) fn start(address: SocketAddr) -> Option<Self> {
        let (driver, chromium) = (Tool::find("chromedriver")?, Tool::find("chromium")?);
        // It looks for a port that is free, and takes it a while later: somebody else may have it by then.
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
            .expect("chromedriver says where it listens");
        let profile = tempfile::tempdir().expect("a temporary directory can be made");
        let capabilities: Capabilities = serde_json::from_value(json!({
            "browserName": "chrome",
            "goog:loggingPrefs": { "browser": "ALL", "performance": "ALL" },
            "goog:chromeOptions": {
                "binary": chromium.path(),
                "args": [
                    "--headless=new", "--no-sandbox", "--hide-scrollbars", "--force-color-profile=srgb",
                    // What browsers ask of their makers is none of the page's requests.
                    "--disable-background-networking", "--disable-component-update", "--disable-sync", "--no-first-run",
                    format!("--user-data-dir={}", profile.path().display()),
                ],
            },
        }))
        .expect("capabilities are an object");
        let client = runtime().block_on(async {
            let url = format!("http://127.0.0.1:{port}");
            let client = ClientBuilder::new(HttpConnector::new()).capabilities(capabilities).connect(&url).await;
            let client = client.expect("a browser can be started");
            let patience = TimeoutConfiguration::new(Some(PATIENCE), Some(PATIENCE), Some(Duration::ZERO));
            client.update_timeouts(patience).await.expect("a browser can be told to be patient");
            client
        });
        let browser = Self { client, driver, base: format!("http://{address}/"), _profile: profile };
        // It opens with a page of its maker.
        browser.wait(browser.client.goto("about:blank"));
        browser.requests();
        browser.resize(1440, 900);
        Some(browser)
    }

    /// Opens the page at this path and fragment, anew.
    pub(crate) fn open(&self, path: &str) {
        self.wait(self.client.goto("about:blank"));
        self.wait(self.client.goto(&format!("{}{path}", self.base)));
    }

    /// Opens the page at this path and fragment in a tab of its own, which is seen from then on.
    pub(crate) fn open_tab(&self, path: &str) {
        let tab = self.wait(self.client.new_window(true)).handle;
        self.see(tab);
        self.wait(self.client.goto(&format!("{}{path}", self.base)));
    }

    /// The tab that is seen.
    pub(crate) fn tab(&self) -> WindowHandle {
        self.wait(self.client.window())
    }

    /// Has this tab seen in place of another.
    pub(crate) fn see(&self, tab: WindowHandle) {
        self.wait(self.client.switch_to_window(tab));
    }

    /// Goes to another fragment of the page that is open.
    pub(crate) fn go(&self, fragment: &str) {
        self.run(&format!("location.hash = {}", json!(fragment)));
    }

    /// What these statements return.
    pub(crate) fn run(&self, statements: &str) -> Value {
        self.wait(self.client.execute(statements, Vec::new()))
    }

    /// The value of this expression as soon as it is a true one. It is looked at for each frame that the browser draws.
    pub(crate) fn wait_for(&self, expression: &str) -> Value {
        let look = format!(
            "const done = arguments[arguments.length - 1]; const look = () => {{ let found; try {{ found = ({expression}); }} \
             catch {{ found = null; }} found ? done(found) : requestAnimationFrame(look); }}; look();"
        );
        match runtime().block_on(self.client.execute_async(&look, Vec::new())) {
            Ok(found) => found,
            Err(error) => panic!("never {expression}: {error}"),
        }
    }

    /// Waits until the page holds this text, where people see it.
    pub(crate) fn wait_for_text(&self, text: &str) {
        self.wait_for(&format!("document.body.innerText.includes({})", json!(text)));
    }

    /// Clicks the button or link with this text, which must be in sight.
    pub(crate) fn click(&self, text: &str) {
        let path = format!("(//button|//a)[normalize-space()={}]", json!(text));
        let found = self.wait(self.client.find_all(Locator::XPath(&path)));
        for element in found {
            if self.wait(element.is_displayed()) {
                return self.wait(element.click());
            }
        }
        panic!("no button or link in sight says {text:?}");
    }

    /// Presses keys, one after the other.
    pub(crate) fn press(&self, keys: &[char]) {
        let actions = keys.iter().fold(KeyActions::new("keyboard".to_owned()), |actions, &value| {
            actions.then(KeyAction::Down { value }).then(KeyAction::Up { value })
        });
        self.wait(self.client.perform_actions(actions));
    }

    /// Presses Tab until the focus is where this expression says so of `it`, the focused element.
    pub(crate) fn tab_to(&self, expression: &str) {
        for _ in 0..80 {
            self.press(&[TAB]);
            if self.run(&format!("const it = document.activeElement; return Boolean({expression});")) == true {
                return;
            }
        }
        panic!("the Tab key never comes to {expression}");
    }

    /// Types a text.
    pub(crate) fn type_text(&self, text: &str) {
        self.press(&text.chars().collect::<Vec<_>>());
    }

    /// Pretends that the system wants dark pages, or light ones.
    pub(crate) fn dark(&self, dark: bool) {
        let value = if dark { "dark" } else { "light" };
        let features = json!({ "features": [{ "name": "prefers-color-scheme", "value": value }] });
        self.tell("Emulation.setEmulatedMedia", &features);
    }

    /// Pretends that the window has this size.
    pub(crate) fn resize(&self, width: u32, height: u32) {
        let size = json!({ "width": width, "height": height, "deviceScaleFactor": 1, "mobile": false });
        self.tell("Emulation.setDeviceMetricsOverride", &size);
    }

    /// Writes what is in sight to `target/screenshots/NAME.png`, and returns it.
    pub(crate) fn screenshot(&self, name: &str) -> Vec<u8> {
        let png = self.wait(self.client.screenshot());
        let dir = crate::support::program::root().join("target/screenshots");
        std::fs::create_dir_all(&dir).expect("the folder of screenshots can be made");
        std::fs::write(dir.join(format!("{name}.png")), &png).expect("a screenshot can be written");
        png
    }

    /// What the console said since the last call, as `LEVEL text`.
    pub(crate) fn console(&self) -> Vec<String> {
        let entries = self.log("browser");
        let text = |entry: &Value, key: &str| entry[key].as_str().unwrap_or_default().to_owned();
        entries.iter().map(|entry| format!("{} {}", text(entry, "level"), text(entry, "message"))).collect()
    }

    /// The URLs that were asked for since the last call.
    pub(crate) fn requests(&self) -> Vec<String> {
        let url = |entry: Value| {
            let event: Value = serde_json::from_str(entry["message"].as_str()?).ok()?;
            let asks = event["message"]["method"] == "Network.requestWillBeSent";
            asks.then(|| event["message"]["params"]["request"]["url"].as_str().map(str::to_owned)).flatten()
        };
        self.log("performance").into_iter().filter_map(url).collect()
    }

    fn log(&self, kind: &str) -> Vec<Value> {
        match self.wait(self.client.issue_cmd(Own("se/log", json!({ "type": kind })))) {
            Value::Array(entries) => entries,
            other => panic!("chromedriver's log is {other}"),
        }
    }

    /// A command of the browser's own protocol.
    fn tell(&self, command: &str, parameters: &Value) {
        self.wait(self.client.issue_cmd(Own("goog/cdp/execute", json!({ "cmd": command, "params": parameters }))));
    }

    fn wait<T, E: std::fmt::Display>(&self, future: impl Future<Output = Result<T, E>>) -> T {
        runtime().block_on(future).unwrap_or_else(|error| panic!("{}: {error}", self.base))
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let said = runtime()
                .block_on(self.client.execute("return location.hash + '\\n' + document.body.innerText", Vec::new()));
            let said = said.ok().and_then(|said| said.as_str().map(str::to_owned)).unwrap_or_default();
            eprintln!("the page said:\n{said}");
        }
        // The browser ends with its session; chromedriver, which it is a child of, by its id.
        let _ = runtime().block_on(self.client.clone().close());
        let _ = self.driver.kill();
        let _ = self.driver.wait();
    }
}

/// The port that chromedriver found, by its first lines; none where it ended.
fn port(driver: &mut Child) -> Option<u16> {
    let mut lines = BufReader::new(driver.stdout.take().expect("stdout is piped")).lines();
    let told = lines
        .by_ref()
        .map_while(Result::ok)
        .find_map(|line| line.split_once("started successfully on port ")?.1.trim_end_matches('.').parse().ok());
    // Whoever stops reading ends it at its next line.
    std::thread::spawn(move || lines.map_while(Result::ok).for_each(drop));
    told
}
