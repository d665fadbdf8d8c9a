//! A door: the socket in front of a room that answers, with bounds on everything that comes in.
//!
//! What an answer is, the room decides; the door reads requests, waits where the room says so, and writes.

use std::collections::HashMap;
use std::convert::Infallible;
use std::fmt;
use std::io;
use std::net::{IpAddr, SocketAddr, TcpListener};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::task::JoinSet;

use crate::clock::Clock;

/// The connections that are held at once, and those of one client: a class behind one address is one client.
const MOST_CONNECTIONS: usize = 1024;
const MOST_OF_A_CLIENT: usize = 256;
/// The most bytes of a request's head, and its most headers. Bodies are not read.
const MAX_HEAD: usize = 16 << 10;
const MAX_HEADERS: usize = 64;
/// A client that has not sent a whole head within this time is cut off; so is an idle one.
const HEAD_WAIT: Duration = Duration::from_secs(30);
/// The longest that a room may let an answer wait.
pub const MOST_WAIT: Duration = Duration::from_secs(60);
/// How long the door waits, when it closes, for answers that are under way.
const CLOSING: Duration = Duration::from_secs(2);
/// How long it waits when the system gives no more connections.
const BREATH: Duration = Duration::from_millis(100);

/// What was asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ask {
    /// The method, in capitals.
    pub method: String,
    /// The path, as it was sent.
    pub path: String,
    /// What stands behind the question mark, empty if nothing does.
    pub query: String,
    /// Who asked.
    pub client: IpAddr,
}

/// What is answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reply {
    /// The status.
    pub status: u16,
    /// The type of the body.
    pub content_type: &'static str,
    /// Other headers.
    pub headers: Vec<(&'static str, String)>,
    /// The body.
    pub body: Bytes,
    /// How long to wait before it is sent, at most [`MOST_WAIT`].
    pub wait: Duration,
}

impl Reply {
    /// Makes a reply that is sent at once.
    pub fn new(status: u16, content_type: &'static str, body: impl Into<Bytes>) -> Self {
        Self {
            status,
            content_type,
            headers: Vec::new(),
            body: body.into(),
            wait: Duration::ZERO,
        }
    }

    /// Adds a header.
    #[must_use]
    pub fn with(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }
}

/// What stands behind a door.
pub trait Room: Send + Sync + 'static {
    /// Answers; must not block. `now_ns` is the monotonic time of the door's clock.
    fn answer(&self, ask: &Ask, now_ns: u64) -> Reply;
}

/// An open door; dropping it closes it.
pub struct Door {
    address: SocketAddr,
    close: watch::Sender<bool>,
    thread: Option<JoinHandle<()>>,
}

impl fmt::Debug for Door {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Door({})", self.address)
    }
}

impl Door {
    /// Opens a door at an address; port 0 takes any that is free.
    ///
    /// # Errors
    /// When the address cannot be had or the system gives no thread.
    pub fn open(address: SocketAddr, room: Arc<dyn Room>, clock: Clock) -> io::Result<Self> {
        Self::on(TcpListener::bind(address)?, room, clock)
    }

    /// Opens a door where somebody listens already, such as a port inside of a sandbox.
    ///
    /// # Errors
    /// When the listener cannot be used or the system gives no thread.
    pub fn on(listener: TcpListener, room: Arc<dyn Room>, clock: Clock) -> io::Result<Self> {
        listener.set_nonblocking(true)?;
        let address = listener.local_addr()?;
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        let (close, closed) = watch::channel(false);
        let thread = std::thread::Builder::new()
            .name("door".to_owned())
            .spawn(move || runtime.block_on(listen(listener, room, clock, closed)))?;
        Ok(Self {
            address,
            close,
            thread: Some(thread),
        })
    }

    /// Returns where it is.
    pub fn address(&self) -> SocketAddr {
        self.address
    }
}

impl Drop for Door {
    fn drop(&mut self) {
        self.close.send_replace(true);
        if let Some(thread) = self.thread.take() {
            drop(thread.join());
        }
    }
}

/// How many connections each client holds.
type Holders = Arc<Mutex<HashMap<IpAddr, usize>>>;

/// One connection's place among those that are held; dropping it gives the place back.
struct Place {
    client: IpAddr,
    holders: Holders,
    _permit: OwnedSemaphorePermit,
}

impl Place {
    fn take(client: IpAddr, holders: &Holders, permit: OwnedSemaphorePermit) -> Option<Self> {
        let mut counts = holders.lock().unwrap_or_else(PoisonError::into_inner);
        let count = counts.entry(client).or_default();
        if *count >= MOST_OF_A_CLIENT {
            return None;
        }
        *count += 1;
        Some(Self {
            client,
            holders: Arc::clone(holders),
            _permit: permit,
        })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut counts = self.holders.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = counts.get_mut(&self.client) {
            *count -= 1;
            if *count == 0 {
                counts.remove(&self.client);
            }
        }
    }
}

async fn listen(listener: TcpListener, room: Arc<dyn Room>, clock: Clock, mut closed: watch::Receiver<bool>) {
    // A listener that the runtime does not take would be our bug; there is nobody to tell but the one who asks in vain.
    let Ok(listener) = tokio::net::TcpListener::from_std(listener) else {
        return;
    };
    let places = Arc::new(Semaphore::new(MOST_CONNECTIONS));
    let holders = Holders::default();
    let mut connections = JoinSet::new();
    loop {
        let accepted = tokio::select! {
            accepted = async {
                // The semaphore is never closed.
                let permit = Arc::clone(&places).acquire_owned().await.ok();
                (listener.accept().await, permit)
            } => accepted,
            _ = closed.changed() => break,
        };
        while connections.try_join_next().is_some() {}
        let (Ok((stream, peer)), Some(permit)) = accepted else {
            tokio::time::sleep(BREATH).await;
            continue;
        };
        let Some(place) = Place::take(peer.ip(), &holders, permit) else {
            continue;
        };
        let (room, closed) = (Arc::clone(&room), closed.clone());
        connections.spawn(async move {
            serve(stream, peer.ip(), room, clock, closed).await;
            drop(place);
        });
    }
    drop(listener);
    let finish = async { while connections.join_next().await.is_some() {} };
    drop(tokio::time::timeout(CLOSING, finish).await);
}

async fn serve(
    stream: tokio::net::TcpStream,
    client: IpAddr,
    room: Arc<dyn Room>,
    clock: Clock,
    mut closed: watch::Receiver<bool>,
) {
    // Small answers must not wait for more to send; where the system refuses, they only come later.
    drop(stream.set_nodelay(true));
    let service = service_fn(move |request: Request<Incoming>| {
        let room = Arc::clone(&room);
        async move { Ok::<_, Infallible>(respond(&request, client, room.as_ref(), clock).await) }
    });
    let mut connection = std::pin::pin!(
        http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(HEAD_WAIT)
            .max_buf_size(MAX_HEAD)
            .max_headers(MAX_HEADERS)
            .serve_connection(TokioIo::new(stream), service)
    );
    tokio::select! {
        // How a connection ends is the client's business.
        ended = connection.as_mut() => drop(ended),
        _ = closed.changed() => {
            connection.as_mut().graceful_shutdown();
            drop(connection.await);
        }
    }
}

async fn respond(
    request: &Request<Incoming>,
    client: IpAddr,
    room: &dyn Room,
    clock: Clock,
) -> Response<Full<Bytes>> {
    let ask = Ask {
        method: request.method().as_str().to_owned(),
        path: request.uri().path().to_owned(),
        query: request.uri().query().unwrap_or_default().to_owned(),
        client,
    };
    let reply = room.answer(&ask, clock.elapsed_ns());
    if !reply.wait.is_zero() {
        tokio::time::sleep(reply.wait.min(MOST_WAIT)).await;
    }
    let mut response = Response::builder()
        .status(reply.status)
        .header("content-type", reply.content_type);
    for (name, value) in reply.headers {
        response = response.header(name, value);
    }
    response.body(Full::new(reply.body)).unwrap_or_else(|_| {
        // A header that is none is a fault of the room.
        let mut broken = Response::new(Full::default());
        *broken.status_mut() = hyper::StatusCode::INTERNAL_SERVER_ERROR;
        broken
    })
}

/// Undoes the percent-encoding of a path; none where that gives no text.
pub fn decode(path: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(path.len());
    let mut rest = path.as_bytes();
    while let Some((first, after)) = rest.split_first() {
        rest = after;
        if *first != b'%' {
            bytes.push(*first);
            continue;
        }
        let (digits, after) = rest.split_at_checked(2)?;
        let digit = |byte: u8| char::from(byte).to_digit(16);
        bytes.push((digit(digits[0])? * 16 + digit(digits[1])?) as u8);
        rest = after;
    }
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::net::TcpStream;

    use proptest::prelude::*;

    use super::*;

    struct Echo;

    impl Room for Echo {
        fn answer(&self, ask: &Ask, _: u64) -> Reply {
            Reply::new(
                200,
                "text/plain",
                format!("{} {} {}", ask.method, ask.path, ask.query),
            )
            .with("x-client", ask.client.to_string())
        }
    }

    fn ask(door: &Door, request: &str) -> String {
        let mut stream = TcpStream::connect(door.address()).unwrap();
        stream.write_all(request.as_bytes()).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer
    }

    #[test]
    fn a_door_hands_over_what_was_asked_and_by_whom() {
        let door = Door::open("127.0.0.1:0".parse().unwrap(), Arc::new(Echo), Clock::start()).unwrap();
        let answer = ask(
            &door,
            "GET /a%2Bb?c=d HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n",
        );
        assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
        assert!(answer.contains("x-client: 127.0.0.1\r\n"), "{answer}");
        assert!(answer.ends_with("\r\n\r\nGET /a%2Bb c=d"), "{answer}");
    }

    #[test]
    fn what_is_no_http_or_too_long_is_refused_and_the_next_one_is_served() {
        let door = Door::open("127.0.0.1:0".parse().unwrap(), Arc::new(Echo), Clock::start()).unwrap();
        let long = format!("GET /{} HTTP/1.1\r\nhost: x\r\n\r\n", "a".repeat(2 * MAX_HEAD));
        for request in ["\x16\x03\x01 no http\r\n\r\n", long.as_str()] {
            let mut stream = TcpStream::connect(door.address()).unwrap();
            // The door may close before all is written.
            drop(stream.write_all(request.as_bytes()));
            let mut answer = Vec::new();
            drop(stream.read_to_end(&mut answer));
            assert!(!answer.starts_with(b"HTTP/1.1 200"));
        }
        let answer = ask(&door, "GET / HTTP/1.0\r\n\r\n");
        assert!(answer.contains("200 OK"), "{answer}");
    }

    #[test]
    fn percent_signs_are_undone_and_pluses_stay() {
        assert_eq!(
            decode("/movie/i_%2Brobot+2004").as_deref(),
            Some("/movie/i_+robot+2004")
        );
        assert_eq!(decode("/%zz"), None);
        assert_eq!(decode("/%e"), None);
        assert_eq!(decode("/%ff"), None);
    }

    proptest! {
        #[test]
        fn decoding_undoes_encoding(text in "\\PC{0,30}") {
            let encoded: Vec<String> = text.bytes().map(|byte| format!("%{byte:02x}")).collect();
            prop_assert_eq!(decode(&encoded.concat()), Some(text));
        }

        #[test]
        fn no_path_breaks_the_decoding(text in "[%a-f0-9+é]{0,30}") {
            let decoded = decode(&text);
            prop_assert!(decoded.is_none_or(|decoded| decoded.len() <= text.len()));
        }
    }
}
