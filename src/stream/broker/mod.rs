//! An embedded broker: the topics of an archive for every client of Kafka, on one machine, for consumers alone.
//!
//! It is a small server of our own and not a clone of Kafka: one node, one partition a topic, no producing, no
//! transactions, the classic protocol of groups. What it answers is what consumers of the client matrix ask
//! (`docs/reference/stream.md`). The batches of the archive are sent as they lie; nothing is decoded on the way.

mod answer;
mod groups;
mod offsets;
mod shared;
mod wire;

use std::fs;
use std::io::{self, ErrorKind, Read, Write};
use std::net::{IpAddr, Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use sha2::{Digest, Sha256};

use self::groups::Groups;
use self::offsets::Offsets;
use self::shared::Shared;
use super::segment::{io_error, lock};
use super::{Archive, StreamError};
use crate::clock::Clock;
use crate::lock::Lock;

/// The folder of an archive in which the broker keeps what groups have committed; no topic can have its name.
const HOME: &str = ".broker";
/// The port of Kafka.
pub const PORT: u16 = 9092;
/// The most connections at once: forty teams with a few consumers each, and two connections a consumer.
const MAX_CONNECTIONS: usize = 512;
/// The most of one client, so that one that leaks them locks nobody else out.
const MOST_OF_A_CLIENT: usize = 128;
/// The largest request: consumers send kilobytes.
const MAX_FRAME: usize = 2 << 20;
/// The bytes by which room for a request grows as they come, whatever length it claims.
const FRAME_STEP: usize = 16 << 10;
/// How long a request may take to come once it has begun, and a response to be taken.
const FRAME_TIME: Duration = Duration::from_secs(30);
/// How long a connection may be silent: Kafka's own limit.
const IDLE_TIME: Duration = Duration::from_secs(600);
/// How often those who wait look whether the broker stops.
const LOOK_EVERY: Duration = Duration::from_millis(100);
/// How often what was committed is brought to the disk.
const SYNC_EVERY: Duration = Duration::from_secs(1);

/// How a broker is reached.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BrokerOptions {
    /// The address to listen at; port 0 takes any that is free.
    pub listen: SocketAddr,
    /// The host that clients are told to come to; that of `listen` if not said.
    pub advertised: Option<String>,
}

impl Default for BrokerOptions {
    fn default() -> Self {
        Self {
            listen: SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), PORT),
            advertised: None,
        }
    }
}

/// A broker that runs until it is dropped.
#[derive(Debug)]
pub struct Broker {
    shared: Arc<Shared>,
    address: SocketAddr,
    thread: Option<JoinHandle<()>>,
    _lock: Lock,
}

impl Broker {
    /// Begins to serve an archive, which need not have topics yet.
    ///
    /// # Errors
    /// When another broker serves the archive, or the address is taken, or the system refuses.
    pub fn start(archive: Archive, options: &BrokerOptions, clock: Clock) -> Result<Self, StreamError> {
        let listener = TcpListener::bind(options.listen)
            .map_err(|error| io_error(&PathBuf::from(options.listen.to_string()), error))?;
        let host = options.advertised.clone();
        let host = host.unwrap_or_else(|| options.listen.ip().to_string());
        Self::on(archive, listener, host, clock)
    }

    /// As [`Self::start`], where somebody listens already, such as on a port inside of a sandbox; clients are told to come to `host`.
    ///
    /// # Errors
    /// When another broker serves the archive, or the system refuses.
    pub fn on(
        archive: Archive,
        listener: TcpListener,
        host: String,
        clock: Clock,
    ) -> Result<Self, StreamError> {
        let home = archive.dir().join(HOME);
        fs::create_dir_all(&home).map_err(|error| io_error(&home, error))?;
        let lock = lock(&home.join("lock"))?;
        let path = home.join("offsets");
        let offsets = Offsets::open(&path).map_err(|error| io_error(&path, error))?;
        let address = listener
            .set_nonblocking(true)
            .and_then(|()| listener.local_addr())
            .map_err(|error| io_error(&home, error))?;
        let cluster = cluster_id(&home);
        let shared = Arc::new(Shared::new(
            archive,
            clock,
            cluster,
            (host, address.port()),
            offsets,
        ));
        let served = Arc::clone(&shared);
        let thread = std::thread::Builder::new()
            .name("broker".to_owned())
            .spawn(move || accept(&listener, &served))
            .map_err(|error| io_error(&home, error))?;
        Ok(Self {
            shared,
            address,
            thread: Some(thread),
            _lock: lock,
        })
    }

    /// Returns the address at which it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Tells whether anybody has ever connected to it.
    pub fn was_visited(&self) -> bool {
        self.shared.was_visited()
    }

    /// Tells clients nothing more, ends every connection and brings what was committed to the disk.
    ///
    /// # Errors
    /// When the disk refuses.
    pub fn stop(mut self) -> Result<(), StreamError> {
        self.end();
        let path = self.shared.archive.dir().join(HOME);
        self.shared
            .offsets()
            .sync()
            .map_err(|error| io_error(&path, error))
    }

    fn end(&mut self) {
        self.shared.stop();
        if let Some(thread) = self.thread.take() {
            let _ended = thread.join();
        }
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        self.end();
        // Whoever needs to know has called `stop`.
        let _unseen = self.shared.offsets().sync();
    }
}

/// Answers one frame as a connection would: the door of the tests that send anything at all.
#[doc(hidden)]
pub fn answer_frame(broker: &Broker, frame: &[u8]) -> Option<Vec<u8>> {
    let peer = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 0);
    answer::answer(&broker.shared, frame, peer).ok()
}

/// The name of the cluster: the same for the same archive, in the form that Kafka gives it.
fn cluster_id(home: &Path) -> String {
    const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let path = fs::canonicalize(home).unwrap_or_else(|_| home.to_owned());
    let digest = Sha256::digest(path.as_os_str().as_encoded_bytes());
    let letter = |byte: &u8| char::from(LETTERS[usize::from(byte & 63)]);
    digest.iter().take(22).map(letter).collect()
}

/// Takes connections, each with a thread of its own, and ends them all when the broker stops.
fn accept(listener: &TcpListener, shared: &Arc<Shared>) {
    let mut connections: Vec<(JoinHandle<()>, Arc<TcpStream>, IpAddr)> = Vec::new();
    let mut synced = shared.clock.elapsed();
    while !shared.stopping() {
        match listener.accept() {
            Ok((socket, peer)) => {
                shared.visit();
                connections.retain(|(thread, ..)| !thread.is_finished());
                // One too many is closed at once; the client comes again. On this machine itself there are many clients.
                let client = peer.ip();
                let held = connections.iter().filter(|(.., of)| *of == client).count();
                let is_within = client.is_loopback() || held < MOST_OF_A_CLIENT;
                if connections.len() < MAX_CONNECTIONS && is_within {
                    let shared = Arc::clone(shared);
                    let socket = Arc::new(socket);
                    let held = Arc::clone(&socket);
                    let thread = std::thread::Builder::new()
                        .name("connection".to_owned())
                        .spawn(move || {
                            // A connection that fails is closed; its client knows what to do.
                            let _ended = serve(&socket, peer, &shared);
                            let _closed = socket.shutdown(Shutdown::Both);
                        });
                    connections.extend(thread.map(|thread| (thread, held, client)));
                }
            }
            Err(_) => shared.clock.sleep(Duration::from_millis(20)),
        }
        shared.groups(Groups::advance);
        if shared.clock.elapsed() - synced >= SYNC_EVERY {
            synced = shared.clock.elapsed();
            // What cannot be synced now is tried again in a second, and told when the broker stops.
            let _later = shared.offsets().sync();
        }
    }
    // Whoever waits for a request is told that none will come: not every wait ends by itself.
    for (_, socket, _) in &connections {
        let _closed = socket.shutdown(Shutdown::Both);
    }
    for (thread, ..) in connections {
        let _ended = thread.join();
    }
}

/// Answers the requests of one connection, one after the other, as Kafka does.
fn serve(mut socket: &TcpStream, peer: SocketAddr, shared: &Shared) -> io::Result<()> {
    socket.set_nonblocking(false)?;
    socket.set_nodelay(true)?;
    socket.set_read_timeout(Some(LOOK_EVERY))?;
    socket.set_write_timeout(Some(FRAME_TIME))?;
    let mut frame = Vec::new();
    // Who connects has something to ask.
    let mut silence = FRAME_TIME;
    loop {
        if !read_frame(&mut socket, shared, &mut frame, silence)? {
            return Ok(());
        }
        silence = IDLE_TIME;
        let Ok(response) = answer::answer(shared, &frame, peer) else {
            return Ok(());
        };
        socket.write_all(&response)?;
        // A large request is not remembered for ever.
        if frame.capacity() > FRAME_STEP {
            frame = Vec::new();
        }
    }
}

/// Reads a frame without its length; false where there is none any more.
fn read_frame(
    socket: &mut &TcpStream,
    shared: &Shared,
    frame: &mut Vec<u8>,
    silence: Duration,
) -> io::Result<bool> {
    let mut length = [0; 4];
    if !read_exact(socket, shared, &mut length, silence)? {
        return Ok(false);
    }
    let Ok(length) = usize::try_from(i32::from_be_bytes(length)) else {
        return Ok(false);
    };
    if length > MAX_FRAME {
        return Ok(false);
    }
    frame.clear();
    // Room is made as bytes come: a length alone costs its sender nothing, and so it gets nothing.
    while frame.len() < length {
        let at = frame.len();
        frame.resize(length.min(at + FRAME_STEP), 0);
        if !read_exact(socket, shared, &mut frame[at..], FRAME_TIME)? {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Fills the bytes; false where the client goes, takes too long, or the broker stops.
fn read_exact(
    socket: &mut &TcpStream,
    shared: &Shared,
    bytes: &mut [u8],
    limit: Duration,
) -> io::Result<bool> {
    let until = shared.clock.elapsed() + limit;
    let mut filled = 0;
    while filled < bytes.len() {
        match socket.read(&mut bytes[filled..]) {
            Ok(0) => return Ok(false),
            Ok(count) => filled += count,
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {}
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
        if shared.stopping() || shared.clock.elapsed() >= until {
            return Ok(filled == bytes.len());
        }
    }
    Ok(true)
}
