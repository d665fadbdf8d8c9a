//! The asker of the open company: sends single requests to many teams, for as long as it lives, with bounds for each team.
//!
//! A team that hangs or is gone costs its own requests alone: each team has its own few connections, and a request waits
//! for one no longer than its own deadline.

use std::cell::{Cell, RefCell};
use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::mpsc as plain;
use std::thread::JoinHandle;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::Empty;
use hyper::client::conn::http1::SendRequest;
use tokio::sync::{Notify, Semaphore, mpsc};
use tokio::task::LocalSet;

use super::driver::{Fault, MAX_BODY, connect, exchange, is_our_lack, read_answer};
use super::target::Target;
use crate::clock::Clock;
use crate::exchange::{Catalogue, Outcome, printable};

/// The most requests to one team that are under way at once; the others wait.
const MOST_AT_ONCE: usize = 64;
/// The most that are under way or wait. With a rate of tens a second and a deadline below a second there are never so many.
const MOST_WAITING: usize = 2_000;
/// The idle connections that are kept for a team.
const MOST_IDLE: usize = 8;
/// How long an address that was looked up is used.
const ADDRESS_NS: u64 = 60_000_000_000;
/// How long a name that was not found is not looked up again.
const PAUSE_NS: u64 = 5_000_000_000;
/// A deadline that we notice later than this proves nothing about the service: our own loop was starved.
const BLIND_NS: u64 = 40_000_000;
/// The letters of a page that are kept.
const PAGE: usize = 4_000;

/// What is asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum What {
    /// Recommendations for a user.
    Recommend(u32),
    /// What no client should ask, of which nothing is wanted.
    Odd(String),
    /// Any page, of which the beginning is wanted.
    Page(String),
    /// A page by which the team is told something; that it is there is all that is wanted.
    Tell(String),
}

/// One question.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Question {
    /// The place of the team among those that the asker was given.
    pub team: usize,
    /// What.
    pub what: What,
}

/// What came back.
#[derive(Debug, Clone, PartialEq)]
pub struct Came {
    /// The question.
    pub question: Question,
    /// What came of it; for a page that is there, its text is in `page`.
    pub outcome: Outcome,
    /// The text of a page with status 200, made printable.
    pub page: Option<String>,
    /// How long it took, in whole milliseconds.
    pub millis: u32,
}

/// A running asker; dropping it gives up what is under way.
#[derive(Debug)]
pub struct Asker {
    questions: Option<mpsc::UnboundedSender<(Question, u64)>>,
    came: plain::Receiver<Came>,
    thread: Option<JoinHandle<()>>,
    clock: Clock,
}

/// One team's line: its address, its idle connections, its bound.
struct Line {
    host: String,
    /// The last address that the name had, and since when it is believed; it is looked up again where that is not said.
    address: Option<(SocketAddr, Option<u64>)>,
    /// Whether it is looked up now, and who waits for that.
    is_looking: bool,
    found: Rc<Notify>,
    /// Why it was not found the last time.
    lost: Option<NotFound>,
    idle: Vec<SendRequest<Empty<Bytes>>>,
    places: Rc<Semaphore>,
    waiting: usize,
}

/// Why a name was not found.
struct NotFound {
    why: String,
    /// Whether for want of somebody to ask.
    is_ours: bool,
    at_ns: u64,
}

impl NotFound {
    fn told(&self) -> Lost {
        if self.is_ours {
            Lost::Ours(self.why.clone())
        } else {
            Lost::Theirs(Fault::Closed(self.why.clone()))
        }
    }
}

/// Why there is no answer.
enum Lost {
    /// For what the team's service did, or did not.
    Theirs(Fault),
    /// For what we lack: it counts for nobody.
    Ours(String),
}

/// What all requests share.
struct Shared {
    lines: Vec<RefCell<Line>>,
    deadline: Duration,
    catalogue: Arc<dyn Catalogue + Send + Sync>,
    clock: Clock,
    came: plain::Sender<Came>,
}

impl Asker {
    /// Starts an asker for teams at `host:port`.
    ///
    /// # Errors
    /// When the system gives no thread.
    pub fn start(
        hosts: &[String],
        deadline: Duration,
        catalogue: Arc<dyn Catalogue + Send + Sync>,
        clock: Clock,
    ) -> io::Result<Self> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        let hosts = hosts.to_vec();
        let (questions, asked) = mpsc::unbounded_channel();
        let (tell, came) = plain::channel();
        let thread = std::thread::Builder::new()
            .name("asker".to_owned())
            .spawn(move || {
                let lines = hosts.into_iter().map(|host| {
                    RefCell::new(Line {
                        host,
                        address: None,
                        is_looking: false,
                        found: Rc::default(),
                        lost: None,
                        idle: Vec::new(),
                        places: Rc::new(Semaphore::new(MOST_AT_ONCE)),
                        waiting: 0,
                    })
                });
                let shared = Rc::new(Shared {
                    lines: lines.collect(),
                    deadline,
                    catalogue,
                    clock,
                    came: tell,
                });
                LocalSet::new().block_on(&runtime, run(shared, asked));
                // A look-up of a name may still hang in a thread of its own.
                runtime.shutdown_background();
            })?;
        Ok(Self {
            questions: Some(questions),
            came,
            thread: Some(thread),
            clock,
        })
    }

    /// Asks; what comes of it is told by [`Asker::came`].
    pub fn ask(&self, question: Question) {
        if let Some(questions) = &self.questions {
            // The thread lives as long as this does.
            drop(questions.send((question, self.clock.elapsed_ns())));
        }
    }

    /// Returns what came back since one last looked.
    pub fn came(&self) -> Vec<Came> {
        self.came.try_iter().collect()
    }
}

impl Drop for Asker {
    fn drop(&mut self) {
        self.questions = None;
        if let Some(thread) = self.thread.take() {
            drop(thread.join());
        }
    }
}

async fn run(shared: Rc<Shared>, mut asked: mpsc::UnboundedReceiver<(Question, u64)>) {
    while let Some((question, at_ns)) = asked.recv().await {
        let Some(line) = shared.lines.get(question.team) else {
            continue;
        };
        if line.borrow().waiting >= MOST_WAITING {
            let outcome = Outcome::Ours {
                reason: "too many requests wait on our side".to_owned(),
            };
            shared.tell(question, (outcome, None), at_ns);
            continue;
        }
        line.borrow_mut().waiting += 1;
        tokio::task::spawn_local(one(Rc::clone(&shared), question, at_ns));
    }
}

impl Shared {
    fn tell(&self, question: Question, (outcome, page): (Outcome, Option<String>), at_ns: u64) {
        let millis = self.clock.elapsed_ns().saturating_sub(at_ns).div_ceil(1_000_000);
        // The receiver is gone only when nobody counts any more.
        drop(self.came.send(Came {
            question,
            outcome,
            page,
            millis: u32::try_from(millis).unwrap_or(u32::MAX),
        }));
    }
}

async fn one(shared: Rc<Shared>, question: Question, at_ns: u64) {
    let deadline_ns = shared.deadline.as_nanos() as u64;
    let spent = shared.clock.elapsed_ns().saturating_sub(at_ns);
    let left = Duration::from_nanos(deadline_ns.saturating_sub(spent));
    let path = match &question.what {
        What::Recommend(user) => format!("/recommend/{user}"),
        What::Odd(path) | What::Page(path) | What::Tell(path) => path.clone(),
    };
    let looking = Cell::new(false);
    let answered = tokio::time::timeout(left, send(&shared, question.team, &path, &looking)).await;
    let now_ns = shared.clock.elapsed_ns();
    let ended = match answered {
        Ok(Ok((status, body))) => {
            let is_page = matches!(question.what, What::Page(_) | What::Tell(_));
            let page = (is_page && status == 200).then(|| printable(&body, PAGE));
            let late = now_ns.saturating_sub(at_ns) > deadline_ns;
            let outcome = if late {
                Outcome::TimedOut
            } else {
                read_answer(status, &body, shared.catalogue.as_ref())
            };
            (outcome, page)
        }
        Ok(Err(Lost::Theirs(Fault::Closed(error)))) => (Outcome::Refused { error }, None),
        Ok(Err(Lost::Theirs(Fault::Unreadable(error)))) => (Outcome::Unreadable { error }, None),
        Ok(Err(Lost::Ours(reason))) => (Outcome::Ours { reason }, None),
        Err(_elapsed) if looking.get() => {
            let reason = "the name service did not answer in time".to_owned();
            (Outcome::Ours { reason }, None)
        }
        Err(_elapsed) if now_ns > at_ns + deadline_ns + BLIND_NS => {
            let reason = "our own loop noticed the deadline too late".to_owned();
            (Outcome::Ours { reason }, None)
        }
        Err(_elapsed) => (Outcome::TimedOut, None),
    };
    shared.lines[question.team].borrow_mut().waiting -= 1;
    shared.tell(question, ended, at_ns);
}

/// Sends one request on an idle connection of the team, or on a new one; a kept connection that was closed meanwhile is
/// replaced once.
///
/// `looking` is true while a name is looked up.
async fn send(
    shared: &Rc<Shared>,
    team: usize,
    path: &str,
    looking: &Cell<bool>,
) -> Result<(u16, Vec<u8>), Lost> {
    let line = &shared.lines[team];
    let places = Rc::clone(&line.borrow().places);
    let Ok(_permit) = places.acquire().await else {
        return Err(Lost::Ours("the asker ends".to_owned()));
    };
    let host = line.borrow().host.clone();
    loop {
        let kept = line.borrow_mut().idle.pop();
        let is_kept = kept.is_some();
        let mut sender = if let Some(sender) = kept {
            sender
        } else {
            let target = Target {
                address: address(shared, team, &host, looking).await?,
                host: host.clone(),
                sockets: None,
            };
            connect(&target).await.map_err(|error| {
                doubt(shared, team);
                let text = error.to_string();
                if is_our_lack(&error) {
                    Lost::Ours(format!("no connection to be had on this machine: {text}"))
                } else {
                    Lost::Theirs(Fault::Closed(text))
                }
            })?
        };
        match exchange(&mut sender, path, &host, MAX_BODY).await {
            Ok(found) => {
                if sender.ready().await.is_ok() {
                    let mut line = line.borrow_mut();
                    if line.idle.len() < MOST_IDLE {
                        line.idle.push(sender);
                    }
                }
                return Ok(found);
            }
            Err(Fault::Closed(_)) if is_kept => {}
            Err(fault) => {
                doubt(shared, team);
                return Err(Lost::Theirs(fault));
            }
        }
    }
}

/// Has a team's address looked up again: it may have moved.
fn doubt(shared: &Shared, team: usize) {
    if let Some((_, since)) = &mut shared.lines[team].borrow_mut().address {
        *since = None;
    }
}

/// Whether a name could not be looked up for want of somebody to ask; that there is no such name is told otherwise. The system's
/// library tells the one from the other in words alone.
fn is_name_service(error: &io::Error) -> bool {
    let said = error.to_string();
    is_our_lack(error)
        || ["Temporary failure", "Try again"]
            .iter()
            .any(|words| said.contains(words))
}

/// Returns a team's address. Its name is looked up by one at a time, whoever waits: a look-up that hangs holds a thread for longer
/// than a request lives. Meanwhile, and where it fails, the last address counts: a name that is gone from the books is still where it
/// was, or nobody is there.
async fn address(
    shared: &Rc<Shared>,
    team: usize,
    host: &str,
    looking: &Cell<bool>,
) -> Result<SocketAddr, Lost> {
    if let Ok(address) = host.parse() {
        return Ok(address);
    }
    let now_ns = shared.clock.elapsed_ns();
    let is_fresh = |since_ns: u64, for_ns: u64| now_ns.saturating_sub(since_ns) < for_ns;
    let found = {
        let mut line = shared.lines[team].borrow_mut();
        let failed_lately = line
            .lost
            .as_ref()
            .is_some_and(|lost| is_fresh(lost.at_ns, PAUSE_NS));
        let is_known = line
            .address
            .is_some_and(|(_, since)| since.is_some_and(|since_ns| is_fresh(since_ns, ADDRESS_NS)));
        if !is_known && !failed_lately && !line.is_looking {
            line.is_looking = true;
            tokio::task::spawn_local(look_up(Rc::clone(shared), team, host.to_owned()));
        }
        match (line.address, &line.lost) {
            (Some((address, _)), _) => return Ok(address),
            (None, Some(lost)) if failed_lately => return Err(lost.told()),
            (None, _) => Rc::clone(&line.found),
        }
    };
    looking.set(true);
    found.notified().await;
    looking.set(false);
    let line = shared.lines[team].borrow();
    match (line.address, &line.lost) {
        (Some((address, _)), _) => Ok(address),
        (None, Some(lost)) => Err(lost.told()),
        (None, None) => Err(Lost::Ours("the name was not looked up".to_owned())),
    }
}

/// Looks a team's name up, notes what came of it and wakes those who wait.
async fn look_up(shared: Rc<Shared>, team: usize, host: String) {
    let looked_up = tokio::net::lookup_host(&host).await;
    let now_ns = shared.clock.elapsed_ns();
    let mut line = shared.lines[team].borrow_mut();
    line.is_looking = false;
    line.lost = None;
    match looked_up {
        Ok(found) => {
            let mut found: Vec<SocketAddr> = found.collect();
            // Services listen on the older family far more often.
            found.sort_by_key(SocketAddr::is_ipv6);
            match found.first() {
                Some(address) => line.address = Some((*address, Some(now_ns))),
                None => {
                    line.lost = Some(NotFound {
                        why: format!("`{host}` has no address"),
                        is_ours: false,
                        at_ns: now_ns,
                    });
                }
            }
        }
        Err(error) => {
            line.lost = Some(NotFound {
                why: format!("`{host}` cannot be found: {error}"),
                is_ours: is_name_service(&error),
                at_ns: now_ns,
            });
        }
    }
    line.found.notify_waiters();
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::io::{Read, Write};
    use std::net::TcpListener;

    use super::*;

    /// A service that answers every request of a connection with a list, or never.
    fn service(answers: bool) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let host = listener.local_addr().unwrap().to_string();
        std::thread::spawn(move || {
            let mut held = Vec::new();
            for stream in listener.incoming() {
                let mut stream = stream.unwrap();
                if !answers {
                    held.push(stream);
                    continue;
                }
                std::thread::spawn(move || {
                    let mut buffer = [0; 2048];
                    while stream.read(&mut buffer).is_ok_and(|read| read > 0) {
                        let answer = b"HTTP/1.1 200 OK\r\ncontent-length: 6\r\n\r\na+2000";
                        stream.write_all(answer).unwrap();
                    }
                });
            }
        });
        host
    }

    #[test]
    fn what_this_machine_lacks_is_charged_to_nobody() {
        for (code, ours) in [
            (24, true),
            (23, true),
            (99, true),
            (101, true),
            (111, false),
            (113, false),
            (104, false),
        ] {
            assert_eq!(is_our_lack(&io::Error::from_raw_os_error(code)), ours, "{code}");
        }
        let told = |words: &str| is_name_service(&io::Error::other(words.to_owned()));
        assert!(told(
            "failed to lookup address information: Temporary failure in name resolution"
        ));
        assert!(!told(
            "failed to lookup address information: Name or service not known"
        ));
    }

    #[test]
    fn a_name_that_cannot_be_looked_up_is_where_it_was() {
        let there: SocketAddr = service(true).parse().unwrap();
        // By its rules this name is never anywhere.
        let host = "service.invalid:8082".to_owned();
        let (tell, _came) = plain::channel();
        let shared = Rc::new(Shared {
            lines: vec![RefCell::new(Line {
                host: host.clone(),
                address: Some((there, None)),
                is_looking: false,
                found: Rc::default(),
                lost: None,
                idle: Vec::new(),
                places: Rc::new(Semaphore::new(1)),
                waiting: 0,
            })],
            deadline: Duration::from_secs(1),
            catalogue: Arc::new(BTreeSet::<String>::new()),
            clock: Clock::start(),
            came: tell,
        });
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        let looking = Cell::new(false);
        LocalSet::new().block_on(&runtime, async {
            // Nobody waits for the look-up while there is an address.
            assert!(matches!(address(&shared, 0, &host, &looking).await, Ok(found) if found == there));
            assert!(shared.lines[0].borrow().is_looking);
            let found = Rc::clone(&shared.lines[0].borrow().found);
            found.notified().await;
            assert!(shared.lines[0].borrow().lost.is_some(), "it was found");
            assert!(matches!(address(&shared, 0, &host, &looking).await, Ok(found) if found == there));
            // It is not looked up again at once.
            assert!(!shared.lines[0].borrow().is_looking);
            shared.lines[0].borrow_mut().address = None;
            assert!(address(&shared, 0, &host, &looking).await.is_err());
        });
        runtime.shutdown_background();
    }

    #[test]
    fn a_team_that_hangs_or_is_gone_costs_the_others_nothing() {
        let clock = Clock::start();
        let gone = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let hosts = [service(true), service(false), gone.to_string()];
        let catalogue: BTreeSet<String> = ["a+2000".to_owned()].into();
        let deadline = Duration::from_millis(1_500);
        let asker = Asker::start(&hosts, deadline, Arc::new(catalogue), clock).unwrap();
        // Far more than the bound: those of the team that hangs run into their own deadlines.
        for user in 0..300 {
            for team in [1, 2, 0] {
                let what = What::Recommend(user);
                asker.ask(Question { team, what });
            }
        }
        let page = What::Page("/version".to_owned());
        asker.ask(Question { team: 0, what: page });
        let mut came = Vec::new();
        while came.len() < 901 {
            assert!(clock.elapsed() < Duration::from_secs(60), "{} came", came.len());
            came.extend(asker.came());
            clock.sleep(Duration::from_millis(5));
        }
        let of = |team: usize, label: &str| {
            came.iter()
                .filter(|came| came.question.team == team && came.outcome.label() == label)
                .count()
        };
        assert_eq!(of(0, "answered"), 301);
        assert_eq!(of(2, "connection failed"), 300);
        let hung = of(1, "no answer in time") + of(1, "not sent by us");
        assert_eq!(hung, 300, "all of them run into their deadlines");
        assert!(came.iter().any(|came| came.page.as_deref() == Some("a+2000")));
    }
}
