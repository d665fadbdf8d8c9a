//! The hatch through which one build reaches the mirror: bounded in requests, bytes and time, and open while it runs.

use std::convert::Infallible;
use std::fmt;
use std::fs::File;
use std::io::{self, Read};
use std::net::TcpListener;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::thread::JoinHandle;
use std::time::Duration;

use bytes::Bytes;
use hyper::body::{Body as HttpBody, Frame, Incoming, SizeHint};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response};
use hyper_util::rt::{TokioIo, TokioTimer};
use serde::{Deserialize, Serialize};
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;

use super::route::{Front, Routes};
use super::{Body, Had, Mirror, Trouble, size};
use crate::clock::Clock;

/// The connections of a build that are held at once, and those of its requests that are answered at once: npm opens fifteen.
const MOST_CONNECTIONS: usize = 64;
const MOST_AT_ONCE: usize = 8;
/// The most bytes of a request's head, its most headers, and how long it may take to come.
const MAX_HEAD: usize = 16 << 10;
const MAX_HEADERS: usize = 64;
const HEAD_WAIT: Duration = Duration::from_secs(30);
/// The most requests that are written down one by one, and the longest path of them.
const MOST_WRITTEN: usize = 500;
const PATH_SHOWN: usize = 200;
/// How much of a file is sent at once.
const PIECE: usize = 64 << 10;
/// How long the hatch waits when the system gives no more connections.
const BREATH: Duration = Duration::from_millis(100);

/// How much one build may have of the mirror.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HatchBounds {
    /// Requests.
    pub requests: u32,
    /// Bytes of all answers.
    pub bytes: u64,
    /// How long it may wait for the mirror, all together; this does not count as its own time.
    pub waiting: Duration,
}

/// What a build has had of the mirror.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Fetched {
    /// The requests, in the order of their answers, the first of them.
    pub requests: Vec<Asked>,
    /// How many more there were.
    pub more: u32,
    /// The bytes of all answers.
    pub bytes: u64,
    /// How long it has waited for the mirror, in milliseconds.
    pub waited_ms: u64,
    /// Where links of pages led that are not declared, and so were left out.
    pub left_out: Vec<String>,
    /// The first fault of the mirror, the network or this machine, if there was one: nothing that the build is charged with.
    pub fault: Option<String>,
}

impl Fetched {
    /// Says how much it was: `3 answers, 12.4 KiB`.
    pub fn describe(&self) -> String {
        let answered = self.requests.iter().filter(|asked| asked.is_answered()).count();
        let more = if self.more > 0 { " and more" } else { "" };
        format!("{answered} answers{more}, {}", size(self.bytes))
    }
}

/// One request, and what came of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Asked {
    /// Who asked and for what: `pip GET /flask/`.
    pub what: String,
    /// The status that was answered.
    pub status: u16,
    /// The bytes of the answer.
    pub bytes: u64,
    /// Where it came from, or why it did not: `fetched`, `kept`, a reason.
    pub how: String,
}

impl Asked {
    /// Says it in one line.
    pub fn describe(&self) -> String {
        format!(
            "{}: {}, {}, {}",
            self.what,
            self.status,
            size(self.bytes),
            self.how
        )
    }

    /// Whether it was answered with what was asked for.
    pub fn is_answered(&self) -> bool {
        self.status == 200
    }
}

/// An open hatch; dropping it closes it.
pub struct Hatch {
    shared: Arc<Shared>,
    close: watch::Sender<bool>,
    threads: Vec<JoinHandle<()>>,
}

impl fmt::Debug for Hatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Hatch").finish_non_exhaustive()
    }
}

/// What all connections of a hatch share.
struct Shared {
    mirror: Arc<Mirror>,
    bounds: HatchBounds,
    clock: Clock,
    state: Mutex<State>,
    at_once: Semaphore,
}

#[derive(Default)]
struct State {
    fetched: Fetched,
    asked: u32,
    /// Requests that wait for the mirror now, and since when there have been any.
    waiting: u32,
    since: Duration,
    waited: Duration,
}

impl State {
    fn waited(&self, now: Duration) -> Duration {
        let running = if self.waiting > 0 {
            now.saturating_sub(self.since)
        } else {
            Duration::ZERO
        };
        self.waited + running
    }
}

impl Hatch {
    /// Opens the mirror to whoever reaches these listeners.
    ///
    /// # Errors
    /// When the system gives no thread or refuses a listener.
    pub fn open(
        mirror: Arc<Mirror>,
        listeners: Vec<(Front, TcpListener)>,
        bounds: HatchBounds,
        clock: Clock,
    ) -> io::Result<Self> {
        let (close, closed) = watch::channel(false);
        let shared = Arc::new(Shared {
            mirror,
            bounds,
            clock,
            state: Mutex::default(),
            at_once: Semaphore::new(MOST_AT_ONCE),
        });
        let mut hatch = Self {
            shared: Arc::clone(&shared),
            close,
            threads: Vec::new(),
        };
        for (front, listener) in listeners {
            let Some(routes) = shared.mirror.declared.routes(front) else {
                continue;
            };
            listener.set_nonblocking(true)?;
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .max_blocking_threads(MOST_AT_ONCE)
                .build()?;
            let (shared, closed) = (Arc::clone(&shared), closed.clone());
            let serving = move || {
                runtime.block_on(listen(listener, (front, Arc::new(routes)), shared, closed));
                // What is still being fetched for nobody ends by its own bounds.
                runtime.shutdown_background();
            };
            let thread = std::thread::Builder::new()
                .name("hatch".to_owned())
                .spawn(serving)?;
            hatch.threads.push(thread);
        }
        Ok(hatch)
    }

    /// Returns how long the build has waited for the mirror until now, within its bound.
    pub fn waited(&self) -> Duration {
        let now = self.shared.clock.elapsed();
        self.shared.lock().waited(now).min(self.shared.bounds.waiting)
    }

    /// Closes it; returns what the build has had.
    pub fn close(mut self) -> Fetched {
        self.end();
        let now = self.shared.clock.elapsed();
        let state = self.shared.lock();
        let mut fetched = state.fetched.clone();
        fetched.waited_ms = state.waited(now).as_millis() as u64;
        fetched
    }

    fn end(&mut self) {
        self.close.send_replace(true);
        for thread in self.threads.drain(..) {
            drop(thread.join());
        }
    }
}

impl Drop for Hatch {
    fn drop(&mut self) {
        self.end();
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Answers a request that may be answered, by waiting for the mirror if need be.
    fn get(&self, front: Front, routes: &Routes, path: &str) -> Result<Had, Trouble> {
        let route = routes.of(path).map_err(|why| Trouble::Refused(why.to_owned()))?;
        let (most, within) = {
            let mut state = self.lock();
            let now = self.clock.elapsed();
            let within = self.bounds.waiting.saturating_sub(state.waited(now));
            if within.is_zero() {
                let waited_s = self.bounds.waiting.as_secs();
                return Err(Trouble::Ours(format!(
                    "the mirror has kept this build waiting for more than {waited_s} s (`mirror_s`)"
                )));
            }
            if state.waiting == 0 {
                state.since = now;
            }
            state.waiting += 1;
            (self.bounds.bytes.saturating_sub(state.fetched.bytes), within)
        };
        let had = self.mirror.get((front, routes), &route, most, within);
        let mut state = self.lock();
        state.waiting -= 1;
        if state.waiting == 0 {
            let more = self.clock.elapsed().saturating_sub(state.since);
            state.waited += more;
        }
        let had = had?;
        state.fetched.bytes += had.bytes();
        if state.fetched.bytes > self.bounds.bytes {
            return Err(Trouble::Refused(format!(
                "this build has had {} already (`mirror_mib`)",
                size(self.bounds.bytes)
            )));
        }
        Ok(had)
    }

    /// Writes down what came of a request; returns what is answered.
    fn write_down(&self, what: String, came: Result<Had, Trouble>) -> (u16, Sent) {
        let mut state = self.lock();
        let (status, bytes, how, sent) = match came {
            Ok(had) => {
                let bytes = had.bytes();
                for host in had.left_out {
                    if !state.fetched.left_out.contains(&host) {
                        state.fetched.left_out.push(host);
                    }
                }
                let how = if had.is_new { "fetched" } else { "kept" };
                (had.status, bytes, how.to_owned(), Sent::of(had.body))
            }
            Err(Trouble::Refused(why)) => (403, 0, why.clone(), Sent::text(why)),
            Err(Trouble::Ours(why)) => {
                state.fetched.fault.get_or_insert_with(|| why.clone());
                // A status that nobody takes for a wish to be asked again.
                (504, 0, why.clone(), Sent::text(why))
            }
        };
        if state.fetched.requests.len() < MOST_WRITTEN {
            state.fetched.requests.push(Asked {
                what,
                status,
                bytes,
                how,
            });
        } else {
            state.fetched.more += 1;
        }
        (status, sent)
    }

    /// Counts a request; tells whether there may be so many.
    fn count(&self) -> bool {
        let mut state = self.lock();
        state.asked = state.asked.saturating_add(1);
        state.asked <= self.bounds.requests
    }
}

async fn listen(
    listener: TcpListener,
    (front, routes): (Front, Arc<Routes>),
    shared: Arc<Shared>,
    mut closed: watch::Receiver<bool>,
) {
    let Ok(listener) = tokio::net::TcpListener::from_std(listener) else {
        return;
    };
    let mut connections = JoinSet::new();
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept(), if connections.len() < MOST_CONNECTIONS => accepted,
            Some(_) = connections.join_next(), if connections.len() >= MOST_CONNECTIONS => continue,
            _ = closed.changed() => return,
        };
        while connections.try_join_next().is_some() {}
        let Ok((stream, _)) = accepted else {
            tokio::time::sleep(BREATH).await;
            continue;
        };
        let (shared, routes) = (Arc::clone(&shared), Arc::clone(&routes));
        connections.spawn(async move {
            let service = service_fn(move |request: Request<Incoming>| {
                let (shared, routes) = (Arc::clone(&shared), Arc::clone(&routes));
                async move { Ok::<_, Infallible>(answer(&request, front, routes, shared).await) }
            });
            drop(stream.set_nodelay(true));
            let served = http1::Builder::new()
                .timer(TokioTimer::new())
                .header_read_timeout(HEAD_WAIT)
                .max_buf_size(MAX_HEAD)
                .max_headers(MAX_HEADERS)
                .serve_connection(TokioIo::new(stream), service);
            // How a connection ends is the build's business.
            drop(served.await);
        });
    }
}

async fn answer(
    request: &Request<Incoming>,
    front: Front,
    routes: Arc<Routes>,
    shared: Arc<Shared>,
) -> Response<Sent> {
    let uri = request.uri();
    let shown: String = uri.to_string().chars().take(PATH_SHOWN).collect();
    let what = format!("{} {} {shown}", front.name(), request.method());
    let refused = |why: &str| Err(Trouble::Refused(why.to_owned()));
    let came = if !shared.count() {
        refused("this build has asked too often (`mirror_requests`)")
    } else if request.method() != Method::GET && request.method() != Method::HEAD {
        refused("only GET and HEAD are answered")
    } else if uri.query().is_some() || uri.scheme().is_some() || uri.authority().is_some() {
        refused("this is no path of a package")
    } else {
        let path = uri.path().to_owned();
        let asked = Arc::clone(&shared);
        // The semaphore is never closed.
        let permit = shared.at_once.acquire().await.ok();
        let came = tokio::task::spawn_blocking(move || asked.get(front, &routes, &path)).await;
        drop(permit);
        came.unwrap_or_else(|_| Err(Trouble::Ours("the grader has failed at this request".to_owned())))
    };
    let (status, sent) = shared.write_down(what, came);
    let kind = match (&sent, front, status) {
        (Sent::File(..), ..) => "application/octet-stream",
        (_, Front::Pip, 200) => "text/html; charset=utf-8",
        (_, Front::Npm, 200) => "application/json",
        _ => "text/plain; charset=utf-8",
    };
    let mut response = Response::new(sent);
    *response.status_mut() = hyper::StatusCode::from_u16(status).unwrap_or(hyper::StatusCode::BAD_GATEWAY);
    let value = hyper::header::HeaderValue::from_static(kind);
    response.headers_mut().insert(hyper::header::CONTENT_TYPE, value);
    response
}

/// A body that is sent: a text at once, or a file piece by piece.
enum Sent {
    Text(Option<Bytes>),
    File(File, u64),
}

impl Sent {
    fn of(body: Body) -> Self {
        match body {
            Body::Text(text) => Self::text(text),
            Body::File(file, bytes) => Self::File(file, bytes),
        }
    }

    fn text(text: impl Into<Bytes>) -> Self {
        Self::Text(Some(text.into()))
    }
}

impl HttpBody for Sent {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, io::Error>>> {
        let piece = match &mut *self {
            Self::Text(text) => text.take().map(Ok),
            Self::File(_, 0) => None,
            Self::File(file, left) => {
                // A file of this machine's own, most of it in memory still: reading it waits for nobody.
                let mut piece = vec![0; PIECE.min(*left as usize)];
                Some(file.read(&mut piece).and_then(|read| {
                    if read == 0 {
                        return Err(io::ErrorKind::UnexpectedEof.into());
                    }
                    *left -= read as u64;
                    piece.truncate(read);
                    Ok(Bytes::from(piece))
                }))
            }
        };
        Poll::Ready(piece.map(|piece| piece.map(Frame::data)))
    }

    fn is_end_stream(&self) -> bool {
        matches!(self, Self::Text(None) | Self::File(_, 0))
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Text(text) => SizeHint::with_exact(text.as_ref().map_or(0, |text| text.len() as u64)),
            Self::File(_, left) => SizeHint::with_exact(*left),
        }
    }
}
