//! The company's stream beside a service that is graded: lines of the released log once more, served as Kafka does, and what incidents
//! make of them.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use flate2::read::MultiGzDecoder;
use tempfile::TempDir;

use super::measure::Ground;
use crate::clock::Clock;
use crate::event::Record;
use crate::sandbox::{Outlet, reopen, shut};
use crate::seed::{Branch, Key};
use crate::stream::{Archive, Broker, Publisher, StreamError, TopicName, WriteOptions};
use crate::trouble::{Fault, Kind, LineFaults, Plan, Trouble};
use crate::world::{Profile, World};

/// The variables that tell a service where the stream is, and what its topic is called.
const STREAM: &str = "REELWORLD_STREAM";
const TOPIC: &str = "REELWORLD_TOPIC";
/// The team of the topic's name: in a run that has one service there is one.
const TEAM: &str = "1";
/// The port of the stream inside a sandbox: none that services listen on.
const PORT_INSIDE: u16 = 19_092;
/// How often lines are published, and how many at once: forty a second, ten times the requests of an ordinary day.
const TICK: Duration = Duration::from_millis(50);
const LINES: usize = 2;
/// The most lines that are read of the released log: they last for half an hour, then they come again.
const MOST_LINES: usize = 72_000;
/// The most bytes that they may unfold to.
const MOST_BYTES: u64 = 64 << 20;
/// The days of the log in which a fault shows: all of them.
const DAYS: u32 = 36_500;

/// Variables of a service's environment.
type Variables = [(String, String); 2];

/// A stream that runs until it is dropped.
pub(super) struct Feed {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

/// What the one who publishes and the one who lets things go wrong share.
struct Shared {
    archive: Archive,
    topic: TopicName,
    state: Mutex<State>,
    stop: AtomicBool,
    clock: Clock,
    /// The archive's folder, which ends with the run.
    _folder: TempDir,
}

#[derive(Default)]
struct State {
    /// Grows when the fault changes.
    turn: u64,
    fault: Option<Fault>,
    gone: bool,
    /// The listener was shut, and must be opened before it is served again.
    was_shut: bool,
    /// The listener of the newest sandbox, or the one of this machine.
    listener: Option<TcpListener>,
    broker: Option<Broker>,
    /// Whether anybody has come to a broker that is gone.
    visited: bool,
    /// Why the stream does not run as it should.
    broken: Option<String>,
}

impl State {
    fn part_with_broker(&mut self) {
        let broker = self.broker.take();
        self.visited |= broker.as_ref().is_some_and(Broker::was_visited);
        drop(broker);
    }
}

/// What a fault needs to know of the company.
struct Known<'a> {
    world: Option<&'a World>,
    users: u32,
    profile: Profile,
}

impl Feed {
    /// Begins to publish the released lines.
    pub(super) fn open(ground: &Ground, data: &Path, seed: u64, clock: Clock) -> io::Result<Self> {
        let lines = lines(data)?;
        let folder = tempfile::tempdir()?;
        let shared = Arc::new(Shared {
            archive: Archive::new(folder.path()),
            topic: TopicName::of_team(TEAM).map_err(io::Error::other)?,
            state: Mutex::default(),
            stop: AtomicBool::new(false),
            clock,
            _folder: folder,
        });
        let (world, users, profile) = match ground {
            Ground::Truth { world, .. } => {
                let spec = world.spec();
                (Some(Arc::clone(world)), spec.users, spec.profile)
            }
            Ground::Released(release) => (None, release.company_users, release.contract()),
            Ground::Nothing => return Err(io::Error::other("there is no released data")),
        };
        let branch = Key::from_seed(seed).branch("stream");
        let own = Arc::clone(&shared);
        let thread = std::thread::Builder::new()
            .name("feed".to_owned())
            .spawn(move || {
                let known = Known {
                    world: world.as_deref(),
                    users,
                    profile,
                };
                if let Err(error) = own.publish(&lines, &known, &branch) {
                    own.lock().broken = Some(format!("the stream cannot be written: {error}"));
                }
            })?;
        Ok(Self {
            shared,
            thread: Some(thread),
        })
    }

    /// Serves the stream on this machine's loopback, or says by which outlet it reaches into a sandbox; returns what the environment of
    /// the service says of it.
    pub(super) fn reach(&self, inside: bool) -> io::Result<(Option<Outlet>, Variables)> {
        let (outlet, port) = if inside {
            let shared = Arc::clone(&self.shared);
            let serve = Arc::new(move |listener| shared.take(listener));
            let port = PORT_INSIDE;
            (Some(Outlet { port, serve }), port)
        } else {
            let listener = TcpListener::bind(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)))?;
            let port = listener.local_addr()?.port();
            self.shared.take(listener);
            (None, port)
        };
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port)).to_string();
        let topic = self.shared.topic.as_str().to_owned();
        Ok((outlet, [(STREAM.to_owned(), address), (TOPIC.to_owned(), topic)]))
    }

    /// Lets lines be faulty from now on.
    pub(super) fn spoil(&self, fault: Fault, world_is_known: bool) -> Result<(), String> {
        if matches!(fault, Fault::Missing { group: Some(_), .. }) && !world_is_known {
            return Err("whose lines are lost is known to the graders alone".to_owned());
        }
        let mut state = self.well()?;
        state.turn += 1;
        state.fault = Some(fault);
        Ok(())
    }

    /// Tells whether the service has ever come to read.
    pub(super) fn was_read(&self) -> bool {
        let state = self.shared.lock();
        state.visited || state.broker.as_ref().is_some_and(Broker::was_visited)
    }

    /// Lets connections be refused from now on.
    pub(super) fn close(&self) -> Result<(), String> {
        let mut state = self.well()?;
        state.gone = true;
        state.part_with_broker();
        let Some(listener) = &state.listener else {
            return Err("nobody has begun to serve the stream yet".to_owned());
        };
        shut(listener).map_err(|error| format!("the stream could not be closed: {error}"))?;
        state.was_shut = true;
        Ok(())
    }

    /// Lets all be well again.
    pub(super) fn mend(&self) -> Result<(), String> {
        let mut state = self.shared.lock();
        if state.fault.take().is_some() {
            state.turn += 1;
        }
        if state.gone {
            state.gone = false;
            self.shared.serve(&mut state);
        }
        state.broken.clone().map_or(Ok(()), Err)
    }

    fn well(&self) -> Result<MutexGuard<'_, State>, String> {
        let state = self.shared.lock();
        match &state.broken {
            Some(broken) => Err(broken.clone()),
            None => Ok(state),
        }
    }
}

impl Drop for Feed {
    fn drop(&mut self) {
        self.shared.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            drop(thread.join());
        }
        let broker = self.shared.lock().broker.take();
        drop(broker);
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes a listener to serve; one that came before is served no more, as its sandbox is over.
    fn take(&self, listener: TcpListener) {
        let mut state = self.lock();
        state.part_with_broker();
        state.listener = Some(listener);
        state.was_shut = false;
        if !state.gone {
            self.serve(&mut state);
        }
    }

    fn serve(&self, state: &mut State) {
        let Some(listener) = &state.listener else { return };
        let again = if state.was_shut { reopen(listener) } else { Ok(()) };
        let served = again
            .and_then(|()| listener.try_clone())
            .map_err(|error| error.to_string())
            .and_then(|listener| {
                let host = Ipv4Addr::LOCALHOST.to_string();
                Broker::on(self.archive.clone(), listener, host, self.clock)
                    .map_err(|error| error.to_string())
            });
        match served {
            Ok(broker) => {
                state.broker = Some(broker);
                state.was_shut = false;
            }
            Err(error) => state.broken = Some(format!("the stream cannot be served: {error}")),
        }
    }

    /// Publishes until it is stopped, with whatever fault there is at the time.
    fn publish(&self, lines: &[String], known: &Known<'_>, branch: &Branch) -> Result<(), StreamError> {
        let mut publisher = self
            .archive
            .publisher(&self.topic, WriteOptions::default(), self.clock)?;
        let start = lines.iter().find_map(|line| Record::parse(line).ok());
        let Some(start) = start.map(|record| record.time) else {
            return Err(StreamError::Line("the released log has no line"));
        };
        let mut next = lines.iter().cycle();
        while !self.stop.load(Ordering::Relaxed) {
            let (turn, fault) = {
                let state = self.lock();
                (state.turn, state.fault)
            };
            let plan = plan(fault);
            let branch = branch.branch(&format!("turn {turn}"));
            let mut faults = match known.world {
                Some(world) => LineFaults::new(&plan, world, &branch, start, DAYS),
                None => LineFaults::of_released(&plan, (known.users, known.profile), &branch, start, DAYS),
            };
            let mut out = Vec::new();
            while !self.stop.load(Ordering::Relaxed) && self.lock().turn == turn {
                for line in next.by_ref().take(LINES) {
                    faults.push(line.as_bytes(), &mut out);
                }
                self.write(&mut publisher, &mut out)?;
                self.clock.sleep(TICK);
            }
            faults.finish(&mut out);
            self.write(&mut publisher, &mut out)?;
        }
        Ok(())
    }

    fn write(&self, publisher: &mut impl Publisher, out: &mut Vec<u8>) -> Result<(), StreamError> {
        let now_ms = self.clock.now_utc().timestamp_millis();
        for line in out.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
            publisher.publish(now_ms, line)?;
        }
        out.clear();
        publisher.flush()
    }
}

fn plan(fault: Option<Fault>) -> Plan {
    let trouble = fault.map(|fault| Trouble {
        name: fault.name().to_owned(),
        onset_day: 0,
        end_day: None,
        kind: Kind::Fault(fault),
    });
    Plan {
        troubles: trouble.into_iter().collect(),
    }
}

/// Reads the first lines of the released log.
fn lines(data: &Path) -> io::Result<Vec<String>> {
    let unfolded = MultiGzDecoder::new(BufReader::new(File::open(data.join("log.csv.gz"))?)).take(MOST_BYTES);
    BufReader::new(unfolded)
        .split(b'\n')
        .take(MOST_LINES)
        .map(|line| Ok(String::from_utf8_lossy(&line?).into_owned()))
        .collect()
}
