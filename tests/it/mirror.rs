//! Builds and the mirror of packages: what they get there, what they do not, and that a class downloads once.
#![expect(
    clippy::disallowed_methods,
    clippy::print_stderr,
    reason = "a test looks for the programs of this machine, and says that it is skipped"
)]

use std::fs::{self, File};
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, Command};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use flate2::Compression;
use flate2::write::GzEncoder;
use reelworld::clock::Clock;
use reelworld::coursefile::Document;
use reelworld::mirror::{Declared, Fetched, Mirror};
use reelworld::sandbox::{Bounds, BuildEnd, CommandLine, Limits, Workplace, build, build_with_mirror};
use serde_json::Value;

use crate::attacks::as_an_ordinary_user;
use crate::interrupt::root;
use crate::isolation::{isolation, leash, workplace};

const LIMITS: Limits = Limits {
    build: Duration::from_secs(60),
    ready: Duration::from_secs(10),
};
const BOUNDS: fn() -> Bounds = || Bounds {
    mirror_mib: 4,
    mirror_requests: 40,
    mirror_s: 20,
    ..Bounds::default()
};

/// A mirror that runs, with one package of each kind.
struct Served {
    server: Child,
    port: u16,
    dir: tempfile::TempDir,
}

impl Served {
    fn start() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let files = dir.path().join("files");
        fs::create_dir_all(files.join("simple/tiny")).unwrap();
        fs::create_dir_all(files.join("npm/tiny/-")).unwrap();
        fs::create_dir_all(files.join("packages")).unwrap();
        wheel(&files.join("packages/tiny-1.0-py3-none-any.whl"));
        let links = "<a href='../../packages/tiny-1.0-py3-none-any.whl'>tiny</a><a href='https://evil.example.org/tiny-2.0-py3-none-any.whl'>2</a>";
        fs::write(files.join("simple/tiny/index.html"), links).unwrap();
        package(&files.join("npm/tiny/-/tiny-1.0.0.tgz"));
        let script = dir.path().join("server.py");
        fs::write(&script, include_str!("../../fixtures/mirror/server.py")).unwrap();
        let log = File::create(dir.path().join("log")).unwrap();
        let server = Command::new("python3")
            .arg(&script)
            .arg(&files)
            .stdout(log)
            .spawn()
            .unwrap();
        let mut served = Self { server, port: 0, dir };
        let clock = Clock::start();
        while served.port == 0 {
            assert!(
                clock.elapsed() < Duration::from_secs(20),
                "the mirror says no port"
            );
            clock.sleep(Duration::from_millis(10));
            served.port = served
                .lines()
                .first()
                .and_then(|line| line.parse().ok())
                .unwrap_or(0);
        }
        let about = serde_json::json!({"name": "tiny", "dist-tags": {"latest": "1.0.0"}, "versions": {"1.0.0": {
            "name": "tiny", "version": "1.0.0", "dist": {"tarball": served.address("npm/tiny/-/tiny-1.0.0.tgz")}}}});
        // The page of a package is not the folder of its files.
        fs::write(files.join("npm/tiny/index.html"), about.to_string()).unwrap();
        served
    }

    fn address(&self, path: &str) -> String {
        format!("http://127.0.0.1:{}/{path}", self.port)
    }

    /// What it has said: its port, and a line for each request.
    fn lines(&self) -> Vec<String> {
        let file = File::open(self.dir.path().join("log")).unwrap();
        BufReader::new(file).lines().map(Result::unwrap).collect()
    }

    /// How often a path was asked for.
    fn asked(&self, path: &str) -> usize {
        let asked = |line: &&String| line.split(' ').nth(1) == Some(path);
        self.lines().iter().filter(asked).count()
    }

    fn declaration(&self) -> String {
        format!(
            "\n[mirror]\npip = '{}'\nnpm = '{}'\nfiles = ['{}']\n",
            self.address("simple"),
            self.address("npm"),
            self.address("packages")
        )
    }

    fn mirror(&self) -> Arc<Mirror> {
        let text = self.declaration();
        let document = Document::parse("course.toml", &text).unwrap();
        let declared = Declared::read(&document.root());
        document.finish().unwrap();
        Arc::new(Mirror::open(declared, self.dir.path().join("kept")).unwrap())
    }

    fn stop(&mut self) {
        // It may have ended by itself.
        drop(self.server.kill());
        self.server.wait().unwrap();
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        self.stop();
    }
}

/// A wheel whose only module says where it comes from.
fn wheel(path: &Path) {
    let mut zip = zip::ZipWriter::new(File::create(path).unwrap());
    for (name, text) in [
        ("tiny.py", "FROM = 'the mirror'\n"),
        (
            "tiny-1.0.dist-info/METADATA",
            "Metadata-Version: 2.1\nName: tiny\nVersion: 1.0\n",
        ),
        (
            "tiny-1.0.dist-info/WHEEL",
            "Wheel-Version: 1.0\nGenerator: x\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        ),
        ("tiny-1.0.dist-info/RECORD", ""),
    ] {
        zip.start_file(name, zip::write::SimpleFileOptions::default())
            .unwrap();
        zip.write_all(text.as_bytes()).unwrap();
    }
    zip.finish().unwrap();
}

/// The same for npm.
fn package(path: &Path) {
    let file = File::create(path).unwrap();
    let mut tar = tar::Builder::new(GzEncoder::new(file, Compression::fast()));
    for (name, text) in [
        (
            "package/package.json",
            r#"{"name": "tiny", "version": "1.0.0", "main": "index.js"}"#,
        ),
        ("package/index.js", "module.exports = 'from the mirror';\n"),
    ] {
        let mut header = tar::Header::new_gnu();
        header.set_size(text.len() as u64);
        header.set_mode(0o644);
        tar.append_data(&mut header, name, text.as_bytes()).unwrap();
    }
    tar.into_inner().unwrap().finish().unwrap();
}

fn run(place: &Workplace, line: &str) -> (BuildEnd, Vec<String>, Fetched) {
    let words = CommandLine::Shell(line.to_owned()).words();
    let stop = AtomicBool::new(false);
    let (end, lines, fetched) =
        build_with_mirror(&words, place, LIMITS, &leash(), Clock::start(), &stop).unwrap();
    (end, lines, fetched.unwrap())
}

/// Tells whether a tool is inside, which it must be where `CI` has installed it.
fn has(place: &Workplace, line: &str) -> bool {
    let (end, lines, _) = run(place, line);
    let there = matches!(end, BuildEnd::Built(_));
    if !there {
        assert!(
            std::env::var("CI").is_err(),
            "`{line}` fails in the sandbox: {lines:?}"
        );
        eprintln!("SKIPPED, `{line}` fails in the sandbox: {lines:?}");
    }
    there
}

/// Asks for paths through the hatch, by methods, and for sockets elsewhere; prints what comes of each.
const ASK: &str = r#"
import http.client, socket, sys
def ask(method, path, port=3141, more={}):
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    try:
        connection.request(method, path, headers=more)
        answer = connection.getresponse()
        print(method, path, answer.status, answer.read(200).decode("utf-8", "replace").strip().splitlines()[:1], flush=True)
    except OSError as error:
        print(method, path, type(error).__name__, flush=True)
def connect(host, port):
    try:
        socket.create_connection((host, port), timeout=5)
        print("connected to", host, flush=True)
    except OSError as error:
        print("not connected to", host, flush=True)
"#;

#[test]
fn a_build_gets_packages_of_the_mirror_and_reaches_nothing_else() {
    let Some(isolation) = isolation() else { return };
    let served = Served::start();
    let isolation = isolation.with_mirror(served.mirror());
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("requirements.txt"), "tiny\n").unwrap();
    let place = workplace(&isolation, dir.path(), BOUNDS(), Vec::new());
    if !has(&place, "python3 -m pip --version") {
        return;
    }
    let line = "python3 -m pip install --quiet --user -r requirements.txt && python3 -c 'import tiny; print(tiny.FROM)'";
    let (end, lines, fetched) = run(&place, line);
    assert!(matches!(end, BuildEnd::Built(_)), "{end:?} {lines:?} {fetched:?}");
    assert_eq!(lines.last().unwrap(), "the mirror", "{lines:?}");
    let asked: Vec<(&str, u16)> = fetched
        .requests
        .iter()
        .map(|asked| (asked.what.as_str(), asked.status))
        .collect();
    assert_eq!(
        asked,
        [
            ("pip GET /tiny/", 200),
            ("pip GET /-0/tiny-1.0-py3-none-any.whl", 200)
        ]
    );
    assert!(fetched.bytes > 300 && fetched.fault.is_none(), "{fetched:?}");
    assert_eq!(fetched.left_out, ["https://evil.example.org"]);

    let attempts = format!(
        "{ASK}
ask('POST', '/tiny/')
ask('GET', '/tiny/?leak=secret')
ask('GET', '/')
ask('GET', '/../inside/secret')
ask('GET', '/%2e%2e/inside/secret')
ask('GET', '/..%2finside/secret')
ask('GET', '/-0/../inside/secret')
ask('GET', '/-7/secret')
ask('GET', 'http://127.0.0.1:{port}/inside/secret')
ask('GET', '/leads-to-metadata/')
ask('GET', '/leads-to-inside/')
ask('GET', '/leads-well/', more={{'x-secret': 'leaked'}})
ask('HEAD', '/tiny/')
ask('GET', '/none/')
ask('CONNECT', '127.0.0.1:{port}')
ask('GET', '/inside/secret', port={port})
connect('169.254.169.254', 80)
connect('10.0.0.1', 80)
connect('pypi.org', 443)
",
        port = served.port
    );
    fs::write(dir.path().join("attempts.py"), attempts).unwrap();
    let place = workplace(&isolation, dir.path(), BOUNDS(), Vec::new());
    let (end, lines, fetched) = run(&place, "python3 attempts.py");
    assert!(matches!(end, BuildEnd::Built(_)), "{end:?} {lines:?}");
    let said = lines.join("\n");
    for wanted in [
        "POST /tiny/ 403 ['only GET and HEAD are answered']",
        "GET /tiny/?leak=secret 403",
        "GET / 403",
        "GET /../inside/secret 403",
        "GET /%2e%2e/inside/secret 403",
        "GET /..%2finside/secret 403",
        "GET /-0/../inside/secret 403",
        "GET /-7/secret 403",
        "/inside/secret 403",
        "GET /leads-to-metadata/ 403 ['the mirror leads on to `http://169.254.169.254/latest/meta-data/`, which is not declared']",
        "GET /leads-to-inside/ 403",
        "GET /leads-well/ 200",
        "HEAD /tiny/ 200 []",
        "GET /none/ 404",
        "CONNECT 127.0.0.1",
        "GET /inside/secret ConnectionRefusedError",
        "not connected to 169.254.169.254",
        "not connected to 10.0.0.1",
        "not connected to pypi.org",
    ] {
        assert!(said.contains(wanted), "{wanted}:\n{said}");
    }
    assert!(
        !said.contains("a secret of the inside") && !said.contains("200 ['a secret"),
        "{said}"
    );
    let log = served.lines().join("\n");
    assert!(
        !log.contains("/inside/") && !log.contains("POST") && !log.contains("leak"),
        "{log}"
    );
    assert!(fetched.fault.is_none(), "{fetched:?}");

    // Whatever runs after the build finds nobody there.
    let words = ["python3", "-c", &format!("{ASK}\nask('GET', '/tiny/')\n")].map(str::to_owned);
    let stop = AtomicBool::new(false);
    let (_, lines) = build(&words, &place, LIMITS, &leash(), Clock::start(), &stop).unwrap();
    assert_eq!(lines, ["GET /tiny/ ConnectionRefusedError"]);
}

#[test]
fn a_build_of_an_ordinary_user_gets_packages_and_reaches_nothing_else() {
    as_an_ordinary_user("mirror::a_build_gets_packages_of_the_mirror_and_reaches_nothing_else");
}

#[test]
fn what_a_mirror_does_to_a_build_is_bounded_and_its_own_faults_are_told_apart() {
    let Some(isolation) = isolation() else { return };
    let served = Served::start();
    let isolation = isolation.with_mirror(served.mirror());
    let dir = tempfile::tempdir().unwrap();
    let attempts = |bounds: Bounds, calls: &str| {
        fs::write(dir.path().join("attempts.py"), format!("{ASK}\n{calls}\n")).unwrap();
        let place = workplace(&isolation, dir.path(), bounds, Vec::new());
        let (end, lines, fetched) = run(&place, "python3 attempts.py");
        assert!(matches!(end, BuildEnd::Built(_)), "{end:?} {lines:?}");
        (lines, fetched)
    };
    let calls = "ask('GET', '/endless/')\nask('GET', '/leads-round/')\nask('GET', '/broken/')";
    let (lines, fetched) = attempts(BOUNDS(), calls);
    assert_eq!(
        lines[0],
        "GET /endless/ 403 ['it is larger than the 32.0 MiB that it may have']"
    );
    assert!(
        lines[1].starts_with("GET /leads-round/ 504") && lines[2].starts_with("GET /broken/ 504"),
        "{lines:?}"
    );
    let fault = fetched.fault.unwrap();
    assert!(
        fault.contains("/simple/leads-round/`: it leads on and on"),
        "{fault}"
    );
    assert_eq!(served.asked("/simple/leads-round/"), 5);

    // The first is fetched; the second time it is more than the build may have.
    let large = served
        .dir
        .path()
        .join("files/packages/large-1.0-py3-none-any.whl");
    fs::write(large, vec![0; 700 << 10]).unwrap();
    let small = Bounds {
        mirror_mib: 1,
        mirror_requests: 3,
        mirror_s: 1,
        ..Bounds::default()
    };
    let large = "ask('GET', '/-0/large-1.0-py3-none-any.whl')\n";
    let (lines, fetched) = attempts(small, &large.repeat(4));
    assert!(lines[0].contains(" 200 "), "{lines:?}");
    assert!(
        lines[1].contains(" 403 ") && lines[1].contains("(`mirror_mib`)"),
        "{lines:?}"
    );
    assert!(
        lines[3].contains("asked too often (`mirror_requests`)"),
        "{lines:?}"
    );
    assert_eq!((fetched.requests.len(), fetched.fault), (4, None));
    assert_eq!(served.asked("/packages/large-1.0-py3-none-any.whl"), 1);

    let (lines, fetched) = attempts(small, "ask('GET', '/silent/')\nask('GET', '/tiny/')");
    assert!(lines[0].starts_with("GET /silent/ 504"), "{lines:?}");
    assert!(lines[1].contains("(`mirror_s`)"), "{lines:?}");
    assert!(fetched.fault.unwrap().contains("does not answer") && fetched.waited_ms >= 1_000);
}

#[test]
fn npm_gets_the_packages_of_a_lock_file_whatever_registry_it_names() {
    let Some(isolation) = isolation() else { return };
    let served = Served::start();
    let isolation = isolation.with_mirror(served.mirror());
    let dir = tempfile::tempdir().unwrap();
    let package = r#"{"name": "team", "version": "1.0.0", "dependencies": {"tiny": "1.0.0"}}"#;
    fs::write(dir.path().join("package.json"), package).unwrap();
    let place = workplace(&isolation, dir.path(), BOUNDS(), Vec::new());
    if !has(&place, "npm --version") {
        return;
    }
    let line =
        "npm install --no-progress && node -e 'console.log(require(\"tiny\"))' && cat package-lock.json";
    let (end, lines, fetched) = run(&place, line);
    assert!(matches!(end, BuildEnd::Built(_)), "{end:?} {lines:?} {fetched:?}");
    assert!(lines.iter().any(|line| line == "from the mirror"), "{lines:?}");
    // As a lock file is that somebody has made at home.
    let begins = lines.iter().position(|line| line == "{").unwrap();
    let lock = lines[begins..].join("\n");
    assert!(lock.contains("/tiny/-/tiny-1.0.0.tgz"), "{lock}");
    let lock = lock.replace("http://127.0.0.1:4873", "https://registry.npmjs.org");
    fs::write(dir.path().join("package-lock.json"), lock).unwrap();
    let place = workplace(&isolation, dir.path(), BOUNDS(), Vec::new());
    let (end, lines, fetched) = run(
        &place,
        "npm ci --no-progress && node -e 'console.log(require(\"tiny\"))'",
    );
    assert!(matches!(end, BuildEnd::Built(_)), "{end:?} {lines:?} {fetched:?}");
    assert_eq!(lines.last().unwrap(), "from the mirror");
    assert_eq!(
        served.asked("/npm/tiny/-/tiny-1.0.0.tgz"),
        1,
        "{:?}",
        served.lines()
    );
}

/// A submission that installs what it needs by itself, says where that comes from, and goes no further.
fn submission(class: &Path, name: &str, requirements: &str) {
    let folder = class.join(name);
    fs::create_dir_all(&folder).unwrap();
    fs::write(folder.join("requirements.txt"), requirements).unwrap();
    let build = "python3 -m pip install --quiet --user -r requirements.txt || exit 2; \
                 python3 -c 'import tiny; print(tiny.FROM)'; exit 1";
    let text = format!("[service]\nbuild = '''{build}'''\nstart = ['true']\n");
    fs::write(folder.join("reelworld.toml"), text).unwrap();
}

/// The evidence of one kind that a submission has.
fn items(out: &Path, name: &str, kind: &str) -> Vec<Value> {
    let text = fs::read_to_string(out.join(name).join("evidence/items.jsonl")).unwrap();
    let items = text
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).unwrap());
    items.filter(|item| item["item"] == kind).collect()
}

#[test]
fn a_class_downloads_once_and_a_later_run_needs_no_network() {
    if !crate::isolation::pip_inside() {
        return;
    }
    let mut served = Served::start();
    let home = tempfile::tempdir().unwrap();
    let at = |name: &str| home.path().join(name);
    // The first two have requirements whose packages are made once, the third builds for itself.
    submission(&at("class"), "a", "tiny==1.0\n");
    submission(&at("class"), "b", "tiny==1.0\n");
    submission(&at("class"), "own", "--pre\ntiny==1.0\n");
    let copied = Command::new("cp")
        .arg("-r")
        .arg(root().join("fixtures/course"))
        .arg(at("course"))
        .status()
        .unwrap();
    assert!(copied.success());
    let text = fs::read_to_string(at("course/course.toml")).unwrap();
    fs::write(at("course/course.toml"), text + &served.declaration()).unwrap();
    let grade = |out: &str, kept: &str, names: &[&str]| {
        let output = Command::new(env!("CARGO_BIN_EXE_reelworld"))
            .arg("--course")
            .arg(at("course"))
            .args(["grade", "m1", "--out"])
            .arg(at(out))
            .arg("--fetched")
            .arg(at(kept))
            .args(names.iter().map(|name| at("class").join(name)))
            .output()
            .unwrap();
        (output.status.code(), String::from_utf8(output.stderr).unwrap())
    };
    let from = |out: &str, name: &str| {
        let build = items(&at(out), name, "build").remove(0);
        let last = build["log_tail"].as_array().unwrap().last().unwrap();
        last.as_str().unwrap().to_owned()
    };
    let (code, said) = grade("run", "kept", &["a", "b", "own"]);
    assert_eq!(code, Some(1), "{said}");
    assert!(
        said.contains("builds reach a mirror: pip from http://127.0.0.1:"),
        "{said}"
    );
    for name in ["a", "b", "own"] {
        assert_eq!(from("run", name), "the mirror", "{name}");
    }
    let log = served.lines();
    assert_eq!(served.asked("/packages/tiny-1.0-py3-none-any.whl"), 1, "{log:?}");
    assert_eq!(served.asked("/simple/tiny/"), 1, "{log:?}");
    let own = items(&at("run"), "own", "fetched").remove(0);
    assert_eq!(own["requests"].as_array().unwrap().len(), 2, "{own}");

    served.stop();
    let (code, said) = grade("again", "kept", &["a"]);
    assert_eq!(code, Some(1), "{said}");
    assert_eq!(from("again", "a"), "the mirror");

    // With nothing kept, a mirror that does not answer is the fault of nobody who builds.
    grade("nothing", "empty", &["own"]);
    let build = items(&at("nothing"), "own", "build").remove(0);
    assert_eq!(build["ours"], true, "{build}");
    let report = fs::read_to_string(at("nothing/own/report.json")).unwrap();
    let report: Value = serde_json::from_str(&report).unwrap();
    let mut criteria = report["criteria"].as_array().unwrap().iter();
    let starts = criteria
        .find(|criterion| criterion["id"] == "m1.service.starts")
        .unwrap();
    assert_eq!(starts["verdict"], "no_verdict", "{starts}");
    assert!(
        starts.to_string().contains("the mirror does not answer"),
        "{starts}"
    );
}
