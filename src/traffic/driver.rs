//! The driver: keeps to a schedule over a capped pool of connections, and never blames a service for what was our fault.
//!
//! Requests wait in one queue and any ready connection serves the oldest, so that a slow connect delays nobody in
//! particular. The pool is bounded by Little's law: without a bound a short stall makes every waiting request open a socket
//! of its own, and the storm outlives the stall. Everything runs on one thread; what arrives is judged by when it arrived.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Empty};
use hyper::Request;
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::sync::{mpsc, oneshot};
use tokio::task::LocalSet;

use super::target::{Sockets, Target};
use super::timer::Timer;
use crate::clock::Clock;
use crate::exchange::{Catalogue, Exchange, Outcome, Planned, QUOTED, parse_answer, printable};

/// The most bytes of a body that are read: twenty ids fit in one kilobyte, a debugger's page in sixteen.
pub const MAX_BODY: usize = 64 << 10;
/// The most bytes of a status line and headers, and the most headers.
const MAX_HEAD: usize = 32 << 10;
const MAX_HEADERS: usize = 100;
/// A request that we hand over later than this is ours to answer for.
const LATE_NS: u64 = 20_000_000;
/// A deadline that we notice later than this proves nothing about the service: our own loop was starved.
const BLIND_NS: u64 = 40_000_000;
/// The 99th percentile of our own lateness above which a run proves nothing about latency.
const TAINTED_MS: f64 = 10.0;
/// The pool holds 1.2 × peak rate × deadline connections (Little), but at least this many.
const LEAST_POOL: usize = 16;
/// How often the loop looks at the flag that stops it.
const LOOK_NS: u64 = 50_000_000;
/// How long a connection waits for a socket of another network before it asks again.
const NO_SOCKET: Duration = Duration::from_millis(1);
/// How long after the last deadline the loop waits for what must come by itself.
const GRACE_NS: u64 = 2_000_000_000;

/// How to drive.
#[derive(Debug, Clone)]
pub struct DriveOptions {
    /// Where to.
    pub target: Target,
    /// The limit within which an answer counts, from the intended time.
    pub deadline: Duration,
    /// The highest rate of the schedule, a second; it bounds the pool.
    pub peak_rate: f64,
}

/// How the driving went on our side.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct DriveReport {
    /// Requests handed over.
    pub dispatched: u32,
    /// Our own lateness in milliseconds: median, 99th percentile, maximum.
    pub lateness_ms: (f64, f64, f64),
    /// Connections opened.
    pub connections: u64,
    /// Requests sent once more because a kept connection had been closed before the first byte.
    pub stale_retries: u64,
    /// Why latency can't be judged from this run, if it can't.
    pub tainted: Option<String>,
    /// Whether the flag stopped it.
    pub interrupted: bool,
}

struct Job {
    planned: Planned,
    dispatched_ns: u64,
    retried: bool,
}

/// What the tasks of one run share.
struct Pool {
    target: Target,
    clock: Clock,
    deadline_ns: u64,
    begin_ns: u64,
    cap: usize,
    waiting: VecDeque<Job>,
    idle: Vec<oneshot::Sender<Job>>,
    connecting: usize,
    open: usize,
    connections: u64,
    stale_retries: u64,
    results: mpsc::UnboundedSender<(Job, Reply)>,
}

/// What came back, before it is made into an outcome.
enum Reply {
    Whole {
        status: u16,
        body: Vec<u8>,
        sent_ns: u64,
        finished_ns: u64,
    },
    Late {
        sent_ns: Option<u64>,
        finished_ns: u64,
    },
    Broken {
        outcome: Outcome,
        sent_ns: Option<u64>,
        finished_ns: u64,
    },
}

type Shared = Rc<RefCell<Pool>>;

/// Sends a schedule and hands every exchange to `on_exchange` as it ends.
///
/// Times of exchanges count from the call. When `stop` is set the run ends within a tenth of a second; what was not
/// answered by then is not reported.
///
/// # Errors
/// When the system gives no timer, or when `on_exchange` fails: the disk is full, say.
pub fn drive<E: From<io::Error>>(
    plan: &[Planned],
    options: &DriveOptions,
    catalogue: &dyn Catalogue,
    clock: Clock,
    stop: &AtomicBool,
    on_exchange: &mut dyn FnMut(Exchange) -> Result<(), E>,
) -> Result<DriveReport, E> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let local = LocalSet::new();
    local.block_on(&runtime, run(plan, options, catalogue, clock, stop, on_exchange))
}

async fn run<E: From<io::Error>>(
    plan: &[Planned],
    options: &DriveOptions,
    catalogue: &dyn Catalogue,
    clock: Clock,
    stop: &AtomicBool,
    on_exchange: &mut dyn FnMut(Exchange) -> Result<(), E>,
) -> Result<DriveReport, E> {
    let timer = Timer::new(clock)?;
    let (results, mut arrived) = mpsc::unbounded_channel();
    let begin_ns = clock.elapsed_ns();
    let deadline_ns = options.deadline.as_nanos() as u64;
    let little = (1.2 * options.peak_rate * options.deadline.as_secs_f64()).ceil() as usize;
    let pool: Shared = Rc::new(RefCell::new(Pool {
        target: options.target.clone(),
        clock,
        deadline_ns,
        begin_ns,
        cap: little.max(LEAST_POOL),
        waiting: VecDeque::new(),
        idle: Vec::new(),
        connecting: 0,
        open: 0,
        connections: 0,
        stale_retries: 0,
        results,
    }));
    let mut report = DriveReport::default();
    let mut lateness: Vec<u64> = Vec::with_capacity(plan.len());
    let mut next = 0;
    let mut ended = 0;
    let last_ns = plan.last().map_or(0, |planned| planned.intended_ns) + deadline_ns + GRACE_NS;
    while ended < plan.len() {
        if stop.load(Ordering::Relaxed) {
            report.interrupted = true;
            break;
        }
        let now = clock.elapsed_ns() - begin_ns;
        while let Some(planned) = plan.get(next).filter(|planned| planned.intended_ns <= now) {
            let dispatched_ns = clock.elapsed_ns() - begin_ns;
            lateness.push(dispatched_ns - planned.intended_ns);
            submit(
                &pool,
                Job {
                    planned: planned.clone(),
                    dispatched_ns,
                    retried: false,
                },
            );
            next += 1;
        }
        expire(&pool);
        let mut wake = now + LOOK_NS;
        if let Some(planned) = plan.get(next) {
            wake = wake.min(planned.intended_ns);
        }
        if let Some(job) = pool.borrow().waiting.front() {
            wake = wake.min(job.planned.intended_ns + deadline_ns);
        }
        tokio::select! {
            biased;
            Some((job, reply)) = arrived.recv() => {
                ended += 1;
                on_exchange(judge(job, reply, deadline_ns, catalogue))?;
                while let Ok((job, reply)) = arrived.try_recv() {
                    ended += 1;
                    on_exchange(judge(job, reply, deadline_ns, catalogue))?;
                }
            }
            waited = timer.until(begin_ns + wake) => waited?,
        }
        if next == plan.len() && now > last_ns {
            let missing = plan.len() - ended;
            report.tainted = Some(format!("{missing} requests never came to an end on our side"));
            break;
        }
    }
    let pool = pool.borrow();
    report.dispatched = next as u32;
    report.connections = pool.connections;
    report.stale_retries = pool.stale_retries;
    report.lateness_ms = percentiles(&mut lateness);
    if report.tainted.is_none() && report.lateness_ms.1 > TAINTED_MS {
        report.tainted = Some(format!(
            "our own requests left late (99 % within {:.1} ms, {TAINTED_MS} ms allowed): this machine is too busy",
            report.lateness_ms.1
        ));
    }
    Ok(report)
}

/// Hands a job to an idle connection, or lets it wait and opens a connection if there may be one more.
fn submit(shared: &Shared, job: Job) {
    let mut job = job;
    let mut pool = shared.borrow_mut();
    while let Some(idle) = pool.idle.pop() {
        match idle.send(job) {
            Ok(()) => return,
            Err(back) => job = back,
        }
    }
    pool.waiting.push_back(job);
    grow(&mut pool, shared);
}

fn grow(pool: &mut Pool, shared: &Shared) {
    while pool.connecting < pool.waiting.len() && pool.open + pool.connecting < pool.cap {
        pool.connecting += 1;
        tokio::task::spawn_local(connection(Rc::clone(shared)));
    }
}

/// Gives up the jobs whose deadline passed while they waited for a connection: that is the service's queue.
fn expire(shared: &Shared) {
    let mut pool = shared.borrow_mut();
    let now = pool.now_ns();
    while pool
        .waiting
        .front()
        .is_some_and(|job| job.planned.intended_ns + pool.deadline_ns <= now)
    {
        if let Some(job) = pool.waiting.pop_front() {
            pool.finish(
                job,
                Reply::Late {
                    sent_ns: None,
                    finished_ns: now,
                },
            );
        }
    }
}

impl Pool {
    fn now_ns(&self) -> u64 {
        self.clock.elapsed_ns() - self.begin_ns
    }

    fn finish(&self, job: Job, reply: Reply) {
        // The receiver is gone only after an interrupt, when nobody counts any more.
        drop(self.results.send((job, reply)));
    }
}

/// One connection: connects, then serves the oldest waiting job again and again until it breaks.
async fn connection(shared: Shared) {
    let (target, wait) = {
        let pool = shared.borrow();
        (pool.target.clone(), Duration::from_nanos(pool.deadline_ns))
    };
    let connected = tokio::time::timeout(wait, connect(&target)).await;
    let mut sender = {
        let mut pool = shared.borrow_mut();
        pool.connecting -= 1;
        match connected {
            Ok(Ok(sender)) => {
                pool.open += 1;
                pool.connections += 1;
                sender
            }
            Ok(Err(error)) => return refuse(&mut pool, &shared, &error),
            // Nobody accepted: the waiting jobs run into their deadlines by themselves.
            Err(_elapsed) => return grow(&mut pool, &shared),
        }
    };
    let mut used = false;
    while let Some(job) = take(&shared).await {
        if !serve(&shared, &mut sender, job, used).await {
            break;
        }
        used = true;
    }
    let mut pool = shared.borrow_mut();
    pool.open -= 1;
    grow(&mut pool, &shared);
}

/// A refused connection is the answer to the oldest waiting job; a lack on our own side is ours.
fn refuse(pool: &mut Pool, shared: &Shared, error: &io::Error) {
    let Some(job) = pool.waiting.pop_front() else {
        return;
    };
    let outcome = if is_our_lack(error) {
        Outcome::Ours {
            reason: format!("no connection to be had on this machine: {error}"),
        }
    } else {
        Outcome::Refused {
            error: error.to_string(),
        }
    };
    let finished_ns = pool.now_ns();
    pool.finish(
        job,
        Reply::Broken {
            outcome,
            sent_ns: None,
            finished_ns,
        },
    );
    grow(pool, shared);
}

/// Whether a connection failed for what this machine lacks, and not for whom it was to (Linux numbers): memory (12), files of the
/// system and the process (23, 24), local ports (99), a network or a way into it (100, 101), room for buffers (105); or a sandbox that
/// was lost, whose network is down.
pub(super) fn is_our_lack(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(12 | 23 | 24 | 99 | 100 | 101 | 105))
        || error.kind() == io::ErrorKind::NetworkDown
}

pub(super) async fn connect(target: &Target) -> io::Result<SendRequest<Empty<Bytes>>> {
    let stream = match &target.sockets {
        None => TcpStream::connect(target.address).await?,
        Some(sockets) => through(sockets, target.address).await?,
    };
    stream.set_nodelay(true)?;
    let handshake = http1::Builder::new()
        .max_buf_size(MAX_HEAD)
        .max_headers(MAX_HEADERS)
        .handshake(TokioIo::new(stream));
    let (sender, connection) = handshake.await.map_err(io::Error::other)?;
    tokio::task::spawn_local(async move {
        // How a connection ends is told by the request that it carries.
        drop(connection.await);
    });
    Ok(sender)
}

/// Connects a socket of another network. While there is none, its own programs leave nobody there the time to make one.
async fn through(sockets: &Sockets, address: SocketAddr) -> io::Result<TcpStream> {
    let socket = loop {
        match (sockets.0)()? {
            Some(socket) => break socket,
            None => tokio::time::sleep(NO_SOCKET).await,
        }
    };
    let socket = std::net::TcpStream::from(socket);
    socket.set_nonblocking(true)?;
    tokio::net::TcpSocket::from_std_stream(socket)
        .connect(address)
        .await
}

/// Takes the oldest waiting job, or waits for one.
async fn take(shared: &Shared) -> Option<Job> {
    let waiter = {
        let mut pool = shared.borrow_mut();
        if let Some(job) = pool.waiting.pop_front() {
            return Some(job);
        }
        let (idle, waiter) = oneshot::channel();
        pool.idle.push(idle);
        waiter
    };
    waiter.await.ok()
}

/// Sends one job and reads its answer; returns whether the connection can carry another.
async fn serve(shared: &Shared, sender: &mut SendRequest<Empty<Bytes>>, job: Job, used: bool) -> bool {
    let (clock, begin_ns, due_ns, host) = {
        let pool = shared.borrow();
        let due_ns = job.planned.intended_ns + pool.deadline_ns;
        (pool.clock, pool.begin_ns, due_ns, pool.target.host.clone())
    };
    let now = || clock.elapsed_ns() - begin_ns;
    let sent_ns = now();
    let left = Duration::from_nanos(due_ns.saturating_sub(sent_ns));
    let reply = match tokio::time::timeout(left, exchange(sender, &job.planned.path, &host, MAX_BODY)).await {
        Ok(Ok((status, body))) => Reply::Whole {
            status,
            body,
            sent_ns,
            finished_ns: now(),
        },
        Ok(Err(Fault::Closed(error))) => {
            if used && !job.retried {
                let mut pool = shared.borrow_mut();
                pool.stale_retries += 1;
                pool.waiting.push_front(Job { retried: true, ..job });
                return false;
            }
            Reply::Broken {
                outcome: Outcome::Refused { error },
                sent_ns: Some(sent_ns),
                finished_ns: now(),
            }
        }
        Ok(Err(Fault::Unreadable(error))) => Reply::Broken {
            outcome: Outcome::Unreadable { error },
            sent_ns: Some(sent_ns),
            finished_ns: now(),
        },
        Err(_elapsed) => Reply::Late {
            sent_ns: Some(sent_ns),
            finished_ns: now(),
        },
    };
    let whole = matches!(reply, Reply::Whole { .. });
    shared.borrow().finish(job, reply);
    whole && sender.ready().await.is_ok()
}

/// Why an exchange broke.
pub(super) enum Fault {
    /// Before the first byte of an answer.
    Closed(String),
    /// In the middle of one, or against the bounds.
    Unreadable(String),
}

pub(super) async fn exchange(
    sender: &mut SendRequest<Empty<Bytes>>,
    path: &str,
    host: &str,
    most_bytes: usize,
) -> Result<(u16, Vec<u8>), Fault> {
    let request = Request::get(path)
        .header("host", host)
        .header("accept", "*/*")
        .body(Empty::new())
        .map_err(|error| Fault::Unreadable(error.to_string()))?;
    let response = sender.send_request(request).await.map_err(|error| {
        if error.is_parse() {
            Fault::Unreadable(format!("not HTTP, or larger than we read: {error}"))
        } else {
            Fault::Closed(format!("the connection was closed: {error}"))
        }
    })?;
    let status = response.status().as_u16();
    let mut body = response.into_body();
    let mut bytes = Vec::new();
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|error| Fault::Unreadable(format!("the body broke off: {error}")))?;
        if let Some(data) = frame.data_ref() {
            bytes.extend_from_slice(data);
            if bytes.len() > most_bytes {
                return Err(Fault::Unreadable(format!(
                    "the body is longer than {most_bytes} bytes"
                )));
            }
        }
    }
    Ok((status, bytes))
}

/// Makes an exchange of a job and its reply; what was our fault is ours.
fn judge(job: Job, reply: Reply, deadline_ns: u64, catalogue: &dyn Catalogue) -> Exchange {
    let due_ns = job.planned.intended_ns + deadline_ns;
    let late = job.dispatched_ns.saturating_sub(job.planned.intended_ns) > LATE_NS;
    let (mut outcome, sent_ns, finished_ns) = match reply {
        Reply::Whole {
            status,
            body,
            sent_ns,
            finished_ns,
        } => (read_answer(status, &body, catalogue), Some(sent_ns), finished_ns),
        Reply::Late { sent_ns, finished_ns } if finished_ns > due_ns + BLIND_NS => {
            let reason = "our own loop was held up while the deadline passed".to_owned();
            (Outcome::Ours { reason }, sent_ns, finished_ns)
        }
        Reply::Late { sent_ns, finished_ns } => (Outcome::TimedOut, sent_ns, finished_ns),
        Reply::Broken {
            outcome,
            sent_ns,
            finished_ns,
        } => (outcome, sent_ns, finished_ns),
    };
    if late {
        outcome = Outcome::Ours {
            reason: "we sent it late".to_owned(),
        };
    }
    Exchange {
        planned: job.planned,
        dispatched_ns: job.dispatched_ns,
        sent_ns,
        finished_ns,
        outcome,
    }
}

pub(super) fn read_answer(status: u16, body: &[u8], catalogue: &dyn Catalogue) -> Outcome {
    if status != 200 {
        return Outcome::Status {
            code: status,
            body: printable(body, QUOTED),
        };
    }
    match parse_answer(body, catalogue) {
        Ok(ids) => Outcome::Answered { ids },
        Err(reason) => Outcome::Malformed {
            reason,
            body: printable(body, QUOTED),
        },
    }
}

/// Asks once, with the same bounds as in a run: for probing whether a service is ready, and for replays.
///
/// # Errors
/// When the system gives no runtime.
pub fn ask_once(
    target: &Target,
    path: &str,
    deadline: Duration,
    catalogue: &dyn Catalogue,
) -> io::Result<Outcome> {
    let limits = (deadline, MAX_BODY);
    Ok(match one(target, path, limits)? {
        Some(Ok((status, body))) => read_answer(status, &body, catalogue),
        Some(Err(Fault::Closed(error))) => Outcome::Refused { error },
        Some(Err(Fault::Unreadable(error))) => Outcome::Unreadable { error },
        None => Outcome::TimedOut,
    })
}

/// Fetches any page of a service, of at most some bytes: its metrics, say. The inner error says what came instead of a page.
///
/// # Errors
/// When the system gives no runtime.
pub fn fetch(
    target: &Target,
    path: &str,
    deadline: Duration,
    most_bytes: usize,
) -> io::Result<Result<(u16, Vec<u8>), String>> {
    Ok(match one(target, path, (deadline, most_bytes))? {
        Some(Ok(found)) => Ok(found),
        Some(Err(Fault::Closed(error) | Fault::Unreadable(error))) => Err(error),
        None => Err(format!("no answer within {} ms", deadline.as_millis())),
    })
}

/// Asks once on a connection of its own; none when the time is over.
#[expect(
    clippy::type_complexity,
    reason = "the three ways in which one request ends, named by their arms"
)]
fn one(
    target: &Target,
    path: &str,
    (deadline, most_bytes): (Duration, usize),
) -> io::Result<Option<Result<(u16, Vec<u8>), Fault>>> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let local = LocalSet::new();
    Ok(local.block_on(&runtime, async {
        let asked = async {
            let mut sender = connect(target)
                .await
                .map_err(|error| Fault::Closed(error.to_string()))?;
            exchange(&mut sender, path, &target.host, most_bytes).await
        };
        tokio::time::timeout(deadline, asked).await.ok()
    }))
}

fn percentiles(lateness: &mut [u64]) -> (f64, f64, f64) {
    lateness.sort_unstable();
    let at = |share: f64| -> f64 {
        let place = (share * lateness.len() as f64).ceil() as usize;
        lateness
            .get(place.saturating_sub(1))
            .map_or(0.0, |ns| *ns as f64 / 1e6)
    };
    (at(0.5), at(0.99), at(1.0))
}
