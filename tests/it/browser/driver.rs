//! A browser, driven over WebDriver (<https://www.w3.org/TR/webdriver2/>): chromedriver is started
//! on a port of its choice, with a session and a profile for each test. The protocol is a dozen
//! JSON requests; a client crate would bring a second ICU and two cookie jars for them.

use std::{
    io::{BufRead, BufReader, Write},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use base64::{Engine, prelude::BASE64_STANDARD};
use reqwest::Method;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::runtime::Runtime;

/// Set where a missing browser is a failure and not a reason to skip.
const REQUIRED: &str = "TENANTRY_BROWSER";

/// How long anything may take to show itself on a page.
const PATIENCE: Duration = Duration::from_secs(15);

/// How often chromedriver is started before it is given up.
const TRIES: usize = 3;

/// One browser at a time: each wants a core and some hundred megabytes.
static ONE: Mutex<()> = Mutex::new(());

/// A browser with one tab; all of it ends with the value.
pub(super) struct Browser {
    driver: Child,
    session: String,
    client: reqwest::Client,
    runtime: Runtime,
    _profile: TempDir,
    _turn: MutexGuard<'static, ()>,
}

/// Whether pages may run scripts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum JavaScript {
    On,
    Off,
}

impl Browser {
    /// A browser; nothing, and a word about it, on a machine that has none.
    pub(super) fn start(javascript: JavaScript) -> Option<Self> {
        let Some(program) = found("chromedriver") else {
            assert!(
                std::env::var(REQUIRED).as_deref() != Ok("required"),
                "{REQUIRED}=required, and no chromedriver is on the PATH"
            );
            let _ = writeln!(std::io::stderr(), "skipped: no headless Chromium here");
            return None;
        };
        let turn = ONE.lock().unwrap_or_else(PoisonError::into_inner);
        let profile = tempfile::tempdir().unwrap();
        let (driver, port) = driver(&program);
        let _ = rustls::crypto::ring::default_provider().install_default();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let client = reqwest::Client::builder().no_proxy().build().unwrap();
        let mut browser = Self {
            driver,
            session: format!("http://127.0.0.1:{port}/session"),
            client,
            runtime,
            _profile: profile,
            _turn: turn,
        };
        let profile = format!("--user-data-dir={}", browser._profile.path().display());
        let answer = browser.ask(
            Method::POST,
            "",
            &json!({"capabilities": {"alwaysMatch": {
                "browserName": "chrome",
                "goog:chromeOptions": {
                    "args": [
                        "--headless=new",
                        // Chromium's own sandbox does not start for root; only our pages are shown.
                        "--no-sandbox",
                        "--disable-gpu",
                        "--disable-dev-shm-usage",
                        "--disable-background-networking",
                        "--no-first-run",
                        "--no-proxy-server",
                        // Whatever a page names beyond this machine is not found.
                        "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE localhost, EXCLUDE 127.0.0.1",
                        "--window-size=1280,1000",
                        profile,
                    ],
                    "prefs": {"profile.managed_default_content_settings.javascript":
                        if javascript == JavaScript::On { 1 } else { 2 }},
                },
            }}}),
        );
        browser.session = format!("{}/{}", browser.session, answer["sessionId"].as_str().unwrap());
        Some(browser)
    }

    #[track_caller]
    fn ask(&self, method: Method, path: &str, body: &Value) -> Value {
        let value = self.try_to_ask(&method, path, body);
        assert!(value["error"].is_null(), "{method} {path} {body}: {value:#}");
        value
    }

    fn try_to_ask(&self, method: &Method, path: &str, body: &Value) -> Value {
        let url = format!("{}{path}", self.session);
        let mut request =
            self.client.request(method.clone(), &url).timeout(Duration::from_secs(60));
        if *method == Method::POST {
            request = request.header("content-type", "application/json").body(body.to_string());
        }
        let text = self.runtime.block_on(async { request.send().await?.text().await }).unwrap();
        let answer: Value = serde_json::from_str(&text).unwrap();
        answer["value"].clone()
    }

    /// Opens an address.
    pub(super) fn open(&self, address: &str) {
        self.ask(Method::POST, "/url", &json!({"url": address}));
    }

    /// Opens a file.
    pub(super) fn open_file(&self, path: &Path) {
        self.open(&format!("file://{}", path.display()));
    }

    /// The address that it shows.
    pub(super) fn address(&self) -> String {
        self.ask(Method::GET, "/url", &Value::Null).as_str().unwrap().to_owned()
    }

    /// Looks at the newest tab.
    pub(super) fn see_the_new_tab(&self) {
        let begun = Instant::now();
        let tabs = loop {
            let tabs = self.tabs();
            if tabs.len() > 1 {
                break tabs;
            }
            assert!(begun.elapsed() < PATIENCE, "no tab was opened");
            std::thread::sleep(Duration::from_millis(50));
        };
        self.look_at(&tabs[tabs.len() - 1]);
    }

    /// Closes the tab that is looked at, and looks at the first one.
    pub(super) fn close_the_tab(&self) {
        self.ask(Method::DELETE, "/window", &Value::Null);
        self.look_at(&self.tabs()[0]);
    }

    fn tabs(&self) -> Vec<String> {
        let tabs = self.ask(Method::GET, "/window/handles", &Value::Null);
        tabs.as_array().unwrap().iter().map(|tab| tab.as_str().unwrap().to_owned()).collect()
    }

    fn look_at(&self, tab: &str) {
        self.ask(Method::POST, "/window", &json!({"handle": tab}));
    }

    /// What a function's body returns in the page.
    pub(super) fn run(&self, body: &str) -> Value {
        self.ask(Method::POST, "/execute/sync", &json!({"script": body, "args": []}))
    }

    /// The text that a person sees at a selector.
    pub(super) fn text(&self, selector: &str) -> String {
        let element = self.element(selector);
        let path = format!("/element/{element}/text");
        self.ask(Method::GET, &path, &Value::Null).as_str().unwrap().to_owned()
    }

    fn element(&self, selector: &str) -> String {
        let body = json!({"using": "css selector", "value": selector});
        let found = self.ask(Method::POST, "/element", &body);
        found.as_object().unwrap().values().next().unwrap().as_str().unwrap().to_owned()
    }

    /// Clicks like a person: the element must be there, visible and not covered.
    /// A page that changes by itself may put a new one in its place meanwhile; a person does not
    /// notice.
    #[track_caller]
    pub(super) fn click(&self, selector: &str) {
        let begun = Instant::now();
        loop {
            let path = format!("/element/{}/click", self.element(selector));
            let value = self.try_to_ask(&Method::POST, &path, &json!({}));
            if value["error"].is_null() {
                return;
            }
            let stale = value["error"] == "stale element reference" && begun.elapsed() < PATIENCE;
            assert!(stale, "{selector} cannot be clicked: {value:#}");
        }
    }

    /// Types into an element, after what is in it.
    pub(super) fn type_into(&self, selector: &str, text: &str) {
        let element = self.element(selector);
        self.ask(Method::POST, &format!("/element/{element}/value"), &json!({"text": text}));
    }

    /// Empties a field.
    pub(super) fn empty(&self, selector: &str) {
        let element = self.element(selector);
        self.ask(Method::POST, &format!("/element/{element}/clear"), &json!({}));
    }

    /// A command of Chromium's own protocol.
    pub(super) fn devtools(&self, command: &str, parameters: &Value) -> Value {
        let body = json!({"cmd": command, "params": parameters});
        self.ask(Method::POST, "/goog/cdp/execute", &body)
    }

    /// A phone's screen.
    pub(super) fn be_a_phone(&self) {
        self.devtools(
            "Emulation.setDeviceMetricsOverride",
            &json!({"width": 390, "height": 844, "deviceScaleFactor": 2, "mobile": true}),
        );
    }

    /// Whether the page is asked for in the dark, and for paper or a screen.
    pub(super) fn be_seen_on(&self, media: &str, scheme: &str) {
        self.devtools(
            "Emulation.setEmulatedMedia",
            &json!({"media": media,
                    "features": [{"name": "prefers-color-scheme", "value": scheme}]}),
        );
    }

    /// Keeps a picture of the whole page, for looking at.
    pub(super) fn picture(&self, name: &str) {
        let size =
            self.run("const e = document.documentElement; return [e.clientWidth, e.scrollHeight];");
        let clip = json!({"x": 0, "y": 0, "width": size[0], "height": size[1], "scale": 1});
        let shot = self.devtools(
            "Page.captureScreenshot",
            &json!({"captureBeyondViewport": true, "clip": clip}),
        );
        keep(&format!("{name}.png"), shot["data"].as_str().unwrap());
    }

    /// Prints the page to a file, for looking at; the number of its sheets.
    pub(super) fn print(&self, name: &str) -> usize {
        let printed = self.ask(Method::POST, "/print", &json!({}));
        let pdf = keep(&format!("{name}.pdf"), printed.as_str().unwrap());
        String::from_utf8_lossy(&pdf).matches("/Type /Page\n").count()
    }

    /// Waits until something is on the page.
    #[track_caller]
    pub(super) fn until_there(&self, selector: &str) {
        self.until(&format!("return document.querySelector({}) !== null;", json!(selector)));
    }

    /// Waits until an element says something.
    #[track_caller]
    pub(super) fn until_said(&self, selector: &str, words: &str) {
        let body = format!(
            "const e = document.querySelector({}); return e !== null && e.innerText.includes({});",
            json!(selector),
            json!(words)
        );
        self.until(&body);
    }

    /// Waits until a function's body returns true in the page.
    #[track_caller]
    pub(super) fn until(&self, body: &str) {
        let begun = Instant::now();
        while self.run(body) != json!(true) {
            assert!(
                begun.elapsed() < PATIENCE,
                "never true: {body}\non {}\n{}",
                self.address(),
                self.text("body")
            );
            std::thread::sleep(Duration::from_millis(50));
        }
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        // The session first: it takes the browser's processes with it. Nothing here may panic, the
        // test may be failing already.
        let bye = self.client.delete(&self.session).timeout(Duration::from_secs(10));
        let _ = self.runtime.block_on(async { bye.send().await });
        let _ = self.driver.kill();
        let _ = self.driver.wait();
    }
}

/// A program on the path.
fn found(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path).map(|folder| folder.join(program)).find(|path| path.is_file())
}

/// chromedriver, and the port that it took. On a machine with many ports in use it may end before it
/// has one; the next try finds another.
fn driver(program: &Path) -> (Child, u16) {
    let started = || {
        let mut driver = Command::new(program)
            .arg("--port=0")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let Some(port) = port(&mut driver) else {
            driver.wait().unwrap();
            return None;
        };
        Some((driver, port))
    };
    (0..TRIES).find_map(|_| started()).expect("chromedriver says its port")
}

/// The port that chromedriver took, from its own words; nothing where it ended without them.
fn port(driver: &mut Child) -> Option<u16> {
    let mut lines = BufReader::new(driver.stdout.take().unwrap()).lines();
    let told = lines.by_ref().map_while(Result::ok).find_map(|line| {
        let (_, port) = line.split_once("started successfully on port ")?;
        port.trim_end_matches('.').parse().ok()
    })?;
    // Its later words are read, or it would stop at a full pipe.
    std::thread::spawn(move || lines.for_each(drop));
    Some(told)
}

fn keep(name: &str, base64: &str) -> Vec<u8> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/screenshots");
    std::fs::create_dir_all(&folder).unwrap();
    let bytes = BASE64_STANDARD.decode(base64).unwrap();
    std::fs::write(folder.join(name), &bytes).unwrap();
    bytes
}
