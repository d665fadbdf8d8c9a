//! Real sandboxes: what is inside, what is not, what is bounded, and that nothing outlives them.
#![expect(
    clippy::disallowed_methods,
    clippy::print_stderr,
    reason = "a test looks for the programs of this machine, and says that it is skipped"
)]

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use reelworld::clock::Clock;
use reelworld::sandbox::{
    Bounds, BuildEnd, CommandLine, Exit, Isolation, Leash, Limits, Lost, Outlet, Probe, ServiceSpec, Start,
    Surroundings, Workplace, build, start,
};

use crate::attacks::{as_an_ordinary_user, program};

const LIMITS: Limits = Limits {
    build: Duration::from_secs(60),
    ready: Duration::from_secs(10),
};

/// How processes are held together.
pub(super) fn leash() -> Leash {
    Leash {
        program: program(),
        words: vec!["__leash".into()],
    }
}

/// Finds how this machine isolates; none where it does not, which `CI` does not allow.
pub(super) fn isolation() -> Option<Isolation> {
    let path = std::env::var("PATH").unwrap();
    let home = std::env::var("HOME").unwrap_or_default();
    let around = Surroundings {
        path: &path,
        home: Some(Path::new(&home)),
    };
    match Isolation::find(&program(), around, Clock::start()) {
        Ok(isolation) => Some(isolation),
        Err(refusal) => {
            assert!(std::env::var("CI").is_err(), "no sandbox: {refusal:?}");
            eprintln!("SKIPPED, no sandbox here: {refusal:?}");
            None
        }
    }
}

/// Returns the word with which `grade` does without a sandbox where this machine has none; `CI` has one.
pub(super) fn trusted_without_sandbox() -> Option<&'static str> {
    isolation().is_none().then_some("--trust")
}

/// Tells whether builds inside have pip, which they must where `CI` has installed it.
pub(super) fn pip_inside() -> bool {
    let Some(isolation) = isolation() else {
        return false;
    };
    let dir = tempfile::tempdir().unwrap();
    let place = workplace(&isolation, dir.path(), Bounds::default(), Vec::new());
    let (end, lines) = run(&place, "python3 -m pip --version");
    let there = matches!(end, BuildEnd::Built(_));
    if !there {
        assert!(std::env::var("CI").is_err(), "no pip in the sandbox: {lines:?}");
        eprintln!("SKIPPED, no pip here: {lines:?}");
    }
    there
}

/// A folder in which programs run in a sandbox.
pub(super) fn workplace(
    isolation: &Isolation,
    dir: &Path,
    bounds: Bounds,
    outlets: Vec<Outlet>,
) -> Workplace {
    let mut env = BTreeMap::new();
    isolation.adapt(&mut env);
    Workplace {
        dir: dir.to_owned(),
        home: dir.join("home"),
        env,
        sandbox: Some(isolation.sandbox(dir, None, bounds, outlets, Clock::start())),
    }
}

fn run(place: &Workplace, line: &str) -> (BuildEnd, Vec<String>) {
    run_until(place, line, &AtomicBool::new(false)).unwrap()
}

fn run_until(place: &Workplace, line: &str, stop: &AtomicBool) -> std::io::Result<(BuildEnd, Vec<String>)> {
    let words = CommandLine::Shell(line.to_owned()).words();
    build(&words, place, LIMITS, &leash(), Clock::start(), stop)
}

#[test]
fn a_machine_without_bubblewrap_runs_nothing_of_others_and_says_what_to_install() {
    let out = tempfile::tempdir().unwrap();
    let run = |path: &str, words: &[&str]| {
        let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_reelworld"));
        command.env("PATH", path).args(words).output().unwrap()
    };
    let exits = crate::interrupt::root().join("fixtures/services/exits");
    let folder = out.path().join("run");
    let words = [
        "grade",
        "m1",
        exits.to_str().unwrap(),
        "--out",
        folder.to_str().unwrap(),
    ];
    let refused = run("/nonexistent", &words);
    let said = String::from_utf8_lossy(&refused.stderr);
    assert_eq!(refused.status.code(), Some(4), "{said}");
    for word in ["bubblewrap", "apt install", "--trust"] {
        assert!(said.contains(word), "{said}");
    }
    assert!(!folder.exists(), "nothing was begun");

    let rows = |path: &str| -> BTreeMap<String, (bool, String)> {
        let told = run(path, &["doctor", "--json"]);
        let told: serde_json::Value = serde_json::from_slice(&told.stdout).unwrap();
        let rows = told["checks"].as_array().unwrap().iter();
        rows.map(|row| {
            let text = |key: &str| row[key].as_str().unwrap().to_owned();
            (text("name"), (row["ok"] == true, text("found") + &text("hint")))
        })
        .collect()
    };
    let without = rows("/nonexistent");
    let (is_well, told) = &without["sandbox"];
    assert!(!is_well && told.contains("apt install bubblewrap"), "{told}");
    assert!(!without["git"].0 && !without["python3"].0);
    if isolation().is_some() {
        let with = rows(&std::env::var("PATH").unwrap());
        assert!(
            with["sandbox"].0 && with["sandbox"].1.contains("bubblewrap"),
            "{with:?}"
        );
        // What is promised is tried, not asserted.
        let tried = with
            .iter()
            .filter(|(name, (is_well, _))| !without.contains_key(*name) && *is_well);
        assert!(tried.count() >= 5, "{with:?}");
    }
}

#[test]
fn a_command_sees_its_repository_and_little_else() {
    let Some(isolation) = isolation() else { return };
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("own.txt"), "mine\n").unwrap();
    std::os::unix::fs::symlink("/etc/shadow", dir.path().join("link")).unwrap();
    let place = workplace(&isolation, dir.path(), Bounds::default(), Vec::new());
    let line = "cat own.txt; id -un; pwd; ls -d link /root/* /home/* /etc/shadow /work 2>/dev/null | grep -v pyenv; \
                cat /proc/1/environ 2> /dev/null | wc -c; tr '\\0' ' ' < /proc/1/cmdline; echo; env | cut -d= -f1 | sort | tr '\\n' ' '; echo; \
                for p in /proc/[0-9]*; do cat $p/comm; done | grep -c -v -E '^([0-9]+|exe|sh|cat|grep)$'; ls /proc/self/fd | wc -l";
    let (end, lines) = run(&place, line);
    assert!(matches!(end, BuildEnd::Built(_)), "{end:?} {lines:?}");
    assert_eq!(lines[0..3], ["mine", "student", "/box/repository"]);
    assert_eq!(lines[3], "0", "the first process has an environment: {lines:?}");
    let words = lines[4].trim();
    assert!(
        words.starts_with("/proc/self/fd/") && words.ends_with("__inside"),
        "{lines:?}"
    );
    let names: Vec<&str> = lines[5]
        .split_whitespace()
        .filter(|name| !name.starts_with("PIP_"))
        .collect();
    assert_eq!(names, ["HOME", "PATH", "PWD", "TMPDIR"]);
    assert_eq!(lines[6], "0", "{lines:?}");
    // The three ordinary descriptors, and the folder that is listed.
    assert_eq!(lines[7], "4", "{lines:?}");
}

#[test]
fn what_can_be_seen_and_is_not_a_place_of_the_sandboxs_is_refused_where_the_kernel_has_landlock() {
    let Some(isolation) = isolation() else { return };
    let dir = tempfile::tempdir().unwrap();
    let place = workplace(&isolation, dir.path(), Bounds::default(), Vec::new());
    let line = "ls -d /; ls / > /dev/null 2>&1 || echo refused; ls /usr /box /proc /dev > /dev/null && echo listed; \
                echo one > /tmp/a && mkdir /tmp/b && mv /tmp/a /tmp/b/a && cat /tmp/b/a; \
                echo name > /proc/self/comm && echo named; sleep 60 & kill $! && echo killed";
    let (end, lines) = run(&place, line);
    assert!(matches!(end, BuildEnd::Built(_)), "{end:?} {lines:?}");
    let refused: &[&str] = if isolation.fence().stands {
        &["refused"]
    } else {
        &[]
    };
    let wanted = [&["/"], refused, &["listed", "one", "named", "killed"]].concat();
    assert_eq!(lines, wanted, "{:?}", isolation.fence());
}

#[test]
fn what_the_repository_does_to_its_files_stays_inside_and_lasts_from_build_to_run() {
    let Some(isolation) = isolation() else { return };
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("own.txt"), "before").unwrap();
    let place = workplace(&isolation, dir.path(), Bounds::default(), Vec::new());
    let (end, lines) = run(
        &place,
        "echo after > own.txt; echo model > model.pkl; mkdir d; ln -s own.txt link",
    );
    assert!(matches!(end, BuildEnd::Built(_)), "{end:?} {lines:?}");
    assert_eq!(run(&place, "cat own.txt model.pkl").1, ["after", "model"]);
    assert_eq!(
        std::fs::read_to_string(dir.path().join("own.txt")).unwrap(),
        "before"
    );
    assert!(place.is_file("model.pkl").unwrap() && place.is_file("./own.txt").unwrap());
    for name in ["none", "d", "link", "../../etc/passwd", "/etc/passwd", "."] {
        assert!(!place.is_file(name).unwrap(), "{name}");
    }
}

#[test]
fn a_service_is_reached_in_its_own_network_and_reaches_only_what_is_given() {
    let Some(isolation) = isolation() else { return };
    let dir = tempfile::tempdir().unwrap();
    // A listener of this machine, which nobody inside may reach, and one that is given.
    let outside = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = outside.local_addr().unwrap().port();
    let given = Outlet {
        port: 8080,
        serve: Arc::new(|listener| {
            while let Ok((mut stream, _)) = listener.accept() {
                drop(stream.write_all(b"the company"));
            }
        }),
    };
    std::fs::write(
        dir.path().join("service.py"),
        "import socket,sys\ndef get(port):\n    try:\n        s = socket.create_connection(('127.0.0.1', port), 2); return s.recv(100).decode()\n    \
         except OSError as error: return type(error).__name__\n\
         s = socket.socket(); s.bind(('127.0.0.1', 8082)); s.listen()\n\
         while True:\n    c, _ = s.accept(); c.sendall((get(8080) + '|' + get(int(sys.argv[1]))).encode()); c.close()\n",
    )
    .unwrap();
    // Two at once, on the same port of their own.
    let both: Vec<String> = std::thread::scope(|scope| {
        let one = || {
            let place = workplace(&isolation, dir.path(), Bounds::default(), vec![given.clone()]);
            let sandbox = place.sandbox.clone().unwrap();
            let spec = ServiceSpec::parse(
                "reelworld.toml",
                &format!("[service]\nstart = 'python3 service.py {port}'\nport = 8082\n"),
            )
            .unwrap();
            let mut text = String::new();
            let mut probe = |address: SocketAddr, _: &str| {
                let socket = sandbox.socket().unwrap().expect("a socket of the inside");
                match rustix::net::connect(&socket, &address) {
                    Ok(()) => {
                        TcpStream::from(socket).read_to_string(&mut text).unwrap();
                        Probe::Ready
                    }
                    Err(error) => Probe::Silent(error.to_string()),
                }
            };
            let stop = AtomicBool::new(false);
            let clock = Clock::start();
            let started = start(&spec, &place, LIMITS, &leash(), (clock, &stop), &mut probe).unwrap();
            let Start::Ready(running, _) = started else {
                panic!("{started:?}")
            };
            assert_eq!(running.stop().0, Exit::Stopped);
            text
        };
        [scope.spawn(one), scope.spawn(one)]
            .map(|thread| thread.join().unwrap())
            .to_vec()
    });
    for text in both {
        assert_eq!(text, "the company|ConnectionRefusedError");
    }
}

#[test]
fn memory_processes_and_disk_end_where_the_table_says() {
    let Some(isolation) = isolation() else { return };
    let dir = tempfile::tempdir().unwrap();
    let bounds = Bounds {
        memory_mib: 200,
        build_memory_mib: 200,
        processes: 40,
        disk_mib: 32,
        tmp_mib: 8,
        files: 1_000,
        file_mib: 24,
        ..Bounds::default()
    };
    let place = workplace(&isolation, dir.path(), bounds, Vec::new());
    let (end, lines) = run(
        &place,
        "python3 -c 'x = bytearray(400 << 20); x[::4096] = b\"x\" * len(x[::4096])'",
    );
    let cgroup = isolation.facts().weak.is_empty();
    let wanted = if cgroup {
        Exit::OutOfMemory
    } else {
        Exit::Failure(1)
    };
    assert_eq!(end, BuildEnd::Failed(wanted), "{lines:?}");
    let fork = "import os, time\nn = 0\ntry:\n    while n < 300:\n        if os.fork() == 0: time.sleep(20); os._exit(0)\n        n += 1\n\
                except OSError: pass\nprint(n)\n";
    std::fs::write(dir.path().join("fork.py"), fork).unwrap();
    let place = workplace(&isolation, dir.path(), bounds, Vec::new());
    let (_, lines) = run(&place, "python3 fork.py");
    let forks: u32 = lines[0].parse().unwrap();
    assert!((20..40).contains(&forks), "{lines:?}");
    for folder in ["/box/repository", "/tmp", "/dev/shm", "/box/home"] {
        let line = format!(
            "cd {folder} && for i in 1 2 3; do dd if=/dev/zero of=f$i bs=1M count=30 2>/dev/null; done; du -sm . | cut -f1; rm f*"
        );
        let (_, lines) = run(&place, &line);
        let filled: u32 = lines.last().unwrap().parse().unwrap();
        assert!((1..=33).contains(&filled), "{folder}: {lines:?}");
    }
    let (_, lines) = run(
        &place,
        "mkdir many; cd many; python3 -c 'for i in range(3000): open(str(i), \"w\")' 2>/dev/null; ls | wc -l",
    );
    let files: u32 = lines[0].parse().unwrap();
    assert!((100..=1_000).contains(&files), "{lines:?}");
    let (_, lines) = run(
        &place,
        "for f in / /dev /etc /usr /proc /sys /data /var; do touch $f/x 2>/dev/null && echo $f; done; echo end",
    );
    assert_eq!(lines, ["end"]);
}

#[test]
fn a_build_installs_packages_from_a_folder_and_reaches_no_index() {
    let Some(isolation) = isolation() else { return };
    let (dir, wheels) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let make = "import sys, zipfile\n\
                with zipfile.ZipFile(sys.argv[1] + '/hello-1.0-py3-none-any.whl', 'w') as wheel:\n    \
                wheel.writestr('hello.py', 'WORD = \"from a wheel\"')\n    \
                wheel.writestr('hello-1.0.dist-info/METADATA', 'Metadata-Version: 2.1\\nName: hello\\nVersion: 1.0\\n')\n    \
                wheel.writestr('hello-1.0.dist-info/WHEEL', 'Wheel-Version: 1.0\\nGenerator: x\\nRoot-Is-Purelib: true\\nTag: py3-none-any\\n')\n    \
                wheel.writestr('hello-1.0.dist-info/RECORD', '')\n";
    let made = std::process::Command::new("python3")
        .args(["-c", make])
        .arg(wheels.path())
        .status()
        .unwrap();
    assert!(made.success());
    let isolation = isolation.with_wheels(wheels.path().to_owned());
    let place = workplace(&isolation, dir.path(), Bounds::default(), Vec::new());
    if !pip_inside() {
        return;
    }
    let (end, lines) = run(
        &place,
        "python3 -m pip install --quiet --user hello && python3 -c 'import hello; print(hello.WORD)'",
    );
    assert!(matches!(end, BuildEnd::Built(_)), "{lines:?}");
    assert_eq!(lines.last().map(String::as_str), Some("from a wheel"));
    let (end, _) = run(
        &place,
        "python3 -m pip install --quiet --user no-such-package-here",
    );
    assert!(matches!(end, BuildEnd::Failed(Exit::Failure(_))), "{end:?}");
}

#[test]
fn nothing_of_a_sandbox_outlives_the_grader() {
    let Some(isolation) = isolation() else { return };
    let dir = tempfile::tempdir().unwrap();
    let place = workplace(&isolation, dir.path(), Bounds::default(), Vec::new());
    let line = "(setsid sh -c 'trap \"\" TERM HUP INT; exec sleep 7654321' > /dev/null 2>&1 &); sleep 0.2; echo left";
    assert_eq!(run(&place, line).1, ["left"]);
    // After the build nothing of it runs, though its sandbox lives on.
    assert!(!runs("7654321"));
    let session = place.sandbox.clone().unwrap();
    let keep = std::thread::spawn(move || {
        run_until(&place, "exec sleep 7654322", &AtomicBool::new(false)).unwrap_err()
    });
    assert!(within(|| runs("7654322")));
    // The keeper is killed, as the grader would be: bubblewrap ends with it.
    let mut keeper = sleeping("7654322")[0];
    while !words_of(keeper).contains("__sandbox") {
        keeper = parent(keeper);
    }
    rustix::process::kill_process(
        rustix::process::Pid::from_raw(keeper).unwrap(),
        rustix::process::Signal::KILL,
    )
    .unwrap();
    assert!(within(|| !runs("7654322")));
    let lost = keep.join().unwrap();
    assert!(Lost::of(&lost).is_some(), "{lost:?}");
    // Nor is anything else that is asked of it now an answer of the submission's.
    let lost = session.socket().unwrap_err();
    assert!(Lost::of(&lost).is_some(), "{lost:?}");
}

/// Sends descriptors until it may send no more, and listens then, so that it can be seen.
const FLOOD: &str = "import os, socket
near, far = socket.socketpair()
near.setblocking(False)
file = os.open('/dev/null', os.O_RDONLY)
try:
    while True: socket.send_fds(near, [b'x'], [file] * 50)
except OSError as error: print(error.strerror, flush=True)
door = socket.create_server(('127.0.0.1', 8082))
while True: door.accept()
";

#[test]
fn descriptors_that_one_has_on_their_way_are_in_nobodys_way() {
    let Some(isolation) = isolation() else { return };
    let (dir, empty) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    std::fs::write(dir.path().join("flood.py"), FLOOD).unwrap();
    let at = |dir: &Path| workplace(&isolation, dir, Bounds::default(), Vec::new());
    let (place, other) = (at(dir.path()), at(empty.path()));
    let stop = AtomicBool::new(false);
    let address: SocketAddr = "127.0.0.1:8082".parse().unwrap();
    let sandbox = place.sandbox.clone().unwrap();
    std::thread::scope(|scope| {
        let flood = scope.spawn(|| run_until(&place, "exec python3 flood.py", &stop));
        let listens = || {
            let socket = sandbox.socket().unwrap();
            socket.is_some_and(|socket| rustix::net::connect(&socket, &address).is_ok())
        };
        assert!(within(listens), "the flood is not at its end: {flood:?}");
        // More sockets than were there before: the agent beside the flood, which is the same user, sends more.
        let mut taken = Vec::new();
        let more = || {
            taken.extend(sandbox.socket().unwrap());
            taken.len() > 400
        };
        assert!(within(more), "sockets do not come");
        // Another begins, runs what it is given, and has sockets as well.
        assert_eq!(run(&other, "echo well").1, ["well"]);
        assert!(within(|| other
            .sandbox
            .as_ref()
            .unwrap()
            .socket()
            .unwrap()
            .is_some()));
        stop.store(true, std::sync::atomic::Ordering::Relaxed);
        let (end, lines) = flood.join().unwrap().unwrap();
        assert_eq!(end, BuildEnd::Interrupted, "{lines:?}");
        assert_eq!(lines, ["Too many references: cannot splice"]);
    });
}

#[test]
fn descriptors_that_one_has_on_their_way_are_in_nobodys_way_where_all_are_one_ordinary_user() {
    as_an_ordinary_user("isolation::descriptors_that_one_has_on_their_way_are_in_nobodys_way");
}

fn runs(mark: &str) -> bool {
    !sleeping(mark).is_empty()
}

fn sleeping(mark: &str) -> Vec<i32> {
    std::fs::read_dir("/proc")
        .unwrap()
        .flatten()
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
        .filter(|pid| words_of(*pid).trim() == format!("sleep {mark}"))
        .collect()
}

fn words_of(pid: i32) -> String {
    std::fs::read_to_string(format!("/proc/{pid}/cmdline"))
        .unwrap_or_default()
        .replace('\0', " ")
}

fn parent(pid: i32) -> i32 {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    let (_, fields) = stat.rsplit_once(") ").unwrap();
    fields.split(' ').nth(1).unwrap().parse().unwrap()
}

/// Waits for a condition, within a limit.
fn within(mut condition: impl FnMut() -> bool) -> bool {
    let clock = Clock::start();
    while clock.elapsed() < Duration::from_secs(10) {
        if condition() {
            return true;
        }
        clock.sleep(Duration::from_millis(10));
    }
    false
}
