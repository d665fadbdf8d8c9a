//! Services that attack who asks them: each in its sandbox, asked by the real driver, beside one that is well.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use reelworld::clock::Clock;
use reelworld::exchange::{Exchange, Outcome, Phase, Planned, RequestKind};
use reelworld::sandbox::{Bounds, Isolation, Leash, Limits, Probe, ServiceSpec, Start, Workplace, start};
use reelworld::traffic::{DriveOptions, Sockets, Target, ask_once, drive};
use serde::Deserialize;

use crate::isolation::isolation;

/// Services at once: they mostly wait.
const AT_ONCE: usize = 6;
const DEADLINE: Duration = Duration::from_millis(600);
const LIMITS: Limits = Limits {
    build: Duration::from_secs(60),
    ready: Duration::from_secs(60),
};

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Attack {
    tries: String,
    must: String,
    outcomes: BTreeSet<String>,
}

#[derive(Debug, Deserialize)]
struct Model {
    service: BTreeMap<String, Attack>,
}

fn fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/attacks")
}

fn model() -> Model {
    toml::from_str(&fs::read_to_string(fixtures().join("model.toml")).unwrap()).unwrap()
}

/// The driver's error in these tests: none but the system's.
#[derive(Debug)]
struct Io;

impl From<std::io::Error> for Io {
    fn from(_: std::io::Error) -> Self {
        Self
    }
}

fn catalogue() -> BTreeSet<String> {
    (0..40).map(|number| format!("movie+{number}+2000")).collect()
}

fn label(outcome: &Outcome) -> &'static str {
    match outcome {
        Outcome::Answered { .. } => "answered",
        Outcome::Malformed { .. } => "malformed",
        Outcome::Status { .. } => "status",
        Outcome::TimedOut => "timed_out",
        Outcome::Refused { .. } => "refused",
        Outcome::Unreadable { .. } => "unreadable",
        Outcome::Ours { .. } => "ours",
    }
}

#[test]
fn the_table_names_every_hostile_service() {
    let mut folders: Vec<String> = fs::read_dir(fixtures().join("services"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    folders.sort();
    let model = model();
    assert_eq!(model.service.keys().cloned().collect::<Vec<_>>(), folders);
    for (name, attack) in &model.service {
        assert!(!attack.tries.is_empty() && !attack.must.is_empty(), "{name}");
    }
}

#[test]
fn hostile_services_harm_neither_who_asks_them_nor_others() {
    let Some(isolation) = isolation() else { return };
    // Another team's service, as far as a port of this machine can be one.
    let neighbour = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = neighbour.local_addr().unwrap().port();
    let well = tempfile::tempdir().unwrap();
    let base = fs::read_to_string(fixtures().join("services/sends_a_bomb/base.py")).unwrap();
    fs::write(well.path().join("base.py"), base).unwrap();
    let service = "from base import *\nserve(lambda peer, head: peer.sendall(good()))\n";
    fs::write(well.path().join("service.py"), service).unwrap();
    fs::write(
        well.path().join("reelworld.toml"),
        "[service]\nstart = [\"python3\", \"service.py\"]\n",
    )
    .unwrap();
    let model = model();
    let good = Attack {
        tries: String::new(),
        must: String::new(),
        outcomes: BTreeSet::from(["answered".to_owned()]),
    };
    let mut all: Vec<(PathBuf, &Attack)> = model
        .service
        .iter()
        .map(|(name, attack)| (fixtures().join("services").join(name), attack))
        .collect();
    // The one that is well runs first and last, beside others.
    all.insert(0, (well.path().to_owned(), &good));
    all.push((well.path().to_owned(), &good));
    let faults = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        let (isolation, all, faults) = (&isolation, &all, &faults);
        for part in 0..AT_ONCE {
            scope.spawn(move || {
                for (dir, attack) in all.iter().skip(part).step_by(AT_ONCE) {
                    if let Err(fault) = attacked(isolation, dir, attack, port) {
                        faults.lock().unwrap().push(format!("{}: {fault}", dir.display()));
                    }
                }
            });
        }
    });
    let faults = faults.into_inner().unwrap();
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

fn attacked(isolation: &Isolation, dir: &Path, attack: &Attack, port: u16) -> Result<(), String> {
    let clock = Clock::start();
    let mut env = BTreeMap::from([("NEIGHBOUR".to_owned(), port.to_string())]);
    isolation.adapt(&mut env);
    let sandbox = isolation.sandbox(dir, None, Bounds::default(), Vec::new(), clock);
    let place = Workplace {
        dir: dir.to_owned(),
        home: dir.join("home"),
        env,
        sandbox: Some(Arc::clone(&sandbox)),
    };
    let leash = Leash {
        program: env!("CARGO_BIN_EXE_reelworld").into(),
        words: vec!["__leash".into()],
    };
    let text = fs::read_to_string(dir.join("reelworld.toml")).unwrap();
    let spec = ServiceSpec::parse("reelworld.toml", &text).unwrap();
    let target = |address: SocketAddr| Target {
        sockets: Some(Sockets(Arc::new({
            let sandbox = Arc::clone(&sandbox);
            move || sandbox.socket()
        }))),
        ..Target::local(address)
    };
    let mut probe = |address: SocketAddr, path: &str| match ask_once(
        &target(address),
        path,
        Duration::from_secs(5),
        &catalogue(),
    )
    .unwrap()
    {
        Outcome::Answered { .. } => Probe::Ready,
        other => Probe::Silent(other.describe()),
    };
    let stop = AtomicBool::new(false);
    let started = start(&spec, &place, LIMITS, &leash, (clock, &stop), &mut probe).unwrap();
    let Start::Ready(running, _) = started else {
        return Err(format!("{started:?}"));
    };
    let plan: Vec<Planned> = (0..40)
        .map(|seq| Planned {
            seq,
            intended_ns: u64::from(seq) * 25_000_000,
            phase: Phase::Steady,
            kind: RequestKind::Known,
            path: format!("/recommend/{seq}"),
            user: Some(seq),
        })
        .collect();
    let options = DriveOptions {
        target: target(running.address()),
        deadline: DEADLINE,
        peak_rate: 40.0,
    };
    let mut all: Vec<Exchange> = Vec::new();
    let report = drive(&plan, &options, &catalogue(), clock, &stop, &mut |exchange| {
        all.push(exchange);
        Ok::<(), Io>(())
    })
    .unwrap();
    let (_, lines, _) = running.stop();
    if all.len() != plan.len() {
        return Err(format!(
            "{} of {} requests came to an end: {report:?}",
            all.len(),
            plan.len()
        ));
    }
    for exchange in &all {
        let label = label(&exchange.outcome);
        // A machine that is too busy blames itself; a service that is well may be late on it.
        let busy = label == "ours" || (label == "timed_out" && report.tainted.is_some());
        if !busy && !attack.outcomes.contains(label) {
            return Err(format!("{label}: {:?} {report:?} {lines:?}", exchange.outcome));
        }
    }
    // What is quoted steers nothing: neither on a terminal nor in a record of a line.
    let mut quoted = lines.join("\n");
    for exchange in &all {
        quoted.push_str(&exchange.outcome.describe());
        quoted.push_str(&serde_json::to_string(exchange).unwrap());
    }
    let steering =
        |letter: char| (letter.is_control() && letter != '\n') || ('\u{202a}'..='\u{202e}').contains(&letter);
    match quoted.chars().find(|letter| steering(*letter)) {
        Some(letter) => Err(format!("{letter:?} is quoted as it is")),
        None => Ok(()),
    }
}
