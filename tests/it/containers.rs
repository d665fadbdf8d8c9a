//! Submissions with a container file, run by a real Podman: graded as in a sandbox, bounded as in one, and gone with the run.
#![expect(
    clippy::disallowed_methods,
    reason = "a test looks for the programs of this machine"
)]

use std::collections::BTreeMap;
use std::fs;
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use reelworld::clock::Clock;
use reelworld::sandbox::{
    Bounds, BuildEnd, Containers, Exit, Leash, Limits, Probe, ServiceSpec, Start, Workplace, build, start,
};
use serde_json::Value;

use crate::interrupt::{decided, root, short_course};
use crate::isolation::trusted_without_sandbox;

/// The image that those of the tests stand on.
pub(super) const BASE: &str = "localhost/reelworld-test-base:1";
const LIMITS: Limits = Limits {
    build: Duration::from_secs(60),
    ready: Duration::from_secs(30),
};
/// What only an attack reaches.
const BOUNDS: Bounds = Bounds {
    memory_mib: 128,
    build_memory_mib: 128,
    processes: 40,
    cpus: 1.0,
    open_files: 256,
    disk_mib: 64,
    tmp_mib: 4,
    files: 1000,
    file_mib: 32,
    output_mib_s: 16,
    mirror_mib: 1,
    mirror_requests: 1,
    mirror_s: 1,
};

fn program() -> &'static Path {
    Path::new(env!("CARGO_BIN_EXE_reelworld"))
}

/// Finds how this machine runs containers, with the base there; none where it does not, which `CI` does not allow.
pub(super) fn containers() -> Option<Containers> {
    let found = Containers::find(program(), &std::env::var("PATH").unwrap());
    let found = found.and_then(|containers| {
        let script = root().join("fixtures/containers/base.sh");
        let made = Command::new("bash").arg(script).arg(BASE).output().unwrap();
        let said = String::from_utf8_lossy(&made.stderr).into_owned();
        made.status.success().then_some(containers).ok_or(said)
    });
    found
        .inspect_err(|why| {
            assert!(std::env::var("CI").is_err(), "no containers: {why}");
            super::broker::say(&format!("SKIPPED, no containers here: {why}"));
        })
        .ok()
}

fn workplace(containers: &Containers, dir: &Path) -> Workplace {
    Workplace {
        dir: dir.to_owned(),
        home: dir.join("home"),
        env: BTreeMap::new(),
        sandbox: Some(containers.sandbox(dir, None, BOUNDS, Vec::new(), Clock::start())),
    }
}

fn run(place: &Workplace, words: &[&str]) -> (BuildEnd, Vec<String>) {
    let words: Vec<String> = words.iter().map(|word| (*word).to_owned()).collect();
    let leash = Leash {
        program: program().into(),
        words: vec!["__leash".into()],
    };
    build(
        &words,
        place,
        LIMITS,
        &leash,
        Clock::start(),
        &AtomicBool::new(false),
    )
    .unwrap()
}

fn write(dir: &Path, file: &str) {
    fs::write(dir.join("Dockerfile"), format!("FROM {BASE}\n{file}\n")).unwrap();
}

const BUILD: [&str; 4] = ["container", "build", "--file", "Dockerfile"];

#[test]
fn a_container_is_bounded_and_sees_nothing_of_this_machine() {
    let Some(containers) = containers() else { return };
    let dir = tempfile::tempdir().unwrap();
    // A listener of this machine, which nobody inside may reach.
    let outside = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = outside.local_addr().unwrap().port();
    let look = format!(
        r#"
import os, socket
def reaches(to):
    with socket.socket() as one:
        one.settimeout(2)
        return one.connect_ex(to) == 0
def writes(path, size=1):
    try:
        with open(path, "wb") as file:
            for _ in range(size):
                file.write(b"x" * (1 << 20))
        return True
    except OSError:
        return False
print("reaches", reaches(("127.0.0.1", {port})), reaches(("192.0.2.1", 80)))
print("links", sorted(line.split(":")[0].strip() for line in open("/proc/net/dev") if ":" in line))
print("sockets", [path for path in ("/var/run/docker.sock", "/run/podman/podman.sock") if os.path.exists(path)])
print("writes", [path for path in ("/x", "/etc/x", "/home/x", "/dev/x", "/run/x") if writes(path)])
print("small", writes("/tmp/a"), writes("/tmp/b", 8), writes("/var/tmp/a"), writes("/var/tmp/b", 32), writes("/dev/shm/b", 32))
status = dict(line.split(":", 1) for line in open("/proc/self/status"))
print("rights", os.getuid(), int(status["CapEff"], 16), int(status["CapBnd"], 16), status["NoNewPrivs"].strip(), status["Seccomp"].strip())
"#
    );
    fs::write(dir.path().join("look.py"), look).unwrap();
    let hog = "parts = []\nwhile True: parts.append(bytearray(1 << 20))";
    fs::write(dir.path().join("hog.py"), hog).unwrap();
    let forks = "import os, time\nn = 0\ntry:\n    while n < 300:\n        if os.fork() == 0:\n            time.sleep(20)\n            os._exit(0)\n        n += 1\nexcept OSError:\n    pass\nprint(n)";
    fs::write(dir.path().join("forks.py"), forks).unwrap();
    // What an image's build tries: to reach a network, to fetch a file, to have more processes than it may.
    write(
        dir.path(),
        "COPY *.py /app/\nRUN python3 /app/forks.py\nRUN python3 -c \"import socket; assert socket.socket().connect_ex(('192.0.2.1', 80)) != 0\"",
    );
    let place = workplace(&containers, dir.path());
    let (end, lines) = run(&place, &BUILD);
    assert!(matches!(end, BuildEnd::Built(_)), "{end:?} {lines:?}");
    let counted: Vec<u32> = lines.iter().filter_map(|line| line.parse().ok()).collect();
    assert!(counted.iter().any(|count| (5..=40).contains(count)), "{lines:?}");

    let (end, lines) = run(&place, &["python3", "/app/look.py"]);
    assert!(matches!(end, BuildEnd::Built(_)), "{end:?} {lines:?}");
    assert_eq!(
        lines,
        [
            "reaches False False",
            "links ['lo']",
            "sockets []",
            "writes []",
            "small True False True False False",
            "rights 1000 0 0 1 2",
        ]
    );
    let (end, lines) = run(&place, &["python3", "/app/forks.py"]);
    assert!(matches!(end, BuildEnd::Built(_)), "{end:?} {lines:?}");
    assert!((5..=40).contains(&lines[0].parse().unwrap()), "{lines:?}");
    let (end, lines) = run(&place, &["python3", "/app/hog.py"]);
    assert_eq!(end, BuildEnd::Failed(Exit::OutOfMemory), "{lines:?}");
    assert_eq!(
        run(&place, &["cat", "/etc/hosts"]).1[0],
        "127.0.0.1 localhost sandbox"
    );

    // What is not here is not fetched, neither as an image nor as a file; nor can a build fill this machine's disk.
    for file in [
        "FROM docker.io/library/nothing-of-this-name:1",
        "ADD https://192.0.2.1/file /file",
        "RUN python3 -c \"open('/big', 'wb').write(bytes(1 << 25)); open('/more', 'wb').write(bytes(1 << 25)); open('/most', 'wb').write(bytes(1 << 25))\"",
    ] {
        write(dir.path(), file);
        let (end, lines) = run(&place, &BUILD);
        assert!(matches!(end, BuildEnd::Failed(_)), "{file}: {end:?} {lines:?}");
    }
}

/// Tells whether a process has a word among its arguments.
fn is_there(mark: &str) -> bool {
    fs::read_dir("/proc").unwrap().flatten().any(|entry| {
        fs::read(entry.path().join("cmdline"))
            .is_ok_and(|words| words.split(|byte| *byte == 0).any(|word| word == mark.as_bytes()))
    })
}

#[test]
fn a_service_in_a_container_starts_again_and_ends_with_all_it_left() {
    let Some(containers) = containers() else { return };
    let dir = tempfile::tempdir().unwrap();
    let serve = "import http.server, os, subprocess, sys\n\
                 subprocess.Popen(['sh', '-c', 'trap \"\" TERM; cat; :', 'mark-of-the-container'], stdin=subprocess.PIPE, start_new_session=True)\n\
                 http.server.HTTPServer(('127.0.0.1', int(os.environ['PORT'])), http.server.SimpleHTTPRequestHandler).serve_forever()";
    fs::write(dir.path().join("serve.py"), serve).unwrap();
    write(
        dir.path(),
        "COPY serve.py /serve.py\nUSER team\nCMD [\"python3\", \"/serve.py\"]",
    );
    let place = workplace(&containers, dir.path());
    let (end, lines) = run(&place, &BUILD);
    assert!(matches!(end, BuildEnd::Built(_)), "{end:?} {lines:?}");
    let spec = ServiceSpec::in_container("Dockerfile");
    let leash = Leash {
        program: program().into(),
        words: vec!["__leash".into()],
    };
    let sandbox = place.sandbox.clone().unwrap();
    let begin = || {
        let mut probe = |address: SocketAddr, _: &str| {
            let socket = sandbox.socket().unwrap().expect("a socket is there");
            match rustix::net::connect(&socket, &address) {
                Ok(()) => Probe::Ready,
                Err(error) => Probe::Silent(error.to_string()),
            }
        };
        let stop = AtomicBool::new(false);
        let begun = start(&spec, &place, LIMITS, &leash, (Clock::start(), &stop), &mut probe).unwrap();
        match begun {
            Start::Ready(running, _) => running,
            Start::Failed(failure, lines) => panic!("{failure:?} {lines:?}"),
        }
    };
    for _ in 0..2 {
        let mut running = begin();
        assert_eq!(running.poll().unwrap(), None);
        // A command beside it runs in its container.
        let (end, lines) = run(&place, &["sh", "-c", "cat /proc/1/cmdline; id -un"]);
        assert!(matches!(end, BuildEnd::Built(_)), "{end:?} {lines:?}");
        assert!(
            lines[0].contains("serve.py") && lines[0].ends_with("team"),
            "{lines:?}"
        );
        assert!(is_there("mark-of-the-container"));
        assert_eq!(running.stop().0, Exit::Stopped);
        assert!(!is_there("mark-of-the-container"));
    }
    let running = begin();
    sandbox.close();
    drop(running);
    assert!(!is_there("mark-of-the-container"), "it ends with its sandbox");
    // Control groups are left by nobody but keepers that live.
    let tops = fs::read_dir("/sys/fs/cgroup").unwrap().flatten();
    for top in tops.map(|entry| entry.path()).chain(["/sys/fs/cgroup".into()]) {
        for entry in fs::read_dir(top).into_iter().flatten().flatten() {
            let name = entry.file_name().into_string().unwrap();
            if let Some(pid) = name.strip_prefix("reelworld-containers-") {
                assert!(Path::new("/proc").join(pid).exists(), "{name} is left");
            }
        }
    }
}

fn report(out: &Path, name: &str) -> Value {
    serde_json::from_slice(&fs::read(out.join(name).join("report.json")).unwrap()).unwrap()
}

fn copy(name: &str, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(root().join("fixtures/services").join(name)).unwrap() {
        let entry = entry.unwrap();
        fs::copy(entry.path(), to.join(entry.file_name())).unwrap();
    }
}

#[test]
fn a_good_service_in_a_container_earns_what_it_earns_in_a_sandbox() {
    if containers().is_none() {
        return;
    }
    let home = tempfile::tempdir().unwrap();
    let (course, out) = (home.path().join("course"), home.path().join("run"));
    short_course(&course);
    let (boxed, contained) = (home.path().join("boxed"), home.path().join("contained"));
    copy("good", &boxed);
    copy("good", &contained);
    // Nothing but its container file says how it is started.
    fs::remove_file(contained.join("reelworld.toml")).unwrap();
    write(
        &contained,
        "WORKDIR /app\nCOPY . .\nUSER team\nEXPOSE 8082\nCMD [\"python3\", \"service.py\"]",
    );
    let grade = |path: &str, out: &Path, more: &[&Path]| {
        let mut command = Command::new(program());
        command.env("PATH", path).arg("--course").arg(&course);
        command.args(["grade", "m1", "--seed", "5", "--out"]).arg(out);
        command.args(trusted_without_sandbox()).args(more);
        command.output().unwrap()
    };
    let lost = home.path().join("lost");
    fs::create_dir(&lost).unwrap();
    fs::write(lost.join("Dockerfile"), "FROM nowhere.example/base:9\n").unwrap();
    let here = std::env::var("PATH").unwrap();
    let done = grade(&here, &out, &[&boxed, &contained, &lost]);
    assert!(
        done.status.code().is_some_and(|code| [0, 1, 3].contains(&code)),
        "{done:?}"
    );
    let (boxed, there) = (report(&out, "boxed"), report(&out, "contained"));
    assert_eq!(
        decided(&boxed),
        decided(&there),
        "{}",
        String::from_utf8_lossy(&done.stderr)
    );
    assert!(there["score"].as_f64().unwrap() > 0.0);
    let text = there.to_string();
    assert!(text.contains("container: podman"), "{text}");

    // An image that is not here is the team's, who are told which are.
    let lost = report(&out, "lost");
    assert_eq!(starts(&lost)["verdict"], "fail", "{lost}");
    let text = lost.to_string();
    for wanted in [
        "nowhere.example/base:9: image not known",
        "this machine has: ",
        BASE,
    ] {
        assert!(text.contains(wanted), "{wanted}: {text}");
    }

    // Where nothing runs containers, there is no verdict, and the reason.
    // A keeper sees its own `/tmp`, so the tools lie elsewhere.
    let tools = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let tools = tools.path();
    for tool in ["bwrap", "python3", "git", "sh"] {
        let found = Command::new("sh")
            .args(["-c", &format!("command -v {tool}")])
            .output()
            .unwrap();
        let found = String::from_utf8(found.stdout).unwrap();
        std::os::unix::fs::symlink(found.trim(), tools.join(tool)).unwrap();
    }
    let out = home.path().join("without");
    let done = grade(tools.to_str().unwrap(), &out, &[&contained]);
    assert_eq!(done.status.code(), Some(3), "{done:?}");
    let text = report(&out, "contained").to_string();
    assert!(text.contains("`podman` is not installed"), "{text}");

    // What fails by podman's own fault, too: a step that ends with the same code does not.
    let broken = "#!/bin/sh\nfor word; do [ \"$word\" = build ] && { echo 'Error: overlay: the store is broken' >&2; exit 125; }; done\n\
                  exec /usr/bin/podman \"$@\"\n";
    fs::write(tools.join("podman"), broken).unwrap();
    fs::set_permissions(tools.join("podman"), fs::Permissions::from_mode(0o755)).unwrap();
    let out = home.path().join("broken");
    grade(tools.to_str().unwrap(), &out, &[&contained]);
    let starts = starts(&report(&out, "contained"));
    assert_eq!(starts["verdict"], "no_verdict", "{starts}");
    let text = starts.to_string();
    assert!(
        text.contains("podman itself failed while it built the image: overlay: the store is broken"),
        "{text}"
    );
}

/// What a report says of the service's start.
fn starts(report: &Value) -> Value {
    let mut criteria = report["criteria"].as_array().unwrap().iter();
    let starts = criteria.find(|criterion| criterion["id"] == "m1.service.starts");
    starts.unwrap().clone()
}

/// A course whose one assignment wants to know whether an image can be built, within little space.
const IMAGES: &str = r#"schema = "reelworld/rubric/v1"
id = "images"
version = "1"
title = "An image"
points = 1

[[criterion]]
id = "images.builds"
title = "the image can be built"
text = "It is."
points = 1
method = "fact"
measure = "container.builds"
"#;

#[test]
fn an_image_that_a_rubric_asks_for_is_built_within_the_same_walls() {
    if containers().is_none() {
        return;
    }
    let home = tempfile::tempdir().unwrap();
    let at = |name: &str| home.path().join(name);
    fs::create_dir_all(at("course/assignments/images")).unwrap();
    fs::create_dir(at("course/rubrics")).unwrap();
    fs::write(at("course/rubrics/images.toml"), IMAGES).unwrap();
    let text = "schema = \"reelworld/course/v1\"\nname = \"x\"\nprofile = \"classic\"\n";
    fs::write(at("course/course.toml"), text).unwrap();
    let text = "schema = \"reelworld/assignment/v1\"\nid = \"images\"\nrubric = \"rubrics/images.toml\"\n\
                [limits]\ndisk_mib = 64\n";
    fs::write(at("course/assignments/images/assignment.toml"), text).unwrap();
    let cases = [
        ("well", format!("FROM {BASE}\nRUN id > /who\n"), "pass", "took"),
        (
            "large",
            format!("FROM {BASE}\nRUN python3 -c \"open('/x', 'wb').write(bytes(100 << 20))\"\n"),
            "fail",
            "No space left on device",
        ),
        (
            "gone",
            "FROM nowhere.example/base:9\n".to_owned(),
            "no_verdict",
            "image not known (there are:",
        ),
        (
            "asks",
            format!(
                "FROM {BASE}\nRUN python3 -c \"import urllib.request as u; u.urlopen('http://pypi.org/simple/')\"\n"
            ),
            "no_verdict",
            "no network is there",
        ),
    ];
    for (name, file, ..) in &cases {
        fs::create_dir(at(name)).unwrap();
        fs::write(at(name).join("Dockerfile"), file).unwrap();
        for words in [
            &["init", "--quiet"][..],
            &["add", "--all"],
            &["commit", "--quiet", "-m", "Say how the image is made"],
        ] {
            let mut git = Command::new("git");
            git.args(["-c", "user.name=a", "-c", "user.email=a@example.org"]);
            let done = git.args(words).current_dir(at(name)).output().unwrap();
            assert!(done.status.success(), "{done:?}");
        }
    }
    let done = Command::new(program())
        .arg("--course")
        .arg(at("course"))
        .args(["grade", "images", "--out"])
        .arg(at("run"))
        .args(trusted_without_sandbox())
        .args(cases.iter().map(|(name, ..)| at(name)))
        .output()
        .unwrap();
    assert_eq!(done.status.code(), Some(1), "{done:?}");
    for (name, _, verdict, said) in &cases {
        let report = report(&at("run"), name);
        let criterion = &report["criteria"][0];
        assert_eq!(criterion["verdict"], *verdict, "{name}: {criterion}");
        assert!(criterion.to_string().contains(said), "{name}: {criterion}");
    }
}
