//! Attacks on the sandbox: each must be held inside, and where that can be shown, the same attack succeeds outside.
#![expect(
    clippy::disallowed_methods,
    reason = "the suite runs as another user and is told where things are"
)]

use std::collections::BTreeMap;
use std::fs;
use std::io::{Read, Write};
use std::net::TcpListener;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::os::unix::net::UnixListener;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use reelworld::clock::Clock;
use reelworld::sandbox::{Bounds, BuildEnd, Exit, Isolation, Limits, Workplace, build};
use serde::Deserialize;

use crate::isolation::{isolation, leash, workplace};

/// Where the suite finds the program and the fixtures when it runs as another user, who may not read where they were built.
const PROGRAM: &str = "REELWORLD_ATTACKED_PROGRAM";
const FIXTURES: &str = "REELWORLD_FIXTURES";
/// What is copied of the fixtures for that user.
const COPIED: [&str; 3] = ["attacks", "course", "services/good"];
/// The user that the suite is run as once more.
const ORDINARY: u32 = 60_700;
/// Attacks at once: most of them wait.
const AT_ONCE: usize = 4;

const BOUNDS: Bounds = Bounds {
    memory_mib: 256,
    build_memory_mib: 256,
    processes: 64,
    cpus: 1.0,
    open_files: 200,
    disk_mib: 48,
    tmp_mib: 16,
    files: 1_000,
    file_mib: 32,
    output_mib_s: 16,
    mirror_mib: 1,
    mirror_requests: 1,
    mirror_s: 1,
};
const LIMITS: Limits = Limits {
    build: Duration::from_secs(60),
    ready: Duration::from_secs(20),
};

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Attack {
    tries: String,
    must: String,
    #[serde(default)]
    pub(super) ends: String,
    #[serde(default)]
    succeeds_outside: String,
}

#[derive(Debug, Deserialize)]
pub(super) struct Model {
    pub(super) script: BTreeMap<String, Attack>,
    /// `hostile.rs` has them.
    service: BTreeMap<String, toml::Table>,
}

/// Whether the suite runs once more, as the ordinary user: one to whom no control group is handed down.
pub(super) fn is_ordinary() -> bool {
    std::env::var_os(FIXTURES).is_some()
}

pub(super) fn fixtures() -> PathBuf {
    std::env::var_os(FIXTURES).map_or_else(
        || Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures"),
        PathBuf::from,
    )
}

fn scripts() -> PathBuf {
    fixtures().join("attacks/scripts")
}

pub(super) fn program() -> PathBuf {
    std::env::var_os(PROGRAM).map_or_else(|| env!("CARGO_BIN_EXE_reelworld").into(), PathBuf::from)
}

pub(super) fn model() -> Model {
    toml::from_str(&fs::read_to_string(fixtures().join("attacks/model.toml")).unwrap()).unwrap()
}

pub(super) fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

#[test]
fn the_table_names_every_attack() {
    let mut files: Vec<String> = fs::read_dir(scripts())
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter_map(|name| name.strip_suffix(".py").map(str::to_owned))
        .filter(|name| name != "base")
        .collect();
    files.sort();
    let model = model();
    assert_eq!(model.script.keys().cloned().collect::<Vec<_>>(), files);
    for (name, attack) in &model.script {
        assert!(!attack.tries.is_empty() && !attack.must.is_empty(), "{name}");
        assert!(
            ["", "held", "ended", "failed", "held memory"].contains(&attack.ends.as_str()),
            "{name}"
        );
        assert!(
            ["", "any", "root"].contains(&attack.succeeds_outside.as_str()),
            "{name}"
        );
    }
    assert!(files.len() >= 35 && model.service.len() >= 10, "{}", files.len());
}

#[test]
fn every_attack_is_held_and_those_that_can_be_shown_succeed_outside() {
    let Some(isolation) = isolation() else { return };
    let mut scene = Scene::set(&isolation);
    let model = model();
    let all: Vec<(&String, &Attack)> = model.script.iter().collect();
    let faults = Mutex::new(Vec::new());
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let neighbour = scope.spawn(|| {
            let words = ["python3", "service.py"].map(str::to_owned);
            let limits = Limits {
                build: Duration::from_secs(600),
                ..LIMITS
            };
            build(&words, &scene.neighbour, limits, &leash(), Clock::start(), &stop).unwrap()
        });
        assert!(
            within(|| scene.neighbour_answers()),
            "the neighbour does not listen"
        );
        std::thread::scope(|scope| {
            let (scene, faults) = (&scene, &faults);
            for part in 0..AT_ONCE {
                let own: Vec<_> = all.iter().skip(part).step_by(AT_ONCE).copied().collect();
                scope.spawn(move || {
                    for (name, attack) in own {
                        let found = scene
                            .inside(name, attack)
                            .and_then(|()| scene.outside(name, attack));
                        if let Err(fault) = found {
                            faults.lock().unwrap().push(format!("{name}: {fault}"));
                        }
                    }
                });
            }
        });
        assert!(scene.neighbour_answers(), "the neighbour was harmed");
        stop.store(true, Ordering::Relaxed);
        let (end, lines) = neighbour.join().unwrap();
        assert_eq!(end, BuildEnd::Interrupted, "{lines:?}");
    });
    let faults = faults.into_inner().unwrap();
    assert!(faults.is_empty(), "{}", faults.join("\n"));
    scene.is_unharmed();
}

#[test]
fn every_attack_is_held_for_an_ordinary_user() {
    as_an_ordinary_user("attacks::every_attack_is_held_and_those_that_can_be_shown_succeed_outside");
}

/// Runs a test once more as an ordinary user, with copies of the program and of the attacks where that user may read them.
pub(super) fn as_an_ordinary_user(test: &str) {
    if !is_root() {
        return;
    }
    let dir = tempfile::Builder::new()
        .permissions(fs::Permissions::from_mode(0o755))
        .tempdir_in("/tmp")
        .unwrap();
    let at = |name: &str| dir.path().join(name);
    let copy = |from: &Path, name: &str| {
        fs::copy(from, at(name)).unwrap();
        fs::set_permissions(at(name), fs::Permissions::from_mode(0o755)).unwrap();
    };
    copy(&std::env::current_exe().unwrap(), "suite");
    copy(&program(), "reelworld");
    let folder = |name: &str| {
        fs::create_dir_all(at(name)).unwrap();
        fs::set_permissions(at(name), fs::Permissions::from_mode(0o755)).unwrap();
    };
    for name in ["home", "fixtures", "fixtures/services"] {
        folder(name);
    }
    for entry in COPIED
        .iter()
        .flat_map(|name| walkdir::WalkDir::new(fixtures().join(name)).follow_links(true))
    {
        let entry = entry.unwrap();
        let name = entry.path().strip_prefix(fixtures()).unwrap();
        let name = format!("fixtures/{}", name.display());
        if entry.file_type().is_dir() {
            folder(&name);
        } else {
            copy(entry.path(), &name);
        }
    }
    std::os::unix::fs::chown(at("home"), Some(ORDINARY), Some(ORDINARY)).unwrap();
    let mut command = Command::new(at("suite"));
    command
        .args(["--exact", "--nocapture"])
        .arg(test)
        .env_clear()
        .env("PATH", "/usr/local/bin:/usr/bin:/bin")
        .env("HOME", at("home"))
        .env("TMPDIR", at("home"))
        .env(PROGRAM, at("reelworld"))
        .env(FIXTURES, at("fixtures"))
        .current_dir("/")
        .uid(ORDINARY)
        .gid(ORDINARY);
    if std::env::var_os("CI").is_some() {
        command.env("CI", "true");
    }
    let output = command.output().unwrap();
    let told = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && told.contains("1 passed"), "{told}");
}

/// What the attacks want, and a neighbour who must not be harmed.
struct Scene<'a> {
    isolation: &'a Isolation,
    dir: tempfile::TempDir,
    /// A process of ours with a secret in its environment and a name.
    victim: Child,
    canary: String,
    mark: String,
    port: u16,
    neighbour: Workplace,
}

impl<'a> Scene<'a> {
    fn set(isolation: &'a Isolation) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let canary = format!("canary-{}-that-sings", std::process::id());
        let mark = format!("86400.{:09}", std::process::id());
        for (path, text) in [
            ("secrets/truth.json", canary.as_str()),
            ("submissions/other/own.txt", canary.as_str()),
            ("results/card.json", "as it was"),
        ] {
            let path = dir.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        let victim = Command::new("sleep")
            .arg(&mark)
            .env("SECRET", &canary)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        std::thread::spawn(move || {
            for mut stream in listener.incoming().flatten() {
                drop(stream.write_all(b"the machine"));
            }
        });
        let name = std::os::unix::net::SocketAddr::from_abstract_name(&mark).unwrap();
        let listener = UnixListener::bind_addr(&name).unwrap();
        std::thread::spawn(move || {
            for mut stream in listener.incoming().flatten() {
                drop(stream.write_all(b"the machine"));
            }
        });
        let other = dir.path().join("submissions/other");
        let neighbour = workplace(isolation, &other, BOUNDS, Vec::new());
        let service = "import ctypes, http.server\n\
                       open('/dev/shm/shared', 'w').write(open('own.txt').read())\n\
                       ctypes.CDLL(None).shmget(4711, 4096, 0o1777)\n\
                       http.server.HTTPServer(('127.0.0.1', 8082), http.server.SimpleHTTPRequestHandler).serve_forever()\n";
        fs::write(other.join("service.py"), service).unwrap();
        Self {
            isolation,
            dir,
            victim,
            canary,
            mark,
            port,
            neighbour,
        }
    }

    /// Asks the neighbour for its own file, through a socket of its network.
    fn neighbour_answers(&self) -> bool {
        let Ok(Some(socket)) = self.neighbour.sandbox.as_ref().unwrap().socket() else {
            return false;
        };
        let address: std::net::SocketAddr = "127.0.0.1:8082".parse().unwrap();
        if rustix::net::connect(&socket, &address).is_err() {
            return false;
        }
        let mut stream = std::net::TcpStream::from(socket);
        let mut answer = String::new();
        stream.write_all(b"GET /own.txt HTTP/1.0\r\n\r\n").unwrap();
        stream.read_to_string(&mut answer).is_ok() && answer.contains(&self.canary)
    }

    /// Makes a submission of an attack.
    fn submission(&self, name: &str, kind: &str) -> PathBuf {
        let dir = self.dir.path().join("submissions").join(format!("{kind}-{name}"));
        fs::create_dir(&dir).unwrap();
        let scripts = scripts();
        fs::copy(scripts.join("base.py"), dir.join("base.py")).unwrap();
        fs::copy(scripts.join(format!("{name}.py")), dir.join("attack.py")).unwrap();
        let top = self.dir.path();
        let about = serde_json::json!({
            "canary": self.canary,
            "truth": top.join("secrets/truth.json"),
            "other": top.join("submissions/other/own.txt"),
            "results": top.join("results/card.json"),
            "folder": top,
            "home": std::env::var("HOME").unwrap_or_else(|_| "/".to_owned()),
            "victim": self.victim.id(),
            "mark": self.mark,
            "port": self.port,
            "abstract": self.mark,
            "shared": "shared",
            "key": 4711,
            "runaway": format!("86401.{:09}", std::process::id()),
        });
        fs::write(dir.join("attack.json"), about.to_string()).unwrap();
        symlink(top.join("secrets/truth.json"), dir.join("link")).unwrap();
        symlink("/", dir.join("all")).unwrap();
        let program = Path::new("/usr/bin/id").canonicalize().unwrap();
        fs::copy(program, dir.join("setuid_id")).unwrap();
        fs::set_permissions(dir.join("setuid_id"), fs::Permissions::from_mode(0o4755)).unwrap();
        dir
    }

    fn run(place: &Workplace) -> (BuildEnd, Vec<String>) {
        let words = ["python3", "attack.py"].map(str::to_owned);
        let stop = AtomicBool::new(false);
        build(&words, place, LIMITS, &leash(), Clock::start(), &stop).unwrap()
    }

    fn inside(&self, name: &str, attack: &Attack) -> Result<(), String> {
        let place = workplace(
            self.isolation,
            &self.submission(name, "inside"),
            BOUNDS,
            Vec::new(),
        );
        let (end, lines) = Self::run(&place);
        let last = lines.last().map_or("", String::as_str);
        let held = last.starts_with("held:") && matches!(end, BuildEnd::Built(_));
        let killed = matches!(
            end,
            BuildEnd::Failed(Exit::OutOfMemory | Exit::Signalled(9) | Exit::Failure(1))
        ) && !last.starts_with("got:");
        let weak = self
            .isolation
            .facts()
            .weak
            .iter()
            .any(|weak| weak.contains("memory"));
        let well = match attack.ends.as_str() {
            "held" => held,
            "held memory" => weak || held || killed,
            "ended" => held || killed,
            "failed" => end == BuildEnd::Failed(Exit::Failure(3)),
            _ => !last.starts_with("got:"),
        };
        if name == "lives_on" && !within(|| !runs(&format!("86401.{:09}", std::process::id()))) {
            return Err("a child lives on".to_owned());
        }
        if well {
            Ok(())
        } else {
            Err(format!("inside, {end:?} {lines:?}"))
        }
    }

    fn outside(&self, name: &str, attack: &Attack) -> Result<(), String> {
        let shown = match attack.succeeds_outside.as_str() {
            "any" => true,
            "root" => is_root(),
            _ => false,
        };
        if !shown {
            return Ok(());
        }
        let dir = self.submission(name, "outside");
        let path = std::env::var("PATH").unwrap();
        let place = Workplace {
            home: dir.join("home"),
            env: BTreeMap::from([("PATH".to_owned(), path)]),
            dir,
            sandbox: None,
        };
        let (end, lines) = Self::run(&place);
        if lines.last().is_some_and(|line| line.starts_with("got:")) {
            Ok(())
        } else {
            Err(format!(
                "outside it fails too, and so shows nothing: {end:?} {lines:?}"
            ))
        }
    }

    /// Nothing of the scene has changed.
    fn is_unharmed(&mut self) {
        let read = |path: &str| fs::read_to_string(self.dir.path().join(path)).unwrap();
        assert_eq!(read("results/card.json"), "as it was");
        assert_eq!(read("submissions/other/own.txt"), self.canary);
        assert!(self.victim.try_wait().unwrap().is_none(), "the victim has ended");
    }
}

impl Drop for Scene<'_> {
    fn drop(&mut self) {
        drop(self.victim.kill());
        drop(self.victim.wait());
    }
}

pub(super) fn runs(mark: &str) -> bool {
    let wanted = format!("sleep\0{mark}\0").into_bytes();
    fs::read_dir("/proc")
        .unwrap()
        .flatten()
        .any(|entry| fs::read(entry.path().join("cmdline")).is_ok_and(|words| words == wanted))
}

/// Waits for a condition, within a limit.
fn within(condition: impl Fn() -> bool) -> bool {
    let clock = Clock::start();
    while clock.elapsed() < Duration::from_secs(10) {
        if condition() {
            return true;
        }
        clock.sleep(Duration::from_millis(10));
    }
    false
}
