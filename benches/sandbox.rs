//! What a sandbox costs: how long one takes to begin and to end, and what it adds to a request, beside the same without one.
//!
//! `cargo bench --bench sandbox` starts empty sandboxes one after the other, beside a bare process; then asks the same service in a
//! sandbox and on the leash in turns, and prints the median of rounds. It needs bubblewrap and a Python. `--quick` does less.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::{self, Write};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use reelworld::clock::Clock;
use reelworld::exchange::{Outcome, Phase, Planned, RequestKind};
use reelworld::sandbox::{
    Bounds, Isolation, Leash, Limits, Probe, Running, ServiceSpec, Start, Surroundings, Workplace, start,
};
use reelworld::traffic::{DriveOptions, Sockets, Target, ask_once, drive};

/// Requests a second: little enough that neither side ever waits for the other.
const RATE: u64 = 200;
/// The options of a sandbox that holds one process of nobody's, and the process.
const BARE: [&str; 14] = [
    "--unshare-all",
    "--unshare-user",
    "--disable-userns",
    "--die-with-parent",
    "--clearenv",
    "--ro-bind",
    "/",
    "/",
    "--proc",
    "/proc",
    "--dev",
    "/dev",
    "--",
    "true",
];
const SERVICE: &str = "from base import *\nserve(lambda peer, head: peer.sendall(good()))\n";

fn main() -> io::Result<()> {
    let quick = std::env::args().any(|argument| argument == "--quick");
    let (begins, rounds, seconds) = if quick { (10, 2, 2) } else { (50, 5, 10) };
    let clock = Clock::start();
    #[expect(
        clippy::disallowed_methods,
        reason = "a benchmark looks for the programs of this machine"
    )]
    let (path, home) = (
        std::env::var("PATH").unwrap_or_default(),
        std::env::var_os("HOME").map(PathBuf::from),
    );
    let program = Path::new(env!("CARGO_BIN_EXE_reelworld"));
    let around = Surroundings {
        path: &path,
        home: home.as_deref(),
    };
    let isolation = Isolation::find(program, around, clock)
        .map_err(|refusal| io::Error::other(format!("{}: {}", refusal.why, refusal.hint)))?;
    let dir = tempfile::tempdir()?;
    let mut out = io::stdout().lock();

    let (mut bare, mut bubble, mut begun, mut ended) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for _ in 0..begins {
        let from = clock.elapsed();
        Command::new("true").status()?;
        let to = clock.elapsed();
        bare.push(ms(to - from));
        // Bubblewrap by itself, with the same namespaces: what is ours is what comes on top.
        let status = Command::new("bwrap").args(BARE).status()?;
        if !status.success() {
            return Err(io::Error::other(format!("bwrap ended with {status}")));
        }
        let from = to;
        let to = clock.elapsed();
        bubble.push(ms(to - from));
        let sandbox = isolation.sandbox(dir.path(), None, Bounds::default(), Vec::new(), clock);
        drop(sandbox.socket()?);
        begun.push(ms(clock.elapsed() - to));
        let from = clock.elapsed();
        drop(sandbox);
        ended.push(ms(clock.elapsed() - from));
    }
    for (name, times) in [
        ("a bare process", bare),
        ("bubblewrap alone", bubble),
        ("a sandbox begins", begun),
        ("a sandbox ends", ended),
    ] {
        let (p50, p90) = (at(&times, 0.5), at(&times, 0.9));
        writeln!(out, "{name:<20} p50 {p50:7.2} ms   p90 {p90:7.2} ms")?;
    }

    let base = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/attacks/services/sends_a_bomb/base.py");
    fs::copy(base, dir.path().join("base.py"))?;
    fs::write(dir.path().join("service.py"), SERVICE)?;
    let direct = Side::start(dir.path(), None, &path, clock)?;
    let inside = Side::start(dir.path(), Some(&isolation), &path, clock)?;
    let mut sides = [("direct", direct, Vec::new()), ("sandbox", inside, Vec::new())];
    for _ in 0..rounds {
        for (_, side, figures) in &mut sides {
            figures.push(side.ask(seconds, clock)?);
        }
    }
    writeln!(
        out,
        "{RATE} requests a second for {seconds} s, {rounds} rounds in turns, medians of rounds"
    )?;
    for (name, side, figures) in sides {
        let middle = |place: usize| at(&figures.iter().map(|round| round[place]).collect::<Vec<_>>(), 0.5);
        let (p50, p99, answered) = (middle(0), middle(1), middle(2));
        writeln!(
            out,
            "{name:<20} p50 {p50:7.3} ms   p99 {p99:7.3} ms   {answered:.0} answered"
        )?;
        side.running.stop();
    }
    Ok(())
}

/// The service, somewhere.
struct Side {
    running: Running,
    target: Target,
}

impl Side {
    fn start(dir: &Path, isolation: Option<&Isolation>, path: &str, clock: Clock) -> io::Result<Self> {
        let mut env = BTreeMap::from([("PATH".to_owned(), path.to_owned())]);
        let sandbox = isolation.map(|isolation| {
            isolation.adapt(&mut env);
            isolation.sandbox(dir, None, Bounds::default(), Vec::new(), clock)
        });
        let place = Workplace {
            dir: dir.to_owned(),
            home: dir.join("home"),
            env,
            sandbox: sandbox.clone(),
        };
        let leash = Leash {
            program: env!("CARGO_BIN_EXE_reelworld").into(),
            words: vec!["__leash".into()],
        };
        let sockets = sandbox.map(|sandbox| Sockets(Arc::new(move || sandbox.socket())));
        let target = |address: SocketAddr| Target {
            sockets: sockets.clone(),
            ..Target::local(address)
        };
        let spec = ServiceSpec::parse("reelworld.toml", "[service]\nstart = ['python3', 'service.py']\n")
            .map_err(|faults| io::Error::other(faults.to_string()))?;
        let mut probe = |address: SocketAddr, path: &str| match ask_once(
            &target(address),
            path,
            Duration::from_secs(2),
            &catalogue(),
        ) {
            Ok(Outcome::Answered { .. }) => Probe::Ready,
            other => Probe::Silent(format!("{other:?}")),
        };
        let limits = Limits {
            build: Duration::from_secs(30),
            ready: Duration::from_secs(30),
        };
        let stop = AtomicBool::new(false);
        match start(&spec, &place, limits, &leash, (clock, &stop), &mut probe)? {
            Start::Ready(running, _) => Ok(Self {
                target: target(running.address()),
                running,
            }),
            Start::Failed(failure, lines) => Err(io::Error::other(format!("{failure:?} {lines:?}"))),
        }
    }

    /// Asks for some seconds; returns the median and the 99th percentile in milliseconds from sending to the answer's end, and how
    /// many were answered.
    fn ask(&self, seconds: u64, clock: Clock) -> io::Result<[f64; 3]> {
        let plan: Vec<Planned> = (0..RATE * seconds)
            .map(|seq| Planned {
                seq: seq as u32,
                intended_ns: seq * 1_000_000_000 / RATE,
                phase: Phase::Steady,
                kind: RequestKind::Known,
                path: format!("/recommend/{seq}"),
                user: Some(seq as u32),
            })
            .collect();
        let options = DriveOptions {
            target: self.target.clone(),
            deadline: Duration::from_millis(800),
            peak_rate: RATE as f64,
        };
        let mut times = Vec::new();
        let stop = AtomicBool::new(false);
        drive(&plan, &options, &catalogue(), clock, &stop, &mut |exchange| {
            if let (Some(_), Some(sent)) = (exchange.ids(), exchange.sent_ns) {
                times.push((exchange.finished_ns - sent) as f64 / 1e6);
            }
            Ok::<(), io::Error>(())
        })?;
        Ok([at(&times, 0.5), at(&times, 0.99), times.len() as f64])
    }
}

fn catalogue() -> BTreeSet<String> {
    (0..40).map(|number| format!("movie+{number}+2000")).collect()
}

fn ms(time: Duration) -> f64 {
    time.as_secs_f64() * 1000.0
}

/// Returns the value below which a share of the values lies.
fn at(values: &[f64], share: f64) -> f64 {
    let mut values = values.to_vec();
    values.sort_by(f64::total_cmp);
    let place = ((values.len() as f64 * share) as usize).min(values.len().saturating_sub(1));
    values.get(place).copied().unwrap_or(f64::NAN)
}
