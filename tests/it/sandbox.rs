//! Real programs on the leash: every way to fail is told, and nothing is left behind.

use std::collections::BTreeMap;
use std::io::Write;
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use reelworld::clock::Clock;
use reelworld::sandbox::{
    BuildEnd, CommandLine, Exit, Limits, ObserveSpec, Port, Probe, ServiceSpec, Start, StartFailure,
    Workplace, build, start,
};

use crate::isolation::leash;

const LIMITS: Limits = Limits {
    build: Duration::from_secs(20),
    ready: Duration::from_secs(2),
};

fn workplace(dir: &Path) -> Workplace {
    let env = BTreeMap::from([("PATH".to_owned(), "/usr/local/bin:/usr/bin:/bin".to_owned())]);
    Workplace {
        dir: dir.to_owned(),
        home: dir.join("home"),
        env,
        sandbox: None,
    }
}

fn service(line: &str) -> ServiceSpec {
    ServiceSpec {
        takedown: None,
        build: None,
        container: None,
        start: CommandLine::Shell(line.to_owned()),
        port: Port::Assigned,
        ready: "/recommend/1".to_owned(),
        env: BTreeMap::new(),
        update: None,
        tests: None,
        coverage: None,
        evaluation: None,
        observe: ObserveSpec::default(),
    }
}

/// Waits, within a limit, until no process carries a mark in its environment or arguments.
fn nothing_left(mark: &str) -> bool {
    let clock = Clock::start();
    while clock.elapsed() < Duration::from_secs(10) {
        let left = std::fs::read_dir("/proc").unwrap().flatten().any(|entry| {
            std::fs::read(entry.path().join("environ"))
                .is_ok_and(|bytes| bytes.windows(mark.len()).any(|window| window == mark.as_bytes()))
        });
        if !left {
            return true;
        }
        clock.sleep(Duration::from_millis(20));
    }
    false
}

fn marked(dir: &Path, mark: &str) -> Workplace {
    let mut place = workplace(dir);
    place.env.insert("MARK".to_owned(), mark.to_owned());
    place
}

fn try_start(
    spec: &ServiceSpec,
    place: &Workplace,
    probe: &mut dyn FnMut(SocketAddr, &str) -> Probe,
) -> Start {
    start(
        spec,
        place,
        LIMITS,
        &leash(),
        (Clock::start(), &AtomicBool::new(false)),
        probe,
    )
    .unwrap()
}

fn failure(started: Start) -> (StartFailure, Vec<String>) {
    match started {
        Start::Failed(failure, lines) => (failure, lines),
        Start::Ready(..) => panic!("it became ready"),
    }
}

#[test]
fn a_build_ends_well_or_fails_with_its_last_lines() {
    let dir = tempfile::tempdir().unwrap();
    let run = |line: &str| {
        let words = CommandLine::Shell(line.to_owned()).words();
        build(
            &words,
            &workplace(dir.path()),
            LIMITS,
            &leash(),
            Clock::start(),
            &AtomicBool::new(false),
        )
        .unwrap()
    };
    let (end, lines) = run("echo one; echo two >&2");
    assert!(matches!(end, BuildEnd::Built(_)), "{end:?}");
    assert_eq!(lines, ["one", "two"]);
    assert_eq!(run("echo broken; exit 3").0, BuildEnd::Failed(Exit::Failure(3)));
    assert_eq!(run("kill -9 $$").0, BuildEnd::Failed(Exit::Signalled(9)));
    let words = vec!["no-such-program-anywhere".to_owned()];
    let (end, _) = build(
        &words,
        &workplace(dir.path()),
        LIMITS,
        &leash(),
        Clock::start(),
        &AtomicBool::new(false),
    )
    .unwrap();
    assert_eq!(end, BuildEnd::Failed(Exit::NotFound));
}

#[test]
fn a_build_that_does_not_end_is_ended() {
    let dir = tempfile::tempdir().unwrap();
    let limits = Limits {
        build: Duration::from_millis(200),
        ..LIMITS
    };
    let words = CommandLine::Shell("sleep 600".to_owned()).words();
    let place = marked(dir.path(), "mark-of-the-endless-build");
    let (end, _) = build(
        &words,
        &place,
        limits,
        &leash(),
        Clock::start(),
        &AtomicBool::new(false),
    )
    .unwrap();
    assert_eq!(end, BuildEnd::TimedOut);
    assert!(nothing_left("mark-of-the-endless-build"));
}

#[test]
fn nothing_of_ours_is_in_the_environment() {
    let dir = tempfile::tempdir().unwrap();
    let words = vec!["env".to_owned()];
    let (_, lines) = build(
        &words,
        &workplace(dir.path()),
        LIMITS,
        &leash(),
        Clock::start(),
        &AtomicBool::new(false),
    )
    .unwrap();
    let mut names: Vec<&str> = lines.iter().filter_map(|line| line.split('=').next()).collect();
    names.sort_unstable();
    assert_eq!(names, ["HOME", "PATH", "TMPDIR"]);
}

#[test]
fn a_service_that_exits_at_start_is_told_with_its_output() {
    let dir = tempfile::tempdir().unwrap();
    let mut silent = |_: SocketAddr, _: &str| Probe::Silent(String::new());
    let started = try_start(
        &service("echo Traceback; exit 1"),
        &workplace(dir.path()),
        &mut silent,
    );
    let (end, lines) = failure(started);
    assert_eq!(end, StartFailure::Exited(Exit::Failure(1)));
    assert_eq!(lines, ["Traceback"]);
}

#[test]
fn a_service_that_listens_elsewhere_is_told_where() {
    let dir = tempfile::tempdir().unwrap();
    let listen = "exec python3 -c \"import socket,time; s=socket.socket(); s.bind(('127.0.0.1',0)); s.listen(); \
                  open('port','w').write(str(s.getsockname()[1])); time.sleep(600)\"";
    let mut silent = |_: SocketAddr, _: &str| Probe::Silent(String::new());
    let (end, lines) = failure(try_start(&service(listen), &workplace(dir.path()), &mut silent));
    let port: u16 = std::fs::read_to_string(dir.path().join("port"))
        .unwrap_or_else(|_| panic!("{lines:?}"))
        .parse()
        .unwrap();
    let StartFailure::NeverListened { elsewhere, .. } = end else {
        panic!("{end:?}")
    };
    assert_eq!(elsewhere, [port]);
}

#[test]
fn a_service_that_is_healthy_but_dead_is_told_so() {
    let dir = tempfile::tempdir().unwrap();
    let mut probe = |_: SocketAddr, path: &str| {
        Probe::Wrong(
            if path == "/health" {
                "200 fine"
            } else {
                "status 500"
            }
            .to_owned(),
        )
    };
    let (end, _) = failure(try_start(
        &service("sleep 600"),
        &workplace(dir.path()),
        &mut probe,
    ));
    let health = Some("200 fine".to_owned());
    assert_eq!(
        end,
        StartFailure::NotReady {
            last: "status 500".to_owned(),
            health
        }
    );
}

#[test]
fn a_taken_port_is_this_machines_problem() {
    let dir = tempfile::tempdir().unwrap();
    let holder = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = holder.local_addr().unwrap().port();
    let spec = ServiceSpec {
        port: Port::Fixed(port),
        ..service("sleep 600")
    };
    let mut silent = |_: SocketAddr, _: &str| Probe::Silent(String::new());
    let (end, _) = failure(try_start(&spec, &workplace(dir.path()), &mut silent));
    assert_eq!(end, StartFailure::PortTaken(port));
}

#[test]
fn children_that_left_their_group_and_session_end_with_the_service() {
    let dir = tempfile::tempdir().unwrap();
    let place = marked(dir.path(), "mark-of-the-runaway");
    // A double fork with a session of its own, ignoring the polite signal.
    let line = "(setsid sh -c 'trap \"\" TERM; sleep 601' >/dev/null 2>&1 &) ; sleep 600";
    let Start::Ready(running, _) = try_start(&service(line), &place, &mut |_, _| Probe::Ready) else {
        panic!()
    };
    let (exit, _, _) = running.stop();
    assert_eq!(exit, Exit::Stopped);
    assert!(nothing_left("mark-of-the-runaway"));
}

#[test]
fn a_service_killed_in_the_middle_is_noticed() {
    let dir = tempfile::tempdir().unwrap();
    let line = "sh -c 'sleep 0.2; kill -9 $PPID' & exec sleep 600";
    let started = try_start(&service(line), &workplace(dir.path()), &mut |_, _| Probe::Ready);
    let Start::Ready(mut running, _) = started else {
        panic!()
    };
    let clock = Clock::start();
    while running.poll().unwrap().is_none() && clock.elapsed() < Duration::from_secs(10) {
        clock.sleep(Duration::from_millis(20));
    }
    assert_eq!(running.poll().unwrap(), Some(Exit::Signalled(9)));
}

#[test]
fn a_flood_of_output_is_drained_and_only_its_end_is_kept() {
    let dir = tempfile::tempdir().unwrap();
    let line = "head -c 50000000 /dev/zero | tr '\\0' 'x'; echo; echo the end";
    let words = CommandLine::Shell(line.to_owned()).words();
    let (end, lines) = build(
        &words,
        &workplace(dir.path()),
        LIMITS,
        &leash(),
        Clock::start(),
        &AtomicBool::new(false),
    )
    .unwrap();
    assert!(matches!(end, BuildEnd::Built(_)), "{end:?}");
    assert_eq!(lines.last().map(String::as_str), Some("the end"));
    assert!(lines.iter().map(String::len).sum::<usize>() < 20_000);
}

#[test]
fn a_set_flag_ends_a_start() {
    let dir = tempfile::tempdir().unwrap();
    let place = marked(dir.path(), "mark-of-the-interrupted");
    let stop = AtomicBool::new(false);
    let mut probe = |_: SocketAddr, _: &str| {
        stop.store(true, Ordering::Relaxed);
        Probe::Silent(String::new())
    };
    let started = start(
        &service("sleep 600"),
        &place,
        LIMITS,
        &leash(),
        (Clock::start(), &stop),
        &mut probe,
    )
    .unwrap();
    assert_eq!(failure(started).0, StartFailure::Interrupted);
    assert!(nothing_left("mark-of-the-interrupted"));
}

#[test]
fn when_the_grader_dies_its_services_die_with_it() {
    // The leash notices the death of its holder by the end of its standard input, however the holder died.
    let mut leash = Command::new(env!("CARGO_BIN_EXE_reelworld"))
        .args(["__leash", "--", "sleep", "600"])
        .env("MARK", "mark-of-the-orphan")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut rein = leash.stdin.take().unwrap();
    rein.write_all(b"x").unwrap();
    drop(rein);
    let output = leash.wait_with_output().unwrap();
    assert_eq!(String::from_utf8_lossy(&output.stdout), "stopped\n");
    assert!(nothing_left("mark-of-the-orphan"));
}
