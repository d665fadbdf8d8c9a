//! Building and starting a service: each way to fail is a result with the evidence a student needs.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::io::{self, Read};
use std::net::{SocketAddr, TcpListener};
use std::os::fd::AsFd;
use std::path::{Component, Path, PathBuf};
use std::process::{Child, ChildStdin, Command};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use super::isolate::{Sandbox, Stage};
use super::isolation::Session;
use super::leash::{Exit, Leash, descendants};
use super::output::{SETTLING, Tail};
use super::spec::{Port, ServiceSpec};
use crate::clock::Clock;
use crate::mirror::{Fetched, Hatch};

/// How long things may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// A build.
    pub build: Duration,
    /// From the start to the first valid answer.
    pub ready: Duration,
}

/// Where and with what a submission runs.
#[derive(Debug, Clone)]
pub struct Workplace {
    /// The submission's folder.
    pub dir: PathBuf,
    /// A folder that is the program's home, for caches and temporary files.
    pub home: PathBuf,
    /// The environment, whole: nothing of ours is inherited.
    pub env: BTreeMap<String, String>,
    /// What keeps the programs from this machine; without it they run as the current user, on the leash alone.
    pub sandbox: Option<Arc<Sandbox>>,
}

impl Workplace {
    /// Tells whether a name is a plain file of the repository, as the programs there see it. A folder is no version, as what it
    /// holds changes; nor is a link, which may lead anywhere.
    ///
    /// # Errors
    /// When the sandbox does not answer.
    pub fn is_file(&self, name: &str) -> io::Result<bool> {
        match &self.sandbox {
            Some(sandbox) => sandbox.session()?.is_file(name),
            None => Ok(self.is_own_file(name)),
        }
    }

    fn is_own_file(&self, name: &str) -> bool {
        let inside = Path::new(name)
            .components()
            .all(|part| matches!(part, Component::Normal(_) | Component::CurDir));
        inside && fs::symlink_metadata(self.dir.join(name)).is_ok_and(|about| about.is_file())
    }

    /// Opens a plain file of the repository for reading, as the programs there have left it; none if it is none.
    ///
    /// # Errors
    /// When the sandbox does not answer.
    pub fn open(&self, name: &str) -> io::Result<Option<File>> {
        let file = match &self.sandbox {
            Some(sandbox) => sandbox.session()?.open_file(name)?,
            None if self.is_own_file(name) => File::open(self.dir.join(name)).ok(),
            None => None,
        };
        Ok(file.filter(|file| file.metadata().is_ok_and(|about| about.is_file())))
    }
}

/// The port that a service in a sandbox is given: the company's own, as nobody else is in its network.
const PORT_INSIDE: u16 = 8082;

/// How often we look whether something has happened.
const LOOK: Duration = Duration::from_millis(20);
/// Between two probes of a service that is not ready.
const PROBE: Duration = Duration::from_millis(100);
/// How long the leash may take to end a tree and tell us so.
const END: Duration = Duration::from_secs(8);

/// How a build ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BuildEnd {
    /// Well, after so many milliseconds.
    Built(u128),
    /// With another end.
    Failed(Exit),
    /// Not within the limit.
    TimedOut,
    /// The flag was set.
    Interrupted,
}

impl BuildEnd {
    /// Says how it went and whether it went well, of a command that goes by some name; none when it was interrupted.
    pub fn told(&self, what: &str, limit: Duration) -> Option<(bool, String)> {
        match self {
            Self::Built(ms) => Some((true, format!("{what} took {:.1} s", *ms as f64 / 1000.0))),
            Self::Failed(exit) => Some((false, format!("{what} {}", exit.describe()))),
            Self::TimedOut => Some((false, format!("{what} did not end within {} s", limit.as_secs()))),
            Self::Interrupted => None,
        }
    }
}

/// Builds a submission, to which the mirror of packages is open meanwhile; returns what it has had there, too. None where there is no
/// mirror.
///
/// # Errors
/// When this machine cannot start the sandbox or the leash, or the sandbox is lost.
pub fn build_with_mirror(
    words: &[String],
    place: &Workplace,
    limits: Limits,
    leash: &Leash,
    clock: Clock,
    stop: &AtomicBool,
) -> io::Result<(BuildEnd, Vec<String>, Option<Fetched>)> {
    let hatch = match &place.sandbox {
        Some(sandbox) => sandbox.open_mirror()?,
        None => None,
    };
    let waited = || hatch.as_ref().map_or(Duration::ZERO, Hatch::waited);
    let (end, lines) = run_within(words, place, (limits.build, &waited), leash, clock, stop)?;
    Ok((end, lines, hatch.map(Hatch::close)))
}

/// Runs a command to its end, within the limit of a build; the lines are the end of its output.
///
/// # Errors
/// When this machine cannot start the leash.
pub fn build(
    words: &[String],
    place: &Workplace,
    limits: Limits,
    leash: &Leash,
    clock: Clock,
    stop: &AtomicBool,
) -> io::Result<(BuildEnd, Vec<String>)> {
    run_within(
        words,
        place,
        (limits.build, &|| Duration::ZERO),
        leash,
        clock,
        stop,
    )
}

/// Runs a command to its end, within a limit that grows by what it has waited for others.
fn run_within(
    words: &[String],
    place: &Workplace,
    (limit, waited): (Duration, &dyn Fn() -> Duration),
    leash: &Leash,
    clock: Clock,
    stop: &AtomicBool,
) -> io::Result<(BuildEnd, Vec<String>)> {
    let begun = clock.elapsed();
    let mut held = Held::start(words, place, (leash, Stage::Build), clock)?;
    let end = loop {
        if let Some(exit) = held.poll()? {
            break match exit {
                Exit::Success => BuildEnd::Built((clock.elapsed() - begun).as_millis()),
                other => BuildEnd::Failed(other),
            };
        }
        if stop.load(Ordering::Relaxed) {
            break BuildEnd::Interrupted;
        }
        if clock.elapsed() - begun > limit + waited() {
            break BuildEnd::TimedOut;
        }
        clock.sleep(LOOK);
    };
    held.end();
    Ok((end, held.tail.lines().0))
}

/// What a look at the service's route told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Probe {
    /// A valid list.
    Ready,
    /// Nobody listens yet.
    Silent(String),
    /// Somebody answers, but not with a valid list.
    Wrong(String),
}

/// Why a service did not become ready.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StartFailure {
    /// It ended by itself.
    Exited(Exit),
    /// Nobody listened on its port; it listened on these others.
    NeverListened {
        /// The port that was asked.
        port: u16,
        /// The ports on which its processes listened.
        elsewhere: Vec<u16>,
    },
    /// It answered, but not the real route with a valid list.
    NotReady {
        /// What the last probe told.
        last: String,
        /// What `/health` told, if it was well there.
        health: Option<String>,
    },
    /// Somebody else holds its fixed port: this machine's problem.
    PortTaken(u16),
    /// The flag was set.
    Interrupted,
}

/// A start that went well or did not, with the end of the output.
#[derive(Debug)]
pub enum Start {
    /// Ready after so many seconds.
    Ready(Running, f64),
    /// Not ready.
    Failed(StartFailure, Vec<String>),
}

/// Starts a service and waits until its real route answers with a valid list.
///
/// `probe` asks a path on a port; `health` is asked once when the route never answered well.
///
/// # Errors
/// When this machine cannot start the leash or gives no port, or the sandbox is lost.
pub fn start(
    spec: &ServiceSpec,
    place: &Workplace,
    limits: Limits,
    leash: &Leash,
    (clock, stop): (Clock, &AtomicBool),
    probe: &mut dyn FnMut(SocketAddr, &str) -> Probe,
) -> io::Result<Start> {
    let port = match spec.port {
        Port::Assigned if place.sandbox.is_some() => PORT_INSIDE,
        Port::Fixed(port) if place.sandbox.is_some() => port,
        Port::Assigned => free_port()?,
        Port::Fixed(port) if taken(port) => {
            return Ok(Start::Failed(StartFailure::PortTaken(port), Vec::new()));
        }
        Port::Fixed(port) => port,
    };
    let mut place = place.clone();
    place.env.extend(spec.env.clone());
    place.env.insert("PORT".to_owned(), port.to_string());
    let begun = clock.elapsed();
    let mut held = Held::start(&spec.start.words(), &place, (leash, Stage::Run), clock)?;
    let address = SocketAddr::from(([127, 0, 0, 1], port));
    let mut wrong: Option<String> = None;
    let failure = loop {
        if let Some(exit) = held.poll()? {
            break StartFailure::Exited(exit);
        }
        if stop.load(Ordering::Relaxed) {
            break StartFailure::Interrupted;
        }
        match probe(address, &spec.ready) {
            Probe::Ready => {
                let seconds = (clock.elapsed() - begun).as_secs_f64();
                return Ok(Start::Ready(Running { held, address }, seconds));
            }
            Probe::Silent(_) => {}
            Probe::Wrong(what) => wrong = Some(what),
        }
        if clock.elapsed() - begun > limits.ready {
            break match wrong {
                None => StartFailure::NeverListened {
                    port,
                    elsewhere: held.listening(port),
                },
                Some(last) => {
                    let health = match probe(address, "/health") {
                        Probe::Wrong(what) if what.starts_with("200") => Some(what),
                        _ => None,
                    };
                    StartFailure::NotReady { last, health }
                }
            };
        }
        clock.sleep(PROBE);
    };
    held.end();
    Ok(Start::Failed(failure, held.tail.lines().0))
}

/// A service that runs; dropping it ends it.
#[derive(Debug)]
pub struct Running {
    held: Held,
    address: SocketAddr,
}

impl Running {
    /// Returns where it is asked.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Returns how it ended by itself, if it did.
    ///
    /// # Errors
    /// When its sandbox has ended, and nothing inside has brought that about.
    pub fn poll(&mut self) -> io::Result<Option<Exit>> {
        self.held.poll()
    }

    /// Returns how many processes and threads it could not begin, as it had as many as it may; none where nobody counts.
    pub fn refused(&self) -> Option<u64> {
        match &self.held.by {
            By::Sandbox { session, .. } => session.refused(),
            By::Leash { .. } => None,
        }
    }

    /// Ends it with all its children; returns how it ended, the end of its output, and how many bytes it printed.
    pub fn stop(mut self) -> (Exit, Vec<String>, u64) {
        let exit = self.held.end();
        let (lines, bytes) = self.held.tail.lines();
        (exit, lines, bytes)
    }
}

/// A process tree that we hold.
#[derive(Debug)]
struct Held {
    by: By,
    exit: Option<Exit>,
    tail: Tail,
    clock: Clock,
}

/// What a process tree is held by.
#[derive(Debug)]
enum By {
    Leash {
        child: Child,
        /// Closing it is the word to end.
        rein: Option<ChildStdin>,
        told: Receiver<String>,
    },
    Sandbox {
        sandbox: Arc<Sandbox>,
        session: Arc<Session>,
        id: u32,
    },
}

impl Held {
    fn start(
        words: &[String],
        place: &Workplace,
        (leash, stage): (&Leash, Stage),
        clock: Clock,
    ) -> io::Result<Self> {
        let tail = Tail::default();
        let by = match &place.sandbox {
            Some(sandbox) => {
                let session = sandbox.enter(stage)?;
                let (reader, writer) = io::pipe()?;
                tail.drain(reader, Some(u64::from(sandbox.output_mib_s()) << 20), clock);
                let id = session.start(words, &place.env, writer.as_fd())?;
                let sandbox = Arc::clone(sandbox);
                By::Sandbox { sandbox, session, id }
            }
            None => leashed(words, place, leash, &tail, clock)?,
        };
        Ok(Self {
            by,
            exit: None,
            tail,
            clock,
        })
    }

    /// Returns the ports other than the one asked on which something of the tree listens.
    fn listening(&self, asked: u16) -> Vec<u16> {
        match &self.by {
            By::Leash { child, .. } => listening(child.id(), asked),
            By::Sandbox { session, sandbox, .. } => session
                .ports()
                .into_iter()
                .filter(|port| *port != asked && !sandbox.is_outlet(*port))
                .collect(),
        }
    }

    /// Returns how the command ended, once nothing of its tree is left.
    fn poll(&mut self) -> io::Result<Option<Exit>> {
        if self.exit.is_none() {
            self.exit = match &mut self.by {
                By::Leash { child, told, .. } => told.try_recv().ok().map(|line| {
                    drop(child.wait());
                    // A leash that told nothing was killed: as if the command had been.
                    Exit::from_line(&line).unwrap_or(Exit::Signalled(9))
                }),
                By::Sandbox { session, id, .. } => session.poll(*id)?,
            };
        }
        Ok(self.exit)
    }

    /// Ends the tree and waits until it has ended.
    fn end(&mut self) -> Exit {
        if let By::Sandbox { session, id, .. } = &self.by {
            let exit = session.end(*id);
            self.tail.settle(SETTLING, self.clock);
            return *self.exit.get_or_insert(exit);
        }
        if let Ok(Some(exit)) = self.poll() {
            return exit;
        }
        if let By::Leash { rein, .. } = &mut self.by {
            drop(rein.take());
        }
        let begun = self.clock.elapsed();
        while self.clock.elapsed() - begun < END {
            if let Ok(Some(exit)) = self.poll() {
                return exit;
            }
            self.clock.sleep(LOOK);
        }
        if let By::Leash { child, .. } = &mut self.by {
            drop(child.kill());
            drop(child.wait());
        }
        *self.exit.insert(Exit::Stopped)
    }
}

/// Starts a command on the leash.
fn leashed(words: &[String], place: &Workplace, leash: &Leash, tail: &Tail, clock: Clock) -> io::Result<By> {
    fs::create_dir_all(&place.home)?;
    let mut command: Command = leash.command(words);
    command.current_dir(&place.dir).env_clear().envs(&place.env);
    command.env("HOME", &place.home).env("TMPDIR", &place.home);
    let mut child = Leash::spawn(&mut command)?;
    if let Some(stderr) = child.stderr.take() {
        tail.drain(stderr, None, clock);
    }
    let (send, told) = channel();
    if let Some(mut stdout) = child.stdout.take() {
        std::thread::spawn(move || {
            let mut line = String::new();
            // The leash writes one short line; a bound keeps even a broken one from filling memory.
            drop(Read::take(&mut stdout, 256).read_to_string(&mut line));
            drop(send.send(line));
        });
    }
    let rein = child.stdin.take();
    Ok(By::Leash { child, rein, told })
}

impl Drop for Held {
    fn drop(&mut self) {
        self.end();
    }
}

/// Returns a port of the loopback that is free now. Somebody else may take it before the service does; then the start fails
/// visibly and can be repeated.
///
/// # Errors
/// When the system has none.
pub fn free_port() -> io::Result<u16> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?.port())
}

fn taken(port: u16) -> bool {
    TcpListener::bind(("127.0.0.1", port)).is_err()
}

/// Returns the ports other than `asked` on which the tree below a process listens, from /proc.
fn listening(root: u32, asked: u16) -> Vec<u16> {
    let mut inodes = BTreeSet::new();
    for pid in descendants(root) {
        for entry in fs::read_dir(Path::new("/proc").join(pid.to_string()).join("fd"))
            .into_iter()
            .flatten()
            .flatten()
        {
            let Ok(link) = fs::read_link(entry.path()) else {
                continue;
            };
            let link = link.to_string_lossy().into_owned();
            if let Some(inode) = link
                .strip_prefix("socket:[")
                .and_then(|rest| rest.strip_suffix(']'))
            {
                inodes.insert(inode.to_owned());
            }
        }
    }
    let ports: BTreeSet<u16> = listeners("/proc/net")
        .into_iter()
        .filter(|(port, inode)| *port != asked && inodes.contains(inode))
        .map(|(port, _)| port)
        .collect();
    ports.into_iter().collect()
}

/// Returns every port with a listener, and the number of its socket, from the tables of a network.
pub(super) fn listeners(net: &str) -> Vec<(u16, String)> {
    let mut found = Vec::new();
    for table in ["tcp", "tcp6"] {
        let text = fs::read_to_string(Path::new(net).join(table)).unwrap_or_default();
        for line in text.lines().skip(1) {
            let fields: Vec<&str> = line.split_whitespace().collect();
            // Field 1 is the local address, 3 the state (0A listens), 9 the inode.
            let (Some(local), Some(&"0A"), Some(inode)) = (fields.get(1), fields.get(3), fields.get(9))
            else {
                continue;
            };
            let port = local
                .rsplit_once(':')
                .and_then(|(_, port)| u16::from_str_radix(port, 16).ok());
            found.extend(port.map(|port| (port, (*inode).to_owned())));
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_inside_is_told_from_what_lies_elsewhere() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("model.pkl"), "x").unwrap();
        fs::create_dir(dir.path().join("models")).unwrap();
        std::os::unix::fs::symlink("/etc/passwd", dir.path().join("link")).unwrap();
        let place = Workplace {
            dir: dir.path().to_owned(),
            home: dir.path().to_owned(),
            env: BTreeMap::new(),
            sandbox: None,
        };
        assert!(place.is_own_file("model.pkl") && place.is_own_file("./model.pkl"));
        for name in [
            "../../etc/passwd",
            "/etc/passwd",
            "none.pkl",
            "--help",
            "models",
            ".",
            "link",
        ] {
            assert!(!place.is_own_file(name), "{name}");
        }
    }
}
